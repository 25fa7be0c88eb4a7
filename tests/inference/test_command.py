"""`predict` as it is typed: what it prints, writes and refuses."""

import argparse
import json

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


def test_contradictions_are_refused(face, tmp_path):
    with pytest.raises(ValueError, match="one of the three"):
        run("predict")
    with pytest.raises(ValueError, match="one of the three"):
        run("predict", "--rgb", face, "--folder", tmp_path)
    with pytest.raises(ValueError, match="--depth-range 5 5: name two values that differ"):
        run("predict", "--depth", face, "--depth-range", "5", "5")
    with pytest.raises(ValueError, match="--margin must lie between 0 and 2"):
        run("predict", "--rgb", face, "--margin", "-1")
