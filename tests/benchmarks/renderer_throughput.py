"""Throughput of the renderer: `python -m tests.benchmarks.renderer_throughput` prints triplets per second as JSON.

One thread per process; processes render different seeds. The target is 250 triplets a second at 64 x 64 on two cores.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"  # read when numpy is first imported, below and in the child processes

from mmdg_lite.data.synthetic import benchmark_split  # noqa: E402

TARGET = 250
DOMAINS = "WCPS"


def render_some(job: tuple[int, int, int]) -> tuple[float, float]:
    """Renders samples of the four domains in turn; seconds on the clock and of this process's own computing."""
    seed, samples, size = job
    benchmark_split("W", "train", 8, seed, size=size)  # imports and caches
    clock, own = time.perf_counter(), time.process_time()
    for letter in DOMAINS:
        benchmark_split(letter, "train", samples // len(DOMAINS), seed, size=size)
    return time.perf_counter() - clock, time.process_time() - own


def measure(*, samples: int, size: int, processes: int) -> dict[str, float]:
    """Triplets per second of all processes together, and per second of computing of one core."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        seconds = list(pool.map(render_some, [(seed, samples, size) for seed in range(processes)]))
    together = sum(samples / clock for clock, _ in seconds)
    return {
        "size": size,
        "processes": processes,
        "triplets_per_second": round(together, 1),
        "triplets_per_core_second": round(samples * processes / sum(own for _, own in seconds), 1),
        "ratio_to_target": round(together / TARGET, 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=512, help="per process")
    parser.add_argument("--size", type=int, nargs="+", default=[64])
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    for size in options.size:
        print(json.dumps(measure(samples=options.samples, size=size, processes=options.processes)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
