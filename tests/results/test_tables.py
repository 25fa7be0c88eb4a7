"""Tables from made-up run folders: every number in them must follow from the score files."""

import csv
import itertools
import json
import math
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from mmdg_lite.metrics import threshold_at_eer
from mmdg_lite.results.cells import METRICS, aggregate
from mmdg_lite.results.collect import collect, collect_species, read_history
from mmdg_lite.results.components import components, components_of, coverage, rules, species_table
from mmdg_lite.results.one_run import test_table as table_of_run
from mmdg_lite.results.paired_test import compare, paired
from mmdg_lite.results.published import published_results
from mmdg_lite.results.table_text import csv as csv_text
from mmdg_lite.results.table_text import grid, latex, markdown, percent
from mmdg_lite.results.tables import beside, deployments, table, tables
from mmdg_lite.runs.methods import METHODS, PEER_NOTE
from mmdg_lite.runs.scores import read_scores
from tests.support.p6 import p6_frame

SETTINGS = {"CPS->W": "W", "CPW->S": "S", "CSW->P": "P", "PSW->C": "C"}


@pytest.fixture
def p1(make_run, tmp_path):
    """Two methods, four targets, three seeds."""
    for method, skill in (("fusion", 0.2), ("mmdg++", 0.5)):
        for setting, target in SETTINGS.items():
            for seed in range(3):
                make_run(method=method, setting=setting, targets=target, seed=seed, skill=skill)
    return tmp_path / "runs"


def test_collect_uses_the_runs_own_validation_threshold(make_run, tmp_path):
    run = make_run(skill=0.3)
    row = collect(tmp_path / "runs").iloc[0]
    validation, test = (read_scores(run / "scores" / f"{name}.csv.gz") for name in ("validation", "test_W"))
    threshold = threshold_at_eer(validation.scores, validation.labels)
    assert row["threshold"] == threshold
    assert row["hter"] == test.metrics(threshold=threshold).hter
    assert row["hter_at_eer"] == test.metrics().hter
    assert row["hter_low"] <= row["hter"] <= row["hter_high"]
    assert (row["data"], row["target"], row["missing"], row["steps"]) == ("synthetic", "W", "", 8)


def test_collect_reads_some_methods_only(make_run, tmp_path):
    make_run(method="fusion")
    make_run(method="mmdg++")
    assert set(collect(tmp_path, methods=["mmdg++"])["method"]) == {"mmdg++"}
    assert set(collect(tmp_path)["method"]) == {"fusion", "mmdg++"}
    with pytest.raises(FileNotFoundError, match="no finished run of mmdg "):
        collect(tmp_path, methods=["mmdg"])


def test_collect_ignores_unfinished_runs_and_names_broken_ones(make_run, tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished run"):
        collect(tmp_path)
    finished, unfinished = make_run(seed=0), make_run(seed=1)
    (unfinished / "result.json").unlink()
    assert len(collect(tmp_path)) == 1
    (finished / "scores" / "validation.csv.gz").unlink()
    with pytest.raises(ValueError, match=r"CPS-to-W-fusion-0 has a result.json but not its scores"):
        collect(tmp_path)


def test_collect_refuses_two_runs_of_the_same_settings_and_seed(make_run, tmp_path):
    make_run().rename(tmp_path / "runs" / "copy")
    make_run()
    with pytest.raises(ValueError, match="same settings and seed"):
        collect(tmp_path / "runs")


def test_collect_refuses_a_configuration_without_its_seed(make_run, tmp_path):
    run = make_run()
    config = json.loads((run / "config.json").read_text())
    del config["seed"]
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"config\.json lacks seed"):
        collect(tmp_path)


def test_aggregate_is_mean_and_sample_deviation_over_seeds(p1):
    frame = collect(p1)
    cells = aggregate(frame, "P1").set_index(["method", "column", "metric"])
    mine = frame[(frame["method"] == "fusion") & (frame["setting"] == "CPS->W")]["hter"]
    cell = cells.loc[("fusion", "CPS->W", "hter")]
    assert cell["mean"] == pytest.approx(mine.mean())
    assert cell["sd"] == pytest.approx(np.sqrt(((mine - mine.mean()) ** 2).sum() / 2))
    assert cell["seeds"] == 3
    per_seed = frame[frame["method"] == "fusion"].groupby("seed")["auc"].mean()
    average = cells.loc[("fusion", "Average", "auc")]
    assert average["mean"] == pytest.approx(per_seed.mean())
    assert average["sd"] == pytest.approx(per_seed.std())


