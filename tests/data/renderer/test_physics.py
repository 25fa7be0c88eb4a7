"""Each species has the physical properties it is there for, seen by ideal sensors."""

import numpy as np
import pytest

from mmdg_lite.data.renderer.rendering import render_buffers
from mmdg_lite.data.renderer.scenes import FORMS, MATERIALS, SPECIES, Population, draw_scenes
from mmdg_lite.data.renderer.sensors import SensorProfile, expose
from mmdg_lite.data.synthetic import render

N = 32
MIDDLE = (slice(None), slice(24, 44), slice(22, 42))


@pytest.fixture(scope="module")
def maps():
    """Physical maps of every species, of frontal faces of the same subjects."""
    subjects = [f"test-{number}" for number in range(N)]
    population = Population(yaw=0.1, pitch=0.05, spectacles=0.0, background_distance=(1.0, 1.0), ink=(0.0, 0.4))
    drawn = {}
    for species in ("live", *SPECIES):
        scenes = draw_scenes(N, np.random.default_rng(5), species=species, subjects=subjects, population=population)
        drawn[species] = scenes, render_buffers(scenes, np.random.default_rng(6))
    return drawn


def relief(depth: np.ndarray) -> np.ndarray:
    """Root mean square distance, in cm, of the middle of the face from the plane that fits it best."""
    part = depth[MIDDLE].reshape(len(depth), -1)
    rows, columns = np.mgrid[-1:1:20j, -1:1:20j]
    plane = np.stack([np.ones(400), rows.ravel(), columns.ravel()], 1)
    residual = part - (plane @ np.linalg.lstsq(plane, part.T, rcond=None)[0]).T
    return np.sqrt((residual**2).mean(1))


def infrared_of_face(buffers) -> np.ndarray:
    return np.median(buffers.infrared[MIDDLE].reshape(N, -1), axis=1)


def test_prints_and_screens_are_flat_and_faces_are_not(maps):
    live = relief(maps["live"][1].depth)
    for species in ("print", "replay"):
        assert relief(maps[species][1].depth).max() < 0.3 * live.min()
    assert np.median(relief(maps["bent_print"][1].depth)) > 2 * np.median(relief(maps["print"][1].depth))
    assert np.median(relief(maps["bent_print"][1].depth)) < 0.5 * np.median(live)


def test_a_cut_print_shows_relief_only_in_its_holes(maps):
    flat, cut, live = (relief(maps[s][1].depth) for s in ("print", "cut_print", "live"))
    assert np.median(flat) < np.median(cut)
    assert np.median(np.abs(np.diff(maps["cut_print"][1].depth, axis=2))) < np.median(
        np.abs(np.diff(maps["live"][1].depth[MIDDLE], axis=2))
    )
    assert np.median(live) > np.median(flat)


def test_masks_have_nearly_the_shape_of_faces(maps):
    live = relief(maps["live"][1].depth)
    for species in ("rigid_mask", "flexible_mask", "fake_head"):
        assert 0.75 < np.median(relief(maps[species][1].depth) / live) < 1.3
    assert np.median(relief(maps["paper_mask"][1].depth) / live) < 0.9


def test_screens_are_dark_in_infrared_and_paper_is_bright(maps):
    live = infrared_of_face(maps["live"][1])
    assert infrared_of_face(maps["replay"][1]).max() < live.min()
    assert np.median(infrared_of_face(maps["print"][1])) > np.median(live)


def test_toner_shows_the_picture_in_infrared_and_dye_does_not():
    def contrast(ink: float) -> float:
        population = Population(ink=(ink, ink))
        scenes = draw_scenes(N, np.random.default_rng(1), species="print", population=population)
        infrared = render_buffers(scenes, np.random.default_rng(2)).infrared
        return float(np.median(infrared[MIDDLE].std((1, 2))))

    assert contrast(1.0) > 2 * contrast(0.0)


def test_infrared_of_skin_hardly_depends_on_its_tone():
    def middle(tone: float) -> tuple[float, float]:
        population = Population(tone=(tone, tone), spectacles=0.0, light_strength=(1.0, 1.0))
        subjects = [f"test-{number}" for number in range(N)]
        scenes = draw_scenes(N, np.random.default_rng(3), species="live", subjects=subjects, population=population)
        buffers = render_buffers(scenes, np.random.default_rng(4))
        return float(np.median(buffers.infrared[MIDDLE])), float(np.median(buffers.radiance.mean(1)[MIDDLE]))

    (dark_infrared, dark_visible), (light_infrared, light_visible) = middle(0.1), middle(0.9)
    assert light_visible > 2.5 * dark_visible
    assert light_infrared < 1.3 * dark_infrared


