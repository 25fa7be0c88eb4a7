"""GLOSSARY.md: every name in code can be imported, every entry says where its term is found, formulas hold."""

import importlib
import re
from pathlib import Path

import pytest
import torch

from mmdg_lite import Modality
from mmdg_lite.metrics import evaluate_scores
from mmdg_lite.regrad.rule import regrad
from mmdg_lite.results.calibration import risk_coverage

TEXT = (Path(__file__).parents[2] / "GLOSSARY.md").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^- \*\*(.+?)\*\*(.*?)(?=^- |^#|\Z)", TEXT, flags=re.DOTALL | re.MULTILINE)
NAMES = sorted(set(re.findall(r"`(mmdg_lite[\w.]*)`", TEXT)))


def resolve(name: str) -> object:
    """The module, function, class, field or method of that dotted name."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            fields = getattr(found, "__dataclass_fields__", {})
            found = fields[part] if part in fields else getattr(found, part)
        return found
    raise ImportError(name)


@pytest.mark.parametrize("name", NAMES)
def test_names_can_be_imported(name):
    resolve(name)


def test_a_wrong_name_would_be_noticed():
    for name in ("mmdg_lite.metrics.Metrics.apcr", "mmdg_lite.no_such_module", "mmdg_lite.metrics.nothing"):
        with pytest.raises((AttributeError, ImportError)):
            resolve(name)


def test_every_entry_says_where_it_is_found():
    assert len(ENTRIES) > 50
    section = TEXT.split("## Error rates")[1].split("##")[0]
    lost = [term for term, text in ENTRIES if not re.search(r"`mmdg_lite|\]\(", text) and f"**{term}**" not in section]
    assert not lost


def test_no_term_stands_twice():
    terms = [term for term, _ in ENTRIES]
    assert len(set(terms)) == len(terms)


def test_the_formulas_are_those_of_the_metrics():
    """On faces where every rate is another number: 4 live, 3 prints, 2 masks, threshold 0.5."""
    scores = [0.9, 0.8, 0.5, 0.4, 0.6, 0.1, 0.2, 0.7, 0.3]
    species = ["live"] * 4 + ["print"] * 3 + ["mask"] * 2
    labels = [int(name == "live") for name in species]
    found = evaluate_scores(scores, labels, threshold=0.5, species=species)

    def accepted(name: str) -> float:
        own = [score for score, kind in zip(scores, species, strict=True) if kind == name]
        return sum(score >= 0.5 for score in own) / len(own)

    assert found.apcer_per_species == pytest.approx({"print": accepted("print"), "mask": accepted("mask")})
    assert found.apcer == pytest.approx(max(accepted("print"), accepted("mask"))) != pytest.approx(found.far)
    assert found.bpcer == found.frr == pytest.approx(1 - accepted("live"))
    assert found.acer == pytest.approx((found.apcer + found.bpcer) / 2)
    assert found.hter == pytest.approx((found.far + found.frr) / 2) != pytest.approx(found.acer)
    rates = [evaluate_scores(scores, labels, threshold=t, species=species) for t in [*scores, 1.1]]
    assert found.bpcer_at_apcer_5 == min(rate.bpcer for rate in rates if rate.apcer <= 0.05)


def test_the_formula_of_aurc_is_that_of_the_package():
    wrong, confidence = [0, 0, 1, 0, 1], [0.9, 0.8, 0.7, 0.6, 0.5]  # the surest first
    risk = [sum(wrong[:k]) / k for k in range(1, 6)]
    curve = risk_coverage([not e for e in wrong], confidence)
    assert curve.area == pytest.approx(sum(risk) / 5)
    assert list(curve.risk) == pytest.approx(risk) and list(curve.coverage) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])


def test_the_formula_of_regrad_is_that_of_the_package():
    chance = torch.Generator().manual_seed(0)
    g, U = torch.randn(3, 6, generator=chance), torch.rand(3, generator=chance)

    def T(part, base):
        along = (part @ base) / (base @ base) * base
        return along if part @ base > 0 else part - along

    others = g[1] + g[2]
    held_back = U[0] * T(g[0], others) + others
    slow = g[0] + U[1] * T(g[1], g[0]) + U[2] * T(g[2], g[0])
    for fastest, expected in ((Modality.RGB, held_back), (Modality.DEPTH, slow), (None, slow)):
        torch.testing.assert_close(regrad(list(g), Modality.RGB, fastest, list(U)), expected)
