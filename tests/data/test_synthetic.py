"""The synthetic benchmark's contract: what comes out, that it repeats, and that nothing leaks between splits."""

import hashlib
from dataclasses import asdict

import numpy as np
import pytest

from mmdg_lite.data.real.species import LIVE
from mmdg_lite.data.renderer.domains import DOMAINS, SPLITS
from mmdg_lite.data.renderer.scenes import SPECIES, Scenes, draw_scenes
from mmdg_lite.data.renderer.sensors import IDEAL, SensorProfile, random_profile
from mmdg_lite.data.synthetic import BLOCK, benchmark_split, render, render_scenes
from mmdg_lite.modality import MODALITIES


def same(first, second) -> bool:
    return all(np.array_equal(first[m.value], second[m.value]) for m in MODALITIES)


@pytest.mark.parametrize("letter", DOMAINS)
def test_shapes_types_and_labels(letter):
    faces = render(letter, 40, 3)
    assert len(faces) == 40 == len(faces.scenes) == len(faces.species) == len(faces.subject)
    assert faces["rgb"].shape == (40, 3, 64, 64)
    assert faces["depth"].shape == faces["infrared"].shape == (40, 1, 64, 64)
    assert {faces[m.value].dtype for m in MODALITIES} == {np.dtype(np.uint8)}
    assert faces.label.dtype == np.int64
    assert faces.label.tolist() == [int(name == LIVE) for name in faces.species]
    assert 8 <= faces.label.sum() <= 32
    assert faces.species == faces.scenes.species and faces.subject == faces.scenes.subject
    for modality in MODALITIES:
        spread = faces[modality.value].reshape(40, -1).std(1)
        assert np.median(spread) > 5, "images must show something"


@pytest.mark.parametrize("letter", DOMAINS)
def test_same_seed_same_bits_and_other_seed_other_faces(letter):
    first, again, other = render(letter, 33, 8), render(letter, 33, 8), render(letter, 33, 9)
    assert same(first, again) and first.species == again.species and first.subject == again.subject
    assert not same(first, other)
    assert not np.array_equal(first.rgb[0], first.rgb[32]), "blocks must not repeat"


def test_domains_and_splits_differ_for_the_same_seed():
    digests = {
        hashlib.sha256(benchmark_split(letter, split, 4, 1).rgb.tobytes()).hexdigest()
        for letter in DOMAINS
        for split in SPLITS
    }
    assert len(digests) == len(DOMAINS) * len(SPLITS)


def test_whole_blocks_do_not_depend_on_the_number_asked_for():
    few, many = benchmark_split("W", "test", BLOCK, 5), benchmark_split("W", "test", 2 * BLOCK + 3, 5)
    assert same(few, many.select(range(BLOCK)))
    assert few.species == many.species[:BLOCK]


def test_subjects_are_disjoint_and_keep_their_looks():
    subjects = {
        (letter, split): set(benchmark_split(letter, split, 150, 2, size=16).subject)
        for letter in DOMAINS
        for split in SPLITS
    }
    names = [name for group in subjects.values() for name in group]
    assert len(names) == len(set(names))
    assert all(len(group) > 20 for group in subjects.values())
    assert all(len(subjects[letter, split]) <= SPLITS[split] for letter, split in subjects)
    scenes = benchmark_split("P", "val", 200, 2, size=16).scenes
    looks = {}
    for i, name in enumerate(scenes.subject):
        look = (scenes.hair[i], scenes.hair_colour[i], bool(scenes.beard[i]), scenes.tone[i], *scenes.traits[i])
        assert looks.setdefault(name, look) == look
    assert len(set(looks.values())) == len(looks)


def test_mixtures_are_the_domains_own():
    for letter, domain in DOMAINS.items():
        faces = benchmark_split(letter, "train", 600, 4, size=16)
        shares = {name: np.mean([s == name for s in faces.species]) for name in (LIVE, *SPECIES)}
        for name, share in shares.items():
            assert abs(share - domain.mixture.get(name, 0.0)) < 0.07
            assert (share > 0) == (name in domain.mixture)
    mixtures = [tuple(sorted(domain.mixture.items())) for domain in DOMAINS.values()]
    assert len(set(mixtures)) == len(mixtures)


@pytest.mark.parametrize("size", [16, 37, 100, 224])
def test_any_size_shows_the_same_scene(size):
    small, other = render("W", 6, 12, severity=0.0), render("W", 6, 12, severity=0.0, size=size)
    assert other.rgb.shape == (6, 3, size, size)
    assert small.species == other.species
    position = (np.linspace(0, 63, 8)[:, None].round().astype(int), np.linspace(0, 63, 8).round().astype(int))
    there = tuple((p * (size - 1) / 63).round().astype(int) for p in position)
    for modality in MODALITIES:
        a, b = (
            images[modality.value].astype(float)[:, :, index[0], index[1]]
            for images, index in ((small, position), (other, there))
        )
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.85


