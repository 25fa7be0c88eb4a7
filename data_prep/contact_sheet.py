"""`python -m data_prep.contact_sheet`: one live face and each attack species as the four synthetic domains see them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from einops import rearrange, repeat
from matplotlib.figure import Figure

from mmdg_lite.data.real.species import LIVE
from mmdg_lite.data.renderer.domains import DOMAINS
from mmdg_lite.data.renderer.scenes import SPECIES
from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES
from mmdg_lite.plots.style import new_figure, save, styled


@styled
def contact_sheet(*, seed: int = 11, size: int = 64) -> Figure:
    """Columns: two live faces and every species; rows: colour, depth and infrared of each domain.

    Every domain draws its own subjects; all species are shown in every domain, whatever its mixture holds.
    """
    species = (LIVE, LIVE, *SPECIES)
    figure = new_figure((8.5, 9.3))
    axes = figure.add_subplot()
    rows = []
    for letter in DOMAINS:
        faces = render(letter, len(species), seed, species=species, size=size)
        for modality in MODALITIES:
            images = faces[modality.value]
            channels = images if images.shape[1] == 3 else repeat(images, "n 1 h w -> n c h w", c=3)
            rows.append(rearrange(channels, "n c h w -> h (n w) c"))
    axes.imshow(np.concatenate(rows), interpolation="nearest")
    axes.set_xticks((np.arange(len(species)) + 0.5) * size, [s.replace("_", "\n") for s in species])
    labels = [f"{letter} {modality.title}" for letter in DOMAINS for modality in MODALITIES]
    axes.set_yticks((np.arange(len(labels)) + 0.5) * size, labels)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the default rewrites the committed figure."""
    parser = argparse.ArgumentParser(prog="python -m data_prep.contact_sheet", description=contact_sheet.__doc__)
    parser.add_argument("--out", type=Path, default=Path("figures/synthetic/contact_sheet.png"))
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args(arguments)
    print(save(contact_sheet(seed=options.seed), options.out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
