"""Archives of runs: they read like the runs, hold no weights and no local paths, and give the runs back."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from mmdg_lite.__main__ import main
from mmdg_lite.configuration import write_json
from mmdg_lite.plots.training import find_runs
from mmdg_lite.results.archive import archive, compress_logs, protocol_tests, unpack
from mmdg_lite.results.collect import Lists, collect, collect_species, list_names, read_history, read_list
from mmdg_lite.results.one_run import test_lists as lists_of
from mmdg_lite.runs.config import configure
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.runs.packed import FILE


@pytest.fixture
def grid(make_run, tmp_path: Path):
    """A function that adds made-up runs to a grid's folder, as `reproduce` names them."""

    def make(
        *seeds: int,
        method: str = "fusion",
        protocol: str = "P1",
        setting: str = "CPS->W",
        targets: str = "W",
        samples: int = 60,
    ) -> Path:
        named = {"method": method, "protocol": protocol, "setting": setting}
        for seed in seeds:
            run = make_run(**named, targets=targets, seed=seed, missing=("", "depth"), samples=samples)
            config = configure("quick", **named, seed=seed, data={"cache": str(tmp_path / "cache")})
            write_json(run / "config.json", config)
            (run / "model.safetensors").write_bytes(b"weights")
            place = tmp_path / "grid" / config.name
            place.parent.mkdir(parents=True, exist_ok=True)
            run.rename(place)
        return tmp_path / "grid"

    return make


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def text_of(path: Path) -> str:
    """Everything that can be read in a file of an archive: what is compressed, names and attributes in HDF5."""
    if path.suffix != ".h5":
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    with h5py.File(path) as file:
        told = [str(dict(file.attrs))]
        file.visititems(lambda name, item: told.append(f"{name} {dict(item.attrs)} {_values(item)}"))
    return "\n".join(told)


def _values(item: h5py.Group | h5py.Dataset) -> list[object]:
    return np.ravel(item[()]).tolist() if isinstance(item, h5py.Dataset) else []


def without_places(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="run")


def test_an_archive_reads_like_the_runs(grid, tmp_path: Path) -> None:
    grid(0, 1)
    runs = grid(0, method="mmdg++", setting="CSW->P")
    kept = archive(runs, tmp_path / "archive")
    pd.testing.assert_frame_equal(without_places(collect(tmp_path / "archive")), without_places(collect(runs)))
    species = collect_species(tmp_path / "archive")
    pd.testing.assert_frame_equal(without_places(species), without_places(collect_species(runs)))
    assert set(find_runs(tmp_path / "archive")) == set(find_runs(runs)) != set()
    for run in kept:
        original = runs / run.relative_to(tmp_path / "archive")
        assert list_names(run) == ["test_W", "test_W_without_depth", "validation"]
        assert lists_of(run).keys() == lists_of(original).keys()
        assert np.array_equal(read_list(run, "test_W").scores, read_list(original, "test_W").scores)
        pd.testing.assert_frame_equal(read_history(run), read_history(original))


def test_an_archive_has_neither_weights_nor_local_paths(grid, tmp_path: Path) -> None:
    (kept,) = archive(grid(0), tmp_path / "archive")
    assert {path.name for path in kept.iterdir()} == {"config.json", "metrics.jsonl.gz", "result.json"}
    assert RunFolder(kept).read_config().data.cache is None
    assert not [name for name in files(tmp_path / "archive") if str(tmp_path) in text_of(tmp_path / "archive" / name)]
    assert kept.parents[1] / FILE in (tmp_path / "archive").rglob("*")


