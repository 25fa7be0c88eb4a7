"""Words separate before any training; vectors land on placeholders, by hand as in the package; tails are enough."""

from typing import Any


def check(found: dict[str, Any]) -> None:
    assert found["faces"] == 100
    by_words = [auc for domains in found["by_words"].values() for auc in domains.values()]
    assert len(by_words) == 12 and all(0 <= auc <= 1 for auc in by_words)
    assert sum(by_words) / 12 > 0.5 + 2 * found["chance_spread"]

    assert found["counted"] == [21, 22, 23, 24, 25] and found["placed"] == [25, 26, 27, 28, 29]
    assert found["misplaced"] == 54
    assert found["by_hand_difference"] < 1e-5 and found["causal_difference"] < 1e-4
    assert found["tokens"] == [77, 31, 6]

    assert set(found["closeness"]) == {"rgb", "depth", "infrared"}
    assert all(-1 <= value < 0.999 for pair in found["closeness"].values() for value in pair.values())
    assert all(0 < share <= 1 for share in found["in_plane"].values()) and len(found["in_plane"]) == 6

    by_text = found["auc_by_text"]
    assert len(by_text) == 4
    assert by_text["trained features, learned vectors"] != by_text["trained features, hand-written sentences"]
    assert by_text["trained features, learned vectors"]["mean of three"] > 60
    assert found["auc"]["head"] > 0.7 and found["auc"]["text"] > 0.6
    assert found["auc_on_source"]["learned"] > 0.7
    for gain in (found["learned_minus_written"], found["learned_minus_written_on_source"]):
        told = "better" if gain["low"] > 0 else "worse" if gain["high"] < 0 else "undecided"
        assert gain["low"] < gain["high"] and gain["verdict"] == told
    assert found["head_minus_text"]["low"] < found["head_minus_text"]["high"]
