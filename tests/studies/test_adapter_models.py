"""Changed copies of the shipped model, as notebook 03 compares them: what a change does to attention and features."""

import math

import pytest
import torch
from torch import nn

from mmdg_lite.data.synthetic import render
from mmdg_lite.studies import quickstart
from mmdg_lite.studies.adapters import attention_entropy, changed_model


@pytest.fixture(scope="module")
def shipped():
    return quickstart.load(device="cpu")


@pytest.fixture(scope="module")
def faces(shipped):
    return render(shipped.target, 3, 0)


def with_rate(shipped, rate):
    return changed_model(shipped, lambda adapter, _: setattr(adapter.attention, "rate", rate))


def first_block(frame):
    """Rows of the block whose tokens no adapter has changed yet."""
    return frame[frame["layer"] == 0]


def test_rate_zero_is_full_certainty(shipped, faces):
    frame = attention_entropy(with_rate(shipped, 0.0), faces)
    assert (frame["certainty"] == 1).all()
    assert (frame["entropy"] == frame["entropy_unscaled"]).all()


def test_a_small_rate_takes_the_same_queries_nearly_unscaled(shipped, faces):
    as_trained, small = (first_block(attention_entropy(with_rate(shipped, rate), faces)) for rate in (2.5, 0.001))
    assert as_trained["certainty"].max() < 0.5 < 0.99 < small["certainty"].min()
    same = (as_trained["entropy_unscaled"] - small["entropy_unscaled"]).abs() < 1e-4
    assert same.mean() > 0.999
    receivers = first_block(attention_entropy(with_rate(shipped, 0.0), faces))
    assert ((as_trained["entropy_unscaled"] - receivers["entropy_unscaled"]).abs() > 1e-4).mean() > 0.1


def test_equal_keys_give_uniform_attention(shipped, faces):
    frame = attention_entropy(changed_model(shipped, lambda a, _: nn.init.zeros_(a.attention.key.weight)), faces)
    for column in ("entropy", "entropy_unscaled"):
        assert frame[column].to_numpy() == pytest.approx(math.log(65), abs=1e-5)


def test_without_updates_no_modality_hears_of_another(shipped, faces):
    def no_update(adapter, _):
        nn.init.zeros_(adapter.up.weight)
        nn.init.zeros_(adapter.up.bias)

    other = render(shipped.target, 3, 1)
    mixed = type(faces)(**{**vars(faces), "depth": other.depth})
    silent = changed_model(shipped, no_update)
    for model, equal in ((silent, True), (shipped, False)):
        before, after = (model.answer(f).output.features[:, 0] for f in (faces, mixed))  # RGB's
        assert torch.allclose(before, after, atol=1e-5) is equal
