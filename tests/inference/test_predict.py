"""Decisions about pictures: the same in any batch, at the threshold, with missing modalities; what is noted; clips."""

import json
import os

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from mmdg_lite.data.loader import make_batch
from mmdg_lite.data.real.formats import PictureError
from mmdg_lite.data.synthetic import render
from mmdg_lite.inference.judge import SYNTHETIC, open_judge
from mmdg_lite.inference.pictures import Decoding, decode_pictures
from mmdg_lite.inference.predict import judge_prepared, predict, prepare
from mmdg_lite.inference.video import numbered_frames, predict_clip
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.builder import ModelConfig, register_model
from mmdg_lite.plots.decision import decision
from mmdg_lite.runs.folder import RunFolder
from tests.support.small_runs import small_run

SAME = {"abs": 1e-6, "rel": 0}


@pytest.fixture(scope="module")
def judge():
    return open_judge()


@pytest.fixture(scope="module")
def faces():
    return render("W", 6, 3, species=["live", "print", "live", "rigid_mask", "replay", "live"])


def arrays(faces, index):
    """One rendered face as a user would hand it in: H x W x 3 and twice H x W."""
    return {
        "rgb": faces.rgb[index].transpose(1, 2, 0),
        "depth": faces.depth[index][0],
        "infrared": faces.infrared[index][0],
    }


def prepared(faces, judge):
    return [
        prepare(
            decode_pictures({m: arrays(faces, index)[m.value] for m in MODALITIES if m in kept}),
            judge,
            name=str(index),
        )
        for index, kept in enumerate([MODALITIES, MODALITIES, (Modality.RGB,), MODALITIES[1:], MODALITIES, MODALITIES])
    ]


def test_a_sample_scores_the_same_alone_in_any_batch_and_in_any_order(judge, faces):
    samples = prepared(faces, judge)
    alone = {p.id: p for p in judge_prepared(samples, judge, batch_size=1)}
    assert [int(name) for name in alone] == list(range(6))
    for order, size in ((samples, 6), (samples[::-1], 4), (samples[3:] + samples[:3], 2)):
        for found in judge_prepared(order, judge, batch_size=size):
            assert found.score == pytest.approx(alone[found.id].score, **SAME)
            for name, score in alone[found.id].modality_scores.items():
                given = found.modality_scores[name]
                assert (given is None) == (score is None) and (score is None or given == pytest.approx(score, **SAME))


def test_the_decision_is_that_of_the_threshold(judge, faces):
    found = list(judge_prepared(prepared(faces, judge), judge))
    assert {p.decision for p in found} == {"live", "spoof"}
    for p in found:
        assert (p.decision == "live") == (p.score >= p.threshold)
        assert p.threshold == judge.threshold and "validation lists of synthetic C + P + S" in p.threshold_source
    at = predict(**arrays(faces, 0), model=judge, threshold=found[0].score)
    assert at.decision == "live" and at.threshold_source == "given by the caller"
    assert predict(**arrays(faces, 0), model=judge, threshold=np.nextafter(at.score, 1)).decision == "spoof"


def test_rgb_alone_is_the_path_of_missing_modalities(judge, faces):
    """What evaluation does without depth and infrared, by the model itself."""
    found = predict(arrays(faces, 0)["rgb"], model=judge)
    batch = make_batch(_samples(faces, 0), source_domains=(), missing=(Modality.DEPTH, Modality.INFRARED))
    with torch.inference_mode():
        output = judge.model({name: value for name, value in batch.items() if isinstance(value, torch.Tensor)})
    assert found.score == pytest.approx(float(output.score()), **SAME)
    assert found.modality_scores["depth"] is None and found.certainty["infrared"] is None
    assert found.certainty["rgb"] == pytest.approx(float(output.certainty[0, 0]), **SAME)


def _samples(faces, index):
    from mmdg_lite.data.dataset import ArrayDataset

    return ArrayDataset.from_faces(faces, domain="W", split="test").read([index])


def test_infrared_of_one_channel_and_of_three_equal_ones_score_the_same(judge, faces):
    given = arrays(faces, 0)
    one = predict(**given, model=judge)
    three = predict(**given | {"infrared": np.repeat(given["infrared"][..., None], 3, axis=2)}, model=judge)
    assert three.score == pytest.approx(one.score, **SAME)


def test_files_and_arrays_score_the_same(judge, faces, tmp_path):
    given = arrays(faces, 1)
    for name, pixels in given.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    files = predict(**{name: tmp_path / f"{name}.png" for name in given}, model=judge)
    assert files.score == pytest.approx(predict(**given, model=judge).score, **SAME)
    plain = json.loads(json.dumps(files.as_dict(), allow_nan=False))
    assert plain["decision"] == files.decision and plain["notes"][-1]["text"] == SYNTHETIC


