"""What sampling costs: K draws of every query against drawing their moments, or none.

`python -m tests.benchmarks.moments` measures on one thread at the sizes of ViT-B/16 and writes the table into
tests/benchmarks/RESULTS.md. Seconds are the process's own time, the least of several runs in turn; memory is the peak
of what PyTorch allocated during one run.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from mmdg_lite.adapters import CrossAdapter, UAdapterPP
from mmdg_lite.uncertainty import SAMPLING_METHODS, Sampling, sample_moments
from tests.benchmarks.measuring import Work, peak_memory, processor
from tests.support.sections import write_section

RESULTS = Path(__file__).with_name("RESULTS.md")
TITLE = "Sampling of Gaussian queries"
SEED = 0


@dataclass(frozen=True)
class Sizes:
    """Of the tensors measured with."""

    batch: int = 32
    tokens: int = 197  # of ViT-B/16: one class token, 14 x 14 patches
    width: int = 768  # of its trunk
    dim: int = 8  # of the adapter
    samples: int = 50  # K


@dataclass(frozen=True)
class Cost:
    """Of one run: the process's seconds, and peak memory in MiB."""

    seconds: float
    memory: float


def sampler(method: Sampling, sizes: Sizes) -> Work:
    """The two sample moments of one side's queries, and their gradients."""
    mean, log_variance = (torch.randn(sizes.batch, sizes.tokens, sizes.dim, requires_grad=True) for _ in "ab")

    def run() -> None:
        chance = torch.Generator().manual_seed(SEED)
        sample_mean, variance = sample_moments(mean, log_variance, sizes.samples, method=method, generator=chance)
        torch.autograd.grad((sample_mean + variance).sum(), (mean, log_variance))

    return run


def adapter(method: Sampling | None, sizes: Sizes, *, training: bool) -> Work:
    """A whole U-Adapter++ (None: the same without uncertainty), forwards and in training backwards."""
    options = {"dim": sizes.dim}
    made = (
        CrossAdapter(sizes.width, **options)
        if method is None
        else UAdapterPP(sizes.width, samples=sizes.samples, sampling=method, **options)
    ).train(training)
    shape = (sizes.batch, sizes.tokens, sizes.width)
    receiver, sender = (torch.randn(shape, requires_grad=training) for _ in "ab")
    noise = torch.Generator()

    def draws() -> tuple[Tensor, Tensor] | None:
        """In evaluation K draws have to be handed in: left to itself the adapter uses expectations."""
        if training or method != "monte_carlo":
            return None
        drawn = (2, sizes.samples, sizes.batch, sizes.tokens, sizes.dim)
        of_sender, of_receiver = torch.randn(drawn, generator=noise.manual_seed(SEED))
        return of_sender, of_receiver

    def run() -> None:
        with torch.set_grad_enabled(training):
            update, _ = made(receiver, sender, noise=draws(), generator=noise.manual_seed(SEED))
            if training:
                torch.autograd.grad(update.sum(), [receiver, sender, *made.parameters()], allow_unused=True)

    return run


def measure(works: dict[str, Work], repeats: int) -> dict[str, Cost]:
    """Every work warmed up once, then all in turn, `repeats` times."""
    memory = {name: peak_memory(work) for name, work in works.items()}
    seconds = dict.fromkeys(works, float("inf"))
    for _ in range(repeats):
        for name, work in works.items():
            start = time.process_time()
            work()
            seconds[name] = min(seconds[name], time.process_time() - start)
    return {name: Cost(seconds[name], memory[name]) for name in works}


def comparisons(sizes: Sizes) -> Iterator[tuple[str, dict[str, Work]]]:
    """What is measured side by side."""
    yield "sampler, forward and backward", {method: sampler(method, sizes) for method in SAMPLING_METHODS}
    for training, label in ((True, "U-Adapter++, forward and backward"), (False, "U-Adapter++, evaluation")):
        methods = {m: adapter(m, sizes, training=training) for m in SAMPLING_METHODS if training or m != "moments"}
        yield label, {**methods, "without uncertainty": adapter(None, sizes, training=training)}


def table(sizes: Sizes, repeats: int) -> str:
    """Markdown: one row per way of sampling; ratios to `monte_carlo`."""
    rows = ["| what | sampling | ms | times faster | peak MiB | times less memory |", "|---|---|---|---|---|---|"]
    for label, works in tqdm(list(comparisons(sizes)), desc="measuring"):
        costs = measure(works, repeats)
        base = costs["monte_carlo"]
        for name, cost in costs.items():
            faster, less = base.seconds / cost.seconds, base.memory / cost.memory if cost.memory else float("inf")
            rows.append(
                f"| {label} | {name} | {1000 * cost.seconds:.3g} | {faster:.3g} | {cost.memory:.3g} | {less:.3g} |"
            )
    return "\n".join(rows)


def main() -> None:
    """Measure and write the section."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    sizes = Sizes()
    conditions = (
        f"K = {sizes.samples}, batch {sizes.batch}, N = {sizes.tokens}, C = {sizes.width}, d = {sizes.dim}; float32, "
        f"one thread, {processor()}, PyTorch {torch.__version__.partition('+')[0]}. Seconds of the process's own time, "
        "the least of 7 runs in turn; peak of PyTorch's allocations during one run. Ratios are to `monte_carlo`. "
        "Written by `python -m tests.benchmarks.moments`."
    )
    text = f"{conditions}\n\n{table(sizes, repeats=7)}"
    write_section(RESULTS, TITLE, text)
    print(text)


if __name__ == "__main__":
    main()