def test_only_living_open_eyes_throw_light_back(maps):
    def returned(species: str) -> np.ndarray:
        return maps[species][1].retro.sum((1, 2))

    assert (returned("live") > 0).all()
    for species in ("print", "replay", "fake_head", "glasses"):
        assert np.median(returned(species)) < 0.05 * np.median(returned("live"))
    assert (returned("flexible_mask") > 0).all()


def test_paper_spectacles_change_the_eyes_only(maps):
    live, attack = maps["live"][1], maps["glasses"][1]
    changed = np.abs(attack.infrared - live.infrared).mean(0)
    assert changed[24:36, 16:48].mean() > 5 * changed[44:, :].mean()
    strip = np.abs(attack.depth - live.depth).mean(0)
    assert strip[24:36, 16:48].mean() > 5 * strip[44:, :].mean()


def test_every_species_looks_different_from_the_living_face_to_some_sense(maps):
    live = maps["live"][1]
    for species in SPECIES:
        attack = maps[species][1]
        seen = {
            "visible": np.abs(attack.radiance - live.radiance)[:, :, 24:44, 22:42].mean(),
            "depth": np.abs(relief(attack.depth) - relief(live.depth)).mean(),
            "infrared": np.abs(attack.infrared - live.infrared)[MIDDLE].mean(),
        }
        assert max(seen["visible"], seen["infrared"]) > 0.02 or seen["depth"] > 0.2, (species, seen)


def test_attributes_are_the_species_own(rng):
    for species in ("live", *SPECIES):
        scenes = draw_scenes(20, rng, species=species)
        plain = scenes.attributes(0)
        assert plain["species"] == species and "traits" not in plain
        assert set(scenes.material) <= set(MATERIALS) and set(scenes.form) <= set(FORMS)
        assert (set(scenes.glasses) == {"patterned"}) == (species == "glasses")
    assert set(draw_scenes(20, rng, species="replay").material) == {"screen"}
    assert set(draw_scenes(20, rng, species="live").material) == {"skin"}


def depth_of(profile: SensorProfile, **options) -> np.ndarray:
    return render(profile, 16, 3, species="live", **options).depth.astype(float)


def test_depth_knobs_do_what_they_say():
    plain = depth_of(SensorProfile())
    inverted = depth_of(SensorProfile(depth_inverted=True))
    measured = (plain > 0) & (inverted > 0)
    assert measured.mean() > 0.3
    assert np.abs(plain + inverted - 255)[measured].max() <= 1
    assert (depth_of(SensorProfile(depth_missing=1.0)) == 0).all()
    assert len(np.unique(depth_of(SensorProfile(depth_levels=8)))) <= 8
    holes = [(depth_of(SensorProfile(depth_holes=h)) == 0).mean() for h in (0.0, 0.2, 0.5)]
    assert holes[0] < holes[1] < holes[2]
    assert (depth_of(SensorProfile(depth_edge_holes=1.0)) == 0).mean() > holes[0]
    assert (depth_of(SensorProfile(depth_dark_holes=1.0)) == 0).mean() > holes[0]
    domed = depth_of(SensorProfile(depth_bulge=5.0)) - plain
    assert domed[..., 30:34, 30:34].mean() > 0


def test_infrared_knobs_do_what_they_say():
    def infrared(**knobs) -> np.ndarray:
        return render(SensorProfile(**knobs), 16, 3, species="live").infrared.astype(float)

    plain = infrared()
    assert infrared(infrared_exposure=2.0).mean() > plain.mean()
    means = infrared(infrared_automatic=1.0).mean((1, 2, 3))
    assert means.std() < plain.mean((1, 2, 3)).std()
    assert infrared(infrared_leak=0.5).mean() > plain.mean()
    lit = infrared(infrared_hotspot=1.0)
    assert lit[..., :4, :4].mean() < 0.5 * plain[..., :4, :4].mean()
    assert infrared(infrared_pupils=1.5).sum() > infrared(infrared_pupils=0.0).sum()


def test_exposing_leaves_the_maps_alone(rng):
    buffers = render_buffers(draw_scenes(4, rng), rng)
    before = buffers.radiance.copy(), buffers.depth.copy(), buffers.infrared.copy()
    expose(buffers, SensorProfile(rgb_blur=2.0, infrared_blur=1.0, depth_blur=3.0, rgb_compression=0.5), rng)
    for kept, now in zip(before, (buffers.radiance, buffers.depth, buffers.infrared), strict=True):
        assert np.array_equal(kept, now)
