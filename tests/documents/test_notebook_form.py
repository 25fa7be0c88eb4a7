"""The form of the numbered notebooks: header, picture, equations, code of minimal.py, stated numbers, footer, links."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

from mmdg_lite.configuration import REPOSITORY
from mmdg_lite.reproduce.notebooks import numbered
from mmdg_lite.reproduce.stated_numbers import MARK, stated_numbers

NOTEBOOKS = numbered(REPOSITORY / "notebooks")
PAGES = {path: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
MARKDOWN_TABLE = re.compile(r"^\|.*\n\|[-:| ]+\|\n(?:\|.*(?:\n|\Z))*", re.MULTILINE)
RUN_IT = "`make lab`, then open this file; a CPU is enough. Binder and Colab: see the [README](../README.md) (untried)"
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def prose(path: Path) -> list[str]:
    return [cell.source for cell in PAGES[path].cells if cell.cell_type == "markdown"]


def tagged(path: Path, tag: str) -> list[str]:
    return [c.source for c in PAGES[path].cells if c.cell_type == "code" and tag in c.metadata.get("tags", [])]


@every_notebook
def test_the_header_says_what_a_reader_needs_to_know(path):
    header = prose(path)[0]
    assert re.match(rf"# {path.name[:2]}\b", header)
    question = re.search(r"\*\*Question\.\*\* (.+)", header)
    assert question and question[1].strip().endswith("?")
    objectives = header.split("**Objectives.**")[1].split("\n\n")
    assert len(re.findall(r"^\d\. ", "\n\n".join(objectives[:2]), re.MULTILINE)) == 3
    for word in ("**Before this**", "**After this**", "**Time**", "**Run it**", "**References**"):
        assert word in header, word
    assert re.search(r"\d+ minutes to read", header)
    [run] = re.findall(r"^\| \*\*Run it\*\* \| (.+) \|$", header, re.MULTILINE)
    assert run == RUN_IT
    assert re.search(r"\]\(https?://", header.split("**References**")[1])


@every_notebook
def test_the_header_links_to_its_neighbours(path):
    place, header = NOTEBOOKS.index(path), prose(path)[0]
    for neighbour in NOTEBOOKS[max(place - 1, 0) : place] + NOTEBOOKS[place + 1 : place + 2]:
        assert f"]({neighbour.name})" in header


@every_notebook
def test_a_diagram_comes_before_the_first_equation(path):
    text = "\n".join(prose(path))
    assert "figures/diagrams/" in text
    assert "$$" in text
    assert text.index("figures/diagrams/") < text.index("$$")


@every_notebook
def test_the_footer_has_the_finding_and_three_questions_with_solutions(path):
    text = "\n".join(prose(path))
    assert re.search(r"^## Take-away", text, re.MULTILINE)
    questions = re.split(r"^## Questions", text, flags=re.MULTILINE)[1]
    assert len(re.findall(r"^\*\*\d\. ", questions, re.MULTILINE)) == 3
    assert questions.count("<details>") == questions.count("</details>") == 3


def _after_figures_and_tables(path: Path) -> Iterator[tuple[int, str]]:
    """Of every cell that shows a picture or a table, below the header: its place, and the text that follows.

    That is the text of the next three cells, and, below a Markdown table, the rest of its own cell.
    """
    cells = PAGES[path].cells
    for place, cell in enumerate(cells):
        following = "\n".join(c.source for c in cells[place + 1 : place + 4] if c.cell_type == "markdown")
        if cell.cell_type == "markdown" and place > 0 and (tables := list(MARKDOWN_TABLE.finditer(cell.source))):
            yield place, cell.source[tables[-1].end() :] + following
        elif cell.cell_type == "code" and any(_is_shown(o.get("data", {})) for o in cell.outputs):
            yield place, following


def _is_shown(data: Mapping[str, str]) -> bool:
    return any(kind.startswith("image/") for kind in data) or "<table" in data.get("text/html", "")


@every_notebook
def test_figures_and_tables_are_followed_by_what_we_see(path):
    """95 % of the pictures and tables are followed, within three cells, by a paragraph that begins "What we see"."""
    told = {place: "**What we see" in text for place, text in _after_figures_and_tables(path)}
    silent = [place for place, is_told in told.items() if not is_told]
    assert told and len(silent) <= 0.05 * len(told), f"nothing is said of cells {silent}"


@every_notebook
def test_numbers_in_sentences_are_those_of_the_committed_findings(path):
    findings = json.loads((path.parent / "findings" / f"{path.name[:2]}.json").read_text(encoding="utf-8"))
    text = "\n".join(prose(path))
    assert len(MARK.findall(text)) >= 3
    assert not [(where, said, found) for where, said, found in stated_numbers(text, findings) if said != found]


MARKED = ("04", "06", "07", "08")
"""Notebooks whose findings in "What we see" and "Take-away" hold no number that no test compares."""
FIXED = {"95 %", "50 %", "100 %"}
"""Numbers that no run changes: the level of intervals, chance, and certainty."""


def unmarked(source: str) -> list[str]:
    """Decimals and percentages in "What we see" and "Take-away", without marked ones, formulas and code."""
    found = []
    for part in re.findall(r"(?:\*\*What we see\.\*\*|^## Take-away)(.*?)(?=^##|\Z)", source, re.MULTILINE | re.DOTALL):
        text = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\]\([^)]*\)", " ", MARK.sub(" ", part), flags=re.DOTALL)
        found += re.findall(r"\d+\.\d+(?: ?%)?|\d+ ?%", text)
    return [number for number in found if number not in FIXED]


def test_unmarked_numbers_are_found():
    text = (
        "1.5\n\n**What we see.** From 2.5<!--=a:.1f--> to $3.5$ and `4.5`, a 95 % interval, 6 %: 7.5.\n\n## Next\n8.5"
    )
    assert unmarked(text) == ["6 %", "7.5"]
    assert unmarked("## Take-away\n\n- 1.5 %\n\n## Questions\n2.5") == ["1.5 %"]


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p.name[:2] in MARKED], ids=lambda p: p.stem)
def test_every_measured_number_of_the_findings_is_marked(path):
    assert {text[:60]: numbers for text in prose(path) if (numbers := unmarked(text))} == {}


def _without_docstrings(tree: ast.AST) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def test_cells_tagged_minimal_are_the_lines_of_minimal():
    whole = ast.parse((REPOSITORY / "mmdg_lite" / "minimal.py").read_text(encoding="utf-8"))
    named = {getattr(node, "name", ""): _without_docstrings(node) for node in whole.body}
    shown = {path.name[:2]: [s for cell in tagged(path, "minimal") for s in ast.parse(cell).body] for path in NOTEBOOKS}
    for number, statements in shown.items():
        for statement in statements:
            name = getattr(statement, "name", "")
            assert named.get(name) == _without_docstrings(statement), (
                f"notebook {number}: {name or ast.unparse(statement)}"
            )
    for number in ("02", "03", "04", "05", "06"):
        assert shown[number], f"notebook {number} derives no part of minimal.py"


def _anchors(path: Path) -> set[str]:
    text = "\n".join(prose(path)) if path in PAGES else path.read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    return slugs | {title.replace(" ", "-") for title in titles} | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


@every_notebook
def test_relative_links_and_anchors_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", "\n".join(prose(path)), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http", "attachment:", "mailto:")):
            continue
        place, _, anchor = unquote(link).partition("#")
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link
