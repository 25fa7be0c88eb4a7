"""Scoring: order, missing modalities, names of files, cross-entropy, the threshold that tests are judged at."""

import json
import math

import numpy as np
import pytest
import torch

from mmdg_lite.data.augmentation import DROP, uniforms
from mmdg_lite.data.dataset import ArrayDataset, RandomlyMissing
from mmdg_lite.metrics import evaluate_scores, threshold_at_eer
from mmdg_lite.modality import Modality
from mmdg_lite.models.builder import build
from mmdg_lite.models.clip import load_clip
from mmdg_lite.results.collect import TEST
from mmdg_lite.runs.scores import Scores, read_scores, score_file
from mmdg_lite.training.evaluation import (
    TEST_MISSING,
    autocast,
    clip_features,
    model_scorer,
    possible_tests,
    score,
    summarise,
)
from mmdg_lite.training.run import train
from tests.support.small_runs import CLIP, small_config, small_data, small_dataset, small_run

CPU = torch.device("cpu")


def test_scores_come_in_the_data_sets_order_whatever_the_batch():
    dataset = small_dataset("CW", "test")

    def brightness(batch):
        return batch["depth"].mean(dim=(1, 2, 3)).sigmoid()

    together = score(brightness, dataset, source_domains=("C",), batch_size=16, progress=False)
    apart = score(brightness, dataset, source_domains=("C",), batch_size=3, progress=False)
    assert together.ids == apart.ids == tuple(dataset.ids) and together.species == tuple(dataset.species)
    assert np.array_equal(together.labels, dataset.labels)
    assert together.scores == pytest.approx(apart.scores)
    assert together.scores[together.labels == 1].mean() > together.scores[together.labels == 0].mean()


@pytest.mark.parametrize("missing", TEST_MISSING)
def test_missing_modalities_are_taken_away_from_every_sample(missing):
    seen = []

    def scorer(batch):
        seen.append(batch)
        return torch.full((len(batch["label"]),), 0.5)

    score(scorer, small_dataset("W", "test"), source_domains=("C",), missing=missing, progress=False)
    [batch] = seen
    for modality in Modality:
        gone = modality in missing
        assert bool((batch["present"][:, modality.index] == (not gone)).all())
        assert bool((batch[modality.value] == 0).all()) == gone


def test_the_four_variants_of_a_test_have_names_that_tables_read():
    names = [score_file("W", missing) for missing in TEST_MISSING]
    assert names == [
        "test_W.csv.gz",
        "test_W_without_depth.csv.gz",
        "test_W_without_infrared.csv.gz",
        "test_W_without_depth_infrared.csv.gz",
    ]
    matches = [TEST.fullmatch(name.removesuffix(".csv.gz")) for name in names]
    assert [match["missing"] for match in matches] == [None, "depth", "infrared", "depth_infrared"]
    assert score_file(None) == "validation.csv.gz"


def scored(labels, scores):
    species = ["live" if label else "print" for label in labels]
    return Scores(
        ids=tuple(f"{i}" for i in range(len(labels))),
        labels=np.array(labels),
        species=tuple(species),
        scores=np.array(scores, dtype=float),
    )


def test_cross_entropy_is_the_mean_of_minus_log_of_the_true_class():
    expected = -(math.log(0.9) + math.log(1 - 0.2) + math.log(0.5)) / 3
    assert scored([1, 0, 1], [0.9, 0.2, 0.5]).cross_entropy == pytest.approx(expected)
    assert math.isfinite(scored([1, 0], [0.0, 1.0]).cross_entropy)


def test_the_threshold_comes_from_validation_and_judges_every_test():
    validation = scored([1, 1, 0, 0], [0.8, 0.7, 0.3, 0.2])
    test = scored([1, 1, 0, 0], [0.2, 0.1, 0.15, 0.05])  # separable, but at another threshold
    summary = summarise(validation, {"test_W": test})
    assert summary["threshold"] == threshold_at_eer(validation.scores, validation.labels)
    assert summary["metrics"]["test_W"]["hter"] == 0.5
    assert summary["metrics"]["validation"]["hter"] == 0
    assert summary["metrics"]["test_W"]["threshold"] == summary["threshold"]


