from __future__ import annotations

import asyncio
import math
import threading
from array import array
from collections.abc import Iterator

import pytest

from functions.runtime.encoding import Rows
from functions.runtime.errors import TimedOut
from functions.runtime.models import Kind, Prediction, Signature
from functions.runtime.turns import SLICE_ROWS, Turns

SLICE = SLICE_ROWS["value"]


class Doubler:
    """It waits at the gate before each call, and notes the first value of what it was given."""

    signature = Signature(1)

    def __init__(self) -> None:
        self.calls: list[tuple[float, int, str]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(1_000_000)

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        self.entered.release()
        self.gate.acquire(timeout=10)
        self.calls.append((values[0], rows, threading.current_thread().name))
        if values[0] < 0:
            raise RuntimeError("no negative values")
        return Prediction(array("f", [2 * value for value in values]), ())


@pytest.fixture
def model() -> Doubler:
    return Doubler()


@pytest.fixture
def turns(model: Doubler) -> Iterator[Turns]:
    made = Turns(lambda: model, lambda *_: None)
    yield made
    made.close()


def rows(value: float, count: int) -> Rows:
    return Rows(array("f", [value]) * count, count)


async def closed(model: Doubler) -> None:
    """No call goes on from now; returns when one waits at the gate."""
    await asyncio.to_thread(model.entered.acquire, timeout=10)


async def test_a_large_request_is_predicted_in_slices_off_the_event_loop(model: Doubler, turns: Turns) -> None:
    count = 2 * SLICE + 5
    answer = await turns.predict(Rows(array("f", range(count)), count), "value", math.inf)
    assert answer.values.tolist() == [2.0 * index for index in range(count)]
    assert [size for _, size, _ in model.calls] == [SLICE, SLICE, 5]
    assert all(thread.startswith("predict") for _, _, thread in model.calls)


async def test_a_small_request_waits_for_one_slice_of_a_large_one_and_not_for_all(model: Doubler, turns: Turns) -> None:
    model.gate = threading.Semaphore(0)
    large = turns.predict(rows(1, 10 * SLICE), "value", math.inf)
    await closed(model)
    small = turns.predict(rows(2, 100), "value", math.inf)
    model.gate.release(1_000)
    await small
    assert [first for first, _, _ in model.calls][:3].index(2.0) <= 2
    assert not large.done()
    assert len((await large).values) == 10 * SLICE


async def test_nothing_more_is_computed_for_a_caller_who_has_gone(model: Doubler, turns: Turns) -> None:
    model.gate = threading.Semaphore(0)
    gone = turns.predict(rows(1, 10 * SLICE), "value", math.inf)
    await closed(model)
    gone.cancel()
    stays = turns.predict(rows(2, 100), "value", math.inf)
    model.gate.release(1_000)
    await stays
    assert [first for first, _, _ in model.calls] == [1.0, 2.0]


async def test_what_passes_its_deadline_is_given_up(model: Doubler, turns: Turns) -> None:
    with pytest.raises(TimedOut, match=f"0 of {SLICE} rows were predicted"):
        await turns.predict(rows(1, SLICE), "value", 0.0)
    assert model.calls == []


async def test_what_fails_fails_for_its_caller_alone(turns: Turns) -> None:
    bad, good = turns.predict(rows(-1, 100), "value", math.inf), turns.predict(rows(1, 100), "value", math.inf)
    assert len((await good).values) == 100
    with pytest.raises(RuntimeError):
        await bad
