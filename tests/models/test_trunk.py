"""Vision transformers taken apart give what they give whole."""

import copy
import re

import open_clip
import pytest
import torch
from torch import nn

from mmdg_lite.models.trunk import take_apart


def visual():
    return open_clip.transformer.VisionTransformer(
        image_size=32, patch_size=8, width=16, layers=2, heads=2, mlp_ratio=2, output_dim=12
    )


def run(view, images, class_tokens, positions):
    x = view.embed(images, class_tokens, positions)
    for layer in range(view.layers):
        x = x + view.attention(layer, x)
        x = x + view.feed_forward(layer, x)[1]
    return view.leave(x[:, 0])


def test_the_pieces_make_the_whole(generator):
    model = visual().eval()
    for parameter in model.parameters():  # layer scales, biases and class tokens that are not their initial values
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    view = take_apart(model)
    images = torch.randn(2, 3, 3, 32, 32, generator=generator)  # two modalities, batch of three
    pieces = run(view, images, view.class_token.repeat(2, 1), view.positions.repeat(2, 1, 1))  # (2 x 3) x C
    torch.testing.assert_close(pieces @ model.proj, model(images.flatten(0, 1)), atol=1e-5, rtol=1e-5)
    assert view.width == 16 and view.layers == 2 and view.image_size == (32, 32)
    assert view.class_token.shape == (16,) and view.positions.shape == (17, 16)


def test_every_modality_enters_with_its_own_class_token_and_positions(generator):
    view = take_apart(visual())
    images = torch.randn(2, 1, 3, 32, 32, generator=generator)
    class_tokens, positions = torch.randn(2, 16, generator=generator), torch.randn(2, 17, 16, generator=generator)
    both = view.embed(images, class_tokens, positions)
    for m in range(2):
        alone = view.embed(images[m : m + 1], class_tokens[m : m + 1], positions[m : m + 1])
        torch.testing.assert_close(both[m : m + 1], alone)


def test_views_follow_a_copy_of_their_model_and_pass_through():
    view = take_apart(visual())
    assert take_apart(view) is view
    twin = copy.deepcopy(view)
    assert twin.blocks[0] is twin.module.transformer.resblocks[0] and twin.blocks[0] is not view.blocks[0]


def test_a_whole_clip_is_taken_by_its_visual_trunk():
    text = {"context_length": 8, "vocab_size": 20, "width": 8, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "patch_size": 16, "width": 128, "layers": 1}
    clip = open_clip.CLIP(embed_dim=8, vision_cfg=vision, text_cfg=text)
    assert take_apart(clip).module is clip.visual


def test_other_models_and_sizes_are_refused():
    with pytest.raises(ValueError, match=re.escape("Linear is not a vision transformer")):
        take_apart(nn.Linear(2, 2))
    view = take_apart(visual())
    with pytest.raises(ValueError, match=re.escape("takes (32, 32) images, got (32, 40)")):
        view.embed(torch.zeros(1, 1, 3, 32, 40), torch.zeros(1, 16), torch.zeros(1, 17, 16))
