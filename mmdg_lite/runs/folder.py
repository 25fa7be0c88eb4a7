"""The folder of one run: its files, and that it belongs to one process and one configuration."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from mmdg_lite.configuration import from_dict, read_values, to_dict, write_json
from mmdg_lite.runs.config import RunConfig, resolve_device
from mmdg_lite.runs.environment import environment
from mmdg_lite.runs.plugins import Plugin, load_recorded

if TYPE_CHECKING:
    import torch

LATER = "resumed_with"
"""Key of environment.json: further environments that went on with a run, where they differ from the first."""


class RunFolder:
    """The files of one run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.jsonl"
        self.packed_metrics = self.path / "metrics.jsonl.gz"  # instead, in archives
        self.state = self.path / "state.safetensors"
        self.model = self.path / "model.safetensors"
        self.scores = self.path / "scores"
        self.pictures = self.path / "picture_statistics.json"  # of the training samples
        self.result = self.path / "result.json"

    @property
    def finished(self) -> bool:
        """Whether the run is complete: its result is written last."""
        return self.result.is_file()

    def read_config(self) -> RunConfig:
        """The run's configuration, its plugins loaded.

        Raises `ConfigurationError` naming the file and key at fault, `plugins.PluginError` for a plugin that changed.
        """
        values, where = read_values(self.config), str(self.config)
        plugins = values.get("plugins", {})
        load_recorded(from_dict(Plugin, plugin, where=f"{where}.plugins.{name}") for name, plugin in plugins.items())
        return from_dict(RunConfig, values, where=where)

    def check(self, config: RunConfig) -> None:
        """Raises `RuntimeError`, naming what differs, if the folder holds a run of another configuration."""
        differing = differences(to_dict(self.read_config()), to_dict(config)) if self.config.is_file() else []
        if differing:
            raise RuntimeError(
                f"{self.path} holds a run of another configuration ({'; '.join(differing)}); "
                "choose another folder or delete this one"
            )

    @contextmanager
    def claimed(self, config: RunConfig, device: "torch.device | None" = None) -> Iterator[None]:
        """Hold the folder for one process and one configuration.

        `device`: what the run computes on, for the record; None: what `config.device` stands for.

        Raises:
            RuntimeError: another process holds it, or it belongs to another configuration (naming what differs).
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(f"{self.path}: another process holds this run; wait for it or stop it") from error
        try:
            self.check(config)
            if not self.config.is_file():
                write_json(self.config, config)
            if not self.finished:
                self._note(environment(device or resolve_device(config.device)))
            yield
        finally:
            lock.release()

    def _note(self, now: dict[str, Any]) -> None:
        """Write what the run is made with; what another process began it with is kept, and the rest told apart."""
        first = read_values(self.environment) if self.environment.is_file() else now
        later = first.pop(LATER, [])
        if now not in (first, *later):
            later.append(now)
        write_json(self.environment, first | ({LATER: later} if later else {}))


# what may change when a run is resumed, since it changes no result (deployments are tests beside the others)
FREE_TO_CHANGE = (
    "device",
    "data.workers",
    "data.cache",
    "data.deployments",
    "training.checkpoint_every",
    "training.accumulate",
    "training.activation_checkpointing",
    "training.compile",
    "training.cuda_graphs",
)


def differences(old: dict[str, Any], new: dict[str, Any], *, where: str = "") -> list[str]:
    """Dotted names of the configuration values that differ and matter, each with both values."""
    found = []
    for key in sorted(set(old) | set(new)):
        name = f"{where}{key}"
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, where=f"{name}.")
        elif a != b and name not in FREE_TO_CHANGE and not (name.startswith("plugins.") and name.endswith(".path")):
            found.append(f"{name}: {a!r} there, {b!r} asked for")
    return found


def finished_runs(root: str | Path) -> list[Path]:
    """Folders at or below `root` that hold a finished run (result.json, written last), sorted by path."""
    return sorted(path.parent for path in Path(root).rglob("result.json"))


def read_run(run: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the result of one finished run. Raises ValueError, naming the file, where one is
    unusable."""
    config, result = (_json(Path(run) / name) for name in ("config.json", "result.json"))
    if absent := {"profile", "protocol", "setting", "method", "seed", "data"} - set(config):
        raise ValueError(f"{Path(run) / 'config.json'} lacks {', '.join(sorted(absent))}")
    return config, result


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: {error}; delete the folder and run again") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected an object with named values")
    return values
