"""`predict` as it is typed: what it prints, writes and refuses."""

import argparse
import json
import os
import shutil
import sys

import pandas as pd
import pytest
import skimage.data
from PIL import Image

from mmdg_lite.commands.use import add_export, add_predict


def run(*words):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command")
    add_predict(commands)
    add_export(commands)
    options = parser.parse_args([str(word) for word in words])
    return options.run(options)


@pytest.fixture
def face(tmp_path):
    Image.fromarray(skimage.data.astronaut()[:256, 96:352]).save(tmp_path / "face.png")
    return tmp_path / "face.png"


def test_one_picture(face, tmp_path, capsys):
    out = {name: tmp_path / f"out.{name}" for name in ("json", "csv", "png")}
    assert (
        run("predict", "--rgb", face, "--crop", "--json", out["json"], "--csv", out["csv"], "--figure", out["png"]) == 0
    )
    printed = capsys.readouterr().out
    assert "never saw a real one" in printed and "validation lists of synthetic C + P + S" in printed
    (written,) = json.loads(out["json"].read_text())["predictions"]
    assert f"{face}: {written['decision']}, score {written['score']:.3f}" in printed
    row = pd.read_csv(out["csv"]).iloc[0]
    assert row["score"] == pytest.approx(written["score"]) and row["decision"] == written["decision"]
    assert Image.open(out["png"]).size[0] > 300


def test_a_table_with_a_bad_line_decides_the_others(face, tmp_path, capsys):
    (tmp_path / "t.csv").write_text("id,rgb\na,face.png\nb,gone.png\nc,face.png\n")
    assert run("predict", "--table", tmp_path / "t.csv", "--figure", tmp_path / "figures") == 1
    printed = capsys.readouterr()
    assert [line[0] for line in printed.out.splitlines() if ", score" in line] == ["a", "c"]
    assert "b: not decided:" in printed.err and "gone.png: no such rgb picture" in printed.err
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["0000.png", "0001.png"]


def test_what_was_not_decided_is_in_the_files(face, tmp_path):
    (tmp_path / "t.csv").write_text("id,rgb\na,face.png\nb,gone.png\n")
    out = tmp_path / "out.json", tmp_path / "out.csv"
    for _ in range(2):  # former results are known with and without decisions
        assert run("predict", "--table", tmp_path / "t.csv", "--json", out[0], "--csv", out[1]) == 1
        written = json.loads(out[0].read_text())
        (left_out,) = written["not_decided"]
        assert left_out["id"] == "b" and left_out["reason"].endswith("gone.png: no such rgb picture")
        rows = pd.read_csv(out[1]).set_index("id")
        assert list(rows["decision"].isna()) == [False, True]
        assert pd.isna(rows.loc["a", "not_decided"]) and rows.loc["b", "not_decided"] == left_out["reason"]
    (tmp_path / "t.csv").write_text("id,rgb\nb,gone.png\nc,gone.png\n")
    for _ in range(2):
        assert run("predict", "--table", tmp_path / "t.csv", "--csv", out[1]) == 1
        assert list(pd.read_csv(out[1])["id"]) == ["b", "c"]


def test_a_bad_frame_costs_one_frame(face, tmp_path, capsys):
    clip = tmp_path / "clip"
    clip.mkdir()
    for number in range(3):
        (clip / f"{number}.png").write_bytes(face.read_bytes() if number != 1 else b"no picture")
    out = tmp_path / "out.json", tmp_path / "out.csv"
    assert run("predict", "--video", "--rgb", clip, "--json", out[0], "--csv", out[1]) == 1
    printed = capsys.readouterr()
    assert "note: 1 of 3 frames could not be read and were left out; the first:" in printed.out
    assert "#00001: not decided:" in printed.err
    written = json.loads(out[0].read_text())
    assert len(written["predictions"][0]["frames"]) == 2 and len(written["not_decided"]) == 1
    assert pd.read_csv(out[1])["not_decided"].notna().sum() == 1
    for path in clip.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"clip: no frame can be read: .*0\.png"):
        run("predict", "--video", "--rgb", clip)


def test_the_ending_of_a_figure_is_checked_first(face, tmp_path, capsys):
    for name in ("x", "f.xyz"):
        with pytest.raises(ValueError, match=r"the ending says the format: \.png, \.svg, \.pdf"):
            run("predict", "--rgb", face, "--figure", tmp_path / name)
    assert capsys.readouterr().out == ""


