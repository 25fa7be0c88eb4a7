"""`minimal.py` and the engine: the same numbers from the same weights, images and random numbers, in float64.

The two are independent transcriptions of the method, so every comparison here tests both. Rounding decides at four
jumps of the method: equal certainties, equal averages of losses, gradients at a right angle, and gradients that vanish.
Every comparison therefore also asserts its distance from all four.
"""

import ast
import copy
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from mmdg_lite import minimal
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.clip import load_clip
from mmdg_lite.models.mmdgplusplus import MMDGPlusPlus, Stream
from mmdg_lite.models.outputs import Losses, Output, losses
from mmdg_lite.prompts import sentences, tokenize_sentences
from mmdg_lite.regrad import ReGrad, regrad
from tests.support.tiny import awaken, tiny_clip

DRAWS = 4
DOMAINS = ("C", "P", "S")
MARGIN = 1e-6
VANISHING = 1e-13  # rounding leaves gradients of about 1e-17 where zero is meant
EXACT = {"rtol": 0, "atol": 1e-10}
SOURCE = Path(minimal.__file__)

Randoms = tuple[dict[tuple[str, str], tuple[Tensor, Tensor, Tensor]], ...]

# the small CLIP with both batch sizes and both numbers of domains; the tiny one, which is slower, with two pairs
cases = pytest.mark.parametrize(
    "clip, size, domains", [*product(["small"], (2, 5), (2, 3)), ("tiny", 2, 3), ("tiny", 3, 2)]
)
modes = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])