def test_a_seed_without_all_targets_is_no_part_of_the_average(p1, make_run):
    before = aggregate(collect(p1), "P1").set_index(["method", "column", "metric"])
    make_run(method="fusion", setting="CPS->W", targets="W", seed=7, skill=0.0)
    after = aggregate(collect(p1), "P1").set_index(["method", "column", "metric"])
    average, cell = ("fusion", "Average", "hter"), ("fusion", "CPS->W", "hter")
    assert after.loc[average, "seeds"] == 3
    assert after.loc[average, "mean"] == before.loc[average, "mean"]
    assert after.loc[cell, "seeds"] == 4


def test_a_method_with_three_of_four_targets_has_no_average(p1, make_run):
    for setting in list(SETTINGS)[:3]:
        make_run(method="head", setting=setting, targets=SETTINGS[setting])
    cells = aggregate(collect(p1), "P1")
    assert set(cells[cells["method"] == "head"]["column"]) == set(list(SETTINGS)[:3])
    text = table(collect(p1), "P1").text("markdown")
    assert any(METHODS["head"].title in line and "not run" in line for line in text.splitlines())


def test_p2_reads_the_tests_with_missing_modalities_of_p1(make_run, tmp_path):
    gone = ("", "depth", "infrared", "depth_infrared")
    for setting, target in SETTINGS.items():
        make_run(setting=setting, targets=target, missing=gone)
    frame = collect(tmp_path)
    cells = aggregate(frame, "P2").set_index(["column", "metric"])
    assert set(cells.index.get_level_values(0)) == {"missing D", "missing I", "missing D&I", "Average"}
    assert cells.loc[("missing D", "hter"), "mean"] == pytest.approx(frame[frame["missing"] == "depth"]["hter"].mean())
    assert len(aggregate(frame, "P1")) == 5 * 3
    shown = list(table(frame, "P2").blocks[0][1].columns)
    assert shown == ["method", "missing D", "missing I", "missing D&I", "Average", "seeds"]


def test_tests_at_random_have_a_block_of_their_own_and_change_no_other(make_run, tmp_path):
    gone = ("", "depth", "infrared", "depth_infrared")
    make_run(missing=gone)
    plain = table(collect(tmp_path), "P2").blocks
    (tmp_path / "runs").rename(tmp_path / "old")
    make_run(missing=(*gone, *(f"{name}_at_random" for name in gone[1:])))
    frame = collect(tmp_path / "runs")
    blocks = table(frame, "P2").blocks
    added = {caption: block for caption, block in blocks if "with probability 0.7" in caption}
    assert [caption for caption, _ in blocks if caption not in added] == [caption for caption, _ in plain]
    assert all(dict(blocks)[caption].equals(block) for caption, block in plain)
    assert len(added) == 3 and "missing D&I" in next(iter(added.values())).columns
    rows = frame[frame["missing"] == "depth_at_random"]
    [first] = [block for caption, block in added.items() if caption.endswith(METRICS["hter"])]
    assert first["missing D"].item() == f"{100 * rows['hter'].item():.2f}"
    assert set(aggregate(frame, "P2")["column"]) == {"missing D", "missing I", "missing D&I", "Average"}
    assert set(table_of_run(tmp_path / "runs" / "quick-P1-CPS-to-W-fusion-0")["missing"]) == {
        "nothing", "depth", "infrared", "depth and infrared",
        "depth at random", "infrared at random", "depth and infrared at random",
    }  # fmt: skip


def test_a_published_row_of_another_test_carries_a_warning(p1):
    p2, other = (table(collect(p1), protocol) for protocol in ("P2", "P1"))
    for layout in ("markdown", "latex", "csv"):
        assert "DADM (may be another test)" in p2.text(layout) and "(may be another test)" not in other.text(layout)
    assert "probability 0.7" in p2.text("markdown") and "Warning on DADM" not in other.text("markdown")


def test_p3_averages_its_two_targets(make_run, tmp_path):
    make_run(protocol="P3", setting="CW->PS", targets="PS")
    frame = collect(tmp_path)
    assert len(frame) == 2
    cells = aggregate(frame, "P3").set_index(["column", "metric"])
    assert cells.loc[("CW->PS", "auc"), "mean"] == pytest.approx(frame["auc"].mean())


def test_one_training_serves_p1_and_p2(make_run, tmp_path):
    make_run(missing=("", "depth"))
    alone = aggregate(collect(tmp_path), "P2")
    make_run(protocol="P2", missing=("depth",), skill=0)
    assert aggregate(collect(tmp_path), "P2").equals(alone)


