from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from functions.router.outcomes.sample import MOST_ITEM_BYTES, Draw, Sample, SampledReply

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


@given(REQUESTS, st.integers(0, 2**32))
def test_all_requests_are_sampled_while_there_is_room(requests: list[tuple[int, int]], seed: int) -> None:
    numbers = drawn(seed, len(requests))
    assert len({index for _, index, _ in sampled(requests, numbers, 2_000)}) == len(requests)


def test_a_large_reply_is_not_kept() -> None:
    sample = Sample()
    sample.add(Draw(1, 0.5), SampledReply("a", (1,), b"x" * (MOST_ITEM_BYTES + 1)))
    assert sample.replies() == []
