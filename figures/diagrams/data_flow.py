"""Diagram (d): the way of the data, from a disk to tables, with the command of every step."""

from math import exp

from figures.diagrams.canvas import EDGE, GREY, INK, NAMES, PAPER, SHADE, Canvas, Point
from figures.diagrams.model import FACES

TITLE = "The way of the data"
HEIGHT = 690
DESCRIPTION = (
    "From top to bottom. WMCA, CASIA-SURF CeFA, CASIA-SURF and PADISI-Face on your disk, your own pictures, or "
    "nothing at all for the synthetic domains: the six subcommands of python -m data_prep (wmca, cefa, casia-surf, "
    "padisi, own, synthetic) turn each into the common form, a folder per domain with manifest.csv and images, which "
    "python -m data_prep verify checks. python -m mmdg_lite train makes a run: a folder with its configuration, its "
    "metrics over time, the best checkpoint, and the score of every validation and test sample. python -m mmdg_lite "
    "evaluate scores test lists again with a finished run's model. python -m mmdg_lite tables makes tables and "
    "figures from the stored scores. python -m mmdg_lite reproduce trains every run of a grid and makes the tables. "
    "Beside it, two pairs of distributions of scores: the threshold chosen on the sources' validation lists is "
    "applied to the target's test list."
)
VARIANTS = {
    "preparation": ("data preparation", {"sources", "data_prep", "common_form", "verify"}),
    "training": ("training and testing", {"common_form", "train", "runs", "evaluate"}),
    "tables": ("from scores to tables", {"runs", "threshold", "evaluate", "tables", "reproduce"}),
}
SOURCES = (
    ("WMCA", "HDF5", "wmca"),
    ("CeFA", "JPEG", "cefa"),
    ("CASIA-SURF", "JPEG", "casia-surf"),
    ("PADISI", "npz", "padisi"),
    ("your camera", "PNG, JPEG", "own"),
    ("synthetic", "rendered", "synthetic"),
)
LEFT, RIGHT, MIDDLE = 24.0, 438.0, 231.0  # of the folders' column


def draw(canvas: Canvas) -> None:
    with canvas.part("legend"):
        canvas.legend(25, **NAMES)
        _command(canvas, 312, 14, 84, "command")
        _folder(canvas, 430, 18, 44, 15)
        canvas.text(482, 29.3, "folder", anchor="start")
    _prepare(canvas)
    _reproduce(canvas)
    _train(canvas)
    _threshold(canvas)
    _tables(canvas)


def _command(canvas: Canvas, x: float, y: float, w: float, *lines: str) -> None:
    """A command as in a terminal."""
    canvas.rectangle(x, y, w, 8 + 15 * len(lines), fill=INK, stroke=INK, radius=4)
    for number, line in enumerate(lines):
        canvas.text(x + w / 2, y + 15.3 + 15 * number, line, size=11, mono=True, colour=PAPER)


def _folder(canvas: Canvas, x: float, y: float, w: float, h: float, path: str = "", words: str = "") -> None:
    """A folder with its path, and what it is."""
    tab = [(x, y), (x, y - 4), (x + 3, y - 7), (x + 22, y - 7), (x + 27, y)]
    canvas.polygon(tab, fill=SHADE, stroke=GREY)
    canvas.rectangle(x, y, w, h, fill=SHADE, stroke=GREY, radius=3)
    canvas.text(x + 12, y + 19, path, size=12, mono=True, bold=True, anchor="start")
    canvas.text(x + w - 12, y + 19, words, size=11.5, anchor="end", colour=GREY)


def _files(canvas: Canvas, y: float, files: dict[str, str], *, step: float = 17) -> None:
    """Names of files and what they hold, in the folders' column."""
    for number, (name, words) in enumerate(files.items()):
        canvas.text(LEFT + 12, y + step * number, name, size=11.5, mono=True, anchor="start")
        canvas.text(LEFT + 148, y + step * number, words, size=11.5, anchor="start")


def _prepare(canvas: Canvas) -> None:
    centres = [72 + 111.2 * number for number in range(len(SOURCES))]
    with canvas.part("sources"):
        canvas.text(LEFT, 62, "on your disk", anchor="start", bold=True)
        canvas.text(centres[-1] - 48, 62, "made here", anchor="start", bold=True)
        for x, (name, form, _) in zip(centres, SOURCES, strict=True):
            canvas.box(x - 48, 70, 96, 42)
            canvas.text(x, 87, name)
            canvas.text(x, 103, form, size=11.5, colour=GREY)
            canvas.arrow((x, 112), (x, 129))
    with canvas.part("data_prep"):
        _command(canvas, LEFT, 130, 652, "python -m data_prep", "")
        for x, (*_, command) in zip(centres, SOURCES, strict=True):
            canvas.text(x, 161, command, size=11.5, mono=True, bold=True, colour=PAPER)
        canvas.arrow((MIDDLE, 168), (MIDDLE, 193))
    with canvas.part("common_form"):
        _folder(canvas, LEFT, 194, RIGHT - LEFT, 100, "data/W/", "the common form, a folder per domain")
        _files(canvas, 242, {"manifest.csv": "", "images/": ""}, step=20)
        for number, (face, words) in enumerate((("live", "live: label 1"), ("replay", "replay: label 0"))):
            x = LEFT + 136 + 138 * number
            canvas.text(x + 64, 284, words, size=11.5)
            for place, name in enumerate(NAMES):
                canvas.picture(x + 44 * place, 227, 40, FACES / f"{face}_{name}.png", modality=name)
    with canvas.part("verify"):
        canvas.arrow((RIGHT, 237), (465, 237))
        _command(canvas, 466, 225, 221, "python -m data_prep verify data")
        canvas.lines(466, 268, "checks every row and every image", anchor="start", size=11.5)