@dataclass
class Watch:
    """What `minimal.py` computes at the jumps of the method."""

    uncertainties: list[Tensor] = field(default_factory=list)  # of b and a in turn, each B x N x 1
    selections: list[Tensor | float] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)  # between the two lowest averages

    @contextmanager
    def on(self, randoms: Randoms) -> Iterator[None]:
        """Record while one training step is made."""
        originals = {name: getattr(minimal, name) for name in ("sample", "project", "regrad", "find_fastest")}

        def sample(*given: Any) -> tuple[Tensor, Tensor]:
            query, u = originals["sample"](*given)
            self.uncertainties.append(u)
            return query, u

        def project(g: Tensor, base: Tensor) -> Tensor:
            if g.any() and base.any():
                self.cosines.append(float((g * base).sum() / g.norm() / base.norm()))
            return originals["project"](g, base)

        def regrad(g: minimal.Values, *rest: Any) -> Tensor:
            self.norms += [float(gradient.norm()) for gradient in g.values() if gradient.any()]
            return originals["regrad"](g, *rest)

        def find_fastest(averages: dict[str, float], L: minimal.Values) -> str | None:
            fastest = originals["find_fastest"](averages, L)
            lowest, second, _ = sorted(averages.values())
            self.gaps.append(second - lowest)
            return fastest

        with pytest.MonkeyPatch.context() as patch:
            for replacement in (sample, project, regrad, find_fastest):
                patch.setattr(minimal, replacement.__name__, replacement)
            calls = len(self.uncertainties)
            yield
        drawn = [selection for block in randoms for *_, selection in block.values()]
        self.selections += drawn or [0.5] * ((len(self.uncertainties) - calls) // 2)

    def assert_far_from_jumps(self) -> None:
        u_b, u_a = self.uncertainties[0::2], self.uncertainties[1::2]
        for b, a, selection in zip(u_b, u_a, self.selections, strict=True):
            chance = torch.sigmoid(minimal.RATE * (a - b))
            assert float((chance - selection).abs().min()) > MARGIN, "token selection"
        assert min(abs(cosine) for cosine in self.cosines) > MARGIN, "right angles"
        assert min(self.norms) > VANISHING, "vanishing gradients"
        assert min(self.gaps) > MARGIN, "averages of the losses"


def words(number: int) -> dict[str, tuple[list[str], list[str]]]:
    """The package's first sentences about live faces and about spoofs."""
    return {
        m.value: (sentences(m, live=True, context=5)[:number], sentences(m, live=False, context=5)[:number])
        for m in MODALITIES
    }


def small_clip() -> open_clip.CLIP:
    """Random weights, 16 px, a grid of 2 x 2, 2 blocks; CLIP's whole vocabulary."""
    return tiny_clip(vocabulary=49408)


CLIPS = {"tiny": load_clip, "small": small_clip}


def twins(clip: str, domains: int, *, number: int = 1) -> tuple[MMDGPlusPlus, minimal.MMDGPlusPlus]:
    """Engine and `minimal.py` with the same weights, over copies of a CLIP, with adapters that act already."""
    frozen = CLIPS[clip]().double()
    token_ids = tokenize_sentences(5, length=frozen.context_length)[:, :, :number]
    plain = minimal.MMDGPlusPlus(copy.deepcopy(frozen), words(number), domains).double()
    engine = MMDGPlusPlus(frozen, DOMAINS[:domains], token_ids=token_ids, samples=DRAWS).double()
    awaken(engine)
    plain.load_state_dict(engine.state_dict())
    return engine, plain


def batch_of(plain: minimal.MMDGPlusPlus, size: int, domains: int, generator: torch.Generator) -> dict[str, Tensor]:
    height, width = plain.clip.visual.image_size
    shape = (size, 3, height, width)
    made = {m: torch.randn(shape, generator=generator, dtype=torch.float64) for m in minimal.MODALITIES}
    numbers = torch.arange(size)
    return made | {"label": (numbers + 1) % 2, "domain": numbers % domains}


def randoms_for(
    engine: MMDGPlusPlus, plain: minimal.MMDGPlusPlus, size: int, generator: torch.Generator, *, training: bool
) -> Randoms:
    """Random numbers of a pass in `minimal.py`'s form; the engine's generator will give the same selections.

    The engine draws them for a whole block at once, 3 receivers x 2 senders x B x N x 1.
    """
    if not training:
        return ()
    seed = int(torch.randint(2**31, (1,), generator=generator))
    engine.generator, again = (torch.Generator().manual_seed(seed) for _ in range(2))
    tokens = len(plain.positions["rgb"])

    def noise() -> Tensor:
        return torch.randn(DRAWS, size, tokens, minimal.DIM, generator=generator, dtype=torch.float64)

    blocks = []
    for _ in plain.clip.visual.transformer.resblocks:
        selection = torch.rand(3, 2, size, tokens, 1, generator=again, dtype=torch.float64)
        blocks.append(
            {
                (m.value, j.value): (noise(), noise(), selection[m.index, place])
                for m in MODALITIES
                for place, j in enumerate(m.others)
            }
        )
    return tuple(blocks)


def engine_step(
    engine: MMDGPlusPlus, balance: ReGrad, batch: dict[str, Tensor], randoms: Randoms
) -> tuple[Output, Losses]:
    """Output and losses; the gradients are left in `.grad`."""

    def noise(layer: int, receiver: Modality, sender: Modality, stream: Stream) -> Tensor:
        noise_b, noise_a, _ = randoms[layer][receiver.value, sender.value]
        return noise_b if stream is Stream.SENDER else noise_a

    output = engine(batch, noise=noise if randoms else None)
    made = losses(output, batch)
    balance.step(made.modalities, made.total, engine.branches(), output.mean_certainty())
    return output, made


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Zero for a parameter that no loss reaches, which the engine leaves without a gradient."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in trained.items()}


def trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def no_averages() -> dict[str, float]:
    return dict.fromkeys(minimal.MODALITIES, 0.0)


def by_modality(values: Sequence[Tensor]) -> dict[str, Tensor]:
    return {m.value: value.detach() for m, value in zip(MODALITIES, values, strict=True)}


@cases
@modes
def test_logits_losses_and_gradients_of_a_step(clip, size, domains, training, generator):
    engine, plain = twins(clip, domains)
    engine.train(training)
    plain.train(training)
    batch = batch_of(plain, size, domains, generator)
    randoms = randoms_for(engine, plain, size, generator, training=training)
    output, made = engine_step(engine, ReGrad(), batch, randoms)

    with torch.no_grad():
        logits, text_logits, U = plain(batch, randoms)
    assert_close(logits, output.logits.detach(), **EXACT)
    assert_close(text_logits, by_modality(output.modality_logits.unbind(dim=1)), **EXACT)
    assert_close(U, by_modality(output.mean_certainty()), **EXACT)

    watch, still = Watch(), torch.optim.SGD(trained(plain), lr=0.0)
    with watch.on(randoms):
        plain_losses = minimal.train_step(plain, still, no_averages(), batch, randoms)
    watch.assert_far_from_jumps()
    expected = {**by_modality(made.modalities), "total": made.total}
    assert plain_losses == pytest.approx({name: loss.item() for name, loss in expected.items()}, abs=1e-10)
    assert_close(gradients(plain), gradients(engine), **EXACT)
    assert max(g.abs().max().item() for g in gradients(plain).values()) > 0.01  # 1e-10 is far below what is compared


@cases
def test_five_steps_end_in_the_same_parameters(clip, size, domains, generator):
    engine, plain = twins(clip, domains)
    engine.train()
    plain.train()
    before = [p.detach().clone() for p in trained(plain)]
    optimisers = [torch.optim.AdamW(trained(model), lr=6e-3, weight_decay=0.01) for model in (engine, plain)]
    balance, averages, watch = ReGrad(), no_averages(), Watch()
    for _ in range(5):
        batch = batch_of(plain, size, domains, generator)
        randoms = randoms_for(engine, plain, size, generator, training=True)
        engine_step(engine, balance, batch, randoms)
        optimisers[0].step()
        with watch.on(randoms):
            minimal.train_step(plain, optimisers[1], averages, batch, randoms)
    watch.assert_far_from_jumps()
    assert_close(plain.state_dict(), dict(engine.state_dict()), rtol=0, atol=1e-8)
    moved = [(p.detach() - old).abs().max().item() for p, old in zip(trained(plain), before, strict=True)]
    assert min(moved) > 1e-3


def test_with_all_nine_sentences(generator):
    engine, plain = twins("small", 3, number=9)
    with torch.no_grad():
        batch = batch_of(plain, 2, 3, generator)
        _, text_logits, _ = plain.eval()(batch)
        assert_close(text_logits, by_modality(engine.eval()(batch).modality_logits.unbind(dim=1)), **EXACT)


def test_the_fastest_modality_is_the_engines():
    """The engine corrects the averages for their start at 0, which changes no order while all modalities are there."""
    chance = torch.Generator().manual_seed(0)
    balance, averages = ReGrad(), no_averages()
    found = []
    for step in range(60):
        L = dict(zip(minimal.MODALITIES, torch.rand(3, generator=chance, dtype=torch.float64).unbind(), strict=True))
        if step == 0:
            L = dict.fromkeys(minimal.MODALITIES, torch.tensor(0.7, dtype=torch.float64))
        fastest = balance.update(list(L.values()))
        found.append(minimal.find_fastest(averages, L))
        assert found[-1] == (None if fastest is None else fastest.value)
    assert set(found) == {None, *minimal.MODALITIES}


@pytest.mark.parametrize("fastest", [None, *MODALITIES])
@pytest.mark.parametrize("branch", MODALITIES)
def test_modulated_gradients_are_the_engines(branch, fastest):
    """Gradients that agree and that conflict, large and small, and some that are zero."""
    chance = torch.Generator().manual_seed(0)
    certainty = {m: torch.rand((), generator=chance, dtype=torch.float64) for m in minimal.MODALITIES}
    for scale, *reached in product([1.0, 1e-6], *3 * [[True, False]]):
        g = {
            m: there * scale * torch.randn(3, 2, generator=chance, dtype=torch.float64)
            for m, there in zip(minimal.MODALITIES, reached, strict=True)
        }
        modulated = minimal.regrad(g, branch.value, None if fastest is None else fastest.value, certainty)
        expected = regrad(list(g.values()), branch, fastest, list(certainty.values()))
        assert_close(modulated, expected, rtol=1e-12, atol=1e-20)


def test_training_draws_its_own_random_numbers_and_evaluation_none(generator):
    _, plain = twins("small", 2)
    batch = batch_of(plain, 2, 2, generator)
    with torch.no_grad():
        first, second = (plain.train()(batch)[0] for _ in range(2))
        third, fourth = (plain.eval()(batch)[0] for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(third, fourth)


def test_adapters_start_as_the_zero_function():
    plain = minimal.MMDGPlusPlus(small_clip(), words(1), 2)
    for adapter in (adapter for of_modality in plain.adapters.values() for adapter in of_modality):
        for linear in (adapter.down_receiver, adapter.down_sender, adapter.mlp, adapter.up):
            bound = (6 / (linear.in_features + linear.out_features)) ** 0.5  # of Xavier's uniform numbers
            largest = linear.weight.abs().max().item()
            assert largest == 0 if linear is adapter.up else bound / 2 < largest <= bound
            assert not linear.bias.any()


def test_it_fits_on_a_page():
    source = SOURCE.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 250
    assert max(map(len, source.splitlines())) <= 100
    statements = [node.lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)]
    assert len(statements) == len(set(statements))  # one statement a line


def test_it_depends_on_torch_einops_and_open_clip_alone():
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    tops = {name.split(".")[0] for name in found}
    assert tops - sys.stdlib_module_names == {"torch", "einops", "open_clip"}
