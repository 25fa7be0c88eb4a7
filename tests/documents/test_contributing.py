"""What CONTRIBUTING.md asks of those who submit results is what the tables read."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mmdg_lite.data.protocols import PROTOCOLS
from mmdg_lite.results.collect import collect
from mmdg_lite.results.tables import table, tables
from mmdg_lite.runs.folder import read_run
from mmdg_lite.runs.scores import write_scores

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("## Results of another method")[2]
FORMAT = re.search(r"```\n(.*?)```", SECTION, flags=re.DOTALL)


def documented_config() -> dict:
    """The configuration as printed, with a profile where it has dots."""
    assert FORMAT is not None
    printed = re.search(r"\{\"profile\".*?\}\}", FORMAT[1], flags=re.DOTALL)
    assert printed is not None
    return json.loads(printed[0].replace("...", '"theirs"'))


def submit(folder: Path, setting: str, target: str, *, errors: int) -> None:
    """A run as documented: ten live and ten attacks, `errors` of the attacks with the score of a live face."""
    assert FORMAT is not None
    labels, species = [1] * 10 + [0] * 10, ["live"] * 10 + ["print"] * 5 + ["replay"] * 5
    ids = [f"{target}-{number}" for number in range(20)]
    scores = np.where(np.array(labels) == 1, 0.9, 0.1)
    names = re.findall(r"scores/(\w+)\.csv\.gz", FORMAT[1])
    assert names == ["validation", "test_W"]
    write_scores(folder / "scores" / "validation.csv.gz", ids, labels, species, scores)
    scores[10 : 10 + errors] = 0.95
    write_scores(folder / "scores" / f"test_{target}.csv.gz", ids, labels, species, scores)
    (folder / "config.json").write_text(json.dumps(documented_config() | {"setting": setting}))
    (folder / "result.json").write_text(json.dumps({"steps": 1, "seconds": 2.0}))


@pytest.fixture
def submitted(tmp_path: Path) -> Path:
    for errors, setting in enumerate(PROTOCOLS["P1"]):
        submit(tmp_path / "runs" / str(errors), setting, setting[-1], errors=errors)
    return tmp_path


def test_a_submitted_method_gets_its_row(submitted: Path) -> None:
    frame = collect(submitted / "runs")
    assert set(frame["method"]) == {"your_method"} and set(frame["data"]) == {"synthetic"}
    hter = frame.set_index("setting")["hter"]
    assert [round(value, 6) for value in hter[list(PROTOCOLS["P1"])]] == [0, 0.05, 0.1, 0.15]
    assert "your_method" in table(frame, "P1").text("markdown")
    files = tables(submitted / "runs", out=submitted / "tables")
    text = next(path for path in files if path.name == "P1.md").read_text(encoding="utf-8")
    assert re.search(r"your_method.*\b7\.50", text)


def test_the_names_without_modalities_are_read_as_such(submitted: Path) -> None:
    assert FORMAT is not None
    for ending in re.findall(r"_without_\w+", FORMAT[1]):
        full = submitted / "runs" / "0" / "scores" / "test_W.csv.gz"
        full.with_name(f"test_W{ending}.csv.gz").write_bytes(full.read_bytes())
    frame = collect(submitted / "runs")
    assert {"", "depth", "infrared", "depth_infrared"} == set(frame.loc[frame["target"] == "W", "missing"])


def test_a_configuration_without_a_documented_key_is_refused(submitted: Path) -> None:
    path = submitted / "runs" / "0" / "config.json"
    path.write_text(json.dumps({key: value for key, value in documented_config().items() if key != "seed"}))
    with pytest.raises(ValueError, match="lacks seed"):
        read_run(path.parent)


def test_every_guarantee_is_shown_by_a_test_that_exists() -> None:
    section = TEXT.partition("## Guarantees")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")][2:]
    named = [re.fullmatch(r"\|.+\|.+\| `(\S+\.py)::(test_\w+)` \|", row) for row in rows]
    assert len(rows) > 20 and all(named), rows
    for place in filter(None, named):
        path = Path(__file__).parents[1] / place[1]
        assert re.search(rf"^def {place[2]}\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE), place[0]