def _reproduce(canvas: Canvas) -> None:
    with canvas.part("reproduce"):
        canvas.rectangle(12, 313, 434, 366, stroke=GREY, dash="4 3", radius=8)
        canvas.arrow((466, 341), (447, 341))
        _command(canvas, 466, 329, 221, "python -m mmdg_lite reproduce")
        words = "all in this frame: every run of a grid,", "then the tables; notebooks on the way"
        canvas.lines(466, 370, *words, size=11.5, anchor="start")


def _train(canvas: Canvas) -> None:
    with canvas.part("train"):
        canvas.arrow((MIDDLE, 294), (MIDDLE, 328))
        _command(canvas, MIDDLE - 155, 329, 310, "python -m mmdg_lite train --data-root data")
        canvas.text(MIDDLE, 369, "(without --data-root: synthetic domains, rendered in memory)", size=11, colour=GREY)
        canvas.arrow((MIDDLE, 376), (MIDDLE, 399))
    with canvas.part("runs"):
        _folder(canvas, LEFT, 400, RIGHT - LEFT, 126, "runs/…/CPS-to-W/mmdg++/seed0/", "one run")
        files = {
            "config.json": "every setting",
            "metrics.jsonl": "losses and certainties, step by step",
            "model.safetensors": "best step on the sources’ validation",
            "scores/": "of every validation and test face",
            "result.json": "threshold from validation, test errors",
        }
        _files(canvas, 442, files, step=18)
    with canvas.part("evaluate"):
        canvas.arrow((RIGHT, 455), (465, 455))
        _command(canvas, 466, 443, 221, "python -m mmdg_lite evaluate RUN")
        words = "scores test lists again with the run’s", "model, at the run’s own threshold"
        canvas.lines(466, 485, *words, anchor="start", size=11.5)


def _threshold(canvas: Canvas) -> None:
    """Scores as two distributions: the threshold is chosen on one list and judged on another."""

    def bell(mean: float, spread: float, base: float, low: float = 0, high: float = 1) -> list[Point]:
        values = [low + (high - low) * step / 80 for step in range(81)]
        top = [(474 + 202 * v, base - 3.6 / spread * exp(-(((v - mean) / spread) ** 2) / 2)) for v in values]
        return [(474 + 202 * low, base), *top, (474 + 202 * high, base)]

    with canvas.part("threshold"):
        canvas.text(466, 537, "the sources’ threshold", anchor="start", bold=True)
        lists = (
            (598, "sources’ validation lists", 0.28, 0.72, 0.1),
            (655, "target’s test list; black: errors", 0.38, 0.66, 0.13),
        )
        for base, words, spoof, live, spread in lists:
            canvas.curve(bell(spoof, spread, base), stroke=GREY, fill=EDGE)
            canvas.curve(bell(live, spread, base), stroke=GREY)
            canvas.curve(bell(spoof, spread, base, 0.5, 1), stroke=INK, fill=INK, width=0.5)
            canvas.curve(bell(live, spread, base, 0, 0.5), stroke=INK, fill=INK, width=0.5)
            canvas.arrow((575, base - 38), (575, base), dash="3 3", head=False)
            canvas.text(575, base + 14, words, size=11.5)
        canvas.text(474, 572, "spoof", size=11.5, anchor="start")
        canvas.text(676, 572, "live", size=11.5, anchor="end")


def _tables(canvas: Canvas) -> None:
    with canvas.part("tables"):
        canvas.arrow((MIDDLE, 526), (MIDDLE, 547))
        _command(canvas, MIDDLE - 155, 548, 310, "python -m mmdg_lite tables --runs runs")
        canvas.arrow((MIDDLE, 571), (MIDDLE, 594))
        _folder(canvas, LEFT, 595, RIGHT - LEFT, 74, "runs/tables/", "made from stored scores alone")
        files = {
            "P1.md, runs.csv": "error rates with their spread over seeds",
            "figures/": "errors by target, ROC and DET curves",
        }
        _files(canvas, 638, files, step=18)
