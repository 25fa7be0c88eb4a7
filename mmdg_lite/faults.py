"""Which faults of the released code are reproduced: all, none, or some of them by their number in the audit.

The numbers are those of notebook 09. Some faults cannot be chosen: they are those of a training script (D9), of cost
(D10, D19), of a batch of one (D18), or no more than an undefined name (D6).
"""

from collections.abc import Collection

Released = bool | Collection[str]
"""True: every fault of the released code; False: none; or a collection such as ("D1", "D2")."""

FORWARD = ("D2", "D4", "D7", "D8", "D12", "D13", "D24")
"""Faults of MMDG++'s forward pass."""
STEP = ("D1", "D3", "D15", "D17", "D20", "D21")
"""Faults of ReGrad's step."""
MMDG = ("D5",)
"""Faults of MMDG alone; D12 is one of both models."""
FAULTS = tuple(sorted((*FORWARD, *STEP, *MMDG), key=lambda fault: int(fault[1:])))


def faults(released: Released) -> frozenset[str]:
    """The faults meant. Raises `ValueError` naming those there are if one is not among them."""
    if isinstance(released, bool):
        return frozenset(FAULTS if released else ())
    unknown = sorted(set(released) - set(FAULTS)) if not isinstance(released, str) else [released]
    if unknown:
        raise ValueError(f"unknown fault {unknown[0]!r}: give True, False, or a list of {', '.join(FAULTS)}")
    return frozenset(released)
