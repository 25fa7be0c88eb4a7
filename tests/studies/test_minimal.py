import pytest
import torch

from mmdg_lite import minimal
from mmdg_lite.studies.minimal import LINE_EVERY, train_minimal

FEW = {"steps": LINE_EVERY + 1, "batch_size": 2, "sentences_per_class": 1} | dict.fromkeys(
    ("train_samples", "validation_samples", "test_samples"), 8
)


def test_a_short_training_prints_losses_and_results_and_can_be_repeated(capsys):
    state = torch.get_rng_state()
    made = train_minimal(**FEW)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(made.losses) == FEW["steps"]
    assert all(set(of_step) == {*minimal.MODALITIES, "total"} for of_step in made.losses)
    assert made.before.live + made.before.spoof == FEW["test_samples"]
    assert made.before != made.after
    lines = capsys.readouterr().out.splitlines()
    of_losses = [line.split() for line in lines if line.strip().startswith("steps")]
    assert [line[:4] for line in of_losses] == [["steps", "1", "to", "5"], ["steps", "6", "to", "6"]]
    mean = sum(of_step["total"] for of_step in made.losses[:LINE_EVERY]) / LINE_EVERY
    assert float(of_losses[0][-1]) == pytest.approx(mean, abs=6e-4)
    assert [float(value) for value in of_losses[1][4:]] == pytest.approx(list(made.losses[-1].values()), abs=6e-4)
    for name, metrics in (("before", made.before), ("after", made.after)):
        (line,) = (line for line in lines if line.startswith(name))
        assert line.endswith(f"AUC {100 * metrics.auc:.1f} %, HTER {100 * metrics.hter:.1f} %")

    again, other = (train_minimal(**FEW | {"steps": 1, "progress": False}, seed=seed) for seed in (0, 1))
    assert again.losses == made.losses[:1] != other.losses
    assert again.before == made.before != other.before
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong, named",
    [
        ({"sentences_per_class": 10}, "sentences_per_class"),
        ({"sentences_per_class": 0}, "sentences_per_class"),
        ({"steps": 0}, "steps"),
        ({"setting": "CPS->X"}, "CPS->X"),
    ],
)
def test_numbers_out_of_range_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        train_minimal(**FEW | wrong)
