"""Time and memory of pieces of work, side by side in one process."""

import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

Work = Callable[[], object]


def clock(device: torch.device) -> float:
    """Seconds on the clock, once the device has done what it was given; the process's own where one thread computes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()


def seconds_of(work: Work, device: torch.device) -> float:
    """Seconds of one execution by `clock`."""
    start = clock(device)
    work()
    return clock(device) - start


def fastest_of_each(works: dict[str, Work], repeats: int, device: torch.device) -> dict[str, float]:
    """Seconds by `clock`: every work warmed up once, then all in turn, `repeats` times, the least of each."""
    for work in works.values():
        work()
    taken = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            taken[name].append(seconds_of(work, device))
    return {name: min(seconds) for name, seconds in taken.items()}


def peak_memory(work: Work) -> float:
    """Peak of PyTorch's allocations in main memory while `work` runs, above what was there before, in MiB."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    result = profile.profiler.kineto_results if profile.profiler is not None else None
    assert result is not None
    events = sorted((e for e in result.events() if e.name() == "[memory]"), key=lambda e: e.start_ns())
    current = peak = 0
    for event in events:
        current += event.nbytes()
        peak = max(peak, current)
    return peak / 2**20


def peak_on(device: torch.device, work: Work) -> float:
    """Peak of PyTorch's allocations on a device while `work` runs, above what was there before, in MiB."""
    if device.type != "cuda":
        return peak_memory(work)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    return (torch.cuda.max_memory_allocated(device) - before) / 2**20


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def device_name(device: torch.device) -> str:
    """What a device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
