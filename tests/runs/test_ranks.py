"""What a rank says when another one ended, without processes that race each other."""

import pytest
import torch.distributed as dist

from mmdg_lite.runs import ranks
from mmdg_lite.runs.ranks import FAILURE, RankFailed


def test_a_collective_call_that_fails_says_that_a_rank_is_gone_and_what_is_kept():
    said = r"another rank is gone, killed perhaps .*state .* is kept, .* goes on"
    with pytest.raises(RankFailed, match=said), ranks._waiting():
        raise RuntimeError("Connection closed by peer")


def test_the_first_rank_that_fails_leaves_word_and_the_others_repeat_it():
    store = dist.HashStore()
    assert ranks._first_failure(store, 1, ValueError("a cable was pulled")) is None
    word = "rank 1 failed: ValueError: a cable was pulled"
    assert store.get(FAILURE).decode() == word
    assert ranks._first_failure(store, 0, RankFailed("another rank is gone")) == word
    assert ranks._first_failure(store, 0, ValueError("of its own")) == word


def test_of_a_rank_that_left_no_word_only_its_absence_is_said():
    assert ranks._first_failure(dist.HashStore(), 0, RankFailed("another rank is gone")) == "another rank is gone"


def test_a_store_that_went_with_its_rank_changes_nothing():
    class Gone:
        def check(self, *_):
            raise RuntimeError("Connection reset by peer")

        compare_set = check

    assert ranks._first_failure(Gone(), 0, RankFailed("another rank is gone")) == "another rank is gone"
    assert ranks._first_failure(Gone(), 0, ValueError("of its own")) is None
