"""A toy with three branches whose losses reach each other's parameters, as those of MMDG++ do through its adapters."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.modality import MODALITIES, Modality
from tests.support.recorded import Recording


class Branch(nn.Module):
    """One modality's encoder, and the mixing of what the others say."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.enc = nn.Linear(inputs, width)
        self.mix = nn.Linear(width, width, bias=False)


class Toy(nn.Module):
    """Three small encoders that talk to each other twice, and four classifiers.

    h_m = tanh(enc_m x_m), f_m = h_m + tanh(M_m sum of the others' h) / 2, g_m = f_m + tanh(sum of the others' f) / 2.
    Modality m classifies by T_m g_m, all together by W [g_R, g_D, g_I]; T and W are constants. A missing modality is
    left out of every sum and contributes zero to the joint decision.
    """

    def __init__(self, *, inputs: int = 6, width: int = 5, classes: int = 5) -> None:
        super().__init__()
        self.branches = nn.ModuleList(Branch(inputs, width) for _ in MODALITIES)
        self.register_buffer("joint", torch.randn(2, 3 * width) / 2)
        self.register_buffer("own", torch.randn(3, classes, width))
        self.register_buffer("stem", torch.ones(inputs))

    def assignment(self) -> list[tuple[nn.Parameter, Modality | None]]:
        """Every parameter with its modality, in the order of the branches."""
        return [(p, m) for m, branch in zip(MODALITIES, self.branches, strict=True) for p in branch.parameters()]

    def losses(
        self, x: Sequence[Tensor], classes: Tensor, labels: Tensor, missing: Sequence[Modality] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """Cross-entropy of the joint decision and of each modality's own (missing ones too)."""
        there = [m.index for m in MODALITIES if m not in missing]
        h = [torch.tanh(branch.enc(self.stem * of)) for branch, of in zip(self.branches, x, strict=True)]  # B x width
        f = [h[i] + torch.tanh(self.branches[i].mix(_others(h, i, there))) / 2 for i in range(3)]
        g = [f[i] + torch.tanh(_others(f, i, there)) / 2 for i in range(3)]
        of_modality = [functional.cross_entropy(g[i] @ self.own[i].T, classes) for i in range(3)]
        joint = torch.cat([g[i] if i in there else torch.zeros_like(g[i]) for i in range(3)], dim=1) @ self.joint.T
        return functional.cross_entropy(joint, labels), of_modality


def _others(of: Sequence[Tensor], i: int, there: Sequence[int]) -> Tensor:
    return sum((of[j] for j in there if j != i), torch.zeros_like(of[i]))


def recorded_toy(recording: Recording) -> Toy:
    """The toy with the recorded weights and constants."""
    toy = Toy()
    for i, branch in enumerate(toy.branches, start=1):
        branch.load_state_dict(recording.group(f"w.branch_{i}."))
    toy.joint.copy_(recording["buf.W"])
    toy.own.copy_(torch.stack([recording[f"buf.T_{i}"] for i in (1, 2, 3)]))
    toy.stem.copy_(recording["buf.stem_const"])
    return toy


def recorded_names(toy: Toy) -> dict[str, nn.Parameter]:
    """The toy's parameters by their recorded names."""
    return {f"branch_{i}.{n}": p for i, b in enumerate(toy.branches, start=1) for n, p in b.named_parameters()}
