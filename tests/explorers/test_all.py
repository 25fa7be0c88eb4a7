"""The explorers: what their plain functions compute and draw, and the thin shell of controls around them."""

import json
from dataclasses import replace

import ipywidgets
import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from mmdg_lite.data.renderer.domains import DOMAINS
from mmdg_lite.explorers import all as widgets
from mmdg_lite.explorers import balance as balance_explorer
from mmdg_lite.explorers.shell import Drawn, Explorer, slider
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots import regrad as regrad_module
from mmdg_lite.plots import training as training_module
from mmdg_lite.plots.style import new_figure
from mmdg_lite.regrad import plane as plane_module
from mmdg_lite.regrad.effects import TITLES, available
from mmdg_lite.regrad.rule import RULES, regrad
from mmdg_lite.studies import modality_balance, quickstart
from mmdg_lite.studies.shapley import CHANCE, COALITIONS

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def shipped():
    return quickstart.load(device="cpu")


def plane(branch="rgb", angle=(0, 60, 120), length=(1, 2, 1), loss=(1, 0.5, 0.8), certainty=(1, 0.5, 1)):
    return plane_module.situation(branch=branch, angle=angle, length=length, loss=loss, certainty=certainty)


class TestReGradExplorer:
    def test_a_situation_worked_out_by_hand(self):
        """Branch RGB along x. Depth (1, sqrt 3) agrees: its (1, 0), halved. Infrared (-1/2, sqrt 3 / 2) conflicts: its
        (0, sqrt 3 / 2)."""
        found = plane_module.compare(plane())
        np.testing.assert_allclose(found.parts[0].kept, [1, 0], atol=1e-12)
        np.testing.assert_allclose(found.parts[0].dropped, [0, 3**0.5], atol=1e-12)
        np.testing.assert_allclose(found.parts[1].kept, [0, 3**0.5 / 2], atol=1e-12)
        np.testing.assert_allclose(found.results["ReGrad"], [1 + 0.5, 3**0.5 / 2], atol=1e-12)
        np.testing.assert_allclose(found.results["plain sum"], [1.5, 1.5 * 3**0.5], atol=1e-12)
        assert found.situation.fastest is Modality.DEPTH

    def test_the_fastest_branch_is_held_back_onto_the_sum_of_the_others(self):
        found = plane_module.compare(plane("depth", angle=(0, 60, 0), length=(1, 1, 1), certainty=(1, 0.5, 1)))
        (part,) = found.parts
        np.testing.assert_allclose(part.kept, [0.5, 0], atol=1e-12)
        np.testing.assert_allclose(found.results["ReGrad"], [2.25, 0], atol=1e-12)

    def test_parts_and_certainties_add_up_to_the_result(self, rng):
        for _ in range(20):
            angle, length = rng.uniform(-180, 180, 3), rng.uniform(0.1, 2, 3)
            given = plane("infrared", angle, length, rng.random(3), rng.random(3))
            found = plane_module.compare(given)
            own = given.gradients[2]
            base = given.gradients[:2].sum(axis=0) if given.fastest is Modality.INFRARED else own
            expected = base + sum(part.weight * part.kept for part in found.parts)
            np.testing.assert_allclose(found.results["ReGrad"], expected, atol=1e-12)

    def test_whom_a_result_hurts(self):
        found = plane_module.compare(plane(angle=(0, 170, 90), length=(2, 1, 0.1), loss=(1, 1, 1)))
        assert found.against("plain sum") == [Modality.DEPTH]

    def test_every_rule_is_drawn_and_finite_without_any_gradient(self):
        found = plane_module.compare(plane(length=(0, 0, 0)))
        assert all(np.isfinite(result).all() for result in found.results.values())
        figure = regrad_module.picture(found)
        titles = [axes.get_title(loc="center") for axes in figure.axes[1:]]
        assert titles == [TITLES[rule] for rule in available()]
        assert titles[:2] == ["ReGrad", "plain sum"] and "OGM-GE" in titles

    @pytest.mark.parametrize("rule", RULES)
    def test_projections_are_those_of_regrad_itself(self, rule, rng):
        for branch in MODALITIES:
            given = plane(branch, rng.uniform(-180, 180, 3), rng.uniform(0.1, 2, 3), rng.random(3), rng.random(3))
            gradients = list(torch.from_numpy(given.gradients))
            expected = regrad(gradients, branch, given.fastest, given.certainty, rule=rule)
            np.testing.assert_allclose(plane_module.balanced(given, rule), expected, atol=1e-9)

    def test_other_rules_by_hand(self):
        """At right angles and of equal length, MGDA's shortest combination is the mean; three times it is the sum."""
        given = plane(angle=(0, 90, 90), length=(1, 1, 0))
        if "mgda" in available():
            np.testing.assert_allclose(plane_module.balanced(given, "mgda"), [1, 1], atol=1e-6)
        ahead = plane("depth", angle=(0, 90, 90), length=(1, 1, 1), loss=(1, 0, 1))
        slowed = 1 - np.tanh(0.5 * np.e)  # depth's probability is e times that of the others
        np.testing.assert_allclose(plane_module.balanced(ahead, "ogm_ge"), [slowed, 2 * slowed], atol=1e-9)

    def test_bad_input_is_named(self):
        with pytest.raises(ValueError, match="lengths must be 0 or more, got -1"):
            plane(length=(1, -1, 1))
        with pytest.raises(ValueError, match="certainties are numbers from 0 to 1"):
            plane(certainty=(1, 2, 1))
        with pytest.raises(ValueError, match="angle needs three values"):
            plane(angle=(1, 2))

    def test_widget_redraws_when_a_slider_moves(self):
        explorer = widgets.explore_regrad()
        before, words = explorer.png, explorer.words
        explorer.controls["angle_rgb"].value = -120
        assert explorer.png != before and explorer.words != words
        explorer.set(angle_rgb=20)
        assert (explorer.png, explorer.words) == (before, words)


