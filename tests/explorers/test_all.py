"""The explorers: what their plain functions compute and draw, and the thin shell of controls around them."""

import asyncio
import base64
import io
import json
import re
from dataclasses import replace

import ipywidgets
import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from mmdg_lite.data.renderer.domains import DOMAINS
from mmdg_lite.explorers import all as widgets
from mmdg_lite.explorers import balance as balance_explorer
from mmdg_lite.explorers import imbalance as imbalance_lab
from mmdg_lite.explorers import regrad as regrad_explorer
from mmdg_lite.explorers import shell
from mmdg_lite.explorers import training as training_viewer
from mmdg_lite.explorers.shell import Drawn, Explorer, Preset, one_thread, slider
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots import regrad as regrad_module
from mmdg_lite.plots import training as training_module
from mmdg_lite.plots.descent import strip
from mmdg_lite.plots.style import new_figure
from mmdg_lite.regrad import plane as plane_module
from mmdg_lite.regrad.effects import TITLES, available
from mmdg_lite.regrad.rule import RULES, project, regrad
from mmdg_lite.studies import imbalance, landscape, modality_balance, quickstart
from mmdg_lite.studies.shapley import CHANCE

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

    def test_every_rule_is_in_the_table_and_finite_without_any_gradient(self):
        found = plane_module.compare(plane(length=(0, 0, 0)))
        assert all(np.isfinite(result).all() for result in found.results.values())
        shown = {text.get_text() for text in regrad_module.picture(found).axes[1].texts}
        assert {TITLES[rule] for rule in available()} <= shown

    def test_weights_give_the_results(self):
        given = plane()
        for rule in available():
            expected = plane_module.compare(given).results[TITLES[rule]]
            np.testing.assert_allclose(plane_module.weights(given, rule) @ given.gradients, expected)

    def test_axes_stay_whatever_the_gradients_and_long_results_end_at_their_edge(self):
        small, large = (plane_module.compare(plane(angle=(0, 10, 20), length=(n, n, n))) for n in (0.1, 2))
        limits = [regrad_module.picture(found).axes[0].get_xlim() for found in (small, large)]
        assert limits == [(-regrad_module.REACH, regrad_module.REACH)] * 2
        arrows = [text.xy for text in regrad_module.picture(large).axes[0].texts]
        assert np.abs(arrows).max() == pytest.approx(regrad_module.REACH)

    def test_a_rule_of_ones_own_stands_beside_the_packages(self, rng):
        """With the package's projection, one's own rule is ReGrad; a whole rule may be given in its place."""
        for branch in MODALITIES:
            given = plane(branch, rng.uniform(-180, 180, 3), rng.uniform(0.1, 2, 3), rng.random(3), rng.random(3))
            same = plane_module.compare(given, own_project=project)
            np.testing.assert_allclose(same.results["yours"], same.results["ReGrad"], atol=1e-9)
        other = plane_module.compare(given, own_modulate=lambda gradients, *_: gradients[0])
        np.testing.assert_allclose(other.results["yours"], given.gradients[0])
        assert "yours" not in plane_module.compare(given).results
        with pytest.raises(ValueError, match="your rule gave something of shape"):
            plane_module.compare(given, own_modulate=lambda *_: torch.ones(3))

    def test_presets_answer_as_they_say(self):
        def result(name):
            values = regrad_explorer.PRESETS[name].values
            return regrad_explorer.draw(**{"branch": "rgb", **values}).state

        agree, conflict = result("all agree"), result("conflict")
        own = agree.situation.gradients[0]
        x, y = agree.results["ReGrad"]
        assert own[0] * y - own[1] * x == pytest.approx(0, abs=1e-9)
        assert agree.results["ReGrad"] @ own > 1
        assert conflict.against("plain sum") == [Modality.RGB] and conflict.against("ReGrad") == [Modality.INFRARED]
        kept = [float(np.linalg.norm(result(name).parts[0].kept)) for name in ("89 degrees", "91 degrees")]
        assert kept == [pytest.approx(0.017, abs=1e-3), pytest.approx(1.0, abs=1e-3)]
        assert result("own branch is the fastest").situation.fastest is Modality.RGB
        uncertain = result("certainty 0")
        np.testing.assert_allclose(uncertain.results["ReGrad"], uncertain.situation.gradients[0])
        opposite = result("opposite gradients")
        np.testing.assert_allclose(opposite.results["ReGrad"], [1, 0], atol=1e-12)
        np.testing.assert_allclose(opposite.results["plain sum"], [0, 0], atol=1e-12)

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
        before, words = explorer.svg, explorer.words
        explorer.controls["angle_rgb"].value = -120.0
        assert explorer.svg != before and explorer.words != words
        explorer.reset()
        assert (explorer.svg, explorer.words) == (before, words)

    def test_a_faulty_rule_of_ones_own_is_shown_and_nothing_else_breaks(self):
        def faulty(gradient, base):
            raise NotImplementedError("write your answer here")

        explorer = widgets.explore_regrad(project=faulty)
        assert "NotImplementedError: write your answer here" in explorer.words
        assert "faulty" in explorer.error and "<img" not in explorer._picture.value


