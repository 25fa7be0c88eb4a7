"""The user's path from disk to batches for each data set: convert, verify, load; resumed after kills, in parallel."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from data_prep.__main__ import main
from data_prep.journal import JOURNAL, Converted
from data_prep.miniatures import miniature, miniature_tree
from data_prep.synthetic import SEED, SIZES
from data_prep.wmca import Wmca
from mmdg_lite.data.augmentation import Augmentation
from mmdg_lite.data.loader import loader
from mmdg_lite.data.real.lists import LETTERS, SPLITS, list_path, read_list
from mmdg_lite.data.real.manifest import read_manifest
from mmdg_lite.data.real.stored import CachedDataset, ManifestDataset
from mmdg_lite.modality import MODALITIES
from mmdg_lite.runs.config import PROFILES

ROOT = Path(__file__).parents[2]
NAMES = {"W": "wmca", "C": "cefa", "S": "casia-surf", "P": "padisi"}
PUBLISHED = Path(os.environ.get("MMDG_LITE_SHARED", ROOT.parent / "shared")) / "protocols" / "MMDG-Benchmark"


def command(letter, source, lists, out, *more):
    paths = ["--source", str(source), "--lists", str(lists), "--out", str(out)]
    return [NAMES[letter], *paths, "--workers", "0", "--size", "48", *more]


def content(folder):
    """Every file of a converted domain by name, without what may differ between runs."""
    skipped = (JOURNAL, ".lock", "report.json")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in skipped
    }


@pytest.mark.parametrize("letter", LETTERS)
def test_from_disk_to_batches(letter, tmp_path, capsys):
    source, lists = miniature(letter, tmp_path / "copy")
    out = tmp_path / "data"
    assert main(command(letter, source, lists, out)) == 0
    text = capsys.readouterr().out
    assert "4 / 6" in text and "not the published list" in text and "holes in depth" in text
    rows = read_manifest(out / letter)
    assert len(rows) == 30 and all(row.present == (True, True, True) for row in rows)
    assert [row.id for row in rows[:2]] == [f"{letter}-train-00001", f"{letter}-train-00002"]
    for split in SPLITS:
        listed = read_list(list_path(lists, letter, split), letter)
        stored = [row for row in rows if row.split == split]
        assert [(row.list_line, row.label, row.species, row.subject) for row in stored] == [
            (row.line, row.label, row.species, row.subject) for row in listed
        ]
    assert main(["verify", str(out), "--lists", str(lists)]) == 0
    assert "nothing wrong" in capsys.readouterr().out
    dataset = CachedDataset(ManifestDataset(out / letter, "train", size=32))
    batches = list(
        loader(
            dataset,
            batch_size=4,
            seed=0,
            epoch=0,
            augment=Augmentation(),
            source_domains=(letter,),
            shuffle=True,
        )
    )
    assert sum(len(batch["id"]) for batch in batches) == 10
    assert all(batch[m.value].isfinite().all() and batch[m.value].std() > 0.1 for batch in batches for m in MODALITIES)


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the authors' lists are not here")
@pytest.mark.parametrize("letter", LETTERS)
def test_the_first_rows_of_the_published_lists(letter, tmp_path, capsys):
    lists = tmp_path / "lists"
    lists.mkdir()
    for split in SPLITS:
        lines = list_path(PUBLISHED, letter, split).read_bytes().split(b"\n")
        list_path(lists, letter, split).write_bytes(b"\n".join(lines[:30] + lines[-6:]))
    rows = {split: read_list(list_path(lists, letter, split), letter) for split in SPLITS}
    miniature_tree(letter, tmp_path / "source", rows)
    assert main(command(letter, tmp_path / "source", lists, tmp_path / "data")) == 0
    assert main(["verify", str(tmp_path / "data" / letter), "--lists", str(lists)]) == 0
    text = capsys.readouterr().out
    assert all(f"{split:<6}" in text for split in SPLITS) and "skipped" not in text
    species = {row.species for row in read_manifest(tmp_path / "data" / letter)}
    assert "live" in species and len(species) > 1


def test_processes_and_one_process_write_the_same(tmp_path):
    source, lists = miniature("W", tmp_path / "copy", live=10, spoof=10)
    assert main(command("W", source, lists, tmp_path / "one")) == 0
    assert main(command("W", source, lists, tmp_path / "two", "--workers", "2")) == 0
    assert content(tmp_path / "one" / "W") == content(tmp_path / "two" / "W")


def test_a_second_run_converts_nothing_again(tmp_path, capsys):
    source, lists = miniature("S", tmp_path / "copy")
    assert main(command("S", source, lists, tmp_path / "data")) == 0
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.png")}
    capsys.readouterr()
    assert main(command("S", source, lists, tmp_path / "data")) == 0
    assert "30 of them had been converted before" in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*.png")}


def test_what_was_damaged_since_is_converted_again(tmp_path, capsys):
    source, lists = miniature("S", tmp_path / "copy")
    folder = tmp_path / "data" / "S"
    assert main(command("S", source, lists, tmp_path / "data")) == 0
    good = content(folder)
    images = sorted(folder.rglob("*.png"))
    images[0].write_bytes(images[0].read_bytes()[:100])
    images[7].unlink()
    (folder / "manifest.csv").write_text((folder / "manifest.csv").read_text().replace(",live,", ",print,"))
    (folder / JOURNAL).write_bytes((folder / JOURNAL).read_bytes()[:-30])
    capsys.readouterr()
    assert main(["verify", str(folder)]) == 1
    assert main(command("S", source, lists, tmp_path / "data")) == 0
    assert "27 of them had been converted before" in capsys.readouterr().out
    assert content(folder) == good


def test_killed_at_any_moment_it_goes_on_and_ends_the_same(tmp_path):
    """SIGKILL to the whole conversion several times over; no final name ever holds half a file."""
    source, lists = miniature("S", tmp_path / "copy", live=10, spoof=20)
    assert main([*command("S", source, lists, tmp_path / "whole"), "--size", "400"]) == 0
    folder = tmp_path / "data" / "S"
    run = [
        sys.executable,
        "-m",
        "data_prep",
        *command("S", source, lists, tmp_path / "data", "--size", "400", "--workers", "1"),
    ]
    lines = 0
    for _ in range(2):
        process = subprocess.Popen(
            run, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 240
            while process.poll() is None and time.monotonic() < deadline:
                if (folder / JOURNAL).exists() and (folder / JOURNAL).read_bytes().count(b"\n") > lines:
                    break
                time.sleep(0.01)
            assert process.poll() is None, "the conversion ended before it could be killed"
        finally:
            process.kill()
            process.wait()
        journal = (folder / JOURNAL).read_text().splitlines()
        entries = [entry for entry in map(Converted.parse, journal) if entry is not None]
        assert all(entry.intact(folder) for entry in entries)
        assert not (folder / "manifest.csv").exists()
        lines = len(journal)
    assert 0 < lines < 90
    _wait_for_lock(folder)
    assert subprocess.run(run, cwd=ROOT, capture_output=True, timeout=300, check=False).returncode == 0
    assert content(folder) == content(tmp_path / "whole" / "S")
    assert json.loads((folder / "report.json").read_text())["kept"] >= lines - 3


def _wait_for_lock(folder):
    """Until the killed run's worker has noticed and gone: moments, but more of them on a loaded machine."""
    try:
        with FileLock(folder / ".lock", timeout=300):
            return
    except Timeout:
        pytest.fail("a worker outlives its killed parent")


