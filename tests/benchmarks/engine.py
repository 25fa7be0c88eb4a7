"""What a training step and an inference of MMDG++ cost, as multiples of the frozen trunk through plain open_clip.

`python -m tests.benchmarks.engine` measures at ViT-B/16 and writes its section of tests/benchmarks/RESULTS.md. With
`--clip tiny --batch 24 --threads 1 --only-times` it measures at the size at which this project trains. T is one
forward pass without gradients of the trunk over the three modalities of a batch (3 B images). F is the trunk's share
of a step: a forward pass that builds the graph, and four backward passes to the trunk's input (three modality losses
and the total).
"""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from open_clip import CLIP
from torch import Tensor

from mmdg_lite.modality import MODALITIES
from mmdg_lite.models import mmdgplusplus
from mmdg_lite.models.builder import MMDGPlusPlus
from mmdg_lite.models.clip import clip_config, describe, load_clip
from mmdg_lite.models.outputs import losses
from mmdg_lite.models.trunk import check_compiler
from mmdg_lite.regrad import gradients
from mmdg_lite.regrad import step as regrad
from mmdg_lite.regrad.step import ReGrad, trainable
from mmdg_lite.runs.config import Precision, TrainingConfig
from mmdg_lite.training.cuda_graphs import GraphedPasses
from mmdg_lite.training.evaluation import autocast, model_scorer
from tests.benchmarks.measuring import Work, clock, device_name, fastest_of_each, peak_on
from tests.support.sections import write_section

RESULTS = Path(__file__).with_name("RESULTS.md")
TITLE = "Training step and inference"
SOURCES = ("C", "P", "S")
CPU = torch.device("cpu")
BACKWARD_PASSES = len(MODALITIES) + 1


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is measured, and where."""

    clip: str = "ViT-B-16"
    image_size: int | None = None  # in pixels; None: the architecture's own
    sources: tuple[str, ...] = SOURCES
    batch: int = 8
    device: torch.device = CPU
    precision: Precision = "auto"
    model: tuple[tuple[str, Any], ...] = ()  # options of `MMDGPlusPlus`

    def build_clip(self) -> CLIP:
        """A CLIP of this architecture with random weights."""
        if self.image_size is None:
            return load_clip(self.clip, checkpoint="random").to(self.device)
        config = clip_config(self.clip)
        return CLIP(**config | {"vision_cfg": config["vision_cfg"] | {"image_size": self.image_size}}).to(self.device)

    def given(self, image_size: int) -> dict[str, Tensor]:
        """A batch of random images."""
        draw = torch.Generator().manual_seed(0)
        numbers = torch.arange(self.batch)
        shape = (self.batch, 3, image_size, image_size)
        images = {modality.value: torch.randn(shape, generator=draw) for modality in MODALITIES}
        labels = {"label": numbers % 2, "domain": numbers % len(self.sources)}
        labels["present"] = torch.ones(self.batch, len(MODALITIES), dtype=torch.bool)
        return {name: value.to(self.device) for name, value in (images | labels).items()}


class PlainTrunk:
    """The visual trunk of plain open_clip over the three modalities of a batch."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.clip = bench, bench.build_clip().requires_grad_(False)
        self.visual: Any = self.clip.visual
        given = bench.given(describe(self.clip).image_size)
        self.images = torch.cat([given[modality.value] for modality in MODALITIES])  # (3 B) x 3 x H x W

    def forward(self) -> None:
        """T."""
        with torch.inference_mode(), autocast(self.bench.device, self.bench.precision):
            self.visual(self.images)

    def forward_and_backward(self, passes: int) -> None:
        """F with four passes. What is differentiated by are the positions: they are added to the trunk's input."""
        positions = self.visual.positional_embedding.requires_grad_(True)
        with autocast(self.bench.device, self.bench.precision):
            features = self.visual(self.images).float()  # (3 B) x D
        for number in range(passes):
            torch.autograd.grad(features.sum(), positions, retain_graph=number < passes - 1)
        positions.requires_grad_(False)


