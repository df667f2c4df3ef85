from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from functions.rollout.evidence.sample import MOST_DIGESTS, Sample

DIGESTS = st.integers(0, 2**32 - 1)


@given(st.lists(st.lists(DIGESTS)))
def test_each_key_is_counted_once_in_any_number_of_windows(windows: list[list[int]]) -> None:
    seen, counted = Sample(), []
    for window in windows:
        seen, admitted = seen.admit(window)
        counted += admitted

    assert sorted(counted) == sorted({digest for window in windows for digest in window})


def test_a_full_sample_keeps_counting_new_keys_only_and_does_not_grow() -> None:
    draw = random.Random(7)  # noqa: S311 not for secrets
    windows = [[draw.getrandbits(32) for _ in range(600)] for _ in range(40)]
    seen, counted = Sample(), []
    for window in windows + windows:  # all of them are delivered twice
        before = seen
        seen, admitted = seen.admit(window)
        counted += admitted
        assert len(seen.digests) <= MOST_DIGESTS
        assert seen.halvings >= before.halvings

    assert len(counted) == len(set(counted))
    assert seen.halvings == 4  # 24,000 keys
    assert {digest for window in windows for digest in window if digest < seen.threshold} == seen.digests


def test_a_sample_of_one_repeated_digest_ends() -> None:
    seen, _ = Sample(halvings=32).admit([0, 1, 2])

    assert seen.digests == {0}
