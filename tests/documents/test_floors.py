"""The folder tells the floor: a module imports from its own folder or from a lower floor, and nothing in a circle."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mmdg_lite"
TOP = "(top)"
# Lowest floor first. Folders of one floor do not import each other; the files directly in the package are one floor.
FLOORS = [
    {"speed"},
    {TOP},
    {"regrad"},
    {"models", "data"},
    {"runs", "pretraining"},
    {"training", "results", "inference"},
    {"plots"},
    {"studies", "reproduce"},
    {"teaching", "explorers"},
    {"commands"},
    {"__main__"},
]
FLOOR_OF = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}
DRAWING = {"matplotlib", "seaborn", "ipywidgets", "IPython"}
OUTSIDE = {"__init__", "_former_names"}  # they hand names on, from any floor


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


PATHS = {name: path for path in PACKAGE.rglob("*.py") if (name := module_name(path)) not in OUTSIDE}


@cache
def imported(name: str) -> frozenset[str]:
    """Dotted names of everything that a module imports, in functions too, the package's own without its name."""
    found = set()
    for node in ast.walk(ast.parse(PATHS[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(full.removeprefix("mmdg_lite.") for full in found)


def own_imports(name: str) -> set[str]:
    """Modules of the package that a module imports; a folder's own __init__ does not count as one of them."""
    return {other for other in imported(name) if other in PATHS and not name.startswith(f"{other}.")}


def folder(name: str) -> str:
    is_folder = PATHS[name].name == "__init__.py"
    return name.split(".")[0] if "." in name or is_folder or name in FLOOR_OF else TOP


def test_every_folder_has_a_floor():
    assert {folder(name) for name in PATHS} <= set(FLOOR_OF)


def test_few_files_lie_directly_in_the_package():
    assert len(list(PACKAGE.glob("*.py"))) <= 15  # _former_names among them


def test_no_module_imports_in_a_circle():
    TopologicalSorter({name: own_imports(name) for name in PATHS}).prepare()


@pytest.mark.parametrize("name", sorted(PATHS))
def test_imports_point_down(name):
    own = folder(name)
    wrong = {other for other in own_imports(name) if folder(other) != own and FLOOR_OF[folder(other)] >= FLOOR_OF[own]}
    assert not wrong, f"{name} lies in {own}, on floor {FLOOR_OF[own]}"


@pytest.mark.parametrize("name", sorted(n for n in PATHS if FLOOR_OF[folder(n)] < FLOOR_OF["plots"]))
def test_nothing_below_the_plots_draws(name):
    assert not {full.split(".")[0] for full in imported(name)} & DRAWING


def test_nothing_in_the_package_imports_data_prep():
    assert not [name for name in PATHS if any(full.split(".")[0] == "data_prep" for full in imported(name))]
