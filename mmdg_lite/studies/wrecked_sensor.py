"""Does certainty fall when a sensor is wrecked? Mean certainties of the shipped model before and after."""

import pandas as pd

from mmdg_lite.data.synthetic import render
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.studies.modality_balance import degraded
from mmdg_lite.studies.quickstart import Quickstart


def certainty_when_wrecked(
    shipped: Quickstart, domain: str, sensor: Modality, *, faces: int = 20, seed: int = 0
) -> pd.DataFrame:
    """Mean certainty of the patches that each receiver is sent, over faces of a domain: a row per receiver.

    Columns: receiver; own, with the domain's sensors; wrecked, with one sensor nearly useless; rises, the share of
    faces on which it is higher when wrecked.
    """
    means = []
    for severity in (0.0, 1.0):
        answer = shipped.answer(render(domain, faces, seed, knobs=degraded(domain, sensor, severity)))
        patches = answer.output.patch_certainty().mean(dim=(2, 3))  # faces x 3 receivers
        means.append(pd.DataFrame(patches.cpu().double().numpy(), columns=[m.title for m in MODALITIES]))
    own, wrecked = means
    table = pd.DataFrame({"own": own.mean(), "wrecked": wrecked.mean(), "rises": (wrecked > own).mean()})
    return table.rename_axis("receiver").reset_index()
