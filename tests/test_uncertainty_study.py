"""Detectors of spoilt regions, and what the study makes of them."""

import numpy as np
import pytest
import torch
from einops import repeat

from mmdg_lite import uncertainty_study as study
from mmdg_lite.audit_forward import specimen
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import Modality
from mmdg_lite.region_detection import (
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


def test_predictions_of_a_model() -> None:
    found = study.predictions(specimen(), 0.5, faces=24)
    assert 0 <= found["error_rate"] <= 1
    assert 0 <= found["ece"] <= 1
    assert set(found["aurc"]) == set(found["rank_correlation"])
    assert found["rank_correlation"]["|p - 0.5|"] == pytest.approx(found["rank_correlation"]["|p - threshold|"])


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
    with pytest.raises(FileNotFoundError, match="uncertainty_study"):
        study.read(tmp_path / "none")
