"""Imports inside the package point downwards: nothing imports from a floor above its own, and nothing in a circle."""

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mmdg_lite"
# a module that is not named here belongs to the floor of the highest module that it imports
FLOORS: dict[int, str] = {
    0: "modality configuration faults registry draws interruption processes",
    1: "uncertainty attention adapters prompts templates projection regrad prototypes metrics calibration convolution "
    "causal_text recomputation backward flattened gram_weights ogm_ge aggregators balancing modulation "
    "regrad_rule released_modulation rule_comparison",
    2: "clip clip_weights models mmdg mmdgplusplus multimodal released trunk compilation",
    3: "data data.*",
    4: "scores packed_scores results score_archive runs run_folder methods plugins checkpoints evaluation trainer "
    "training training_step training_log cuda_graphs linear_probe setting_data rescoring regrad_study",
    5: "audit audit_forward audit_runs audit_step table_text aggregation published paired ablations factorial tables "
    "audit_figures convergence setting_search region_detection uncertainty_study significance figure_style plots "
    "pictures notebooks doctor execution dask_workers run_times progress_table grid reproduce",
    6: "__main__",
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names.split()}
DRAWING = {"matplotlib", "ipywidgets", "IPython", "papermill"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


PATHS = {module_name(path): path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"}


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
    return {other for other in imported(name) if other in PATHS and other != "data"}


def floor(name: str) -> int:
    if name in FLOOR_OF:
        return FLOOR_OF[name]
    if name.startswith("data."):
        return FLOOR_OF["data.*"]
    return max(map(floor, own_imports(name)), default=0)


def test_no_module_imports_in_a_circle():
    TopologicalSorter({name: own_imports(name) for name in PATHS}).prepare()


@pytest.mark.parametrize("name", sorted(PATHS))
def test_imports_point_down(name):
    above = {other: floor(other) for other in own_imports(name) if floor(other) > floor(name)}
    assert not above, f"{name} is on floor {floor(name)}"


@pytest.mark.parametrize("name", sorted(n for n in PATHS if floor(n) <= 4))
def test_lower_floors_draw_nothing(name):
    assert not {full.split(".")[0] for full in imported(name)} & DRAWING


def test_every_module_named_here_exists():
    assert set(FLOOR_OF) - {"data.*"} <= set(PATHS)
