"""The three modalities and their one order."""

import open_clip
import pytest

import mmdg_lite
from mmdg_lite.modality import CLIP_MEAN, CLIP_STD, MODALITIES, Modality


def test_order_and_names() -> None:
    assert MODALITIES == (Modality.RGB, Modality.DEPTH, Modality.INFRARED) == tuple(Modality)
    assert [modality.value for modality in MODALITIES] == ["rgb", "depth", "infrared"]


def test_package_exports_them() -> None:
    assert mmdg_lite.MODALITIES is MODALITIES
    assert mmdg_lite.Modality is Modality


@pytest.mark.parametrize("modality", MODALITIES)
def test_index_others_and_lookup(modality: Modality) -> None:
    assert MODALITIES[modality.index] is modality
    assert modality not in modality.others
    assert sorted([modality, *modality.others], key=MODALITIES.index) == list(MODALITIES)
    assert modality.others[0].index < modality.others[1].index
    assert Modality(modality.value) is modality


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="thermal"):
        Modality("thermal")


def test_images_are_normalised_as_the_library_of_clip_does_it():
    assert (CLIP_MEAN, CLIP_STD) == (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
