"""Video files and the webcam's demonstration, with a camera that plays frames from memory in OpenCV's place."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
from PIL import Image

from mmdg_lite.data.synthetic import render
from mmdg_lite.inference.judge import open_judge
from mmdg_lite.inference.pictures import Decoding
from mmdg_lite.inference.predict import predict
from mmdg_lite.inference.video import EIGHT_BITS, predict_clip
from tests.support.pages import ROOT


@pytest.fixture(scope="module")
def judge():
    return open_judge()


@pytest.fixture
def play(monkeypatch):
    """A function that puts an OpenCV in place whose every camera and video plays these frames (red, green, blue)."""

    def put(frames, *, keys=()):
        seen = SimpleNamespace(texts=[], shown=[], released=0)
        pressed = iter(keys)

        class Capture:
            def __init__(self, source):
                self.frames = iter(frames)

            def isOpened(self):
                return bool(frames)

            def read(self):
                frame = next(self.frames, None)
                return frame is not None, None if frame is None else frame[..., ::-1]

            def release(self):
                seen.released += 1

        fake = SimpleNamespace(
            VideoCapture=Capture,
            COLOR_BGR2GRAY=0,
            FONT_HERSHEY_SIMPLEX=0,
            cvtColor=lambda frame, _: frame[..., 0].copy(),
            waitKey=lambda _: next(pressed, -1),
            putText=lambda frame, text, *_: seen.texts.append(text),
            imshow=lambda _, frame: seen.shown.append(frame),
            destroyAllWindows=lambda: None,
        )
        monkeypatch.setitem(sys.modules, "cv2", fake)
        return seen

    return put


@pytest.fixture(scope="module")
def webcam():
    spec = importlib.util.spec_from_file_location("webcam", ROOT / "examples" / "webcam.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_webcam_shows_a_mean_over_frames_and_forgets_it_without_a_face(webcam, play, judge, monkeypatch):
    face, wall = skimage.data.astronaut()[:256, 96:352], np.full((200, 200, 3), 90, np.uint8)
    monkeypatch.setattr(webcam, "open_judge", lambda _: judge)
    seen = play([face, face, wall, face])
    webcam.main()
    score = predict(face, model=judge, crop=True).score
    decided = "live" if score >= judge.threshold else "spoof"
    counts = [text.rpartition(",")[0] for text in seen.texts if text != "no face"]
    assert counts == [f"{decided}: {score:.2f}, mean of {n} frames" for n in (1, 2, 1)]
    assert seen.texts[2] == "no face" and len(seen.shown) == 4 and seen.released == 1


def test_the_webcam_ends_at_q_and_without_a_camera(webcam, play, judge, monkeypatch):
    monkeypatch.setattr(webcam, "open_judge", lambda _: judge)
    wall = np.full((64, 64, 3), 90, np.uint8)
    seen = play([wall] * 5, keys=[-1, ord("q")])
    webcam.main()
    assert len(seen.shown) == 1 and seen.released == 1
    play([])
    with pytest.raises(SystemExit, match="no camera was found"):
        webcam.main()


def test_video_files_are_read_frame_by_frame_and_depth_says_its_8_bits(play, judge, tmp_path):
    faces = render("W", 2, 3, species=["live", "print"])
    frames = [face.transpose(1, 2, 0) for face in faces.rgb]
    film, depth = tmp_path / "rgb.mp4", tmp_path / "depth.mp4"
    for path in (film, depth):
        path.write_bytes(b"what OpenCV would decode")
    play(frames)
    clip = predict_clip(film, judge=judge)
    assert [frame.score for frame in clip.frames] == [
        pytest.approx(predict(frame, model=judge).score, abs=1e-6) for frame in frames
    ]
    notes = [note.text for frame in predict_clip(depth=depth, judge=judge).frames for note in frame.notes]
    assert notes.count(EIGHT_BITS) == 2
    with pytest.raises(ValueError, match=r"depth\.mp4: a range of depth was given, but .* numbered frames"):
        predict_clip(depth=depth, judge=judge, decoding=Decoding(depth_range=(400, 900)))
    play([])
    with pytest.raises(ValueError, match="not a video that OpenCV can read"):
        predict_clip(film, judge=judge)


def test_video_files_of_unequal_lengths_are_noted(judge, tmp_path, monkeypatch):
    from mmdg_lite.inference import video

    wall = {"rgb": np.full((64, 64, 3), 90, np.uint8), "infrared": np.full((64, 64), 90, np.uint8)}
    lengths = {"rgb": 2, "infrared": 5}
    monkeypatch.setattr(video, "_video_frames", lambda _, m: iter([wall[m.value]] * lengths[m.value]))
    paths = {name: tmp_path / f"{name}.mp4" for name in wall}
    for path in paths.values():
        path.touch()
    clip = predict_clip(**paths, judge=judge)
    assert len(clip.frames) == 2
    (note,) = clip.notes
    assert "unequal numbers of frames (rgb 2, infrared 5); the shortest ends the clip" in note.text
    lengths["infrared"] = 2
    assert predict_clip(**paths, judge=judge).notes == ()


def test_frames_of_folders_are_joined_by_their_numbers(judge, tmp_path):
    faces = render("W", 4, 3, species=["live", "print", "live", "print"])
    folders = {"rgb": tmp_path / "rgb", "infrared": tmp_path / "infrared"}
    for folder in folders.values():
        folder.mkdir()
    for number in range(4):
        Image.fromarray(faces.rgb[number].transpose(1, 2, 0)).save(folders["rgb"] / f"f{number}.png")
        if number != 1:
            Image.fromarray(faces.infrared[number, 0]).save(folders["infrared"] / f"ir_{number:04d}.png")
    clip = predict_clip(**folders, judge=judge)
    for number, frame in enumerate(clip.frames):
        infrared = None if number == 1 else faces.infrared[number, 0]
        wanted = predict(faces.rgb[number].transpose(1, 2, 0), infrared=infrared, model=judge)
        assert frame.id.endswith(f"#{number:05d}") and frame.score == pytest.approx(wanted.score, abs=1e-6)
    assert [note.text for note in clip.notes] == [
        "1 of 4 frames have no infrared picture of their number: that modality is missing there"
    ]
    assert clip.as_dict()["notes"][0]["kind"] == "clip"


def test_clips_that_cannot_be_joined_are_refused(judge, tmp_path):
    folders = {"rgb": tmp_path / "rgb", "infrared": tmp_path / "infrared"}
    for number, folder in enumerate(folders.values()):
        folder.mkdir()
        Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(folder / f"f{number}.png")
    with pytest.raises(ValueError, match="no two frames have the same number"):
        predict_clip(**folders, judge=judge)
    with pytest.raises(ValueError, match=r"f0\.png is a single picture: give a video file or a folder"):
        predict_clip(folders["rgb"] / "f0.png", judge=judge)
    with pytest.raises(ValueError, match=r"f0\.png is a single picture"):
        predict_clip(folders["rgb"], folders["rgb"] / "f0.png", judge=judge, decoding=Decoding(depth_range=(400, 900)))
    (folders["rgb"] / "g00.png").write_bytes((folders["rgb"] / "f0.png").read_bytes())
    with pytest.raises(ValueError, match=r"g00\.png and f0\.png have the same number"):
        predict_clip(folders["rgb"], judge=judge)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: the folder has no picture"):
        predict_clip(folders["infrared"], tmp_path / "empty", judge=judge)


def test_numbered_frames_of_depth_keep_16_bits(judge, tmp_path):
    grey = render("W", 1, 3, species=["live"]).depth[0, 0]
    millimetres = np.where(grey == 0, 0, 1000 - 2 * grey.astype(int)).astype(np.uint16)
    Image.fromarray(millimetres).save(tmp_path / "depth_0001.png")
    clip = predict_clip(depth=tmp_path, judge=judge, decoding=Decoding(depth_range=(490, 998)))
    assert clip.score == pytest.approx(predict(depth=grey, model=judge).score, abs=1e-6)
    assert EIGHT_BITS not in [note.text for note in clip.frames[0].notes]
