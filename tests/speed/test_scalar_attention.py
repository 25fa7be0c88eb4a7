"""Attention of scalar heads: equal to the general kernel in values and gradients, and exact where others cancel."""

import pytest
import torch
from torch.nn import functional

from mmdg_lite.speed.scalar_attention import attention


def inputs(generator, *, scale=1.0, shift=0.0, queries=10, keys=7, width=1):
    def draw(tokens):
        x = torch.randn(2, 3, tokens, width, generator=generator, dtype=torch.float64)
        return (scale * x + shift).requires_grad_(True)

    return draw(queries), draw(keys), draw(keys)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1e-3, 0), (12, 0), (1, 50), (1e-3, 100)])
def test_values_and_gradients_equal_those_of_the_general_kernel(generator, width, scale, shift):
    given = inputs(generator, scale=scale, shift=shift, width=width)
    ours, general = attention(*given), functional.scaled_dot_product_attention(*given)
    torch.testing.assert_close(ours, general, rtol=1e-10, atol=1e-12)
    weight = torch.randn(ours.shape, generator=generator, dtype=ours.dtype)
    for mine, theirs in zip(
        torch.autograd.grad((ours * weight).sum(), given),
        torch.autograd.grad((general * weight).sum(), given),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("width", [1, 4])
def test_shares_of_keys_multiply_the_weights_before_they_sum_to_one(generator, width):
    given = inputs(generator, width=width)
    query, key, value = given
    share = torch.rand(2, 7, generator=generator, dtype=torch.float64) + 0.01
    weights = share[:, None, None] * (query @ key.mT / width**0.5).exp()
    wanted = weights / weights.sum(dim=-1, keepdim=True) @ value
    found = attention(*given, share=share)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    weight = torch.randn(found.shape, generator=generator, dtype=found.dtype)
    pairs = zip(*(torch.autograd.grad((x * weight).sum(), given) for x in (found, wanted)), strict=True)
    for mine, theirs in pairs:
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)


def test_gradients_of_nearly_equal_keys_and_values_survive_single_precision(generator):
    exact = inputs(generator, scale=1e-3, shift=10)
    single = [x.detach().float().requires_grad_(True) for x in exact]
    wanted = torch.autograd.grad(functional.scaled_dot_product_attention(*exact).sum(), exact)
    got = torch.autograd.grad(attention(*single).sum(), single)
    for mine, true in zip(got, wanted, strict=True):
        assert (mine - true).norm() < 2e-2 * true.norm()


def test_large_logits_do_not_overflow():
    query = torch.tensor([300.0, -300.0]).view(1, 1, 2, 1)
    key = torch.tensor([-2.0, 1.0, 2.0]).view(1, 1, 3, 1)
    value = torch.tensor([1.0, 2.0, 4.0]).view(1, 1, 3, 1)
    assert attention(query, key, value).flatten().tolist() == [4.0, 1.0]


def test_one_key_passes_its_value_on_and_has_no_slope(generator):
    query, key, value = inputs(generator, keys=1)
    result = attention(query, key, value)
    torch.testing.assert_close(result, value.expand_as(result))
    of_query, of_key, of_value = torch.autograd.grad(result.sum(), (query, key, value))
    assert not of_query.any() and not of_key.any()
    torch.testing.assert_close(of_value, torch.full_like(value, 10.0))


def test_may_be_differentiated_several_times_from_one_forward_pass(generator):
    given = inputs(generator)
    result = attention(*given).sum()
    first = torch.autograd.grad(result, given, retain_graph=True)
    second = torch.autograd.grad(result, given)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
