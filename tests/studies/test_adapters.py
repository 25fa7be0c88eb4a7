"""Measurements of a trained MMDG++'s adapters: certainty under corruption, entropy of attention, changed copies."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from mmdg_lite.data.corruption import corrupt
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.runs.scores import Scores
from mmdg_lite.studies import adapters as adapter_study
from mmdg_lite.studies import quickstart


@pytest.fixture(scope="module")
def shipped():
    return quickstart.load(device="cpu")


@pytest.fixture(scope="module")
def faces(shipped):
    return render(shipped.target, 3, 0)


def test_token_certainty_is_the_mean_over_senders_without_the_class_token(shipped, faces):
    answer = shipped.answer(faces)
    for modality in MODALITIES:
        found = adapter_study.token_certainty(answer, modality)
        assert found.shape == (3, 64)
        np.testing.assert_allclose(found[1], answer.certainty(1)[modality.index, 1:])


def test_auc_of_each_face_by_hand():
    """Spoilt 0.1 and 0.4 against untouched 0.2 and 0.3: two of four pairs; all four; a tie counts half."""
    certainty = np.array([[0.1, 0.4, 0.2, 0.3, 0.0], [0.1, 0.2, 0.3, 0.4, 0.9], [0.5, 0.5, 0.5, 0.5, 0.0]])
    spoilt = np.tile([True, True, False, False, False], (3, 1))
    untouched = np.tile([False, False, True, True, False], (3, 1))  # the last patch counts as neither
    found = adapter_study._auc_per_face(certainty, spoilt, untouched)
    np.testing.assert_allclose(found, [0.5, 1, 0.5])


class TestCorruption:
    def test_rows_and_spoilt_faces(self, shipped, faces):
        table, spoilt = adapter_study.corruption_auc(shipped, faces, seed=0, kinds=["blank"])
        assert list(table["modality"]) == ["RGB", "depth", "infrared"]
        assert table[["auc", "auc_untouched"]].stack().between(0, 1).all() and (table["margin"] > 0).all()
        assert set(spoilt) == {(m.value, "blank") for m in MODALITIES}
        changed = spoilt["depth", "blank"]
        assert (changed.depth != faces.depth).any()
        np.testing.assert_array_equal(changed.rgb, faces.rgb)
        clean = adapter_study.token_certainty(shipped.answer(faces), Modality.DEPTH)
        after = adapter_study.token_certainty(shipped.answer(changed), Modality.DEPTH)
        assert table["change_inside"][1] != 0
        assert abs(table["change_inside"][1]) <= abs(after - clean).max()

    def test_images_that_are_blank_already_cannot_be_spoilt(self, shipped, faces):
        black = replace(faces, depth=np.zeros_like(faces.depth))
        table, _ = adapter_study.corruption_auc(shipped, black, seed=0, kinds=["blank"])
        row = table[table["modality"] == "depth"].iloc[0]
        assert row["auc"] == row["auc_untouched"]
        assert row["margin"] == row["change_inside"] == row["change_outside"] == 0

    def test_noise_is_not_the_stream_that_drew_the_rectangles(self, shipped, faces, monkeypatch):
        states = []

        def watched(faces, modality, regions, kind, rng):
            states.append(rng.bit_generator.state["state"])
            return corrupt(faces, modality, regions, kind, rng)

        monkeypatch.setattr(adapter_study, "corrupt", watched)
        adapter_study.corruption_auc(shipped, faces, seed=0, kinds=["noise"])
        states.append(np.random.default_rng(0).bit_generator.state["state"])
        assert all(a != b for a, b in combinations(states, 2)) and len(states) == 4

    def test_an_interval_needs_two_faces(self, shipped):
        with pytest.raises(ValueError, match="at least two faces, got 1"):
            adapter_study.corruption_auc(shipped, render("W", 1, 0), seed=0)


class TestPairedChange:
    LABELS = np.arange(200) % 2

    def scores(self, values, *, shift=0):
        ids = tuple(str(number + shift) for number in range(len(values)))
        return Scores(ids=ids, labels=self.LABELS, species=("",) * len(values), scores=np.asarray(values))

    def test_differences_by_hand(self, rng):
        """Turning a tenth of the live faces into rejected ones below all attacks: AUC falls by 10, HTER rises by 5."""
        good = np.where(self.LABELS == 1, 0.9, 0.1)
        bad = good.copy()
        bad[1:20:2] = 0.05
        found = adapter_study.paired_change(self.scores(bad), self.scores(good), threshold=0.5)
        assert found["AUC"][0] == pytest.approx(-10) and found["HTER"][0] == pytest.approx(5)
        for change, low, high in found.values():
            assert low < change < high
        assert found["AUC"][2] < 0 < found["HTER"][1]

    def test_equal_scores_differ_by_nothing_however_they_are_drawn(self, rng):
        values = self.scores(rng.random(200))
        assert adapter_study.paired_change(values, values, threshold=0.5) == {"AUC": (0, 0, 0), "HTER": (0, 0, 0)}

    def test_other_faces_are_refused(self, rng):
        values = rng.random(200)
        with pytest.raises(ValueError, match="the same faces"):
            adapter_study.paired_change(self.scores(values), self.scores(values, shift=1), threshold=0.5)


def silence(adapter, _modality):
    """Log-variance 0 for every token."""
    nn.init.zeros_(adapter.attention.log_variance_sender.weight)
    nn.init.zeros_(adapter.attention.log_variance_receiver.weight)


def test_changed_model_is_a_copy(shipped, faces):
    before = shipped.answer(faces).output.token_certainty
    changed = adapter_study.changed_model(shipped, silence).answer(faces).output.token_certainty
    for layer in changed:
        torch.testing.assert_close(layer, torch.full_like(layer, math.exp(-2.5)))
    again = shipped.answer(faces).output.token_certainty
    for first, second in zip(before, again, strict=True):
        torch.testing.assert_close(first, second)


def test_entropy_of_attention(shipped, faces):
    frame = adapter_study.attention_entropy(shipped, faces)
    layers = len(shipped.answer(faces).output.token_certainty)
    assert len(frame) == layers * 6 * 3 * 65
    assert frame["entropy"].between(0, math.log(65) + 1e-5).all()
    assert frame["entropy_unscaled"].between(0, math.log(65) + 1e-5).all()
    assert frame["entropy"].mean() > frame["entropy_unscaled"].mean()  # certainty below 1 flattens attention
    last = frame[(frame["layer"] == layers - 1) & (frame["receiver"] == "depth")]
    by_model = shipped.answer(faces).output.token_certainty[-1][:, Modality.DEPTH.index].mean()
    assert last["certainty"].mean() == pytest.approx(float(by_model), abs=1e-5)


def test_other_models_are_refused(shipped):
    other = replace(shipped, model=nn.Linear(1, 1))
    with pytest.raises(ValueError, match="studied in an MMDG\\+\\+, not in Linear"):
        adapter_study.changed_model(other, silence)
