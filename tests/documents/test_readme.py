"""What README.md, the guides, cards and the report tell the reader to type, open and cite exists."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

import data_prep.__main__ as preparation
import mmdg_lite
import mmdg_lite.__main__ as package

ROOT = Path(__file__).parents[2]
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("data_prep/*.md")), ROOT / "figures" / "REPORT.md"]
PARSERS = {"mmdg_lite": package.parser, "data_prep": preparation._parser}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
every_text = pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.relative_to(ROOT).as_posix())


def spoken_code(path: Path) -> list[str]:
    """Lines of code blocks, and code within the text."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [line.strip() for block in blocks for line in block.splitlines()] + inline


@every_text
def test_make_targets_exist(path):
    used = [words[1] for line in spoken_code(path) if len(words := line.split()) > 1 and words[0] == "make"]
    assert used or path not in (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
    assert set(used) <= TARGETS


def spoken_commands(path: Path) -> list[tuple[str, list[str]]]:
    """Program and words of every command of the package or of data_prep; a loop's variable has its first value."""
    first = dict(re.findall(r'\bfor (\w+) in "?([^\s";]+)', path.read_text(encoding="utf-8")))
    found = [re.search(r" -m (mmdg_lite|data_prep) ([^;]+)", line) for line in spoken_code(path)]
    spoken = [(match[1], re.sub(r"\$(\w+)", lambda name: first[name[1]], match[2])) for match in found if match]
    return [(program, shlex.split(text.removesuffix("..."), comments=True)) for program, text in spoken]


@every_text
def test_commands_are_taken(path, capsys):
    """Those with options by the parser itself; of others, which are only named, the subcommand exists."""
    for program, (command, *options) in spoken_commands(path):
        parser = PARSERS[program]()
        if options and command != "COMMAND":
            try:
                parser.parse_args([command, *options])
            except SystemExit:
                pytest.fail(f"{command} {shlex.join(options)}: {capsys.readouterr().err.splitlines()[-1]}")
        else:
            commands = next(action for action in parser._actions if action.dest == "command").choices
            assert command in {"COMMAND", *commands}


def test_there_are_commands_of_either_program_to_check():
    assert {program for path in TEXTS for program, _ in spoken_commands(path)} == set(PARSERS)


@every_text
def test_modules_that_are_run_exist(path):
    for name in re.findall(r"python -m\s+((?:mmdg_lite|data_prep|tests)[\w.]*)", path.read_text(encoding="utf-8")):
        place = ROOT.joinpath(*name.rstrip(".").split("."))
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), name


@every_text
def test_links_within_the_repository_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    assert not [link for link in links if not (path.parent / link).exists()]


def test_readme_s_first_screen_has_the_diagram_the_commands_and_what_to_read():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    order = (
        "diagrams/mmdgplusplus.svg",
        "make reproduce",
        "make test",
        "minimal.py",
        "mmdg_lite predict",
        "mmdg_lite export",
    )
    places = [text.index(words) for words in (*order, "conda env create", "## What it is")]
    assert places == sorted(places)


def test_the_lines_of_python_in_readme_run():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(lines, "README.md", "exec"), names)
    assert names["certainty"].shape[0] == 3  # type: ignore[attr-defined]


def test_readme_s_reading_paths_are_short_and_of_files_that_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("Three reading paths")[1]
    rows = re.findall(r"^\| (one forward|one ReGrad|how a table)[^|]*\| ([^|]*) \|", text, re.MULTILINE)
    for question, most in (("one forward", 12), ("one ReGrad", 7), ("how a table", 12)):
        names = []
        for part in re.findall(r"`([^`]+)`", dict(rows)[question]):
            folder, _, inside = part.rpartition("/")
            for name in inside.strip("{}").split(","):
                names.append(f"{folder}/{name}" if folder else name)
        assert len(names) == len(set(names)) <= most
        assert [name for name in names if not (ROOT / "mmdg_lite" / f"{name}.py").is_file()] == []


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
