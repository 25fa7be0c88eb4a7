"""`python -m mmdg_lite`: each subcommand calls the public function of the same name.

Modules are imported when their subcommand runs, so that --help and doctor answer at once, even in a broken
environment.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

Run = Callable[[argparse.Namespace], int]
PROTOCOLS = ("P1", "P2", "P3", "P4", "P5")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; returns the exit status: 0 done, 1 failed (with the reason on one screen), 130
    interrupted."""
    options = parser().parse_args(arguments)
    try:
        return options.run(options)
    except KeyboardInterrupt:
        print(f"\n{options.command}: interrupted; the same command goes on from what is finished", file=sys.stderr)
        return 130
    except Exception as error:
        _explain(options, error)
        return 1


def parser() -> argparse.ArgumentParser:
    """The command line, complete."""
    top = argparse.ArgumentParser(prog="python -m mmdg_lite", description="Multi-modal face anti-spoofing with MMDG++.")
    top.add_argument("--traceback", action="store_true", help="on failure, show where in the code it happened")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_doctor, _tables):
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
        from mmdg_lite.doctor import doctor, record_weights

        if options.record_weights:
            print(record_weights())
        return 0 if doctor(out_dir=options.out, quiet=options.quiet) else 1

    command = _command(commands, "doctor", run, "check the environment, one line per check, with the cure for failures")
    command.add_argument("--out", type=Path, default=Path("runs"), help="folder that runs would be written to")
    command.add_argument("--record-weights", action="store_true", help="first renew the shipped weights' checksums")
    command.add_argument("--quiet", action="store_true", help="print failures only")


def _tables(commands: "Commands[argparse.ArgumentParser]") -> None:
    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.tables import tables

        written = tables(options.runs, out=options.out, protocols=options.protocols, published=options.published)
        for path in written:
            print(path)
        return 0

    command = _command(commands, "tables", run, "rebuild every table from stored scores, as CSV, Markdown and LaTeX")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="folder of finished runs, at any depth")
    command.add_argument("--out", type=Path, default=Path("runs/tables"), help="folder for the tables")
    command.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS), help="which protocols")
    command.add_argument("--published", type=Path, help="your own published_results.csv, added to the shipped one")


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
