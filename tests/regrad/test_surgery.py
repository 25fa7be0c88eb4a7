"""TorchJD's rules: weights by hand on one Jacobian, and TorchJD's own aggregators as reference."""

import builtins
import math
from typing import Any

import pytest
import torch

from mmdg_lite.regrad.surgery import AGGREGATORS, RADIUS, aggregator_weights, check_installed
from tests.support.rules import rule_parameters

JACOBIAN = torch.tensor([[2.0, 0.0], [3.0, 4.0], [-3.0, 4.0]], dtype=torch.float64)
GRAM = JACOBIAN @ JACOBIAN.T
every_aggregator = pytest.mark.parametrize("rule", rule_parameters(AGGREGATORS))
# 1 and 3 conflict. Shortest combination: on the line from 1 to 3, at 10/41. CAGrad: the direction of 1 alone is worst
# off, so 1/3 + c |mean| / |g_1|, with the mean (2, 8) / 3. Surgery: 6/25 of 3 goes to 1, and 6/4 of 1 to 3.
PINNED = {
    "pcgrad": [2.5, 1.0, 1.24],
    "upgrad": [2.5, 1.0, 1.24],
    "mgda": [3 * 31 / 41, 0.0, 3 * 10 / 41],
    "cagrad": [1 + RADIUS * math.sqrt(68) / 2, 1.0, 1.0],
}


@every_aggregator
def test_by_hand(rule: Any) -> None:
    """To the accuracy of TorchJD's solvers."""
    weights = aggregator_weights(GRAM, rule)
    torch.testing.assert_close(weights, torch.tensor(PINNED[rule], dtype=torch.float64), atol=0.02, rtol=0)


@every_aggregator
def test_torchjd_s_aggregator_is_the_reference(rule: Any) -> None:
    from torchjd import aggregation

    chance = torch.Generator().manual_seed(0)
    for seed in range(5):
        jacobian = torch.randn(3, 7, generator=chance, dtype=torch.float64)
        jacobian = jacobian / jacobian.norm() * math.sqrt(3)  # the scale that the solvers get to see
        reference = {
            "pcgrad": aggregation.PCGrad,
            "mgda": aggregation.MGDA,
            "cagrad": lambda: aggregation.CAGrad(c=RADIUS),
            "upgrad": aggregation.UPGrad,
        }[rule]()
        torch.manual_seed(seed)
        expected = reference(jacobian) * (1 if rule == "pcgrad" else 3)
        actual = aggregator_weights(jacobian @ jacobian.T, rule, seed=seed) @ jacobian
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@every_aggregator
def test_gradients_at_right_angles(rule: Any) -> None:
    """Of equal norm: the plain sum; CAGrad goes beyond it by c."""
    weights = aggregator_weights(4 * torch.eye(3, dtype=torch.float64), rule)
    expected = 1 + RADIUS if rule == "cagrad" else 1.0
    torch.testing.assert_close(weights, torch.full_like(weights, expected), atol=2e-3, rtol=0)


@pytest.mark.parametrize("rule", rule_parameters(("mgda", "upgrad")))
def test_no_loss_is_made_worse(rule: Any) -> None:
    """To first order, for any gradients: what MGDA and UPGrad promise, and a plain sum does not."""
    chance = torch.Generator().manual_seed(3)
    worse = 0
    for _ in range(50):
        jacobian = torch.randn(3, 4, generator=chance, dtype=torch.float64)
        gram = jacobian @ jacobian.T
        worse += bool((gram.sum(dim=0) < 0).any())
        products = gram @ aggregator_weights(gram, rule)
        assert float(products.min()) > -0.02 * float(gram.diagonal().max())
    assert worse > 5


@every_aggregator
def test_rows_of_zeros_are_left_out(rule: Any) -> None:
    gram = torch.zeros(3, 3, dtype=torch.float64)
    gram[1:, 1:] = torch.tensor([[4.0, -2.0], [-2.0, 4.0]])
    weights = aggregator_weights(gram, rule)
    assert float(weights[0]) == 1
    torch.testing.assert_close(weights[1], weights[2], atol=1e-3, rtol=0)
    for diagonal in ([0.0, 0.0, 0.0], [0.0, 5.0, 0.0]):
        assert aggregator_weights(torch.diag(torch.tensor(diagonal)), rule).tolist() == [1, 1, 1]


def test_pcgrad_s_order_comes_from_the_seed() -> None:
    """Three gradients that all conflict: which other comes first makes a difference."""
    jacobian = torch.tensor([[1.0, 0.0], [-0.5, 1.0], [-0.6, -0.9]], dtype=torch.float64)
    found = [aggregator_weights(jacobian @ jacobian.T, "pcgrad", seed=seed).tolist() for seed in range(12)]
    assert len({tuple(weights) for weights in found}) > 1
    assert found[3] == aggregator_weights(jacobian @ jacobian.T, "pcgrad", seed=3).tolist()


def test_what_is_not_installed_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    find = builtins.__import__

    def without_torchjd(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("torchjd"):
            raise ImportError("No module named 'torchjd'")
        return find(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_torchjd)
    for rule in AGGREGATORS:
        with pytest.raises(ImportError, match=rf"'{rule}' is TorchJD's.*pip install \"torchjd\["):
            check_installed(rule)
    for rule in ("regrad", "ogm_ge"):
        check_installed(rule)


def test_faults() -> None:
    with pytest.raises(ValueError, match="unknown aggregator 'sum'; choose one of pcgrad, mgda, cagrad, upgrad"):
        aggregator_weights(GRAM, "sum")  # type: ignore[arg-type]