def test_what_cannot_be_read_is_named(judge, tmp_path):
    with pytest.raises(PictureError, match="at least one picture is needed"):
        predict(model=judge)
    with pytest.raises(FileNotFoundError, match=r"gone\.png: no such rgb picture"):
        predict(tmp_path / "gone.png", model=judge)
    with pytest.raises(PictureError, match=r"the depth array: 16-bit values .* say what they mean by --depth-range"):
        predict(depth=np.full((64, 64), 500, np.uint16), model=judge)
    with pytest.raises(PictureError, match=r"rgb array has shape \(64, 64\)"):
        predict(np.zeros((64, 64), np.uint8), model=judge)
    with pytest.raises(FileNotFoundError, match="no such run folder or checkpoint"):
        open_judge(tmp_path / "gone")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config\.json: give the folder of a run, or the model\.safetensors inside"):
        open_judge(tmp_path / "config.json")


def test_depth_in_millimetres_equals_its_grey_values(judge, faces):
    grey = arrays(faces, 0)["depth"]
    millimetres = np.where(grey == 0, 0, 1000 - 2.0 * grey)  # 255 is 490 mm, 1 is 998 mm
    found = predict(depth=millimetres, model=judge, decoding=Decoding(depth_range=(490, 998)))
    assert found.score == pytest.approx(predict(depth=grey, model=judge).score, **SAME)


def test_arrays_are_decoded_as_files_are(judge, faces):
    rgb = arrays(faces, 0)["rgb"]
    wanted = predict(rgb, model=judge).score
    wide = Decoding(rgb_range=(0, 1020))
    assert predict(rgb / 255, model=judge).score == pytest.approx(wanted, **SAME)
    assert predict(rgb * np.uint16(4), model=judge, decoding=wide).score == pytest.approx(wanted, **SAME)
    metres = np.linspace(0.4, 0.9, 64 * 64).reshape(64, 64)
    with pytest.raises(PictureError, match=r"the depth array: only 0\.0% of the measured depth lies inside 400 to 900"):
        predict(depth=metres, model=judge, decoding=Decoding(depth_range=(400, 900)))


def test_a_face_is_found_and_cut_out(judge):
    astronaut = skimage.data.astronaut()
    whole, face = predict(astronaut, model=judge), predict(astronaut, model=judge, crop=True)
    assert "the face takes up 20% of the picture's side only" in {n.kind: n.text for n in whole.notes}["face"]
    assert not [n for n in face.notes if n.kind == "face"]
    assert not np.array_equal(whole.images[Modality.RGB], face.images[Modality.RGB])
    wall = predict(np.repeat(skimage.data.brick()[:200, :, None], 3, axis=2), model=judge, crop=True)
    assert "no frontal face was found" in {n.kind: n.text for n in wall.notes}["face"]
    assert "512 x 200 pixels are squeezed into a square" in {n.kind: n.text for n in wall.notes}["shape"]
    depth_alone = predict(depth=astronaut[..., 0], model=judge, crop=True)
    assert "without a colour picture no face" in {n.kind: n.text for n in depth_alone.notes}["face"]


def test_a_figure_shows_the_decision_and_leaves_gaps(judge, faces):
    for given in (arrays(faces, 0), {"rgb": arrays(faces, 0)["rgb"]}):
        found = predict(**given, model=judge)
        figure = decision(found)
        title = figure.subfigs[0].get_suptitle()
        assert title.startswith(f"{found.decision}: score {found.score:.3f}")
        texts = [text.get_text() for axes in figure.subfigs[0].axes for text in axes.texts]
        assert texts == [] if len(given) == 3 else texts == ["depth: missing", "infrared: missing"]


def test_clips_score_the_mean_of_their_frames(judge, faces, tmp_path):
    for number in (1, 2, 10):
        Image.fromarray(arrays(faces, number % 6)["rgb"]).save(tmp_path / f"frame{number}.png")
    assert [path.name for path in numbered_frames(tmp_path)] == ["frame1.png", "frame2.png", "frame10.png"]
    clip = predict_clip(tmp_path, judge=judge, window=2)
    scores = [frame.score for frame in clip.frames]
    assert scores[2] == pytest.approx(predict(arrays(faces, 4)["rgb"], model=judge).score, **SAME)
    assert clip.score == pytest.approx(np.mean(scores))
    assert clip.smoothed == pytest.approx((scores[0], (scores[0] + scores[1]) / 2, (scores[1] + scores[2]) / 2))
    assert len(predict_clip(tmp_path, judge=judge, every=2).frames) == 2
    (tmp_path / "._frame1.png").touch()  # what macOS leaves on other systems' disks
    assert len(numbered_frames(tmp_path)) == 3
    (tmp_path / "cover.png").write_bytes((tmp_path / "frame1.png").read_bytes())
    with pytest.raises(ValueError, match=r"cover\.png: a frame needs a number"):
        predict_clip(tmp_path, judge=judge)


