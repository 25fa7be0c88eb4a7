"""Commands that use a trained model: predict, export."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdg_lite.commands.options import Commands, add_command, add_device_option, add_plugin_option, load_plugins
from mmdg_lite.commands.outputs import check_outputs, model_files
from mmdg_lite.data.real.files import printable

if TYPE_CHECKING:
    from mmdg_lite.inference.judge import Judge
    from mmdg_lite.inference.pictures import Decoding
    from mmdg_lite.inference.predict import NotDecided, Prediction, Prepared
    from mmdg_lite.inference.samples import Sample

MODEL = "folder of a run, or its model.safetensors; without it the shipped model, which never saw a real face"
FIGURES = (".png", ".svg", ".pdf")
FORCE = "overwrite files that are there (former JSON and CSV results of predict are overwritten without it)"


def add_predict(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`predict`."""
    text = "decide whether the faces in your own pictures are live"
    examples = [
        "--rgb face.png --crop --figure decision.png",
        "runs/my_run --rgb a.png --depth b.png --depth-range 300 900 --infrared c.png",
        "runs/my_run --table samples.csv --csv decisions.csv",
        "runs/my_run --video --rgb clip.mp4",
    ]
    parser = add_command(commands, "predict", run_predict, text, examples=examples)
    parser.add_argument("model", nargs="?", type=Path, metavar="MODEL", help=MODEL)
    for name in ("rgb", "depth", "infrared"):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"{name} picture; with --video a clip")
    parser.add_argument(
        "--table", type=Path, metavar="FILE", help="CSV with columns rgb, depth, infrared: many samples"
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="folder of pictures: many samples")
    parser.add_argument("--video", action="store_true", help="the files are videos, or folders of numbered frames")
    parser.add_argument("--every", type=int, default=1, help="with --video: look at every so many frames")
    parser.add_argument("--window", type=int, default=5, help="with --video: frames of the moving mean")
    parser.add_argument("--crop", action="store_true", help="find the face and cut one box out of all modalities")
    parser.add_argument("--margin", type=float, help="share of the face's side added around it; without it 0.3")
    pair: dict[str, Any] = {"nargs": 2, "type": float}
    parser.add_argument("--rgb-range", **pair, metavar=("DARK", "BRIGHT"), help="values of black and white")
    parser.add_argument("--depth-range", **pair, metavar=("NEAR", "FAR"), help="nearest and farthest value of depth")
    parser.add_argument("--infrared-range", **pair, metavar=("DARK", "BRIGHT"), help="values of black and white")
    parser.add_argument("--depth-holes", nargs="+", type=float, default=[], metavar="VALUE", help="values of no depth")
    parser.add_argument("--threshold", type=float, help="decide here; without it at the threshold of the model's run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row per sample, or per frame")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the decision; of many samples a folder")
    parser.add_argument("--force", action="store_true", help=FORCE)
    add_device_option(parser)
    parser.add_argument("--batch-size", type=int, default=8, help="samples at a time")
    add_plugin_option(parser)


