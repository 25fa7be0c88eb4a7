"""How much memory a process has needed at most: the main memory, and the accelerator's."""

import re
import sys
from pathlib import Path
from typing import Any

import torch

MIB = 2**20


def peak_memory(device: torch.device) -> dict[str, Any]:
    """Most memory that this process has held since it began, in MiB.

    Returns:
        `memory_mib`: resident main memory of the whole process, whatever it did before, None on Windows;
        `device_memory_mib`: memory allocated on a CUDA device, None on other devices.
    """
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