def test_unpacked_runs_are_those_that_were_archived(grid, tmp_path: Path) -> None:
    runs = grid(0, 1)
    archive(runs, tmp_path / "archive")
    unpack(tmp_path / "archive", tmp_path / "again")
    kept = {name: content for name, content in files(runs).items() if not name.endswith(("safetensors", "config.json"))}
    again = files(tmp_path / "again")
    assert {name: content for name, content in again.items() if not name.endswith("config.json")} == kept
    marked = tmp_path / "again/P1/CPS-to-W/fusion/seed0/metrics.jsonl"
    marked.write_text("mine\n")
    unpack(tmp_path / "archive", tmp_path / "again")
    assert marked.read_text() == "mine\n"  # what is there is left alone


def test_runs_are_added_to_an_archive_and_replaced_in_it(grid, tmp_path: Path) -> None:
    runs = grid(0, 1)
    archive(runs, tmp_path / "archive")
    at_once = files(tmp_path / "archive")
    again = tmp_path / "one by one"
    first = tmp_path / "first" / "P1/CPS-to-W/fusion"
    first.mkdir(parents=True)
    (runs / "P1/CPS-to-W/fusion/seed1").rename(first / "seed1")
    archive(tmp_path / "first", again)
    archive(runs, again)
    archive(runs, again)
    assert files(again) == at_once


def test_an_archive_takes_over_files_of_single_runs(grid, tmp_path: Path) -> None:
    runs = grid(0)
    archive(runs, tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "plain")
    archive(runs, tmp_path / "plain")
    assert not list((tmp_path / "plain").rglob("*.csv.gz"))
    pd.testing.assert_frame_equal(without_places(collect(tmp_path / "plain")), without_places(collect(runs)))


def test_an_archive_of_an_archive_is_the_same(grid, tmp_path: Path) -> None:
    archive(grid(0, 1), tmp_path / "archive")
    archive(tmp_path / "archive", tmp_path / "again")
    assert files(tmp_path / "again") == files(tmp_path / "archive")


def test_runs_on_other_samples_and_the_own_folder_are_refused(grid, tmp_path: Path) -> None:
    runs = grid(0)
    with pytest.raises(ValueError, match="archive into another folder"):
        archive(runs, runs)
    grid(1, samples=80)
    with pytest.raises(ValueError, match="scored different samples"):
        archive(runs, tmp_path / "archive")
    assert files(runs)
    assert not list((tmp_path / "archive").rglob("result.json"))


