"""Detectors of spoilt regions, and what the study makes of them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from einops import reduce, repeat

from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import Modality
from mmdg_lite.studies import uncertainty_study as study
from mmdg_lite.studies.audit.forward import specimen
from mmdg_lite.studies.regions import (
    auc_of_region,
    distance_to_clean,
    log_contrast,
    patch_certainty,
    spoil,
    uncertainty_of,
    unusual_contrast,
)


def test_auc_counts_whole_patches_only() -> None:
    """Doubts 3 and 1 inside, 2 and 0 outside: three of four pairs are in order. The cut patch would spoil it."""
    share = np.array([[1.0, 1.0, 0.0, 0.0, 0.5]])
    assert auc_of_region(np.array([[3.0, 1.0, 2.0, 0.0, 9.0]]), share) == 0.75


def test_certainty_by_side() -> None:
    """Entry (m, s) of the certainties is 10 m + s in the order of the senders; depth sends to RGB and to infrared."""
    pairs = 10 * torch.arange(3.0)[:, None] + torch.arange(2.0) + 1  # receivers x senders
    certainty = repeat(pairs, "m s -> b m s n", b=2, n=5)
    np.testing.assert_allclose(patch_certainty(certainty, Modality.DEPTH, "receiver"), 11.5)
    np.testing.assert_allclose(patch_certainty(certainty, Modality.DEPTH, "sender"), (1 + 22) / 2)
    certainty[:, 1, 1] = certainty[:, 2, 1] = 0  # no adapter between depth and infrared
    np.testing.assert_allclose(patch_certainty(certainty, Modality.DEPTH, "receiver"), 11)
    np.testing.assert_allclose(patch_certainty(certainty, Modality.DEPTH, "sender"), 1)


def test_regions_are_the_same_for_every_kind_and_nothing_else_changes() -> None:
    faces = render("W", 3, 1)
    a, b = (spoil(faces, Modality.DEPTH, kind, patch=8, seed=2) for kind in ("noise", "blank"))
    np.testing.assert_array_equal(a.share, b.share)
    np.testing.assert_array_equal(a.faces.rgb, faces.rgb)
    assert (a.faces.depth != b.faces.depth).any()


def test_log_contrast_by_hand() -> None:
    """A patch of values 0 and 2 in equal parts has the variance 1."""
    faces = render("W", 1, 1)
    faces.depth[:] = 0
    faces.depth[..., ::2] = 2
    np.testing.assert_allclose(log_contrast(faces, Modality.DEPTH, 8), np.log(2))


def test_baselines_find_noise() -> None:
    clean = [render(letter, 6, 1) for letter in "CPS"]
    spoilt = spoil(render("W", 6, 2), Modality.RGB, "noise", patch=8, seed=3)
    for detector in (distance_to_clean(clean), unusual_contrast(clean, 8)):
        (doubt,) = detector(spoilt.faces, Modality.RGB).values()
        assert auc_of_region(doubt, spoilt.share) > 0.75  # far from chance, with eighteen clean faces known


def test_doubt_of_a_model_has_a_value_per_patch() -> None:
    doubts = uncertainty_of(specimen())(render("W", 2, 1), Modality.INFRARED)
    assert set(doubts) == {"receiver", "sender"}
    keys = specimen()
    keys.suppression = "key"
    assert set(uncertainty_of(keys)(render("W", 2, 1), Modality.INFRARED)) == {"receiver"}
    assert all(values.shape == (2, 64) and (values >= 0).all() and (values < 1).all() for values in doubts.values())


def test_errors_against_confidence_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five faces at threshold 0.3; the third, an attack of score 0.4, is let through, the others are right."""
    scores, labels = torch.tensor([0.9, 0.6, 0.4, 0.2, 0.1]), np.array([1, 1, 0, 0, 0])
    sure = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])  # of class tokens: the error in the middle
    of_all = torch.tensor([0.2, 0.3, 0.1, 0.4, 0.5])  # of all tokens: the error last
    made = SimpleNamespace(
        score=lambda: scores, certainty=sure[:, None].expand(5, 3), token_certainty=(of_all[:, None, None, None],)
    )
    monkeypatch.setattr(study, "outputs", lambda model, faces: [made])
    monkeypatch.setattr(study, "render", lambda *asked: SimpleNamespace(label=labels))
    found = study.predictions(specimen(), 0.3)
    assert found["error_rate"] == pytest.approx(1 / 5)
    aurc = found["aurc"]  # errors among the first one, two, ... faces, averaged over the five
    assert aurc["certainty of class tokens"] == pytest.approx((1 / 3 + 1 / 4 + 1 / 5) / 5)
    assert aurc["certainty of all tokens"] == pytest.approx((1 / 5) / 5)
    assert found["rank_correlation"]["certainty of all tokens"] == pytest.approx(0.5**0.5)
    assert found["rank_correlation"]["certainty of class tokens"] == pytest.approx(0, abs=1e-9)