def test_a_finished_run_holds_every_score_with_its_id_and_the_metrics_that_follow_from_them(tmp_path):
    folder = small_run(tmp_path / "run", "fusion", protocol="P3", setting="CW->PS")
    data = small_data(small_config("fusion", protocol="P3", setting="CW->PS"))
    expected = {"validation.csv.gz": data.validation}
    expected |= {score_file(letter, missing): data.tests[letter] for letter in "PS" for missing in TEST_MISSING}
    assert {path.name for path in (folder / "scores").iterdir()} == set(expected)
    result = json.loads((folder / "result.json").read_text())
    validation = read_scores(folder / "scores" / "validation.csv.gz")
    assert result["threshold"] == pytest.approx(threshold_at_eer(validation.scores, validation.labels))
    for name, dataset in expected.items():
        stored = read_scores(folder / "scores" / name)
        assert dict(zip(stored.ids, stored.species, strict=True)) == dict(
            zip(dataset.ids, dataset.species, strict=True)
        )
        again = evaluate_scores(stored.scores, stored.labels, threshold=result["threshold"], species=stored.species)
        assert result["metrics"][name.removesuffix(".csv.gz")]["hter"] == again.hter
    measured = {"seconds", "memory_mib", "device_memory_mib"}
    assert set(result) == {"metrics", "threshold", "steps", "best_step", "skipped_steps"} | measured


def test_a_model_scores_without_noise_and_without_gradients():
    config = small_config("mmdg++")
    model, data = build(config.model), small_data(config)
    for parameter in model.adapters.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    scorer = model_scorer(model.train(), CPU)
    first, second = (
        score(scorer, data.validation, source_domains=("C", "P", "S"), progress=False).scores for _ in range(2)
    )
    assert np.array_equal(first, second)
    assert not model.training and all(parameter.grad is None for parameter in model.parameters())


def test_features_have_unit_length_per_modality_and_are_zero_where_it_is_missing():
    clip = load_clip(small_config().model.clip, checkpoint="random")
    assert small_config().model.clip == CLIP
    dataset = small_dataset("W", "test")
    whole = clip_features(clip, dataset, device=CPU, progress=False).reshape(8, 3, 12)
    assert np.linalg.norm(whole, axis=-1) == pytest.approx(1)
    without = clip_features(clip, dataset, device=CPU, missing=(Modality.DEPTH,), progress=False).reshape(8, 3, 12)
    assert not without[:, 1].any()
    assert without[:, [0, 2]] == pytest.approx(whole[:, [0, 2]])


def test_autocast_follows_the_precision():
    x = torch.ones(2, 2)
    with autocast(CPU, "auto"):
        assert (x @ x).dtype == torch.float32
    with autocast(CPU, "bfloat16"):
        assert (x @ x).dtype == torch.bfloat16


def without(dataset, rows, modalities):
    """The data set, with some modalities of some samples gone."""
    samples = dataset.read(range(len(dataset)))
    for modality in modalities:
        samples.present[rows, modality.index] = False
    return ArrayDataset(samples)


def test_a_test_is_on_the_samples_that_have_something_left():
    dataset = without(small_dataset("W", "test"), [2, 5], [Modality.RGB])
    tests = dict(possible_tests(dataset))
    assert list(tests) == list(TEST_MISSING)
    assert [len(tests[missing]) for missing in TEST_MISSING] == [8, 8, 8, 6]
    assert tests[Modality.DEPTH, Modality.INFRARED].ids == [dataset.ids[row] for row in (0, 1, 3, 4, 6, 7)]


