"""The data card's measurements: baselines learn, an interrupted run goes on, tables come from the numbers."""

import json

import numpy as np
import pytest

from data_prep import difficulty as module
from data_prep.difficulty_card import difficulty_figure, tables
from data_prep.small_cnn import cnn_scores, train_small_cnn
from mmdg_lite.data.synthetic import benchmark_split
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.results.marked_text import marks

START, END = marks()


def small_report() -> dict:
    cells = {}
    for seed, hter in ((1, 0.1), (2, 0.3)):
        for scope in ("inside", "across"):
            for target in "WS":
                for names in ("rgb", "depth", "infrared", "rgb+depth+infrared"):
                    cells[f"{seed}/cnn/{scope}/{target}/{names}"] = {
                        "hter": hter if names == "rgb" else 0.25,
                        "auc": 0.9,
                        "auc_per_species": {"print": 0.75 if target == "W" else 0.25},
                    }
    return {"settings": {"benchmark_version": "1"}, "cells": cells}


def test_the_cnn_learns_what_depth_shows_and_repeats():
    train, test = benchmark_split("S", "train", 192, 9), benchmark_split("S", "test", 96, 9)
    models = [train_small_cnn([train], (Modality.DEPTH,), seed=1, samples_seen=2048) for _ in range(2)]
    scores, again = (cnn_scores(model, test) for model in models)
    assert np.array_equal(scores, again)
    assert scores.min() >= 0 and scores.max() <= 1
    assert scores[test.label == 1].mean() > scores[test.label == 0].mean() + 0.3


def test_tables_hold_means_and_spreads_over_seeds():
    text = tables(small_report())
    assert "| RGB | 20.0 ± 10.0 | 20.0 ± 10.0 | 20.0 |" in text
    assert "| depth | 25.0 ± 0.0 | 25.0 ± 0.0 | 25.0 |" in text
    assert "| print | 50 | 50 | 50 | 50 |" in text
    assert "fresh seeds 1, 2" in text
    assert "at most 25.0 %" in text and "25.0 to 25.0 %, on average 25.0 %" in text
    assert "Best single modality when the domain is left out: W RGB, S RGB." in text


def test_figure_draws_the_numbers():
    figure = difficulty_figure(small_report())
    heights = sorted({round(patch.get_height(), 6) for patch in figure.axes[0].patches})
    assert heights == [20.0, 25.0]


def test_an_interrupted_run_goes_on_and_other_settings_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIZES", {"train": 64, "val": 32, "test": 32})
    monkeypatch.setattr(module, "PLAN", (("cnn", ("inside",), (MODALITIES[1:2],)),))
    monkeypatch.setattr(module, "DOMAINS", {"S": None, "W": None})
    module._faces.cache_clear()
    card = tmp_path / "card.md"
    card.write_text(f"{START}\n{END}\n", encoding="utf-8")
    path = module.difficulty(tmp_path, card, seeds=(3,), samples_seen=64)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert list(report["cells"]) == ["3/cnn/inside/S/depth", "3/cnn/inside/W/depth"]
    cell = report["cells"]["3/cnn/inside/S/depth"]
    assert 0 <= cell["hter"] <= 1 and cell["hter"] == pytest.approx((cell["far"] + cell["frr"]) / 2)
    report["cells"]["3/cnn/inside/S/depth"]["hter"] = 0.125
    path.write_text(json.dumps(report), encoding="utf-8")
    module.difficulty(tmp_path, card, seeds=(3,), samples_seen=64)
    assert "12.5 ± 0.0" in card.read_text(encoding="utf-8"), "a measured cell must not be measured again"
    with pytest.raises(ValueError, match="remove it to start anew"):
        module.difficulty(tmp_path, card, seeds=(3,), samples_seen=128)
    module._faces.cache_clear()


def test_the_committed_measurements_are_of_this_version():
    path = module.Path("figures/synthetic/difficulty.json")
    report = json.loads((module.Path(__file__).parents[2] / path).read_text(encoding="utf-8"))
    assert report["settings"]["benchmark_version"] == module.BENCHMARK_VERSION
    card = (module.Path(__file__).parents[2] / "data_prep" / "SYNTHETIC.md").read_text(encoding="utf-8")
    assert card.split(START)[1].split(END)[0].strip() == tables(report).strip()