class Step:
    """A training step of MMDG++ as the trainer makes it, and its inference.

    Args:
        bench: what and where.
        rule: how gradients are balanced.
        recompute: with activation checkpointing.
        compiled: with the trunk's blocks compiled.
        graphed: with forward and backward passes played back from a recorded graph, on CUDA.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        rule: Any = "regrad",
        recompute: bool = False,
        compiled: bool = False,
        graphed: bool = False,
    ) -> None:
        self.bench = bench
        clip = bench.build_clip()
        self.batch = bench.given(describe(clip).image_size)
        self.model = MMDGPlusPlus(clip, bench.sources, **dict(bench.model)).to(bench.device)
        self.model.generator = torch.Generator(bench.device).manual_seed(0)
        self.model.recompute = recompute
        if compiled:
            self.model.compile_trunk()
        self.branches = self.model.branches()
        self.regrad = ReGrad(rule=rule)
        parameters = trainable(self.branches)
        self.optimiser = torch.optim.AdamW(parameters, lr=1e-5)
        settings = TrainingConfig(batch_size=bench.batch, precision=bench.precision)
        self.graphed = (
            GraphedPasses(self.model, parameters, device=bench.device, settings=settings) if graphed else None
        )
        self.scorer = model_scorer(self.model, bench.device, precision=bench.precision)

    def train(self) -> None:
        """One step."""
        self.model.train()
        if self.graphed is not None:
            joint, _, _ = self.graphed(self.batch, apart=True)
            self.regrad.apply(joint.gradients, joint.losses.modalities, self.branches, joint.certainty)
            self.optimiser.step()
            return
        with autocast(self.bench.device, self.bench.precision):
            output = self.model(self.batch)
            made = losses(output, self.batch)
        self.regrad.step(made.modalities, made.total, self.branches, output.mean_certainty())
        self.optimiser.step()

    def infer(self) -> None:
        """Scores of one batch."""
        self.scorer(self.batch)


class Parts:
    """Seconds that the parts of a step take, collected while they run inside it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time being counted under a name."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            start = clock(self.device)
            result = function(*args, **kwargs)
            self.seconds[name] = self.seconds.get(name, 0.0) + clock(self.device) - start
            return result

        return counted

    @contextmanager
    def watching(self, step: Step) -> Iterator[None]:
        """While it lasts, a step's parts are timed."""
        with ExitStack() as stack:
            for owner, attribute, name in (
                (mmdgplusplus, "all_at_once", "forward pass: adapters"),
                (gradients, "gradients_of", "backward passes"),
                (regrad, "modulate", "ReGrad's modulation"),
                (step.model, "forward", "forward pass"),
                (step.optimiser, "step", "optimiser"),
            ):
                stack.enter_context(patch.object(owner, attribute, self.timed(name, getattr(owner, attribute))))
            if step.model.prompts is not None:
                prompts = step.model.prompts
                timed = self.timed("forward pass: prompts", prompts.by_modality)
                stack.enter_context(patch.object(prompts, "by_modality", timed))
            yield


def parts_of_a_step(step: Step) -> dict[str, float]:
    """Seconds of the parts of one step, the inner ones taken out of the forward pass; what is left is "the rest"."""
    parts = Parts(step.bench.device)
    with parts.watching(step):
        start = clock(step.bench.device)
        step.train()
        whole = clock(step.bench.device) - start
    found = dict(parts.seconds)
    forward = found.pop("forward pass")
    inner = {name: seconds for name, seconds in found.items() if name.startswith("forward pass: ")}
    found = {"forward pass: trunk": forward - sum(inner.values())} | found
    return found | {"the rest": whole - sum(found.values())}


def time_table(bench: Bench, repeats: int) -> str:
    """Markdown: T, F, a training step, inference, and the parts of the step."""
    plain, step = PlainTrunk(bench), Step(bench)
    works: dict[str, Work] = {
        "T": plain.forward,
        "F": lambda: plain.forward_and_backward(BACKWARD_PASSES),
        "training step": step.train,
        "inference": step.infer,
    }
    if bench.device.type == "cuda":
        works["training step, CUDA graph"] = Step(bench, graphed=True).train
    seconds = fastest_of_each(works, repeats, bench.device)
    t, f = seconds["T"], seconds["F"]
    rows = ["| what | seconds | in T | in F |", "|---|---|---|---|"]
    rows += [f"| {name} | {value:.3g} | {value / t:.2f} | {value / f:.2f} |" for name, value in seconds.items()]
    parts = parts_of_a_step(step)
    rows += ["", "Where a step's time goes (one step):", "", "| part | in T | share of the step |", "|---|---|---|"]
    whole = sum(parts.values())
    rows += [f"| {name} | {value / t:.2f} | {value / whole:.0%} |" for name, value in parts.items()]
    return "\n".join(rows)


def inference_table(bench: Bench, repeats: int, batches: Sequence[int] = (1, 2, 8)) -> str:
    """Markdown: inference of few faces at a time against the bare trunk over the same images."""
    rows = ["| faces at a time | trunk, ms per face | inference, ms per face | times the trunk |", "|---|---|---|---|"]
    for batch in batches:
        few = replace(bench, batch=batch)
        seconds = fastest_of_each(
            {"trunk": PlainTrunk(few).forward, "inference": Step(few).infer}, repeats, bench.device
        )
        trunk, inference = (1000 * value / batch for value in seconds.values())
        shown = (f"{float(f'{value:.3g}'):,g}" for value in (trunk, inference))
        rows.append(f"| {batch} | {' | '.join(shown)} | {inference / trunk:.2f} |")
    return "\n".join(rows)


