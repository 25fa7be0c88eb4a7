"""Install on Google Colab what Colab lacks, at the locked versions, and leave what is there, PyTorch above all.

The notebooks' first cell runs this file. Only the standard library is used, and packaging, which Colab has.
"""

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
OF_TORCH = ("torch", "torchvision", "triton", "cuda-", "nvidia-")


def missing(lock: str, installed: set[str]) -> list[str]:
    """Pins of `lock`, the text of requirements.lock, that this machine needs and `installed` has no version of.

    `installed` holds normalised names. Nothing of PyTorch or CUDA is ever among the pins.
    """
    requirements = [Requirement(line) for line in lock.splitlines() if line and not line.startswith("#")]
    return [
        f"{wanted.name}{wanted.specifier}"
        for wanted in requirements
        if (wanted.marker is None or wanted.marker.evaluate())
        and (name := canonicalize_name(wanted.name)) not in installed
        and not (name in OF_TORCH or name.startswith(OF_TORCH[3:]))
    ]


def main() -> None:
    """Install the missing pins, then the package itself in place."""
    installed = {canonicalize_name(distribution.metadata["Name"]) for distribution in distributions()}
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    pins = missing((ROOT / "requirements.lock").read_text(encoding="utf-8"), installed)
    if pins:
        subprocess.run([*install, *pins], check=True)
    subprocess.run([*install, "--editable", str(ROOT)], check=True)
    print(
        f"{len(pins)} packages installed, the others are Colab's own. `python -m mmdg_lite doctor` compares versions."
    )


if __name__ == "__main__":
    main()
