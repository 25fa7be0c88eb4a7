"""Commands that make runs, and that read them: train, evaluate, reproduce, tables, report, archive."""

import argparse
import sys
from pathlib import Path

from mmdg_lite.commands.options import (
    INTERRUPTED,
    PROFILES,
    PROTOCOLS,
    Commands,
    add_command,
    add_device_option,
    add_plugin_option,
    add_set_option,
    changed_settings,
    load_plugins,
)

SCHEDULER_HELP = (
    "address of a running Dask scheduler, such as tcp://127.0.0.1:8786; whoever reaches it can run code as its user"
)
METHODS_HELP = "names of methods, or of groups of them: baselines, parts, peers, certainty, rules, all"


def add_train(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`train`."""

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
            **changed_settings(options.set),
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
    examples = [
        '--method fusion --setting "CPW->S" --seed 1',
        "--profile full --method mmdg++ --set training.steps=400 --out runs/mine",
        "--profile paper --data-root DATA --method mmdg++",
    ]
    command = add_command(commands, "train", run, text, examples=examples)
    command.add_argument("--profile", choices=PROFILES, default="quick", help="what the settings start from")
    command.add_argument(
        "--protocol", choices=(*PROTOCOLS, "own"), default="P1", help="own: any domains (YOUR_DATA.md)"
    )
    command.add_argument("--setting", default="CPS->W", help="the protocol's setting, sources->targets")
    command.add_argument("--method", default="mmdg++", help="a name in mmdg_lite.runs.methods.METHODS, or a plugin's")
    command.add_argument("--seed", type=int, default=0, help="seed of initialisation, order and augmentation")
    add_device_option(command)
    command.add_argument("--data-root", help="folder of converted data sets; without it the synthetic domains")
    command.add_argument(
        "--out", type=Path, help="the run's folder; without it runs/PROFILE/PROTOCOL/SETTING/METHOD/seedN"
    )
    add_set_option(command)
    add_plugin_option(command)


def add_evaluate(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`evaluate`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.training.rescoring import add_p6, evaluate

        load_plugins(options)
        if options.deployments:
            print(add_p6(options.run_folder, device=options.device))
            return 0
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
    examples = ["RUN", "RUN --domains W S --samples 500", "RUN --data-root DATA --domains mine", "RUN --deployments"]
    command = add_command(commands, "evaluate", run, text, examples=examples)
    command.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a finished run")
    command.add_argument("--out", type=Path, help="where scores go; without it RUN/evaluation")
    command.add_argument("--domains", nargs="+", help="the domains; without it the run's targets")
    command.add_argument("--data-root", help="folder of converted data sets; without it the run's own data")
    command.add_argument("--samples", type=int, help="test samples per synthetic domain; without it as in the run")
    command.add_argument("--data-seed", type=int, help="seed of the synthetic samples; without it the run's")
    command.add_argument(
        "--deployments", action="store_true", help="instead, add the tests of protocol P6 to the run's own scores"
    )
    add_device_option(command)
    add_plugin_option(command)


def add_reproduce(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`reproduce`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.reproduce.everything import reproduce

        reproduce(
            options.profile,
            protocols=options.protocols,
            settings=options.settings,
            methods=options.methods,
            seeds=options.seeds,
            out=options.out,
            data_root=options.data_root,
            device=options.device,
            workers=options.workers,
            scheduler=options.scheduler,
            changes=changed_settings(options.set) or None,
            plugins=options.plugin,
        )
        return 0

    text = "notebooks, every run of a grid, tables and figures; goes on from the finished runs"
    examples = [
        "",
        "--profile full --protocols P1 P3 --methods fusion mmdg++ --seeds 0 1 2",
        "--profile paper --data-root DATA --device cuda",
    ]
    command = add_command(commands, "reproduce", run, text, examples=examples)
    help_text = "short: ten minutes; quick: hardly trained; full: hours; paper: real data"
    command.add_argument("--profile", choices=PROFILES, default="short", help=help_text)
    command.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=["P1"], help="which protocols")
    settings = 'such as "CPS->W"; without it every setting of the protocols, in the short profile CPS->W alone'
    command.add_argument("--settings", nargs="+", help=settings)
    command.add_argument("--methods", nargs="+", default=["mmdg++", "fusion", "linear_probe"], help=METHODS_HELP)
    command.add_argument("--seeds", nargs="+", type=int, default=[0], help="one run per seed")
    command.add_argument("--out", type=Path, help="folder for everything; without it runs/PROFILE")
    command.add_argument("--data-root", help="folder of converted data sets; without it the synthetic domains")
    add_device_option(command)
    command.add_argument("--workers", type=int, default=2, help="runs at a time on this machine")
    command.add_argument("--scheduler", help=SCHEDULER_HELP)
    add_set_option(command)
    add_plugin_option(command)


def add_tables(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`tables`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.results.tables import tables

        load_plugins(options)
        written = tables(options.runs, out=options.out, protocols=options.protocols, published=options.published)
        if options.figures:
            from mmdg_lite.plots.committed import every_figure

            written += every_figure(options.runs, options.out / "figures")
        for path in written:
            print(path)
        return 0

    examples = ["--runs figures/scores", "--runs runs/full --out runs/tables --protocols P1 --no-figures"]
    text = "rebuild every table and figure from stored scores"
    command = add_command(commands, "tables", run, text, examples=examples)
    command.add_argument("--runs", type=Path, default=Path("runs"), help="folder of finished runs, at any depth")
    command.add_argument("--out", type=Path, default=Path("runs/tables"), help="folder for the tables")
    every = (*PROTOCOLS, "own")
    command.add_argument("--protocols", nargs="+", choices=every, default=list(every), help="which protocols")
    command.add_argument("--published", type=Path, help="your own published_results.csv, added to the shipped one")
    command.add_argument("--figures", action=argparse.BooleanOptionalAction, default=True, help="draw figures too")
    add_plugin_option(command)


def add_report(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`report`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.results.report import renew_report

        print(renew_report(options.page, scores=options.scores, profile=options.profile))
        return 0

    from mmdg_lite.configuration import REPOSITORY

    text = "renew the measured part of figures/REPORT.md: which of the paper's claims hold, by the committed scores"
    command = add_command(commands, "report", run, text, examples=["", "--scores runs/full --page REPORT.md"])
    figures = REPOSITORY / "figures"
    command.add_argument("--scores", type=Path, default=figures / "scores", help="folder of finished runs")
    command.add_argument("--profile", default="full", help="profile of the runs that are reported on")
    command.add_argument("--page", type=Path, default=figures / "REPORT.md", help="Markdown page with the two marks")


def add_archive(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`archive`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.results.archive import archive, compress_logs, unpack

        if options.compress_logs:
            print(f"{len(compress_logs(options.source))} logs in {options.source} are compressed now")
            return 0
        if options.into is None:
            raise ValueError(f"archive {options.source}: name the folder to write to as well")
        load_plugins(options)
        if options.unpack:
            written = unpack(options.source, options.into)
        else:
            written = archive(
                options.source, options.into,
                bits=options.bits, asked_for_only=options.asked_for_only, weights=options.weights,
            )  # fmt: skip
        print(f"{len(written)} runs in {options.into}")
        return 0

    text = "copy what tables and figures need of finished runs into little space, or unpack such an archive"
    examples = [
        "runs/full/runs figures/scores/full --bits 16 --asked-for-only",
        "--unpack figures/scores/full OUT/runs",
        "--compress-logs figures/convergence",
    ]
    command = add_command(commands, "archive", run, text, examples=examples)
    command.add_argument("source", type=Path, help="folder of finished runs; with --unpack: an archive")
    command.add_argument("into", type=Path, nargs="?", help="where to write")
    command.add_argument("--unpack", action="store_true", help="write run folders from an archive")
    command.add_argument("--bits", type=int, help="significant bits to round scores to; without it exact")
    command.add_argument(
        "--asked-for-only", action="store_true", help="leave out tests that the runs' protocols do not ask for"
    )
    command.add_argument(
        "--weights", nargs="+", default=[], metavar="METHOD", help="keep the weights of these methods' seed 0 too"
    )
    command.add_argument("--compress-logs", action="store_true", help="only compress the logs below `source` in place")
    add_plugin_option(command)
