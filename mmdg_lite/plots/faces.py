"""Pictures of faces: a triplet, a contact sheet, certainty maps over an image. Each returns a matplotlib Figure."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from einops import rearrange
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mmdg_lite.data.real.quality import hole_fraction, saturated_fraction
from mmdg_lite.modality import CLIP_MEAN, CLIP_STD, MODALITIES, Batch, Modality
from mmdg_lite.plots.style import new_figure, style, styled


class FaceArrays(Protocol):
    """What `data.synthetic.render` gives: uint8 arrays n x (3 or 1) x S x S by modality's name, and texts per
    sample."""

    @property
    def label(self) -> NDArray[np.int64]: ...

    @property
    def species(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, name: str) -> Any: ...


@styled
def triplet(faces: FaceArrays, index: int = 0, *, title: str | None = None) -> Figure:
    """One sample's three images side by side. Raises IndexError beyond the samples."""
    if not 0 <= index < len(faces):
        raise IndexError(f"sample {index} of {len(faces)}")
    figure = new_figure((7.2, 2.7))
    grid = figure.subplots(1, 3)
    for axes, modality in zip(grid, MODALITIES, strict=True):
        show_image(axes, faces[modality.value][index])
        axes.set_title(modality.title)
    figure.suptitle(title if title is not None else _caption(faces, index), x=0.02, ha="left", fontsize="medium")
    return figure


@styled
def contact_sheet(rows: Sequence[tuple[str, FaceArrays]], *, columns: int = 6) -> Figure:
    """Rows of named faces: each row shows its first `columns` samples, RGB above depth above infrared, species on
    top. A single row may go without a name."""
    if not rows:
        raise ValueError("a contact sheet needs at least one row of faces")
    figure = new_figure((1.15 * columns + 0.4, 3.5 * len(rows)))
    grid = figure.subplots(3 * len(rows), columns, squeeze=False)
    for r, (name, faces) in enumerate(rows):
        for m, modality in enumerate(MODALITIES):
            for c in range(columns):
                axes = grid[3 * r + m, c]
                axes.set_axis_off()
                if c < len(faces):
                    show_image(axes, faces[modality.value][c])
                    if m == 0:
                        axes.set_title(faces.species[c].replace("_", " "), fontsize="x-small", loc="center")
            first = grid[3 * r + m, 0]
            text = f"{name}\n{modality.title}" if m == 0 and name else modality.title
            first.text(
                -0.08, 0.5, text, transform=first.transAxes, rotation=90, ha="right", va="center", fontsize="small"
            )
    return figure


@styled
def certainty_maps(
    images: Sequence[ArrayLike],
    certainty: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    limits: tuple[float, float] = (0, 1),
) -> Figure:
    """Images above their certainty maps (0 uncertain, 1 certain) laid over them.

    `images`: k images C x H x W uint8. `certainty`: k x N values in 0..1, N patches in reading order, with or
    without the class token in front. `limits`: the colour scale's ends. Raises ValueError when N is no square, or
    one more.
    """
    maps = [token_map(row) for row in np.asarray(certainty, dtype=float)]
    if len(maps) != len(images):
        raise ValueError(f"{len(images)} images and {len(maps)} certainty maps")
    titles = names if names is not None else [m.title for m in MODALITIES][: len(maps)]
    figure = new_figure((2.4 * len(maps) + 0.8, 4.8))
    grid = figure.subplots(2, len(maps), squeeze=False)
    for k, (image, values) in enumerate(zip(images, maps, strict=True)):
        array = np.asarray(image)
        show_image(grid[0, k], array)
        grid[0, k].set_title(titles[k])
        show_image(grid[1, k], array)
        extent = (-0.5, array.shape[-1] - 0.5, array.shape[-2] - 0.5, -0.5)
        drawn = grid[1, k].imshow(values, extent=extent, alpha=0.65, vmin=limits[0], vmax=limits[1])
        grid[1, k].set_title(f"mean {values.mean():.2f}", fontsize="small")
    figure.colorbar(drawn, ax=list(grid[1]), label="certainty", shrink=0.8)
    return figure


def token_map(certainty: ArrayLike) -> NDArray[np.float64]:
    """N tokens' values as a square map, side x side; a class token in front (N = side² + 1) is left out."""
    values = np.asarray(certainty, dtype=np.float64).reshape(-1)
    for patches in (len(values), len(values) - 1):
        side = math.isqrt(max(patches, 0))
        if side and side * side == patches:
            return rearrange(values[len(values) - patches :], "(rows columns) -> rows columns", rows=side)
    raise ValueError(f"{len(values)} tokens are neither a square of patches nor one more")


def show_image(axes: Axes, image: NDArray[np.uint8]) -> None:
    """C x H x W uint8; one channel is shown in grey on the full range, so that brightness stays comparable."""
    axes.set_axis_off()
    if image.shape[0] == 1:
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=255)
    else:
        axes.imshow(rearrange(image, "channel height width -> height width channel"))


def _caption(faces: FaceArrays, index: int) -> str:
    return "live" if faces.label[index] == 1 else f"spoof: {faces.species[index].replace('_', ' ')}"


Pixels = NDArray[np.uint8]


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
                axes.set_title(f"{modality.title}, {pixels.shape[1]} x {pixels.shape[0]}", fontsize="x-small")
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


def measure(depth: Sequence[Pixels] | Pixels, infrared: Sequence[Pixels] | Pixels) -> tuple[list[float], list[float]]:
    """(fraction of holes per depth image, fraction of saturated pixels per infrared image)."""
    return [hole_fraction(image) for image in depth], [saturated_fraction(image) for image in infrared]


def pixels(batch: Batch, modality: Modality, index: int) -> Pixels:
    """An image of a batch as it would look: normalisation undone, uint8 H x W x 3."""
    image = {Modality.RGB: batch["rgb"], Modality.DEPTH: batch["depth"], Modality.INFRARED: batch["infrared"]}[modality]
    values = rearrange(image[index].numpy(), "c h w -> h w c") * np.asarray(CLIP_STD) + np.asarray(CLIP_MEAN)
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def photo(figure: Figure, *, quality: int = 80, dpi: int = 150) -> Image:
    """A figure full of faces as a JPEG for a notebook: a third of the size that it would have as a PNG."""
    out = io.BytesIO()
    with style():
        figure.savefig(out, format="jpeg", dpi=dpi, pil_kwargs={"quality": quality})
    return Image(data=out.getvalue(), format="jpeg")