class TestLandscapeExplorer:
    def test_paths_are_those_of_the_study(self):
        explorer = widgets.explore_landscape()
        explorer.choose("RGB dominates")
        assert "hidden" in explorer.words
        explorer.reveal()
        ways = explorer.state()
        assert list(ways) == ["plain sum", "ReGrad"]
        scene = landscape.Landscape(minima=landscape.TRIANGLE, steepness=(10.0, 1.0, 1.0))
        expected = landscape.descend(scene, "regrad", start=(-0.3, 1.9))
        np.testing.assert_array_equal(ways["ReGrad"].points, expected.points)
        np.testing.assert_array_equal(ways["ReGrad"].left, landscape.settled(scene, expected))
        assert f"{ways['ReGrad'].left[1]:.2f}" in explorer.words

    def test_presets_answer_as_they_say(self):
        def ways(name):
            explorer = widgets.explore_landscape()
            explorer.choose(name)
            explorer.reveal()
            return explorer.state().values(), explorer.preset.answer

        (plain, regrad), _ = ways("three equal bowls")
        np.testing.assert_allclose(plain.points[-1], [0, 0], atol=1e-6)
        np.testing.assert_allclose(regrad.points[-1], [0, 0], atol=0.1)
        turns = np.diff(np.arctan2(*np.diff(plain.points[:50], axis=0).T))
        np.testing.assert_allclose(turns, 0, atol=1e-9)  # straight, where ReGrad's path bends
        assert np.abs(np.diff(np.arctan2(*np.diff(regrad.points[:50], axis=0).T))).max() > 0.1
        for name in ("RGB dominates", "RGB dominates, depth owns"):
            (plain, regrad), answer = ways(name)
            assert f"{plain.left.max():.2f}" in answer and f"{regrad.left.max():.2f}" in answer
            assert plain.left[1] == pytest.approx(plain.left[2]) and plain.left[1] > plain.left[0]
        assert np.argmax(regrad.left) == 2
        (plain, regrad), answer = ways("RGB is easier")
        assert {f"{way.left[0]:.2f}" for way in (plain, regrad)} == {"0.50", "1.10"}
        assert "1.10" in answer and "0.50" in answer
        assert set(regrad.fastest[20:]) == {Modality.RGB}
        (_, fine), _ = ways("RGB dominates")
        (plain, coarse), _ = ways("coarse steps")
        assert np.ptp(plain.excess[-50:], axis=0).max() < 1e-6
        assert np.ptp(coarse.excess[-50:], axis=0)[0] > 2 * np.ptp(fine.excess[-50:], axis=0)[0]

    def test_one_rule_twice_is_drawn_once_and_a_path_that_diverges_is_said(self):
        explorer = widgets.explore_landscape(first="regrad", second="regrad")
        assert list(explorer.state()) == ["ReGrad"]
        explorer.set(rate=0.1, steep_rgb=20.0, steep_depth=20.0, steep_infrared=20.0)
        assert "diverges" in explorer.words and explorer.svg == ""

    def test_strip_has_a_cell_per_step(self):
        figure = new_figure((3, 1))
        axes = figure.subplots()
        rgb, depth, _ = MODALITIES
        strip(axes, (None, rgb, rgb, depth, rgb))
        cells = {
            m: [path.get_extents().intervalx.tolist() for path in drawn.get_paths()]
            for m, drawn in zip(MODALITIES, axes.collections, strict=True)
        }
        assert cells[rgb] == [[0.5, 2.5], [3.5, 4.5]] and cells[depth] == [[2.5, 3.5]]


