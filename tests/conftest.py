"""Settings that every test shares: one thread per process, no chance, no screen, no kernels of the user's own."""

import json
import os
import sys
import zlib
from pathlib import Path

# Two pytest-xdist workers on two cores want one thread each, and one thread makes sums bit-for-bit repeatable.
# Set before numpy or torch are imported; kernels that papermill starts inherit it.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ[name] = os.environ.get("MMDG_TEST_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"

import hypothesis
import numpy as np
import pytest
import torch

from mmdg_lite.metrics import threshold_at_eer
from mmdg_lite.runs.scores import write_scores

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
hypothesis.settings.register_profile("mmdg", derandomize=True, deadline=None, max_examples=40, print_blob=True)
hypothesis.settings.load_profile("mmdg")


@pytest.fixture
def rng() -> np.random.Generator:
    """A numpy generator that starts from the same state in every test."""
    return np.random.default_rng(20240615)


@pytest.fixture
def generator() -> torch.Generator:
    """A torch generator that starts from the same state in every test."""
    return torch.Generator().manual_seed(20240615)


@pytest.fixture(autouse=True)
def _global_generators_start_alike():
    """What draws from a global generator (torch's own layer initialisation) does not depend on the order of tests."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002


@pytest.fixture
def make_run(tmp_path: Path):
    """A function that writes a finished run folder with made-up scores below tmp_path / "runs" and returns the folder.

    Live scores centre on 0.5 + skill / 2, spoof scores on 0.5 - skill / 2; ids and labels are the same in every list.
    """

    def write(
        *,
        method: str = "fusion",
        setting: str = "CPS->W",
        targets: str = "W",
        protocol: str = "P1",
        seed: int = 0,
        skill: float = 0.3,
        missing: tuple[str, ...] = ("",),
        profile: str = "quick",
        data_root: str | None = None,
        samples: int = 60,
    ) -> Path:
        run = tmp_path / "runs" / f"{profile}-{protocol}-{setting.replace('->', '-to-')}-{method}-{seed}"
        chance = np.random.default_rng([seed, zlib.crc32(f"{method} {setting}".encode())])
        labels = np.arange(samples) % 2
        species = np.where(labels == 1, "live", np.where(np.arange(samples) % 4 == 0, "print", "replay"))

        def scores(name: str) -> np.ndarray:
            values = np.clip(0.5 + skill * (labels - 0.5) + 0.2 * chance.standard_normal(samples), 0, 1)
            write_scores(run / "scores" / name, [f"{i:04}" for i in range(samples)], labels, species, values)
            return values

        threshold = threshold_at_eer(scores("validation.csv.gz"), labels)
        for target in targets:
            for gone in missing:
                scores(f"test_{target}{'_without_' + gone if gone else ''}.csv.gz")
        config = {"profile": profile, "protocol": protocol, "setting": setting, "method": method, "seed": seed}
        (run / "config.json").write_text(json.dumps({**config, "data": {"root": data_root}}))
        lines = [
            {"event": "train", "step": step, "loss_total": 1 / step, "loss_rgb": 0.9 / step, "loss_depth": 0.8 / step}
            | {"loss_infrared": 0.7 / step, "fastest": "rgb", "certainty_rgb": 0.7, "conflict_rate": 0.25}
            for step in range(1, 9)
        ]
        (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (run / "result.json").write_text(
            json.dumps({"metrics": {}, "seconds": 1.5, "steps": 8, "threshold": threshold})
        )
        return run

    return write
