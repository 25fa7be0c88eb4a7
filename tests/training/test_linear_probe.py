"""The linear probe: converged, and its regularisation chosen on validation alone."""

import json

import numpy as np
import pytest

from mmdg_lite.models.clip import load_clip
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.setting_data import SettingData
from mmdg_lite.training import linear_probe
from mmdg_lite.training.evaluation import clip_features
from mmdg_lite.training.linear_probe import STRENGTHS, fit_probe
from tests.support.small_runs import small_config, small_data, small_dataset, small_run


@pytest.fixture
def fitted(monkeypatch, tmp_path):
    """Every probe that `fit_probe` fitted, with the features and labels it was fitted to."""
    probes, make = [], linear_probe.make_pipeline
    monkeypatch.setattr(linear_probe, "make_pipeline", lambda *steps: (probes.append(make(*steps)), probes[-1])[1])
    config = small_config("linear_probe")
    data = SettingData(
        train=small_dataset("CPS", "train", 40),
        validation=small_dataset("CPS", "val", 20),
        tests=small_data(config).tests,
    )
    scorer = fit_probe(config, RunFolder(tmp_path), data, progress=False)
    return probes, data, scorer, tmp_path


def gradient(probe, x, labels):
    """Gradient of C times the summed logistic loss plus half the squared weights, divided by C times the samples."""
    classifier, z = probe[-1], probe[0].transform(x)
    weights, bias = classifier.coef_[0], classifier.intercept_[0]
    error = 1 / (1 + np.exp(-(z @ weights + bias))) - labels
    of_weights = classifier.C * z.T @ error + weights
    return np.r_[of_weights, classifier.C * error.sum()] / (classifier.C * len(labels))


def test_every_probe_is_converged(fitted):
    probes, data, _, _ = fitted
    model = small_config().model
    clip = load_clip(model.clip, checkpoint=model.clip_checkpoint)
    x = clip_features(clip, data.train, device="cpu", progress=False)
    assert [probe[-1].C for probe in probes] == list(STRENGTHS)
    for probe in probes:
        assert np.abs(gradient(probe, x, data.train.labels)).max() < 1e-5
        assert probe[-1].n_iter_[0] < probe[-1].max_iter


def test_the_lowest_validation_loss_chooses_the_strength(fitted):
    _, data, scorer, folder = fitted
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["strength"] for line in lines] == list(STRENGTHS)
    lowest = min(lines, key=lambda line: line["loss"])
    assert scorer(data.validation, ()).cross_entropy == pytest.approx(lowest["loss"])
    assert len({line["loss"] for line in lines}) > 1


def test_tests_are_read_after_the_choice_only(fitted, monkeypatch):
    _, data, _, folder = fitted
    read = []
    for dataset in data.tests.values():
        monkeypatch.setattr(dataset, "read", lambda rows: read.append(rows))
    fit_probe(small_config("linear_probe"), RunFolder(folder), data, progress=False)
    assert not read


def test_a_run_of_the_probe_is_finished_like_any_other_and_repeats_itself(tmp_path):
    first, second = (small_run(tmp_path / name, "linear_probe") for name in ("a", "b"))
    assert RunFolder(first).finished
    names = sorted(path.name for path in (first / "scores").iterdir())
    assert len(names) == 5
    assert all((first / "scores" / name).read_bytes() == (second / "scores" / name).read_bytes() for name in names)
    assert (first / "metrics.jsonl").read_text() == (second / "metrics.jsonl").read_text()