def test_the_command(grid, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["archive", str(grid(0)), str(tmp_path / "archive")]) == 0
    assert main(["archive", "--unpack", str(tmp_path / "archive"), str(tmp_path / "again")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"1 runs in {tmp_path / 'archive'}",
        f"1 runs in {tmp_path / 'again'}",
    ]


def test_rounded_scores_are_near_and_rounded_once(grid, tmp_path: Path) -> None:
    runs = grid(0, 1)
    for run in archive(runs, tmp_path / "archive", bits=10):
        kept = read_list(run, "test_W").scores
        exact = read_list(runs / run.relative_to(tmp_path / "archive"), "test_W").scores
        assert not np.array_equal(kept, exact)
        assert np.all(np.abs(kept - exact) <= exact * 2.0**-10)
    archive(tmp_path / "archive", tmp_path / "again", bits=10)
    assert files(tmp_path / "again") == files(tmp_path / "archive")


def test_only_what_the_protocol_asks_for(grid, tmp_path: Path) -> None:
    grid(0)
    runs = grid(0, protocol="P3", setting="CW->PS", targets="PS")
    exact = archive(runs, tmp_path / "archive", asked_for_only=True)
    lists = {run.relative_to(tmp_path / "archive").parts[0]: list_names(run) for run in exact}
    assert lists == {"P1": ["test_W", "test_W_without_depth", "validation"], "P3": ["test_P", "test_S", "validation"]}


def test_what_protocols_ask_for() -> None:
    def of(protocol: str, setting: str) -> list[str]:
        return sorted(protocol_tests(configure("quick", protocol=protocol, setting=setting, method="fusion")))

    missing = ["test_C_without_depth", "test_C_without_depth_infrared", "test_C_without_infrared"]
    p6 = [f"test_P6_d{number:02d}" for number in range(24)]
    p6 += [f"test_C_{name}_fault{severity}" for name in ("rgb", "depth", "infrared") for severity in range(1, 6)]
    assert of("P1", "PSW->C") == sorted(["test_C", *missing, "validation", *p6])
    assert of("P3", "PS->CW") == ["test_C", "test_W", "validation"]
    assert of("P4", "W without print") == ["test_W", "validation"]


def test_tests_at_random_are_asked_for_by_the_configuration() -> None:
    config = configure("quick", protocol="P2", method="fusion", data={"random_missing": True})
    every = {"test_W_without_depth", "test_W_without_infrared", "test_W_without_depth_infrared"}
    assert protocol_tests(config) == {"validation", *every, *(f"{name}_at_random" for name in every)}


def test_the_description_of_the_data_is_kept_and_given_back(grid, tmp_path: Path) -> None:
    runs = grid(0)
    original = RunFolder(runs / "P1/CPS-to-W/fusion/seed0").data
    write_json(original, {"digest": "abc"})
    (kept,) = archive(runs, tmp_path / "archive")
    (again,) = unpack(tmp_path / "archive", tmp_path / "again")
    assert RunFolder(kept).data.read_bytes() == RunFolder(again).data.read_bytes() == original.read_bytes()


def test_the_environment_is_kept_and_given_back(grid, tmp_path: Path) -> None:
    runs = grid(0)
    write_json(runs / "P1/CPS-to-W/fusion/seed0/environment.json", {"device": "cuda", "versions": {"torch": "2.11"}})
    (kept,) = archive(runs, tmp_path / "archive")
    (again,) = unpack(tmp_path / "archive", tmp_path / "again")
    original = RunFolder(runs / "P1/CPS-to-W/fusion/seed0").environment.read_bytes()
    assert RunFolder(kept).environment.read_bytes() == RunFolder(again).environment.read_bytes() == original


def test_weights_are_kept_of_the_named_methods_first_seed_alone(grid, tmp_path: Path) -> None:
    grid(0, 1)
    runs = grid(0, method="mmdg++")
    assert main(["archive", str(runs), str(tmp_path / "archive"), "--weights", "fusion"]) == 0
    weights = [
        path.relative_to(tmp_path / "archive").as_posix() for path in (tmp_path / "archive").rglob("*.safetensors")
    ]
    assert weights == ["P1/CPS-to-W/fusion/seed0/model.safetensors"]
    unpack(tmp_path / "archive", tmp_path / "again")
    assert (tmp_path / "again" / weights[0]).read_bytes() == (runs / weights[0]).read_bytes()


def test_lists_of_many_runs_are_those_of_each(grid, tmp_path: Path) -> None:
    grid(0, 1)
    runs = grid(0, method="mmdg++", setting="CSW->P")
    lists = Lists()
    for kept in archive(runs, tmp_path / "archive"):
        for place in (kept, runs / kept.relative_to(tmp_path / "archive")):
            for name in list_names(place):
                one, among = read_list(place, name), lists.read(place, name)
                assert one.ids == among.ids and one.species == among.species
                assert np.array_equal(one.scores, among.scores) and np.array_equal(one.labels, among.labels)
    with pytest.raises(ValueError, match="holds no scores on 'test_X'"):
        lists.read(kept, "test_X")


def test_logs_are_compressed_where_they_are_and_read_alike(grid, tmp_path: Path) -> None:
    runs = grid(0, 1)
    before = {run: read_history(run) for run in (runs / name for name in find_runs(runs))}
    assert main(["archive", "--compress-logs", str(runs)]) == 0
    assert len(list(runs.rglob("metrics.jsonl.gz"))) == 2 and not list(runs.rglob("metrics.jsonl"))
    for run, history in before.items():
        pd.testing.assert_frame_equal(read_history(run), history)
    assert compress_logs(runs) == []
    assert main(["archive", str(runs)]) == 1  # where to?
