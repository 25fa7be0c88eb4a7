"""Diagram (b): U-Adapter++ step by step, with the shapes of its tensors and its formulas beside it."""

from math import exp

from figures.diagrams.canvas import GREY, MODALITIES, TRAINABLE, Canvas, Point, tint

TITLE = "U-Adapter++"
HEIGHT = 800
DESCRIPTION = (
    "U-Adapter++ from top to bottom, here with depth as the receiver h and RGB as the sender c, each B x N x C. 1: "
    "two trained down-projections give a and b, B x N x d. 2: both sides give every token a query as a Gaussian with "
    "a mean and a log-variance. 3: the variance of K draws is a token's uncertainty u, its certainty is U = exp(-r "
    "u), B x N x 1. 4: token by token, one of the two queries is taken, in training the sender's with probability U_b"
    " / (U_a + U_b), in evaluation the more certain one. 5: attention of these queries, with logits multiplied by the"
    " certainty, over keys and values from a. 6: a is added, then a trained linear map of the normalised sum. 7: a "
    "central difference convolution over the grid of patches, and over the class token as an image of one pixel. 8: "
    "an up-projection back to B x N x C, which starts at zero. The result is added to the receiver's tokens."
)
VARIANTS = {
    "uncertainty": ("the uncertainty", {"queries", "certainty", "selection"}),
    "attention": ("the attention", {"attention"}),
}
A, B, MIDDLE = 120.0, 320.0, 220.0  # centres of the receiver's and the sender's column, and between them
SPREADS = {A: 0.8, B: 0.35}  # standard deviations of the two queries that are drawn
RATE = 2.5
DEVIATIONS = [step / 20 for step in range(-48, 49)]
TOKENS = ("RRDR", "RDDR", "RRRR", "DRRD")  # whose query the drawn patch tokens take
STEPS = (
    ("down", 98, "Down-projection", "*a* = LN_{kv}(QuickGELU(*W*_{kv} *h*))", "*b* = LN_{q}(QuickGELU(*W*_{q} *c*))"),
    ("queries", 196, "Each query is a Gaussian", "*q*_{b} = *W*_{1} *b* has mean *M*_{1} *q*_{b}",
     "and log-variance *S*_{1} *q*_{b};", "*q*_{a} likewise: *W*_{2}, *M*_{2}, *S*_{2}"),
    ("certainty", 290, "Certainty of a token", "*u* = variance of *K* draws of *q*,",
     "averaged over *d*; *U* = exp(−*r u*)"),
    ("selection", 358, "Selection, token by token", "training: *b* with probability",
     "*U*_{b} / (*U*_{a} + *U*_{b}); evaluation:", "the more certain side"),
    ("attention", 444, "Attention under certainty", "softmax(*U q k*^{T} / √(*d*/*H*)) *v*",
     "with *k* and *v* from *a*"),
    ("mlp", 522, "Residual sum and MLP", "*y* = *a* + attention", "*y* = *y* + *W*_{mlp} LN_{q}(*y*)"),
    ("convolution", 592, "Central differences", "conv 3×3 − *θ* · conv 1×1 with the",
     "kernel’s sum; patches as a grid,", "class token as one pixel"),
    ("up", 678, "Up-projection from zero", "*W*_{up} QuickGELU(*y*): zero at first, so",
     "that training starts at CLIP"),
)  # fmt: skip
END = 750


def draw(canvas: Canvas) -> None:
    with canvas.part("legend"):
        canvas.legend(25, trainable="trained", depth="receiver (here depth)", rgb="sender (here RGB)")
        canvas.text(682, 29.3, "shapes in grey", anchor="end", colour=GREY)
    canvas.steps(STEPS, end=END)
    _down(canvas)
    _queries(canvas)
    _certainty(canvas)
    _selection(canvas)
    _attention(canvas)
    _mlp(canvas)
    _convolution(canvas)
    _up(canvas)


def _down(canvas: Canvas) -> None:
    with canvas.part("down"):
        for x, name, words in ((A, "depth", "receiver *h*"), (B, "rgb", "sender *c*")):
            canvas.box(x - 70, 48, 140, 38, kind=name)
            canvas.text(x, 64, words, bold=True)
            canvas.text(x, 80, "*B* × *N* × *C*", colour=GREY)
            canvas.arrow((x, 86), (x, 105), modality=name)
            weight = "*W*_{kv}" if name == "depth" else "*W*_{q}"
            _trapezoid(canvas, x, 106, 140, 60, weight)
            canvas.arrow((x, 140), (x, 157), modality=name)
            canvas.box(x - 45, 158, 90, 28, kind=name)
            canvas.text(x - 34, 176, "*a*" if name == "depth" else "*b*", bold=True)
            canvas.text(x + 6, 176, "*B* × *N* × *d*", colour=GREY)


def _trapezoid(canvas: Canvas, x: float, y: float, above: float, below: float, words: str) -> None:
    """A projection to fewer or more channels, 34 high."""
    points: list[Point] = [(x - above / 2, y), (x + above / 2, y), (x + below / 2, y + 34), (x - below / 2, y + 34)]
    canvas.polygon(points, fill=tint(TRAINABLE, 0.2), stroke=TRAINABLE, width=2)
    canvas.text(x, y + 21, words)
    canvas.badge(x + (above + below) / 4 + 2, y + 10 if above > below else y + 22, "trainable")