def test_p4_averages_domains_per_left_out_species(make_run, tmp_path):
    for letter in "WC":
        make_run(protocol="P4", setting=f"{letter} without print", targets=letter)
    make_run(protocol="P4", setting="W without glasses", targets="W")
    frame = collect(tmp_path)
    cells = aggregate(frame, "P4").set_index(["column", "metric"])
    prints = frame[frame["setting"].str.endswith("print")]["hter"].mean()
    assert cells.loc[("print", "hter"), "mean"] == pytest.approx(prints)
    assert ("glasses", "auc") in cells.index


def test_p5_has_a_column_for_all_present(make_run, tmp_path):
    make_run(protocol="P5", missing=("", "infrared"))
    assert set(aggregate(collect(tmp_path), "P5")["column"]) == {"all present", "missing I", "Average"}


def test_real_and_synthetic_runs_and_profiles_never_share_a_block(make_run, tmp_path):
    make_run()
    make_run(profile="paper", data_root="/somewhere")
    captions = [caption for caption, _ in table(collect(tmp_path), "P1").blocks]
    assert sum("ours, synthetic data, profile quick" in c for c in captions) == 3
    assert sum("ours, real data, profile paper" in c for c in captions) == 3


def test_unknown_protocol_is_an_error(make_run, tmp_path):
    make_run()
    with pytest.raises(ValueError, match="no protocol 'P6'"):
        aggregate(collect(tmp_path), "P6")


def test_markdown_holds_ours_and_the_published_numbers_with_their_source(p1):
    frame = collect(p1)
    text = table(frame, "P1").text("markdown")
    mean = 100 * frame[(frame["method"] == "mmdg++") & (frame["setting"] == "CPS->W")]["hter"].mean()
    line = next(line for line in text.splitlines() if line.startswith("| MMDG++ "))
    assert f"{mean:.2f} ±" in line
    assert "26.09" in next(line for line in text.splitlines() if line.startswith("| SSDG"))
    assert "arXiv 2402.19298" in text
    assert "MMDG++, published: not available" in text
    assert "not comparable" in text


def test_a_users_own_published_numbers_are_added(p1, tmp_path):
    own = tmp_path / "published_results.csv"
    own.write_text(
        "method,protocol,setting,metric_percent,value,source,standing\nMMDG++,P1,CPS->W,hter,1.25,mine,primary\n"
    )
    text = table(collect(p1), "P1", published=published_results(own)).text("markdown")
    assert "not available" not in text
    assert any("1.25" in line and "mine" in line for line in text.splitlines())
    good = own.read_text()
    for old, new, reason in [
        ("1.25", "125", "line 2: value is 125"),
        ("hter", "eer", "metric_percent is 'eer'; write one of hter, auc"),
        ("mine", "", "source is empty"),
        ("primary", "hearsay", "standing is 'hearsay'"),
        ("P1", "P9", "protocol is 'P9'"),
    ]:
        own.write_text(good.replace(old, new))
        with pytest.raises(ValueError, match=reason):
            published_results(own)
    own.write_text("method,value\nMMDG++,1\n")
    with pytest.raises(ValueError, match="columns must be method, protocol"):
        published_results(own)


def test_beside_has_ours_and_published_averages_in_columns_of_their_own(p1):
    frame = beside(collect(p1)).set_index("method")
    assert frame.loc["MMDG++", "published: source"] == "not available"
    assert frame.loc["Plain fusion", "synthetic quick: HTER"].count("±") == 1


def test_published_results_are_percentages_with_sources():
    known = published_results()
    assert known["value"].between(0, 100).all()
    assert set(known["metric_percent"]) == {"hter", "auc"}
    assert known["source"].str.len().min() > 10
    assert set(known["standing"]) == {"primary", "second-hand"}
    assert not known.duplicated(["method", "protocol", "setting", "metric_percent", "source"]).any()


