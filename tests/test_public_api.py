"""The public names as a stranger uses them, and what imports cost."""

import ast
import importlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import mmdg_lite
from mmdg_lite import _former_names, registry

STUB = Path(mmdg_lite.__file__).with_suffix(".pyi")
HEAVY = {"torch", "open_clip", "matplotlib", "ipywidgets", "sklearn", "scipy", "pandas", "numpy"}


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after a statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(set(n.partition('.')[0] for n in sys.modules))))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=600)
    return set(json.loads(done.stdout))


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_by("import mmdg_lite; dir(mmdg_lite)") & HEAVY


def test_a_name_loads_what_it_needs_and_no_more():
    assert not loaded_by("import mmdg_lite; mmdg_lite.MODALITIES; mmdg_lite.PROTOCOLS") & {"torch", "matplotlib"}
    assert "matplotlib" not in loaded_by("import mmdg_lite; mmdg_lite.MMDGPlusPlus")


RESULTS = sorted(path.stem for path in STUB.parent.joinpath("results").glob("[a-z]*.py"))


def test_results_are_read_without_torch():
    names = ", ".join(f"mmdg_lite.results.{name}" for name in RESULTS)
    assert not loaded_by(f"import {names}") & {"torch", "open_clip", "matplotlib", "seaborn", "ipywidgets"}


@pytest.mark.parametrize("table", [registry.ARCHITECTURES, registry.WEIGHINGS], ids=["architectures", "rules"])
def test_a_table_declares_the_names_that_its_home_enters(table):
    table.load()
    assert set(table) == set(table.own)


def test_tab_shows_every_public_name_and_each_is_there():
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    declared = next(ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign))
    assert {*dir(mmdg_lite), "__version__"} == set(declared) == set(mmdg_lite.__all__)
    for name in declared:
        assert getattr(mmdg_lite, name) is not None


def test_every_public_name_has_a_docstring():
    assert [
        name
        for name in dir(mmdg_lite)
        if callable(value := getattr(mmdg_lite, name)) and not (value.__doc__ or "").strip()
    ] == []


def test_a_stranger_builds_a_model_scores_a_triplet_and_sees_its_certainty():
    config = mmdg_lite.ModelConfig(source_domains=("C", "P", "S"))
    model = mmdg_lite.build(config).eval()
    faces = mmdg_lite.render("W", 2, seed=1)
    batch = {m.value: torch.rand(2, 3, 64, 64) for m in mmdg_lite.MODALITIES}
    with torch.inference_mode():
        output = model(batch)
    assert output.score().shape == (2,)
    assert bool(((output.score() >= 0) & (output.score() <= 1)).all())
    assert output.certainty.shape == (2, len(mmdg_lite.MODALITIES))
    assert len(faces) == 2


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        mmdg_lite.no_such_name  # noqa: B018


@pytest.fixture
def _forgotten():
    """Former names as if they had not been imported yet."""
    for former in _former_names.FORMER_NAMES:
        sys.modules.pop(former, None)
        mmdg_lite.__dict__.pop(former.rpartition(".")[2], None)


@pytest.mark.usefixtures("_forgotten")
@pytest.mark.parametrize("former, new", sorted(_former_names.FORMER_NAMES.items()))
def test_former_names_give_the_same_module_and_warn(former, new):
    with pytest.warns(FutureWarning, match=new):
        found = importlib.import_module(former)
    assert found is importlib.import_module(new)
    assert found.__name__ == new


@pytest.mark.usefixtures("_forgotten")
def test_a_plugin_written_for_version_0_1_registers_in_the_same_tables():
    from mmdg_lite.models.builder import ARCHITECTURES
    from mmdg_lite.regrad.balancing import WEIGHINGS
    from mmdg_lite.runs.methods import METHODS

    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        from mmdg_lite.multimodal import MultimodalModel
        from mmdg_lite.outputs import Output

        from mmdg_lite import balancing, methods, models

    from mmdg_lite.models import multimodal, outputs

    assert MultimodalModel is multimodal.MultimodalModel
    assert Output is outputs.Output
    try:
        balancing.register("former_rule", lambda grams, moment: {})
        models.register("former_model", lambda clip, config: None)
        methods.register("former_method", methods.Method(title="Former", rule="former_rule"))
        assert "former_rule" in WEIGHINGS
        assert "former_model" in ARCHITECTURES
        assert METHODS["former_method"].title == "Former"
    finally:
        for table, name in ((WEIGHINGS, "former_rule"), (ARCHITECTURES, "former_model"), (METHODS, "former_method")):
            table.pop(name, None)