class TestImbalanceLab:
    def test_trains_both_rules_from_the_knobs(self):
        data = imbalance.toy(faces=24)
        explorer = widgets.explore_imbalance(data=data)
        explorer.choose("loud infrared, quiet RGB")
        explorer.reveal()
        knobs = imbalance.Knobs(scale=(0.3, 1.0, 3.0))
        expected = imbalance.train(data, "regrad", knobs, steps=imbalance_lab.STEPS)
        np.testing.assert_array_equal(explorer.state()["ReGrad"].losses, expected.losses)
        assert f"{expected.gap:.3f}" in explorer.words

    def test_presets_answer_as_they_say(self):
        def told(name):
            explorer = widgets.explore_imbalance()
            explorer.choose(name)
            explorer.reveal()
            plain, regrad = explorer.state().values()
            return plain, regrad, explorer.preset.answer

        for name in imbalance_lab.PRESETS:
            plain, regrad, answer = told(name)
            gaps = [float(number) for number in re.findall(r"0\.\d{3}", answer)]
            assert gaps == pytest.approx([plain.gap, regrad.gap], abs=0.0015)  # processors round differently
            assert (regrad.gap < plain.gap) == (name != "RGB's faces mixed up")
        for training in (plain, regrad):  # strong coupling
            assert np.ptp(training.losses[-40:].mean(axis=1)) > 0.1
        smooth = told("as it stands")[0]
        assert np.ptp(smooth.losses[-40:].mean(axis=1)) < 0.05
        plain, regrad, _ = told("loud infrared, quiet RGB")
        assert regrad.losses[-1].mean() < plain.losses[-1].mean()