def test_component_ablation_reads_the_components_from_the_method(make_run, tmp_path):
    for method in ("linear_probe", "head", "fusion", "fusion+prompts", "mmdg++", "mmdg", "somebody_elses"):
        make_run(method=method)
    frame = components(collect(tmp_path)).set_index("method")
    assert list(frame.index[:2]) == [METHODS["head"].title, METHODS["fusion"].title] and frame.index[-1] == "MMDG++"
    assert list(frame.loc[METHODS["fusion+prompts"].title, ["U", "ReGrad", "ADP"]]) == ["", "", "x"]
    assert list(frame.loc["MMDG++", ["adapters", "U", "ReGrad", "ADP"]]) == ["x", "x", "x", "x"]
    assert frame.loc[METHODS["head"].title, "adapters"] == ""
    row = collect(tmp_path).set_index("method").loc[["mmdg++", "fusion"], "hter"]
    assert frame.loc["MMDG++", "hter"] == f"{100 * row['mmdg++']:.2f}"
    assert frame.loc["MMDG++", "HTER against fusion"] == f"{100 * (row['mmdg++'] - row['fusion']):+.2f}"
    assert frame.loc[METHODS["fusion+regrad"].title, "hter"] == "not run"
    assert len(frame) == 9 and METHODS["mmdg"].title not in frame.index


def test_every_combination_of_components_is_a_method():
    combinations = [components_of(METHODS[name]) for name in METHODS if name != "head"]
    assert sorted(c for c in combinations if c) == sorted(itertools.product([False, True], repeat=3))


def test_rule_ablation_lists_every_method_that_differs_in_the_rule_alone(make_run, tmp_path):
    make_run(method="mmdg++_without_regrad", skill=0.4)
    frame = rules(collect(tmp_path)).set_index("method")
    assert {"MMDG++", METHODS["mmdg++_without_regrad"].title} <= set(frame.index)
    assert list(frame["rule"][:2]) == ["none", "regrad"] and frame["rule"].is_unique
    assert frame.loc["MMDG++", "auc"] == "not run"
    auc = collect(tmp_path).iloc[0]["auc"]
    assert frame.loc[METHODS["mmdg++_without_regrad"].title, "auc"] == f"{100 * auc:.2f}"


def test_apcer_of_species_is_averaged_over_targets_then_seeds():
    keys = {"protocol": "P1", "missing": "", "method": "fusion"}
    rows = [
        (0, "a", "W", "print", 0.1), (0, "a", "W", "replay", 0.3), (0, "b", "S", "print", 0.3),
        (1, "c", "W", "print", 0.4), (1, "c", "W", "replay", 0.5), (1, "d", "S", "print", 0.4),
    ]  # fmt: skip
    names = ["seed", "run", "target", "species", "apcer"]
    table = species_table(pd.DataFrame([keys | dict(zip(names, row, strict=True)) for row in rows]))
    # print: seeds 0.2 and 0.4; replay: 0.3 and 0.5; worst: (0.3 + 0.3) / 2 and (0.5 + 0.4) / 2
    expected = ["30.00 ± 14.14", "40.00 ± 14.14", "37.50 ± 10.61"]
    assert table.iloc[0].tolist() == ["Plain fusion", *expected]


def test_coverage_says_what_was_not_run(p1):
    frame = coverage(collect(p1)).set_index("method")
    assert frame.loc["Plain fusion", "P1"] == "4 of 4 settings, 3 seeds"
    assert frame.loc["Plain fusion", "P2"] == "not run" == frame.loc["MMDG", "P1"]
    assert set(frame.index) == {method.title for method in METHODS.values()}


def test_every_table_with_peers_says_that_they_are_not_their_papers_set_up(p1, make_run, tmp_path):
    made = {path.name: path.read_text("utf-8") for path in tables(p1, out=tmp_path / "without", protocols=["P1"])}
    assert PEER_NOTE not in made["P1.md"]
    for setting, target in SETTINGS.items():
        make_run(method="ssdg", setting=setting, targets=target, skill=0.3)
    made = {path.name: path.read_text("utf-8") for path in tables(p1, out=tmp_path / "with", protocols=["P1"])}
    assert {name for name, text in made.items() if PEER_NOTE in text} >= {"P1.md", "species.md", "coverage.md"}
    rows = [line for line in made["P1.md"].splitlines() if line.startswith("| SSDG (frozen CLIP) |")]
    assert len(rows) == 5  # three metrics, intervals, and the difference from plain fusion
    wide = beside(collect(p1)).set_index("method")
    assert wide.loc["SSDG (frozen CLIP)"].filter(like="published").eq("").all()  # published: another set-up


def test_deployments_are_covered_where_they_were_tested(p1):
    tested = p6_frame({"fusion": 0.0}, seeds=2)
    frame = coverage(collect(p1), tested).set_index("method")
    assert frame.loc["Plain fusion", "P6"] == "4 of 4 settings, 2 seeds" and frame.loc["MMDG++", "P6"] == "not run"
    assert "P6" not in coverage(collect(p1).assign(data="real"))


