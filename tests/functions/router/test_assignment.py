from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.router.assignment import assign, choose, event_key
from functions.runtime.errors import UnknownModel
from functions.runtime.knative.traffic import Arm, RoutedModel


def arms(*percents: int) -> tuple[Arm, ...]:
    return tuple(Arm(revision=f"r{number}", tags=(f"t{number}",), percent=percent, url="") for number, percent in enumerate(percents))


def shares(split: tuple[Arm, ...], keys: int = 20_000) -> list[float]:
    assigned = [assign(split, b"salt", f"key {number}".encode()).arm for number in range(keys)]
    return [assigned.count(arm) / keys for arm in split]


@pytest.mark.parametrize("percents", [(90, 10), (95, 5), (40, 60), (1, 99), (70, 20, 10), (65, 5, 10, 20), (34, 33, 33)])
def test_each_arm_gets_its_percentage_of_the_keys(percents: tuple[int, ...]) -> None:
    for found, percent in zip(shares(arms(*percents)), percents, strict=True):
        weight = percent / 100
        assert abs(found - weight) < 4 * math.sqrt(weight * (1 - weight) / 20_000)


@given(st.binary(), st.binary(), st.lists(st.integers(1, 98), min_size=1, max_size=6))
def test_a_key_in_the_canary_stays_while_it_grows(salt: bytes, key: bytes, steps: list[int]) -> None:
    canary = [assign(arms(100 - percent, percent), salt, key).arm.revision == "r1" for percent in [*sorted(steps), 99]]
    assert canary == sorted(canary)


@given(st.binary(), st.binary(), st.integers(1, 50), st.integers(1, 40))
def test_a_third_arm_that_grows_only_takes(salt: bytes, key: bytes, before: int, more: int) -> None:
    # The other two keep their ratio of 2 to 1.
    small = assign(arms(100, 50, before), salt, key).arm
    large = assign(arms(100, 50, before + more), salt, key).arm
    assert large.revision in (small.revision, "r2")


def test_the_assignment_never_changes() -> None:
    # Written down, since every replica, restart and later release must agree.
    assert [assign(arms(50, 50), b"flights/", f"N{number}".encode()).arm.revision for number in range(8)] == [
        "r1",
        "r0",
        "r1",
        "r1",
        "r1",
        "r0",
        "r0",
        "r1",
    ]
    assert [assign(arms(50, 30, 20), b"flights/", f"N{number}".encode()).arm.revision for number in range(8)] == [
        "r2",
        "r0",
        "r0",
        "r0",
        "r0",
        "r2",
        "r1",
        "r2",
    ]


def test_another_rollout_assigns_independently() -> None:
    keys = [f"N{number}".encode() for number in range(1_000)]
    both = [[assign(arms(50, 50), salt, key).arm.revision for key in keys] for salt in (b"flights/a", b"flights/b")]
    same = sum(one == other for one, other in zip(*both, strict=True))
    assert 420 < same < 580


def test_an_override_takes_precedence_and_no_key_means_a_random_arm() -> None:
    stable, canary = arms(80, 20)
    old = Arm(revision="old", tags=("v0",), percent=0, url="")
    model = RoutedModel(name="flights", arms=(stable, canary, old), stable=stable, canaries=(canary,), salt=b"")
    assert {choose(model, None, None).arm.revision for _ in range(200)} == {"r0", "r1"}
    assert choose(model, "v0", b"key").arm.revision == "old"
    with pytest.raises(UnknownModel, match="no revision or tag v7; it has r0, t0, r1, t1, old, v0"):
        choose(model, "v7", b"key")


def test_the_key_of_an_event_is_its_most_explicit_one() -> None:
    event = {"source": "/s", "id": "1", "subject": "about", "partitionkey": "kafka", "routingkey": "explicit"}
    found = []
    for name in ("routingkey", "partitionkey", "subject", "none"):
        found.append(event_key(event))
        event.pop(name, None)
    assert found == [b"explicit", b"kafka", b"about", b"/s\x001"]
    assert event_key({"source": "/s", "id": "1", "partitionkey": "", "subject": True}) == b"true"
