"""The methods that are compared: MMDG++, its parts taken away one by one, MMDG, and the baselines, all by name."""

from dataclasses import dataclass
from typing import Literal

from mmdg_lite.models import AdapterKind, Architecture, PromptKind
from mmdg_lite.projection import Rule

Kind = Literal["trained", "linear_probe"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """What a method consists of."""

    title: str  # as printed in tables
    kind: Kind = "trained"  # trained by gradients, or fitted on frozen features
    architecture: Architecture = "mmdg++"
    adapters: AdapterKind = "uncertainty"
    prompts: PromptKind = "asymmetric"
    rule: Rule = "regrad"
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
    "mmdg": Method(title="MMDG", architecture="mmdg", prompts="none"),
}  # fmt: skip


def method(name: str) -> Method:
    """The method of that name. Raises `ValueError` listing the names there are."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]
