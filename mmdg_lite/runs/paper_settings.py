"""Which settings of the paper profile are known, from where, and which are our own choice.

Values are read from a run's configuration; only where they come from is written here. A setting that was changed is
the user's.
"""

from typing import Any

import pandas as pd

from mmdg_lite.configuration import to_dict
from mmdg_lite.runs.config import RunConfig, configure

RELEASED = "the code released for MMDG++ (TPAMI 2025)"
SIBLING = "known of a sibling work of the same authors; MMDG++'s own is not known to us"
OURS = "our choice"

# "part.name": where the profile's value comes from
ORIGINS: dict[str, str] = {
    "model.clip": RELEASED,
    "model.dim": RELEASED,
    "model.samples": f"{RELEASED}; its mean and variance are drawn from the exact moments, which is ours",
    "model.rate": RELEASED,
    "model.theta": RELEASED,
    "model.heads": RELEASED,
    "model.context": RELEASED,
    "model.context_std": RELEASED,
    "training.momentum": RELEASED,
    "training.rule": RELEASED,
    "data.size": RELEASED,
    "training.optimiser": SIBLING,
    "training.learning_rate": SIBLING,
    "training.weight_decay": SIBLING,
    "training.batch_size": f"{SIBLING} (16 to 32)",
    "data.augment": f"{SIBLING} (flip and jitter)",
    "training.steps": f"{OURS} (the sibling work: up to 80 epochs)",
    "training.warmup": OURS,
    "training.validate_every": OURS,
    "training.patience": OURS,
    "training.precision": OURS,
    "training.non_finite": OURS,
}


def paper_settings(config: RunConfig) -> pd.DataFrame:
    """Columns setting, value, origin: a row per setting that can change a result, known ones first.

    `config`: of a run of the paper profile.
    """
    own = to_dict(config)
    usual = to_dict(
        configure(
            config.profile, protocol=config.protocol, setting=config.setting, method=config.method, seed=config.seed,
            device=config.device, data_root=config.data.root,
        )
    )  # fmt: skip
    rows = []
    for key, origin in ORIGINS.items():
        value = _at(own, key)
        rows.append({"setting": key, "value": str(value), "origin": origin if value == _at(usual, key) else "changed"})
    validation = "threshold and best step: on the sources' validation lists"
    rows.append({"setting": "selection", "value": validation, "origin": f"{OURS} (the papers' line: on the target)"})
    return pd.DataFrame(rows)


def _at(values: dict[str, Any], key: str) -> Any:
    part, name = key.split(".")
    return values[part][name]
