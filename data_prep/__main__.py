"""`python -m data_prep`: one subcommand per data set, the synthetic domains, and verification."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.casia_surf import CasiaSurf
from data_prep.cefa import Cefa
from data_prep.conversion import convert
from data_prep.own import Own, check_name, read_table
from data_prep.padisi import Padisi
from data_prep.sources import Source, SourceError
from data_prep.synthetic import SEED, SIZES, synthetic
from data_prep.verify import domain_folders, verify
from data_prep.wmca import Wmca
from data_prep.worker import OutputError, Settings
from mmdg_lite.data.real.lists import LETTERS, SPLITS, ListError, list_path, read_list

# subcommand -> letter, data set, how its source folder is opened
CONVERTERS: dict[str, tuple[str, str, Callable[[argparse.Namespace], Source]]] = {
    "wmca": ("W", "WMCA", lambda options: Wmca.open(options.source, map_by_rank=options.map_frames_by_rank)),
    "cefa": ("C", "CASIA-SURF CeFA", lambda options: Cefa.open(options.source)),
    "casia-surf": ("S", "CASIA-SURF", lambda options: CasiaSurf.open(options.source)),
    "padisi": ("P", "PADISI-Face", lambda options: Padisi.open(options.source)),
}
EXPECTED = (SourceError, OutputError, ListError, OSError, RuntimeError, ValueError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 all done, 1 something is missing or wrong (said in the report), 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("interrupted: what was converted is safe, run the same command again to go on", file=sys.stderr)
        return 130
    except EXPECTED as error:
        print(f"data_prep {options.command}: {error}", file=sys.stderr)
        return 1


def _convert(options: argparse.Namespace) -> int:
    letter, _, open_source = CONVERTERS[options.command]
    lists = {split: read_list(list_path(options.lists, letter, split), letter) for split in options.splits}
    settings = Settings(
        out=options.out / letter, size=options.size, format=options.format, keep_missing=options.keep_missing
    )
    report = convert(
        open_source(options),
        lists,
        settings,
        workers=options.workers,
        drop_repeated=options.drop_repeated,
        more={"map_frames_by_rank": options.map_frames_by_rank} if options.command == "wmca" else None,
    )
    print(report.text())
    print(f"written to {settings.out}; train with --data-root {options.out}")
    return 0 if report.complete else 1


def _own(options: argparse.Namespace) -> int:
    check_name(options.name)
    ranges = {f"{name}_range": getattr(options, f"{name}_range") for name in ("depth", "infrared")}
    source = Own(
        source=options.source,
        domain=options.name,
        **{name: tuple(limits) for name, limits in ranges.items() if limits is not None},
    )
    settings = Settings(
        out=options.out / options.name, size=options.size, format=options.format, keep_missing=options.keep_missing
    )
    more = {name: " ".join(map(str, limits or ())) for name, limits in ranges.items()}
    report = convert(source, read_table(options.table), settings, workers=options.workers, more=more)
    print(report.text())
    print(f"written to {settings.out}; train with --data-root {options.out} --protocol own")
    return 0 if report.complete else 1


def _synthetic(options: argparse.Namespace) -> int:
    samples = {split: getattr(options, split) for split in SPLITS}
    for letter in options.domains:
        path = synthetic(
            options.out / letter,
            domain=letter,
            samples=samples,
            seed=options.seed,
            size=options.size,
            format=options.format,
        )
        print(f"{path}: {', '.join(f'{count} {split}' for split, count in samples.items())}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    results = [verify(folder, lists=options.lists) for folder in domain_folders(options.folder)]
    print("\n".join(result.text() for result in results))
    return 1 if any(result.problems for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m data_prep", description="Bring face data into the common form.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (letter, dataset, _) in CONVERTERS.items():
        text = f"convert your copy of {dataset} (domain {letter})"
        command = _command(commands, name, text, _convert)
        command.add_argument("--source", type=Path, required=True, metavar="DIR", help="your copy of the data set")
        command.add_argument(
            "--lists", type=Path, required=True, metavar="DIR", help=f"folder with {letter}-train.txt ..."
        )
        _output(command, size=224)
        _workers(command)
        command.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS), help="which lists to convert")
        command.add_argument("--keep-missing", action="store_true", help="keep samples without an unreadable modality")
        command.add_argument("--drop-repeated", action="store_true", help="convert repeated rows of a list once")
        if name == "wmca":
            command.add_argument(
                "--map-frames-by-rank", action="store_true", help="pair frames by rank where the files' numbers differ"
            )
    command = _command(commands, "own", "convert images of your own that a table lists (YOUR_DATA.md)", _own)
    command.add_argument("--source", type=Path, required=True, metavar="DIR", help="the folder with your images")
    command.add_argument("--table", type=Path, required=True, metavar="CSV", help="one line per sample")
    command.add_argument("--name", required=True, help="of the domain: letters and digits")
    for name, values in (("depth", ("NEAR", "FAR")), ("infrared", ("DARK", "BRIGHT"))):
        text = f"what 16-bit {name} values become white and black, in the files' unit"
        command.add_argument(f"--{name}-range", type=_count, nargs=2, metavar=values, help=text)
    _output(command, size=224)
    _workers(command)
    command.add_argument("--keep-missing", action="store_true", help="keep samples without an unreadable modality")
    command = _command(commands, "synthetic", "render the synthetic domains into the common form", _synthetic)
    _output(command, size=64)
    command.add_argument("--domains", type=_letters, default="".join(LETTERS), help="letters of the domains")
    command.add_argument("--seed", type=_count, default=SEED, help="seed of the samples")
    for split, count in SIZES.items():
        command.add_argument(f"--{split}", type=_count, default=count, help=f"samples of the {split} split per domain")
    command = _command(commands, "verify", "check converted data and print the report", _verify)
    command.add_argument(
        "folder", type=Path, metavar="DIR", help="a converted domain, or the folder that holds several"
    )
    command.add_argument("--lists", type=Path, metavar="DIR", help="compare with these lists row by row")
    return top


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    command.set_defaults(run=run)
    return command


def _output(command: argparse.ArgumentParser, *, size: int) -> None:
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder per domain is made in it")
    native = "; 0: native" if size == 224 else ""
    command.add_argument("--size", type=_count, default=size, help=f"height and width of images in pixels{native}")
    command.add_argument("--format", choices=("png", "jpg"), default="png", help="png is lossless, jpg smaller")


def _workers(command: argparse.ArgumentParser) -> None:
    command.add_argument("--workers", type=_count, default=min(os.cpu_count() or 1, 8), help="processes; 0: this one")


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _letters(text: str) -> str:
    if not text or set(text) - set(LETTERS):
        raise argparse.ArgumentTypeError(f"{text!r} is not made of the letters {''.join(LETTERS)}")
    return text


if __name__ == "__main__":
    sys.exit(main())
