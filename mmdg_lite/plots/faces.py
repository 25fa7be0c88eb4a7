"""Pictures of faces: a triplet, a contact sheet, certainty maps over an image. Each returns a matplotlib Figure."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from einops import rearrange
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.style import NAMES, new_figure, styled


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
        axes.set_title(NAMES[modality.value])
    figure.suptitle(title if title is not None else _caption(faces, index), x=0.02, ha="left", fontsize="medium")
    return figure


@styled
def contact_sheet(rows: Sequence[tuple[str, FaceArrays]], *, columns: int = 6) -> Figure:
    """Rows of named faces: each row shows its first `columns` samples, RGB above depth above infrared, species on
    top."""
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
                        axes.set_title(faces.species[c], fontsize="x-small", loc="center")
            first = grid[3 * r + m, 0]
            text = f"{name}\n{NAMES[modality.value]}" if m == 0 else NAMES[modality.value]
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
    titles = names if names is not None else [NAMES[m.value] for m in MODALITIES][: len(maps)]
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
