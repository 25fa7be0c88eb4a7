"""A CUDA graph for a machine without CUDA: operations are recorded as they run, and repeated on the same memory.

Repeating them is all that it does, as on a GPU: what Python decided in between is not decided again. It refuses what a
CUDA graph cannot hold: numbers that the host asks for, results whose size depends on values, constants from the host.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

T = TypeVar("T")
aten: Any = torch.ops.aten
WAITING = {
    aten._local_scalar_dense,
    aten.equal,
    aten.is_nonzero,
    aten.lift_fresh,
    aten.masked_select,
    aten.nonzero,
    aten.unique_dim,
    aten._unique2,
}


class Recording(TorchDispatchMode):
    """What is computed while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        by_mask = func.overloadpacket in (aten.index, aten.index_put, aten.index_put_) and any(
            isinstance(index, Tensor) and index.dtype == torch.bool for index in args[1]
        )
        if func.overloadpacket in WAITING or by_mask:
            raise RuntimeError(f"{func} waits for the device while a graph is recorded")
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        """Everything again; results go where they went."""
        for func, args, kwargs, result in self.calls:
            for place, new in zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True):
                same = not isinstance(place, Tensor) or place.untyped_storage()._cdata == new.untyped_storage()._cdata
                if not same:
                    place.copy_(new)


def record(function: Callable[[], T], generator: torch.Generator) -> tuple[T, Callable[[], None]]:
    """Stands in for `cuda_graphs.record`."""
    function()
    with Recording() as recording:
        result = function()
    return result, recording.replay
