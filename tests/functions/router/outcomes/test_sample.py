from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from functions.router.outcomes.sample import MOST_ITEM_BYTES, Draw, FailedReplies, Sample, SampledReply

# Requests by the number of items for each of two arms.
REQUESTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any), max_size=60)


def sampled(requests: list[tuple[int, int]], numbers: list[float], most: int) -> list[tuple[str, int, int]]:
    """The replies in the sample: the arm, the index of the request, and the number of items."""
    sample = Sample(most)
    for index, (shares, number) in enumerate(zip(requests, numbers, strict=True)):
        draw = Draw(sum(shares), number)
        for arm, items in zip("ab", shares, strict=True):
            if items:
                sample.add(draw, SampledReply(arm, (index,) * items, b"{}"))
    return [(reply.revision, reply.items[0] or 0, len(reply.items)) for reply in sample.replies()]


def drawn(seed: int, count: int) -> list[float]:
    random = Random(seed)  # noqa: S311 not for secrets
    return [random.random() for _ in range(count)]


@given(REQUESTS, st.integers(0, 2**32), st.integers(1, 40))
def test_a_request_is_sampled_whatever_its_arms_are(requests: list[tuple[int, int]], seed: int, most: int) -> None:
    numbers = drawn(seed, len(requests))
    found = sampled(requests, numbers, most)
    assert sum(items for _, _, items in found) <= most

    split = {index for _, index, _ in found}
    assert len(found) == sum(bool(share) for index in split for share in requests[index]), "all parts of a request, or none"
    # The same requests, all of them by one arm.
    unsplit = sampled([(sum(shares), 0) for shares in requests], numbers, most)
    assert split == {index for _, index, _ in unsplit}


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.booleans()), max_size=30), st.integers(0, 2**32), st.integers(1, 60))
def test_failures_are_kept_whatever_the_arms_are(requests: list[tuple[int, int, bool]], seed: int, most: int) -> None:
    """The replies report failures in both of their parts, in one, or in an only part with the size of both."""

    def kept(*, split: bool, first_fails: bool) -> set[int]:
        failed = FailedReplies(most)
        for index, ((left, right, second_fails), number) in enumerate(zip(requests, drawn(seed, len(requests)), strict=True)):
            draw = Draw(2, number)
            parts = [(left, first_fails), (right, second_fails or not first_fails)] if split and right else [(left + right, True)]
            for size, fails in parts:
                failed.add(draw, SampledReply("a", (index,), b"x" * size), has_failed=fails)
        assert sum(len(reply.body) for reply in failed.replies()) <= most
        return {reply.items[0] or 0 for reply in failed.replies()}

    whole = kept(split=False, first_fails=True)
    assert kept(split=True, first_fails=True) == whole
    assert kept(split=True, first_fails=False) == whole


@given(REQUESTS, st.integers(0, 2**32))
def test_all_requests_are_sampled_while_there_is_room(requests: list[tuple[int, int]], seed: int) -> None:
    numbers = drawn(seed, len(requests))
    assert len({index for _, index, _ in sampled(requests, numbers, 2_000)}) == len(requests)


@given(st.lists(st.integers(1, 3 * MOST_ITEM_BYTES), min_size=2, max_size=6), st.data())
def test_a_size_is_that_of_the_whole_request(sizes: list[int], data: st.DataObject) -> None:
    """Otherwise an item with a large answer would be in the sample more often by the arm whose part has more others."""
    arms = [data.draw(st.sampled_from("ab")) for _ in sizes]
    sample, draw = Sample(), Draw(len(sizes), 0.5)
    for arm in "ab":
        own = [size for size, its in zip(sizes, arms, strict=True) if its == arm]
        if own:
            sample.add(draw, SampledReply(arm, (1,) * len(own), b"x" * sum(own)))
    items = sum(len(reply.items) for reply in sample.replies())
    assert items == (len(sizes) if sum(sizes) <= MOST_ITEM_BYTES * len(sizes) else 0)


def test_a_large_reply_is_not_kept() -> None:
    sample = Sample()
    sample.add(Draw(1, 0.5), SampledReply("a", (1,), b"x" * (MOST_ITEM_BYTES + 1)))
    assert sample.replies() == []
