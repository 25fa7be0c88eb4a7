"""The shipped model: made from a run, loaded, asked; clear words when it is not there."""

import json
import shlex

import numpy as np
import pytest
import torch

from mmdg_lite.commands.options import changed_settings
from mmdg_lite.configuration import ConfigurationError, read_json
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import Modality
from mmdg_lite.reproduce.doctor import shipped_weights
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.scores import read_scores
from mmdg_lite.runs.setting_data import load_domain
from mmdg_lite.studies import quickstart
from mmdg_lite.training.run import train

TINY = {"train_samples": 16, "validation_samples": 16, "test_samples": 24}
KINDS = ["live", "print", "live", "rigid_mask", "replay"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one step with a CLIP of random weights."""
    folder = tmp_path_factory.mktemp("quickstart")
    config = configure(
        "quick",
        data=TINY | {"cache": str(folder / "cache")},
        training={"steps": 1, "batch_size": 8, "validate_every": 1},
        model={"clip_checkpoint": "random"},
        device="cpu",
    )
    return train(config, folder / "run", progress=False)


@pytest.fixture(scope="module")
def shipped(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("assets")
    quickstart.ship(run, folder=folder)
    return folder


@pytest.fixture(scope="module")
def loaded(shipped):
    return quickstart.load(folder=shipped)


@pytest.fixture(scope="module")
def faces():
    return render("W", len(KINDS), 3, species=KINDS)


def test_shipped_files_are_small_checked_and_free_of_local_paths(run, shipped):
    sizes = [path.stat().st_size for path in shipped.iterdir()]
    assert sum(sizes) < 2_000_000
    assert shipped_weights(shipped).ok
    text = (shipped / quickstart.RECORD).read_text()
    assert str(run.parent) not in text
    assert json.loads(text)["config"]["data"]["cache"] is None


def test_the_loaded_model_repeats_the_scores_of_its_run(run, loaded):
    """The run's own test faces get the run's own scores, and the record its threshold."""
    config = RunFolder(run).read_config()
    recorded = read_scores(run / "scores" / "test_W.csv.gz")
    samples = load_domain(config.data, "W", "test").read(range(24))
    answer = loaded.answer(samples)
    np.testing.assert_allclose(answer.scores, recorded.scores, atol=1e-6)
    assert loaded.record.threshold == json.loads((run / "result.json").read_text())["threshold"]
    assert (loaded.target, loaded.sources) == ("W", ("C", "P", "S"))


def test_the_recorded_command_makes_the_same_configuration(run, loaded):
    words = shlex.split(loaded.record.command)
    options = {word: words[place + 1] for place, word in enumerate(words) if word.startswith("--") and word != "--set"}
    changes = changed_settings(words[words.index("--set") + 1 : words.index("--out")])
    again = configure(
        options["--profile"],
        protocol=options["--protocol"],
        setting=options["--setting"],
        method=options["--method"],
        seed=int(options["--seed"]),
        **changes,
    )
    assert again == loaded.record.config
    assert "cache" not in loaded.record.command


def test_table_decides_by_the_threshold(loaded, faces):
    answer = loaded.answer(faces)
    table = answer.table()
    assert list(table["face"]) == [kind.replace("_", " ") for kind in KINDS]
    assert list(table["decision"] == "live") == list(answer.scores >= loaded.record.threshold)
    assert list(table["right"]) == [
        (d == "live") == (k == "live") for d, k in zip(table["decision"], KINDS, strict=True)
    ]
    assert table["text depth"].between(0, 1).all()


def test_batches_do_not_change_an_answer(loaded, faces):
    many = render("W", 70, 5)
    together = loaded.answer(many)
    alone = loaded.answer(many.select([69]))
    np.testing.assert_allclose(together.scores[69], alone.scores[0], atol=1e-6)
    torch.testing.assert_close(together.output.token_certainty[-1][69], alone.output.token_certainty[-1][0])


def test_certainty_is_the_mean_over_senders_of_the_last_block(loaded, faces):
    answer = loaded.answer(faces)
    expected = answer.output.token_certainty[-1][3].numpy()  # 3 x 2 x N
    np.testing.assert_allclose(answer.certainty(3), (expected[:, 0] + expected[:, 1]) / 2, rtol=1e-6)


def test_missing_modalities_change_scores_and_have_no_maps(loaded, faces):
    partial = loaded.answer(faces, missing=(Modality.DEPTH,))
    assert (abs(partial.scores - loaded.answer(faces).scores) > 1e-3).any()
    assert bool(partial.output.modality_scores()[:, Modality.DEPTH.index].isnan().all())
    with pytest.raises(ValueError, match="all three modalities"):
        partial.certainty(0)


def test_absent_files_are_named_with_the_cure(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)quickstart\.safetensors is missing.*mmdg_lite train.*ship"):
        quickstart.load(folder=tmp_path)


def test_unfinished_runs_and_other_models_are_not_shipped(tmp_path, make_run):
    with pytest.raises(ValueError, match="no finished run"):
        quickstart.ship(tmp_path / "nothing", folder=tmp_path)
    config = configure(
        "quick",
        method="fusion",
        data=TINY,
        training={"steps": 1, "batch_size": 8, "validate_every": 1},
        model={"clip_checkpoint": "random"},
        device="cpu",
    )
    fusion = train(config, tmp_path / "fusion", progress=False)
    with pytest.raises(ValueError, match="only an MMDG"):
        quickstart.ship(fusion, folder=tmp_path / "assets")
    assert not (tmp_path / "assets").exists()


def test_a_damaged_record_is_refused(shipped, tmp_path):
    for path in shipped.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    values = json.loads((tmp_path / quickstart.RECORD).read_text())
    (tmp_path / quickstart.RECORD).write_text(json.dumps(values | {"treshold": 0.5}))
    with pytest.raises(ConfigurationError, match="unknown key 'treshold'"):
        quickstart.load(folder=tmp_path)


def test_the_package_carries_a_model_that_works():
    """What is shipped with the package: of a full run on three sources, better than chance on the fourth."""
    package = quickstart.load()
    record = read_json(quickstart.Record, quickstart.ASSETS / quickstart.RECORD)
    assert record.config.profile == "full" and record.config.method == "mmdg++"
    faces = render(package.target, 64, 11)
    metrics = package.answer(faces).as_scores().metrics(threshold=record.threshold)
    assert metrics.auc > 0.65
    assert sum(path.stat().st_size for path in quickstart.ASSETS.glob("quickstart.*")) < 2_000_000