@pytest.mark.parametrize("method", ["mmdg++", "mmdg", "fusion"])
def test_models_of_runs_decide_at_their_own_threshold(method, tmp_path):
    run = RunFolder(small_run(tmp_path / "run", method))
    judge = open_judge(run.path)
    assert judge.threshold == json.loads(run.result.read_text())["threshold"]
    given = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    found = predict(given, model=judge)
    assert (found.decision == "live") == (found.score >= judge.threshold)
    assert predict(given, model=run.model).score == pytest.approx(found.score, **SAME)
    run.pictures.unlink()
    assert "no record of the pictures" in {n.kind: n.text for n in predict(given, model=run.path).notes[:1]}["model"]
    run.result.unlink()
    with pytest.raises(ValueError, match="unfinished, so no threshold"):
        open_judge(run.path)
    assert open_judge(run.path, threshold=0.25).threshold == 0.25


def test_a_plugin_s_model_decides_too(tmp_path, request):
    from mmdg_lite.models import builder

    request.addfinalizer(lambda: builder.ARCHITECTURES.pop("without_adapters", None))
    register_model(
        "without_adapters", lambda clip, config: builder.MMDGPlusPlus(clip, config.source_domains, adapters="none")
    )
    model = builder.build(ModelConfig(("C", "P"), architecture="without_adapters", clip_checkpoint="random"))
    shipped = open_judge()
    judge = open_judge(type(shipped)(**{**vars(shipped), "model": model.eval()}))
    found = predict(np.full((64, 64, 3), 90, np.uint8), model=judge)
    assert found.certainty_maps is None and 0 <= found.score <= 1
    assert decision(found).subfigs


@pytest.mark.parametrize("limits", [(np.nan, 900), (0.4, np.inf), (5, 5), "ab", (1,), 3, ("1", "2")])
@pytest.mark.parametrize("name", ["rgb_range", "depth_range", "infrared_range"])
def test_ranges_without_a_meaning_are_refused(name, limits):
    with pytest.raises(ValueError, match=rf"{name} \(--.*-range\) must be two finite numbers that differ"):
        Decoding(**{name: limits})


def test_other_options_without_a_meaning_are_refused(judge, faces):
    for holes in (65535, "65535", ("65535",)):
        with pytest.raises(ValueError, match="depth_holes must be a tuple of numbers"):
            Decoding(depth_holes=holes)
    for margin in (-5.0, -0.5, np.nan, np.inf):
        with pytest.raises(ValueError, match="margin must lie between 0 and 2"):
            predict(arrays(faces, 0)["rgb"], model=judge, crop=True, margin=margin)
    for threshold in (np.nan, 57, -1):
        for model in (None, judge):
            with pytest.raises(ValueError, match="a threshold must lie between 0 and 1"):
                open_judge(model, threshold=threshold)


def test_pictures_of_pillow_and_what_is_no_picture(judge, faces):
    rgb = arrays(faces, 0)["rgb"]
    wanted = predict(rgb, model=judge)
    for picture in (Image.fromarray(rgb), Image.fromarray(rgb).convert("RGBA")):
        found = predict(picture, model=judge)
        assert found.score == pytest.approx(wanted.score, **SAME) and found.id == "array"
    depth = Image.fromarray(arrays(faces, 0)["depth"])
    assert predict(depth=depth, model=judge).score == pytest.approx(predict(depth=np.asarray(depth)).score, **SAME)
    assert 0 <= predict(Image.fromarray(rgb).quantize(16), model=judge).score <= 1
    for wrong in (rgb.tolist(), torch.from_numpy(rgb), 5):
        with pytest.raises(TypeError, match="rgb: give a file's name, a NumPy array or a picture of Pillow, not"):
            predict(wrong, model=judge)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_folders_and_pipes_are_no_pictures(judge, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path, what in ((tmp_path, "a folder"), (tmp_path / "pipe.png", "a pipe or device")):
        with pytest.raises(PictureError, match=f"{path} is {what}, not a regular file"):
            predict(path, model=judge)


def test_pictures_of_unlike_ratios_are_noted_and_left_whole(judge):
    astronaut = skimage.data.astronaut()
    depth = np.full((576, 640), 90, np.uint8)
    depth[100:400] = 150
    for crop in (False, True):
        found = predict(astronaut[:360], depth, model=judge, crop=crop)
        (note,) = [note for note in found.notes if note.kind == "registration"]
        assert "rgb 512 x 360, depth 640 x 576 pixels: sides of unlike ratios" in note.text
        assert note.text.endswith("; nothing was cut out") == crop
        assert found.box is None and found.as_dict()["crop"] is None
        assert [("(--crop)" in n.text) for n in found.notes if n.kind == "shape"] == [not crop]
    same = predict(astronaut, np.full((255, 256), 90, np.uint8), model=judge, crop=True, margin=0.5)
    assert not [note for note in same.notes if note.kind == "registration"]
    box = same.as_dict()["crop"]
    assert set(box) == {"top", "left", "height", "width", "margin"} and box["margin"] == 0.5
    assert 0 < box["height"] < 1
