"""Pages in Markdown, followed as a reader would: files are saved under their names, commands are typed."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Language and text of the code blocks in these languages, in order."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(language, text) for language, text in found if language in languages]


def file_name(text: str) -> str:
    """The name that a Python block's first line gives it."""
    match = re.match(r"# (\w+\.py)\n", text)
    assert match, f"a Python block starts with the name of its file, this one with {text[:40]!r}"
    return match[1]


def follow(page: Path, folder: Path) -> str:
    """Save every Python block in `folder` and execute every Bash block there; what the commands print."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    printed = []
    for language, text in blocks(page, "python", "bash"):
        if language == "python":
            (folder / file_name(text)).write_text(text, encoding="utf-8")
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    return "\n".join(printed)
