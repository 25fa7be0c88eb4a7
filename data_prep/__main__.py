"""`python -m data_prep`: one subcommand per data set, the synthetic domains, and verification."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.casia_surf import CasiaSurf
from data_prep.cefa import Cefa
from data_prep.conversion import convert
from data_prep.leave_one_out import FRAMES, read_leave_one_out
from data_prep.own import Own, check_name
from data_prep.padisi import Padisi
from data_prep.report import Report
from data_prep.sources import Source, SourceError
from data_prep.synthetic import SEED, SIZES, synthetic
from data_prep.table import read_table
from data_prep.verify import domain_folders, verify
from data_prep.wmca import Wmca
from data_prep.worker import OutputError, Settings
from mmdg_lite.data.real.decode import OPTIONS
from mmdg_lite.data.real.files import printable
from mmdg_lite.data.real.lists import LETTERS, SPLITS, ListError, list_path, read_list
from mmdg_lite.modality import MODALITIES, Modality

# subcommand -> letter, data set, how its source folder is opened
CONVERTERS: dict[str, tuple[str, str, Callable[[argparse.Namespace], Source]]] = {
    "wmca": ("W", "WMCA", lambda options: Wmca.open(options.source, map_by_rank=options.map_frames_by_rank)),
    "cefa": ("C", "CASIA-SURF CeFA", lambda options: Cefa.open(options.source, crop=options.crop)),
    "casia-surf": ("S", "CASIA-SURF", lambda options: CasiaSurf.open(options.source)),
    "padisi": ("P", "PADISI-Face", lambda options: Padisi.open(options.source, colour_order=options.colour_order)),
}
# subcommand -> options that conversion.json records, because one folder must not mix them
RECORDED = {"wmca": ("map_frames_by_rank",), "cefa": ("crop",), "casia-surf": (), "padisi": ("colour_order",)}
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
        print(f"data_prep {options.command}: {printable(str(error))}", file=sys.stderr)
        return 1


def _convert(options: argparse.Namespace) -> int:
    letter, _, open_source = CONVERTERS[options.command]
    source = open_source(options)
    more: dict[str, str | int | bool] = {name: getattr(options, name) for name in RECORDED[options.command]}
    if options.lists is not None:
        lists = {split: read_list(list_path(options.lists, letter, split), letter) for split in options.splits}
    else:
        if not isinstance(source, Wmca):
            raise ValueError("--leave-one-out is for WMCA alone")
        rows = read_leave_one_out(options.leave_one_out, source, frames=options.frames)
        lists = {split: part for split, part in rows.items() if split in options.splits}
        more |= {"leave_one_out": options.leave_one_out.name, "frames": options.frames}
    settings = Settings(
        out=options.out / letter, size=options.size, format=options.format, keep_missing=options.keep_missing
    )
    report = convert(source, lists, settings, workers=options.workers, drop_repeated=options.drop_repeated, more=more)
    return _told(report, settings.out, f"--data-root {options.out}")


def _told(report: Report, out: Path, training: str) -> int:
    """Print how a conversion ended; its exit status."""
    print(report.text())
    if report.empty:
        print(f"nothing was converted: {printable(str(out))} holds the report alone; mend what was skipped, run again")
    else:
        print(f"written to {printable(str(out))}; train with {training}")
    return 0 if report.complete else 1


def _own(options: argparse.Namespace) -> int:
    check_name(options.name)
    ranges = {f"{m.value}_range": getattr(options, f"{m.value}_range") for m in MODALITIES}
    source = Own(
        source=options.source,
        domain=options.name,
        depth_holes=tuple(options.depth_holes),
        **{name: tuple(limits) for name, limits in ranges.items() if limits is not None},
    )
    settings = Settings(
        out=options.out / options.name, size=options.size, format=options.format, keep_missing=options.keep_missing
    )
    more = {name: " ".join(f"{value:.12g}" for value in limits or ()) for name, limits in ranges.items()}
    more["depth_holes"] = " ".join(f"{value:.12g}" for value in sorted(options.depth_holes))
    rows = read_table(options.table, source=options.source)
    report = convert(source, rows, settings, workers=options.workers, more=more)
    return _told(report, settings.out, f"--data-root {options.out} --protocol own")


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
        which = command.add_mutually_exclusive_group(required=True)
        which.add_argument("--lists", type=Path, metavar="DIR", help=f"folder with {letter}-train.txt ...")
        if name == "wmca":
            text = "the owners' PROTOCOL-LOO_<species>.csv in place of lists, for protocol P4"
            which.add_argument("--leave-one-out", type=Path, metavar="CSV", help=text)
            text = "frames of each recording, with --leave-one-out"
            command.add_argument("--frames", type=_count, default=FRAMES, help=text)
        if name == "cefa":
            text = "one box for the three modalities, or each its own without its last row and column"
            command.add_argument("--crop", choices=("shared", "each"), default="shared", help=text)
        if name == "padisi":
            text = "what channels 0 to 2 are; the owners document blue, green, red"
            command.add_argument("--colour-order", choices=("bgr", "rgb"), default="bgr", help=text)
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
    for modality, values in OPTIONS.items():
        ends = "white and black" if modality is Modality.DEPTH else "black and white"
        text = f"which {modality.value} values become {ends}, in the files' unit"
        command.add_argument(
            f"--{modality.value}-range", type=_number, nargs=2, metavar=tuple(values.split()), help=text
        )
    text = "values of depth that mean that nothing was measured, beside 0"
    command.add_argument("--depth-holes", type=_number, nargs="+", default=[], metavar="VALUE", help=text)
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
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def _letters(text: str) -> str:
    if not text or set(text) - set(LETTERS):
        raise argparse.ArgumentTypeError(f"{text!r} is not made of the letters {''.join(LETTERS)}")
    return text


if __name__ == "__main__":
    sys.exit(main())
