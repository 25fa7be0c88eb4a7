"""Snapshots of a model's gradients, and the tables and figures that are made of them."""

import pandas as pd
import pytest
import torch
from torch import Tensor

from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.builder import build
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.plots import regrad as regrad_figures
from mmdg_lite.regrad import plane
from mmdg_lite.regrad.balancing import Moment
from mmdg_lite.regrad.effects import TITLES, available
from mmdg_lite.regrad.step import ReGrad, Report
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.studies import regrad as regrad_study
from mmdg_lite.studies.regrad import CERTAIN, Snapshot
from tests.support.small_runs import small_config, small_data
from tests.support.toy import Toy


def look(config: RunConfig, model: MultimodalModel, *, seed: int) -> tuple[Snapshot, ...]:
    options = {"source_domains": config.domains.sources, "number": 3, "batch_size": 8, "progress": False}
    return regrad_study.gradient_snapshots(model, small_data(config).train, seed=seed, **options)  # type: ignore[arg-type]


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


def snapshot(rows: list[list[list[float]]]) -> Snapshot:
    """One branch each, of one tensor: its gradients of L_R, L_D and L_I."""
    of_branch = [torch.tensor(row).double() for row in rows]  # 3 x n each
    grams: dict[int, Tensor] = {m: (g @ g.T)[None] for m, g in enumerate(of_branch)}
    return Snapshot(grams=grams, moment=Moment(losses=[1.0, 2.0, 3.0], fastest=0, certainty=[0.5, 0.5, 0.5]))


TOY = (
    snapshot(
        [
            [[1.0, 0.0], [-3.0, 0.0], [0.0, 0.5]],
            [[0.5, 0.5], [1.0, 1.0], [0.0, 0.0]],
            [[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]],
        ]
    ),
)


def test_pairs_by_hand() -> None:
    """RGB's branch: depth is three times as long and conflicts; depth's: half as long and agrees; infrared's: alone."""
    table = regrad_study.pairs(TOY).set_index(["branch", "other"])
    assert table.loc[("rgb", "depth"), ["ratio", "conflicts", "dominant"]].tolist() == [3, 1, 1]
    assert table.loc[("rgb", "infrared"), ["ratio", "conflicts"]].tolist() == [0.5, 0]
    assert table.loc[("depth", "rgb"), ["ratio", "conflicts", "dominant"]].tolist() == [0.5, 0, 0]
    assert table.loc[("depth", "infrared"), "ratio"] == 0


def test_effects_have_a_row_per_step_and_rule() -> None:
    nothing_shared = Snapshot(grams={0: torch.diag(torch.ones(3)).double()[None] * 0}, moment=TOY[0].moment)
    table = regrad_study.effects((nothing_shared, *TOY, *TOY), progress=False)
    names = [*(TITLES[rule] for rule in available()), CERTAIN]
    assert len(table) == 2 * len(names)
    assert list(table["step"].unique()) == [2, 3]  # in the first nothing crosses between modalities
    means = regrad_study.by_rule(table)
    assert list(means.index) == names
    assert means.loc["plain sum", ["length", "to_plain"]].tolist() == pytest.approx([1, 1])
    assert means[["against", "raises_rgb", "raises_depth", "raises_infrared"]].stack().between(0, 1).all()
    assert (means["raised"] - means[[f"raises_{m.value}" for m in MODALITIES]].sum(axis=1)).abs().max() < 1e-9


def test_certain_regrad_is_regrad_where_it_is_certain() -> None:
    table = regrad_study.effects(TOY, rules=["regrad"], progress=False)
    assert table.iloc[0]["length"] != table.iloc[1]["length"]
    moment = Moment(losses=[1.0, 2.0, 3.0], fastest=0, certainty=[1.0, 1.0, 1.0])
    sure = Snapshot(grams=TOY[0].grams, moment=moment)
    table = regrad_study.effects([sure], rules=["regrad"], progress=False).drop(columns="rule")
    pd.testing.assert_series_equal(table.iloc[0], table.iloc[1], check_names=False)


def test_a_look_at_a_model_changes_nothing() -> None:
    config = small_config("mmdg++")
    model = build(config.model).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second, other = (look(config, model, seed=seed) for seed in (0, 0, 1))
    assert len(first) == 3
    for one, again in zip(first, second, strict=True):
        assert one.moment.losses == again.moment.losses
        assert all(torch.equal(gram, again.grams[m]) for m, gram in one.grams.items())
    assert first[0].moment.losses != other[0].moment.losses
    assert set(first[0].grams) == {0, 1, 2} and all(gram.shape[1:] == (3, 3) for gram in first[0].grams.values())
    assert not model.training and model.generator is None
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_figure_shows_every_case() -> None:
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