class TestBalanceExplorer:
    def test_scores_are_those_of_the_shipped_model(self, shipped):
        seen = balance_explorer.look(shipped, domain="W", species="print", sample=3)
        answer = shipped.answer(seen.faces)
        assert seen.score == pytest.approx(answer.scores[0], abs=1e-5)
        without = shipped.answer(seen.faces, missing=(Modality.DEPTH,))
        pair = frozenset({Modality.RGB, Modality.INFRARED})
        assert seen.scores[pair] == pytest.approx(without.scores[0], abs=1e-5)
        np.testing.assert_allclose(seen.text, answer.output.modality_scores()[0], atol=1e-5)
        np.testing.assert_allclose(seen.maps[1].ravel(), answer.certainty(0)[1, 1:], atol=1e-5)
        assert seen.decision == ("live" if answer.scores[0] >= answer.threshold else "spoof")

    def test_shapley_values_explain_the_score(self, shipped):
        seen = balance_explorer.look(shipped, domain="C", species="live", sample=1)
        assert seen.shapley.sum() == pytest.approx(seen.score - CHANCE, abs=1e-6)

    def test_missing_modalities_add_nothing_and_have_no_map(self, shipped):
        gone = [Modality.RGB, Modality.DEPTH]
        seen = balance_explorer.look(shipped, domain="W", species="live", sample=0, missing=gone)
        assert seen.score == seen.scores[frozenset({Modality.INFRARED})]
        assert seen.shapley[:2].tolist() == [0, 0]
        assert seen.shapley[2] == pytest.approx(seen.score - CHANCE)
        assert seen.maps == (None, None, None)  # infrared has nobody to listen to
        assert isinstance(balance_explorer.picture(seen), Figure)
        one = balance_explorer.look(shipped, domain="W", species="live", sample=0, missing=[Modality.DEPTH])
        assert [m is None for m in one.maps] == [False, True, False]

    def test_values_beyond_the_colour_scale_are_marked_and_bars_fit(self, shipped):
        seen = balance_explorer.look(shipped, domain="W", species="rigid_mask", sample=0)
        far = replace(seen, scores={c: 1.0 if Modality.INFRARED in c else 0.01 for c in seen.scores})
        figure = balance_explorer.picture(far, limits=(0.05, 0.06))
        (scale,) = {axes.images[0].colorbar for axes in figure.axes if axes.images and axes.images[0].colorbar}
        assert scale.extend == "both"
        bars = figure.axes[-1]
        assert bars.get_xlim()[1] > far.shapley.max() > 0.6

    def test_knobs_change_what_is_seen(self, shipped):
        plain = balance_explorer.look(shipped, domain="W", species="live", sample=0)
        turned = balance_explorer.look(shipped, domain="W", species="live", sample=0, knobs={"depth_holes": 0.7})
        assert (turned.faces.depth == 0).sum() > (plain.faces.depth == 0).sum()
        assert np.array_equal(plain.faces.rgb, turned.faces.rgb)
        assert turned.score != plain.score

    def test_nothing_present_is_said_in_the_pictures_place(self, shipped):
        explorer = widgets.explore_balance(shipped)
        explorer.set(use_rgb=False, use_depth=False, use_infrared=False)
        assert "switch one on" in explorer.words and explorer.png == b""
        assert "image/png" not in explorer._repr_mimebundle_()
        explorer.set(use_depth=True)
        assert explorer.png

    def test_sliders_follow_the_domain(self, shipped):
        explorer = widgets.explore_balance(shipped, domain="W")
        explorer.controls["depth_holes"].value = 0.5
        explorer.controls["domain"].value = "S"
        assert explorer.controls["depth_holes"].value == DOMAINS["S"].sensors.depth_holes
        assert explorer.controls["infrared_noise"].value == DOMAINS["S"].sensors.infrared_noise

    def test_words_say_what_is_seen(self, shipped):
        explorer = widgets.explore_balance(shipped, species="rigid_mask")
        assert "rigid mask" in explorer.words and "Shapley values: RGB" in explorer.words


