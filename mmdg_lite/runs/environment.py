"""What a run was made with: versions, device and the commit of the source tree."""

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what reads runs needs no torch
    import torch


def environment(device: "torch.device") -> dict[str, Any]:
    """Versions, device, number of ranks and commit that a run was made with."""
    import torch

    from mmdg_lite.runs.ranks import world_size

    packages = ("torch", "open_clip_torch", "numpy", "scikit-learn", "mmdg_lite")
    versions = {name: metadata.version(name) for name in packages}
    described = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type
    return {
        "python": platform.python_version(),
        "versions": versions,
        "device": device.type,
        "device_name": described,
        "threads": torch.get_num_threads(),
        "ranks": world_size(),
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


MIB = 2**20


def peak_memory(device: "torch.device") -> dict[str, Any]:
    """Most memory that this process has held since it began, in MiB.

    Returns:
        `memory_mib`: resident main memory of the whole process, whatever it did before, None on Windows;
        `device_memory_mib`: memory allocated on a CUDA device, None on other devices.
    """
    import torch

    on_device = torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None
    resident = _resident()
    return {
        "memory_mib": None if resident is None else round(resident / MIB),
        "device_memory_mib": None if on_device is None else round(on_device),
    }


def _resident() -> int | None:
    """Bytes. Linux counts per program in VmHWM; `getrusage` would also count the process that it was started from."""
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)):
        return 1024 * int(found[1])
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
