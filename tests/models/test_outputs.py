"""What follows from a model's output: scores, class targets, losses."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mmdg_lite.models.outputs import Losses, Output, class_targets, losses


def output(
    *,
    logits: Tensor | None = None,
    modality_logits: Tensor | None = None,
    certainty: Tensor | None = None,
    present: list[list[bool]],
) -> Output:
    size = len(present)
    return Output(
        logits=torch.zeros(size, 2) if logits is None else logits,
        modality_logits=torch.zeros(size, 3, 4) if modality_logits is None else modality_logits,
        features=torch.zeros(size, 3, 2),
        certainty=torch.zeros(size, 3) if certainty is None else certainty,
        token_certainty=(),
        present=torch.tensor(present),
    )


ALL = [True, True, True]


def test_score_is_the_probability_of_live() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, 5.0]])
    torch.testing.assert_close(output(logits=logits, present=[ALL, ALL]).score(), torch.tensor([0.75, 0.5]))


def test_text_score_is_live_against_the_closest_spoof_over_present_modalities() -> None:
    of_rgb, of_depth = [math.log(3), 0.0, -9.0, -1.0], [1.0, 0.0, 1.0, 0.5]  # margins ln 3 and 0
    modality_logits = torch.tensor([[of_rgb, of_depth, of_depth], [of_rgb, [99.0, 0, 0, 0], of_depth]])
    result = output(modality_logits=modality_logits, present=[ALL, [True, False, True]])
    expected = torch.tensor([[0.75, 0.5, 0.5], [0.75, math.nan, 0.5]])
    torch.testing.assert_close(result.modality_scores(), expected, equal_nan=True)
    torch.testing.assert_close(result.text_score(), torch.tensor([1.75 / 3, 0.625]))


def test_without_modality_classifiers_there_are_no_modality_scores_and_losses() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])
    result = replace(output(logits=logits, present=[ALL, [True, False, False]]), modality_logits=None)
    assert result.modality_scores().shape == (2, 3) and bool(result.modality_scores().isnan().all())
    assert result.text_score().shape == (2,) and bool(result.text_score().isnan().all())
    both = losses(result, {"label": torch.tensor([1, 0])})
    torch.testing.assert_close(both.total, torch.tensor(-(math.log(0.75) + math.log(0.5)) / 2))
    assert both.modalities == (None, None, None)


def test_losses_are_weighted_where_they_are_there() -> None:
    both = Losses(torch.tensor(5.0), (torch.tensor(2.0), None, torch.tensor(4.0)))
    assert both.weighted(0.5) == [torch.tensor(1.0), None, torch.tensor(2.0)]


def test_patch_certainty_is_the_last_block_s_without_the_class_token() -> None:
    blocks = tuple(torch.rand(2, 3, 2, 5, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
    result = output(present=[ALL, ALL])
    torch.testing.assert_close(replace(result, token_certainty=blocks).patch_certainty(), blocks[1][:, :, :, 1:5])
    with pytest.raises(ValueError, match="no adapters"):
        result.patch_certainty()


def test_mean_certainty_is_over_samples_that_have_the_modality() -> None:
    certainty = torch.tensor([[0.2, 0.4, math.nan], [0.6, math.nan, math.nan]])
    result = output(certainty=certainty, present=[[True, True, False], [True, False, False]])
    values = result.mean_certainty()
    assert [value.shape for value in values] == [torch.Size([])] * 3
    torch.testing.assert_close(torch.stack(values), torch.tensor([0.4, 0.4, 0.0]))


def test_class_targets() -> None:
    label, domain = torch.tensor([1, 0, 0, 1, 0]), torch.tensor([2, 0, 1, -1, 2])
    assert class_targets(label, domain, 4).tolist() == [0, 1, 2, 0, 3]
    assert class_targets(label, torch.full((5,), -1), 2).tolist() == [0, 1, 1, 0, 1]


@pytest.mark.parametrize("domain", [-1, -2, 3])
def test_spoofs_of_unknown_domains_have_no_class(domain: int) -> None:
    with pytest.raises(ValueError, match=rf"among the 3 source domains, got \[{domain}, 0\]"):
        class_targets(torch.tensor([0, 1]), torch.tensor([domain, 0]), 4)


def test_losses_by_hand() -> None:
    """Each modality's loss is the mean over the samples that have it; none has infrared."""
    logits = torch.tensor([[0.0, math.log(3)], [math.log(4), 0.0]])
    modality_logits = torch.zeros(2, 3, 4)
    modality_logits[0, 0, 0] = math.log(5)  # live, 5/8
    modality_logits[1, 0, 2] = math.log(2)  # spoof of domain 1, 2/5
    modality_logits[:, 1, 2] = math.log(7)
    result = losses(
        output(logits=logits, modality_logits=modality_logits, present=[[True, False, False], [True, True, False]]),
        {"label": torch.tensor([1, 0]), "domain": torch.tensor([0, 1])},
    )
    of_rgb, of_depth, of_infrared = result.modalities
    assert of_infrared is None
    assert of_rgb is not None
    assert of_depth is not None
    assert result.total.item() == pytest.approx(-(math.log(3 / 4) + math.log(4 / 5)) / 2)
    assert of_rgb.item() == pytest.approx(-(math.log(5 / 8) + math.log(2 / 5)) / 2)
    assert of_depth.item() == pytest.approx(-math.log(7 / 10))


def test_missing_modalities_get_no_gradient() -> None:
    modality_logits = torch.randn(2, 3, 4, requires_grad=True)
    result = losses(
        output(modality_logits=modality_logits, present=[[True, False, True], ALL]),
        {"label": torch.tensor([1, 0]), "domain": torch.tensor([0, 1])},
    )
    sum(result.modalities).backward()
    reached = modality_logits.grad.abs().sum(dim=-1) > 0
    assert reached.tolist() == [[True, False, True], [True, True, True]]


def test_losses_are_those_of_whole_batches_where_nothing_is_missing() -> None:
    modality_logits = torch.randn(6, 3, 4)
    label, domain = torch.tensor([1, 0, 1, 0, 0, 1]), torch.tensor([0, 1, 2, 2, 0, 1])
    result = losses(output(modality_logits=modality_logits, present=[ALL] * 6), {"label": label, "domain": domain})
    for m, loss in enumerate(result.modalities):
        expected = functional.cross_entropy(modality_logits[:, m], class_targets(label, domain, 4))
        torch.testing.assert_close(loss, expected)
