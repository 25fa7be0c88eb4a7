"""How a training step's cost grows with the batch, the tokens, the source domains and the number of samples K.

`python -m tests.benchmarks.growth` measures at ViT-B/16, one quantity at a time, and writes figures/engine/growth.csv,
growth.svg and its section of tests/benchmarks/RESULTS.md. Beside every step stands the trunk's own share of it (F, see
`tests.benchmarks.engine`), so that what grows with the trunk and what does not are told apart.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from mmdg_lite.configuration import write_text
from mmdg_lite.plots.style import new_figure, save, styled
from tests.benchmarks.engine import BACKWARD_PASSES, RESULTS, Bench, PlainTrunk, Step
from tests.benchmarks.measuring import device_name, fastest_of_each
from tests.support.sections import write_section

OUT = Path(__file__).parents[2] / "figures" / "engine"
LABELS = {
    "batch": "batch size in faces",
    "tokens": "tokens per image",
    "sources": "source domains",
    "samples": "samples K of each query",
}
NAMES = "ABCDEFGHIJKLMNOP"


def points(base: Bench, patch: int = 16) -> Iterator[tuple[str, int, str, Bench]]:
    """(what is varied, its value, way of sampling, what to measure)."""
    for batch in (1, 2, 4, 8):
        yield "batch", batch, "moments", replace(base, batch=batch)
    for size in (64, 112, 160, 224):
        yield "tokens", 1 + (size // patch) ** 2, "moments", replace(base, image_size=size)
    for sources in (1, 2, 4, 8, 16):
        yield "sources", sources, "moments", replace(base, sources=tuple(NAMES[:sources]))
    for sampling in ("moments", "expected", "monte_carlo"):
        for samples in (2, 10, 50, 200):
            yield "samples", samples, sampling, replace(base, model=(("samples", samples), ("sampling", sampling)))


def measure(base: Bench, *, repeats: int) -> pd.DataFrame:
    """One row per point: seconds of a step and of the trunk's share, the least of some executions in turn."""
    rows = []
    for varied, value, sampling, bench in tqdm(list(points(base)), desc="growth", unit="point"):
        plain, step = PlainTrunk(bench), Step(bench)
        works = {"step": step.train, "trunk": lambda plain=plain: plain.forward_and_backward(BACKWARD_PASSES)}
        seconds = fastest_of_each(works, repeats, bench.device)
        rows.append({"varied": varied, "value": value, "sampling": sampling} | seconds)
    return pd.DataFrame(rows)


@styled
def growth(frame: pd.DataFrame, *, title: str) -> Figure:
    """Four panels, one per quantity: seconds of a step, and of the trunk's share of it."""
    figure = new_figure((10, 2.9))
    figure.suptitle(title, fontsize="small")
    axes = figure.subplots(1, len(LABELS))
    for axis, (varied, label) in zip(axes, LABELS.items(), strict=True):
        rows = frame[frame["varied"] == varied]
        for marker, (sampling, of_one) in zip("os^", rows.groupby("sampling", sort=False), strict=False):
            name = f"step, {sampling}" if varied == "samples" else "step"
            axis.plot(of_one["value"], of_one["step"], marker=marker, label=name)
        trunk = rows[rows["sampling"] == "moments"]
        axis.plot(trunk["value"], trunk["trunk"], "k--", marker=".", label="trunk alone (F)")
        axis.set_ymargin(0.2)
        axis.set(xlabel=label, ylim=(0, None))
        if varied in ("sources", "samples"):
            axis.set_xscale("log", base=2 if varied == "sources" else 10)
            axis.set_xticks(rows["value"].unique(), [str(value) for value in rows["value"].unique()], minor=False)
            axis.minorticks_off()
        axis.legend(fontsize="x-small")
    axes[0].set_ylabel("seconds")
    return figure


def first_and_last(frame: pd.DataFrame) -> str:
    """Markdown: a step at the smallest and the largest value of each quantity, as multiples of the trunk's share."""
    rows = ["| quantity | sampling | from | to | step / F, from | step / F, to |", "|---|---|---|---|---|---|"]
    for (varied, sampling), part in frame.groupby(["varied", "sampling"], sort=False):
        first, last = part.iloc[0], part.iloc[-1]
        shares = " | ".join(f"{row['step'] / row['trunk']:.2f}" for row in (first, last))
        rows.append(f"| {LABELS[str(varied)]} | {sampling} | {first['value']} | {last['value']} | {shares} |")
    return "\n".join(rows)


def main() -> None:
    """Measure, write the table and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--batch", type=int, default=2, help="where another quantity is varied")
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    torch.manual_seed(0)
    base = Bench(batch=given.batch, device=given.device)
    frame = measure(base, repeats=given.repeats)
    OUT.mkdir(parents=True, exist_ok=True)
    write_text(OUT / "growth.csv", frame.to_csv(index=False, float_format="%.4g"))
    title = f"{base.clip}, batch {base.batch} where not varied, {device_name(base.device)}, K = 50, 3 source domains"
    save(growth(frame, title=title), OUT / "growth.svg")
    text = f"{title}. Written by `python -m tests.benchmarks.growth`; every point is in figures/engine/growth.csv.\n\n"
    text += "![Seconds of a training step over batch, tokens, source domains and samples]"
    text += f"(../../figures/engine/growth.svg)\n\n{first_and_last(frame)}"
    write_section(RESULTS, "How the cost of a step grows", text)
    print(frame.to_string(index=False))


if __name__ == "__main__":
    main()
