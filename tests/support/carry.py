"""Choose the part of the full recordings that is carried in tests/recordings: `python -m tests.support.carry`.

Kept small by leading parts: the first sample, the first channels of outputs whose channels do not mix, a few of many
cases. Prompt sentences (`tokens.*`) are never carried: they are the authors' text.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from tests.support.recorded import CARRIED, FULL, Recording, load

Chosen = tuple[dict[str, Tensor], dict[str, Any]]
SOURCE = "source"


def convolution(recording: Recording) -> Chosen:
    kept = {"weight", "bias", "weight_out16", "x", "x_cls", "y_theta0.7", "y_cls_theta0.7"}
    kept |= {"y_theta0.5", "y_cls_theta0.5", "y_bias_theta0.5"}
    tensors = {name: value for name, value in recording.tensors.items() if name in kept}
    return {**tensors, "y_out16_theta0.5": recording["y_out16_theta0.5"][:1]}, {}


def everything(recording: Recording) -> Chosen:
    return recording.tensors, {}


def sampler(recording: Recording) -> Chosen:
    tokens = 40
    tensors = {name: value[..., :tokens, :] for name, value in recording.tensors.items()}
    return tensors, {"K": recording.facts["K"]}


def noise(recording: Recording) -> Chosen:
    return {}, {"shape": list(recording["eps_1"].shape), "random_states": [131, 132]}


def attention(recording: Recording) -> Chosen:
    names = ("eval_decision", "fix_decision", "train_decision", "train_token_prob_1")
    tensors = {name: value for name, value in recording.tensors.items() if name not in names}
    return {name: value if name.startswith("w.") else value[:1] for name, value in tensors.items()}, {}


def adapter(recording: Recording) -> Chosen:
    tensors = {}
    for name, value in recording.tensors.items():
        if name.startswith("w."):
            tensors[name] = value
        elif name in ("x", "x_c"):
            tensors[name] = value[:, :1]  # N x B x C
        elif name.startswith(("out_", "train_out_")):
            tensors[name] = value[:, :1, :8]
        elif name.startswith(("uc_", "train_uc_")):
            tensors[name] = value[:1]
    return tensors, {}


def mmdg_adapter(recording: Recording) -> Chosen:
    tensors = recording.group("w.")
    tensors = {f"w.{name}": value for name, value in tensors.items()}
    tensors |= {name: recording[name][:1] for name in ("x", "x_c", "x_u")}
    return tensors | {name: recording[name][:1, :, :8] for name in ("out", "out_uc_ones")}, {}


def dropout(recording: Recording) -> Chosen:
    return {name: value[..., :4, :] for name, value in recording.tensors.items()}, {"p": recording.facts["p"]}


def surgery(recording: Recording) -> Chosen:
    cases = [case["case"] for case in recording.facts["cases"]]
    kept = [case for case in cases if case.startswith("1d_") or "orthogonal" in case]
    tensors = {name: value for name, value in recording.tensors.items() if name.split(".")[0] in kept}
    return tensors, {"cases": [{"case": case} for case in kept]}


def step(recording: Recording) -> Chosen:
    results = recording.facts["results"]
    facts = {
        case: {"official": {"log": {"mont": result["official"]["log"]["mont"]}}}
        for case, result in results.items()
        if case.startswith("missing_")
    }
    steps = [{"mont": entry["mont"]} for entry in results["steps"]]
    return recording.tensors, {"results": {**facts, "steps": steps}}


def averages(recording: Recording) -> Chosen:
    results = recording.facts["results"]
    facts = {f: {n: r[n] for n in ("fast_official", "fast_ema")} for f, r in results.items() if f.startswith("f0.")}
    return recording.tensors, {"results": {**facts, "missing_sequence": results["missing_sequence"]}}


def weights(recording: Recording) -> Chosen:
    facts = recording.facts
    shapes = {name: shape for name, shape in facts["shapes"].items() if not name.startswith("token_")}
    return {}, {"model": facts["model"], "shapes": shapes}


def model(recording: Recording) -> Chosen:
    facts = recording.facts
    tensors = {}
    for name, value in recording.tensors.items():
        if name.startswith(("tokens.", "text_fixed_placement.", "eps_probe.")):
            continue
        of_one_case_only = ".uc_tokens." in name and not name.startswith("eval_none.")
        of_other_adapters = name.startswith("train_none.") and ".conv_pass_" in name and "conv_pass_2.1" not in name
        large = name.startswith("train_none.grad.") and (".pos_" in name or name.endswith(("proj_1", "proj_3")))
        if not (of_one_case_only or of_other_adapters or large):
            tensors[name] = value
    images = {name: facts["images"][name] for name in ("mean", "std")}
    images["check"] = {name: {"sha256_f32le": c["sha256_f32le"]} for name, c in facts["images"]["check"].items()}
    results = {case: r for case, r in facts["results"].items() if case.startswith("regrad_missing_")}
    results["train_none."] = {name: facts["results"]["train_none."][name] for name in ("loss", "official")}
    return tensors, {"images": images, "results": results}


CHOICE: Mapping[str, Callable[[Recording], Chosen]] = {
    "A_a_conv2d_cd": convolution,
    "A_b_quickgelu": everything,
    "A_c_reparameterize": sampler,
    "A_eps": noise,
    "A_d_token_selection": attention,
    "A_e_cross_convpass": adapter,
    "A_f_u_adapter": mmdg_adapter,
    "A_f_cal_uncertainty": dropout,
    "A_g_regrad_vectors": surgery,
    "A_h_regrad_step": step,
    "A_i_momentum": averages,
    "B_mmdgpp_tiny_weights": weights,
    "B_mmdgpp_tiny_io": model,
}


def choose(name: str) -> Chosen:
    """The carried part of one full recording: tensors and facts."""
    recording = load(FULL, name)
    tensors, facts = CHOICE[name](recording)
    return tensors, {SOURCE: recording.facts[SOURCE], **facts}


def write(folder: Path) -> None:
    """Write the carried part of every recording."""
    for name in CHOICE:
        tensors, facts = choose(name)
        if tensors:
            path = folder / f"{name}.safetensors"
            save_file({key: value.contiguous() for key, value in tensors.items()}, path)
            path.chmod(0o644)
        (folder / f"{name}.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(CARRIED)
