"""A watched training is the training; its snapshots hold what its log says; tables and figures of notebook 04."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.builder import build
from mmdg_lite.plots import regrad as regrad_figures
from mmdg_lite.regrad import plane
from mmdg_lite.regrad.balancing import Moment
from mmdg_lite.regrad.effects import TITLES, available
from mmdg_lite.regrad.step import ReGrad, Report
from mmdg_lite.results.collect import read_history
from mmdg_lite.runs.folder import RunFolder
from mmdg_lite.studies import regrad as regrad_study
from mmdg_lite.studies.regrad import CERTAIN, Recording, Snapshot
from mmdg_lite.training.trainer import Trainer
from tests.support.small_runs import small_config, small_data
from tests.support.toy import Toy


@pytest.fixture(scope="module")
def plain() -> Recording:
    config = small_config("mmdg++_without_regrad")
    return regrad_study.record(config, small_data(config), progress=False)


@pytest.mark.parametrize("rule", ["none", "regrad"])
def test_watching_changes_no_gradient(rule: str) -> None:
    torch.manual_seed(5)
    toy = Toy()
    batch = (list(torch.randn(3, 8, 6)), torch.arange(8) % 5, torch.arange(8) % 2)
    seen: list[tuple[Report, Moment]] = []
    found = []
    for watch in (None, lambda report, grams, moment: seen.append((report, moment))):
        total, losses = toy.losses(*batch)
        balance = ReGrad(rule=rule, watch=watch)  # type: ignore[arg-type]
        report = balance.step(losses, total, toy.assignment(), (0.5, 0.25, 0.75))
        found.append([p.grad.clone() for p in toy.parameters() if p.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert len(seen) == 1 and seen[0][0] == report
    assert seen[0][1].losses == pytest.approx([float(loss.detach()) for loss in losses])
    assert 0 <= report.conflict_rate <= 1


def test_recording_agrees_with_the_log_of_an_unwatched_run(tmp_path) -> None:
    config = small_config("mmdg++")
    recording = regrad_study.record(config, small_data(config), progress=False)
    trainer = Trainer(config, RunFolder(tmp_path), small_data(config), progress=False)
    trainer.fit()
    logged = read_history(tmp_path).set_index("step")
    mine = recording.history.set_index("step").loc[logged.index]
    assert len(recording.snapshots) == len(recording.history) == config.training.steps
    for kind in ("loss", "average", "certainty", "gradient_norm"):
        for m in MODALITIES:
            np.testing.assert_allclose(mine[f"{kind}_{m.value}"], logged[f"{kind}_{m.value}"], rtol=1e-4)
    np.testing.assert_allclose(mine["conflict_rate"], logged["conflict_rate"], rtol=1e-4)
    assert list(mine["fastest"]) == list(logged["fastest"])


def snapshot(rows: list[list[list[float]]]) -> Snapshot:
    """One branch each, of one tensor: its gradients of L_R, L_D and L_I."""
    of_branch = [torch.tensor(row).double() for row in rows]  # 3 x n each
    grams: dict[int, Tensor] = {m: (g @ g.T)[None] for m, g in enumerate(of_branch)}
    return Snapshot(grams=grams, moment=Moment(losses=[1.0, 2.0, 3.0], fastest=0, certainty=[0.5, 0.5, 0.5]))


TOY = Recording(
    history=pd.DataFrame(),
    snapshots=(
        snapshot(
            [
                [[1.0, 0.0], [-3.0, 0.0], [0.0, 0.5]],
                [[0.5, 0.5], [1.0, 1.0], [0.0, 0.0]],
                [[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]],
            ]
        ),
    ),
)


def test_pairs_by_hand() -> None:
    """RGB's branch: depth is three times as long and conflicts; depth's: half as long and agrees; infrared's: alone."""
    table = regrad_study.pairs(TOY.snapshots).set_index(["branch", "other"])
    assert table.loc[("rgb", "depth"), ["ratio", "conflicts", "dominant"]].tolist() == [3, 1, 1]
    assert table.loc[("rgb", "infrared"), ["ratio", "conflicts"]].tolist() == [0.5, 0]
    assert table.loc[("depth", "rgb"), ["ratio", "conflicts", "dominant"]].tolist() == [0.5, 0, 0]
    assert table.loc[("depth", "infrared"), "ratio"] == 0


