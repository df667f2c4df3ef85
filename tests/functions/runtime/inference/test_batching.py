from __future__ import annotations

import asyncio
from array import array
from time import monotonic

import pytest

from functions.runtime.contract.encoding import Rows
from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import TimedOut
from functions.runtime.inference.batching import MicroBatcher


class Doubler:
    """A model of one feature and two scores that records its calls and their rows."""

    signature = Signature(1, kinds={"value": (2,), "margin": ()})

    def __init__(self) -> None:
        self.calls: list[tuple[int, Kind]] = []
        self.given: list[array[float]] = []

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        self.calls.append((rows, kind))
        self.given.append(values)
        if any(value < 0 for value in values):
            raise RuntimeError("no negative values")
        if kind == "margin":
            return Prediction(array("f", [-value for value in values]), ())
        return Prediction(array("f", [score for value in values for score in (value, 2 * value)]), (2,))


def batcher(model: Doubler, max_rows: int = 8) -> MicroBatcher:
    return MicroBatcher(model, lambda *_: None, max_rows=max_rows)


def rows(*values: float) -> Rows:
    return Rows(array("f", values), len(values))


async def test_requests_that_arrive_together_share_a_call() -> None:
    model = Doubler()
    plane = batcher(model)

    answers = await asyncio.gather(*(plane.predict(rows(*values), "value") for values in ((1,), (2, 3), (4,))))

    assert [(answer.values.tolist(), answer.shape) for answer in answers] == [([1, 2], (2,)), ([2, 4, 3, 6], (2,)), ([4, 8], (2,))]
    assert model.calls == [(4, "value")]


async def test_different_kinds_are_predicted_separately() -> None:
    model = Doubler()
    plane = batcher(model)

    value, margin = await asyncio.gather(plane.predict(rows(1), "value"), plane.predict(rows(1), "margin"))

    assert (value.values.tolist(), margin.values.tolist()) == ([1, 2], [-1])
    assert model.calls == [(1, "value"), (1, "margin")]


async def test_precisions_are_predicted_separately() -> None:
    model = Doubler()
    plane = batcher(model)
    small = 1 + 2**-52  # 1 as a float
    doubles, floats = Rows(array("d", [small, 3]), 2), Rows(array("f", [5, 7]), 2)

    waiting = [plane.predict(asked, "value") for asked in (doubles, floats, Rows(array("d", [9]), 1), rows(11))]

    found = [answer.values.tolist() for answer in await asyncio.gather(*waiting)]
    assert found == [[1, 2, 3, 6], [5, 10, 7, 14], [9, 18], [11, 22]]
    assert model.calls == [(3, "value"), (3, "value")]
    assert model.given == [array("d", [small, 3, 9]), array("f", [5, 7, 11])]
    assert (doubles.values, floats.values) == (array("d", [small, 3]), array("f", [5, 7]))


async def test_batch_has_at_most_max_rows() -> None:
    model = Doubler()
    plane = batcher(model, max_rows=3)

    await asyncio.gather(*(plane.predict(rows(1, 2), "value") for _ in range(4)))

    assert [count for count, _ in model.calls] == [2, 2, 2, 2]


async def test_failed_batch_fails_its_requests_and_the_next_one_works() -> None:
    plane = batcher(Doubler())

    answers = await asyncio.gather(plane.predict(rows(1), "value"), plane.predict(rows(-1), "value"), return_exceptions=True)

    assert all(isinstance(answer, RuntimeError) for answer in answers)
    assert (await plane.predict(rows(5), "value")).values.tolist() == [5, 10]


async def test_cancelled_request_is_left_out_of_its_batch() -> None:
    model = Doubler()
    plane = batcher(model)
    gone, stays = plane.predict(rows(1), "value"), plane.predict(rows(2), "value")
    gone.cancel()

    assert (await stays).values.tolist() == [2, 4]
    assert model.calls == [(1, "value")]
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_observer_receives_each_call() -> None:
    calls: list[tuple[object, ...]] = []
    plane = MicroBatcher(Doubler(), lambda *call: calls.append(call), max_rows=8)

    await asyncio.gather(plane.predict(rows(1), "value"), plane.predict(rows(2, 3), "value"))

    ((kind, count, requests, waited, took),) = calls
    assert (kind, count, requests) == ("value", 3, 2)
    assert isinstance(waited, float)
    assert isinstance(took, float)


async def test_event_loop_runs_others_between_two_batches() -> None:
    model = Doubler()
    plane = batcher(model)
    calls_seen: list[int] = []

    def look() -> None:
        calls_seen.append(len(model.calls))
        if len(model.calls) < 3:
            asyncio.get_running_loop().call_soon(look)

    answers = [plane.predict(rows(*range(8)), "value") for _ in range(3)]
    look()
    assert [len((await answer).values) for answer in answers] == [16, 16, 16]
    assert {1, 2} <= set(calls_seen)


async def test_rows_that_no_caller_waits_for_are_not_predicted() -> None:
    model = Doubler()
    plane = batcher(model)
    late, in_time = plane.predict(rows(1), "value", monotonic()), plane.predict(rows(2), "value", monotonic() + 60)
    assert (await in_time).values.tolist() == [2, 4]
    with pytest.raises(TimedOut, match="timed out before its prediction began"):
        await late
    assert model.calls == [(1, "value")]
