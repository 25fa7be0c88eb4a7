"""Diagram (a): the whole of MMDG++, from three images to a decision, and what trains it."""

from pathlib import Path

from figures.diagrams.canvas import GREY, LEGEND, LETTERS, MODALITIES, NAMES, SHADE, TRAINABLE, Canvas, tint

TITLE = "MMDG++"
HEIGHT = 668
DESCRIPTION = (
    "MMDG++ from left to right. A colour, a depth and an infrared image of one face are cut into patches by CLIP's "
    "frozen patch embedding and get a trained class token and trained positions of their own modality. They pass the "
    "frozen blocks of CLIP's image transformer. In every block, beside the frozen MLP, each modality has a trained "
    "U-Adapter++, which reads the tokens of all three modalities and adds to its own. Trained projections give three "
    "features. A trained linear head reads all three and decides between live and spoof. Below, hand-written "
    "sentences with learned vectors pass CLIP's frozen text transformer and become one class for live faces and one "
    "class for the spoofs of each source domain. Each feature is compared with them, which gives three losses beside "
    "the head's. ReGrad balances the gradients of the three losses in each modality's branch, and the optimiser "
    "updates what is trained."
)
VARIANTS = {
    "data": ("the data", {"images"}),
    "adapters": ("the adapters", {"adapters"}),
    "prompts": ("the prompts", {"prompts", "losses"}),
    "regrad": ("ReGrad", {"losses", "total_loss", "regrad"}),
    "balance": ("the modalities' features and the decision", {"images", "features", "head"}),
}
ROWS = {"rgb": 110.0, "depth": 209.0, "infrared": 308.0}
FACES = Path(__file__).parent / "faces"


def draw(canvas: Canvas) -> None:
    with canvas.part("legend"):
        canvas.legend(25, **LEGEND)
    _images(canvas)
    _trunk(canvas)
    _adapters(canvas)
    _features(canvas)
    _head(canvas)
    _prompts(canvas)
    _losses(canvas)
    _regrad(canvas)


def _images(canvas: Canvas) -> None:
    with canvas.part("images"):
        canvas.text(48, 66, "images", bold=True)
        for name, y in ROWS.items():
            canvas.picture(16, y - 32, 64, FACES / f"replay_{name}.png", modality=name)
            canvas.text(48, y + 47, NAMES[name])
            canvas.arrow((81, y), (95, y), modality=name)
        canvas.lines(48, 379, "(here: a face", "on a screen)", size=11.5, step=14, colour=GREY)


def _trunk(canvas: Canvas) -> None:
    with canvas.part("trunk"):
        canvas.text(168, 66, "tokens", bold=True)
        canvas.box(96, 78, 70, 262, "patch", "embedding", kind="frozen", size=11.5)
        canvas.rectangle(264, 48, 246, 358, fill=SHADE, stroke=GREY, dash="4 3", radius=10)
        canvas.text(387, 66, "a block of the transformer", bold=True)
        note = ("12 blocks in ViT-B/16, 4 in the tiny CLIP;", "norms and residual sums not drawn")
        canvas.lines(387, 382, *note, size=11.5, step=15, colour=GREY)
        for name, y in ROWS.items():
            canvas.arrow((166, y), (181, y), modality=name)
            canvas.arrow((250, y), (274, y), modality=name)
            canvas.box(275, y - 15, 66, 30, "attention", kind="frozen", size=11.5)
            canvas.arrow((341, y), (409, y), modality=name)
            canvas.box(410, y - 15, 50, 30, "MLP", kind="frozen", size=11.5)
            canvas.arrow((460, y), (483, y), modality=name)
    with canvas.part("tokens"):
        for y in ROWS.values():
            canvas.box(182, y - 20, 68, 40, "class token,", "positions", kind="trainable", size=11)


def _adapters(canvas: Canvas) -> None:
    """Each modality's tokens go down or up a vertical line of their own, and every adapter reads all three lines."""
    columns = dict(zip(ROWS, ((358.0, 31), (370.0, 40), (382.0, 49)), strict=True))  # place, and how far below a row
    with canvas.part("adapters"):
        for name, (x, below) in columns.items():
            ends = [ROWS[name], *(y + below for y in ROWS.values())]
            canvas.arrow((x, min(ends)), (x, max(ends)), modality=name, head=False)
            canvas.dot(x, ROWS[name], MODALITIES[name])
        for receiver, y in ROWS.items():
            for sender, (x, below) in columns.items():
                canvas.arrow((x, y + below), (399, y + below), modality=sender, width=1.4)
                canvas.dot(x, y + below, MODALITIES[sender])
            canvas.box(400, y + 24, 78, 32, "U-Adapter++", kind="trainable", size=11)
            canvas.arrow((478, y + 40), (491, y + 40), (491, y + 8), modality=receiver)
    with canvas.part("trunk"):
        for name, y in ROWS.items():
            canvas.plus(491, y)
            canvas.arrow((498, y), (519, y), modality=name)


