"""Files of the user's own that register architectures, balancing rules and methods, loaded by every process of a run.

A run's configuration names the files that it needs, each with its SHA-256: whoever resumes or tests the run has the
same code, or is told that it changed.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdg_lite.runs.methods import METHODS
from mmdg_lite.registry import ARCHITECTURES, WEIGHINGS, Registry

TABLES: dict[str, dict[str, Any]] = {"architecture": ARCHITECTURES, "rule": WEIGHINGS, "method": METHODS}


class PluginError(ValueError):
    """A plugin cannot be loaded, or is not the one that a run was made with. The message names the file."""


@dataclass(frozen=True)
class Plugin:
    """A file as it was loaded."""

    path: str  # absolute
    sha256: str  # of its content


@dataclass(frozen=True)
class _Loaded:
    plugin: Plugin
    names: frozenset[tuple[str, str]]  # (table, name) of what it registered


_loaded: dict[str, _Loaded] = {}  # by SHA-256


def load_plugin(path: str | Path) -> Plugin:
    """Execute a Python file that registers something, unless this process has loaded its content already.

    Raises `PluginError` if it is no Python file, fails, registers nothing, or was changed after it was loaded.
    """
    place = Path(path).resolve()
    if place.suffix != ".py" or not place.is_file():
        raise PluginError(f"{place}: no such Python file")
    plugin = Plugin(path=str(place), sha256=hashlib.sha256(place.read_bytes()).hexdigest())
    if plugin.sha256 in _loaded:
        return plugin
    if any(known.plugin.path == plugin.path for known in _loaded.values()):
        raise PluginError(f"{place} was changed after it was loaded; start a new process (restart the kernel)")
    before = _registered()
    try:
        _execute(place, f"mmdg_lite_plugin_{plugin.sha256[:16]}")
        if _registered() == before:
            raise PluginError(f"{place} registers no architecture, rule or method")
    except Exception as error:
        for table, name in _registered() - before:
            del TABLES[table][name]
        if isinstance(error, PluginError):
            raise
        raise PluginError(f"{place} failed: {type(error).__name__}: {error}") from error
    _loaded[plugin.sha256] = _Loaded(plugin, _registered() - before)
    return plugin


def load_recorded(plugins: Iterable[Plugin]) -> None:
    """Load what a configuration names. Raises `PluginError` if a file is not there, or not the same any more.

    Content that this process has loaded from another place will do.
    """
    for plugin in plugins:
        if plugin.sha256 in _loaded:
            continue
        if not Path(plugin.path).is_absolute():
            raise PluginError(f"{plugin.path}: a recorded plugin has an absolute path; name the file by --plugin")
        if not Path(plugin.path).is_file():
            raise PluginError(f"{plugin.path} is not there any more; name its new place by --plugin")
        if hashlib.sha256(Path(plugin.path).read_bytes()).hexdigest() != plugin.sha256:
            raise PluginError(f"{plugin.path} is not the file that the run was made with; restore it, or run anew")
        load_plugin(plugin.path)


def plugins_behind(names: Mapping[str, str]) -> dict[str, Plugin]:
    """The loaded files, by name, that registered any of these names, given as {table: name}.

    Raises `PluginError` if two of them have the same name.
    """
    found = [known.plugin for known in _loaded.values() if known.names & set(names.items())]
    behind = {Path(plugin.path).name: plugin for plugin in found}
    if len(behind) < len(found):
        raise PluginError(f"two plugins have one name: {', '.join(plugin.path for plugin in found)}; rename one")
    return behind


def _registered() -> frozenset[tuple[str, str]]:
    for names in TABLES.values():
        if isinstance(names, Registry):
            names.load()
    return frozenset((table, name) for table, names in TABLES.items() for name in names)


def _execute(place: Path, name: str) -> None:
    specification = importlib.util.spec_from_file_location(name, place)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # what dataclasses and pickle look for
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
