"""The methods by name: MMDG++, its parts taken away, other balancing rules in ReGrad's place, MMDG, the baselines, and
the peers: other papers' methods on the same frozen trunk.

`register_method` adds one of your own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from mmdg_lite.models.config import CertaintyConfig
from mmdg_lite.registry import AdapterKind, PromptKind, add, find

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
    balanced_batches: bool = False  # live faces and attacks of each source domain in equal numbers
    views: int = 1  # augmented views of a training sample: 1, or 2 (see `modality.second_view`)
    spoilt: float = 0.0  # probability that a region of one modality of a training sample is spoilt (`data.spoiling`)
    certainty: CertaintyConfig = field(default_factory=CertaintyConfig)  # of the supervised certainty


SPOILT = 0.5
"""Probability with which a training sample has a spoilt region, in the methods that are trained on such samples."""
PEER = "(frozen CLIP)"
"""What the titles of the peers end with."""
PEER_NOTE = (
    f"{PEER}: the method's losses or fusion on MMDG++'s frozen trunk, each modality with its own tokens, positions and "
    "projection. It is not the set-up of the method's own paper; see PEERS.md."
)


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
    "fusion_spoilt": Method(
        title="Plain fusion, spoilt regions in training", adapters="plain", prompts="none", rule="none", spoilt=SPOILT
    ),
    "mmdg++_spoilt": Method(title="MMDG++, spoilt regions in training", spoilt=SPOILT),
    "mmdg++_supervised": Method(
        title="MMDG++, supervised certainty", architecture="mmdg++_supervised", spoilt=SPOILT
    ),
    "mmdg++_supervised_unused": Method(
        title="MMDG++, supervised certainty, unused", architecture="mmdg++_supervised", spoilt=SPOILT,
        certainty=CertaintyConfig(keys=False, message=False, head=False),
    ),
    "mmdg++_supervised_shuffled": Method(
        title="MMDG++, supervised certainty, shuffled", architecture="mmdg++_supervised", spoilt=SPOILT,
        certainty=CertaintyConfig(shuffled=True),
    ),
    "mmdg++_supervised_keys": Method(
        title="MMDG++, supervised certainty on keys", architecture="mmdg++_supervised", spoilt=SPOILT,
        certainty=CertaintyConfig(message=False, head=False),
    ),
    "mmdg++_supervised_message": Method(
        title="MMDG++, supervised certainty on messages", architecture="mmdg++_supervised", spoilt=SPOILT,
        certainty=CertaintyConfig(keys=False, head=False),
    ),
    "mmdg++_supervised_head": Method(
        title="MMDG++, supervised certainty in the head", architecture="mmdg++_supervised", spoilt=SPOILT,
        certainty=CertaintyConfig(keys=False, message=False),
    ),
    "mmdg": Method(title="MMDG", architecture="mmdg", prompts="none"),
    "flip": Method(title=f"FLIP-IT {PEER}", architecture="flip", adapters="none", prompts="none", rule="none"),
    "flip_mcl": Method(
        title=f"FLIP-MCL {PEER}", architecture="flip_mcl", adapters="none", prompts="none", rule="none", views=2
    ),
    "ssdg": Method(
        title=f"SSDG {PEER}", architecture="ssdg", adapters="plain", prompts="none", rule="none", balanced_batches=True
    ),
    "sa_fas": Method(
        title=f"SA-FAS {PEER}", architecture="sa_fas", adapters="plain", prompts="none", rule="none", views=2
    ),
    "ama": Method(title=f"AMA {PEER}", architecture="ama", adapters="none", prompts="none", rule="none"),
    "cmfl": Method(title=f"CMFL {PEER}", architecture="cmfl", adapters="plain", prompts="none", rule="none"),
    "flex_modal": Method(
        title=f"Flex-Modal {PEER}", architecture="flex_modal", adapters="none", prompts="none", rule="none"
    ),
}  # fmt: skip

ALL = "all"
"""The group of every method that there is, a plugin's included."""

GROUPS: dict[str, tuple[str, ...]] = {
    "baselines": ("linear_probe", "head", "fusion"),
    "parts": (
        "fusion",
        "fusion+uncertainty",
        "fusion+regrad",
        "fusion+prompts",
        "mmdg++_without_uncertainty",
        "mmdg++_without_regrad",
        "mmdg++_without_prompts",
        "mmdg++",
    ),
    "peers": ("flip", "ssdg", "sa_fas", "ama", "cmfl", "flex_modal"),
    "certainty": (
        "fusion",
        "fusion_spoilt",
        "mmdg++",
        "mmdg++_spoilt",
        *(name for name in METHODS if name.startswith("mmdg++_supervised")),
    ),
    "rules": ("mmdg++_without_regrad", "mmdg++", *(name for name in METHODS if name.startswith("mmdg++_rule_"))),
}
"""Methods that are compared with each other, under a name that stands for all of them."""


def expand_methods(names: Iterable[str]) -> list[str]:
    """Names of methods and groups to names of methods: each once, in the order in which they are first named.

    Raises `ValueError` listing the methods and groups that there are.
    """
    expanded = [found for name in names for found in (METHODS if name == ALL else GROUPS.get(name, (name,)))]
    for name in expanded:
        find(METHODS | dict.fromkeys([*GROUPS, ALL]), name, what="method or group")
    return list(dict.fromkeys(expanded))


def method(name: str) -> Method:
    """The method of that name. Raises `ValueError` listing the names there are."""
    return find(METHODS, name, what="method")


def register_method(name: str, method: Method) -> None:
    """Add a method under a name. Raises `ValueError` if a method or group has it, or it is no name for a folder."""
    if name in (*GROUPS, ALL):
        raise ValueError(f"{name!r} is a group of methods; choose another name")
    add(METHODS, name, method, what="method")


register = register_method  # its name until version 0.2, which plugins use
