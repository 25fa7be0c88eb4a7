"""Diagram (c): one training step, from a batch to new parameters, with the cases of ReGrad as vectors."""

from figures.diagrams.canvas import GREY, LETTERS, MODALITIES, NAMES, SHADE, Canvas, Point, tint
from figures.diagrams.model import FACES

TITLE = "One training step of MMDG++"
HEIGHT = 712
DESCRIPTION = (
    "One training step from top to bottom. 1: a batch passes MMDG++ and gives four losses, one for each modality and "
    "one for the head. 2: their gradients, in a table of four losses by four groups of parameters. Through the "
    "adapters the losses of all three modalities reach the branch of each modality; the head is reached by its own "
    "loss only. 3: the modality whose loss has the lowest moving average is the fastest. 4: in the branch of any "
    "other modality, ReGrad adds to its own gradient the other modalities' gradients, weighted by their certainty: "
    "only the part along its own gradient where they agree, only the part at a right angle to it where they conflict."
    " 5: in the branch of the fastest modality, the sum of the others' gradients is kept whole, and the branch's own "
    "gradient is projected and weighted by its certainty. 6: the gradient of the head's loss is added as it is, and "
    "the optimiser updates the trained parameters."
)
VARIANTS = {
    "losses": ("the losses", {"forward"}),
    "regrad": ("ReGrad", {"fastest", "slow_branch", "fast_branch"}),
}
STEPS = (
    ("forward", 46, "Forward: four losses", "*L*_{R}, *L*_{D}, *L*_{I}: each modality’s own",
     "text classes; *L*_{total}: the head"),
    ("backward", 134, "Backward: gradients", "Through the adapters, three losses", "reach each modality’s branch; its",
     "prompts and projection only one,", "so nothing is balanced there."),
    ("fastest", 284, "Who is the fastest?", "The lowest moving average", "of a modality’s loss (here RGB’s)"),
    ("slow_branch", 366, "ReGrad in a slower branch *m*", "*g* = *g*_{m} + Σ_{j} *U*_{j} *T*(*g*_{j} onto *g*_{m})",
     "*T* keeps the part along *g*_{m}, or,", "in conflict, the part across it."),
    ("fast_branch", 492, "ReGrad in the fastest branch *m*", "*g* = *s* + *U*_{m} *T*(*g*_{m} onto *s*),",
     "with *s* the sum of the others", "and *U* the certainty: the fastest", "is held back."),
    ("update", 618, "Update", "The gradient of *L*_{total} is added", "as it is; then the optimiser’s step"),
)  # fmt: skip
END = 700
COLUMNS = {"rgb": 226.0, "depth": 281.0, "infrared": 336.0, "total": 391.0}  # left edges of the losses
AVERAGES = {"rgb": 0.35, "depth": 0.8, "infrared": 0.6}  # of the losses that are drawn
CERTAINTY = 0.7  # of the modality whose gradient is projected
BASE = (95.0, 0.0)  # what is projected onto
CASES: dict[str, Point] = {"agree": (72.0, 58.0), "conflict": (-46.0, 58.0)}  # what is projected


def draw(canvas: Canvas) -> None:
    with canvas.part("legend"):
        canvas.legend(25, trainable="trained", **NAMES)
    canvas.steps(STEPS, end=END)
    _forward(canvas)
    _backward(canvas)
    _fastest(canvas)
    _cases(canvas, "slow_branch", 366)
    _cases(canvas, "fast_branch", 492)
    _update(canvas)


def _forward(canvas: Canvas) -> None:
    with canvas.part("forward"):
        for number, name in enumerate(NAMES):
            canvas.picture(24 + 16 * number, 58 + 7 * number, 38, FACES / f"live_{name}.png", modality=name)
        canvas.text(59, 125, "batch", bold=True)
        canvas.arrow((100, 82), (121, 82))
        canvas.box(122, 62, 72, 40, "MMDG++", kind="trainable")
        canvas.arrow((194, 82), (216, 82))
        canvas.rectangle(217, 61, 220, 42, fill=SHADE, stroke=GREY, dash="4 3")
        for name, x in COLUMNS.items():
            words = f"*L*_{{{LETTERS[name]}}}" if name in LETTERS else "*L*_{total}"
            canvas.box(x, 68, 40, 28, words, kind=name if name in LETTERS else "plain")


