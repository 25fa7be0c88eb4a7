"""Loading CLIP: the shipped one, random weights, local files of every kind, and clear words when something is wrong."""

import json
import warnings
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU
from safetensors.torch import load_file, save_file
from torch import nn

from mmdg_lite.__main__ import main
from mmdg_lite.models import clip as clip_module
from mmdg_lite.models.builder import ModelConfig, build
from mmdg_lite.models.clip import (
    CLIP_MEAN,
    CLIP_STD,
    CheckpointError,
    clip_config,
    describe,
    encode_text,
    load_clip,
    normalise,
    tokenize,
)
from mmdg_lite.models.clip_weights import (
    ROW_IDS,
    TOKEN_TABLE,
    convert_torchscript,
    read_clip,
    read_weights,
    untrained_rows,
    write_compact,
)
from mmdg_lite.pretraining.captions import caption_words
from mmdg_lite.pretraining.record import card

TEXTS = [
    "a photo of a real face",
    "a fake cup: a printed picture of a cup",
    "an infrared photo of the face of a person",
]


@pytest.fixture(scope="module")
def tiny():
    return load_clip("tiny")


@pytest.fixture(scope="module")
def random_tiny():
    return load_clip("tiny", checkpoint="random")


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_shipped_clip_is_frozen_evaluating_small_and_of_the_stated_shape(tiny):
    assert isinstance(tiny, open_clip.CLIP)
    assert not any(module.training for module in tiny.modules())
    assert not any(parameter.requires_grad for parameter in tiny.parameters())
    shape = describe(tiny)
    assert (shape.image_size, shape.patch_size, shape.grid) == (64, 8, 8)
    assert (shape.width, shape.layers, shape.heads, shape.embed_dim) == (128, 4, 4, 128)
    assert (shape.text_width, shape.text_layers, shape.context_length) == (128, 3, 77)
    assert clip_module.TINY_CHECKPOINT.stat().st_size < 10_000_000


def test_every_activation_is_quick_gelu(tiny, random_tiny):
    for clip in (tiny, random_tiny):
        blocks = [*clip.visual.transformer.resblocks, *clip.transformer.resblocks]
        assert blocks
        assert all(isinstance(block.mlp.gelu, QuickGELU) for block in blocks)
    assert clip_config("ViT-B-16")["quick_gelu"] is True


def test_the_shipped_weights_are_trained_and_the_other_tokens_come_from_the_seed(tiny, random_tiny):
    assert tiny.logit_scale.exp() != random_tiny.logit_scale.exp()
    rows = torch.tensor(sorted(set(tokenize(caption_words()).flatten().tolist())))
    others = torch.ones(tiny.vocab_size, dtype=torch.bool)
    others[rows] = False
    untrained = untrained_rows(tiny.vocab_size, 128, seed=0)
    assert torch.equal(tiny.token_embedding.weight[others], untrained[others])
    used = rows[rows != 0]  # padding is read by nothing
    assert (tiny.token_embedding.weight[used] != untrained[used]).any(dim=1).all()
    assert same_weights(tiny, load_clip("tiny"))


def test_random_weights_depend_on_their_seed_alone(random_tiny):
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = load_clip("tiny", checkpoint="random", seed=0)
    assert torch.equal(before, torch.random.get_rng_state()), "the global generator was touched"
    assert same_weights(random_tiny, again)
    assert not same_weights(random_tiny, load_clip("tiny", checkpoint="random", seed=1))


def test_a_record_and_a_page_tell_how_the_shipped_weights_were_made():
    record = json.loads((clip_module.ASSETS / "tiny_clip_record.json").read_text())
    assert record["command"].startswith("python -m mmdg_lite pretrain-clip")
    assert record["config"]["seed"] == 0
    assert record["history"][-1]["loss"] < record["history"][0]["loss"]
    report = record["report"]
    assert {(e["domain"], e["modality"]) for e in report["zero_shot"]} == {
        (letter, modality) for letter in "WCPS" for modality in ("rgb", "depth", "infrared")
    }
    assert all(0 <= e["accuracy"] <= 1 and 0 < e["chance"] < 1 for e in report["retrieval"])
    page = (clip_module.ASSETS / "TINY_CLIP.md").read_text()
    assert page == card(record)
    for entry in report["zero_shot"]:
        assert f"{entry['words']:.2f} | {entry['materials']:.2f}" in page


