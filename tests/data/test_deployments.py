"""The frozen deployments follow from their seed and lie where they say; faults change one modality, step by step."""

import json
from dataclasses import fields

import numpy as np
import pytest

from mmdg_lite.configuration import ConfigurationError, read_values, write_json
from mmdg_lite.data.deployments import (
    FACES,
    FAULTS,
    FILE,
    INSIDE,
    OUTSIDE,
    SEVERITIES,
    TURNED,
    deployment_faces,
    deployments,
    draw_deployments,
    fault_faces,
    fault_points,
    faulty,
    read_deployments,
    write_deployments,
)
from mmdg_lite.data.renderer.domains import DOMAINS, SPLITS
from mmdg_lite.data.renderer.scenes import SPECIES
from mmdg_lite.data.renderer.sensors import SensorProfile, turn
from mmdg_lite.data.synthetic import benchmark_split
from mmdg_lite.modality import MODALITIES, Modality

KNOBS = {knob.name: knob for knob in fields(SensorProfile)}


def test_the_shipped_file_follows_from_the_seed(tmp_path) -> None:
    assert write_deployments(tmp_path / "again.json").read_bytes() == FILE.read_bytes()
    assert deployments() == draw_deployments()


def test_another_seed_gives_others_and_no_two_are_alike() -> None:
    assert not set(draw_deployments(1)) & set(deployments())
    sensors = [deployment.sensors for deployment in deployments()]
    assert len(set(sensors)) == len(sensors) == INSIDE + OUTSIDE >= 24
    assert not set(sensors) & {domain.sensors for domain in DOMAINS.values()}
    assert [deployment.name for deployment in deployments()] == [f"d{number:02d}" for number in range(len(sensors))]


@pytest.mark.parametrize("seed", [2026, 0, 7])
def test_half_lie_inside_of_the_usual_ranges_and_half_outside_with_every_sensor(seed) -> None:
    drawn = draw_deployments(seed)
    assert [deployment.inside for deployment in drawn] == [True] * INSIDE + [False] * OUTSIDE
    for deployment in drawn[INSIDE:]:
        turned = [name.split("_")[0] for name in deployment.outside]
        assert {modality.value: turned.count(modality.value) for modality in MODALITIES} == dict.fromkeys(
            ("rgb", "depth", "infrared"), TURNED
        )
        for name in deployment.outside:
            low, high = KNOBS[name].metadata["usual"]
            value = getattr(deployment.sensors, name)
            assert min(abs(value - low), abs(value - high)) <= high - low + 1e-4
    assert not any(deployment.sensors.depth_inverted for deployment in drawn)


@pytest.mark.parametrize(
    "damage, named",
    [
        (lambda values: values["deployments"][3]["sensors"].update(rgb_blur=0.5), "checksum"),
        (lambda values: values.update(version="0"), "version 1"),
        (lambda values: values.pop("deployments"), "version 1"),
    ],
)
def test_a_changed_file_is_refused_by_name(damage, named, tmp_path) -> None:
    values = read_values(FILE)
    damage(values)
    write_json(tmp_path / "changed.json", values)
    with pytest.raises(ConfigurationError, match=f"changed.json.*{named}"):
        read_deployments(tmp_path / "changed.json")


def test_an_unknown_knob_is_refused_by_name(tmp_path, monkeypatch) -> None:
    values = read_values(FILE)
    values["deployments"][3]["sensors"]["rgb_colour"] = 1.0
    monkeypatch.setattr("mmdg_lite.data.deployments._checksum", lambda listed: values["sha256"])
    write_json(tmp_path / "changed.json", values)
    with pytest.raises(ConfigurationError, match=r"deployments\[3\].*rgb_colour"):
        read_deployments(tmp_path / "changed.json")


def test_a_deployment_has_all_species_and_people_of_its_own() -> None:
    first, second = (deployment_faces(deployments()[number], 40, size=16) for number in (0, INSIDE))
    for faces in (first, second):
        assert faces.label.sum() == 20
        counts = [faces.species.count(species) for species in SPECIES]
        assert sum(counts) == 20 and set(counts) == {2, 3}
    benchmark = {subject for split in SPLITS for subject in benchmark_split("W", split, 40, 2026, size=16).subject}
    assert not set(first.subject) & set(second.subject) and not set(first.subject) & benchmark


def test_the_same_deployment_gives_the_same_faces() -> None:
    a, b = (deployment_faces(deployments()[5], 6, size=16) for _ in range(2))
    assert all(np.array_equal(a[modality.value], b[modality.value]) for modality in MODALITIES)


def test_a_fault_moves_its_knobs_evenly_to_the_limit() -> None:
    sensors = SensorProfile(depth_holes=0.1, depth_noise=1.5, rgb_blur=2.0)
    holes = [faulty(sensors, Modality.DEPTH, severity).depth_holes for severity in (0, *SEVERITIES)]
    assert holes == pytest.approx([0.1, 0.24, 0.38, 0.52, 0.66, 0.8])
    assert faulty(sensors, Modality.DEPTH, 5).depth_noise == 4.0
    colour = faulty(sensors, Modality.RGB, 1)
    assert (colour.rgb_blur, colour.rgb_exposure) == pytest.approx((2.0 + 6.0 / 5, 1.0 + 2.0 / 5))
    assert turn(colour, {"rgb_blur": 2.0, "rgb_exposure": 1.0}) == sensors
    assert faulty(sensors, Modality.INFRARED, 5).infrared_exposure == KNOBS["infrared_exposure"].metadata["low"]
    for modality, knobs in FAULTS.items():
        assert all(name.startswith(modality.value) for name in knobs)
        assert faulty(sensors, modality, 0) == sensors
    with pytest.raises(ValueError, match="severity is 6"):
        faulty(sensors, Modality.RGB, 6)


def test_a_fault_changes_nothing_but_its_modality_in_the_first_faces_of_the_test_list() -> None:
    whole = benchmark_split("P", "test", 64, 2026, size=16)
    for modality in MODALITIES:
        faces = fault_faces("P", modality, 3, 20, size=16)
        assert faces.subject == whole.subject[:20] and faces.species == whole.species[:20]
        unchanged = {m for m in MODALITIES if np.array_equal(faces[m.value], whole[m.value][:20])}
        assert unchanged == set(MODALITIES) - {modality}
    none = fault_faces("P", Modality.RGB, 0, 20, size=16)
    assert all(np.array_equal(none[m.value], whole[m.value][:20]) for m in MODALITIES)


def test_the_faces_of_a_run_are_as_many_as_stated() -> None:
    points = list(fault_points())
    assert len(points) == len(set(points)) == 15
    assert FACES * len(deployments()) + FACES * len(points) == 7800
    assert json.loads(FILE.read_text())["seed"] == 2026
