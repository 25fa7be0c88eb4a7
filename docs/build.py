"""Build the site: python docs/build.py (make site).

The pages are the repository's own texts, committed notebooks and diagrams, copied side by side as they lie in the
repository so that their links hold, and pages of the API from docstrings. Nothing is executed or imported, nothing is
fetched, and a link that leads nowhere is an error.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "*.md",
    "CITATION.cff",
    "data_prep/*.md",
    "notebooks/*.ipynb",
    "notebooks/assignments/*.ipynb",
    "notebooks/assignments/pictures/*.png",
    "figures/**/*.md",
    "figures/**/*.svg",
    "figures/**/*.png",
    "figures/**/*.gif",
    "mmdg_lite/assets/*.md",
)


LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")


def for_the_site(text: str, place: Path) -> str:
    """Markdown with links that the site can follow; `place` is the folder of the text.

    A link to a folder keeps its words only: the site has pages, not folders. Within a page, Jupyter's names of headings
    ("Where:-to-start") become the site's ("where-to-start").
    """

    def followed(link: re.Match[str]) -> str:
        words, target, heading = link[1], link[2], link[3] or ""
        if target and (place / target).is_dir():
            return words
        return f"[{words}]({target}{heading if target else _slug(heading)})"

    return LINK.sub(followed, text)


def _slug(heading: str) -> str:
    return "#" + re.sub(r"[^\w-]", "", heading[1:].lower())


def linked_files(text: str, place: Path) -> set[Path]:
    """The repository's files that a text links to; the site offers those that are no pages as they are."""
    found = {(place / link[2]).resolve() for link in LINK.finditer(text) if link[2]}
    return {path for path in found if path.is_file() and path.is_relative_to(ROOT)}


def collect(folder: Path) -> None:
    """Copy the site's pages and pictures to `folder`, each at its place in the repository, and `docs` above them."""
    pages = sorted({path for pattern in PAGES for path in ROOT.glob(pattern)})
    linked: set[Path] = set()
    for path in pages:
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            linked |= linked_files(text, path.parent)
            copy.write_text(for_the_site(text, path.parent), encoding="utf-8")
        elif path.suffix == ".ipynb":
            notebook = json.loads(path.read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                if cell["cell_type"] == "markdown":
                    text = "".join(cell["source"])
                    linked |= linked_files(text, path.parent)
                    cell["source"] = for_the_site(text, path.parent)
            copy.write_text(json.dumps(notebook), encoding="utf-8")
        else:
            shutil.copyfile(path, copy)
    for path in sorted(linked - set(pages)):
        copy = folder / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    shutil.copytree(ROOT / "docs", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("build.py", "__pycache__"))


def main(arguments: list[str] | None = None) -> int:
    """Sphinx's exit status."""
    from sphinx.cmd.build import main as sphinx

    parser = argparse.ArgumentParser(description="Build the site from committed files, executing nothing.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder for the pages")
    parser.add_argument("--builder", default="html", help="html, or linkcheck to try the links to other sites")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        collect(Path(folder))
        settings = ["-b", options.builder, "-D", f"autoapi_dirs={ROOT / 'mmdg_lite'},{ROOT / 'data_prep'}"]
        status = sphinx([*settings, "--fail-on-warning", "--keep-going", "-q", folder, str(options.out)])
    if status == 0 and options.builder == "html":
        print(f"The site is {options.out / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
