"""Former module names of version 0.1, which plugins import: they give the same modules under their new names, and warn.

They go with version 0.3.
"""

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

FORMER_NAMES = {
    "mmdg_lite.balancing": "mmdg_lite.regrad.balancing",
    "mmdg_lite.clip": "mmdg_lite.models.clip",
    "mmdg_lite.methods": "mmdg_lite.runs.methods",
    "mmdg_lite.multimodal": "mmdg_lite.models.multimodal",
    "mmdg_lite.outputs": "mmdg_lite.models.outputs",
}


class _FormerNames(MetaPathFinder, Loader):
    """Answers an import of a former name with the module of the new one: one object, so that registries are shared."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname in FORMER_NAMES else None

    def exec_module(self, module: ModuleType) -> None:
        former = module.__name__
        new = FORMER_NAMES[former]
        warnings.warn(f"{former} is now {new}; change the import", FutureWarning, stacklevel=2)
        sys.modules[former] = importlib.import_module(new)


def install() -> None:
    """Have former names found, after every other way of finding a module."""
    if not any(isinstance(finder, _FormerNames) for finder in sys.meta_path):
        sys.meta_path.append(_FormerNames())
