"""`python -m tests.support.fuzz`: mutated files for every reader, and a table of what becomes of them."""

import argparse
import logging
import os
import resource
import sys
import tempfile
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # read when tqdm is imported

import torch

from tests.support.fuzz import every
from tests.support.fuzz.reader import OTHER, fuzz, shares, table

ROOM = 6 * 2**30
"""Bytes of address space that reading may take beyond what the process has when it begins."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="mutated files in all")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations")
    parser.add_argument("--readers", nargs="+", help="names of readers; without it all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.CRITICAL)  # of tifffile and Pillow about damaged pictures
    with tempfile.TemporaryDirectory() as folder:
        readers = every.readers(Path(folder))
        readers = {name: readers[name] for name in options.readers or readers}
        _limit_memory()
        rows = []
        for name, cases in shares(readers, options.cases).items():
            rows.append((name, fuzz(readers[name], cases, options.seed)))
            print(f"{name}: {dict(rows[-1][1].counts)}", file=sys.stderr, flush=True)
    for name, made in rows:
        for example in made.others[:20]:
            print(f"{name}: {example}", file=sys.stderr)
    print(table(rows))
    return int(any(made.counts[OTHER] for _, made in rows))


def _limit_memory() -> None:
    """No case may take more than `ROOM`: what asks for more fails there rather than on a smaller machine."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