def _features(canvas: Canvas) -> None:
    with canvas.part("features"):
        canvas.text(565, 66, "features", bold=True)
        for name, y in ROWS.items():
            canvas.box(520, y - 15, 50, 30, "project", kind="trainable", size=11)
            canvas.arrow((570, y), (581, y), modality=name)
            canvas.box(582, y - 15, 28, 30, f"*f*_{{{LETTERS[name]}}}", kind=name)


def _head(canvas: Canvas) -> None:
    middle = ROWS["depth"]
    with canvas.part("head"):
        for name, y in ROWS.items():
            bend = [] if y == middle else [(642.0, y)]
            canvas.arrow((610, y), *bend, (642, middle), modality=name, head=False)
        canvas.dot(642, middle)
        canvas.arrow((642, middle), (652, middle))
        canvas.box(653, middle - 23, 38, 46, "linear", "head", kind="trainable", size=11)
        canvas.arrow((672, middle + 23), (672, 286))
        canvas.box(652, 287, 40, 42, "live or", "spoof", size=11)


def _prompts(canvas: Canvas) -> None:
    with canvas.part("prompts"):
        for shift in (6, 3, 0):
            canvas.rectangle(16 + shift, 430 + shift, 206, 96, stroke=GREY)
        canvas.text(26, 448, "9 sentences per class", anchor="start", bold=True)
        words = ("“a photo of a real face in the", "RGB modality, …, within the", "deployment environment of")
        canvas.lines(26, 465, *words, anchor="start", size=11.5)
        for number in range(5):
            canvas.rectangle(27 + 22 * number, 503, 17, 15, fill=tint(TRAINABLE, 0.35), stroke=TRAINABLE, radius=3)
        canvas.badge(154, 510.5, "trainable")
        canvas.text(138, 515, "”", anchor="start", size=11.5)
        canvas.text(164, 514.5, "learned", anchor="start", size=11.5)
        canvas.arrow((228, 479), (249, 479))
        canvas.box(250, 449, 84, 60, "CLIP’s", "text", "transformer", kind="frozen", size=11.5)
        canvas.arrow((334, 479), (355, 479))
        canvas.rectangle(356, 420, 130, 118, fill=SHADE, stroke=GREY, dash="4 3", radius=8)
        canvas.text(421, 436, "text classes *t*_{c}", bold=True)
        canvas.box(363, 444, 116, 20, "live, all domains", size=11.5)
        canvas.box(363, 469, 116, 20, "spoof, domain 1", size=11.5)
        canvas.text(421, 504, "⋮", bold=True)
        canvas.box(363, 511, 116, 20, "spoof, domain *S*", size=11.5)


def _losses(canvas: Canvas) -> None:
    taps = dict(zip(ROWS, (617.0, 625.0, 633.0), strict=True))
    with canvas.part("losses"):
        canvas.arrow((486, 479), (519, 479))
        for name, x in taps.items():
            canvas.dot(x, ROWS[name], MODALITIES[name])
            canvas.arrow((x, ROWS[name]), (x, 450), modality=name, width=1.4)
        canvas.box(520, 451, 118, 56, "compare *f*_{m} with *t*_{c}:", "cosine, softmax", size=11.5)
        for name, x in zip(ROWS, (522.0, 562.0, 602.0), strict=True):
            canvas.arrow((x + 17, 507), (x + 17, 557), modality=name, width=1.4)
            canvas.box(x, 558, 34, 28, f"*L*_{{{LETTERS[name]}}}", kind=name)
        canvas.text(513, 576.5, "losses", bold=True, anchor="end")
    with canvas.part("total_loss"):
        canvas.arrow((672, 329), (672, 557))
        canvas.box(651, 558, 42, 28, "*L*_{total}")


def _regrad(canvas: Canvas) -> None:
    """What follows the losses in training: the way back."""
    with canvas.part("regrad"):
        for name, x, y in zip(ROWS, (539.0, 579.0, 619.0), (599.0, 608.0, 617.0), strict=True):
            canvas.arrow((x, 586), (x, y), (457, y), modality=name, width=1.4)
        canvas.box(306, 588, 150, 40, "ReGrad balances the", "gradients in each branch", size=11.5)
        canvas.arrow((306, 608), (243, 608))
        canvas.box(160, 588, 82, 40, "optimiser")
        canvas.arrow((672, 586), (672, 654), (201, 654), (201, 629), width=1.4)
        canvas.text(436, 646, "the gradient of *L*_{total} is added as it is", size=11.5)
        canvas.arrow((160, 608), (125, 608))
        canvas.box(16, 588, 108, 40, "everything", "that is trained", kind="trainable")