def _backward(canvas: Canvas) -> None:
    rows = (*NAMES, "head")
    with canvas.part("backward"):
        for name, x in COLUMNS.items():
            canvas.arrow((x + 20, 96), (x + 20, 145), modality=name if name in NAMES else "")
        for number, row in enumerate(rows):
            y = 147 + 33 * number
            if row in NAMES:
                canvas.box(24, y, 178, 28, f"branch of {NAMES[row]}", kind=row)
            else:
                canvas.box(24, y, 178, 28, "head (in no branch)")
            for column, x in COLUMNS.items():
                if column == "total":
                    canvas.box(x, y, 40, 28, "*g*_{total}")
                elif row != "head":
                    canvas.rectangle(x, y, 40, 28, fill=tint(MODALITIES[column], 0.5 if row == column else 0.14),
                                     stroke=MODALITIES[column])  # fmt: skip
                    canvas.text(x + 20, y + 18, f"*g*_{{{LETTERS[column]}}}", bold=row == column)
                else:
                    canvas.text(x + 20, y + 18, "none", colour=GREY)


def _fastest(canvas: Canvas) -> None:
    with canvas.part("fastest"):
        for number, (name, average) in enumerate(AVERAGES.items()):
            y = 293 + 23 * number
            canvas.text(104, y + 13, NAMES[name], anchor="end")
            canvas.rectangle(
                112, y, 260 * average, 17, fill=tint(MODALITIES[name], 0.45), stroke=MODALITIES[name], radius=3
            )
        canvas.text(112 + 260 * AVERAGES["rgb"] + 8, 306, "← fastest", anchor="start", bold=True)


def projected(onto: Point, gradient: Point) -> Point:
    """*T*: the part of a gradient along another where they agree, the part at a right angle where they conflict."""
    along = (gradient[0] * onto[0] + gradient[1] * onto[1]) / (onto[0] ** 2 + onto[1] ** 2)
    parallel = along * onto[0], along * onto[1]
    return parallel if along > 0 else (gradient[0] - parallel[0], gradient[1] - parallel[1])


def balanced(onto: Point, gradient: Point) -> Point:
    """What ReGrad makes of the two: the first, and the weighted projection of the second."""
    kept = projected(onto, gradient)
    return onto[0] + CERTAINTY * kept[0], onto[1] + CERTAINTY * kept[1]


def _cases(canvas: Canvas, part: str, top: float) -> None:
    """Two gradients that agree, and two that conflict; the result as a sum, drawn from tip to tail."""
    slow = part == "slow_branch"
    with canvas.part(part):
        for left, (case, gradient) in zip((24, 232), CASES.items(), strict=True):
            canvas.rectangle(left, top + 8, 199, 110, stroke=GREY)
            canvas.text(left + 190, top + 25, case, anchor="end", bold=True)
            agree = case == "agree"
            origin = left + (20 if agree else 62), top + 88

            def at(point: Point, down: float = 0, origin: Point = origin) -> Point:
                return origin[0] + point[0], origin[1] - point[1] + down

            kept, result = projected(BASE, gradient), balanced(BASE, gradient)
            canvas.arrow(at(gradient), at(kept), colour=GREY, dash="2 3", width=1, head=False)
            if not agree:
                canvas.arrow(at((0, 0)), at(kept), colour=GREY, dash="2 3", width=1, head=False)
            canvas.arrow(at((0, 0)), at(gradient), modality="rgb", width=2)
            canvas.arrow(at((0, 0)), at(BASE), modality="depth" if slow else "", colour=GREY, width=2)
            canvas.arrow(at(BASE), at(result), modality="rgb", width=2)
            below = 9 if agree else 0  # a parallel result is drawn below what it is the sum of
            canvas.arrow(at((0, 0), below), at(result, below), width=2.6)
            tip, end, sum_end = at(gradient), at(BASE), at(result, below)
            canvas.text(tip[0] + 13 if agree else tip[0] - 4, tip[1] + 4 if agree else tip[1] - 6, "*g*_{R}")
            base = "*g*_{D}" if slow else "*s*"
            canvas.text(end[0] - 52 if agree else end[0] - 40, end[1] - 7 if agree else end[1] + 16, base)
            weighted = (end[0] + 27, end[1] - 8) if agree else (end[0] + 20, end[1] - 16)
            canvas.text(*weighted, "*U*_{R}*T*")
            canvas.text(sum_end[0] + (8 if agree else 2), sum_end[1] + (4 if agree else -6), "*g*", bold=True)


def _update(canvas: Canvas) -> None:
    with canvas.part("update"):
        for y, words, bend in ((626, "*g*", 650), (662, "*g*_{total}", 666)):
            canvas.box(24, y, 54, 28, words)
            canvas.arrow((78, y + 14), (106, y + 14), (106, bend))
        canvas.plus(106, 658)
        canvas.arrow((113, 658), (149, 658))
        canvas.box(150, 639, 90, 38, "optimiser")
        canvas.arrow((240, 658), (275, 658))
        canvas.box(276, 639, 155, 38, "trained parameters", kind="trainable")
