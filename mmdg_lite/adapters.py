"""Cross-modal adapters: small bottlenecks that let one modality's tokens be updated by another's.

`CrossAdapter` is the bottleneck with plain attention, `UAdapterPP` (U-Adapter++) the one of MMDG++ with attention under
certainty, `UAdapter` the one of MMDG. All start as the zero function, so that training starts at CLIP itself.
"""

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional

from mmdg_lite.attention import CertaintyAttention, CrossAttention, Noise, Suppression
from mmdg_lite.released import Released, faults
from mmdg_lite.speed.quick_gelu import quick_gelu
from mmdg_lite.uncertainty import Sampling

__all__ = ["CentralDifferenceConv2d", "CertaintyAttention", "CrossAdapter", "CrossAttention", "UAdapter", "UAdapterPP"]


class CentralDifferenceConv2d(nn.Module):
    """3 x 3 convolution mixed with its central difference (Yu et al., CVPR 2020; U-Adapter of the MMDG paper, eq. 4).

    CDC(x) = conv3x3(x) - theta * conv1x1(x; the kernel summed over space), zero padding 1, stride 1. theta = 0 is an
    ordinary convolution; theta = 1 sees differences from the centre only and maps constant images to the bias
    (away from the zero padding).

    Args:
        in_channels, out_channels: as in `nn.Conv2d`; `out_channels=None` keeps the number of channels.
        theta: share of the central difference, in [0, 1].
        bias: add a bias, once (the released code adds it in both convolutions, D22).
    """

    def __init__(
        self, in_channels: int, out_channels: int | None = None, *, theta: float = 0.5, bias: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= theta <= 1:
            raise ValueError(f"theta must be in [0, 1], got {theta}")
        self.theta = theta
        self.conv = nn.Conv2d(in_channels, out_channels or in_channels, kernel_size=3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """B x C_in x H x W to B x C_out x H x W."""
        return functional.conv2d(x, self.kernel(), self.conv.bias, padding=1)

    def kernel(self) -> Tensor:
        """The one 3 x 3 kernel that does both convolutions, C_out x C_in x 3 x 3.

        They are linear in the kernel, and the 1 x 1 one acts in its centre.
        """
        weight = self.conv.weight
        centre = functional.pad(reduce(weight, "o i h w -> o i 1 1", "sum"), (1, 1, 1, 1))
        return weight - self.theta * centre

    def forward_tokens(self, tokens: Tensor) -> Tensor:
        """The convolution over B x (1 + grid^2) x C tokens: patches as a square image, the class token as a 1 x 1 one.

        Raises `ValueError` when the patch tokens do not form a square.
        """
        grid = round((tokens.shape[1] - 1) ** 0.5)
        if grid * grid != tokens.shape[1] - 1:
            raise ValueError(f"{tokens.shape[1]} tokens are not one class token and a square of patches")
        image = rearrange(tokens[:, 1:], "b (h w) c -> b c h w", h=grid)
        patches = rearrange(self(image), "b c h w -> b (h w) c")
        class_token = rearrange(self(rearrange(tokens[:, :1], "b 1 c -> b c 1 1")), "b c 1 1 -> b 1 c")
        return torch.cat([class_token, patches], dim=1)  # B x N x C_out


class CrossAdapter(nn.Module):
    """Bottleneck adapter from a sending to a receiving modality, with plain cross-attention.

    a = LN(QuickGELU(W_receiver h)), b = LN'(QuickGELU(W_sender c)); y = a + attention(b, a); y = y + W_mlp LN'(y);
    central difference convolution over the patches and over the class token; QuickGELU; zero-initialised projection
    back to the trunk's width. LN' serves twice. (MMDG++, U-Adapter++ without its uncertainty.)

    Args:
        width: C, the trunk's width.
        dim: d, the adapter's width.
        heads: attention heads.
        theta: share of the central difference in the convolution.
        attention: the attention between the two sides, plain by default.
        released: let the content of a missing receiver through a multiplication by zero, as the released code does:
            its NaN or inf reach the result (D13).
    """

    def __init__(
        self,
        width: int,
        *,
        dim: int = 8,
        heads: int = 8,
        theta: float = 0.5,
        attention: CrossAttention | None = None,
        released: Released = False,
    ) -> None:
        super().__init__()
        self.faults = faults(released)
        self.down_receiver = nn.Linear(width, dim)
        self.down_sender = nn.Linear(width, dim)
        self.norm_receiver = nn.LayerNorm(dim)
        self.norm_sender = nn.LayerNorm(dim)
        self.attention = attention if attention is not None else CrossAttention(dim, heads)
        self.mlp = nn.Linear(dim, dim)
        self.convolution = CentralDifferenceConv2d(dim, theta=theta)
        self.up = nn.Linear(dim, width)
        _initialise(self.down_receiver, self.down_sender, self.mlp, up=self.up)

    def forward(
        self,
        receiver: Tensor,
        sender: Tensor,
        *,
        receiver_present: Tensor | None = None,
        sender_present: Tensor | None = None,
        noise: Noise | None = None,
        selection: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The receiver's update from one sender.

        Args:
            receiver, sender: layer-normalised trunk tokens, B x N x C with N = 1 + grid^2.
            receiver_present, sender_present: B bools; None means present in every sample. Where the sender is missing
                the adapter attends to the receiver's own tokens; where the receiver is missing both results are zero.
            noise, selection, generator: see `CertaintyAttention.forward`.

        Returns:
            (update B x N x C, certainty B x N x 1 in [0, 1]).
        """
        if receiver.shape != sender.shape:
            raise ValueError(f"receiver {tuple(receiver.shape)} and sender {tuple(sender.shape)} must have one shape")
        if "D13" not in self.faults:
            receiver = _masked(receiver, receiver_present)
        sender = _masked(sender, sender_present)
        a = self.norm_receiver(quick_gelu(self.down_receiver(receiver)))  # B x N x d
        b = self.norm_sender(quick_gelu(self.down_sender(sender)))  # B x N x d
        if sender_present is not None:
            b = torch.where(_per_token(sender_present), b, a)
        attended, certainty = self.attention(b, a, noise=noise, selection=selection, generator=generator)
        y = a + attended
        y = y + self.mlp(self.norm_sender(y))
        y = self.up(quick_gelu(self.convolution.forward_tokens(y)))  # B x N x C
        if receiver_present is None:
            return y, certainty
        if "D13" in self.faults:
            return y * _per_token(receiver_present).to(y.dtype), certainty * _per_token(receiver_present)
        return _masked(y, receiver_present), _masked(certainty, receiver_present)


class UAdapterPP(CrossAdapter):
    """U-Adapter++ of MMDG++: the cross-modal adapter whose attention trusts certain queries more.

    Args:
        width, dim, heads, theta: as in `CrossAdapter`.
        samples, rate, sampling, suppression: as in `CertaintyAttention`.
        released: reproduce the released code's faults in this module (D2, D12, D13).
    """

    def __init__(
        self,
        width: int,
        *,
        dim: int = 8,
        heads: int = 8,
        samples: int = 50,
        rate: float = 2.5,
        theta: float = 0.5,
        sampling: Sampling = "moments",
        suppression: Suppression = "query",
        released: Released = False,
    ) -> None:
        attention = CertaintyAttention(
            dim, heads, samples=samples, rate=rate, sampling=sampling, suppression=suppression, released=released
        )
        super().__init__(width, dim=dim, heads=heads, theta=theta, attention=attention, released=released)


class UAdapter(nn.Module):
    """U-Adapter of MMDG (MMDG paper, eq. 4): certainty comes from outside, as a map over the sender's tokens.

    r = QuickGELU(W_1 receiver), s = QuickGELU(W_2 sender); row i of the attention logits is multiplied by the certainty
    of the sender's token i; y = LN(r + attention); central difference convolution; QuickGELU; dropout; zero-initialised
    projection back to the trunk's width.

    Args:
        width: C, the trunk's width.
        dim, heads, theta: as in `CrossAdapter`.
        dropout: probability of dropping in the bottleneck, in training.
    """

    def __init__(self, width: int, *, dim: int = 8, heads: int = 8, theta: float = 0.5, dropout: float = 0.2) -> None:
        super().__init__()
        self.down_receiver = nn.Linear(width, dim)
        self.down_sender = nn.Linear(width, dim)
        self.attention = CrossAttention(dim, heads)
        self.norm = nn.LayerNorm(dim)
        self.convolution = CentralDifferenceConv2d(dim, theta=theta)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(dim, width)
        _initialise(self.down_receiver, self.down_sender, up=self.up)

    def forward(
        self,
        receiver: Tensor,
        sender: Tensor,
        certainty: Tensor,
        *,
        receiver_present: Tensor | None = None,
        sender_present: Tensor | None = None,
    ) -> Tensor:
        """The receiver's update from one sender.

        Args:
            receiver, sender: layer-normalised trunk tokens, B x N x C.
            certainty: of the sender's tokens, B x N x C (averaged over channels here) or B x N x 1, in [0, 1].
            receiver_present, sender_present: B bools; the update is zero where either side is missing.

        Returns:
            Update B x N x C.
        """
        receiver, sender = _masked(receiver, receiver_present), _masked(sender, sender_present)
        certainty = _masked(certainty, sender_present).mean(dim=-1, keepdim=True)  # B x N x 1
        r = quick_gelu(self.down_receiver(receiver))  # B x N x d
        s = quick_gelu(self.down_sender(sender))
        y = self.norm(r + self.attention.attend(certainty.to(s.dtype) * self.attention.query_sender(s), r))
        y = self.up(self.dropout(quick_gelu(self.convolution.forward_tokens(y))))  # B x N x C
        return _masked(_masked(y, receiver_present), sender_present)


def _initialise(*linears: nn.Linear, up: nn.Linear) -> None:
    """Xavier-uniform weights and zero biases; the projection back to the trunk starts at zero."""
    for linear in linears:
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)


def _per_token(present: Tensor) -> Tensor:
    """B bools as B x 1 x 1, to be broadcast over tokens and channels."""
    return present[:, None, None]


def _masked(x: Tensor, present: Tensor | None) -> Tensor:
    """`x` with the samples that are not present replaced by zeros, whatever they hold (also NaN)."""
    return x if present is None else torch.where(_per_token(present), x, torch.zeros_like(x))
