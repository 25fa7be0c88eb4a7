"""Results that several programs write into one Markdown file, each its own section."""

import re
from pathlib import Path

from mmdg_lite.configuration import write_text


def write_section(path: Path, title: str, text: str) -> None:
    """Put `text` under the heading `## title`, in the place of what stood there, or at the end."""
    old = path.read_text(encoding="utf-8") if path.exists() else "# Benchmarks\n"
    section = f"## {title}\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", flags=re.DOTALL | re.MULTILINE)
    if pattern.search(old):
        new = pattern.sub(lambda found: section + ("\n" if found.end() < len(old) else ""), old)
    else:
        new = f"{old.rstrip()}\n\n{section}"
    write_text(path, new)