def add_export(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`export`."""
    text = "write a model as one file that runs without this package"
    examples = ["--out model.onnx", "runs/my_run --format torch --out model.pt2"]
    parser = add_command(commands, "export", run_export, text, examples=examples)
    parser.add_argument("model", nargs="?", type=Path, metavar="MODEL", help=MODEL)
    parser.add_argument("--format", choices=("onnx", "torch"), default="onnx", help="ONNX, or torch.export's .pt2")
    parser.add_argument("--out", type=Path, help="the file; without it model.onnx or model.pt2")
    parser.add_argument("--force", action="store_true", help=FORCE)
    add_plugin_option(parser)


def run_predict(options: argparse.Namespace) -> int:
    """Decide, print, write. Returns 0, also for spoofs; 1 if a sample of several, or a frame, could not be read."""
    from mmdg_lite.inference.judge import open_judge

    sources = [options.rgb or options.depth or options.infrared, options.table, options.folder]
    if sum(source is not None for source in sources) != 1:
        raise ValueError("name pictures (--rgb, --depth, --infrared), or a --table, or a --folder: one of the three")
    if options.video and sources[0] is None:
        raise ValueError("--video needs the clip's files: --rgb, --depth, --infrared")
    if options.video and options.figure is not None:
        raise ValueError("--figure draws single pictures; of a clip, give one frame without --video")
    if options.batch_size < 1:
        raise ValueError(f"--batch-size must be at least 1, got {options.batch_size}")
    _margin(options), _decoding(options)  # contradictions are told before anything is computed
    samples = [] if options.video else _samples(options)
    _check_outputs(options, samples)
    load_plugins(options)
    judge = open_judge(options.model, threshold=options.threshold, device=options.device)
    print(f"{judge.name}: live from {judge.threshold:.3f}, {judge.threshold_source}")
    if judge.caution:
        print(f"Note: {judge.caution}.")
    if options.video:
        return _run_clip(options, judge)
    failures: list[NotDecided] = []
    found = _decisions(options, judge, samples, failures)
    shown = [_show(prediction, judge) for prediction in found]
    _write(options, [prediction.as_dict() for prediction in shown], failures)
    if options.figure is not None:
        _draw(_figures(options.figure, len(samples)), shown)
    return _report(failures)


def run_export(options: argparse.Namespace) -> int:
    """Write the exported model and print its path."""
    from mmdg_lite.inference.export import SUFFIXES, export
    from mmdg_lite.inference.judge import open_judge

    out = options.out or Path("model").with_suffix(SUFFIXES[options.format])
    check_outputs({"--out": [out]}, [*model_files(options.model), *options.plugin], force=options.force)
    load_plugins(options)
    print(export(open_judge(options.model, threshold=None), out, format=options.format))
    return 0


def _check_outputs(options: argparse.Namespace, samples: "Sequence[Sample]") -> None:
    """Refuse outputs that would overwrite an input, one another, or files that are there (see `check_outputs`)."""
    inputs = [*model_files(options.model), *options.plugin]
    inputs += [path for path in (options.table, options.folder) if path is not None]
    inputs += [path for sample in samples for path in sample.paths.values()]
    for path in (options.rgb, options.depth, options.infrared) if options.video else ():
        if path is not None:
            inputs += [path, *(path.iterdir() if path.is_dir() else ())]
    if options.folder is not None:
        from mmdg_lite.inference.samples import pictures_of_folder

        inputs += pictures_of_folder(options.folder)  # those that were left out, too
    outputs = {f"--{name}": [path] for name in ("json", "csv") if (path := getattr(options, name)) is not None}
    if options.figure is not None:
        figures = _figures(options.figure, len(samples))
        sources = {path.parent.resolve() for sample in samples for path in sample.paths.values()}
        where = figures[0].parent
        if options.folder is not None and where.resolve() in {*sources, options.folder.resolve()}:
            raise ValueError(f"--figure: {where} is read as a folder of pictures: draw the figures elsewhere")
        outputs["--figure"] = figures
    check_outputs(outputs, inputs, force=options.force)


def _figures(figure: Path, count: int) -> list[Path]:
    """The files that figures are written to: the one named, or numbered files in the folder named."""
    if count == 1:
        if figure.suffix.casefold() not in FIGURES:
            raise ValueError(f"--figure {figure}: the ending says the format: {', '.join(FIGURES)}")
        return [figure]
    if figure.exists() and not figure.is_dir():
        raise ValueError(f"--figure {figure} is a file; of {count} samples the figures go to a folder: name one")
    return [figure / f"{number:04d}.png" for number in range(count)]


def _decoding(options: argparse.Namespace) -> "Decoding":
    from mmdg_lite.inference.pictures import Decoding

    ranges = {name: getattr(options, name) for name in ("rgb_range", "depth_range", "infrared_range")}
    return Decoding(
        **{name: None if limits is None else (limits[0], limits[1]) for name, limits in ranges.items()},
        depth_holes=tuple(options.depth_holes),
    )


def _margin(options: argparse.Namespace) -> float:
    from mmdg_lite.inference.crop import MARGIN, checked_margin

    return checked_margin(MARGIN if options.margin is None else options.margin)


def _samples(options: argparse.Namespace) -> "list[Sample]":
    from mmdg_lite.inference.samples import Sample, samples_of_folder, samples_of_table
    from mmdg_lite.modality import MODALITIES

    if options.table is not None:
        return samples_of_table(options.table)
    if options.folder is not None:
        left_out: list[str] = []
        samples = samples_of_folder(options.folder, left_out=left_out)
        for text in left_out:
            print(printable(f"Note: {options.folder}: left out: {text}."))
        return samples
    paths = {m: path for m in MODALITIES if (path := getattr(options, m.value)) is not None}
    return [Sample(str(next(iter(paths.values()))), paths)]


def _decisions(
    options: argparse.Namespace, judge: "Judge", samples: "Sequence[Sample]", failures: "list[NotDecided]"
) -> "Iterator[Prediction]":
    """Decisions about all samples that can be read; why the others cannot is appended to `failures`."""
    from mmdg_lite.inference.pictures import decode_pictures
    from mmdg_lite.inference.predict import NotDecided, judge_prepared, prepare

    decoding, margin = _decoding(options), _margin(options)

    def prepared() -> "Iterator[Prepared]":
        for sample in samples:
            try:
                pictures = decode_pictures(dict(sample.paths), decoding=decoding)
            except (OSError, ValueError) as error:
                if len(samples) == 1:
                    raise
                failures.append(NotDecided(sample.id, str(error)))
                continue
            yield prepare(pictures, judge, name=sample.id, crop=options.crop, margin=margin)

    return judge_prepared(prepared(), judge, batch_size=options.batch_size)


def _show(prediction: "Prediction", judge: "Judge") -> "Prediction":
    parts = [f"{prediction.id}: {prediction.decision}, score {prediction.score:.3f}"]
    for name, score in prediction.modality_scores.items():
        certainty = prediction.certainty[name]
        if score is not None and certainty is not None:
            parts.append(f"{name} {score:.2f} (certainty {certainty:.2f})")
    print(printable(", ".join([*parts, f"{prediction.milliseconds:.1f} ms"])))
    for note in prediction.notes:
        if note.text != judge.caution:
            print(printable(f"  note: {note.text}"))
    return prediction


def _run_clip(options: argparse.Namespace, judge: "Judge") -> int:
    from mmdg_lite.inference.video import predict_clip

    clip = predict_clip(
        options.rgb,
        options.depth,
        options.infrared,
        judge=judge,
        every=options.every,
        window=options.window,
        crop=options.crop,
        margin=_margin(options),
        decoding=_decoding(options),
    )
    for frame, mean in zip(clip.frames, clip.smoothed, strict=True):
        line = f"{frame.id}: {frame.decision}, score {frame.score:.3f}, mean of up to {clip.window} frames {mean:.3f}"
        print(printable(line))
    notes = [*clip.notes, *(note for frame in clip.frames for note in frame.notes)]
    for text in dict.fromkeys(note.text for note in notes if note.text != judge.caution):
        print(printable(f"  note: {text}"))
    print(f"clip: {clip.decision}, score {clip.score:.3f}, the mean over {len(clip.frames)} frames")
    _write(options, [clip.as_dict()], clip.not_decided)
    return _report(clip.not_decided)


def _report(failures: "Sequence[NotDecided]") -> int:
    """Print what was not decided, and give the exit status."""
    for failure in failures:
        print(printable(f"{failure.id}: not decided: {failure.reason}"), file=sys.stderr)
    return 1 if failures else 0


def _write(options: argparse.Namespace, found: Sequence[dict[str, Any]], failures: "Sequence[NotDecided]") -> None:
    from mmdg_lite.configuration import write_json, write_text

    if options.json is not None:
        left_out = [failure.as_dict() for failure in failures]
        write_json(options.json, {"predictions": list(found), "not_decided": left_out})
        print(options.json)
    if options.csv is not None:
        import pandas as pd

        from mmdg_lite.results.table_text import csv

        rows = [_row(row) for entry in found for row in entry.get("frames", [entry])]
        rows += [{"id": failure.id, "not_decided": failure.reason} for failure in failures]
        write_text(options.csv, csv(pd.json_normalize(rows, sep="_")))
        print(options.csv)


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    """A decision as a row of the CSV file: notes as one text, and every column of the box also where there is none."""
    box = entry["crop"] or dict.fromkeys(("top", "left", "height", "width", "margin"))
    return entry | {"notes": "; ".join(note["text"] for note in entry["notes"]), "crop": box, "not_decided": None}


def _draw(figures: Sequence[Path], found: "Sequence[Prediction]") -> None:
    """Draw each decision."""
    from mmdg_lite.plots.decision import decision
    from mmdg_lite.plots.style import save

    for path, prediction in zip(figures, found, strict=False):  # samples that could not be read have no figure
        print(save(decision(prediction), path))
