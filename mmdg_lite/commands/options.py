"""What the commands share: how one is added, and options that several of them have."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Commands = argparse._SubParsersAction
Run = Callable[[argparse.Namespace], int]
PROFILES = ("quick", "short", "full", "paper")
PROTOCOLS = ("P1", "P2", "P3", "P4", "P5", "P6")
INTERRUPTED = 130
"""Exit status of a command that the user interrupted."""


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults behind every option; examples keep their lines."""


def add_command(
    commands: "Commands[argparse.ArgumentParser]", name: str, run: Run, text: str, *, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: of the command line's parser.
        name: as it is typed.
        run: gets the parsed options; gives the exit status.
        text: what it does, in one sentence.
        examples: what follows `python -m mmdg_lite NAME` in examples, shown below its options.
    """
    lines = [f"  python -m mmdg_lite {name} {example}".rstrip() for example in examples]
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog="\n".join(["examples:", *lines]),
        formatter_class=_Help,
        allow_abbrev=False,
    )
    command.set_defaults(run=run)
    return command


def add_plugin_option(command: argparse.ArgumentParser) -> None:
    """`--plugin FILE ...`."""
    text = "your own Python files that register methods or rules; they are executed (YOUR_METHOD.md)"
    command.add_argument("--plugin", nargs="+", type=Path, default=[], metavar="FILE", help=text)


def load_plugins(options: argparse.Namespace) -> None:
    """Load the files that `--plugin` names. Raises `plugins.PluginError` for one that cannot be loaded."""
    from mmdg_lite.runs.plugins import load_plugin

    for path in options.plugin:
        load_plugin(path)


def add_set_option(command: argparse.ArgumentParser) -> None:
    """`--set PART.NAME=VALUE ...`."""
    text = "change settings, for example training.steps=500"
    command.add_argument("--set", nargs="+", default=[], metavar="PART.NAME=VALUE", help=text)


def add_device_option(command: argparse.ArgumentParser) -> None:
    """`--device NAME`."""
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")


def changed_settings(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`part.name=value` as keyword arguments of `runs.config.configure`; values are JSON, or else text.

    Raises ValueError for anything of another form.
    """
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
