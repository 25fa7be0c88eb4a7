"""Files of the user's own that register architectures, balancing rules and methods, loaded by every process of a run.

A run's configuration records the files that it needs, each with its SHA-256: whoever resumes or tests the run names
the same code, or is told that it changed. Nothing that a run folder names is executed unless the user named it too.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
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
    content = place.read_bytes()
    plugin = Plugin(path=str(place), sha256=hashlib.sha256(content).hexdigest())
    if plugin.sha256 in _loaded:
        return plugin
    if any(known.plugin.path == plugin.path for known in _loaded.values()):
        raise PluginError(f"{place} was changed after it was loaded; start a new process (restart the kernel)")
    before = _registered()
    try:
        _execute(place, content, f"mmdg_lite_plugin_{plugin.sha256[:16]}")
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


def check_recorded(plugins: Mapping[str, Plugin], *, where: str) -> None:
    """Raise `PluginError` unless this process has loaded every plugin that a configuration records, by its name.

    The code that a run folder names is not executed, nor is its path looked at: folders come from anywhere. The user
    names the file himself, wherever it lies; its content decides. `where`: the configuration, for the message.
    """
    for name, plugin in plugins.items():
        if plugin.sha256 in _loaded:
            continue
        if any(Path(known.plugin.path).name == name for known in _loaded.values()):
            raise PluginError(
                f"{where}: the {name} that is loaded is not the file that the run was made with (SHA-256 "
                f"{plugin.sha256!r}); restore it, or run anew"
            )
        raise PluginError(
            f"{where} needs the plugin {name!r}, recorded at {plugin.path!r} with SHA-256 {plugin.sha256!r}. Code that "
            "a run names runs only if you name the file in this call: read the file, then add --plugin FILE "
            "(in Python: mmdg_lite.runs.plugins.load_plugin(FILE))"
        )


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


def _execute(place: Path, content: bytes, name: str) -> None:
    """Execute the very bytes that the checksum is of, and no cached bytecode that may lie beside the file."""
    specification = importlib.util.spec_from_file_location(name, place)
    assert specification is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # what dataclasses and pickle look for
    try:
        exec(compile(content, str(place), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
