"""`python -m mmdg_lite`: each command calls the public function of the same name.

Modules are imported when their command runs, so that --help and doctor answer at once, even in a broken environment.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmdg_lite.commands import environment, learn, runs, use
from mmdg_lite.commands.options import INTERRUPTED, Commands

Add = Callable[[Commands], None]

GROUPS: Mapping[str, tuple[Add, ...]] = {
    "use it": (use.add_predict, use.add_export),
    "reproduce": (
        runs.add_reproduce,
        runs.add_train,
        runs.add_evaluate,
        runs.add_tables,
        runs.add_report,
        runs.add_archive,
    ),
    "learn and study": (
        learn.add_minimal,
        learn.add_notebooks,
        learn.add_assignments,
        learn.add_uncertainty_study,
        learn.add_certainty_study,
        learn.add_audit_runs,
        learn.add_model_card,
    ),
    "installation": (environment.add_doctor, environment.add_pretrain_clip, environment.add_convert_clip),
}
"""The commands as `--help` groups them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 done, 1 failed (with the reason on one screen), 130 interrupted."""
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
    top = argparse.ArgumentParser(
        prog="python -m mmdg_lite",
        description="Multi-modal face anti-spoofing with MMDG++.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--traceback", action="store_true", help="on failure, show where in the code it happened")
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", help="one of those below; COMMAND --help shows examples"
    )
    lines = []
    for group, added in GROUPS.items():
        first = len(commands._choices_actions)
        for add in added:
            add(commands)
        of_group = commands._choices_actions[first:]
        lines += [f"\n{group}:", *(f"  {action.dest:18} {action.help}" for action in of_group)]
    commands._choices_actions.clear()  # shown in groups instead
    top.epilog = "\n".join(lines)
    return top


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
