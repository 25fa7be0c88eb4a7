"""Central difference convolution against its definition, pixel by pixel."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mmdg_lite.adapters import CentralDifferenceConv2d


def slow(x: Tensor, weight: Tensor, theta: float, bias: Tensor | None) -> Tensor:
    """conv3x3(x) - theta * conv1x1(x; the kernel summed over space), as sums over pixels and kernel positions."""
    batch, _, height, width = x.shape
    y = torch.zeros(batch, len(weight), height, width, dtype=x.dtype)
    for row in range(height):
        for column in range(width):
            for i in range(3):
                for j in range(3):
                    r, c = row + i - 1, column + j - 1
                    if 0 <= r < height and 0 <= c < width:
                        y[:, :, row, column] += x[:, :, r, c] @ weight[:, :, i, j].T
                    y[:, :, row, column] -= theta * x[:, :, row, column] @ weight[:, :, i, j].T
    return y if bias is None else y + bias[:, None, None]


@pytest.mark.parametrize("theta", [0.0, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (4, 6)])
@pytest.mark.parametrize("bias", [False, True])
def test_definition(theta: float, size: tuple[int, int], bias: bool) -> None:
    layer = CentralDifferenceConv2d(3, 5, theta=theta, bias=bias).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(layer(x), slow(x, layer.conv.weight, theta, layer.conv.bias))


def test_theta_zero_is_an_ordinary_convolution() -> None:
    layer = CentralDifferenceConv2d(4, theta=0.0)
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(layer(x), functional.conv2d(x, layer.conv.weight, padding=1))


def test_theta_one_sees_no_constant() -> None:
    layer = CentralDifferenceConv2d(2, theta=1.0, bias=True).double()
    x = torch.full((1, 2, 6, 6), 3.0, dtype=torch.float64)
    inside = layer(x)[..., 1:-1, 1:-1]
    torch.testing.assert_close(inside, layer.conv.bias[:, None, None].expand_as(inside[0])[None])


def test_bias_counts_once() -> None:
    """The released code adds it in both convolutions: (1 - theta) of it remains (D22)."""
    layer = CentralDifferenceConv2d(2, theta=0.5, bias=True)
    with torch.no_grad():
        layer.conv.bias.copy_(torch.tensor([1.0, -2.0]))
    assert torch.equal(layer(torch.zeros(1, 2, 1, 1)).flatten(), torch.tensor([1.0, -2.0]))


def test_tokens_are_a_class_token_and_a_square_image() -> None:
    layer = CentralDifferenceConv2d(4, theta=0.5).double()
    tokens = torch.randn(3, 1 + 9, 4, dtype=torch.float64)
    image = tokens[:, 1:].transpose(1, 2).reshape(3, 4, 3, 3)
    y = layer.forward_tokens(tokens)
    torch.testing.assert_close(y[:, 1:].transpose(1, 2).reshape(3, 4, 3, 3), slow(image, layer.conv.weight, 0.5, None))
    centre = layer.conv.weight[:, :, 1, 1] - 0.5 * layer.conv.weight.sum(dim=(2, 3))
    torch.testing.assert_close(y[:, 0], tokens[:, 0] @ centre.T)


def test_class_token_and_patches_do_not_mix() -> None:
    layer = CentralDifferenceConv2d(4)
    tokens = torch.randn(1, 5, 4)
    other = tokens.clone()
    other[:, 0] += 1
    before, after = layer.forward_tokens(tokens), layer.forward_tokens(other)
    assert torch.equal(before[:, 1:], after[:, 1:])
    assert not torch.equal(before[:, 0], after[:, 0])


def test_gradients() -> None:
    layer = CentralDifferenceConv2d(2, 3, theta=0.7, bias=True).double()
    x = torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_out_channels_default_to_in_channels() -> None:
    assert CentralDifferenceConv2d(6).conv.weight.shape == (6, 6, 3, 3)
    assert CentralDifferenceConv2d(6).conv.bias is None


def test_faults() -> None:
    with pytest.raises(ValueError, match=r"theta must be in \[0, 1\], got 1.5"):
        CentralDifferenceConv2d(2, theta=1.5)
    with pytest.raises(ValueError, match="7 tokens are not one class token and a square of patches"):
        CentralDifferenceConv2d(2).forward_tokens(torch.zeros(1, 7, 2))
