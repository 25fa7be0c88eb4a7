"""Words separate before any training, with and without material words; vectors land on placeholders; one value each."""

from typing import Any

import pytest


def check(found: dict[str, Any]) -> None:
    assert found["faces"]["W"] == 1000 and min(found["faces"].values()) >= 400
    spread = found["chance_spread"]
    for words in (found["by_words"], found["by_words_without_materials"]):
        by_words = [auc for domain in words.values() for auc in domain.values()]
        assert len(by_words) == 12 and all(0 <= auc <= 1 for auc in by_words)
        assert sum(by_words) / 12 > 0.5 + 2 * max(spread.values())
    assert found["clear"] == sum(
        auc > 0.5 + 2 * spread[domain]
        for domain, aucs in found["by_words_without_materials"].items()
        for auc in aucs.values()
    )
    assert found["apart"] < 4  # points from the report's numbers, of 600 faces

    assert found["counted"] == [21, 22, 23, 24, 25] and found["placed"] == [25, 26, 27, 28, 29]
    assert found["misplaced"] == 54
    assert found["class_difference"] < 1e-5
    assert found["toy"]["live"] > 0.5 and found["toy"]["spoof"] > 0.5

    assert set(found["closeness"]) == {"rgb", "depth", "infrared"}
    assert all(-1 <= value < 0.999 for pair in found["closeness"].values() for value in pair.values())

    by_text = found["auc_by_text"]
    assert len(by_text) == 4
    frozen = by_text["frozen features, hand-written words"]
    for modality, auc in found["by_words"]["W"].items():  # one quantity, one value
        assert frozen[modality] == pytest.approx(auc, abs=1e-4)
    learned = by_text["trained features, learned vectors"]["mean score"]
    written = by_text["trained features, hand-written words"]["mean score"]
    assert learned > 0.6 and found["auc"]["text"] == pytest.approx(learned) and found["auc"]["head"] > 0.7
    assert found["gains"]["words"]["difference"] == pytest.approx(100 * (learned - written))
    for gain in found["gains"].values():
        told = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "undecided"
        assert gain["low"] < gain["high"] and gain["verdict"] == told
    told = {name: gain["verdict"] for name, gain in found["gains"].items()}  # as the figure's title says
    assert told == {"features": "better", "words": "worse", "source": "worse", "head": "better"}
