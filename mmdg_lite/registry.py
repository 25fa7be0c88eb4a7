"""Tables of names that settings choose from: what the package has, and what a file of the user's own adds."""

import re
from collections.abc import Mapping
from typing import Literal, TypeVar

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.-]*")


def add(known: dict[str, T], name: str, value: T, *, what: str) -> None:
    """Enter a name into a table. Raises `ValueError` if it is there already, or cannot be part of a folder's name."""
    check_name(name, what=what)
    if name in known:
        raise ValueError(f"the {what} {name!r} is there already; choose another name")
    known[name] = value


def check_name(name: object, *, what: str) -> None:
    """Raise `ValueError` for what cannot be part of a path: names in files come from anywhere."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a {what}: use letters, digits and _ + . -")


def find(known: Mapping[str, T], name: str, *, what: str) -> T:
    """What a name stands for. Raises `ValueError` listing the names there are."""
    if name not in known:
        raise ValueError(f"unknown {what} {name!r}; choose one of {', '.join(known)}")
    return known[name]


AdapterKind = Literal["uncertainty", "plain", "none"]


PromptKind = Literal["asymmetric", "shared", "none"]
