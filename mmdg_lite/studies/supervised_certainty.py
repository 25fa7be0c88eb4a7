"""Does taught certainty know where a picture is spoilt, also by kinds that no training used, and when a sensor fails?

The command `certainty-study` measures the finished runs below a folder whose models have certainties, and writes two
tables below figures/certainty: `regions.csv` (AUC for spoilt patches) and `faults.csv` (mean certainty along protocol
P6's reliability curves).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from mmdg_lite.configuration import REPOSITORY, write_text
from mmdg_lite.data.corruption import HELD_OUT, KINDS
from mmdg_lite.data.dataset import ArrayDataset
from mmdg_lite.data.deployments import SEVERITIES, fault_faces
from mmdg_lite.data.synthetic import Faces, render
from mmdg_lite.modality import MODALITIES
from mmdg_lite.models.builder import build
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.models.supervised_certainty import SupervisedCertainty
from mmdg_lite.runs.checkpoints import read_checkpoint
from mmdg_lite.runs.config import RunConfig
from mmdg_lite.runs.folder import RunFolder, finished_runs
from mmdg_lite.studies.regions import Array, auc_of_region, patch_certainty, spoil
from mmdg_lite.training.evaluation import batches

OUT = REPOSITORY / "figures" / "certainty"
REGIONS, FAULTS = "regions.csv", "faults.csv"
FACES = 60
SEED = 11
"""Of the faces whose regions are spoilt: of a run's target domain, in none of its lists."""


def certainty_maps(model: MultimodalModel, faces: Faces) -> Array:
    """Certainty of every modality's own patches in the last block, n x 3 x P, in [0, 1].

    With supervised certainty it is what was taught. In MMDG++ it is the mean over the calls in which the modality
    receives: of the chosen queries, since no other certainty acts there.
    """
    dataset, rows = ArrayDataset.from_faces(faces, domain="W", split="test"), []
    model.eval()
    with torch.inference_mode():
        for batch in batches(dataset, source_domains=model.source_domains, progress=False):
            output = model(batch)
            if isinstance(model, SupervisedCertainty):
                rows.append(model.patch_certainties()[-1].double().numpy())
            else:
                of_modalities = [patch_certainty(output.token_certainty[-1], m, "receiver") for m in MODALITIES]
                rows.append(np.stack(of_modalities, axis=1))
    return np.concatenate(rows)


def certainty_of_regions(model: MultimodalModel, clean: Faces, *, seed: int = SEED) -> pd.DataFrame:
    """How well certainty tells spoilt patches from others, a row per modality and kind of corruption.

    Columns: modality, kind, held_out (no training used it), auc, inside and outside: mean certainty of patches that are
    wholly spoilt, and of untouched ones.
    """
    patch = model.trunk_view.image_size[0] // round((len(model.trunk_view.positions) - 1) ** 0.5)  # pixels
    rows = []
    for modality in MODALITIES:
        for kind in KINDS:
            spoilt = spoil(clean, modality, kind, patch=patch, seed=seed)
            own = certainty_maps(model, spoilt.faces)[:, modality.index]  # n x P
            whole, none = spoilt.share > 0.999, spoilt.share == 0
            rows.append(
                {
                    "modality": modality.value,
                    "kind": kind,
                    "held_out": kind in HELD_OUT,
                    "auc": auc_of_region(1 - own, spoilt.share),
                    "inside": own[whole].mean() if whole.any() else np.nan,
                    "outside": own[none].mean() if none.any() else np.nan,
                }
            )
    return pd.DataFrame(rows)


def certainty_under_faults(model: MultimodalModel, letter: str, *, faces: int = FACES, size: int = 64) -> pd.DataFrame:
    """Mean certainty of every modality's patches while one sensor fails, along protocol P6's reliability curves.

    Columns: faulty, severity (0: the domain's own sensors), modality, certainty.
    """
    rows: list[dict[str, Any]] = []
    for faulty in MODALITIES:
        for severity in (0, *SEVERITIES):
            maps = certainty_maps(model, fault_faces(letter, faulty, severity, faces, size=size))  # n x 3 x P
            place = {"faulty": faulty.value, "severity": severity}
            rows += [place | {"modality": m.value, "certainty": maps[:, m.index].mean()} for m in MODALITIES]
    return pd.DataFrame(rows)


def study(runs: str | Path, *, out: str | Path = OUT, faces: int = FACES, progress: bool = True) -> list[Path]:
    """Measure the finished runs below a folder whose models have certainties; returns the two files.

    Runs that the files have already are left as they are.
    """
    tables: dict[str, pd.DataFrame] = {name: _known(Path(out) / name) for name in (REGIONS, FAULTS)}
    measured = set(tables[REGIONS]["run"]) if len(tables[REGIONS]) else set()
    for folder, config in tqdm(list(_with_certainty(runs)), desc="certainty", disable=not progress):
        if config.name in measured:
            continue
        model = build(config.model)
        model.load_trainable_state_dict(read_checkpoint(folder.model).tensors)
        about: dict[str, Any] = {
            "run": config.name,
            "method": config.method,
            "setting": config.setting,
            "seed": config.seed,
        }
        letter = config.domains.targets[0]
        found: dict[str, pd.DataFrame] = {
            REGIONS: certainty_of_regions(model, render(letter, faces, SEED, size=config.data.size)),
            FAULTS: certainty_under_faults(model, letter, faces=faces, size=config.data.size),
        }
        for name, table in found.items():
            tables[name] = pd.concat([tables[name], table.assign(**about)[[*about, *table]]], ignore_index=True)
            write_text(Path(out) / name, tables[name].to_csv(index=False, float_format="%.5f"))
    return [Path(out) / name for name in tables]


def _with_certainty(runs: str | Path) -> Iterable[tuple[RunFolder, RunConfig]]:
    for path in finished_runs(runs):
        folder = RunFolder(path)
        config = folder.read_config()
        kind = config.model
        if folder.model.is_file() and kind.architecture.startswith("mmdg++") and kind.adapters == "uncertainty":
            yield folder, config


def _known(path: Path) -> pd.DataFrame:
    return pd.read_csv(path) if path.is_file() else pd.DataFrame()
