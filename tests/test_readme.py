"""What README.md, CONTRIBUTING.md and the guides tell the reader to type, open and cite exists."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

import mmdg_lite
from mmdg_lite.__main__ import parser

ROOT = Path(__file__).parent.parent
TEXTS = [
    ROOT / name
    for name in ("README.md", "CONTRIBUTING.md", "YOUR_METHOD.md", "GLOSSARY.md", "TEACHING.md", "YOUR_DATA.md")
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
every_text = pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)


def spoken_code(path: Path) -> list[str]:
    """Lines of code blocks, and code within the text."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [line.strip() for block in blocks for line in block.splitlines()] + inline


@every_text
def test_make_targets_exist(path):
    used = [words[1] for line in spoken_code(path) if len(words := line.split()) > 1 and words[0] == "make"]
    assert used or path.name not in ("README.md", "CONTRIBUTING.md")
    assert set(used) <= TARGETS


@every_text
def test_subcommands_and_their_options_exist(path):
    commands = next(a for a in parser()._actions if a.dest == "command").choices
    for line in spoken_code(path):
        if line.startswith("python -m mmdg_lite "):
            command, *options = shlex.split(line.partition("#")[0])[3:]
            if command == "COMMAND":
                continue
            known = {o for action in commands[command]._actions for o in action.option_strings}
            assert {o for o in options if o.startswith("--")} <= known, line


@every_text
def test_links_within_the_repository_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert not [link for link in links if not (ROOT / link).exists()]


def test_readme_starts_with_the_two_commands_and_the_conda_way():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    places = [text.index(words) for words in ("make reproduce", "make test", "conda env create", "## What it is")]
    assert places == sorted(places)


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert project["version"] == mmdg_lite.__version__ == citation["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert {r["type"] for r in citation["references"]} == {"article", "conference-paper"}


def pictures(path: Path) -> list[tuple[str, str]]:
    """Alternative text and target of every picture in a Markdown file, or in a notebook's text."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    assert "<img" not in text, f"{path}: write pictures as ![alternative text](file)"
    return re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text)


WRITTEN = [p for folder in (".", "data_prep", "notebooks") for p in (ROOT / folder).glob("*") if p.is_file()]


@pytest.mark.parametrize(
    "path", [p for p in sorted(WRITTEN) if p.suffix in (".md", ".ipynb")], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_pictures_have_alternative_text_and_exist(path):
    for words, target in pictures(path):
        assert len(words.split()) >= 4, f"{path.name}: say in words what {target} shows"
        assert (path.parent / target).is_file(), target


def test_there_are_pictures_to_check():
    assert len(pictures(ROOT / "README.md")) >= 2
