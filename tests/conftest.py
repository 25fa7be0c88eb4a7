"""Settings that every test shares: one thread per process, no chance, no screen, no kernels of the user's own."""

import os
import sys
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