def test_contradictions_are_refused(face, tmp_path):
    with pytest.raises(ValueError, match="one of the three"):
        run("predict")
    with pytest.raises(ValueError, match="one of the three"):
        run("predict", "--rgb", face, "--folder", tmp_path)
    with pytest.raises(ValueError, match=r"--depth-range\) must be two finite numbers that differ, got \(5.0, 5.0\)"):
        run("predict", "--depth", face, "--depth-range", "5", "5")
    with pytest.raises(ValueError, match="margin must lie between 0 and 2"):
        run("predict", "--rgb", face, "--margin", "-1")


def test_inputs_are_never_overwritten(face, tmp_path):
    """Not by any name, and not with --force; the model and its files, tables and the pictures named in them count."""
    table, link, hard = tmp_path / "t.csv", tmp_path / "link.json", tmp_path / "hard.png"
    table.write_text("id,rgb\na,face.png\n")
    link.symlink_to(face)
    hard.hardlink_to(face)
    before = {path: path.read_bytes() for path in (table, face)}
    for words in (
        ("--table", table, "--csv", table),
        ("--table", table, "--figure", face),
        ("--rgb", face, "--figure", face),
        ("--rgb", face, "--json", tmp_path / "." / "face.png"),
        ("--rgb", face, "--json", link),
        ("--rgb", face, "--figure", hard),
        ("--folder", tmp_path, "--csv", hard),
    ):
        for force in ((), ("--force",)):
            with pytest.raises(ValueError, match="which the command reads: name another file"):
                run("predict", *words, *force)
    with pytest.raises(ValueError, match="which the command reads"):
        run("predict", "--rgb", tmp_path, "--video", "--json", face)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="which the command reads"):
        run("predict", tmp_path / "run", "--rgb", face, "--json", tmp_path / "run" / "config.json", "--force")
    assert before == {path: path.read_bytes() for path in before}


def test_two_outputs_in_one_file_and_a_folder_of_inputs_are_refused(face, tmp_path):
    with pytest.raises(ValueError, match=r"--csv .*x is what --json writes already"):
        run("predict", "--rgb", face, "--json", tmp_path / "x", "--csv", tmp_path / "x")
    with pytest.raises(ValueError, match="is a folder: name a file"):
        run("predict", "--rgb", face, "--json", tmp_path)
    (tmp_path / "other.png").write_bytes(face.read_bytes())
    for folder in (tmp_path, tmp_path / "." / "one"):
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / "rgb.png").write_bytes(face.read_bytes())
        with pytest.raises(ValueError, match="is read as a folder of pictures: draw the figures elsewhere"):
            run("predict", "--folder", folder, "--figure", folder if folder == tmp_path else folder / "new.png")
    with pytest.raises(ValueError, match=r"is a file; of 2 samples the figures go to a folder"):
        run("predict", "--folder", tmp_path, "--figure", face)


def test_files_of_others_need_force_and_former_results_do_not(face, tmp_path):
    names = [tmp_path / "out.json", tmp_path / "out.csv", tmp_path / "out.png"]
    words = ("predict", "--rgb", face, "--json", names[0], "--csv", names[1])
    run(*words)
    run(*words)
    for path, foreign in ((names[0], '{"predictions": [], "notes": 1}'), (names[1], "id,label\n1,2\n")):
        kept = path.read_text()
        path.write_text(foreign)
        with pytest.raises(FileExistsError, match=rf"{path.name} is there already .* --force"):
            run(*words)
        assert path.read_text() == foreign
        path.write_text(kept)
    names[2].write_bytes(b"")
    with pytest.raises(FileExistsError, match="--figure"):
        run(*words, "--figure", names[2])
    run(*words, "--figure", names[2], "--force")
    assert Image.open(names[2]).size[0] > 300


def test_export_does_not_overwrite_its_model(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "other.onnx").write_bytes(b"")
    for model in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(ValueError, match=r"--out .* which the command reads"):
            run("export", model, "--out", tmp_path / "model.safetensors", "--force")
        with pytest.raises(FileExistsError, match=r"other\.onnx is there already"):
            run("export", model, "--out", tmp_path / "other.onnx")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow no such names")
def test_names_that_are_no_text_are_decided_and_reach_the_terminal_as_escapes(face, tmp_path, capsys):
    folder = tmp_path / "many"
    folder.mkdir()
    for name in (b"a\xff.png", b"b\x1b[31m.png"):
        shutil.copy(face, os.path.join(os.fsencode(folder), name))
    assert run("predict", "--folder", folder, "--csv", tmp_path / "out.csv") == 0
    printed = capsys.readouterr().out
    assert r"a\udcff: " in printed and r"b\x1b[31m: " in printed and "\x1b" not in printed
    assert len(pd.read_csv(tmp_path / "out.csv")) == 2