def test_compact_files_restore_every_parameter_bit_for_bit(tmp_path, random_tiny):
    state = {name: value.clone() for name, value in random_tiny.state_dict().items()}
    state[TOKEN_TABLE][[5, 320]] += 1
    path = tmp_path / "compact.safetensors"
    write_compact(path, state, [320, 5], seed=0)
    assert path.stat().st_size < 6_500_000
    loaded = load_clip("tiny", checkpoint=path).state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state)
    with pytest.raises(ValueError, match="1 trained rows of the token table would not be stored, such as 320"):
        write_compact(path, state, [5], seed=0)


def test_local_files_of_several_kinds_load(tmp_path, random_tiny):
    state = dict(random_tiny.state_dict())
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "full.safetensors")
    torch.save(state, tmp_path / "plain.pt")
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "nested.bin")
    for name in ("full.safetensors", "plain.pt", "nested.bin"):
        assert same_weights(load_clip("tiny", checkpoint=tmp_path / name, seed=7), random_tiny), name


@pytest.mark.parametrize("prefix", ["student.", "module.student.clip.", "ema_model._orig_mod.", "encoder."])
@pytest.mark.parametrize("keys", [(), ("net",), ("checkpoint", "state_dict")])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_what_others_wrapped_around_a_clip_is_taken_off(tmp_path, prefix, keys, ending):
    state = {"visual.conv1.weight": torch.ones(1), "logit_scale": torch.ones(())}
    content = {f"{prefix}{name}": value for name, value in state.items()}
    path = tmp_path / f"a.{ending}"
    if ending == "safetensors":
        save_file(content, path)
    else:
        for key in reversed(keys):
            content = {key: content, "epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(())}}}}
        torch.save(content, path)
    assert read_weights(path) == state


def test_two_sets_of_weights_in_one_file_are_refused_unless_one_is_known(tmp_path):
    one = {"visual.conv1.weight": torch.ones(1)}
    torch.save({"student": one, "teacher": one}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="several sets of tensors, student, teacher"):
        read_weights(tmp_path / "a.pt")
    torch.save({"ema": {"visual.conv1.weight": torch.zeros(1)}, "model": one}, tmp_path / "a.pt")
    assert read_weights(tmp_path / "a.pt") == one


class _Archive(nn.Module):
    """A model whose TorchScript archive has OpenAI's extra entries."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.ln_final = nn.Linear(3, 2)
        self.ln_final.weight.data = weight
        self.register_buffer("input_resolution", torch.tensor(224))
        self.register_buffer("context_length", torch.tensor(77))
        self.register_buffer("vocab_size", torch.tensor(49408))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ln_final(x)


@pytest.fixture
def archive(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.script(_Archive(torch.arange(6.0).view(2, 3))).save(str(tmp_path / "archive.pt"))
    return tmp_path / "archive.pt"


def test_torchscript_archives_are_not_executed_unless_one_says_so(archive, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("code of the file would run"))
    with pytest.raises(CheckpointError, match=r"archive\.pt is a TorchScript archive.*convert-clip .*archive\.pt"):
        read_weights(archive)
    with pytest.raises(CheckpointError, match="runs code"):
        load_clip("tiny", checkpoint=archive)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_command_converts_a_torchscript_archive_without_its_extras(archive, tmp_path, capsys):
    assert main(["convert-clip", str(archive), str(tmp_path / "clip.safetensors")]) == 0
    assert "running the code" in capsys.readouterr().err
    weights = read_clip(tmp_path / "clip.safetensors")
    assert set(weights.state) == {"ln_final.weight", "ln_final.bias"} and weights.activation == "quick_gelu"
    assert torch.equal(weights.state["ln_final.weight"], torch.arange(6.0).view(2, 3))


def test_only_torchscript_archives_are_converted(tmp_path, random_tiny):
    torch.save(dict(random_tiny.state_dict()), tmp_path / "plain.pt")
    with pytest.raises(CheckpointError, match=r"plain\.pt is no TorchScript archive: give it as `checkpoint`"):
        convert_torchscript(tmp_path / "plain.pt", tmp_path / "out.safetensors")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        convert_torchscript(tmp_path / "nowhere.pt", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_compact_files_of_equal_weights_are_equal_bytes(tmp_path, random_tiny):
    for number in range(6):
        write_compact(tmp_path / str(number), random_tiny.state_dict(), [320, 5], seed=0)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no CLIP weights at .*nowhere\.safetensors"):
        load_clip("tiny", checkpoint=tmp_path / "nowhere.safetensors")
    monkeypatch.setattr(clip_module, "TINY_CHECKPOINT", tmp_path / "gone.safetensors")
    with pytest.raises(
        FileNotFoundError, match=r"gone\.safetensors: rebuild it with `python -m mmdg_lite pretrain-clip`"
    ):
        load_clip("tiny")


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt", "empty.safetensors", "empty.pt", "text.safetensors"])
def test_a_damaged_file_is_named_with_the_reason(tmp_path, random_tiny, name):
    path = tmp_path / name
    if name.startswith("cut"):
        whole = tmp_path / f"whole{path.suffix}"
        if path.suffix == ".pt":
            torch.save(dict(random_tiny.state_dict()), whole)
        else:
            write_compact(whole, random_tiny.state_dict(), [0], seed=0)
        path.write_bytes(whole.read_bytes()[:-1000])
    else:
        path.write_bytes(b"" if name.startswith("empty") else b"these are no weights at all, only words")
    with pytest.raises(CheckpointError, match=rf"{name} .*"):
        load_clip("tiny", checkpoint=path)


def test_nothing_but_tensors_is_unpickled(tmp_path):
    path = tmp_path / "evil.pt"
    marker = tmp_path / "executed"
    torch.save({"weight": _Touch(marker)}, path)
    with pytest.raises(CheckpointError, match=r"evil\.pt is not a file of weights"):
        load_clip("tiny", checkpoint=path)
    assert not marker.exists()


class _Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_file_of_another_model_is_refused(tmp_path, random_tiny):
    path = tmp_path / "other.safetensors"
    save_file({"fc.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(
        CheckpointError, match=r"other\.safetensors does not hold the weights of CLIP 'tiny'.*fc\.weight"
    ):
        load_clip("tiny", checkpoint=path)
    state = {name: value.clone() for name, value in random_tiny.state_dict().items()}
    state["visual.proj"] = torch.zeros(128, 64)
    save_file(state, path)
    with pytest.raises(CheckpointError, match=r"visual\.proj has shape \(128, 64\) instead of \(128, 128\)"):
        load_clip("tiny", checkpoint=path)
    state["visual.proj"] = torch.full((128, 128), float("nan"))
    save_file(state, path)
    with pytest.raises(CheckpointError, match=r"not finite in visual\.proj"):
        load_clip("tiny", checkpoint=path)


@pytest.mark.parametrize(
    "ids, vocabulary",
    [(torch.tensor([0, 10**6]), "49408"), (None, "49408"), (torch.tensor([0, 1]), "10" * 12), (torch.ones(2), "49408")],
    ids=[
        "a row beyond the table",
        "no numbers of rows",
        "a vocabulary that no memory holds",
        "rows that are no integers",
    ],
)
def test_a_damaged_token_table_is_refused(tmp_path, random_tiny, ids, vocabulary):
    path = tmp_path / "table.safetensors"
    write_compact(path, random_tiny.state_dict(), [0, 1], seed=0)
    tensors = load_file(path)
    del tensors[ROW_IDS]
    save_file(
        tensors | ({} if ids is None else {ROW_IDS: ids}), path, metadata={"vocabulary": vocabulary, "token_seed": "0"}
    )
    with pytest.raises(CheckpointError, match=r"table\.safetensors has a damaged token table"):
        load_clip("tiny", checkpoint=path)


def test_without_network_the_message_says_what_to_do(monkeypatch):
    def no_network(*arguments, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", no_network)
    monkeypatch.setattr(open_clip.factory, "CLIP", lambda **options: pytest.fail("built before the weights were there"))
    with pytest.raises(ConnectionError, match=r"'ViT-B-16' could not be fetched .*not known.*`checkpoint`"):
        load_clip("ViT-B-16")


def test_unknown_and_unsuitable_models_are_refused():
    with pytest.raises(ValueError, match="unknown CLIP 'huge': choose 'tiny' or one of open_clip's, such as ViT-B-32"):
        load_clip("huge")
    with pytest.raises(ValueError, match="'RN50' is not a CLIP of two plain transformers"):
        load_clip("RN50")
    with pytest.raises(ValueError, match="OpenAI published no weights for 'ViT-S-16'"):
        load_clip("ViT-S-16")


@pytest.mark.slow
def test_vit_b_16_has_clips_shape():
    shape = describe(load_clip("ViT-B-16", checkpoint="random"))
    assert (shape.image_size, shape.patch_size, shape.grid) == (224, 16, 14)
    assert (shape.width, shape.layers, shape.heads, shape.embed_dim) == (768, 12, 12, 512)
    assert (shape.text_width, shape.text_layers) == (512, 12)


def test_the_tokenizer_is_clips_own_and_needs_no_network(monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *arguments: pytest.fail("the network was used"))
    clip_module._tokenizer.cache_clear()
    ids = tokenize("a photo of a face")
    assert ids.shape == (1, 77)
    assert ids[0, :7].tolist() == [49406, 320, 1125, 539, 320, 1710, 49407]  # CLIP's published vocabulary
    assert not ids[0, 7:].any()
    assert torch.equal(tokenize(TEXTS), open_clip.tokenize(TEXTS))
    with pytest.raises(ValueError, match="more than 77 tokens: 'face face"):
        tokenize(["short", "face " * 80])
    assert tokenize("face " * 75).shape == (1, 77)


def test_texts_cut_at_the_longest_have_the_features_of_full_length(tiny):
    ids = tokenize(TEXTS)
    for normalize in (False, True):
        difference = encode_text(tiny, ids, normalize=normalize) - tiny.encode_text(ids, normalize=normalize)
        assert difference.abs().max() < 1e-6 * (1 if normalize else float(tiny.encode_text(ids).norm(dim=-1).max()))


def test_images_are_normalised_and_single_channels_repeated(rng):
    grey = rng.integers(0, 256, (2, 1, 4, 4), dtype="uint8")
    x = normalise(grey)
    assert x.shape == (2, 3, 4, 4)
    for channel in range(3):
        back = (x[:, channel] * CLIP_STD[channel] + CLIP_MEAN[channel]) * 255
        torch.testing.assert_close(back, torch.from_numpy(grey[:, 0]).float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module.clip.", "model._orig_mod."])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_prefixes_of_wrappers_are_removed_in_every_format(tmp_path, random_tiny, prefix, suffix):
    state = {f"{prefix}{name}": value.contiguous() for name, value in random_tiny.state_dict().items()}
    path = tmp_path / f"wrapped.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save({"model": state, "epoch": 3}, path)
    assert same_weights(load_clip("tiny", checkpoint=path, seed=7), random_tiny)


def test_the_content_decides_not_the_name(tmp_path, random_tiny):
    state = {name: value.contiguous() for name, value in random_tiny.state_dict().items()}
    save_file(state, tmp_path / "safetensors.bin")
    torch.save(state, tmp_path / "torch.safetensors")
    for name in ("safetensors.bin", "torch.safetensors"):
        assert same_weights(load_clip("tiny", checkpoint=tmp_path / name, seed=7), random_tiny), name


@pytest.mark.parametrize(
    "content, words",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5972364\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s5972364--00.safetensors\n", "git annex get"),
        (b"\n<!DOCTYPE html><html>sign in</html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
        (b"GGUF" + bytes(64), "GGUF"),
        (b"", "is empty"),
    ],
)
def test_pointers_and_foreign_files_are_told_apart(tmp_path, content, words):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"weights\.safetensors .*{words}"):
        load_clip("tiny", checkpoint=path)


SMALL = "mmdg_lite_test"


def activation_of(clip: nn.Module) -> str:
    return "quick_gelu" if isinstance(clip.visual.transformer.resblocks[0].mlp.gelu, QuickGELU) else "gelu"


@pytest.fixture
def small_weights():
    """Parameters of a small CLIP whose name says nothing of its activation, as 32-bit numbers."""
    open_clip.add_model_config(Path(__file__).parents[1] / "support" / f"{SMALL}.json")
    return {name: value.contiguous() for name, value in load_clip(SMALL, checkpoint="random").state_dict().items()}


@pytest.mark.parametrize("half", [False, True])
def test_the_activation_follows_the_numbers_with_a_warning(tmp_path, small_weights, half):
    """OpenAI's weights are 16-bit numbers, whatever type they are saved as."""
    state = {name: value.half().float() if half else value for name, value in small_weights.items()}
    torch.save(state, tmp_path / "clip.pt")
    with pytest.warns(UserWarning, match=r"clip\.pt does not say whether .*clip_activation"):
        clip = load_clip(SMALL, checkpoint=tmp_path / "clip.pt")
    assert activation_of(clip) == ("quick_gelu" if half else "gelu")


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
def test_an_activation_that_is_said_is_taken_silently(tmp_path, small_weights, activation):
    torch.save(small_weights, tmp_path / "clip.pt")
    assert activation_of(load_clip(SMALL, checkpoint=tmp_path / "clip.pt", activation=activation)) == activation
    assert activation_of(load_clip(SMALL, checkpoint="random", activation=activation)) == activation
    save_file(small_weights, tmp_path / "clip.safetensors", metadata={"activation": activation})
    assert activation_of(load_clip(SMALL, checkpoint=tmp_path / "clip.safetensors")) == activation


@pytest.mark.parametrize(
    "name, content, activation",
    [
        ("open_clip_config.json", {"model_cfg": {"embed_dim": 12, "quick_gelu": True}}, "quick_gelu"),
        ("open_clip_config.json", {"model_cfg": {"embed_dim": 12}}, "gelu"),
        ("config.json", {"vision_config": {"hidden_act": "quick_gelu"}}, "quick_gelu"),
        ("config.json", {"vision_config": {"hidden_act": "gelu"}}, "gelu"),
    ],
)
def test_a_configuration_beside_the_file_says_the_activation(tmp_path, small_weights, name, content, activation):
    torch.save(small_weights, tmp_path / "clip.pt")
    (tmp_path / name).write_text(json.dumps(content))
    assert activation_of(load_clip(SMALL, checkpoint=tmp_path / "clip.pt")) == activation


def test_centred_normalisation_is_that_of_the_sibling_code():
    """(x - 127.5) / 128, computed anew."""
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    centred = (images.float() - 127.5) / 128
    torch.testing.assert_close(normalise(images, normalisation="centred"), centred, atol=1e-6, rtol=0)
    model = build(ModelConfig(("C", "P"), clip_checkpoint="random", normalisation="centred")).eval()
    plain = build(ModelConfig(("C", "P"), clip_checkpoint="random")).eval()
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (1, 3, 64, 64), generator=chance, dtype=torch.uint8)
    with torch.no_grad():
        given = model({"rgb": normalise(pixels)}).logits
        wanted = plain({"rgb": (pixels.float() - 127.5) / 128}).logits
    torch.testing.assert_close(given, wanted, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="MMDG normalises for its own trunk"):
        ModelConfig(("C",), architecture="mmdg", normalisation="centred")


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_point_numbers_are_refused(tmp_path, small_weights, kind):
    torch.save({name: value.to(kind) for name, value in small_weights.items()}, tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match=r"whole\.pt holds .* as \w+, where floating-point numbers are needed"):
        load_clip(SMALL, checkpoint=tmp_path / "whole.pt", activation="gelu")