OPTIONS: dict[str, dict[str, bool]] = {
    "training step": {},
    "training step, activation checkpointing": {"recompute": True},
    "training step, compiled trunk": {"compiled": True},
}
"""Ways to make the same step, by the name of their row: options of `Step`."""


def options_table(bench: Bench, repeats: int, options: Mapping[str, Mapping[str, bool]] = OPTIONS) -> str:
    """Markdown: seconds of a step made in each of the ways, in turn."""
    works: dict[str, Work] = {name: Step(bench, **given).train for name, given in options.items()}
    seconds = fastest_of_each(works, repeats, bench.device)
    plain = next(iter(seconds.values()))
    rows = ["| what | seconds | times the plain step |", "|---|---|---|"]
    return "\n".join([*rows, *(f"| {name} | {value:.3g} | {value / plain:.2f} |" for name, value in seconds.items())])


def memory_table(bench: Bench) -> str:
    """Markdown: peak memory of a training step against plain open_clip's forward and backward pass."""
    base = peak_on(bench.device, partial(PlainTrunk(bench).forward_and_backward, 1))
    rows = ["| peak memory | MiB | times plain |", "|---|---|---|"]
    rows += [f"| plain open_clip, forward and backward | {base:.0f} | 1 |"]
    for name, options in OPTIONS.items():
        if not options.get("compiled"):
            peak = peak_on(bench.device, Step(bench, **options).train)
            rows.append(f"| {name} | {peak:.0f} | {peak / base:.2f} |")
    return "\n".join(rows)


def conditions(bench: Bench) -> str:
    """One sentence on what was measured where."""
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    number = torch.get_num_threads()
    threads = f", {number} threads" if number > 1 else ", one thread, seconds of the process's own time"
    threads = threads if bench.device.type == "cpu" else ""
    return (
        f"{bench.clip}, batch {bench.batch} ({len(MODALITIES) * bench.batch} images), "
        f"{len(bench.sources)} source domains, "
        f"{device_name(bench.device)}{threads}, precision {bench.precision}, "
        f"PyTorch {torch.__version__.partition('+')[0]}{load}."
    )


def command(given: argparse.Namespace) -> str:
    """The command that these options were given to."""
    size = "" if given.clip == Bench.clip else f" --clip {given.clip} --batch {given.batch} --threads {given.threads}"
    if given.only_inference:
        size = f" --clip {given.clip} --threads {given.threads}"
    part = " --only-inference" if given.only_inference else " --only-times" if given.only_times else ""
    return f"python -m tests.benchmarks.engine{size}{part}"


def write_inference(bench: Bench, given: argparse.Namespace) -> None:
    """Measure inference of few faces alone, and write its section."""
    text = f"{conditions(replace(bench, batch=1))} Least of {given.repeats} executions in turn. "
    text += f"Written by `{command(given)}`.\n\n{inference_table(bench, given.repeats)}"
    write_section(RESULTS, f"Few faces at a time, {given.clip} CLIP, {given.device.type}", text)
    print(text)


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=CPU)
    parser.add_argument("--clip", default=Bench.clip, help='an open_clip architecture, or "tiny"')
    parser.add_argument("--threads", type=int, help="on a CPU; default: PyTorch's own choice")
    parser.add_argument("--batch", type=int, default=8, help="of the times")
    parser.add_argument("--memory-batch", type=int, default=32, help="of the peak memory; 0: leave it out")
    parser.add_argument("--only-times", action="store_true", help="of the plain step and inference, nothing else")
    parser.add_argument("--only-inference", action="store_true", help="of few faces at a time, in a section of its own")
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    torch.manual_seed(0)
    if given.threads:
        torch.set_num_threads(given.threads)
    bench = Bench(clip=given.clip, batch=given.batch, device=given.device)
    if given.only_inference:
        write_inference(bench, given)
        return
    text = f"{conditions(bench)} Least of {given.repeats} executions in turn. "
    text += f"Written by `{command(given)}`.\n\n{time_table(bench, given.repeats)}"
    text += f"\n\nFew faces at a time, as `predict` scores them:\n\n{inference_table(bench, given.repeats)}"
    if not given.only_times:
        check_compiler(given.device)
        text += "\n\nWays to make the same step, measured apart and in turn, so that only their ratios count:"
        text += f"\n\n{options_table(bench, given.repeats)}"
    if given.memory_batch and not given.only_times:
        large = replace(bench, batch=given.memory_batch)
        text += f"\n\nPeak of PyTorch's allocations, batch {large.batch}:\n\n{memory_table(large)}"
    of_clip = "" if given.clip == Bench.clip else f"{given.clip} CLIP, "
    write_section(RESULTS, f"{TITLE}, {of_clip}{given.device.type}", text)
    print(text)


if __name__ == "__main__":
    main()
