"""Training and testing under bfloat16, which `precision="auto"` means on GPUs, here on a CPU."""

import numpy as np
import pytest

from mmdg_lite.results.collect import list_names, read_history, read_list
from tests.support.small_runs import small_run

SMALLEST = 2**-7  # relative distance of two neighbouring numbers in bfloat16


@pytest.mark.parametrize("method", ["mmdg++", "fusion"])
def test_a_run_in_bfloat16_stays_near_one_in_float32(method, tmp_path):
    exact, near = (small_run(tmp_path / name, method, training={"precision": name}) for name in ("float32", "bfloat16"))
    losses, rounded = (read_history(run)["loss_total"].to_numpy() for run in (exact, near))
    assert losses[0] != rounded[0] == pytest.approx(losses[0], rel=SMALLEST)
    assert np.isfinite(rounded).all()
    assert list_names(near) == list_names(exact) != []
    for name in list_names(near):
        np.testing.assert_allclose(read_list(near, name).scores, read_list(exact, name).scores, rtol=0, atol=0.02)
