from __future__ import annotations

import asyncio
import threading
from array import array

import pytest

from functions.runtime.encoding import Rows
from functions.runtime.errors import Overloaded
from functions.runtime.gathering import OFF_LOOP_ROWS, Gatherer
from functions.runtime.models import Signature


class Doubler:
    """One feature in, two scores out; it notes the calls it gets."""

    signature = Signature(1)

    def __init__(self) -> None:
        self.calls: list[tuple[int, str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def predict(self, values: array[float], rows: int) -> array[float]:
        self.gate.wait(10)
        self.calls.append((rows, threading.current_thread().name))
        if any(value < 0 for value in values):
            raise RuntimeError("no negative values")
        return array("f", [score for value in values for score in (value, 2 * value)])


def gatherer(model: Doubler, **limits: int) -> Gatherer:
    return Gatherer(model, lambda: model, **({"max_rows": 8, "max_waiting_rows": 1_000} | limits))


def rows(*values: float) -> Rows:
    return Rows(array("f", values), len(values))


async def test_requests_that_arrive_together_are_predicted_together_and_told_apart() -> None:
    model = Doubler()
    plane = gatherer(model)

    answers = await asyncio.gather(plane.predict(rows(1)), plane.predict(rows(2, 3)), plane.predict(rows(4)))

    assert [answer.tolist() for answer in answers] == [[1, 2], [2, 4, 3, 6], [4, 8]]
    assert [count for count, _ in model.calls] == [4]


async def test_a_call_has_at_most_the_rows_that_may_be_gathered() -> None:
    model = Doubler()
    plane = gatherer(model, max_rows=3)

    await asyncio.gather(*(plane.predict(rows(1, 2)) for _ in range(4)))

    assert [count for count, _ in model.calls] == [2, 2, 2, 2]


async def test_a_large_request_leaves_the_event_loop() -> None:
    model = Doubler()

    answer = await gatherer(model).predict(rows(*range(OFF_LOOP_ROWS)))

    assert len(answer) == 2 * OFF_LOOP_ROWS
    assert model.calls[0][1].startswith("predict")


async def test_what_fails_in_a_gathered_call_fails_for_its_callers_and_the_next_call_works() -> None:
    plane = gatherer(Doubler())

    answers = await asyncio.gather(plane.predict(rows(1)), plane.predict(rows(-1)), return_exceptions=True)

    assert all(isinstance(answer, RuntimeError) for answer in answers)
    assert (await plane.predict(rows(5))).tolist() == [5, 10]


async def test_beyond_the_bound_a_caller_is_told_to_come_again() -> None:
    model = Doubler()
    plane = gatherer(model, max_waiting_rows=100)
    model.gate.clear()
    waiting = asyncio.ensure_future(plane.predict(rows(*range(90))))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match="90 rows are waiting"):
        await plane.predict(rows(*range(20)))

    model.gate.set()
    assert len(await waiting) == 180
    assert len(await plane.predict(rows(*range(20)))) == 40


async def test_a_caller_who_gave_up_does_not_disturb_the_others() -> None:
    plane = gatherer(Doubler())
    gone = asyncio.ensure_future(plane.predict(rows(1)))
    stays = asyncio.ensure_future(plane.predict(rows(2)))
    await asyncio.sleep(0)
    gone.cancel()

    assert (await stays).tolist() == [2, 4]
