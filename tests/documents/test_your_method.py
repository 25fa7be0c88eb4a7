"""YOUR_METHOD.md does what it says: its files are saved, its commands typed, its rule and its model trained."""

import inspect
import json
import re
from functools import partial

import pytest
import torch

from mmdg_lite.models import builder
from mmdg_lite.reproduce.dask import on_dask
from mmdg_lite.reproduce.grid import TRAINING_NOTEBOOK, plan
from mmdg_lite.results.collect import collect
from mmdg_lite.runs import plugins
from tests.regrad import test_balancing as properties
from tests.support.pages import ROOT, blocks, file_name, follow

PAGE = ROOT / "YOUR_METHOD.md"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The page's Python files by name; what they register is forgotten afterwards."""
    before = {table: dict(names) for table, names in plugins.TABLES.items()}
    monkeypatch.setattr(plugins, "_loaded", {})
    saved = {}
    for _, text in blocks(PAGE, "python"):
        saved[file_name(text)] = tmp_path / file_name(text)
        saved[file_name(text)].write_text(text, encoding="utf-8")
    yield saved
    for table, names in plugins.TABLES.items():
        names.clear()
        names.update(before[table])


@pytest.mark.timeout(1800)
def test_the_page_leads_to_a_table_with_the_own_rule_and_the_own_model(tmp_path):
    printed = follow(PAGE, tmp_path)
    frame = collect(tmp_path / "runs").set_index("method")
    for method, title in (("mmdg++_rule_capped", "MMDG++ with capped gradients"), ("late_fusion", "Late fusion")):
        hter = 100 * frame.loc[frame["missing"] == "", "hter"][method]
        assert re.search(rf"\| {re.escape(title)} +\| {hter:.2f} +\|", (tmp_path / "tables" / "P1.md").read_text())
    assert re.search(r"\| MMDG\+\+ with capped gradients +\| capped +\| \d", printed)
    line = json.loads((tmp_path / "runs" / "small_ssdg" / "metrics.jsonl").read_text().splitlines()[0])
    assert line["loss_total"] > 0 and line["loss_rgb"] is None
    recorded = json.loads((tmp_path / "runs" / "late_fusion" / "config.json").read_text())["plugins"]
    assert recorded["late_fusion.py"]["path"] == str(tmp_path / "late_fusion.py")
    tested = json.loads((tmp_path / "runs" / "late_fusion" / "evaluation" / "evaluation.json").read_text())
    assert "test_S" in tested["metrics"]


def test_the_page_s_triplet_loss_and_reversal_are_their_formulas(files):
    """Three samples: squared distances 2, 2 - sqrt 2 and 2 - sqrt 2."""
    plugins.load_plugin(files["small_ssdg.py"])
    page = inspect.getmodule(builder.ARCHITECTURES["small_ssdg"].builder)
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5**0.5, 0.5**0.5]])
    positive, negative = 2.0, 2 - 2**0.5  # from either anchor of class 0
    expected = torch.tensor(positive - negative + 0.1)
    torch.testing.assert_close(page.triplet_loss(z, torch.tensor([0, 0, 1])), expected)
    assert page.triplet_loss(z, torch.tensor([0, 1, 2])) == 0  # no pair of one class
    x = torch.tensor([3.0], requires_grad=True)
    y = page.ReversedGradient.apply(x, 0.5)
    (4 * y).sum().backward()
    assert torch.equal(y, x) and x.grad == -2


@pytest.mark.parametrize(
    "holds",
    [
        properties.test_zero_gradients_give_zero,
        *(partial(properties.test_scaled_gradients_give_a_scaled_result, scale=scale) for scale in (1e-25, 1e15)),
        properties.test_order_of_the_parameters_does_not_matter,
        properties.test_a_rule_draws_from_its_seed_alone,
        properties.test_a_missing_modality_is_a_zero_gradient,
        properties.test_what_a_single_loss_reaches_is_left_alone,
        properties.test_not_finite_gradients_stay_visible,
        properties.test_a_step_leaves_the_total_s_gradient_plus_the_rule_s,
        properties.test_the_toy_learns_under_every_rule,
    ],
    ids=lambda holds: getattr(holds, "func", holds).__name__.removeprefix("test_"),
)
def test_the_page_s_rule_has_what_every_rule_has(holds, files):
    plugins.load_plugin(files["capped.py"])
    holds(rule="capped")


@pytest.mark.timeout(1800)
def test_the_page_s_rule_reaches_the_notebook_on_a_worker(files, tmp_path):
    small = {
        "training": {"steps": 2, "batch_size": 4, "warmup": 1},
        "data": {"train_samples": 4, "validation_samples": 12, "test_samples": 12},
    }
    [run, *_] = plan(
        "quick",
        protocols=["P1"],
        methods=["mmdg++_rule_capped"],
        seeds=[0],
        out=tmp_path,
        device="cpu",
        changes=small,
        plugins=files.values(),
    )
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    reports = on_dask([run], ROOT / "notebooks" / TRAINING_NOTEBOOK, workers=1, environment=environment)
    [outcome] = [report for report in reports if report]
    assert outcome.error == "" and run.finished
    assert set(collect(tmp_path)["method"]) == {"mmdg++_rule_capped"}