def test_the_table_of_deployments_holds_means_differences_and_verdicts():
    frame = p6_frame({"fusion": 0.0, "mmdg++": -0.05})
    made = deployments(frame)
    (_, means), (_, faults), (_, claims), (_, contrasts) = made.blocks
    row, mine = means.set_index("method").loc["MMDG++"], frame[frame["method"] == "mmdg++"]
    on = mine[mine["deployment"] != ""]
    inside = on["inside"].astype(bool)
    for name, part in {"HTER": on, "HTER inside": on[inside], "HTER outside": on[~inside]}.items():
        per_seed = part.groupby("seed")["hter"].mean()
        assert row[name] == f"{100 * per_seed.mean():.2f} ± {100 * per_seed.std():.2f}"
    both = on.merge(frame[frame["method"] == "fusion"], on=["setting", "seed", "deployment", "faulty", "severity"])
    assert row["HTER against fusion"] == f"{100 * (both['hter_x'] - both['hter_y']).mean():+.2f}"
    assert row["pairs"] == "12" and means.set_index("method").loc["Plain fusion", "p"] == ""
    at = mine[(mine["faulty"] == "depth") & (mine["severity"] == 4)]["hter"].mean()
    assert faults.set_index(["method", "fault of"]).loc[("MMDG++", "depth"), "4"] == f"{100 * at:.2f}"
    assert claims.set_index("claim").loc["The method as a whole", "verdict"] == "borne out"
    assert len(contrasts) > 10 and any(note.startswith("Design (synthetic data, profile full)") for note in made.notes)
    assert deployments(frame.iloc[:0]).blocks == ()


def test_an_incomplete_seed_does_not_count_in_the_table_of_deployments():
    frame = p6_frame({"fusion": 0.0, "mmdg++": -0.05})
    lacking = frame[~((frame["method"] == "mmdg++") & (frame["seed"] == 2) & (frame["setting"] == "CPS->W"))]
    (_, means), *_ = deployments(lacking).blocks
    whole = frame[(frame["method"] == "mmdg++") & (frame["seed"] < 2) & (frame["deployment"] != "")]
    expected = 100 * whole.groupby("seed")["hter"].mean().mean()
    assert means.set_index("method").loc["MMDG++", "HTER"].startswith(f"{expected:.2f}")
    assert means.set_index("method").loc["MMDG++", "pairs"] == "11"


def test_differences_from_plain_fusion_are_paired_over_seeds_and_targets(p1):
    frame = collect(p1)
    [row] = paired(frame, "P1").to_dict("records")
    wide = frame.pivot(index=["target", "seed"], columns="method", values="hter")
    assert row["method"] == "MMDG++" and row["pairs"] == "12"
    assert float(row["difference"]) == pytest.approx(100 * (wide["mmdg++"] - wide["fusion"]).mean(), abs=0.006)
    assert row["p"] == f"{2 / 2**12:.4f}"
    text = table(frame, "P1").text("markdown")
    assert "minus that of Plain fusion" in text and row["difference"] in text
    assert "Not run (synthetic data, profile quick): Linear probe" in text


def test_intervals_hold_the_means_of_the_runs_bounds(p1):
    frame = collect(p1)
    block = next(b for caption, b in table(frame, "P1").blocks if caption.startswith("intervals")).set_index("method")
    mine = frame[(frame["method"] == "fusion") & (frame["target"] == "S")]
    assert block.loc["Plain fusion", "CPW->S"] == (
        f"{100 * mine['hter_low'].mean():.2f} to {100 * mine['hter_high'].mean():.2f}"
    )


def test_species_table_holds_the_worst_species_apcer(p1):
    frame, species = collect(p1), collect_species(p1)
    assert set(species["species"]) == {"print", "replay"}
    worst = species.groupby("run")["apcer"].max()
    assert np.allclose(frame.set_index("run")["apcer"].sort_index(), worst.sort_index())


def test_tables_writes_every_layout_and_repeats_itself_byte_for_byte(p1, tmp_path):
    first = {path: path.read_bytes() for path in tables(p1, out=tmp_path / "tables")}
    names = {path.name for path in first}
    assert {"P1.csv", "P1.md", "P1.tex", "P2.md", "P3.tex", "runs.csv", "species.csv", "components.md"} <= names
    assert {"rules.tex", "coverage.md", "species.md"} <= names
    assert first == {path: path.read_bytes() for path in tables(p1, out=tmp_path / "tables")}
    rows = list(csv.DictReader((tmp_path / "tables" / "runs.csv").open()))
    assert len(rows) == 24


