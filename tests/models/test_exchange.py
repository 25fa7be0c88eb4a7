"""The exchange between modalities in one batch: equal to six adapter calls, in values, gradients and randomness."""

import pytest
import torch

from mmdg_lite.adapters import CrossAdapter, UAdapterPP
from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.exchange import all_at_once, one_by_one
from tests.support.slow_adapters import randomised

BATCH, TOKENS, WIDTH = 4, 10, 6
EVERYTHING = torch.ones(BATCH, 3, dtype=torch.bool)
PARTLY = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 0]], dtype=torch.bool)


def block(kind, **options):
    """Three adapters in float64 with random weights everywhere."""
    adapters = torch.nn.ModuleList(randomised(kind(WIDTH, **options)) for _ in MODALITIES)
    return adapters


def tokens(generator):
    return torch.randn(3, BATCH, TOKENS, WIDTH, generator=generator, dtype=torch.float64).requires_grad_(True)


def noise_source(samples, dim):
    """Draws that depend on the pair alone."""

    def draw(receiver, sender):
        seeded = torch.Generator().manual_seed(10 * receiver.index + sender.index)
        shape = (samples, BATCH, TOKENS, dim)
        return tuple(torch.randn(shape, generator=seeded, dtype=torch.float64) for _ in range(2))

    return draw


def gradients(result, adapters, given):
    update, certainty = result
    weight = torch.linspace(-1, 1, update.numel(), dtype=update.dtype).view(update.shape)
    wanted = [given, *adapters.parameters()]
    return torch.autograd.grad((update * weight).sum() + 0 * certainty.sum(), wanted, allow_unused=True)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("present", [EVERYTHING, PARTLY], ids=["everything", "partly missing"])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (CrossAdapter, {"dim": 8, "heads": 8}),
        (CrossAdapter, {"dim": 4, "heads": 2, "theta": 0.0}),
        (UAdapterPP, {"dim": 8, "heads": 8, "samples": 5}),
        (UAdapterPP, {"dim": 4, "heads": 2, "samples": 5, "rate": 0.7, "theta": 1.0}),
    ],
)
def test_equals_six_adapter_calls(generator, kind, options, present, training):
    adapters, given = block(kind, **options).train(training), tokens(generator)
    noise = noise_source(options["samples"], options["dim"]) if kind is UAdapterPP else None
    selection = torch.rand(3, 2, BATCH, TOKENS, 1, generator=generator, dtype=torch.float64)
    plain = one_by_one(adapters, given, present, noise=noise, selection=selection)
    fast = all_at_once(adapters, given, present, noise=noise, selection=selection)
    for a, b in zip(plain, fast, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    for a, b in zip(gradients(plain, adapters, given), gradients(fast, adapters, given), strict=True):
        if a is None or b is None:  # what one path does not reach has a gradient of zero in the other
            assert not any(g is not None and g.any() for g in (a, b))
        else:
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_content_of_a_missing_modality_cannot_matter(generator):
    adapters, given = block(UAdapterPP, sampling="expected").eval(), tokens(generator).detach()
    spoiled = torch.where(PARTLY.T[..., None, None], given, torch.full_like(given, torch.nan))
    for a, b in zip(all_at_once(adapters, given, PARTLY), all_at_once(adapters, spoiled, PARTLY), strict=True):
        assert torch.equal(a, b)


def test_the_same_generator_state_gives_the_same_bits(generator):
    adapters, given = block(UAdapterPP).train(), tokens(generator).detach()
    runs = [all_at_once(adapters, given, EVERYTHING, generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4)]
    assert torch.equal(runs[0][0], runs[1][0])
    assert not torch.equal(runs[0][0], runs[2][0])


def test_each_pair_has_draws_of_its_own(generator):
    adapters = block(UAdapterPP, samples=4).train()
    same = torch.randn(1, BATCH, TOKENS, WIDTH, generator=generator, dtype=torch.float64).expand(3, -1, -1, -1)
    certainty = all_at_once(adapters, same, EVERYTHING, generator=generator)[1]  # 3 x 2 x B x N
    assert not torch.equal(certainty[:, 0], certainty[:, 1])