def test_severity_is_monotone():
    ideal = render("S", 24, 6, severity=0.0)
    assert same(ideal, render(IDEAL, 24, 6)) is False, "other subjects, other domain"
    distances = []
    for severity in (0.25, 0.5, 0.75, 1.0):
        faces = render("S", 24, 6, severity=severity)
        assert faces.species == ideal.species
        distances.append(
            [np.abs(faces[m.value].astype(float) - ideal[m.value].astype(float)).mean() for m in MODALITIES]
        )
    assert (np.diff(np.array(distances), axis=0) > 0).all()


def test_a_profile_made_by_sliders():
    dark = render(SensorProfile(rgb_exposure=0.3), 8, 1, species="live")
    light = render(SensorProfile(rgb_exposure=1.0), 8, 1, species="live")
    assert dark.rgb.mean() < light.rgb.mean()
    assert np.array_equal(dark.depth, light.depth) and np.array_equal(dark.infrared, light.infrared)


def test_species_by_name_and_by_list():
    assert set(render("C", 5, 1, species="fake_head", size=16).species) == {"fake_head"}
    wanted = ["live", *SPECIES] * 4
    faces = render("C", len(wanted), 1, species=wanted, size=16)
    assert list(faces.species) == wanted
    assert faces.label.sum() == 4


def test_scenes_mixed_with_objects_keep_their_order(rng):
    scenes = Scenes.concatenate([draw_scenes(3, rng), draw_scenes(4, rng, kind="object"), draw_scenes(2, rng)])
    profiles = [random_profile(rng) for _ in range(9)]
    images = render_scenes(scenes, profiles, 3, size=32)
    assert len(images) == 9
    alone = render_scenes(scenes.select(range(3, 7)), profiles[3:7], 3, size=32)
    assert same(alone, {m.value: images[m.value][3:7] for m in MODALITIES})


def test_random_profiles_are_no_domains(rng):
    domains = [asdict(domain.sensors) for domain in DOMAINS.values()]
    for _ in range(200):
        assert asdict(random_profile(rng)) not in domains


def test_errors_name_what_is_valid(rng):
    with pytest.raises(ValueError, match="unknown domain 'X': valid names are W, C, P, S"):
        render("X", 2, 1)
    with pytest.raises(ValueError, match="unknown split 'dev': valid names are train, val, test"):
        benchmark_split("W", "dev", 2, 1)
    with pytest.raises(ValueError, match="unknown species 'mask': valid names are live, print"):
        render("W", 2, 1, species="mask")
    with pytest.raises(ValueError, match="2 species were given for 3 samples"):
        render("W", 3, 1, species=["live", "print"])
    with pytest.raises(ValueError, match="severity is -1"):
        render("W", 2, 1, severity=-1)
    with pytest.raises(ValueError, match="size is 300: choose 16 to 224"):
        render("W", 2, 1, size=300)
    with pytest.raises(ValueError, match="both must be 0 or more"):
        render("W", 2, -1)
    with pytest.raises(ValueError, match=r"depth_holes is 2: choose a value from 0 to 0\.8"):
        SensorProfile(depth_holes=2)
    with pytest.raises(ValueError, match="1 sensor profiles were given for 2 scenes"):
        render_scenes(draw_scenes(2, rng), [IDEAL], 1)
    with pytest.raises(ValueError, match="unknown kind 'cat'"):
        draw_scenes(1, rng, kind="cat")
    with pytest.raises(KeyError, match="unknown modality 'thermal'"):
        render("W", 1, 1)["thermal"]


def test_nothing_asked_for_gives_nothing():
    faces = render("W", 0, 1)
    assert len(faces) == 0 and faces.rgb.shape == (0, 3, 64, 64) and faces.species == ()


def test_turned_knobs_change_their_sensor_and_nothing_else():
    plain = render("W", 3, 7, species="print")
    turned = render("W", 3, 7, species="print", knobs={"infrared_exposure": 0.3, "infrared_noise": 0.2})
    assert np.array_equal(plain.rgb, turned.rgb) and np.array_equal(plain.depth, turned.depth)
    assert turned.infrared.mean() < plain.infrared.mean() - 10
    assert plain.subject == turned.subject


def test_unknown_and_overturned_knobs_are_named():
    with pytest.raises(ValueError, match="unknown sensor knob 'depth_hole': choose one of rgb_exposure"):
        render("W", 1, 7, knobs={"depth_hole": 0.1})
    with pytest.raises(ValueError, match=r"depth_holes is 2: choose a value from 0 to 0\.8"):
        render("W", 1, 7, knobs={"depth_holes": 2})
