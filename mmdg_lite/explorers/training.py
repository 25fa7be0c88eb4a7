"""How several runs balanced their modalities, side by side: loss averages, who is fastest, conflicts, gradients."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mmdg_lite.explorers.shell import Drawn
from mmdg_lite.plots.training import description, picture


def draw(*, runs: Sequence[str], window: int, histories: Mapping[str, pd.DataFrame]) -> Drawn:
    """The picture of the chosen runs."""
    chosen = {name: histories[name] for name in runs}
    return Drawn(figure=picture(chosen, window=window), words=description(chosen))
