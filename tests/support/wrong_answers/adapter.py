"""Assignment 2."""

import torch
from torch import nn
from torch.nn import functional

from tests.support.wrong_answers import wrong


@wrong("central_difference", says="zeros outside of the image are neighbours too")
def neighbours_inside_only(x, weight, theta):
    height, width = x.shape[2:]
    result = functional.conv2d(x, weight, padding=1)
    for row in range(height):
        for column in range(width):
            for i in (-1, 0, 1):
                for j in (-1, 0, 1):
                    if 0 <= row + i < height and 0 <= column + j < width:
                        seen = x[:, :, row, column] @ weight[:, :, i + 1, j + 1].T
                        result[:, :, row, column] -= theta * seen
    return result


@wrong("central_difference", says="theta is the share of the differences")
def shares_exchanged(x, weight, theta):
    ordinary = functional.conv2d(x, weight, padding=1)
    differences = ordinary - functional.conv2d(x, weight.sum((2, 3))[:, :, None, None])
    return theta * ordinary + (1 - theta) * differences


@wrong("central_difference", says="also multiplied by the kernel's sum")
def without_the_kernels_sum(x, weight, theta):
    return functional.conv2d(x, weight, padding=1) - theta * x


@wrong("central_difference", says="you continue the image")
def copies_at_the_border(x, weight, theta):
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, weight) - theta * functional.conv2d(x, weight.sum((2, 3), keepdim=True))


@wrong("central_difference", says="the kernel's centre weight only")
def centre_of_the_kernel(x, weight, theta):
    kernel = weight.clone()
    kernel[:, :, 1, 1] *= 1 - theta
    return functional.conv2d(x, kernel, padding=1)


@wrong("convolve_tokens", says="behind the grid")
def view_on_the_way_back(tokens, convolve):
    batch, count, channels = tokens.shape
    side = int((count - 1) ** 0.5)
    image = convolve(tokens[:, 1:].transpose(1, 2).reshape(batch, channels, side, side))
    first = convolve(tokens[:, 0][:, :, None, None])[:, :, 0, 0]
    return torch.cat([first[:, None], image.contiguous().view(batch, count - 1, channels)], dim=1)


@wrong("convolve_tokens", says="comes first in the result")
def class_token_at_the_end(tokens, convolve):
    batch, count, channels = tokens.shape
    side = int((count - 1) ** 0.5)
    image = convolve(tokens[:, 1:].transpose(1, 2).reshape(batch, channels, side, side))
    first = convolve(tokens[:, 0][:, :, None, None])[:, :, 0, 0]
    return torch.cat([image.flatten(2).transpose(1, 2), first[:, None]], dim=1)


@wrong("convolve_tokens", says="class token is missing")
def forgets_the_class_token(tokens, convolve):
    side = int((tokens.shape[1] - 1) ** 0.5)
    image = tokens[:, 1:].unflatten(1, (side, side)).permute(0, 3, 1, 2)
    return convolve(image).flatten(2).transpose(1, 2)


@wrong("convolve_tokens", says="rows and columns of the image are exchanged")
def columns_first(tokens, convolve):
    side = int((tokens.shape[1] - 1) ** 0.5)
    image = tokens[:, 1:].unflatten(1, (side, side)).permute(0, 3, 2, 1)
    first = convolve(tokens[:, :1].transpose(1, 2)[..., None]).squeeze(-1).transpose(1, 2)
    return torch.cat([first, convolve(image).permute(0, 3, 2, 1).flatten(1, 2)], dim=1)


@wrong("certain_attention", says="needs a dimension for them")
def certainty_meets_the_heads(q, k, v, certainty):
    logits = torch.einsum("bhie,bhje->bhij", q, k) / q.size(-1) ** 0.5
    return torch.softmax(logits * certainty, dim=-1) @ v


@wrong("certain_attention", says="multiplies the values")
def certain_values(q, k, v, certainty):
    weights = torch.softmax(q @ k.transpose(2, 3) / q.shape[-1] ** 0.5, dim=-1)
    return weights @ (v * certainty.unsqueeze(1))


@wrong("certain_attention", says="do not sum to 1")
def without_a_softmax(q, k, v, certainty):
    return certainty.unsqueeze(1) * (q @ k.transpose(2, 3) / q.shape[-1] ** 0.5) @ v


@wrong("certain_attention", says="belongs to the keys")
def scales_the_keys(q, k, v, certainty):
    return functional.scaled_dot_product_attention(q, k * certainty[:, None], v)


@wrong("certain_attention", says="root of the number of tokens")
def scaled_by_the_number_of_tokens(q, k, v, certainty):
    logits = certainty[:, None] * (q @ k.mT) / q.shape[2] ** 0.5
    return logits.softmax(-1) @ v


def _quick(x):
    return x * torch.sigmoid(1.702 * x)


@wrong("adapter_update", says="exact GELU")
def other_gelu(receiver, sender, layers):
    gelu = nn.GELU()
    a = layers.norm_receiver(gelu(layers.down_receiver(receiver)))
    b = layers.norm_sender(gelu(layers.down_sender(sender)))
    y = a + layers.attention(b, a)[0]
    y = y + layers.mlp(layers.norm_sender(y))
    return layers.up(gelu(layers.convolution.forward_tokens(y)))


@wrong("adapter_update", says="the norm comes after the QuickGELU")
def norm_before_the_activation(receiver, sender, layers):
    a = _quick(layers.norm_receiver(layers.down_receiver(receiver)))
    b = _quick(layers.norm_sender(layers.down_sender(sender)))
    y = a + layers.attention(b, a)[0]
    y = y + layers.mlp(layers.norm_sender(y))
    return layers.up(_quick(layers.convolution.forward_tokens(y)))


@wrong("adapter_update", says="the sender asks")
def receiver_asks(receiver, sender, layers):
    a = layers.norm_receiver(_quick(layers.down_receiver(receiver)))
    b = layers.norm_sender(_quick(layers.down_sender(sender)))
    y = a + layers.attention(a, b)[0]
    y = y + layers.mlp(layers.norm_sender(y))
    return layers.up(_quick(layers.convolution.forward_tokens(y)))


@wrong("adapter_update", says="it does not replace it")
def mlp_replaces(receiver, sender, layers):
    a = layers.norm_receiver(_quick(layers.down_receiver(receiver)))
    b = layers.norm_sender(_quick(layers.down_sender(sender)))
    y = a + layers.attention(b, a)[0]
    y = layers.mlp(layers.norm_sender(y))
    return layers.up(_quick(layers.convolution.forward_tokens(y)))


@wrong("adapter_update", says="the update alone")
def adds_the_receiver(receiver, sender, layers):
    a = layers.norm_receiver(_quick(layers.down_receiver(receiver)))
    b = layers.norm_sender(_quick(layers.down_sender(sender)))
    y = a + layers.attention(b, a)[0]
    y = y + layers.mlp(layers.norm_sender(y))
    return receiver + layers.up(_quick(layers.convolution.forward_tokens(y)))
