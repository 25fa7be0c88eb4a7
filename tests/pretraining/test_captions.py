"""Captions: faces are described by physical attributes alone, what is said holds, and the vocabulary is complete."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdg_lite.data.real.species import LIVE
from mmdg_lite.data.renderer.scenes import OBJECT_PRESENTATIONS, OBJECTS, SPECIES, draw_scenes
from mmdg_lite.data.renderer.sensors import IDEAL, SensorProfile, random_profile
from mmdg_lite.modality import MODALITIES, Modality
from mmdg_lite.models.clip import tokenize
from mmdg_lite.pretraining.captions import facts_of, write_caption
from mmdg_lite.pretraining.pairs import PairBatches
from mmdg_lite.pretraining.phrases import CAPTURED, DETAILS, FACES, PHOTOS, REALITY_WORDS, SHOWN
from mmdg_lite.pretraining.vocabulary import Vocabulary

SEEDS = st.integers(0, 2**32 - 1)


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def captions_of(kind: str, species: str, seed: int, count: int = 12) -> list[tuple[dict, object]]:
    """Facts and captions of one scene, `count` of them over the modalities."""
    rng = np.random.default_rng(seed)
    attributes = draw_scenes(1, rng, kind=kind, species=species).attributes(0)
    profile = random_profile(rng)
    facts = [facts_of(attributes, profile, MODALITIES[i % 3]) for i in range(count)]
    return [(known, write_caption(known, rng)) for known in facts]


@given(seed=SEEDS, species=st.sampled_from((LIVE, *SPECIES)))
def test_no_caption_of_a_face_says_whether_it_is_real(seed, species):
    for facts, caption in captions_of("face", species, seed):
        assert not words(caption.text) & REALITY_WORDS, caption.text
        assert "reality" not in facts
        assert "presentation" not in facts
        assert species not in facts.values()
        assert any(face.removeprefix("a ") in caption.text for face in FACES)


def test_the_phrases_for_faces_hold_none_of_the_forbidden_words():
    phrases = [*FACES, *(p for values in DETAILS.values() for group in values.values() for p in group)]
    phrases += [p for table in (PHOTOS, CAPTURED, SHOWN) for group in table.values() for p in group]
    assert not [phrase for phrase in phrases if words(phrase) & REALITY_WORDS]
    for word in ("live", "real", "spoof", "fake", "attack", "genuine", "bona"):
        assert word in REALITY_WORDS


@pytest.mark.parametrize("presentation", OBJECT_PRESENTATIONS)
def test_captions_of_objects_do_say_whether_they_are_real_and_say_it_truly(presentation):
    # "not a real cup" denies; every other use of a word of the two groups affirms
    denied = re.compile(r"(?:not|no) (?:a |an )?(?:real|fake|imitation|presentation attack)\w*(?: one)?")
    says_real = {"real", "genuine", "authentic", "true", "bona", "live"}
    says_fake = {"fake", "false", "spoof", "imitation", "attack", "replica", "replayed", "printed"}
    told, seen = 0, set()
    for seed in range(60):
        for facts, caption in captions_of("object", presentation, seed, count=3):
            assert facts["subject"] in OBJECTS
            # materials may be called printed without a word on reality
            if "reality" not in dict(caption.stated):
                assert not words(caption.text) & REALITY_WORDS, caption.text
                continue
            told += 1
            affirmed = words(denied.sub("", caption.text))
            real, fake = affirmed & says_real, affirmed & says_fake
            seen |= words(caption.text) & REALITY_WORDS
            if presentation == "genuine":
                assert real, caption.text
                assert not fake, caption.text
            else:
                assert not real, caption.text
                assert fake or "not a real" in caption.text or "not a" in caption.text, caption.text
    assert 100 < told < 170  # three in four of 180
    assert {"real", "fake"} <= seen


@given(seed=SEEDS, kind=st.sampled_from(("face", "object")))
def test_a_caption_states_facts_of_its_own_picture_only(seed, kind):
    species = LIVE if kind == "face" else "replica"
    for facts, caption in captions_of(kind, species, seed):
        assert caption.stated <= set(facts.items())
        for attribute, value in caption.stated:
            if attribute in DETAILS:
                assert any(phrase in caption.text for phrase in DETAILS[attribute][value])
            elif attribute == "subject" and kind == "object":
                assert value in caption.text
            elif attribute == "modality":
                known = {"rgb": ("RGB", "color"), "depth": ("depth",), "infrared": ("infrared",)}[value]
                assert any(word in caption.text for word in known)


def test_facts_name_what_the_scene_and_the_sensors_have():
    rng = np.random.default_rng(3)
    attributes = draw_scenes(1, rng, species="bent_print").attributes(0)
    attributes |= {"material": "paper", "yaw": 0.3, "gloss": 0.9, "tone": 0.1, "distance": 0.4, "hair": "none"}
    noisy = SensorProfile(rgb_noise=0.06, depth_inverted=True, depth_holes=0.1)
    colour = facts_of(attributes, noisy, Modality.RGB)
    assert colour["material"] == "paper"
    assert colour["form"] == "bent"
    assert colour["yaw"] == "right"
    assert colour["gloss"] == "glossy"
    assert colour["tone"] == "dark"
    assert colour["noise"] == "noisy"
    assert colour["hair"] == "none"
    assert "hair_colour" not in colour
    depth = facts_of(attributes, noisy, Modality.DEPTH)
    assert (depth["range"], depth["holes"], depth["distance"]) == ("inverted", "holes", "near")
    assert not {"material", "gloss", "tone", "hair_colour", "smile", "colour", "glasses"} & set(depth)
    assert facts_of(attributes, IDEAL, Modality.INFRARED)["noise"] == "clean"
    assert "tone" not in facts_of(attributes, IDEAL, Modality.INFRARED)


def test_slight_turns_are_not_called_anything():
    attributes = draw_scenes(1, np.random.default_rng(0)).attributes(0)
    assert "yaw" not in facts_of(attributes | {"yaw": 0.08}, IDEAL, Modality.RGB)
    assert facts_of(attributes | {"yaw": 0.0}, IDEAL, Modality.RGB)["yaw"] == "front"
    assert facts_of(attributes | {"yaw": -0.2}, IDEAL, Modality.RGB)["yaw"] == "left"


@given(seed=SEEDS, kind=st.sampled_from(("face", "object")))
def test_every_token_of_every_caption_is_in_the_vocabulary(seed, kind):
    vocabulary = Vocabulary()
    known = np.array(vocabulary.row_ids)
    species = LIVE if kind == "face" else OBJECT_PRESENTATIONS[seed % len(OBJECT_PRESENTATIONS)]
    texts = [caption.text for _, caption in captions_of(kind, species, seed, count=6)]
    numbers = vocabulary(texts)
    ids = tokenize(texts)[:, : numbers.shape[1]]
    assert np.array_equal(known[numbers.numpy()], ids.numpy())
    assert np.array_equal(numbers.argmax(dim=1), ids.argmax(dim=1))  # the end of text stays the largest


def test_a_word_outside_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="'a photo of a zebra'"):
        Vocabulary()(["a photo of a face", "a photo of a zebra"])
    assert Vocabulary().unknown_words(["a real zebra, a fake face"]) == ["zebra"]


def test_batches_of_pairs_are_functions_of_seed_and_number():
    one, again = (PairBatches(seed=3, faces=3, objects=2)[7] for _ in range(2))
    assert np.array_equal(one.images, again.images)
    assert one.captions == again.captions
    other = PairBatches(seed=3, faces=3, objects=2)[8]
    assert not np.array_equal(one.images, other.images)
    assert one.images.shape == (15, 3, 64, 64)
    assert [facts["modality"] for facts in one.facts[:3]] == ["rgb", "depth", "infrared"]
    assert np.array_equal(one.images[1, 0], one.images[1, 2])  # depth is one channel, repeated


def test_matches_are_the_captions_that_hold():
    pairs = PairBatches(seed=0, faces=6, objects=4)[0]
    assert pairs.matches.diagonal().all()
    for image, facts in enumerate(pairs.facts):
        for caption, text in enumerate(pairs.captions):
            if pairs.matches[image, caption] and facts["subject"] != "face":
                assert facts["subject"] in text
            if pairs.facts[caption]["subject"] != facts["subject"]:
                assert not pairs.matches[image, caption]