def test_a_detector_of_nothing_but_the_spoilt_share_finds_all_of_it() -> None:
    clean = render(study.TARGET, 2, study.SEED)

    def difference(faces: Any, modality: Modality) -> dict[str, np.ndarray]:
        changed = np.abs(faces[modality.value].astype(float) - clean[modality.value])
        return {"difference": reduce(changed, "n c (h p) (w q) -> n (h w)", "max", p=study.PATCH, q=study.PATCH)}

    found = study.localisation(difference, faces=2)["difference"]
    assert set(found) == {"rgb", "depth", "infrared"}
    assert found["rgb"]["noise"] == pytest.approx(1, abs=0.02)


def test_study_is_resumed_and_read(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    values = {
        "certainty": {"low": 0.1, "high": 0.2},
        "regions": {"receiver": {"rgb": {"noise": 0.6}}},
        "predictions": {"error_rate": 0.25, "ece": 0.1, "aurc": {"|p - 0.5|": 0.2}},
    }
    monkeypatch.setattr(study, "_baselines", lambda: calls.append("b") or {"regions": values["regions"]})
    monkeypatch.setattr(study, "_shipped", lambda: calls.append("s") or values)
    for _ in range(2):
        study.study(runs=tmp_path / "none", out=tmp_path, progress=False)
    assert calls == ["b", "s"]
    found = study.read(tmp_path)
    assert len(study.regions(found)) == 2
    assert study.errors(found).loc["shipped", "random order"] == 25
    with pytest.raises(FileNotFoundError, match="uncertainty-study"):
        study.read(tmp_path / "none")


def verdicts(*, auc: float, class_tokens: float, all_tokens: float) -> list[str]:
    summary = pd.DataFrame({"mean AUC": [0.9, auc, 0.5]}, index=["contrast", "a: sender", "a: receiver"])
    aurc = {"certainty of class tokens": [class_tokens, 40.0], "certainty of all tokens": [all_tokens, 40.0]}
    aurc |= {"random order": [30.0, 30.0], "|p - 0.5|": [20.0, 20.0]}
    return study.verdicts(summary, pd.DataFrame(aurc, index=["a", "b"]))


def test_verdicts_speak_of_both_certainties() -> None:
    regions, of_class, of_all, so = verdicts(auc=0.6, class_tokens=35.0, all_tokens=25.0)
    assert "from 0.50 to 0.60 (best: a: sender)" in regions and "contrast, has 0.90" in regions
    assert of_class.endswith("than a random order in 0 of 2 models, better than |p - 0.5| in 0.")
    assert of_all.endswith("than a random order in 1 of 2 models, better than |p - 0.5| in 0.")
    assert "none of the 2 certainties can find" in so and so.endswith("no better than |p - 0.5| in 2 of 2 models.")


def test_verdicts_change_with_the_numbers() -> None:
    *_, so = verdicts(auc=0.85, class_tokens=35.0, all_tokens=15.0)
    assert "1 of the 2 certainties can find" in so and so.endswith("no better than |p - 0.5| in 1 of 2 models.")