def _queries(canvas: Canvas) -> None:
    """A normal distribution of each side's query."""
    with canvas.part("queries"):
        for x, name, letter in ((A, "depth", "a"), (B, "rgb", "b")):
            canvas.arrow((x, 186), (x, 205), modality=name)
            canvas.box(x - 75, 206, 150, 72, kind="trainable")
            spread, base = SPREADS[x], 272
            bell = [(x + 27 * t, base - 12 / spread * exp(-((t / spread) ** 2) / 2)) for t in DEVIATIONS]
            colour = MODALITIES[name]
            canvas.curve(bell, stroke=colour, fill=tint(colour, 0.3), width=1.8)
            canvas.curve([(x, base), (x, base - 12 / spread)], stroke=colour, width=1)
            canvas.text(x + 48, 228, f"*q*_{{{letter}}}", bold=True)
            canvas.text(x - 68, 226, "*B* × *N* × *d*", anchor="start", colour=GREY, size=11)


def _certainty(canvas: Canvas) -> None:
    """How far each side's certainty is between 0 and 1, for the distributions drawn above."""
    with canvas.part("certainty"):
        for x, name, letter in ((A, "depth", "a"), (B, "rgb", "b")):
            canvas.arrow((x, 278), (x, 301), modality=name)
            canvas.text(x - 73, 316, f"*U*_{{{letter}}}", bold=True)
            canvas.rectangle(x - 60, 302, 120, 20, stroke=MODALITIES[name], radius=3)
            canvas.rectangle(x - 60, 302, 120 * exp(-RATE * SPREADS[x] ** 2), 20, radius=3,
                             fill=tint(MODALITIES[name], 0.45), stroke=MODALITIES[name])  # fmt: skip
            canvas.text(x + 8, 339, "*B* × *N* × 1", anchor="start", size=11, colour=GREY)


def _selection(canvas: Canvas) -> None:
    """The class token and a grid of patch tokens, each in the colour of the side whose query it takes."""
    with canvas.part("selection"):
        for x, name, side in ((A, "depth", -1), (B, "rgb", 1)):
            canvas.arrow((x, 322), (x, 400), (MIDDLE + side * 71, 400), modality=name)
        colours = {"R": MODALITIES["rgb"], "D": MODALITIES["depth"]}
        canvas.rectangle(MIDDLE - 70, 361, 140, 79, stroke=GREY)
        canvas.rectangle(MIDDLE - 53, 387, 14, 14, fill=tint(colours["R"], 0.55), stroke=colours["R"], radius=2)
        canvas.text(MIDDLE - 46, 415, "class", size=11)
        for row, letters in enumerate(TOKENS):
            for column, letter in enumerate(letters):
                canvas.rectangle(MIDDLE - 18 + 16 * column, 369.5 + 16 * row, 14, 14, fill=tint(colours[letter], 0.55),
                                 stroke=colours[letter], radius=2)  # fmt: skip
        canvas.text(MIDDLE + 57, 405, "*q*", bold=True)


def _attention(canvas: Canvas) -> None:
    with canvas.part("attention"):
        canvas.arrow((MIDDLE, 440), (MIDDLE, 465))
        canvas.text(MIDDLE + 9, 457, "*q* and its *U*", anchor="start", size=11.5)
        canvas.arrow((A - 45, 172), (26, 172), (26, 487), (MIDDLE - 91, 487), modality="depth")
        canvas.text(70, 481, "*k*, *v*")
        canvas.box(MIDDLE - 90, 466, 180, 42, "attention, *H* heads", kind="trainable")


def _mlp(canvas: Canvas) -> None:
    with canvas.part("mlp"):
        canvas.arrow((MIDDLE, 508), (MIDDLE, 525))
        canvas.plus(MIDDLE, 533)
        canvas.dot(26, 487, MODALITIES["depth"])
        canvas.arrow((26, 487), (26, 533), (MIDDLE - 8, 533), modality="depth")
        canvas.text(70, 547, "*a*")
        canvas.arrow((MIDDLE, 540), (MIDDLE, 555))
        canvas.box(MIDDLE - 90, 556, 180, 28, "*y* + *W*_{mlp} LN_{q}(*y*)", kind="trainable")


def _convolution(canvas: Canvas) -> None:
    """The class token alone, and the kernel on the grid of patch tokens."""
    with canvas.part("convolution"):
        canvas.arrow((MIDDLE, 584), (MIDDLE, 600))
        canvas.box(MIDDLE - 112, 601, 224, 70, kind="trainable")
        canvas.rectangle(MIDDLE - 91, 623, 14, 14, stroke=GREY, radius=2)
        canvas.text(MIDDLE - 84, 650, "class", size=11)
        for row in range(4):
            for column in range(4):
                covered = 0.0 if row > 2 or column < 1 else 0.85 if (row, column) == (1, 2) else 0.4
                canvas.rectangle(MIDDLE - 50 + 16 * column, 605 + 16 * row, 14, 14, radius=2, stroke=GREY,
                                 fill=tint(TRAINABLE, covered))  # fmt: skip
        canvas.text(MIDDLE + 20, 639, "*B* × *d* × *g* × *g*", anchor="start", size=11, colour=GREY)


def _up(canvas: Canvas) -> None:
    with canvas.part("up"):
        canvas.arrow((MIDDLE, 670), (MIDDLE, 691))
        _trapezoid(canvas, MIDDLE, 692, 60, 160, "*W*_{up}")
        canvas.arrow((MIDDLE, 726), (MIDDLE, 757), modality="depth")
        canvas.box(MIDDLE - 150, 758, 300, 30, kind="depth")
        canvas.text(MIDDLE - 140, 777.5, "added to the receiver’s tokens", anchor="start")
        canvas.text(MIDDLE + 140, 777.5, "*B* × *N* × *C*", anchor="end", colour=GREY)
        sizes = ("ViT-B/16: *C* = 768, *N* = 1 + 14^{2}", "tiny CLIP: *C* = 128, *N* = 1 + 8^{2}; *d* = 8")
        canvas.lines(447, 770, *sizes, anchor="start", size=11.5, colour=GREY)