def test_shared_part_by_hand() -> None:
    """1 + 9 + 1/4 in RGB's branch, 1/2 + 2 in depth's; the 4 of infrared's belong to one loss alone."""
    assert regrad_study.shared_part(TOY.snapshots) == pytest.approx(12.75 / 16.75)


def test_effects_have_a_row_per_step_and_rule(plain: Recording) -> None:
    table = regrad_study.effects(plain.snapshots, progress=False)
    names = [*(TITLES[rule] for rule in available()), CERTAIN]
    assert len(table) == (len(plain.snapshots) - 1) * len(names)  # at first nothing crosses between modalities
    assert list(table["step"].unique()) == list(range(2, 1 + len(plain.snapshots)))
    means = regrad_study.by_rule(table)
    assert list(means.index) == names
    assert means.loc["plain sum", ["length", "to_plain"]].tolist() == pytest.approx([1, 1])
    assert means[["against", "raises_rgb", "raises_depth", "raises_infrared"]].stack().between(0, 1).all()
    assert (means["raised"] - means[[f"raises_{m.value}" for m in MODALITIES]].sum(axis=1)).abs().max() < 1e-9


def test_certain_regrad_is_regrad_where_it_is_certain() -> None:
    table = regrad_study.effects(TOY.snapshots, rules=["regrad"], progress=False)
    assert table.iloc[0]["length"] != table.iloc[1]["length"]
    moment = Moment(losses=[1.0, 2.0, 3.0], fastest=0, certainty=[1.0, 1.0, 1.0])
    sure = Recording(history=TOY.history, snapshots=(Snapshot(grams=TOY.snapshots[0].grams, moment=moment),))
    table = regrad_study.effects(sure.snapshots, rules=["regrad"], progress=False).drop(columns="rule")
    pd.testing.assert_series_equal(table.iloc[0], table.iloc[1], check_names=False)


def test_a_look_at_a_model_changes_nothing(plain: Recording) -> None:
    config = small_config("mmdg++")
    data, model = small_data(config), build(config.model).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    options = {"source_domains": config.domains.sources, "number": 3, "batch_size": 8, "progress": False}
    first, second, other = (
        regrad_study.gradient_snapshots(model, data.train, seed=seed, **options) for seed in (0, 0, 1)
    )  # type: ignore[arg-type]
    assert len(first) == 3
    for one, again in zip(first, second, strict=True):
        assert one.moment.losses == again.moment.losses
        assert all(torch.equal(gram, again.grams[m]) for m, gram in one.grams.items())
    assert first[0].moment.losses != other[0].moment.losses
    assert {m: gram.shape for m, gram in first[0].grams.items()} == {
        m: gram.shape for m, gram in plain.snapshots[0].grams.items()
    }
    assert not model.training and model.generator is None
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_figures_show_every_case_branch_and_rule(plain: Recording) -> None:
    means = regrad_study.by_rule(regrad_study.effects(plain.snapshots, progress=False))
    figure = regrad_figures.directions(means, title="toy")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(means.index)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata(), means["length"])
    figure = regrad_figures.others_beside_own(regrad_study.pairs(plain.snapshots))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        f"in the {name} branch" for name in ("RGB", "depth", "infrared")
    ]
    assert all(len(axes.lines) == 3 for axes in figure.axes)
    two = [
        plane.compare(
            plane.situation(branch="rgb", angle=(0, angle, 0), length=(1, 1, 0), loss=(1, 0.5, 2), certainty=(1, 1, 1))
        )
        for angle in (40, 140)
    ]
    figure = regrad_figures.cases({"agree": two[0], "conflict": two[1]})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["agree", "conflict"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "gradient of depth's loss" in labels and "gradient of infrared's loss" not in labels
