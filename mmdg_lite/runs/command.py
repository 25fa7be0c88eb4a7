"""The command that makes a run: how its settings differ from its profile."""

import json
from typing import Any

import pandas as pd

from mmdg_lite.configuration import from_dict, to_dict
from mmdg_lite.runs.config import RunConfig, configure
from mmdg_lite.runs.folder import FREE_TO_CHANGE

PARTS = ("data", "model", "training")


def changed_settings(config: RunConfig) -> dict[str, Any]:
    """Where a run differs from its profile in something that matters: new values by name, "training.steps" and so on.

    Not the folder of the data and not what is free to change (`run_folder.FREE_TO_CHANGE`).
    """
    own, usual = to_dict(config), to_dict(_of_the_profile(config))
    return {
        f"{part}.{name}": value
        for part in PARTS
        for name, value in own[part].items()
        if value != usual[part][name] and f"{part}.{name}" not in FREE_TO_CHANGE
    }


def as_commanded(config: RunConfig) -> RunConfig:
    """The configuration that `command_line` asks for: what is free to change is as in the profile, whatever it was."""
    own, usual = to_dict(config), to_dict(_of_the_profile(config))
    for name in FREE_TO_CHANGE:
        part, _, field = name.rpartition(".")
        values, plain = (own[part], usual[part]) if part else (own, usual)
        values[field] = plain[field]
    return from_dict(RunConfig, own)


def command_line(config: RunConfig, *, out: str = "FOLDER") -> str:
    """The command that makes a run of this configuration in the folder `out`."""
    changed = [f"'{name}={json.dumps(value)}'" for name, value in changed_settings(config).items()]
    root = [f'--data-root "{config.data.root}"'] if config.data.root else []
    plugins = [f'"{plugin.path}"' for plugin in config.plugins.values()]
    words = [
        f"python -m mmdg_lite train --profile {config.profile} --protocol {config.protocol}",
        f'--setting "{config.setting}" --method {config.method} --seed {config.seed}',
        *root,
        *(["--set", *changed] if changed else []),
        *(["--plugin", *plugins] if plugins else []),
        f"--out {out}",
    ]
    return " ".join(words)


def settings(config: RunConfig) -> pd.DataFrame:
    """Every number that a run depends on: columns part, name and value, in the order of the dataclasses."""
    plain = to_dict(config)
    plugins = plain.pop("plugins")
    rows = [("run", name, value) for name, value in plain.items() if name not in PARTS]
    rows += [("run", "plugins", ", ".join(plugins))] if plugins else []
    rows += [(part, name, value) for part in PARTS for name, value in plain[part].items()]
    return pd.DataFrame([(part, name, str(value)) for part, name, value in rows], columns=["part", "name", "value"])


def _of_the_profile(config: RunConfig) -> RunConfig:
    """The same run with every setting as in its profile."""
    return configure(
        config.profile,
        protocol=config.protocol,
        setting=config.setting,
        method=config.method,
        seed=config.seed,
        data_root=config.data.root,
    )