class TestBalanceExplorer:
    def test_scores_are_those_of_the_shipped_model(self, shipped):
        seen = balance_explorer.look(shipped, domain="W", species="print", sample=3)
        answer = shipped.answer(seen.faces)
        assert seen.score == pytest.approx(answer.scores[0], abs=1e-5)
        without = shipped.answer(seen.faces, missing=(Modality.DEPTH,))
        pair = frozenset({Modality.RGB, Modality.INFRARED})
        assert seen.scores[pair] == pytest.approx(without.scores[0], abs=1e-5)
        np.testing.assert_allclose(seen.text, answer.output.modality_scores()[0], atol=1e-5)
        np.testing.assert_allclose(seen.certainty[1].ravel(), answer.certainty(0)[1, 1:], atol=1e-5)
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
        assert seen.certainty == seen.attention == (None, None, None)  # infrared has nobody to listen to
        assert isinstance(balance_explorer.picture(seen, curve=None), Figure)
        one = balance_explorer.look(shipped, domain="W", species="live", sample=0, missing=[Modality.DEPTH])
        assert [m is None for m in one.certainty] == [False, True, False]

    def test_values_beyond_the_colour_scale_are_marked_and_bars_fit(self, shipped):
        seen = balance_explorer.look(shipped, domain="W", species="rigid_mask", sample=0)
        far = replace(seen, scores={c: 1.0 if Modality.INFRARED in c else 0.01 for c in seen.scores})
        figure = balance_explorer.picture(far, curve=None, limits=(0.05, 0.06))
        (scale,) = {axes.images[0].colorbar for axes in figure.axes if axes.images and axes.images[0].colorbar}
        assert scale.extend == "both"
        (bars,) = (axes for axes in figure.axes if axes.get_title("left").startswith("Shapley"))
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
        assert "switch one on" in explorer.words and explorer.svg == ""
        assert "image/png" not in explorer.static()
        explorer.set(use_depth=True)
        assert explorer.svg

    def test_another_domain_leaves_the_sensors_until_its_own_are_asked_for(self, shipped):
        explorer = widgets.explore_balance(shipped, domain="W")
        explorer.set(depth_holes=0.5, domain="S")
        assert explorer.controls["depth_holes"].value == 0.5
        (own,) = (child for child in _buttons(explorer.box) if child.description == "own sensors")
        own.click()
        assert explorer.controls["depth_holes"].value == DOMAINS["S"].sensors.depth_holes
        assert explorer.controls["infrared_noise"].value == DOMAINS["S"].sensors.infrared_noise

    def test_the_curve_is_the_models_answer_and_follows_the_turning_knob(self, shipped):
        knobs = balance_explorer.knob_values("W")
        face = {"domain": "W", "species": "print", "sample": 1}
        curve = balance_explorer.score_along(shipped, "infrared_noise", **face, knobs=knobs, missing=[Modality.RGB])
        seen = balance_explorer.look(
            shipped, **face, knobs={**knobs, "infrared_noise": float(curve.values[3])}, missing=[Modality.RGB]
        )
        assert curve.scores[3] == pytest.approx(seen.score, abs=1e-5)
        explorer = widgets.explore_balance(shipped)
        explorer.controls["rgb_blur"].value = 3.0
        assert explorer.controls["along"].value == "rgb_blur"
        explorer.reset()
        assert explorer.controls["along"].value == "depth_holes"

    def test_ghosts_and_missing_ones_are_drawn(self, shipped):
        plain = balance_explorer.look(shipped, domain="W", species="live", sample=0)
        seen = balance_explorer.look(shipped, domain="W", species="live", sample=0, missing=[Modality.DEPTH])
        figure = balance_explorer.picture(seen, curve=None, before=plain)
        (bars,) = (axes for axes in figure.axes if axes.get_title("left").startswith("text score"))
        assert sum(patch.get_linestyle() == ":" for patch in bars.patches) == 3
        assert [text.get_text() for text in bars.texts].count("missing") == 1
        boxes = [axes for axes in figure.axes if axes.get_title("left").startswith("decisions of all eight")]
        assert len(boxes[0].patches) == 8

    def test_presets_hide_the_answer_until_it_is_asked_for(self, shipped):
        explorer = widgets.explore_balance(shipped)
        explorer.choose("wreck depth: does certainty notice?")
        assert "hidden" in explorer.words and explorer.controls["depth_holes"].value == 0.7
        explorer.reveal()
        assert "Mean certainty" in explorer.words

    def test_presets_answer_as_they_say(self, shipped):
        def seen(name, **turned):
            values = {**balance_explorer.PRESETS[name].values, **turned}
            face = {key: values[key] for key in ("domain", "species", "sample")}
            knobs = balance_explorer.knob_values("W") | {k: values[k] for k in balance_explorer.KNOBS if k in values}
            return balance_explorer.look(shipped, **face, knobs=knobs), balance_explorer.PRESETS[name]

        rgb, depth, infrared = MODALITIES
        whole, _ = seen("broken or switched off?", **balance_explorer.knob_values("W"))
        broken, preset = seen("wreck depth: does certainty notice?")
        assert f"{whole.certainty[1].mean():.3f}" in preset.question
        for number in (f"{broken.certainty[1].mean():.3f}", f"{whole.score:.2f}", f"{broken.score:.2f}"):
            assert number in preset.answer
        assert (whole.decision, broken.decision) == ("live", "spoof")
        broken, preset = seen("broken or switched off?")
        off = broken.scores[frozenset({rgb, infrared})]
        assert off > broken.threshold and f"{off:.2f}" in preset.answer and f"{broken.score:.2f}" in preset.answer
        mask, preset = seen("a mask gets through")
        assert mask.decision == "live" and f"{mask.score:.2f}" in preset.question
        for group in ({infrared}, {rgb}, {rgb, depth}):
            assert f"{mask.scores[frozenset(group)]:.2f}" in preset.answer
        assert f"{mask.shapley[2]:+.2f}" in preset.answer and mask.scores[frozenset({rgb, depth})] < mask.threshold
        near, preset = seen("find a flip")
        dim, _ = seen("find a flip", rgb_exposure=0.67)
        assert abs(near.shapley[0]) < 0.005 and (near.decision, dim.decision) == ("live", "spoof")
        assert f"{near.score:.2f}" in preset.answer and f"{dim.score:.2f}" in preset.answer

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
        assert len(figure.axes) == 6  # what "b" lacks, "a" has for itself
        first = figure.axes[0].lines[0].get_ydata()
        np.testing.assert_allclose(first[:3], [1, (1 + 1 / 2) / 2, (1 + 1 / 2 + 1 / 3) / 3])
        assert "b records no conflicts and no gradient norm" in [text.get_text() for text in figure.texts]
        assert figure.axes[4].get_title(loc="left") == "a"
        assert figure.axes[4].get_position().width > 1.9 * figure.axes[0].get_position().width

    def test_runs_share_an_axis_that_holds_them_all(self):
        low, high = history(), history()
        for m in MODALITIES:
            high[f"average_{m.value}"] *= 10
        tops = [axes.get_ylim()[1] for axes in training_module.picture({"a": low, "b": high}).axes[:2]]
        assert tops[0] == tops[1] > 10

    def test_a_run_in_a_title(self):
        losses = {f"loss_{m.value}": float(m.index) for m in MODALITIES}
        rows = history().assign(loss_total=[4.0, 4, 3, 3, 2, 2, 1, 1], **losses)
        assert training_module.learned(rows) == "The head's loss falls by 75 %; infrared has the highest loss"
        rising = pd.DataFrame({"loss_total": [1.0, 1, 1, 2]})
        assert training_module.learned(rising) == "The head's loss rises by 100 %"
        assert training_module.learned(history()) == ""

    def test_a_quantity_that_no_run_has_takes_no_row(self):
        assert len(training_module.picture({"a": history(conflicts=False)}).axes) == 2
        assert len(training_module.picture({"a": history()}, panels=tuple(training_module.PANELS)).axes) == 4

    def test_rows_that_no_run_recorded_are_left_out(self):
        assert len(training_module.picture({"a": history(conflicts=False)}).axes) == 2
        with pytest.raises(ValueError, match="at most 3"):
            training_module.picture(dict.fromkeys("abcd", history()))

    def test_a_method_without_modality_losses_has_no_fastest(self):
        plain = history().drop(columns=[f"average_{m.value}" for m in MODALITIES]).assign(fastest=None)
        assert training_module.description({"a": plain}).startswith("a: this method has no losses of single modalities")

    def test_reads_run_folders_and_refuses_fitted_ones(self, make_run, tmp_path):
        run = make_run(method="fusion")
        assert list(training_module.find_runs(tmp_path)) == [run.relative_to(tmp_path).as_posix()]
        (tmp_path / "probe").mkdir()
        line = {"event": "validation", "step": 9, "eer": 0.2, "loss": 0.5, "strength": 1.0}
        (tmp_path / "probe" / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        assert len(training_module.find_runs(tmp_path)) == 1
        with pytest.raises(ValueError, match="probe has no training steps"):
            training_module.histories({"probe": tmp_path / "probe"})
        with pytest.raises(ValueError, match="choose at least one run"):
            training_module.picture({})
        with pytest.raises(ValueError, match="no run to view"):
            widgets.view_training({})

    def test_names_are_taken_apart(self):
        assert training_viewer.parts("full/P1/CPS-to-W/mmdg++/seed0") == ("full/P1/CPS-to-W", "mmdg++", "seed0")
        assert training_viewer.parts("mine") == ("", "mine", "")

    def test_widget_shows_the_chosen_runs(self, tmp_path):
        for name in ("s/mmdg++/seed0", "s/mmdg++_without_regrad/seed0", "s/fusion/seed1"):
            (tmp_path / name).mkdir(parents=True)
            rows = history().astype(object).where(history().notna(), None).to_dict("records")
            lines = [{"event": "train"} | row for row in rows]
            (tmp_path / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        explorer = widgets.view_training(tmp_path)
        assert explorer.words.startswith("MMDG++: fastest in RGB 38 %") and "without ReGrad: fastest" in explorer.words
        assert {text for text, _ in explorer.controls["seed"].options} == {"seed 0", "seed 1"}
        both = explorer.svg
        explorer.controls["window"].value = 5
        assert explorer.svg != both
        explorer.set(second="")
        assert "without" not in explorer.words
        explorer.set(first="fusion")
        assert explorer.words.startswith(
            "there is no run of Plain fusion on s, seed 0; there are MMDG++, MMDG++ without"
        )
        explorer.set(first="")
        assert explorer.words == "choose at least one run"

    def test_settings_and_seeds_are_named_as_readers_say_them(self):
        assert training_viewer.setting_label("full/P1/CPS-to-W") == "full, CPS->W"
        assert training_viewer.setting_label("full/P3/CW-to-PS") == "full, P3, CW->PS"
        assert (training_viewer.seed_label("seed0"), training_viewer.seed_label("mine")) == ("seed 0", "mine")

    def test_questions_are_about_runs_that_are_there_and_answered_from_them(self, tmp_path):
        for method, last in (("mmdg++", 0.5), ("mmdg++_without_regrad", 0.75)):
            (tmp_path / method / "seed0").mkdir(parents=True)
            line = {"event": "train", "step": 1, "fastest": "depth", "average_rgb": last}
            line |= {"average_depth": 0.25, "average_infrared": 0.25}
            (tmp_path / method / "seed0" / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        explorer = widgets.view_training(tmp_path)
        (name,) = explorer.presets
        answer = explorer.presets[name].answer
        assert answer.startswith("Yes: at the end RGB's loss average is 0.25 nats above") and "0.50 with" in answer
        explorer.choose(name)
        assert explorer.words.endswith("hidden until you look.") and "MMDG++:" not in explorer.words
        explorer.reveal()
        assert "MMDG++: fastest in depth 100 %" in explorer.words


def _buttons(box):
    found = [box] if isinstance(box, ipywidgets.Button) else []
    return found + [button for child in getattr(box, "children", ()) for button in _buttons(child)]


def _texts(box):
    found = [box] if isinstance(box, ipywidgets.HTML) else []
    return found + [text for child in getattr(box, "children", ()) for text in _texts(child)]


class TestShell:
    @staticmethod
    def draw(*, x):
        if x < 0:
            raise ValueError("x is <0")
        figure = new_figure((1, 1))
        figure.subplots().plot([0, x])
        return Drawn(figure=figure, words=f'x is "{x}"')

    def test_is_shown_live_and_as_a_picture_for_files_without_a_kernel(self, monkeypatch):
        shown = []
        monkeypatch.setattr(shell, "display", lambda data, **more: shown.append((data, more)))
        Explorer(self.draw, {"x": slider("x", 1.0, -1, 2, 0.5)})._ipython_display_()
        (live, _), (static, more), (script, _) = shown
        assert set(live) == {WIDGET, "text/plain"}
        assert set(static) == {"image/png", "text/plain"}
        # CSS pixels of an inch, of which the PNG has twice as many
        assert more["metadata"]["image/png"] == {"alt": 'x is "1.0"', "width": shell.DPI}
        assert static["text/plain"] == 'x is "1.0"'
        assert "handles.length === 1" in script["application/javascript"]  # one slider waits for its name
        picture = Image.open(io.BytesIO(base64.b64decode(static["image/png"])))
        assert picture.size == (2 * shell.DPI, 2 * shell.DPI)

    def test_alternative_text_is_escaped_and_every_exception_is_shown(self):
        explorer = Explorer(self.draw, {"x": slider("x", 1.0, -1, 2, 0.5)})
        assert 'alt="x is &quot;1.0&quot;"' in explorer._picture.value
        assert (
            'src="data:image/svg+xml' in explorer._picture.value and f"height: {shell.DPI}px" in explorer._picture.value
        )
        explorer.controls["x"].value = -1
        assert "x is &lt;0" in explorer._picture.value and "<img" not in explorer._picture.value
        assert f"min-height: {shell.DPI}px" in explorer._picture.value
        explorer.draw = lambda x: 1 / 0
        explorer.update()
        assert explorer.words == "ZeroDivisionError: division by zero" and "1 / 0" in explorer.error
        explorer.draw = self.draw
        explorer.reset()
        assert explorer.words == 'x is "1.0"' and explorer.error == ""

    def test_in_a_running_loop_only_the_newest_values_are_drawn(self):
        calls = []

        def draw(x):
            calls.append(x)
            return self.draw(x=x)

        async def drag():
            explorer = Explorer(draw, {"x": slider("x", 0.0, -1, 2, 0.5)})
            for value in (0.5, 1.0, 1.5):
                explorer.controls["x"].value = value
                await asyncio.sleep(0)
            assert calls == [0.0]
            await asyncio.sleep(0.2)

        asyncio.run(drag())
        assert calls == [0.0, 1.5]

    def test_torch_evaluates_in_one_thread_and_gets_its_own_back(self):
        before, seen = torch.get_num_threads(), []

        def draw():
            seen.append(torch.get_num_threads())
            raise RuntimeError("stop")

        torch.set_num_threads(2)
        try:
            Explorer(draw, {})
            assert seen == [1] and torch.get_num_threads() == 2
            with pytest.raises(KeyError), one_thread():
                raise KeyError
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)

    def test_presets_ask_before_they_answer_and_memory_hands_the_earlier_state_on(self):
        calls = []

        def draw(*, x, reveal, before):
            calls.append((x, reveal, before))
            return replace(self.draw(x=x), state=f"state {x}")

        presets = {"far": Preset(question="How far?", values={"x": 2.0}, answer="Two.")}
        explorer = Explorer(draw, {"x": slider("x", 0.0, -1, 2, 0.5)}, presets=presets, memory=True)
        explorer.choose("far")
        assert calls[-1] == (2.0, False, "state 0.0") and "How far?" in explorer._question.value
        assert "Two." not in explorer._question.value
        explorer.reveal()
        assert calls[-1] == (2.0, True, "state 0.0") and "Two." in explorer._question.value
        explorer.remember()
        assert calls[-1] == (2.0, True, "state 2.0")
        explorer.reset()
        assert calls[-1] == (0.0, True, "state 2.0") and explorer._question.value == ""

    def test_no_tooltip_is_empty(self, shipped):
        for explorer in (widgets.explore_regrad(), widgets.explore_balance(shipped), widgets.explore_landscape()):
            assert all(control.tooltip for control in explorer.controls.values())
            assert all(button.tooltip for button in _buttons(explorer.box))
            assert all(words.tooltip == "" for words in _texts(explorer.box))  # None would show as "null"

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
        assert second.controls["length_depth"].value == 1.0
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
        curves = modality_balance.under_degradation(
            shipped, "W", measured["W"], seed=0, severities=(0.0, 1.0), rounds=5
        )
        worst = modality_balance.measure(shipped, "W", 16, 0, knobs=modality_balance.degraded("W", Modality.DEPTH, 1))
        expected = worst.shapley(rounds=1, rng=np.random.default_rng(0))["value"]
        end = curves[(curves["severity"] == 1) & (curves["sensor"] == "depth")]["value"]
        np.testing.assert_allclose(end, expected, atol=1e-6)
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
        bars = modality_balance.domain_bars(table, unseen="W").axes
        assert len(bars) == 1 and len(bars[0].containers) == 3
        most = Modality(table.loc[table["value"].idxmax(), "modality"]).title
        assert bars[0].get_title(loc="left") == f"Who is owed most: {most} on every domain"

    def test_titles_say_who_is_owed_most(self):
        values = {"domain": list("WWWSSS"), "modality": [m.value for m in MODALITIES] * 2, "value": [0, 1, 2, 2, 1, 0]}
        table = pd.DataFrame(values).assign(low=0.0, high=2.0)
        assert modality_balance.owed_most(table, "domain") == {"W": "infrared", "S": "RGB"}
        title = modality_balance.domain_bars(table, unseen="W").axes[0].get_title(loc="left")
        assert title == "Who is owed most: infrared on W, RGB on S"
        curves = table.assign(sensor="depth", severity=[0, 0, 0, 1, 1, 1])
        title = modality_balance.degradation_curves(curves).axes[0].get_title(loc="left")
        assert title == "depth degraded:\nowed most: infrared, then RGB"
