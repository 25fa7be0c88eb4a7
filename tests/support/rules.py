"""The balancing rules, as parameters of a test that skips those whose solver is not installed."""

import pytest

from mmdg_lite.regrad.balancing import BALANCING_RULES, check_balancing_rule


def _missing(rule: str) -> str:
    """What is not installed for a rule; empty if nothing."""
    try:
        check_balancing_rule(rule)
    except ImportError as error:
        return str(error)
    return ""


def rule_parameters(rules: tuple[str, ...] = BALANCING_RULES) -> list:
    """Of `pytest.mark.parametrize`."""
    return [
        pytest.param(rule, marks=pytest.mark.skipif(bool(_missing(rule)), reason=_missing(rule) or "installed"))
        for rule in rules
    ]
