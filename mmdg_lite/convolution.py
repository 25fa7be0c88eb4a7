"""Central difference convolution: a convolution that also looks at how a pixel differs from its surroundings."""

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional


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
