"""Tables of names that settings choose from: what the package has, and what a file of the user's own adds."""

import importlib
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

T = TypeVar("T")
DEVICES = r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])"
"""Names that Windows keeps for devices, with any ending: no file or folder can have them."""
NAME = re.compile(rf"(?!{DEVICES}(?:\.|\Z))[A-Za-z0-9][A-Za-z0-9_+.-]{{0,99}}")


class Registry(dict[str, T]):
    """A table whose own entries are entered by a module, its home, which is imported when one is asked for.

    What only names an entry, such as a configuration, need not import what makes it.

    Args:
        home: dotted name of the module.
        own: names that it enters.
    """

    def __init__(self, *, home: str, own: tuple[str, ...]) -> None:
        super().__init__()
        self.home, self.own = home, own

    def load(self) -> None:
        """Have the home enter its own entries."""
        importlib.import_module(self.home)


def add(known: dict[str, T], name: str, value: T, *, what: str) -> None:
    """Enter a name into a table. Raises `ValueError` if it is there already, or cannot be part of a folder's name."""
    check_path_name(name, what=what)
    if name in known:
        raise ValueError(f"the {what} {name!r} is there already; choose another name")
    known[name] = value


def check_path_name(name: object, *, what: str) -> None:
    """Raise `ValueError` for what cannot be part of a path: names in files come from anywhere."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        shown = name[:120] if isinstance(name, str) else name
        raise ValueError(
            f"{shown!r} cannot name a {what}: use at most 100 letters, digits and _ + . -, and no name of a device"
        )


def check_name(known: Registry[T], name: str, *, what: str) -> None:
    """Raise `ValueError`, listing the names there are, for one that the table does not have."""
    if name not in known.own:
        find(known, name, what=what)


def find(known: Mapping[str, T], name: str, *, what: str) -> T:
    """What a name stands for. Raises `ValueError` listing the names there are."""
    if isinstance(known, Registry):
        known.load()
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; choose one of {', '.join(known)}")
    return known[name]


AdapterKind = Literal["uncertainty", "plain", "none"]


PromptKind = Literal["asymmetric", "shared", "none"]
Sampling = Literal["monte_carlo", "moments", "expected"]
"""How the mean and the variance of a query's samples are obtained, see `uncertainty.sample_moments`."""
Suppression = Literal["query", "key"]
"""What certainty scales in attention: the queries (rows of the logits) or the keys (columns)."""
Activation = Literal["quick_gelu", "gelu"]
"""The activation in CLIP's blocks: x sigmoid(1.702 x), or the exact GELU."""
Normalisation = Literal["clip", "centred"]
"""How pixels 0..255 become a model's inputs: by CLIP's mean and deviation; or as (x - 127.5) / 128, which code of the
same line of work uses for CLIP too (E3), so that checkpoints made with it expect it."""


ARCHITECTURES: Registry[Any] = Registry(
    home="mmdg_lite.models.builder",
    own=("mmdg++", "mmdg++_supervised", "mmdg", "flip", "flip_mcl", "ssdg", "sa_fas", "ama", "cmfl", "flex_modal"),
)
"""Kinds of models, `models.builder.Architecture` by name."""
WEIGHINGS: Registry[Any] = Registry(
    home="mmdg_lite.regrad.balancing",
    own=("regrad", "keep", "drop", "orthogonal", "smooth", "none", "ogm_ge", "pcgrad", "mgda", "cagrad", "upgrad"),
)
"""Balancing rules, `regrad.balancing.Weighing` by name."""
