"""Vision transformers taken apart give what they give whole; weights by name, with clear errors."""

import copy
import re

import open_clip
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from mmdg_lite.models import trunk_weights
from mmdg_lite.models.clip_weights import CheckpointError
from mmdg_lite.models.trunk import take_apart
from mmdg_lite.models.trunk_weights import load_trunk


def visual():
    return open_clip.transformer.VisionTransformer(
        image_size=32, patch_size=8, width=16, layers=2, heads=2, mlp_ratio=2, output_dim=12
    )


def from_timm(**options):
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    return timm.models.vision_transformer.VisionTransformer(**sizes | options)


def from_torchvision():
    model = torchvision.models.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    model.heads = nn.Identity()
    return model


WHOLE = {
    "open_clip": (visual, lambda model, x: model(x)),
    "timm": (from_timm, lambda model, x: model.forward_features(x)[:, 0]),
    "timm with layer scale and an early norm": (
        lambda: from_timm(init_values=0.3, pre_norm=True),
        lambda model, x: model.forward_features(x)[:, 0],
    ),
    "torchvision": (from_torchvision, lambda model, x: model(x)),
}


def run(view, images, class_tokens, positions):
    x = view.embed(images, class_tokens, positions)
    for layer in range(view.layers):
        x = x + view.attention(layer, x)
        x = x + view.feed_forward(layer, x)[1]
    return view.leave(x[:, 0])


@pytest.mark.parametrize("name", WHOLE)
def test_the_pieces_make_the_whole(name, generator):
    make, whole = WHOLE[name]
    model = make().eval()
    for parameter in model.parameters():  # layer scales, biases and class tokens that are not their initial values
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    view = take_apart(model)
    images = torch.randn(2, 3, 3, 32, 32, generator=generator)  # two modalities, batch of three
    pieces = run(view, images, view.class_token.repeat(2, 1), view.positions.repeat(2, 1, 1))  # (2 x 3) x C
    expected = whole(model, images.flatten(0, 1))
    if name == "open_clip":
        pieces = pieces @ model.proj
    torch.testing.assert_close(pieces, expected, atol=1e-5, rtol=1e-5)
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
    view = take_apart(from_torchvision())
    assert take_apart(view) is view
    twin = copy.deepcopy(view)
    assert twin.blocks[0] is twin.module.encoder.layers[0] and twin.blocks[0] is not view.blocks[0]


def test_a_whole_clip_is_taken_by_its_visual_trunk():
    text = {"context_length": 8, "vocab_size": 20, "width": 8, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "patch_size": 16, "width": 128, "layers": 1}
    clip = open_clip.CLIP(embed_dim=8, vision_cfg=vision, text_cfg=text)
    assert take_apart(clip).module is clip.visual


def test_statistics_are_those_that_the_weights_expect():
    assert take_apart(visual()).mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    assert take_apart(from_torchvision()).std == (0.229, 0.224, 0.225)
    model = from_timm()
    assert take_apart(model).mean == (0.5, 0.5, 0.5)
    model.pretrained_cfg = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    assert take_apart(model).std == (0.4, 0.5, 0.6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: from_timm(class_token=False, global_pool="avg"),
        lambda: from_timm(reg_tokens=4),
        lambda: from_timm(no_embed_class=True),
        lambda: from_timm(global_pool="avg"),
    ],
)
def test_variants_that_are_not_plain_are_refused(make):
    with pytest.raises(ValueError, match="needs a class token with a position"):
        take_apart(make())


def test_other_models_and_sizes_are_refused():
    with pytest.raises(ValueError, match=re.escape("Linear is not a vision transformer")):
        take_apart(nn.Linear(2, 2))
    view = take_apart(visual())
    with pytest.raises(ValueError, match=re.escape("takes (32, 32) images, got (32, 40)")):
        view.embed(torch.zeros(1, 1, 3, 32, 40), torch.zeros(1, 16), torch.zeros(1, 17, 16))


def test_random_weights_come_from_the_seed_and_are_frozen():
    before = torch.random.get_rng_state()
    views = [load_trunk("timm/vit_tiny_patch16_224", checkpoint="random", seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(views[0].positions, views[1].positions)
    assert not torch.equal(views[0].positions, views[2].positions)
    assert not views[0].module.training
    assert not any(parameter.requires_grad for parameter in views[0].module.parameters())


def test_tiny_clip_with_random_weights_is_a_trunk():
    view = load_trunk("tiny", checkpoint="random")
    assert view.image_size == (64, 64) and view.module.proj is not None


def test_a_local_file_is_taken_and_a_foreign_one_named(tmp_path):
    state = load_trunk("timm/vit_tiny_patch16_224", checkpoint="random", seed=5).module.state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    torch.save(state, tmp_path / "weights.pth")
    for name in ("weights.safetensors", "weights.pth"):
        loaded = load_trunk("timm/vit_tiny_patch16_224", checkpoint=tmp_path / name)
        assert all(torch.equal(value, state[key]) for key, value in loaded.module.state_dict().items())
    save_file({**state, "cls_token": torch.zeros(1, 1, 8)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"other.safetensors .*cls_token has shape \(1, 1, 8\) instead of"):
        load_trunk("timm/vit_tiny_patch16_224", checkpoint=tmp_path / "other.safetensors")
    state.pop("pos_embed")
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match="missing pos_embed"):
        load_trunk("timm/vit_tiny_patch16_224", checkpoint=tmp_path / "part.safetensors")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_trunk("timm/vit_tiny_patch16_224", checkpoint=tmp_path / "nowhere.pth")


@pytest.mark.parametrize("name", ["timm/vit_huge_imaginary", "torchvision/resnet18", "keras/vit_b_16"])
def test_unknown_names_are_refused_with_examples(name):
    with pytest.raises(ValueError, match=r"unknown trunk .*torchvision/vit_b_16"):
        load_trunk(name, checkpoint="random")


def test_published_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch):
    def offline(name, *, weights):
        assert weights == "IMAGENET1K_V1"
        raise OSError(f"no route to host\nwhile fetching {name}")

    monkeypatch.setattr(trunk_weights.torchvision.models, "get_model", offline)
    with pytest.raises(ConnectionError, match=r"'torchvision/vit_b_16' could not be fetched \(no route to host\)"):
        load_trunk("torchvision/vit_b_16")
