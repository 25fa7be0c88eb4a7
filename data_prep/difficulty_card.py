"""Tables of the synthetic benchmark's data card and its figure, from the measurements of `difficulty.py`."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.style import COLOURS, new_figure, styled

FUSION = "+".join(modality.value for modality in MODALITIES)
TITLES = {"inside": "inside a domain", "across": "domain left out"}
Report = dict[str, Any]


def values(report: Report, method: str, scope: str, target: str, names: str, metric: str) -> list[float]:
    """One number per seed, in the order of the seeds."""
    found = sorted((key.split("/"), cell) for key, cell in report["cells"].items())
    return [cell[metric] for key, cell in found if key[1:] == [method, scope, target, names]]


def tables(report: Report) -> str:
    """All tables as Markdown."""
    seeds = sorted({int(key.split("/")[0]) for key in report["cells"]})
    lines = [
        f"Benchmark version {report['settings']['benchmark_version']}; fresh seeds {', '.join(map(str, seeds))} "
        "(samples and training); mean ± standard deviation over seeds, in percent. "
        "HTER at the threshold fixed on the sources' validation samples.",
    ]
    lines += ["", *(f"- {sentence}" for sentence in findings(report))]
    for method, scope, title in (
        ("cnn", "inside", "Small CNN, inside a domain (other subjects)"),
        ("cnn", "across", "Small CNN, leave one domain out (columns: the target)"),
        ("probe", "inside", "Converged linear probe on the frozen tiny CLIP, inside a domain"),
        ("probe", "across", "Converged linear probe on the frozen tiny CLIP, leave one domain out"),
    ):
        if not _subsets(report, method, scope):
            continue
        lines += ["", f"### {title}: HTER", "", *_table(report, method, scope, "hter")]
        if scope == "across":
            lines += ["", f"### {title}: AUC", "", *_table(report, method, scope, "auc")]
    for scope, title in (("inside", "inside the domains"), ("across", "with the domain left out")):
        if not _subsets(report, "cnn", scope):
            continue
        lines += ["", f"### AUC per species of the small CNN, {title}", "", *_species_table(report, scope)]
    return "\n".join(lines)


def findings(report: Report) -> list[str]:
    """The design targets beside what was measured, one sentence each."""
    targets = _targets(report)

    def means(scope: str, names: str) -> dict[str, float]:
        found = {target: values(report, "cnn", scope, target, names, "hter") for target in targets}
        return {target: 100 * float(np.mean(numbers)) for target, numbers in found.items() if numbers}

    sentences = []
    inside, across = means("inside", FUSION), means("across", FUSION)
    if len(inside) == len(targets):
        worst = max(inside, key=lambda target: inside[target])
        sentences.append(f"Inside a domain, target below 10 %: at most {inside[worst]:.1f} % (in {worst}).")
    if len(across) == len(targets):
        low, high, mean = min(across.values()), max(across.values()), np.mean(list(across.values()))
        sentences.append(
            f"Leave one out, targets 10 to 40 % each and 20 to 30 % on average: {low:.1f} to {high:.1f} %,"
        )
        sentences[-1] += f" on average {mean:.1f} %."
    single = {modality.value: means("across", modality.value) for modality in MODALITIES}
    if all(len(numbers) == len(targets) for numbers in single.values()):
        best = [f"{target} {Modality(min(single, key=lambda name: single[name][target])).title}" for target in targets]
        sentences.append(f"Best single modality when the domain is left out: {', '.join(best)}.")
    return sentences


def _name(names: str) -> str:
    return " + ".join(Modality(name).title for name in names.split("+"))


def _targets(report: Report) -> list[str]:
    present = {key.split("/")[3] for key in report["cells"]}
    return [letter for letter in "WCPS" if letter in present]


def _subsets(report: Report, method: str, scope: str) -> list[str]:
    present = {key.split("/")[4] for key in report["cells"] if key.split("/")[1:3] == [method, scope]}
    order = [modality.value for modality in MODALITIES]
    return sorted(present, key=lambda names: (names.count("+"), [order.index(name) for name in names.split("+")]))


def _spread(numbers: list[float]) -> str:
    return f"{100 * np.mean(numbers):.1f} ± {100 * np.std(numbers):.1f}" if numbers else "-"


def _table(report: Report, method: str, scope: str, metric: str) -> list[str]:
    targets = _targets(report)
    rows = [f"| modalities | {' | '.join(targets)} | mean |", "|---" * (len(targets) + 2) + "|"]
    for names in _subsets(report, method, scope):
        cells = [values(report, method, scope, target, names, metric) for target in targets]
        means = [float(np.mean(numbers)) for numbers in cells if numbers]
        shown = [_spread(numbers) for numbers in cells]
        mean = f"{100 * np.mean(means):.1f}" if len(means) == len(targets) else "-"
        rows.append(f"| {_name(names)} | {' | '.join(shown)} | {mean} |")
    return rows


def _species_table(report: Report, scope: str) -> list[str]:
    """Mean over the domains that have the species, and over seeds."""
    columns = [modality.value for modality in MODALITIES] + [FUSION]
    collected: dict[str, dict[str, list[float]]] = {}
    for key, cell in report["cells"].items():
        _, method, where, _, names = key.split("/")
        if method == "cnn" and where == scope and names in columns:
            for species, auc in cell["auc_per_species"].items():
                collected.setdefault(species, {}).setdefault(names, []).append(auc)
    rows = [f"| species | {' | '.join(_name(names) for names in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for species in sorted(collected, key=lambda name: -np.mean(collected[name].get(FUSION, [0.0]))):
        cells = [collected[species].get(names, []) for names in columns]
        shown = [f"{100 * np.mean(numbers):.0f}" if numbers else "-" for numbers in cells]
        rows.append(f"| {species.replace('_', ' ')} | {' | '.join(shown)} |")
    return rows


@styled
def difficulty_figure(report: Report) -> Figure:
    """Bars of HTER per target, modality and fusion; inside and across domains; dots are seeds."""
    figure = new_figure((9, 3.4))
    targets = _targets(report)
    columns = [modality.value for modality in MODALITIES] + [FUSION]
    colours = [COLOURS[modality.value] for modality in MODALITIES] + ["#555555"]
    shared = None
    scopes = [scope for scope in TITLES if _subsets(report, "cnn", scope)]
    for place, scope in enumerate(scopes):
        axes = shared = figure.add_subplot(1, len(scopes), place + 1, sharey=shared)
        for column, (names, colour) in enumerate(zip(columns, colours, strict=True)):
            label = "all three" if names == FUSION else Modality(names).title
            for x, target in enumerate(targets):
                numbers = 100 * np.array(values(report, "cnn", scope, target, names, "hter"))
                if len(numbers) == 0:
                    continue
                at = x + 0.2 * (column - 1.5)
                axes.bar(at, numbers.mean(), width=0.19, color=colour, label=label if x == 0 else None)
                axes.plot([at] * len(numbers), numbers, "o", color="black", markersize=2)
        axes.axhline(50, color="grey", linewidth=0.8, linestyle=":")
        axes.set_xticks(range(len(targets)), [f"synthetic {target}" for target in targets])
        axes.set_title(f"Small CNN, {TITLES[scope]}")
        axes.set_ylabel("HTER (%)" if place == 0 else "")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure
