"""Cross-attention between two modalities' tokens: plain, and under the certainty of its queries.

Throughout, the *receiver* is the modality whose tokens are being updated (its keys and values), the *sender* the
modality that tells it where to look (its queries).
"""

from typing import NamedTuple, get_args

import torch
from einops import rearrange
from torch import Tensor, nn

from mmdg_lite.draws import uniform
from mmdg_lite.registry import Sampling, Suppression
from mmdg_lite.released import Released, faults
from mmdg_lite.speed.scalar_attention import attention
from mmdg_lite.uncertainty import SAMPLING_METHODS, certainty, gaussian_divergence, sample_moments

SUPPRESSIONS: tuple[str, ...] = get_args(Suppression)

Noise = tuple[Tensor, Tensor]
"""Standard normal draws for the sender's and the receiver's queries, each K x B x N x d."""


class Trust(NamedTuple):
    """How much the parts of an adapter call count; None: in full."""

    keys: Tensor | None = None  # ... x N, shares of the receiver's tokens in the softmax; only their ratios matter
    message: Tensor | None = None  # ... x 1 x 1 in [0, 1], a factor of all that the sender says


FULL_TRUST = Trust()


def multi_head(query: Tensor, key: Tensor, value: Tensor, heads: int, *, share: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(d / heads)) v in each head; query B x M x d, key and value B x N x d, result B x M x d.

    `share`: B x N, factors above 0 of the keys' weights, before these are made to sum to one; without gradient.
    """
    q, k, v = (rearrange(x, "b n (heads e) -> b heads n e", heads=heads) for x in (query, key, value))
    return rearrange(attention(q, k, v, share=share), "b heads n e -> b n (heads e)")


class CrossAttention(nn.Module):
    """Multi-head attention of the sender's queries over the receiver's keys and values; every query fully certain.

    Args:
        dim: width d of the tokens.
        heads: number of heads, a divisor of `dim`.
    """

    def __init__(self, dim: int = 8, heads: int = 8) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"{heads} heads do not divide the width {dim}")
        self.heads = heads
        self.query_sender = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def attend(
        self,
        query: Tensor,
        receiver: Tensor,
        values: Tensor | None = None,
        *,
        key_scale: Tensor | None = None,
        trust: Trust = FULL_TRUST,
    ) -> Tensor:
        """softmax(q k^T / sqrt(d / heads)) v and the output projection; B x N x d in and out.

        Keys and values are both read from the receiver's tokens, unless other tokens are given for the values.
        `key_scale`: B x N x 1, factors of the keys, and so of the columns of the logits. `trust`: see `Trust`.
        """
        keys, values = self.key(receiver), self.value(receiver if values is None else values)
        if key_scale is not None:
            keys = key_scale.to(keys.dtype) * keys
        attended = self.out(multi_head(query, keys, values, self.heads, share=trust.keys))
        return attended if trust.message is None else trust.message.to(attended.dtype) * attended

    def forward(
        self,
        sender: Tensor,
        receiver: Tensor,
        *,
        values: Tensor | None = None,
        noise: Noise | None = None,
        selection: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Returns (attended tokens B x N x d, certainty of ones B x N x 1); random numbers are not needed."""
        query = self.query_sender(sender)
        return self.attend(query, receiver, values), torch.ones_like(query[..., :1])


class CertaintyAttention(CrossAttention):
    """Cross-attention whose query tokens are chosen and scaled by their certainty (MMDG++, U-Adapter++).

    1. Both sides give each token a query as a Gaussian: mean M q and log-variance S q (linear, no bias).
    2. K draws give its sample mean (the query) and its uncertainty u, the unbiased sample variance averaged over the
       d channels, detached; certainty U = exp(-rate u).
    3. One of the two queries is taken, token by token. In training the sender's with probability U_b / (U_a + U_b) =
       sigmoid(rate (u_a - u_b)), so that less certain regions are still visited sometimes; in evaluation the more
       certain one, the receiver's own on a tie.
    4. The logits of a token's query are multiplied by its certainty, which flattens the attention of doubtful
       queries. Scaling the query does it exactly: U (q k^T) = (U q) k^T.

    Args:
        dim, heads: width d and number of heads.
        samples: K, the number of draws.
        rate: r, how fast certainty falls with variance.
        sampling: how the draws' statistics are obtained in training, see `uncertainty.sample_moments`. Evaluation uses
            expectations and is deterministic (D12).
        suppression: "query" as above, rows of the logits scaled by the certainty of the chosen query; or, for study,
            "key": columns scaled by the certainty of the key's token, from the receiver's side, which turns attention
            away from doubtful tokens instead of flattening what doubtful tokens look at: q (U k)^T = (q k^T) U. That
            certainty is then the one returned. Queries are chosen as before.
        released: reproduce the released code: the sender's query is always taken in training (D2), and evaluation
            samples too (D12).

    `divergences`: None, or a list to which every call adds the divergence of both sides' queries from N(0, 1), see
    `uncertainty.gaussian_divergence`; ... x N x d, their sum over the two sides.
    """

    def __init__(
        self,
        dim: int = 8,
        heads: int = 8,
        *,
        samples: int = 50,
        rate: float = 2.5,
        sampling: Sampling = "moments",
        suppression: Suppression = "query",
        released: Released = False,
    ) -> None:
        super().__init__(dim, heads)
        if suppression not in SUPPRESSIONS:
            raise ValueError(f"unknown suppression {suppression!r}; choose one of {', '.join(SUPPRESSIONS)}")
        if sampling not in SAMPLING_METHODS:
            raise ValueError(f"unknown sampling method {sampling!r}; choose one of {', '.join(SAMPLING_METHODS)}")
        self.samples = samples
        self.rate = rate
        self.sampling: Sampling = sampling
        self.suppression: Suppression = suppression
        self.faults = faults(released)
        self.divergences: list[Tensor] | None = None
        self.query_receiver = nn.Linear(dim, dim, bias=False)
        self.mean_sender = nn.Linear(dim, dim, bias=False)
        self.mean_receiver = nn.Linear(dim, dim, bias=False)
        self.log_variance_sender = nn.Linear(dim, dim, bias=False)
        self.log_variance_receiver = nn.Linear(dim, dim, bias=False)

    def forward(
        self,
        sender: Tensor,
        receiver: Tensor,
        *,
        values: Tensor | None = None,
        noise: Noise | None = None,
        selection: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attend with the chosen queries.

        Args:
            sender, receiver: B x N x d tokens of the two sides.
            values: B x N x d tokens to read the values from, the receiver's if not given.
            noise: the draws, sender's and receiver's, K x B x N x d each; forces Monte Carlo sampling.
            selection: uniforms in [0, 1), B x N x 1, for the choice in training; evaluation ignores them.
            generator: source of whatever random numbers are not given.

        Returns:
            (attended tokens B x N x d, certainty of the chosen queries B x N x 1 in [0, 1], without gradient).
        """
        query_b, query_a = self.query_sender(sender), self.query_receiver(receiver)
        log_variances = self.log_variance_sender(query_b), self.log_variance_receiver(query_a)
        query, chosen = self.choose(
            (self.mean_sender(query_b), log_variances[0]),
            (self.mean_receiver(query_a), log_variances[1]),
            noise=noise,
            selection=selection,
            generator=generator,
        )
        key_scale = chosen if self.suppression == "key" else None
        return self.attend(query, receiver, values, key_scale=key_scale, trust=self.trust(*log_variances)), chosen

    def trust(self, sender: Tensor, receiver: Tensor) -> Trust:
        """What else certainty acts on, from both sides' log-variances, ... x N x d: in MMDG++ nothing."""
        return FULL_TRUST

    def choose(
        self,
        sender: tuple[Tensor, Tensor],
        receiver: tuple[Tensor, Tensor],
        *,
        noise: Noise | None = None,
        selection: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Steps 2 to 4: the queries that are taken, scaled by their certainty. No parameter takes part.

        With suppression of keys the queries are not scaled, and the certainty is that of the receiver's tokens.

        Args:
            sender, receiver: mean and log-variance of each side's queries, ... x N x d.
            noise, selection, generator: as in `forward`, of shapes K x ... x N x d and ... x N x 1.

        Returns:
            (scaled queries ... x N x d, certainty ... x N x 1 in [0, 1], without gradient).
        """
        if self.divergences is not None:
            self.divergences.append(gaussian_divergence(*sender) + gaussian_divergence(*receiver))
        noise_sender, noise_receiver = noise if noise is not None else (None, None)
        query_b, u_b = self._sample(*sender, noise_sender, generator)
        query_a, u_a = self._sample(*receiver, noise_receiver, generator)
        certainty_a, certainty_b = certainty(u_a, self.rate), certainty(u_b, self.rate)
        take_sender = self._choose(u_a, u_b, certainty_a, certainty_b, selection, generator)  # ... x N x 1 bool
        query = torch.where(take_sender, query_b, query_a)
        if self.suppression == "key":
            return query, certainty_a
        chosen = torch.where(take_sender, certainty_b, certainty_a)
        return chosen.to(query.dtype) * query, chosen

    def _sample(
        self, mean: Tensor, log_variance: Tensor, noise: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Sample mean ... x N x d and uncertainty ... x N x 1 of one side's queries, in at least float32."""
        method: Sampling = self.sampling if self.training or "D12" in self.faults else "expected"
        if noise is not None:
            method = "monte_carlo"
        precise = torch.promote_types(mean.dtype, torch.float32)
        sample_mean, variance = sample_moments(
            mean.to(precise), log_variance.to(precise), self.samples, method=method, generator=generator, noise=noise
        )
        return sample_mean.to(mean.dtype), variance.detach().mean(dim=-1, keepdim=True)

    def _choose(
        self,
        u_a: Tensor,
        u_b: Tensor,
        certainty_a: Tensor,
        certainty_b: Tensor,
        selection: Tensor | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """True where the sender's query is taken, ... x N x 1."""
        if not self.training:
            return certainty_b > certainty_a
        if "D2" in self.faults:  # (U_a + U_b) / U_b is at least 1, or undefined where both certainties underflow (D2)
            return (certainty_a + certainty_b) / certainty_b >= 1
        if selection is None:
            selection = uniform(u_a.shape, like=u_a, generator=generator)
        return selection < torch.sigmoid(self.rate * (u_a - u_b))
