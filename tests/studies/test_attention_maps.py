"""Attention that tokens receive: it adds up, and it is that of the adapters that the model used."""

import pytest
import torch

from mmdg_lite.attention import CertaintyAttention
from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.loader import make_batch
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.studies import quickstart
from mmdg_lite.studies.attention_maps import attention_on_tokens, receivers_mean, with_attention


@pytest.fixture(scope="module")
def seen():
    shipped = quickstart.load(device="cpu")
    samples = ArrayDataset.from_faces(render("W", 2, 0), domain="W", split="free").read([0, 1])
    batch = make_batch(samples, source_domains=shipped.sources)
    with torch.inference_mode():
        return shipped.model, batch, *with_attention(shipped.model, batch)


def test_weights_on_the_tokens_add_up_to_one_and_the_output_is_the_models_own(seen):
    model, batch, output, received = seen
    tokens = output.token_certainty[-1].shape[-1]
    assert received.shape == (2, 3, 2, tokens)
    torch.testing.assert_close(received.sum(dim=-1), torch.ones(2, 3, 2))
    with torch.inference_mode():
        torch.testing.assert_close(model(batch).score(), output.score())
    assert not model.clip.visual.transformer.resblocks[-1].ln_2._forward_hooks


def test_it_is_what_an_attention_of_one_head_averages_its_values_with():
    attention = CertaintyAttention(8, 1).eval()
    sender, receiver = torch.randn(2, 2, 5, 8, generator=torch.Generator().manual_seed(0))  # each 2 x 5 x 8
    with torch.no_grad():
        attention.out.weight.copy_(torch.eye(8))
        attention.out.bias.zero_()
        attended, _ = attention(sender, receiver)
        weights = attention_on_tokens(attention, sender, receiver)  # 2 x 5
        averaged = torch.einsum("bn,bnd->bd", weights, attention.value(receiver))
    torch.testing.assert_close(averaged, attended.mean(dim=1))


def test_means_over_the_senders_that_are_there():
    values = torch.arange(3 * 2 * 4.0).view(3, 2, 4)
    torch.testing.assert_close(receivers_mean(values, Modality.RGB, MODALITIES), torch.tensor([2.0, 3.0, 4.0, 5.0]))
    torch.testing.assert_close(
        receivers_mean(values, Modality.RGB, (Modality.RGB, Modality.INFRARED)), torch.tensor([4.0, 5.0, 6.0, 7.0])
    )
    assert receivers_mean(values, Modality.RGB, (Modality.RGB,)) is None
    assert receivers_mean(values, Modality.RGB, (Modality.DEPTH, Modality.INFRARED)) is None