def test_a_test_that_would_have_one_class_left_is_passed_over():
    dataset = small_dataset("W", "test")
    live = np.flatnonzero(dataset.labels == 1)
    assert list(dict(possible_tests(without(dataset, live, [Modality.RGB])))) == list(TEST_MISSING)[:3]


def test_a_run_on_samples_without_rgb_comes_to_its_end(tmp_path):
    config = small_config("fusion", training={"steps": 2})
    data = small_data(config)
    data.tests["W"] = without(data.tests["W"], [0], [Modality.RGB])
    metrics = json.loads((train(config, tmp_path, progress=False, data=data) / "result.json").read_text())["metrics"]
    tested = {name: values["live"] + values["spoof"] for name, values in metrics.items() if name != "validation"}
    assert tested == {
        "test_W": 8,
        "test_W_without_depth": 8,
        "test_W_without_infrared": 8,
        "test_W_without_depth_infrared": 7,
    }


def test_modalities_missing_at_random_are_missing_at_the_rate_and_the_same_for_everyone():
    whole = small_dataset("W", "test", 400)
    both = (Modality.DEPTH, Modality.INFRARED)
    thinned = RandomlyMissing(whole, both, rate=0.7, seed=3)
    chance = uniforms(whole.keys, seed=3, epoch=0)[:, DROP : DROP + 3]
    assert np.array_equal(thinned.present, (chance >= 0.7) | [True, False, False])
    assert thinned.present.mean(axis=0) == pytest.approx([1, 0.3, 0.3], abs=0.07)
    alone = RandomlyMissing(whole, (Modality.DEPTH,), rate=0.7, seed=3)
    assert np.array_equal(alone.present[:, 1], thinned.present[:, 1]) and alone.present[:, 2].all()
    rows = [17, 4, 399]
    read, plain = thinned.read(rows), whole.read(rows)
    assert np.array_equal(read.present, thinned.present[rows]) and read.ids == plain.ids
    for modality in Modality:
        kept = read.present[:, modality.index]
        images, originals = getattr(read, modality.value), getattr(plain, modality.value)
        assert not images[~kept].any() and np.array_equal(images[kept], originals[kept])
    with pytest.raises(ValueError, match="no other modality than depth"):
        RandomlyMissing(without(whole, [0], [Modality.RGB, Modality.INFRARED]), (Modality.DEPTH,), rate=0.7, seed=3)


def test_a_run_is_tested_with_modalities_missing_at_random_if_asked(tmp_path):
    once = {"steps": 1}
    plain = small_run(tmp_path / "plain", "fusion", training=once)
    folder = small_run(tmp_path / "random", "fusion", training=once, data={"random_missing": True})
    extra = {score_file("W", missing, at_random=True) for missing in TEST_MISSING if missing}
    names = {path.name for path in (plain / "scores").iterdir()}
    assert {path.name for path in (folder / "scores").iterdir()} == names | extra
    for name in names:
        assert (plain / "scores" / name).read_bytes() == (folder / "scores" / name).read_bytes()
    full, never, mixed = (
        read_scores(folder / "scores" / name).scores
        for name in ("test_W.csv.gz", "test_W_without_depth.csv.gz", "test_W_without_depth_at_random.csv.gz")
    )
    as_one = np.isclose(mixed, full) | np.isclose(mixed, never)
    assert as_one.all() and not np.allclose(mixed, full) and not np.allclose(mixed, never)
    assert "test_W_without_depth_at_random" in json.loads((folder / "result.json").read_text())["metrics"]


def test_inverted_validation_labels_are_warned_of():
    labels = np.arange(60) % 2
    scores = np.where(labels == 1, 0.2, 0.8) + 0.001 * np.arange(60)
    upside_down = Scores(
        ids=tuple(f"{n:02}" for n in range(60)),
        labels=labels,
        species=tuple("live" if y else "print" for y in labels),
        scores=scores,
    )
    with pytest.warns(UserWarning, match=r"validation AUC is 0\.000, far below 0\.5: are the labels inverted"):
        summarise(upside_down, {})
