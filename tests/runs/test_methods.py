"""The methods by name: each builds, and together they are every combination of MMDG++'s three parts."""

from dataclasses import replace
from itertools import product

import pytest

from mmdg_lite.models.builder import MMDGPlusPlus, build
from mmdg_lite.models.mmdg import MMDG
from mmdg_lite.runs.methods import METHODS, method
from tests.support.small_runs import small_config

PARTS = {
    (False, False, False): "fusion",
    (True, False, False): "fusion+uncertainty",
    (False, True, False): "fusion+prompts",
    (False, False, True): "fusion+regrad",
    (False, True, True): "mmdg++_without_uncertainty",
    (True, False, True): "mmdg++_without_prompts",
    (True, True, False): "mmdg++_without_regrad",
    (True, True, True): "mmdg++",
}
RULE_ABLATION = ("keep", "drop", "orthogonal", "ogm_ge", "pcgrad", "mgda", "cagrad", "upgrad")


def parts(name):
    """Whether a method has uncertainty, prompts and ReGrad."""
    found = METHODS[name]
    return found.adapters == "uncertainty", found.prompts == "asymmetric", found.rule == "regrad"


@pytest.mark.parametrize("combination", list(product([False, True], repeat=3)))
def test_every_combination_of_the_three_parts_is_exactly_one_method(combination):
    having = [
        name
        for name, found in METHODS.items()
        if found.adapters != "none"
        and found.architecture == "mmdg++"
        and found.rule in ("regrad", "none")
        and parts(name) == combination
    ]
    assert having == [PARTS[combination]]


def test_other_methods_are_the_baselines_and_mmdg():
    rules = {f"mmdg++_rule_{rule}" for rule in RULE_ABLATION}
    assert set(METHODS) - set(PARTS.values()) == {"linear_probe", "head", "mmdg"} | rules
    assert len({found.title for found in METHODS.values()}) == len(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_builds_what_it_says(name):
    model = build(small_config(name).model)
    assert isinstance(model, MMDG if name == "mmdg" else MMDGPlusPlus)
    if isinstance(model, MMDGPlusPlus):
        assert (model.prompts is not None) == (METHODS[name].prompts == "asymmetric")
        assert bool(len(model.adapters["rgb"])) == (METHODS[name].adapters != "none")
        uncertain = any("log_variance" in key or "LogVariance" in key for key in model.state_dict())
        assert uncertain == (METHODS[name].adapters == "uncertainty")
        assert model.class_tokens["rgb"].requires_grad == METHODS[name].train_tokens


@pytest.mark.parametrize("rule", RULE_ABLATION)
def test_the_rule_ablation_differs_from_mmdg_in_nothing_but_the_rule(rule):
    found = METHODS[f"mmdg++_rule_{rule}"]
    assert found == replace(METHODS["mmdg++"], rule=rule, title=found.title)
    assert small_config(f"mmdg++_rule_{rule}").training.rule == rule


def test_no_two_methods_are_the_same():
    assert len({replace(found, title="") for found in METHODS.values()}) == len(METHODS)


def test_only_the_probe_is_fitted_and_not_trained():
    assert [name for name, found in METHODS.items() if found.kind == "linear_probe"] == ["linear_probe"]


def test_unknown_names_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'mdmg'.*linear_probe.*mmdg\+\+"):
        method("mdmg")