def test_conversion_needs_nothing_that_only_unix_has():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('fcntl', 'resource', 'pwd', 'grp'))); import data_prep.__main__"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_splits_can_be_converted_one_after_the_other(tmp_path):
    source, lists = miniature("P", tmp_path / "copy")
    assert main([*command("P", source, lists, tmp_path / "data"), "--splits", "test"]) == 0
    assert len(read_manifest(tmp_path / "data" / "P")) == 10
    assert main([*command("P", source, lists, tmp_path / "data"), "--splits", "train", "val"]) == 0
    assert len(read_manifest(tmp_path / "data" / "P")) == 30
    assert main(["verify", str(tmp_path / "data"), "--lists", str(lists)]) == 0


def test_repeated_rows_are_converted_twice_or_dropped(tmp_path):
    source, lists = miniature("S", tmp_path / "copy", live=2, spoof=2)
    path = list_path(lists, "S", "train")
    path.write_bytes(path.read_bytes() + b"\r\n" + path.read_bytes().split(b"\r\n")[0])
    for number, (more, count) in enumerate((((), 13), (("--drop-repeated",), 12))):
        out = tmp_path / f"data{number}"
        assert main(command("S", source, lists, out, *more)) == 0
        assert len(read_manifest(out / "S")) == count
        assert main(["verify", str(out), "--lists", str(lists)]) == 0


def test_native_size_and_jpeg(tmp_path):
    source, lists = miniature("W", tmp_path / "copy", live=1, spoof=1)
    assert main([*command("W", source, lists, tmp_path / "data"), "--size", "0", "--format", "jpg"]) == 0
    (row, *_) = read_manifest(tmp_path / "data" / "W")
    assert row.rgb.endswith(".jpg")
    native, listed = ManifestDataset(tmp_path / "data" / "W", "train", size=128), read_list(lists / "W-train.txt", "W")
    original = next(iter(Wmca.open(source).read(listed[0]).images.values())).transpose(2, 0, 1)
    assert abs(native[0]["rgb"].astype(int) - original).mean() < 3


def test_synthetic_domains_in_the_same_form(tmp_path, capsys):
    sizes = ["--train", "5", "--val", "3", "--test", "2", "--size", "32", "--domains", "WP"]
    assert main(["synthetic", "--out", str(tmp_path), *sizes]) == 0
    before = content(tmp_path / "P")
    (tmp_path / "P" / "images" / "val" / "000" / "P-val-00001-rgb.png").unlink()
    assert main(["synthetic", "--out", str(tmp_path), *sizes]) == 0
    assert content(tmp_path / "P") == before
    assert main(["verify", str(tmp_path)]) == 0
    assert "synthetic P" in capsys.readouterr().out
    assert main(["synthetic", "--out", str(tmp_path), *sizes, "--seed", "1"]) == 1
    assert "converted with seed 2026, not 1" in capsys.readouterr().err


def test_synthetic_domains_are_written_as_runs_render_them():
    data, _, _ = PROFILES["full"]
    assert {"train": data.train_samples, "val": data.validation_samples, "test": data.test_samples} == SIZES
    assert data.seed == SEED
