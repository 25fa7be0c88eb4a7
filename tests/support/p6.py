"""Made-up results of protocol P6: rows as collected, and score files for a made-up run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mmdg_lite.data.deployments import SEVERITIES, deployments
from mmdg_lite.modality import MODALITIES
from mmdg_lite.results.deployments import COLUMNS
from mmdg_lite.runs.scores import deployment_file, fault_file, read_scores, write_scores

SETTINGS = ("CPS->W", "CPW->S", "CSW->P", "PSW->C")


def p6_frame(effects: Mapping[str, float], *, seeds: int = 3, profile: str = "full") -> pd.DataFrame:
    """Rows of `collect_deployments`: HTER 0.3 plus the method's effect, chance of run, deployment and both.

    The chance does not depend on the effects, so that spreads are the same whatever they are.
    """
    rows = []
    for number, (method, effect) in enumerate(effects.items()):
        rng = np.random.default_rng(number)
        for setting in SETTINGS:
            for seed in range(seeds):
                run = {"profile": profile, "method": method, "setting": setting, "seed": seed}
                hter = 0.3 + effect + rng.normal(0, 0.01) + rng.normal(0, 0.01, len(deployments()))
                for deployment, value in zip(deployments(), hter, strict=True):
                    place = {"deployment": deployment.name, "inside": deployment.inside, "target": "P6"}
                    rows.append(run | place | {"faulty": "", "severity": 0, "hter": value, "auc": 1 - value})
                for modality in MODALITIES:
                    for severity in (0, *SEVERITIES):
                        value = 0.2 + 0.02 * severity + effect + rng.normal(0, 0.01)
                        place = {"deployment": "", "inside": None, "target": setting[-1]}
                        place |= {"faulty": modality.value, "severity": severity, "hter": value, "auc": 1 - value}
                        rows.append(run | place)
    return pd.DataFrame(rows, columns=COLUMNS)


def p6_lists_of(run: Path, *, faces: int, letter: str = "W") -> Path:
    """Add made-up score files of P6 to a run of `make_run`: its test list's first faces, more noise in each list."""
    test = read_scores(run / "scores" / f"test_{letter}.csv.gz")
    names = [deployment_file(deployment.name) for deployment in deployments()]
    names += [fault_file(letter, modality, severity) for modality in MODALITIES for severity in SEVERITIES]
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).normal(0, 0.05, faces)
        values = np.clip(test.scores[:faces] + noise, 0, 1)
        write_scores(run / "scores" / name, test.ids[:faces], test.labels[:faces], test.species[:faces], values)
    return run
