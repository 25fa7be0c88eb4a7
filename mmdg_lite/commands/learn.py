"""Commands for learning and studying: minimal, notebooks, assignments, and the studies behind the notebooks."""

import argparse
from pathlib import Path

from mmdg_lite.commands.options import Commands, add_command
from mmdg_lite.configuration import REPOSITORY


def add_minimal(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`minimal`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.studies.minimal import train_minimal

        train_minimal(setting=options.setting, steps=options.steps, seed=options.seed)
        return 0

    text = "train minimal.py, the method on one page, and watch its losses fall: about two minutes"
    command = add_command(commands, "minimal", run, text, examples=["", "--steps 80 --seed 1"])
    command.add_argument("--setting", default="CPS->W", help="a setting of protocol P1, sources->target")
    command.add_argument("--steps", type=int, default=40, help="training steps")
    command.add_argument("--seed", type=int, default=0, help="seed of initialisation, order and noise")


def add_notebooks(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`notebooks`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.reproduce.notebooks import numbered, refresh

        chosen = [p for p in numbered(options.folder) if not options.names or p.name.startswith(tuple(options.names))]
        if not chosen:
            raise ValueError(f"no such numbered notebook in {options.folder}")
        refresh(chosen, out=options.out)
        return 0

    text = "execute numbered notebooks at their default parameters and keep the cleaned outputs in place"
    command = add_command(commands, "notebooks", run, text, examples=["", "00 06"])
    command.add_argument("names", nargs="*", help="beginnings of names, such as 00 06; without any, all notebooks")
    command.add_argument("--folder", type=Path, default=REPOSITORY / "notebooks", help="where the notebooks are")
    command.add_argument("--out", type=Path, default=Path("runs/notebooks"), help="where executed copies go")


def add_assignments(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`assignments`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.teaching.assignments import assignments

        written = assignments(options.out, force=options.force)
        for path in written.files:
            print(path)
        for path in written.left_alone:
            print(f"left alone, since it may hold answers: {path} (--force writes over it)")
        return 0

    text = "write the student versions of the assignments, without solutions and hidden tests"
    command = add_command(commands, "assignments", run, text, examples=["", "--out course/week1"])
    command.add_argument("--out", type=Path, default=Path("runs/assignments"), help="folder for the notebooks")
    command.add_argument("--force", action="store_true", help="write over notebooks that are there and differ")


def add_uncertainty_study(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`uncertainty-study`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.studies.uncertainty_study import study

        study(runs=options.runs, out=options.out)
        return 0

    text = "measure what certainty finds: spoilt regions, errors, calibration; models measured before are left alone"
    command = add_command(commands, "uncertainty-study", run, text, examples=["", "--runs runs/audit"])
    command.add_argument("--runs", type=Path, default=Path("runs/audit"), help="folder of finished runs of audit-runs")
    command.add_argument(
        "--out", type=Path, default=REPOSITORY / "figures" / "uncertainty", help="a JSON file per model"
    )


def add_certainty_study(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`certainty-study`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.studies.supervised_certainty import study

        for path in study(options.runs, out=options.out):
            print(path)
        return 0

    text = "measure whether certainty finds spoilt regions and failing sensors; runs measured before are left alone"
    command = add_command(commands, "certainty-study", run, text, examples=["runs/full/runs"])
    command.add_argument("runs", type=Path, help="folder of finished runs with their weights")
    command.add_argument("--out", type=Path, default=REPOSITORY / "figures" / "certainty", help="folder of two tables")


def add_audit_runs(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`audit-runs`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.results.archive import archive
        from mmdg_lite.studies.audit.runs import COMMITTED, VARIANTS, make_runs

        if unknown := sorted(set(options.variants) - set(VARIANTS)):
            raise ValueError(f"unknown variant {unknown[0]!r}; choose of {', '.join(VARIANTS)}")
        make_runs(options.variants or tuple(VARIANTS), runs=options.runs)
        archive(options.runs, COMMITTED)
        return 0

    text = "make the short trainings of notebook 09, with the released code's faults switched on, and archive them"
    command = add_command(commands, "audit-runs", run, text, examples=["", "released"])
    command.add_argument("variants", nargs="*", help="which of them; without any, all")
    command.add_argument("--runs", type=Path, default=Path("runs/audit"), help="folder for the runs")


def add_model_card(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`model-card`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.studies.model_card import renew_card

        for path in renew_card(options.card, report=options.report, run=options.of_run):
            print(path)
        return 0

    text = "renew the measured part of MODEL_CARD.md from the committed scores of the shipped models"
    command = add_command(commands, "model-card", run, text, examples=[""])
    run_folder = REPOSITORY / "figures/scores/full/P1/CPS-to-W/mmdg++/seed0"
    command.add_argument("--of-run", type=Path, default=run_folder, help="the run that the shipped model is from")
    command.add_argument("--report", type=Path, default=REPOSITORY / "figures/model_card.json", help="its numbers")
    command.add_argument("--card", type=Path, default=REPOSITORY / "MODEL_CARD.md", help="page with the two marks")