def test_latex_escapes_and_balances(p1):
    text = table(collect(p1), "P1").text("latex")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 7
    assert "CPS-$>$W" in text
    assert r"$\pm$" in text
    assert r"50\%" in latex("t", [("50%", pd.DataFrame({"a_b": ["x"]}))])


def test_names_from_files_are_no_formulas_no_html_and_no_commands():
    """What a spreadsheet, a browser or LaTeX would take for more than text."""
    names = ["=HYPERLINK(0)", "+cmd|x", "-x", "@SUM(1)", "-1.20 ± 0.30", "-3.0 to 1.5", "+1.2, -0.4", "print"]
    frame = pd.DataFrame({"species": names, "number": [-1.5] * 8, "=a": [None] * 8})
    rows = list(csv.reader(StringIO(csv_text(frame))))
    assert rows[0] == ["species", "number", "'=a"]
    assert [row[0] for row in rows[1:]] == [f"'{name}" for name in names[:4]] + names[4:]
    assert {row[1] for row in rows[1:]} == {"-1.5"}
    hostile = pd.DataFrame({"<b>": ["<img src=x onerror=alert(1)>", "[here](javascript:alert(1))", "p < 0.05, CPS->W"]})
    text = markdown("<script>", [("<i>", hostile)])
    assert "<" not in text.replace("p < 0.05", "") and "](" not in text
    assert "p < 0.05, CPS->W" in text
    assert r"a\textasciicircum{}\textasciitilde{}b" in latex("t", [("c", pd.DataFrame({"n": ["a^~b"]}))])


def test_grid_pads_and_percent_rounds():
    assert grid(pd.DataFrame({"a": ["x|y"], "long name": [None]})).splitlines() == [
        "| a   | long name |",
        "|-----|-----------|",
        "| x/y |           |",
    ]
    assert percent(0.123456) == "12.35"
    assert percent(0.5, 0.01) == "50.00 ± 1.00"
    assert percent(float("nan")) == ""


def test_paired_comparison_finds_a_difference_and_no_difference(p1):
    frame = collect(p1)
    better = compare(frame, "mmdg++", "fusion")
    assert better.pairs == 12
    assert better.high < 0
    assert better.p_value == pytest.approx(2 / 2**12)
    none = compare(frame.assign(hter=frame["seed"] / 10), "mmdg++", "fusion")
    assert (none.difference, none.low, none.high) == (0, 0, 0)
    assert none.p_value == 1
    swapped = compare(frame, "fusion", "mmdg++")
    assert (swapped.difference, swapped.p_value) == (-better.difference, better.p_value)


def test_one_pair_decides_nothing(make_run, tmp_path):
    make_run()
    make_run(method="mmdg++")
    only = compare(collect(tmp_path), "mmdg++")
    assert only.pairs == 1
    assert only.p_value == 1
    assert math.isnan(only.low)
    assert math.isnan(only.high)


def test_paired_comparison_refuses_mixed_profiles_and_methods_without_a_common_run(make_run, tmp_path):
    make_run()
    make_run(method="mmdg++", seed=1)
    with pytest.raises(ValueError, match="no run in common"):
        compare(collect(tmp_path), "mmdg++")
    make_run(profile="full")
    with pytest.raises(ValueError, match="one profile at a time"):
        compare(collect(tmp_path), "mmdg++")


def test_history_survives_a_cut_off_last_line_only(make_run):
    run = make_run()
    path = run / "metrics.jsonl"
    path.write_text(path.read_text() + '{"event": "train", "st')
    assert list(read_history(run)["step"]) == list(range(1, 9))
    path.write_text('{"event": \n' + path.read_text())
    with pytest.raises(ValueError, match="line 1: not JSON"):
        read_history(run)


def test_differences_from_another_reference(p1):
    """The same pairs, the other way round; without a run of the reference there is nothing to compare."""
    frame = collect(p1)
    [row], [turned] = (paired(frame, "P1", reference=name).to_dict("records") for name in ("fusion", "mmdg++"))
    assert turned["method"] == "Plain fusion" and turned["pairs"] == row["pairs"]
    assert float(turned["difference"]) == -float(row["difference"])
    assert paired(frame, "P1", reference="mmdg").empty


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'a,b\n"x', b"a,b\n1,2,3\n", b""])
def test_published_numbers_that_are_no_table_are_named(tmp_path, content):
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"own\.csv"):
        published_results(path)
