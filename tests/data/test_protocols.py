"""The six protocols say what the papers do."""

from dataclasses import FrozenInstanceError

import pytest

from mmdg_lite.data.protocols import PROTOCOLS, Setting
from mmdg_lite.data.real.lists import SPLITS
from mmdg_lite.data.renderer.domains import DOMAINS
from mmdg_lite.modality import Modality

D, INFRARED = Modality.DEPTH, Modality.INFRARED


def test_names_say_sources_and_targets():
    assert set(PROTOCOLS) == {"P1", "P2", "P3", "P4", "P5", "P6"}
    for protocol in ("P1", "P2", "P3", "P5", "P6"):
        for name, setting in PROTOCOLS[protocol].items():
            assert name == setting.name == f"{''.join(setting.sources)}->{''.join(setting.targets)}"
            assert setting.protocol == protocol
            assert not set(setting.sources) & set(setting.targets)
            assert set(setting.sources) | set(setting.targets) == set("WCPS")


def test_each_domain_is_left_out_once():
    for protocol in ("P1", "P2", "P5", "P6"):
        assert list(PROTOCOLS[protocol]) == ["CPS->W", "CPW->S", "CSW->P", "PSW->C"]
    assert list(PROTOCOLS["P3"]) == ["CW->PS", "PS->CW"]


def test_what_is_missing_at_test():
    assert {setting.missing for setting in [*PROTOCOLS["P1"].values(), *PROTOCOLS["P3"].values()]} == {((),)}
    assert {setting.missing for setting in PROTOCOLS["P2"].values()} == {((D,), (INFRARED,), (D, INFRARED))}
    assert {setting.missing for setting in PROTOCOLS["P5"].values()} == {((), (D,), (INFRARED,), (D, INFRARED))}
    assert {setting.modality_dropout for setting in PROTOCOLS["P5"].values()} == {0.3}
    assert {
        setting.modality_dropout for name in ("P1", "P2", "P3", "P4", "P6") for setting in PROTOCOLS[name].values()
    } == {0.0}


def test_unseen_attacks_leave_one_species_out_within_a_domain():
    for name, setting in PROTOCOLS["P4"].items():
        assert name == f"{setting.sources[0]} without {setting.left_out_species}"
        assert setting.sources == setting.targets and setting.synthetic_only == (setting.sources != ("W",))
        assert DOMAINS[setting.sources[0]].mixture[setting.left_out_species] > 0
    assert {setting.sources for setting in PROTOCOLS["P4"].values()} == {(letter,) for letter in DOMAINS}
    real = {setting.left_out_species for setting in PROTOCOLS["P4"].values() if not setting.synthetic_only}
    assert real == {"print", "replay", "fake_head", "paper_mask", "rigid_mask", "flexible_mask", "glasses"}


def test_every_domain_of_a_protocol_exists_as_a_synthetic_one():
    letters = {letter for group in PROTOCOLS.values() for s in group.values() for letter in s.sources + s.targets}
    assert letters == set(DOMAINS) and set(SPLITS) == {"train", "val", "test"}


def test_settings_cannot_be_changed():
    setting = PROTOCOLS["P1"]["CPS->W"]
    assert isinstance(setting, Setting)
    with pytest.raises(FrozenInstanceError):
        setting.name = "other"


def test_deployments_are_tests_of_synthetic_faces_in_p6_alone():
    assert {name for name, settings in PROTOCOLS.items() for s in settings.values() if s.deployments} == {"P6"}
    assert all(
        setting.deployments and setting.synthetic_only and setting.missing == ((),)
        for setting in PROTOCOLS["P6"].values()
    )
