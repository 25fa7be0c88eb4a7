"""The folder of one run: its files, and that it belongs to one process and one configuration."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from mmdg_lite.configuration import PARTIAL, ConfigurationError, from_dict, read_values, to_dict, write_json
from mmdg_lite.registry import check_path_name
from mmdg_lite.runs.config import RunConfig, resolve_device, setting_folder
from mmdg_lite.runs.environment import environment
from mmdg_lite.runs.plugins import Plugin, check_recorded

if TYPE_CHECKING:
    import torch

COSTS = ("steps", "seconds", "p6_seconds", "memory_mib", "device_memory_mib")
"""Numbers of a result beside its metrics."""
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
        self.data = self.path / "data_description.json"  # counts and digests, see `runs.data_description`
        self.result = self.path / "result.json"

    @property
    def finished(self) -> bool:
        """True if the run is complete: its result is written last."""
        return self.result.is_file()

    def read_config(self) -> RunConfig:
        """The run's configuration. Nothing that it names is executed.

        Raises `ConfigurationError` naming the file and key at fault, `plugins.PluginError` for a plugin that the caller
        has not loaded (`plugins.load_plugin`), or another content of it.
        """
        values, where = read_values(self.config), str(self.config)
        plugins = values.get("plugins", {})
        if not isinstance(plugins, dict):
            raise ConfigurationError(f"{where}.plugins: expected an object with named values, got {plugins!r}")
        recorded = {
            name: from_dict(Plugin, plugin, where=f"{where}.plugins.{name}") for name, plugin in plugins.items()
        }
        check_recorded(recorded, where=where)
        return from_dict(RunConfig, values, where=where)

    def check_inside(self, folder: Path) -> None:
        """Raise `RuntimeError` if a folder of this run is a link to elsewhere: folders come from anyone, and what is
        written into this one must not replace files at another place."""
        if not folder.resolve().is_relative_to(self.path.resolve()):
            raise RuntimeError(f"{folder} links to {folder.resolve()}, outside of the run's folder; remove the link")

    def check(self, config: RunConfig) -> None:
        """Raises `RuntimeError`, naming what differs, if the folder holds a run of another configuration."""
        if not self.config.is_file():
            return
        asked, recorded = to_dict(config), read_values(self.config).get("plugins", {})
        differing = differences({"plugins": recorded}, {"plugins": asked["plugins"]})
        differing = differing or differences(to_dict(self.read_config()), asked)
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
            RuntimeError: another process holds it, it belongs to another configuration (naming what differs), or its
                folder of scores is a link to elsewhere.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.check_inside(self.scores)
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
                self._clear()
                self._note(environment(device or resolve_device(config.device)))
            yield
        finally:
            lock.release()

    def _clear(self) -> None:
        """Remove what killed trainings left half-written."""
        for folder in (self.path, self.scores):
            for left in folder.glob(f".*{PARTIAL}"):
                left.unlink(missing_ok=True)

    def _note(self, now: dict[str, Any]) -> None:
        """Write what the run is made with; what another process began it with is kept, and the rest told apart."""
        first = read_values(self.environment) if self.environment.is_file() else now
        later = first.pop(LATER, [])
        if not isinstance(later, list):
            raise ConfigurationError(f"{self.environment}: {LATER} must be a list; restore the file, or delete it")
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
    """The configuration and the result of one finished run, plain.

    Raises ValueError, naming the file, where one is unusable, and where a name in the configuration cannot be part of
    a path: tables and figures are called by it.
    """
    config, result = (_json(Path(run) / name) for name in ("config.json", "result.json"))
    where = Path(run) / "config.json"
    if absent := {"profile", "protocol", "setting", "method", "seed", "data"} - set(config):
        raise ValueError(f"{where} lacks {', '.join(sorted(absent))}")
    for key in ("profile", "protocol", "setting", "method"):
        try:
            check_path_name(setting_folder(str(config[key])) if key == "setting" else config[key], what=key)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
    parts = config["data"], config.get("training", {})
    if not all(isinstance(part, dict) for part in parts) or type(config["seed"]) is not int:
        raise ValueError(f"{where}: data and training must be objects with named values, and seed an integer")
    for key in COSTS:
        if isinstance(value := result.get(key, 0), bool) or not isinstance(value, int | float | None):
            raise ValueError(f"{Path(run) / 'result.json'}: {key} is {str(value)[:40]!r}, must be a number")
    return config, result


def read_threshold(run: str | Path) -> float:
    """The threshold that a finished run fixed on its validation scores.

    Raises ValueError, naming the file, unless it is a number in 0..1: without one, a target would be judged at its own
    equal-error threshold, which looks at the target's labels.
    """
    threshold = read_run(run)[1].get("threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise ValueError(
            f"{Path(run) / 'result.json'}: threshold is {threshold!r}, must be a number in 0..1; restore the file or "
            "run again"
        )
    return float(threshold)


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_values(path)
    except ConfigurationError as error:
        raise ValueError(f"{error}; delete the folder and run again") from error
