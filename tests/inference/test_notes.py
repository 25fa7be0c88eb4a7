"""Notes: none too often on the pictures of the sources, and each where it belongs."""

import json
from collections import Counter

import numpy as np
import pytest

from mmdg_lite.configuration import ConfigurationError, read_json, to_dict
from mmdg_lite.data.dataset import ArrayDataset, ConcatDataset, Subset
from mmdg_lite.data.statistics import FEATURES, PictureStatistics, features, picture_statistics
from mmdg_lite.data.synthetic import benchmark_split
from mmdg_lite.inference.notes import picture_notes
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.runs.setting_data import load_domain
from mmdg_lite.runs.shipped import ASSETS, PICTURES, RECORD, Record


@pytest.fixture(scope="module")
def record():
    return read_json(Record, ASSETS / RECORD)


@pytest.fixture(scope="module")
def statistics():
    return read_json(PictureStatistics, ASSETS / PICTURES)


def source_samples(record, count):
    data = record.config.data
    parts = [
        ArrayDataset.from_faces(
            benchmark_split(letter, "val", count, data.seed, size=data.size), domain=letter, split="val"
        )
        for letter in record.config.domains.sources
    ]
    return ConcatDataset(parts).read(range(len(parts) * count))


@pytest.fixture(scope="module")
def samples(record):
    """The first faces of the sources' validation lists."""
    return source_samples(record, 160)


def rates(samples, statistics):
    """Share of samples on which each kind of note fires."""
    counts = Counter()
    for row in range(len(samples)):
        images = {modality: getattr(samples, modality.value)[row] for modality in MODALITIES}
        counts.update({note.kind for note in picture_notes(images, statistics)})
    return {kind: count / len(samples) for kind, count in counts.items()}


def test_each_note_is_rare_on_the_sources_validation_lists(samples, statistics):
    """At most 1 %. Depth of some replays is one single hole, which is a finding and no false alarm."""
    found = rates(samples, statistics)
    print(found)
    holes = np.mean([image.min() == image.max() for image in samples.depth])
    assert found.pop("constant", 0) == holes
    assert all(rate <= 0.01 for rate in found.values()), found


def test_the_recorded_clouds_are_those_of_the_shipped_model_s_training_samples(record, statistics):
    """One domain stands for the three, which the next test renders."""
    again = picture_statistics(load_domain(record.config.data, record.config.domains.sources[0], "train"))
    for modality in MODALITIES:
        ((domain, cloud),) = again.modalities[modality.value].domains.items()
        stored = statistics.modalities[modality.value].domains[domain]
        assert cloud.mean == pytest.approx(stored.mean, abs=0.01)


@pytest.mark.slow
def test_the_recorded_statistics_are_those_of_the_shipped_model_s_training_samples(record, statistics):
    train = ConcatDataset([load_domain(record.config.data, s, "train") for s in record.config.domains.sources])
    again = picture_statistics(train)
    assert again.size == statistics.size == record.config.data.size
    for modality in MODALITIES:
        ours, stored = again.modalities[modality.value], statistics.modalities[modality.value]
        assert ours.pictures == stored.pictures == len(train)
        for name in FEATURES:
            assert (ours.low[name], ours.high[name]) == pytest.approx((stored.low[name], stored.high[name]), abs=0.1)
        assert ours.farthest == pytest.approx(stored.farthest, rel=0.01)


