"""`python -m mmdg_lite`: each subcommand calls the public function of the same name.

Modules are imported when their subcommand runs, so that --help and doctor answer at once, even in a broken
environment.
"""

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Run = Callable[[argparse.Namespace], int]
PROFILES = ("quick", "full", "paper")
PROTOCOLS = ("P1", "P2", "P3", "P4", "P5")
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status: 0 done, 1 failed (with the reason on one screen), 130
    interrupted."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print(f"\n{options.command}: interrupted; the same command goes on from what is finished", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        _explain(options, error)
        return 1


def parser() -> argparse.ArgumentParser:
    """The command line, complete."""
    top = argparse.ArgumentParser(prog="python -m mmdg_lite", description="Multi-modal face anti-spoofing with MMDG++.")
    top.add_argument("--traceback", action="store_true", help="on failure, show where in the code it happened")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_doctor, _pretrain_clip, _train, _evaluate, _reproduce, _tables, _assignments):
        add(commands)
    return top


Commands = argparse._SubParsersAction


def _command(commands: "Commands[argparse.ArgumentParser]", name: str, run: Run, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    command.set_defaults(run=run)
    return command


def _doctor(commands: "Commands[argparse.ArgumentParser]") -> None:
    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.models.clip_weights import record_weights
        from mmdg_lite.reproduce.doctor import doctor

        if options.record_weights:
            print(record_weights())
        return 0 if doctor(out_dir=options.out, quiet=options.quiet) else 1

    command = _command(commands, "doctor", run, "check the environment, one line per check, with the cure for failures")
    command.add_argument("--out", type=Path, default=Path("runs"), help="folder that runs would be written to")
    command.add_argument("--record-weights", action="store_true", help="first renew the shipped weights' checksums")
    command.add_argument("--quiet", action="store_true", help="print failures only")


def _pretrain_clip(commands: "Commands[argparse.ArgumentParser]") -> None:
    def run(options: argparse.Namespace) -> int:
        from dataclasses import replace

        from mmdg_lite.pretraining.train import PretrainingConfig, pretrain_clip

        given = {name: getattr(options, name) for name in ("steps", "seed") if getattr(options, name) is not None}
        config = replace(PretrainingConfig(), **given)
        print(pretrain_clip(out=options.out, config=config, device=options.device, workers=options.workers))
        return 0

    text = "train the tiny CLIP on rendered picture-caption pairs, going on from where it stopped"
    command = _command(commands, "pretrain-clip", run, text)
    command.add_argument("--out", type=Path, default=Path("runs/pretrain_clip"), help="folder for state and checkpoint")
    command.add_argument("--steps", type=int, help="optimiser steps; without it as the shipped checkpoint was made")
    command.add_argument("--seed", type=int, help="seed; without it as the shipped checkpoint was made")
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--workers", type=int, default=1, help="processes that render")


def _train(commands: "Commands[argparse.ArgumentParser]") -> None:
    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.runs.config import configure
        from mmdg_lite.runs.ranks import RankFailed, speaks
        from mmdg_lite.training.run import train
        from mmdg_lite.training.trainer import Interrupted

        config = configure(
            options.profile,
            protocol=options.protocol,
            setting=options.setting,
            method=options.method,
            seed=options.seed,
            device=options.device,
            data_root=options.data_root,
            plugins=options.plugin,
            **_changes(options.set),
        )
        try:
            folder = train(config, options.out or Path("runs") / config.profile / config.name)
        except Interrupted as stop:
            if speaks():
                print(f"\n{options.command}: {stop}", file=sys.stderr)
            return INTERRUPTED
        except RankFailed as failure:
            print(f"\n{options.command}: ended here because {failure}", file=sys.stderr)
            return 1
        if speaks():
            print(folder)
        return 0

    text = "train and test one run, going on from where it stopped; on several GPUs: torchrun -m mmdg_lite train"
    command = _command(commands, "train", run, text)
    command.add_argument("--profile", choices=PROFILES, default="quick", help="what the settings start from")
    command.add_argument(
        "--protocol", choices=(*PROTOCOLS, "own"), default="P1", help="own: any domains (YOUR_DATA.md)"
    )
    command.add_argument("--setting", default="CPS->W", help="the protocol's setting, sources->targets")
    command.add_argument("--method", default="mmdg++", help="a name in mmdg_lite.runs.methods.METHODS, or a plugin's")
    command.add_argument("--seed", type=int, default=0, help="seed of initialisation, order and augmentation")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    command.add_argument("--data-root", help="folder of converted data sets; without it the synthetic domains")
    command.add_argument(
        "--out", type=Path, help="the run's folder; without it runs/PROFILE/PROTOCOL/SETTING/METHOD/seedN"
    )
    _set(command)
    _plugin(command)


def _plugin(command: argparse.ArgumentParser) -> None:
    text = "your own Python files that register methods or rules (YOUR_METHOD.md)"
    command.add_argument("--plugin", nargs="+", type=Path, default=[], metavar="FILE", help=text)


def _set(command: argparse.ArgumentParser) -> None:
    text = "change settings, for example training.steps=500"
    command.add_argument("--set", nargs="+", default=[], metavar="PART.NAME=VALUE", help=text)


def _changes(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`part.name=value` as keyword arguments of `runs.configure`; values are JSON, or else text."""
    changes: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        part, dot, name = key.partition(".")
        if not equals or not dot or part not in ("data", "training", "model"):
            raise ValueError(f"--set {assignment}: write data.NAME=VALUE, training.NAME=VALUE or model.NAME=VALUE")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        changes.setdefault(part, {})[name] = value
    return changes


def _evaluate(commands: "Commands[argparse.ArgumentParser]") -> None:
    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.runs.plugins import load_plugin
        from mmdg_lite.training.rescoring import evaluate

        for path in options.plugin:
            load_plugin(path)
        values = evaluate(
            options.run_folder,
            out=options.out,
            domains=options.domains,
            data_root=options.data_root,
            samples=options.samples,
            data_seed=options.data_seed,
            device=options.device,
        )
        for name, metrics in values["metrics"].items():
            shown = ", ".join(f"{m} {100 * metrics[m]:.2f} %" for m in ("hter", "hter_at_eer", "auc"))
            print(f"{name}: {shown}")
        return 0

    text = "score test lists again with a finished run's model, at the run's own threshold"
    command = _command(commands, "evaluate", run, text)
    command.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a finished run")
    command.add_argument("--out", type=Path, help="where scores go; without it RUN/evaluation")
    command.add_argument("--domains", nargs="+", help="the domains; without it the run's targets")
    command.add_argument("--data-root", help="folder of converted data sets; without it the run's own data")
    command.add_argument("--samples", type=int, help="test samples per synthetic domain; without it as in the run")
    command.add_argument("--data-seed", type=int, help="seed of the synthetic samples; without it the run's")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    _plugin(command)


def _reproduce(commands: "Commands[argparse.ArgumentParser]") -> None:
    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.reproduce.everything import reproduce

        reproduce(
            options.profile,
            protocols=options.protocols,
            methods=options.methods,
            seeds=options.seeds,
            out=options.out or Path("runs") / options.profile,
            data_root=options.data_root,
            device=options.device,
            workers=options.workers,
            scheduler=options.scheduler,
            changes=_changes(options.set) or None,
            plugins=options.plugin,
        )
        return 0

    text = "notebooks, every run of a grid, tables and figures; goes on from the finished runs"
    command = _command(commands, "reproduce", run, text)
    command.add_argument("--profile", choices=PROFILES, default="quick", help="minutes, hours, or real data")
    command.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=["P1"], help="which protocols")
    command.add_argument("--methods", nargs="+", default=["linear_probe", "fusion", "mmdg++"], help="which methods")
    command.add_argument("--seeds", nargs="+", type=int, default=[0], help="one run per seed")
    command.add_argument("--out", type=Path, help="folder for everything; without it runs/PROFILE")
    command.add_argument("--data-root", help="folder of converted data sets; without it the synthetic domains")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    command.add_argument("--workers", type=int, default=2, help="runs at a time on this machine")
    command.add_argument("--scheduler", help="address of a running Dask scheduler, such as tcp://127.0.0.1:8786")
    _set(command)
    _plugin(command)


def _tables(commands: "Commands[argparse.ArgumentParser]") -> None:
    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.results.tables import tables
        from mmdg_lite.runs.plugins import load_plugin

        for path in options.plugin:
            load_plugin(path)
        written = tables(options.runs, out=options.out, protocols=options.protocols, published=options.published)
        if options.figures:
            from mmdg_lite.plots.committed import every_figure

            written += every_figure(options.runs, options.out / "figures")
        for path in written:
            print(path)
        return 0

    command = _command(commands, "tables", run, "rebuild every table and figure from stored scores")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="folder of finished runs, at any depth")
    command.add_argument("--out", type=Path, default=Path("runs/tables"), help="folder for the tables")
    every = (*PROTOCOLS, "own")
    command.add_argument("--protocols", nargs="+", choices=every, default=list(every), help="which protocols")
    command.add_argument("--published", type=Path, help="your own published_results.csv, added to the shipped one")
    command.add_argument("--figures", action=argparse.BooleanOptionalAction, default=True, help="draw figures too")
    _plugin(command)


def _assignments(commands: "Commands[argparse.ArgumentParser]") -> None:
    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.teaching.assignments import assignments

        for path in assignments(options.out):
            print(path)
        return 0

    text = "write the student versions of the assignments, without solutions and hidden tests"
    command = _command(commands, "assignments", run, text)
    command.add_argument("--out", type=Path, default=Path("runs/assignments"), help="folder for the notebooks")


def _explain(options: argparse.Namespace, error: Exception) -> None:
    """One screen: what failed, why, and what to do next."""
    if options.traceback:
        traceback.print_exception(error)
    reason = str(error).strip() or "(no message)"
    lines = reason.splitlines()
    if len(lines) > 30:
        lines = [*lines[:10], "...", *lines[-20:]]
    print(f"\n{options.command} failed: {type(error).__name__}: " + "\n".join(lines), file=sys.stderr)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    print(f"\n  raised in {Path(frame.filename).name}, line {frame.lineno}", file=sys.stderr)
    if not options.traceback:
        print(f"  the whole way there: python -m mmdg_lite --traceback {options.command} ...", file=sys.stderr)
    print("  is the environment in order? python -m mmdg_lite doctor", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
