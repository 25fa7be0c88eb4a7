"""A trained model as one file that runs without this package: ONNX, or a program of torch.export.

Inputs are pixels, so that no one has to know how they are normalised; features of sentences are constants in the file.
"""

import copy
import warnings
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from mmdg_lite.inference.judge import Judge
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.clip import normalise
from mmdg_lite.models.mmdgplusplus import MMDGPlusPlus
from mmdg_lite.models.multimodal import MultimodalModel
from mmdg_lite.prompts import AsymmetricDomainPrompts

Format = Literal["onnx", "torch"]
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
INPUTS = ("rgb", "depth", "infrared", "present")
OUTPUTS = ("p_live", "modality_scores")


class Exportable(nn.Module):
    """A model from pixels to scores, without operations that depend on what a batch holds.

    forward: rgb B x 3 x S x S, depth and infrared B x 1 x S x S, each of grey levels 0..255 (float32), and present
    B x 3 bools (RGB, depth, infrared; at least one true in every row, which is not checked) to p_live, B, and
    modality_scores, B x 3, NaN where the modality is missing.
    """

    def __init__(self, model: MultimodalModel) -> None:
        super().__init__()
        self.model = _constant_texts(copy.deepcopy(model).eval().requires_grad_(False))
        self.model.static = True

    def forward(self, rgb: Tensor, depth: Tensor, infrared: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        images = dict(zip((m.value for m in MODALITIES), map(normalise, (rgb, depth, infrared)), strict=True))
        output = self.model({**images, "present": present})
        return output.score(), output.modality_scores()


def export(judge: Judge, path: str | Path, *, format: Format = "onnx") -> Path:
    """Write a model to `path`, for batches of any size.

    Args:
        judge: the model, see `judge.open_judge`. Its threshold is written into the file's metadata where the format
            has some (ONNX: metadata_props "threshold", "threshold_source", "size").
        path: the file.
        format: "onnx" needs the packages of the extra `export`; "torch" writes a program for `torch.export.load`.

    Raises:
        ModuleNotFoundError: a package for ONNX is missing (naming the cure).
        RuntimeError: the model does something that cannot be exported, such as a plugin that looks at its batch.
    """
    if format not in SUFFIXES:
        raise ValueError(f"unknown format {format!r}: choose onnx or torch")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.partial{SUFFIXES[format]}")
    model = Exportable(judge.model.to("cpu")).float()
    try:
        program = _program(model, judge.size)
        if format == "torch":
            torch.export.save(program, temporary)
        else:
            _write_onnx(program, temporary, judge)
        temporary.replace(path)
    finally:
        judge.model.to(judge.device)
        temporary.unlink(missing_ok=True)
    return path


def example(size: int, batch: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs of an exported model: grey pixels, everything present."""
    images = [torch.full((batch, 3 if m is Modality.RGB else 1, size, size), 127.0) for m in MODALITIES]
    rgb, depth, infrared = images
    return rgb, depth, infrared, torch.ones(batch, len(MODALITIES), dtype=torch.bool)


def _program(model: Exportable, size: int) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch about its own exporter
        try:
            model(*example(size))  # what is computed once and kept must not be computed first by the exporter
            return torch.export.export(model, example(size), dynamic_shapes={name: {0: batch} for name in INPUTS})
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            raise RuntimeError(
                f"{type(model.model).__name__} cannot be exported: its forward pass seems to depend on what a batch "
                f"holds ({type(error).__name__}: {reason})"
            ) from error


def _write_onnx(program: torch.export.ExportedProgram, path: Path, judge: Judge) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} is missing: `pip install 'mmdg_lite[export]'`") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            program,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamo=True,
            verbose=False,
            external_data=False,
            optimize=False,  # its search takes the square of the number of nodes; onnxruntime folds constants itself
        )
    if made is None:
        raise RuntimeError("torch.onnx.export gave no program")
    proto = made.model_proto
    values = {"threshold": repr(judge.threshold), "threshold_source": judge.threshold_source, "size": str(judge.size)}
    onnx.helper.set_model_props(proto, values)
    onnx.save(proto, path)


class _Texts(nn.Module):
    """Class features of sentences that no longer change, in the place of `AsymmetricDomainPrompts`."""

    def __init__(self, prompts: AsymmetricDomainPrompts) -> None:
        super().__init__()
        with torch.no_grad():
            features = prompts()
        self.register_buffer("features", features.clone())
        self.features: Tensor

    def forward(self) -> Tensor:
        return self.features

    def by_modality(self) -> list[Tensor]:
        """As the prompts give them."""
        return list(self.features.unbind())


def _constant_texts(model: MultimodalModel) -> MultimodalModel:
    """Put constants in the place of every set of prompts."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, AsymmetricDomainPrompts):
                setattr(module, name, _Texts(child))
    if type(model) is MMDGPlusPlus:  # its text side is not needed any more, and most of its size
        for name in ("transformer", "token_embedding", "ln_final"):
            setattr(model.clip, name, nn.Identity())
    return model
