"""Pictures of samples as they are on disk and in batches, and of what data sets hold. Each returns a Figure."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from einops import rearrange
from IPython.display import Image
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mmdg_lite.data.loader import CLIP_MEAN, CLIP_STD, Batch
from mmdg_lite.data.real.quality import hole_fraction, saturated_fraction
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.plots.style import NAMES, new_figure, style, styled

Pixels = NDArray[np.uint8]
Counts = Mapping[str, Mapping[str, tuple[int, int]]]


@styled
def sheet(rows: Sequence[tuple[str, Mapping[Modality, Pixels]]]) -> Figure:
    """Rows of named samples: RGB, depth and infrared side by side, uint8 H x W x C; a missing modality stays empty."""
    if not rows:
        raise ValueError("a sheet needs at least one sample")
    figure = new_figure((5.4, 1.75 * len(rows) + 0.3))
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for line, (name, images) in zip(grid, rows, strict=True):
        for axes, modality in zip(line, MODALITIES, strict=True):
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_visible(False)
            if modality in images:
                pixels = images[modality]
                axes.imshow(pixels[..., 0] if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
                axes.set_title(f"{NAMES[modality.value]}, {pixels.shape[1]} x {pixels.shape[0]}", fontsize="x-small")
            else:
                axes.text(0.5, 0.5, "missing", ha="center", va="center", fontsize="small", transform=axes.transAxes)
        line[0].set_ylabel(name, fontsize="small")
    return figure


@styled
def grid(images: Sequence[Sequence[Pixels]], *, rows: Sequence[str], columns: Sequence[str]) -> Figure:
    """A table of images, uint8 H x W x C, with names of rows and columns."""
    if len(images) != len(rows) or any(len(line) != len(columns) for line in images):
        raise ValueError(f"expected {len(rows)} rows of {len(columns)} images")
    figure = new_figure((1.15 * len(columns) + 0.5, 1.2 * len(rows) + 0.3))
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for r, line in enumerate(images):
        for c, pixels in enumerate(line):
            axes[r, c].set_xticks([])
            axes[r, c].set_yticks([])
            axes[r, c].imshow(pixels[..., 0] if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
            if r == 0:
                axes[r, c].set_title(columns[c], fontsize="small")
        axes[r, 0].set_ylabel(rows[r], fontsize="small")
    return figure


@styled
def class_counts(counts: Counts) -> Figure:
    """Live and spoof samples per split (domain -> split -> (live, spoof)), one panel per domain, on one scale."""
    if not counts:
        raise ValueError("no counts to draw")
    figure = new_figure((2.2 * len(counts) + 0.6, 2.6))
    panels = figure.subplots(1, len(counts), squeeze=False, sharey=True)[0]
    for axes, (domain, splits) in zip(panels, counts.items(), strict=True):
        places = np.arange(len(splits))
        for shift, name, which, colour in ((-0.2, "live", 0, "#0072B2"), (0.2, "spoof", 1, "#D55E00")):
            heights = [pair[which] for pair in splits.values()]
            axes.bar_label(axes.bar(places + shift, heights, 0.38, label=name, color=colour), fontsize="xx-small")
        axes.set_xticks(places, list(splits))
        axes.set_title(domain)
    panels[0].set_ylabel("samples")
    panels[-1].legend(fontsize="small")
    return figure


@styled
def quality(measured: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Per domain, how much of depth is holes and of infrared saturated: every sample a point, the bar their median.

    `measured`: domain -> (fractions of holes, fractions of saturated pixels), 0..1.
    """
    figure = new_figure((6.4, 2.6))
    panels = figure.subplots(1, 2)
    for which, (axes, title) in enumerate(zip(panels, ("holes in depth", "saturated infrared"), strict=True)):
        for place, values in enumerate(measured.values()):
            fractions = np.asarray(values[which])
            spread = np.linspace(-0.25, 0.25, len(fractions)) if len(fractions) > 1 else np.zeros(1)
            axes.plot(place + spread, 100 * fractions, ".", markersize=3, alpha=0.5)
            axes.hlines(100 * float(np.median(fractions)), place - 0.3, place + 0.3, color="black")
        axes.set_xticks(range(len(measured)), list(measured))
        axes.set_title(title)
        axes.set_ylabel("% of pixels")
    return figure


def measure(depth: Sequence[Pixels] | Pixels, infrared: Sequence[Pixels] | Pixels) -> tuple[list[float], list[float]]:
    """(fraction of holes per depth image, fraction of saturated pixels per infrared image), for `quality`."""
    return [hole_fraction(image) for image in depth], [saturated_fraction(image) for image in infrared]


def pixels(batch: Batch, modality: Modality, index: int) -> Pixels:
    """An image of a batch as it would look: normalisation undone, uint8 H x W x 3."""
    image = {Modality.RGB: batch["rgb"], Modality.DEPTH: batch["depth"], Modality.INFRARED: batch["infrared"]}[modality]
    values = rearrange(image[index].numpy(), "c h w -> h w c") * np.asarray(CLIP_STD) + np.asarray(CLIP_MEAN)
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def photo(figure: Figure, *, quality: int = 80, dpi: int = 100) -> Image:
    """A figure full of faces as a JPEG for a notebook: a third of the size that it would have as a PNG."""
    out = io.BytesIO()
    with style():
        figure.savefig(out, format="jpeg", dpi=dpi, pil_kwargs={"quality": quality})
    return Image(data=out.getvalue(), format="jpeg")
