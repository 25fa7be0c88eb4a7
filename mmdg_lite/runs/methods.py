"""The methods by name: MMDG++, its parts taken away, other balancing rules in ReGrad's place, MMDG, the baselines.

`register_method` adds one of your own.
"""

from dataclasses import dataclass
from typing import Literal

from mmdg_lite.models.builder import AdapterKind, PromptKind
from mmdg_lite.registry import add, find

Kind = Literal["trained", "linear_probe"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """What a method consists of."""

    title: str  # as printed in tables
    kind: Kind = "trained"  # trained by gradients, or fitted on frozen features
    architecture: str = "mmdg++"
    adapters: AdapterKind = "uncertainty"
    prompts: PromptKind = "asymmetric"
    rule: str = "regrad"
    train_tokens: bool = True


METHODS: dict[str, Method] = {
    "linear_probe": Method(
        title="Linear probe (converged)", kind="linear_probe", adapters="none", prompts="none", rule="none",
        train_tokens=False,
    ),
    "head": Method(title="Frozen CLIP + head", adapters="none", prompts="none", rule="none", train_tokens=False),
    "fusion": Method(title="Plain fusion", adapters="plain", prompts="none", rule="none"),
    "fusion+uncertainty": Method(title="Fusion + uncertainty", prompts="none", rule="none"),
    "fusion+regrad": Method(title="Fusion + ReGrad", adapters="plain", prompts="none"),
    "fusion+prompts": Method(title="Fusion + ADPs", adapters="plain", rule="none"),
    "mmdg++_without_uncertainty": Method(title="MMDG++ without uncertainty", adapters="plain"),
    "mmdg++_without_regrad": Method(title="MMDG++ without ReGrad", rule="none"),
    "mmdg++_without_prompts": Method(title="MMDG++ without ADPs", prompts="none"),
    "mmdg++": Method(title="MMDG++"),
    "mmdg++_rule_keep": Method(title="MMDG++, rule keep", rule="keep"),
    "mmdg++_rule_drop": Method(title="MMDG++, rule drop", rule="drop"),
    "mmdg++_rule_orthogonal": Method(title="MMDG++, rule orthogonal", rule="orthogonal"),
    "mmdg++_rule_ogm_ge": Method(title="MMDG++ with OGM-GE", rule="ogm_ge"),
    "mmdg++_rule_pcgrad": Method(title="MMDG++ with PCGrad", rule="pcgrad"),
    "mmdg++_rule_mgda": Method(title="MMDG++ with MGDA", rule="mgda"),
    "mmdg++_rule_cagrad": Method(title="MMDG++ with CAGrad", rule="cagrad"),
    "mmdg++_rule_upgrad": Method(title="MMDG++ with UPGrad", rule="upgrad"),
    "mmdg": Method(title="MMDG", architecture="mmdg", prompts="none"),
}  # fmt: skip


def method(name: str) -> Method:
    """The method of that name. Raises `ValueError` listing the names there are."""
    return find(METHODS, name, what="method")


def register_method(name: str, method: Method) -> None:
    """Add a method under a name. Raises `ValueError` if it is taken, or no name for a folder."""
    add(METHODS, name, method, what="method")


register = register_method  # its name until version 0.2, which plugins use
