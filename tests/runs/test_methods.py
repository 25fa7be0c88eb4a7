"""The methods by name: each builds, and together they are every combination of MMDG++'s three parts."""

from dataclasses import replace
from itertools import product

import pytest

from mmdg_lite.models.builder import MMDGPlusPlus, build
from mmdg_lite.models.mmdg import MMDG
from mmdg_lite.models.peer import Peer
from mmdg_lite.runs.methods import ALL, GROUPS, METHODS, PEER, Method, expand_methods, method, register_method
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
PEERS = ("flip", "ssdg", "sa_fas", "ama", "cmfl", "flex_modal")
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
        and not found.spoilt
        and parts(name) == combination
    ]
    assert having == [PARTS[combination]]


def test_other_methods_are_the_baselines_mmdg_the_peers_and_those_trained_on_spoilt_regions():
    rules = {f"mmdg++_rule_{rule}" for rule in RULE_ABLATION}
    spoilt = {name for name, found in METHODS.items() if found.spoilt}
    assert spoilt == set(GROUPS["certainty"]) - {"fusion", "mmdg++"}
    assert set(METHODS) - set(PARTS.values()) == {"linear_probe", "head", "mmdg", "flip_mcl", *PEERS} | rules | spoilt
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


def test_the_peers_say_that_they_are_not_their_papers_set_up():
    """In their titles, which every table and figure prints."""
    marked = {name for name, found in METHODS.items() if found.title.endswith(PEER)}
    assert marked == {"flip_mcl", *PEERS}
    assert {name for name in METHODS if isinstance(build(small_config(name).model), Peer)} == marked


def test_peers_have_no_losses_of_modalities_that_a_rule_could_balance():
    assert {METHODS[name].rule for name in ("flip_mcl", *PEERS)} == {"none"}


@pytest.mark.parametrize(
    "names, expanded",
    [
        (["mmdg++"], ["mmdg++"]),
        (["baselines"], ["linear_probe", "head", "fusion"]),
        (["peers"], list(PEERS)),
        (["mmdg++", "baselines", "parts"], ["mmdg++", "linear_probe", "head", "fusion", *list(PARTS.values())[1:-1]]),
        (["fusion", "fusion", "flip", "peers"], ["fusion", *PEERS]),
        (["all"], list(METHODS)),
        (["all", "peers"], list(METHODS)),
        ([], []),
    ],
)
def test_groups_of_methods(names, expanded):
    found = expand_methods(names)
    assert len(found) == len(set(found))
    assert sorted(found) == sorted(expanded) and found[:2] == expanded[:2]


def test_groups_are_what_the_tables_compare():
    assert set(GROUPS["parts"]) == set(PARTS.values())
    rules = {METHODS[name].rule for name in GROUPS["rules"]}
    assert rules == {"regrad", "none", *RULE_ABLATION} and len(GROUPS["rules"]) == len(rules)
    assert not set(GROUPS) & set(METHODS) and ALL not in METHODS


def test_an_unknown_group_is_refused_with_methods_and_groups():
    with pytest.raises(ValueError, match=r"unknown method or group 'peer'.*mmdg\+\+.*baselines.*peers.*all"):
        expand_methods(["fusion", "peer"])


@pytest.mark.parametrize("name", ["peers", "all"])
def test_no_method_can_take_a_group_s_name(name):
    with pytest.raises(ValueError, match=f"'{name}' is a group"):
        register_method(name, Method(title="Mine"))


def test_only_the_probe_is_fitted_and_not_trained():
    assert [name for name, found in METHODS.items() if found.kind == "linear_probe"] == ["linear_probe"]


def test_unknown_names_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'mdmg'.*linear_probe.*mmdg\+\+"):
        method("mdmg")
