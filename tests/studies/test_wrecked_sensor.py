"""Certainty before and after a sensor is wrecked: the means of the model's own answers."""

import pytest

from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import Modality
from mmdg_lite.studies import quickstart
from mmdg_lite.studies.modality_balance import WORST
from mmdg_lite.studies.wrecked_sensor import certainty_when_wrecked


def test_means_are_those_of_the_answers():
    shipped = quickstart.load(device="cpu")
    table = certainty_when_wrecked(shipped, "W", Modality.DEPTH, faces=2, seed=1).set_index("receiver")
    for column, knobs in (("own", {}), ("wrecked", WORST[Modality.DEPTH])):
        answer = shipped.answer(render("W", 2, 1, knobs=knobs))
        expected = sum(answer.certainty(face)[1, 1:].mean() for face in range(2)) / 2
        assert table.loc["depth", column] == pytest.approx(expected, abs=1e-6)
    assert set(table["rises"]) <= {0.0, 0.5, 1.0}