@pytest.mark.parametrize("checkpoint", ["random", None])
def test_an_unknown_activation_is_refused(checkpoint):
    with pytest.raises(ValueError, match="unknown activation 'relu': choose quick_gelu or gelu"):
        load_clip("tiny", checkpoint=checkpoint, activation="relu")


@pytest.mark.parametrize("change", [torch.Tensor.to_sparse, lambda value: value.to("meta")], ids=["sparse", "meta"])
def test_tensors_without_plain_values_are_named(tmp_path, small_weights, change):
    torch.save(small_weights | {"visual.proj": change(small_weights["visual.proj"])}, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=r"odd\.pt holds visual\.proj .*: save it as a dense tensor"):
        load_clip("tiny", checkpoint=tmp_path / "odd.pt")


def array_archive(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


def exported(path):
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), path.with_suffix(".pt2"))
    path.with_suffix(".pt2").rename(path)


@pytest.mark.parametrize(
    "write, words",
    [
        (lambda p: p.write_text('{"metadata": {}, "weight_map": {"a": "b"}}'), "an index of weights in several files"),
        (lambda p: p.write_text('{\n "quick_gelu": true}'), "a text of JSON, not weights"),
        (array_archive, "an archive of NumPy arrays"),
        (lambda p: torch.save(nn.Linear(2, 2), p), r"Python objects \(torch\.nn.*Linear\).* save model\.state_dict"),
        (lambda p: torch.save({"a": np.zeros(3)}, p), r"NumPy values \(numpy.* save model\.state_dict"),
        (exported, "an exported program"),
    ],
    ids=["index", "json", "npz", "module", "numpy", "exported"],
)
def test_files_that_people_take_for_weights_are_told_apart(tmp_path, write, words):
    write(tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=rf"weights\.pt is .*{words}"):
        load_clip("tiny", checkpoint=tmp_path / "weights.pt")


@pytest.mark.parametrize("start", ["", "vision_model."])
def test_names_of_hugging_face_are_told_apart(tmp_path, start):
    names = ["vision_model.encoder.layers.0.self_attn.k_proj.weight", "text_model.embeddings.token_embedding.weight"]
    state = {name: torch.zeros(1) for name in names if name.startswith(start)}
    torch.save(state, tmp_path / "hub.bin")
    with pytest.raises(CheckpointError, match=r"hub\.bin has Hugging Face's names .*open_clip's are expected"):
        load_clip("tiny", checkpoint=tmp_path / "hub.bin", activation="gelu")
