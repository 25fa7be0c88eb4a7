"""What a run was made with: versions, device and the commit of the source tree."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from mmdg_lite.runs.ranks import count


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device, number of ranks and commit that a run was made with."""
    packages = ("torch", "open_clip_torch", "numpy", "scikit-learn", "mmdg_lite")
    versions = {name: metadata.version(name) for name in packages}
    described = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type
    return {
        "python": platform.python_version(),
        "versions": versions,
        "device": device.type,
        "device_name": described,
        "threads": torch.get_num_threads(),
        "ranks": count(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """The commit of the source tree, with "+changes" if it was edited since; None outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
