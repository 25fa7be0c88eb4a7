"""Commands about what is installed and shipped: doctor, pretrain-clip, convert-clip."""

import argparse
import sys
from pathlib import Path

from mmdg_lite.commands.options import Commands, add_command


def add_doctor(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`doctor`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.models.clip_weights import record_weights
        from mmdg_lite.reproduce.doctor import doctor

        if options.record_weights:
            print(record_weights())
        return 0 if doctor(out_dir=options.out, quiet=options.quiet) else 1

    text = "check the environment, one line per check, with the cure for failures"
    command = add_command(commands, "doctor", run, text, examples=["", "--quiet"])
    command.add_argument("--out", type=Path, default=Path("runs"), help="folder that runs would be written to")
    command.add_argument("--record-weights", action="store_true", help="first renew the shipped weights' checksums")
    command.add_argument("--quiet", action="store_true", help="print failures only")


def add_pretrain_clip(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`pretrain-clip`."""

    def run(options: argparse.Namespace) -> int:
        from dataclasses import replace

        from mmdg_lite.pretraining.train import PretrainingConfig, pretrain_clip

        given = {name: getattr(options, name) for name in ("steps", "seed") if getattr(options, name) is not None}
        config = replace(PretrainingConfig(), **given)
        print(pretrain_clip(out=options.out, config=config, device=options.device, workers=options.workers))
        return 0

    text = "train the tiny CLIP on rendered picture-caption pairs, going on from where it stopped"
    command = add_command(commands, "pretrain-clip", run, text, examples=["", "--steps 200 --out runs/short_clip"])
    command.add_argument("--out", type=Path, default=Path("runs/pretrain_clip"), help="folder for state and checkpoint")
    command.add_argument("--steps", type=int, help="optimiser steps; without it as the shipped checkpoint was made")
    command.add_argument("--seed", type=int, help="seed; without it as the shipped checkpoint was made")
    command.add_argument("--device", default="cpu", help="cpu or cuda")
    command.add_argument("--workers", type=int, default=1, help="processes that render")


def add_convert_clip(commands: "Commands[argparse.ArgumentParser]") -> None:
    """`convert-clip`."""

    def run(options: argparse.Namespace) -> int:
        from mmdg_lite.models.clip_weights import convert_torchscript

        print(f"running the code that {options.file} holds, to read its weights", file=sys.stderr)
        print(convert_torchscript(options.file, options.out))
        return 0

    text = "turn OpenAI's own CLIP file (TorchScript) into safetensors; this runs code that the file holds"
    command = add_command(commands, "convert-clip", run, text, examples=["ViT-B-16.pt clip.safetensors"])
    command.add_argument("file", type=Path, help="a TorchScript archive that you trust")
    text = "the safetensors file to write, for model.clip_checkpoint"
    command.add_argument("out", type=Path, nargs="?", default=Path("clip.safetensors"), help=text)
