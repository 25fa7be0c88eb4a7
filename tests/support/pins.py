"""Write the pins of both locks into pyproject.toml, where uv reads them: python -m tests.support.pins (make pins).

uv keeps its own lock, uv.lock, which names the registry that it was made with and is not committed. Constraints give
`uv sync` and `uv run` the same versions without it.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-docs.lock")
BLOCK = re.compile(r"^constraint-dependencies = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL)


def pins() -> list[str]:
    """`name==version` of every line of the two locks, once, without markers."""
    lines = [line for lock in LOCKS for line in (ROOT / lock).read_text(encoding="utf-8").splitlines()]
    return sorted({line.split(" ;")[0] for line in lines if not line.startswith("#")}, key=str.lower)


def with_pins(project: str) -> str:
    """The text of pyproject.toml with the constraints renewed."""
    block = "constraint-dependencies = [\n" + "".join(f'    "{pin}",\n' for pin in pins()) + "]\n"
    renewed, found = BLOCK.subn(lambda _: block, project)
    if found != 1:
        raise ValueError(f"pyproject.toml has {found} blocks `constraint-dependencies = [...]`, one is needed")
    return renewed


if __name__ == "__main__":
    path = ROOT / "pyproject.toml"
    path.write_text(with_pins(path.read_text(encoding="utf-8")), encoding="utf-8")
