"""The site holds every text, notebook and diagram, its pages execute nothing and load nothing from elsewhere."""

import fnmatch
import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INDEX = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
TREES = re.findall(r"```{toctree}\n(.*?)```", INDEX, re.DOTALL)
ENTRIES = [
    re.sub(r".*<(.*)>", r"\1", line)
    for tree in TREES
    for line in tree.splitlines()
    if line and not line.startswith(":")
]


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def collected(build, tmp_path) -> Path:
    build.collect(tmp_path)
    return tmp_path


@pytest.fixture
def pages(collected) -> set[str]:
    """Names of the collected texts and notebooks, without ending, as the contents name them."""
    files = [path for path in collected.rglob("*") if path.suffix in (".md", ".ipynb")]
    return {path.relative_to(collected).with_suffix("").as_posix() for path in files} - {"index"}


def test_every_text_and_notebook_has_a_page_in_the_contents(pages):
    assert {"README", "GLOSSARY", "notebooks/00_quickstart", "notebooks/assignments/1_metrics"} <= pages
    lost = [page for page in pages if not any(fnmatch.fnmatch(page, entry) for entry in ENTRIES)]
    assert not lost, "docs/index.md lists no such page"


def test_every_entry_of_the_contents_is_a_page(pages):
    assert not [entry for entry in ENTRIES if not entry.startswith("api/") and not fnmatch.filter(pages, entry)]


def test_notebooks_and_diagrams_are_the_committed_ones(collected):
    for path in ROOT.glob("figures/diagrams/*.svg"):
        assert (collected / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    for path in ROOT.glob("notebooks/*.ipynb"):
        made, committed = (json.loads(p.read_text("utf-8")) for p in (collected / path.relative_to(ROOT), path))
        pairs = [pair for pair in zip(made["cells"], committed["cells"], strict=True) if pair[0] != pair[1]]
        assert all(cell["cell_type"] == "markdown" for pair in pairs for cell in pair)  # links, nothing else


def test_links_are_such_that_the_site_can_follow_them(build, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "a.md").touch()
    text = "[runs](runs) and [a](a.md#b), [web](https://example.org), ![picture](runs), [down](#Where:-to-Start)"
    expected = "runs and [a](a.md#b), [web](https://example.org), ![picture](runs), [down](#where-to-start)"
    assert build.for_the_site(text, tmp_path) == expected


def test_files_that_pages_link_to_are_part_of_the_site(collected):
    assert (collected / "mmdg_lite" / "minimal.py").read_bytes() == (ROOT / "mmdg_lite" / "minimal.py").read_bytes()


def test_notebooks_are_not_executed():
    settings: dict[str, object] = {}
    exec((ROOT / "docs" / "conf.py").read_text(encoding="utf-8"), settings)
    assert settings["nb_execution_mode"] == "off"
    assert {"myst_nb", "autoapi.extension", "sphinx-mathjax-offline"} <= set(settings["extensions"])


@pytest.mark.slow
def test_the_site_is_built_by_one_command_and_loads_nothing_from_elsewhere():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    result = subprocess.run(["make", "site"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if re.search("connection|temporary failure|no matching distribution", result.stderr, re.IGNORECASE):
        pytest.skip("the site's packages are not installed, and no package index can be reached")
    assert result.returncode == 0, result.stderr
    site = ROOT / "build" / "site"
    assert (site / "_static" / "mathjax" / "tex-chtml.js").is_file()
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert "<img" in (site / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
    assert "sample_moments" in (site / "api/mmdg_lite/uncertainty/index.html").read_text(encoding="utf-8")
    for page in site.rglob("*.html"):
        foreign = re.findall(
            r"<(?:script|link|img)[^>]+(?:src|href)=.https?://[^>]*>", page.read_text(encoding="utf-8")
        )
        assert not foreign, page
