from __future__ import annotations

import pytest

from tests.tidegate.local.eventing.harness import event
from tidegate.local.eventing.delivery import hops
from tidegate.local.eventing.delivery.hops import MAX_HOPS, TTL, TooManyHops


def test_chain_of_replies_ends() -> None:
    found = event()
    for left in range(MAX_HOPS - 1, 0, -1):
        found = hops.following(event(), found)
        assert hops.left(found) == left

    with pytest.raises(TooManyHops, match="filter by type"):
        hops.following(event(), found)


@pytest.mark.parametrize(
    ("value", "left"),
    [("7", 7), (7, 7), ("-1", -1), ("many", MAX_HOPS), ("9" * 5000, MAX_HOPS), (True, MAX_HOPS)],
    ids=["text", "integer", "negative", "no-number", "large", "boolean"],
)
def test_count_from_outside_is_a_number_up_to_the_maximum(value: str | int, left: int) -> None:
    assert hops.left(event(**{TTL: value})) == left


def test_subscriber_does_not_see_the_count() -> None:
    assert hops.without(event(**{TTL: 3})) == event()
