"""The hypotheses on supervised certainty: contrasts of methods that exist, decided by the analysis of protocol P6."""

import pytest

from mmdg_lite.results.certainty_claims import HYPOTHESES, METHOD, certainty_findings
from mmdg_lite.results.components import components_of
from mmdg_lite.results.deployment_claims import verdict
from mmdg_lite.results.report import supervised_certainty
from mmdg_lite.runs.methods import GROUPS, METHODS
from tests.support.p6 import p6_frame


def test_every_contrast_compares_two_methods_of_the_group():
    named = {name for claim in HYPOTHESES for c in claim.contrasts for name in (c.method, c.reference)}
    assert named <= set(GROUPS["certainty"]) and METHOD in named


def test_methods_trained_on_spoilt_regions_are_no_combination_of_the_papers_parts():
    assert {components_of(METHODS[name]) for name in GROUPS["certainty"] if METHODS[name].spoilt} == {None}


@pytest.mark.parametrize(("effect", "expected"), [(-0.05, "borne out"), (0.05, "refuted")])
def test_a_hypothesis_is_decided_by_its_contrasts(effect, expected):
    methods = {METHOD: effect, "mmdg++_spoilt": 0.0, "fusion_spoilt": 0.0}
    found = [f for f in certainty_findings(p6_frame(methods)) if f.contrast.quantity == "hter"]
    assert {f.verdict for f in found} == {expected}
    untried = [f for f in certainty_findings(p6_frame(methods)) if f.claim == "Certainty must act"]
    assert verdict(untried) == "not tested"


def test_the_report_states_expectations_before_there_are_runs():
    text = "\n\n".join(supervised_certainty(p6_frame({"mmdg++": 0.0, "fusion": 0.0})))
    assert all(claim.statement in text for claim in HYPOTHESES)
    assert text.count("no contrast was run") == len(HYPOTHESES)
