"""What a worker of a grid holds in memory, and what it computes before its first step.

`python -m tests.benchmarks.worker_memory` goes through the stages of notebook 06's run in a fresh process, and writes
its section of tests/benchmarks/RESULTS.md: resident memory after each stage, the part of it that no other process can
share, and seconds of the process's own time.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("RESULTS.md")
SECTION = "Memory and start of a grid's worker"


def stages(folder: Path) -> dict[str, Callable[[dict[str, Any]], None]]:
    """What a run does, in order; each stage may leave things for the next."""

    def kernel(_: dict[str, Any]) -> None:
        import ipykernel.kernelapp  # noqa: F401

    def pytorch(_: dict[str, Any]) -> None:
        import torch  # noqa: F401

    def clip(_: dict[str, Any]) -> None:
        import open_clip  # noqa: F401

    def package(_: dict[str, Any]) -> None:
        import mmdg_lite.plots.training
        import mmdg_lite.training.run  # noqa: F401

    def data(kept: dict[str, Any]) -> None:
        from mmdg_lite.runs.config import configure
        from mmdg_lite.runs.setting_data import load_setting

        changes = {"steps": 2, "validate_every": 2}
        kept["config"] = configure("full", data={"cache": str(folder / "cache")}, training=changes)
        kept["data"] = load_setting(kept["config"], progress=False)

    def training(kept: dict[str, Any]) -> None:
        from mmdg_lite.training.run import train

        train(kept["config"], Path(tempfile.mkdtemp(dir=folder)), data=kept["data"], progress=False)

    return {
        "Python and the notebook's kernel": kernel,
        "PyTorch": pytorch,
        "open_clip, which brings torchvision and timm": clip,
        "this package, pandas, matplotlib, seaborn": package,
        "the setting's samples": data,
        "steps, validation, tests": training,
    }


def memory() -> dict[str, int]:
    """Resident memory of this process and its own part, in MiB (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    names = {"resident": "VmRSS", "own": "RssAnon", "peak": "VmHWM"}
    return {name: int(lines[field].split()[0]) // 1024 for name, field in names.items()}


def measure(folder: Path) -> None:
    """Print a JSON line per stage."""
    kept: dict[str, Any] = {}
    for name, stage in stages(folder).items():
        start = time.process_time()
        stage(kept)
        print(json.dumps({"stage": name, "seconds": time.process_time() - start, **memory()}), flush=True)


def main() -> None:
    """Measure in a process of its own, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in", dest="folder", type=Path, help=argparse.SUPPRESS)
    folder = parser.parse_args().folder
    if folder is not None:
        measure(folder)
        return
    import pandas as pd  # here, so that the measured process begins with none of it

    from mmdg_lite.results.table_text import grid
    from tests.support.sections import write_section

    with tempfile.TemporaryDirectory() as made:
        command = [sys.executable, "-m", "tests.benchmarks.worker_memory", "--in", made]
        for _ in range(2):  # the first fills the cache of samples
            shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = pd.DataFrame([json.loads(line) for line in shown.splitlines() if line.startswith("{")])
    table = pd.DataFrame(
        {
            "after": rows["stage"],
            "resident, MiB": rows["resident"],
            "of it not shared, MiB": rows["own"],
            "peak, MiB": rows["peak"],
            "seconds": rows["seconds"].round(1),
        }
    )
    text = (
        f"MMDG++ with the tiny CLIP, batch 24, in the full profile; {platform.processor() or platform.machine()}, "
        "seconds of the process's own time. Samples are read from the cache that all workers share. Written by "
        f"`python -m tests.benchmarks.worker_memory`.\n\n{grid(table)}\n"
    )
    write_section(RESULTS, SECTION, text)
    print(text)


if __name__ == "__main__":
    main()
