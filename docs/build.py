"""Build the site: python docs/build.py (make site).

The pages are the repository's own texts, committed notebooks and diagrams, copied side by side as they lie in the
repository so that their links hold, and pages of the API from docstrings. Nothing is executed or imported, nothing is
fetched, and a link that leads nowhere is an error.
"""

import argparse
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
    "mmdg_lite/assets/*.md",
)


def without_links_to_folders(text: str, place: Path) -> str:
    """A link to a folder keeps its words only: the site has pages, not folders. `place` is the folder of the text."""

    def words(link: re.Match[str]) -> str:
        return link[1] if (place / link[2]).is_dir() else link[0]

    return re.sub(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)\)", words, text)


def collect(folder: Path) -> None:
    """Copy the site's pages and pictures to `folder`, each at its place in the repository, and `docs` above them."""
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".md":
                text = path.read_text(encoding="utf-8")
                copy.write_text(without_links_to_folders(text, path.parent), encoding="utf-8")
            else:
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
