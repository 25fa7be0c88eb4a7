"""Local descriptors as extra channels of the infrared image: [infrared, HOG, PLGF], the infrared input of MMDG.

Both describe structure rather than brightness, which infrared cameras and their lamps set differently:

* HOG, histograms of oriented gradients (Dalal and Triggs, CVPR 2005), drawn as scikit-image draws them
  (`skimage.feature.hog(..., visualize=True)`): in each cell of 8 x 8 pixels one short line per orientation, as bright
  as the cell's histogram is high. Here for whole batches, on any device.
* PLGF, the pattern of local gravitational force (Bhattacharjee and Roy, TPAMI 2021), its magnitude. Grey values are
  masses: a neighbour at distance d and angle a attracts the centre with the force I_c I_n / d^2. The components of the
  sum over a window, divided by I_c^2 so that a common factor of brightness cancels, are

      F_x = sum of I_n / I_c cos(a) / d^2,   F_y = sum of I_n / I_c sin(a) / d^2,

  and the pattern is arctan(sqrt(F_x^2 + F_y^2)), which is bounded.

That MMDG's infrared input has these three channels is known; cell size, window and scaling of its descriptors are not:
the values here are scikit-image's example (9 orientations, 8 x 8 pixels) and the smallest window beyond the direct
neighbours (5 x 5).
"""

from functools import lru_cache

import numpy as np
import torch
from einops import rearrange, reduce
from skimage.draw import line
from torch import Tensor
from torch.nn import functional

GREY_LEVEL = 1 / 255


def infrared_channels(infrared: Tensor) -> Tensor:
    """[infrared, HOG, PLGF], B x H x W in [0, 1] to B x 3 x H x W in [0, 1]. Carries no gradient."""
    infrared = infrared.detach()
    with torch.autocast(infrared.device.type, enabled=False):
        return torch.stack([infrared, hog_channel(infrared), plgf_channel(infrared)], dim=1)


def hog_channel(images: Tensor, *, orientations: int = 9, cell: int = 8) -> Tensor:
    """The drawn histograms of oriented gradients, each image divided by its brightest point.

    Args:
        images: B x H x W in [0, 1].
        orientations: number of bins over 180 degrees.
        cell: side of a cell in pixels.

    Returns:
        B x H x W in [0, 1]; images whose gradients stay below one grey level of 255 remain dark. Pixels beyond the
        last whole cell are 0.
    """
    drawn = draw_histograms(orientation_histograms(images, orientations=orientations, cell=cell), cell=cell)
    _, height, width = images.shape
    drawn = functional.pad(drawn, (0, width - drawn.shape[2], 0, height - drawn.shape[1]))  # B x H x W
    return drawn / reduce(drawn, "b h w -> b 1 1", "max").clamp(min=GREY_LEVEL)


def orientation_histograms(images: Tensor, *, orientations: int = 9, cell: int = 8) -> Tensor:
    """Histograms of the gradients' directions, weighed by their magnitudes (Dalal and Triggs 2005), as scikit-image's.

    Gradients are differences between the two neighbours, 0 at the image's border; directions are taken modulo 180
    degrees; each pixel votes for one bin.

    Args:
        images: B x H x W.
        orientations: number of bins over 180 degrees.
        cell: side of a cell in pixels.

    Returns:
        B x (H // cell) x (W // cell) x orientations: sums over each cell divided by its area.

    Raises:
        ValueError: an image smaller than a cell.
    """
    rows, columns = images.shape[1] // cell, images.shape[2] // cell
    if rows == 0 or columns == 0:
        raise ValueError(f"images of {tuple(images.shape[1:])} pixels are smaller than a cell of {cell} x {cell}")
    down = functional.pad(images[:, 2:] - images[:, :-2], (0, 0, 1, 1))  # B x H x W
    right = functional.pad(images[:, :, 2:] - images[:, :, :-2], (1, 1))
    degrees = torch.rad2deg(torch.atan2(down, right)) % 180
    number = (degrees * (orientations / 180)).long().clamp(min=0, max=orientations - 1)
    votes = images.new_zeros(*images.shape, orientations)
    votes.scatter_(-1, number[..., None], torch.hypot(down, right)[..., None])  # B x H x W x orientations
    whole = votes[:, : rows * cell, : columns * cell]
    return reduce(whole, "b (r i) (c j) o -> b r c o", "mean", i=cell, j=cell)


def draw_histograms(histograms: Tensor, *, cell: int = 8) -> Tensor:
    """Histograms B x rows x columns x orientations drawn as lines across the gradients, B x height x width."""
    stamps = _stamps(histograms.shape[-1], cell).to(histograms)  # orientations x cell x cell
    return rearrange(torch.einsum("brco,oij->bricj", histograms, stamps), "b r i c j -> b (r i) (c j)")


def plgf_channel(images: Tensor, *, radius: int = 2) -> Tensor:
    """Magnitude of the pattern of local gravitational force.

    Args:
        images: B x H x W in [0, 1]. Values below two grey levels of 255 count as two: a black pixel has no mass to
            divide by.
        radius: of the square window, in pixels; the window at the border repeats the outermost pixels.

    Returns:
        B x H x W in [0, 1): arctan of the force divided by pi / 2.
    """
    masses = images.clamp(min=2 * GREY_LEVEL)
    padded = functional.pad(masses[:, None], (radius,) * 4, mode="replicate")  # B x 1 x H+2r x W+2r
    forces = functional.conv2d(padded, _force_masks(radius).to(images)[:, None])  # B x 2 x H x W
    magnitude = torch.hypot(forces[:, 0], forces[:, 1]) / masses
    return torch.atan(magnitude) / (torch.pi / 2)


@lru_cache
def _force_masks(radius: int) -> Tensor:
    """cos(a) / d^2 and sin(a) / d^2 of every place in the window, 0 in its centre: 2 x side x side."""
    offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    distance = torch.hypot(x, y)
    distance[radius, radius] = 1.0  # the centre's x and y are 0, and so is its force
    return torch.stack([x, y]) / distance**3


@lru_cache
def _stamps(orientations: int, cell: int) -> Tensor:
    """The line that stands for each orientation, across it, through the cell's centre: orientations x cell x cell."""
    reach, centre = cell // 2 - 1, cell // 2
    stamps = np.zeros((orientations, cell, cell))
    for number in range(orientations):
        angle = np.pi * (number + 0.5) / orientations
        down, right = reach * np.cos(angle), reach * np.sin(angle)
        stamps[number][line(int(centre - down), int(centre + right), int(centre + down), int(centre - right))] = 1
    return torch.from_numpy(stamps)