def share(kind, samples, statistics, modality, images, chosen=None):
    rows = np.arange(len(images)) if chosen is None else np.flatnonzero(chosen)
    rows = rows[:: max(1, len(rows) // 100)]
    found = [kind in {note.kind for note in picture_notes({modality: images[row]}, statistics)} for row in rows]
    return np.mean(found)


def test_swapped_colours_are_noted(samples, statistics):
    assert share("bgr", samples, statistics, Modality.RGB, samples.rgb[:, ::-1]) > 0.9


def test_inverted_depth_of_faces_is_noted(samples, statistics):
    """Where near is dark; flat attacks have no relief that could be inverted."""
    inverted = np.where(samples.depth == 0, 0, 256 - samples.depth.astype(int)).astype(np.uint8)
    assert share("inverted", samples, statistics, Modality.DEPTH, inverted, samples.label == 1) > 0.8


def test_saturated_constant_and_foreign_pictures_are_noted(samples, statistics):
    white = samples.infrared.copy()
    white[..., :48, :] = 255
    assert share("saturated", samples, statistics, Modality.INFRARED, white) > 0.9
    constant = np.full((1, 64, 64), 127, np.uint8)
    (note,) = picture_notes({Modality.INFRARED: constant}, statistics)
    assert note.kind == "constant" and "127 everywhere" in note.text
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    found = {note.kind: note.text for note in picture_notes({Modality.RGB: noise}, statistics)}
    assert "times as far from their pictures" in found["sensor"]
    dark = {note.kind for note in picture_notes({Modality.RGB: (noise // 32).astype(np.uint8)}, statistics)}
    assert "values" in dark


def test_depth_of_hardly_anything_is_noted(samples, statistics):
    empty = samples.depth[:20].copy()
    empty[...] = 0
    empty[..., 30, :32] = np.arange(101, 133)
    assert share("holes", samples, statistics, Modality.DEPTH, empty) == 1
    assert share("holes", samples, statistics, Modality.INFRARED, empty) == 0
    (alone, _) = picture_notes({Modality.DEPTH: empty[0]}, None)
    assert alone.kind == "holes" and "99.2% of the picture are holes" in alone.text


def test_one_picture_has_statistics_too(samples):
    """A limit of 0 would divide the distance of every other picture by 0."""
    from mmdg_lite.data.statistics import NEAREST_LIMIT

    one = picture_statistics(Subset(ArrayDataset(samples), [0]))
    assert one.modalities["rgb"].farthest == NEAREST_LIMIT
    kinds = {note.kind for note in picture_notes({Modality.RGB: samples.rgb[-1]}, one)}
    assert "sensor" in kinds


def test_features_by_hand():
    """A picture of 8 x 8: the centre is 2 x 2 pixels, the ring around it 4 x 4 without these."""
    picture = np.full((1, 1, 8, 8), 10, dtype=np.uint8)
    picture[0, 0, 2:6, 2:6] = 20
    picture[0, 0, 3:5, 3:5] = 50
    picture[0, 0, 0, :4] = 0
    picture[0, 0, 7, 0] = 255
    found = dict(zip(FEATURES, features(picture)[0].tolist(), strict=True))
    total = (64 - 16 - 5) * 10 + 12 * 20 + 4 * 50 + 255
    assert found["mean"] == pytest.approx(total / 64)
    assert found["prominence"] == pytest.approx((12 * 20 + 4 * 50) / 16 - (23 * 10 + 255) / 24)  # border: 28 pixels
    assert (found["black"], found["white"], found["relief"], found["redness"]) == (4 / 64, 1 / 64, 30, 0)
    assert found["levels"] == 5
    hole = picture.copy()
    hole[0, 0, 3:5, 3:5] = 0
    assert features(hole)[0, FEATURES.index("relief")] == 0
    colour = np.concatenate([picture, picture, picture // 2], axis=1)
    assert features(colour)[0, FEATURES.index("redness")] == pytest.approx((12 * 10 + 4 * 25) / 16)


def test_statistics_survive_their_file_and_leave_out_what_nobody_has(samples):
    from dataclasses import replace

    present = samples.present.copy()
    present[:, Modality.DEPTH.index] = False
    made = picture_statistics(ArrayDataset(replace(samples, present=present)))
    assert set(made.modalities) == {"rgb", "infrared"}
    assert all(np.isfinite(list(m.high.values())).all() for m in made.modalities.values())
    assert to_dict(made)["modalities"]["rgb"]["pictures"] == len(samples)


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda rgb: rgb["low"].pop("mean"), "low and high must name"),
        (lambda rgb: rgb["domains"].clear(), "a domain and a picture"),
        (lambda rgb: rgb.update(farthest=0.0), "farthest must be a finite number above 0"),
        (lambda rgb: rgb["domains"]["C"]["mean"].pop(), "must be of 7 features"),
        (lambda rgb: rgb["domains"]["C"]["inverse"][3].append(0.0), "must be of 7 features"),
    ],
)
def test_statistics_that_do_not_fit_are_named(statistics, tmp_path, change, reason):
    values = to_dict(statistics)
    change(values["modalities"]["rgb"])
    (tmp_path / "statistics.json").write_text(json.dumps(values))
    with pytest.raises(ConfigurationError, match=rf"statistics\.json.*{reason}"):
        read_json(PictureStatistics, tmp_path / "statistics.json")
