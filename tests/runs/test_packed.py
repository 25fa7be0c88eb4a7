"""Scores of many runs in one file: exactly what went in comes out, damage is told, equal scores make equal files."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdg_lite.runs.packed import FILE, pack, packed_names, read_packed, read_packed_list, rounded
from mmdg_lite.runs.scores import Scores, read_scores, write_scores

NUMBER = 40


def some(seed: int, *, width: int = 32, prefix: str = "é") -> Scores:
    chance = np.random.default_rng(seed)
    labels = np.arange(NUMBER) % 2
    values = chance.random(NUMBER).astype(f"float{width}").astype(np.float64)
    return Scores(
        ids=tuple(f"{prefix}{number:03}" for number in range(NUMBER)),
        labels=labels.astype(np.int64),
        species=tuple(
            "live" if label else ("print", "fake_head")[number % 4 // 2] for number, label in enumerate(labels)
        ),
        scores=values,
    )


def through_csv(scores: Scores, folder: Path) -> Scores:
    path = folder / "scores.csv.gz"
    write_scores(path, scores.ids, scores.labels, scores.species, scores.scores)
    return read_scores(path)


def assert_equal(one: Scores, other: Scores) -> None:
    assert one.ids == other.ids and one.species == other.species
    assert one.labels.dtype == other.labels.dtype and np.array_equal(one.labels, other.labels)
    assert one.scores.dtype == np.float64 and np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("width", [32, 64])
def test_what_goes_in_comes_out(tmp_path: Path, width: int) -> None:
    runs = {f"méthode/seed{seed}": through_csv(some(seed, width=width), tmp_path) for seed in (2, 0, 1)}
    pack(tmp_path / FILE, {"validation": runs, "test_W": {"méthode/seed1": runs["méthode/seed1"]}})
    for name, scores in runs.items():
        assert_equal(read_packed(tmp_path / FILE, name, "validation"), scores)
    assert_equal(read_packed(tmp_path / FILE, "méthode/seed1", "test_W"), runs["méthode/seed1"])
    assert packed_names(tmp_path / FILE) == {
        "méthode/seed0": ["validation"],
        "méthode/seed1": ["test_W", "validation"],
        "méthode/seed2": ["validation"],
    }
    with h5py.File(tmp_path / FILE) as file:
        assert file["validation/scores"].dtype == f"float{width}"


@given(st.lists(st.floats(0, 1, width=32), min_size=NUMBER, max_size=NUMBER))
def test_every_float32_survives(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    folder = tmp_path_factory.mktemp("packed")
    base = some(0)
    made = Scores(ids=base.ids, labels=base.labels, species=base.species, scores=np.array(values))
    scores = through_csv(made, folder)
    pack(folder / FILE, {"validation": {"a": scores}})
    assert_equal(read_packed(folder / FILE, "a", "validation"), scores)


def test_rounding_by_hand() -> None:
    # 0.3 = 9.6 / 32 and 9.6 lies nearest to 10; 9.5 / 32 and 10.5 / 32 lie between two and go to the even one
    values = np.array([0.0, 0.3, 9.5 / 32, 10.5 / 32, 0.96, 1.0, -0.3])
    assert rounded(values, 4).tolist() == [0.0, 0.3125, 0.3125, 0.3125, 0.9375, 1.0, -0.3125]


@given(st.lists(st.floats(0, 1, width=32), min_size=1), st.integers(1, 24))
def test_rounding_is_near_keeps_the_order_and_stays(values: list[float], bits: int) -> None:
    exact = np.sort(np.array(values))
    kept = rounded(exact, bits)
    assert np.all(np.abs(kept - exact) <= exact * 2.0**-bits)
    assert np.all(np.diff(kept) >= 0)
    assert np.array_equal(rounded(kept, bits), kept)
    assert bits < 24 or np.array_equal(kept, exact)


def test_rounded_scores_take_less_space(tmp_path: Path) -> None:
    for name, bits in (("exact", None), ("rounded", 12)):
        pack(tmp_path / name, {"validation": {"a": some(0)}}, bits=bits)
    assert (tmp_path / "rounded").stat().st_size < (tmp_path / "exact").stat().st_size
    assert np.array_equal(read_packed(tmp_path / "rounded", "a", "validation").scores, rounded(some(0).scores, 12))


@pytest.mark.parametrize("bits", [0, 25])
def test_a_number_of_bits_out_of_range_is_refused(tmp_path: Path, bits: int) -> None:
    with pytest.raises(ValueError, match=rf"1 to 24 significant bits, not {bits}"):
        pack(tmp_path / FILE, {"validation": {"a": some(0)}}, bits=bits)
    assert not list(tmp_path.iterdir())


def test_equal_scores_make_equal_files(tmp_path: Path) -> None:
    runs = {str(seed): some(seed) for seed in (0, 1)}
    pack(tmp_path / "1.h5", {"validation": runs, "test_W": runs})
    pack(tmp_path / "2.h5", {"test_W": dict(reversed(runs.items())), "validation": runs})
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "2.h5").read_bytes()


def test_different_samples_are_refused_and_the_old_file_kept(tmp_path: Path) -> None:
    pack(tmp_path / FILE, {"validation": {"a": some(0)}})
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(
        ValueError, match="b and a scored different samples in validation; keep them in different folders"
    ):
        pack(tmp_path / FILE, {"validation": {"a": some(0), "b": some(1, prefix="x")}})
    none = Scores(ids=(), labels=np.array([], dtype=np.int64), species=(), scores=np.array([]))
    with pytest.raises(ValueError, match="a has no samples in validation"):
        pack(tmp_path / FILE, {"validation": {"a": none}})
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*scores\.h5"):
        packed_names(tmp_path / FILE)
    pack(tmp_path / FILE, {"validation": {"a": some(0)}})
    with pytest.raises(ValueError, match="holds no scores of run 'b' on 'validation'"):
        read_packed(tmp_path / FILE, "b", "validation")
    with pytest.raises(ValueError, match="holds no scores of run 'a' on 'test_W'"):
        read_packed(tmp_path / FILE, "a", "test_W")


@pytest.mark.parametrize("damage", ["cut", "other", "lacks"])
def test_damage_is_named_with_its_cure(tmp_path: Path, damage: str) -> None:
    path = tmp_path / FILE
    pack(path, {"validation": {"a": some(0)}})
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "other":
        path.write_text("id,label,species,score\n")
    else:
        with h5py.File(path, "a") as file:
            del file["validation/ids"]
    with pytest.raises(ValueError, match=r"scores\.h5 is not a whole file of packed scores .*restore it, or pack it"):
        read_packed(path, "a", "validation")


def test_more_species_than_a_byte_can_count(tmp_path: Path) -> None:
    kinds = tuple(f"kind{number:03}" for number in range(300))
    scores = Scores(ids=kinds, labels=np.zeros(300, dtype=np.int64), species=kinds, scores=np.full(300, 0.5))
    pack(tmp_path / FILE, {"test_W": {"run": scores}})
    assert read_packed(tmp_path / FILE, "run", "test_W").species == kinds


def changed(path: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    """Put another content into a dataset."""
    with h5py.File(path, "a") as file:
        values = file[name][()]
        change(values)
        del file[name]
        file[name] = values


@pytest.mark.parametrize(
    "name, place, value, reason",
    [
        ("scores", (0, 3), 7.0, "'é003' has score 7.0, must lie in 0..1"),
        ("scores", (0, 0), np.nan, "'é000' has score nan"),
        ("scores", (0, 1), -0.1, "has score -0.1"),
        ("labels", 2, 5, "'é002' has label 5"),
        ("labels", 2, 1, "'é002' has label 1 and species 'fake_head'"),
        ("ids", 4, "é003".encode(), "id 'é003' occurs twice"),
        ("ids", 4, b"a\nb", "must be one line of text each"),
        ("ids", 4, b"\xff", "not a whole file of packed scores"),
        ("species", 0, 9, "not a whole file of packed scores"),
    ],
)
def test_what_score_files_refuse_is_refused_here_too(
    tmp_path: Path, name: str, place: int, value: object, reason: str
) -> None:
    path = tmp_path / FILE
    pack(path, {"validation": {"a": some(0, width=64)}})
    changed(path, f"validation/{name}", lambda values: values.__setitem__(place, value))
    for read in (lambda: read_packed(path, "a", "validation"), lambda: read_packed_list(path, "validation")):
        with pytest.raises(ValueError, match=rf"(?s)scores\.h5.*{reason}"):
            read()


@pytest.mark.parametrize("how", ["external link", "soft link", "external data", "virtual", "shape", "type", "group"])
def test_only_what_lies_in_the_file_itself_is_read(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / FILE, tmp_path / "other.h5"
    pack(path, {"validation": {"a": some(0)}})
    pack(other, {"validation": {"a": some(1)}})
    (tmp_path / "raw").write_bytes(np.zeros(NUMBER, dtype=np.float32).tobytes())
    with h5py.File(path, "a") as file:
        group = file["validation"]
        del group["scores"]
        if how == "external link":
            group["scores"] = h5py.ExternalLink(str(other), "/validation/scores")
        elif how == "soft link":
            group["scores"] = h5py.SoftLink("/validation/labels")
        elif how == "external data":
            raw = [(str(tmp_path / "raw"), 0, NUMBER * 4)]
            group.create_dataset("scores", shape=(1, NUMBER), dtype=np.float32, external=raw)
        elif how == "virtual":
            layout = h5py.VirtualLayout(shape=(1, NUMBER), dtype=np.float32)
            layout[:] = h5py.VirtualSource(str(other), "/validation/scores", shape=(1, NUMBER))
            group.create_virtual_dataset("scores", layout)
        elif how == "group":
            group.create_group("scores")
        else:
            group["scores"] = np.zeros((1, 3)) if how == "shape" else np.zeros((1, NUMBER), dtype="S3")
    with pytest.raises(ValueError, match=r"scores\.h5 is not a whole file of packed scores \(.*validation/scores"):
        read_packed(path, "a", "validation")


def test_a_dataset_that_would_fill_the_memory_and_a_name_that_is_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with h5py.File(path, "w") as file:
        for name in ("runs", "ids"):
            file.create_dataset(f"validation/{name}", shape=(2**40,), dtype="S8", chunks=(2**10,), compression="gzip")
    with pytest.raises(ValueError, match=r"validation/runs holds \|S8 of shape \(1099511627776,\)"):
        read_packed(path, "a", "validation")
    with h5py.File(path, "w") as file:
        file.create_group("test_../../x")
    with pytest.raises(ValueError, match=r"'test_\.\.' is no name of a list"):
        packed_names(path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(ValueError, match=r"scores\.h5.*not a regular file"):
        packed_names(tmp_path / FILE)