def history(steps=8, conflicts=True):
    rows = [
        {"step": s, "fastest": "rgb" if s < 4 else None, "conflict_rate": 0.25 if conflicts else None}
        | {f"average_{m.value}": 1 / s for m in MODALITIES}
        | {f"gradient_norm_{m.value}": 2.0 if conflicts else None for m in MODALITIES}
        for s in range(1, steps + 1)
    ]
    return pd.DataFrame(rows)


class TestTrainingViewer:
    def test_summary(self):
        table = training_module.summary({"a": history(), "b": history(conflicts=False)})
        assert table.loc["a", "fastest RGB"] == 3 / 8
        assert table.loc["a", "conflict rate"] == 0.25
        assert np.isnan(table.loc["b", "conflict rate"])
        assert table.loc["a", "last average depth"] == 1 / 8

    def test_a_column_per_run_and_a_row_per_quantity(self):
        figure = training_module.picture({"a": history(), "b": history(conflicts=False)}, window=3)
        assert len(figure.axes) == 8
        first = figure.axes[0].lines[0].get_ydata()
        np.testing.assert_allclose(first[:3], [1, (1 + 1 / 2) / 2, (1 + 1 / 2 + 1 / 3) / 3])
        assert any("not recorded" in text.get_text() for text in figure.axes[5].texts)

    def test_a_quantity_that_no_run_has_takes_no_row(self):
        assert len(training_module.picture({"a": history(conflicts=False)}).axes) == 2
        assert len(training_module.picture({"a": history()}, panels=tuple(training_module.PANELS)).axes) == 4

    def test_reads_run_folders_and_refuses_fitted_ones(self, make_run, tmp_path):
        run = make_run(method="fusion")
        assert list(training_module.find_runs(tmp_path)) == [run.relative_to(tmp_path).as_posix()]
        (tmp_path / "probe").mkdir()
        (tmp_path / "probe" / "metrics.jsonl").write_text(json.dumps({"event": "validation", "strength": 1}) + "\n")
        assert len(training_module.find_runs(tmp_path)) == 1
        with pytest.raises(ValueError, match="probe has no training steps"):
            training_module.histories({"probe": tmp_path / "probe"})
        with pytest.raises(ValueError, match="choose at least one run"):
            training_module.picture({})
        with pytest.raises(ValueError, match="no run to view"):
            widgets.view_training({})

    def test_widget_shows_the_chosen_runs(self, tmp_path):
        for name in "ab":
            (tmp_path / name).mkdir()
            lines = [{"event": "train"} | row for row in history().to_dict("records")]
            (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        explorer = widgets.view_training(training_module.find_runs(tmp_path))
        both = explorer.png
        explorer.controls["window"].value = 5
        assert explorer.png != both
        explorer.controls["runs"].value = ("b",)
        assert explorer.words.startswith("b: fastest in RGB 38 %")
        explorer.controls["runs"].value = ()
        assert explorer.words == "choose at least one run"


class TestShell:
    @staticmethod
    def draw(*, x):
        if x < 0:
            raise ValueError("x is <0")
        figure = new_figure((1, 1))
        figure.subplots().plot([0, x])
        return Drawn(figure=figure, words=f'x is "{x}"')

    def test_is_shown_live_and_as_a_picture(self):
        bundle = Explorer(self.draw, {"x": slider("x", 1, -1, 2, 0.5)})._repr_mimebundle_()
        assert set(bundle) == {WIDGET, "image/png", "text/plain"}
        assert bundle["text/plain"] == 'x is "1.0"'

    def test_alternative_text_is_escaped_and_errors_are_shown(self):
        explorer = Explorer(self.draw, {"x": slider("x", 1, -1, 2, 0.5)})
        assert 'alt="x is &quot;1.0&quot;"' in explorer._picture.value
        explorer.controls["x"].value = -1
        assert "x is &lt;0" in explorer._picture.value and "<img" not in explorer._picture.value

    def test_several_moves_draw_once(self):
        calls = []

        def draw(**values):
            calls.append(values)
            return self.draw(x=values["a"])

        explorer = Explorer(draw, {"a": slider("a", 0, 0, 2, 1), "b": slider("b", 0, 0, 2, 1)})
        explorer.set(a=1, b=2)
        assert calls == [{"a": 0, "b": 0}, {"a": 1, "b": 2}]
        with pytest.raises(KeyError):
            explorer.set(c=1)

    def test_explorers_share_nothing_and_leave_the_settings_alone(self):
        before = dict(matplotlib.rcParams)
        first, second = widgets.explore_regrad(), widgets.explore_regrad()
        first.controls["length_depth"].value = 2
        assert second.controls["length_depth"].value == 1
        assert dict(matplotlib.rcParams) == before
        assert isinstance(first.box, ipywidgets.Widget)


class TestModalityBalance:
    def test_degraded_goes_from_the_domains_own_to_the_worst(self):
        own = DOMAINS["W"].sensors
        assert modality_balance.degraded("W", Modality.DEPTH, 0) == {
            "depth_holes": own.depth_holes, "depth_noise": own.depth_noise
        }  # fmt: skip
        assert modality_balance.degraded("W", Modality.RGB, 1) == modality_balance.WORST[Modality.RGB]

    def test_tables_and_figures(self, shipped):
        measured = {"W": modality_balance.measure(shipped, "W", 16, 0)}
        table = modality_balance.per_domain(measured, rounds=5, seed=0)
        assert list(table["modality"]) == ["rgb", "depth", "infrared"]
        assert table["value"].sum() == pytest.approx(table["auc"].iloc[0] - CHANCE)
        coalitions = measured["W"].auc_table()
        assert len(coalitions) == len(COALITIONS) + 1 and coalitions["AUC, %"].iloc[0] == 50
        curves = modality_balance.under_degradation(
            shipped, "W", measured["W"], seed=0, severities=(0.0, 1.0), rounds=5
        )
        start = curves[curves["severity"] == 0].groupby("modality", sort=False)["value"]
        assert (start.max() == start.min()).all()
        assert start.first().tolist() == pytest.approx(table["value"].tolist())
        for frame in (table, curves):
            assert (frame["auc_low"] <= frame["auc"]).all() and (frame["auc"] <= frame["auc_high"]).all()
            assert (frame["auc_low"] < frame["auc_high"]).any()
        figure = modality_balance.degradation_curves(curves)
        figure.canvas.draw()
        assert len(figure.axes) == 3
        legend = figure.axes[-1].get_legend()
        assert legend.get_window_extent().x0 > figure.axes[-1].get_window_extent().x1
        assert len(modality_balance.domain_bars(table, unseen="W").axes) == 1
