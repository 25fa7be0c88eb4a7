"""Logs and score files of run folders that come from anyone, as tables and figures read them."""

import gzip
import json

import pytest

from mmdg_lite.results.collect import collect, read_history, read_list
from mmdg_lite.results.one_run import validations

TRAIN = {"event": "train", "step": 5, "loss_total": 0.5, "loss_rgb": 0.4, "fastest": "rgb", "conflict_rate": None}
LOOK = {"event": "validation", "step": 5, "eer": 0.25, "loss": 0.7, "improved": True}


def logged(folder, *lines, packed=False):
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    if packed:
        (folder / "metrics.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (folder / "metrics.jsonl").write_text(text)
    return folder


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize(
    "line, reason",
    [
        (TRAIN | {"step": "5"}, "'step' is '5'"),
        (TRAIN | {"step": 5.0}, "'step' is '5.0'"),
        (TRAIN | {"step": -1}, "'step' is '-1'"),
        (TRAIN | {"loss_rgb": "0.4"}, "'loss_rgb' is '0.4'"),
        (TRAIN | {"loss_rgb": [0.4]}, "'loss_rgb'"),
        (TRAIN | {"loss_total": True}, "'loss_total' is 'True'"),
        (TRAIN | {"fastest": "x"}, "'fastest' is 'x'"),
        (LOOK | {"eer": None}, "'eer' is 'None'"),
        ({"event": "validation", "step": 5, "eer": 0.25}, "'loss' is 'None'"),
        (LOOK | {"improved": 1}, "'improved' is '1'"),
        ({"step": 5}, "'event' is 'None'"),
        ([1], "a list, no object"),
        ('{"event": "train", "step": 5, "loss_rgb": 1e400}\n', "no finite number"),
        ('{"event": "train", "step": 5, "loss_rgb": NaN}\n', "no finite number"),
    ],
)
def test_a_line_that_no_training_writes_is_named(tmp_path, line, reason, packed):
    folder = logged(tmp_path, TRAIN, line, LOOK, packed=packed)
    with pytest.raises(ValueError, match=rf"metrics\.jsonl, line 2: .*{reason}"):
        read_history(folder)


def test_what_trainings_write_is_read(tmp_path):
    folder = logged(tmp_path, TRAIN, LOOK, {"event": "skipped", "step": 6, "fault": "a loss", "ids": ["a"]}, '{"ev')
    assert read_history(folder).to_dict("records") == [TRAIN]
    assert read_history(folder, event="validation").to_dict("records") == [LOOK]


def test_a_log_without_validations_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"metrics\.jsonl holds no validation"):
        validations(logged(tmp_path, TRAIN))


@pytest.mark.parametrize("name, file", [("validation", "validation.csv.gz"), ("test_W", "test_W.csv.gz")])
@pytest.mark.parametrize("label, kinds", [("1", "live faces alone"), ("0", "attacks alone"), (None, "no samples")])
def test_scores_of_one_class_are_named(make_run, name, file, label, kinds):
    run = make_run()
    path = run / "scores" / file
    head, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    kept = [row for row in rows if row.split(",")[1] == label]
    path.write_bytes(gzip.compress("\n".join([head, *kept, ""]).encode()))
    with pytest.raises(ValueError, match=rf"{name}\.csv\.gz: {name} holds {kinds}"):
        read_list(run, name)
    with pytest.raises(ValueError, match=rf"{name}\.csv\.gz: {name} holds {kinds}"):
        collect(run.parent)
