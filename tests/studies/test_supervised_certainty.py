"""What is measured of taught certainty: regions, faults, and finished runs."""

import numpy as np
import pandas as pd
import pytest

from mmdg_lite.data.corruption import HELD_OUT, KINDS
from mmdg_lite.data.synthetic import render
from mmdg_lite.models.builder import ModelConfig, build
from mmdg_lite.studies import supervised_certainty as study
from mmdg_lite.training.run import train
from tests.support.small_runs import small_config, small_data


def model_of(architecture):
    return build(ModelConfig(source_domains=("C", "P", "S"), architecture=architecture))


@pytest.mark.parametrize("architecture", ["mmdg++", "mmdg++_supervised"])
def test_maps_have_a_certainty_for_every_patch_of_every_modality(architecture):
    maps = study.certainty_maps(model_of(architecture), render("W", 3, 0))
    assert maps.shape == (3, 3, 64) and maps.min() > 0 and maps.max() <= 1


def test_a_certainty_that_sees_the_region_has_an_auc_of_one(monkeypatch):
    """Doubt where a picture differs from the clean one: all kinds are found, and inside is below outside."""
    clean = render("W", 6, 0)

    def changed(model, faces):
        maps = []
        for name in ("rgb", "depth", "infrared"):
            differs = (faces[name] != clean[name]).any(axis=1).reshape(6, 8, 8, 8, 8).any(axis=(2, 4))
            maps.append(1.0 - differs.reshape(6, 64))
        return np.stack(maps, axis=1)

    monkeypatch.setattr(study, "certainty_maps", changed)
    table = study.certainty_of_regions(model_of("mmdg++"), clean)
    assert len(table) == 3 * len(KINDS) and set(table["kind"][table["held_out"]]) == set(HELD_OUT)
    noise = table[table["kind"].isin(["noise", "foreign"])]
    assert (noise["auc"] > 0.95).all() and (noise["outside"] == 1).all() and (noise["inside"] < 0.1).all()


def test_finished_runs_are_measured_once(tmp_path):
    for method in ("mmdg++_supervised", "mmdg++", "fusion"):
        config = small_config(method)
        train(config, tmp_path / "runs" / config.name, progress=False, data=small_data(config))
    files = study.study(tmp_path / "runs", out=tmp_path / "out", faces=4, progress=False)
    regions, faults = (pd.read_csv(path) for path in files)
    assert set(regions["method"]) == set(faults["method"]) == {"mmdg++", "mmdg++_supervised"}
    assert len(faults) == 2 * 3 * 6 * 3 and faults["certainty"].between(0, 1).all()
    before = [path.read_bytes() for path in files]
    study.study(tmp_path / "runs", out=tmp_path / "out", faces=4, progress=False)
    assert [path.read_bytes() for path in files] == before
