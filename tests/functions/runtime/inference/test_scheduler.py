from __future__ import annotations

import asyncio
import gc
import math
import threading
from array import array
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from functions.runtime.contract.encoding import Rows
from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import TimedOut
from functions.runtime.inference import scheduler as turns_module
from functions.runtime.inference.batching import MicroBatcher
from functions.runtime.inference.scheduler import SLICE_ROWS, FairScheduler

SLICE = SLICE_ROWS["value"]
# The rows of a job that is divided between two cores, each with less than a slice.
HALF = SLICE // 4


class Doubler:
    """A model that waits at a gate before each call, or at the gate of the call's first value.

    It records this value, and fails for a value below zero.
    """

    signature = Signature(1)

    def __init__(self) -> None:
        self.calls: list[tuple[float, int, str]] = []
        self.begun: list[float] = []
        self.entered = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self.gate = threading.Semaphore(1_000_000)
        self.gates: dict[float, threading.Semaphore] = {}

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        self.begun.append(values[0])
        self.entered.release()
        assert self.gates.get(values[0], self.gate).acquire(timeout=10)
        self.calls.append((values[0], rows, threading.current_thread().name))
        if values[0] < 0:
            raise RuntimeError("no negative values")
        self.left.release()
        return Prediction(array("f", [2 * value for value in values]), () if len(values) == rows else (len(values) // rows,))


@pytest.fixture
def model() -> Doubler:
    return Doubler()


@pytest.fixture
def make(model: Doubler) -> Iterator[Callable[[int], FairScheduler]]:
    made: list[FairScheduler] = []

    def make(cores: int) -> FairScheduler:
        made.append(FairScheduler(model, lambda *_: None, cores))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def scheduler(make: Callable[[int], FairScheduler]) -> FairScheduler:
    """A scheduler on one core, where the order matters."""
    return make(1)


@pytest.fixture
def on_two(make: Callable[[int], FairScheduler]) -> FairScheduler:
    return make(2)


def rows(value: float, count: int) -> Rows:
    return Rows(array("f", [value]) * count, count)


def counting(count: int) -> Rows:
    return Rows(array("f", range(count)), count)


def doubled(count: int) -> list[float]:
    return [2.0 * index for index in range(count)]


async def entered(model: Doubler, calls: int = 1) -> None:
    """Wait until this many more calls have reached the gate."""
    for _ in range(calls):
        assert await asyncio.to_thread(model.entered.acquire, timeout=10)


async def test_large_request_is_predicted_in_slices_off_the_event_loop(model: Doubler, scheduler: FairScheduler) -> None:
    count = 2 * SLICE + 5
    answer = await scheduler.predict(counting(count), "value", math.inf)
    assert answer.values.tolist() == doubled(count)
    assert [size for _, size, _ in model.calls] == [SLICE, SLICE, 5]
    assert all(thread.startswith("predict") for _, _, thread in model.calls)


async def test_small_request_waits_for_one_slice_of_a_large_one(model: Doubler, scheduler: FairScheduler) -> None:
    model.gate = threading.Semaphore(0)
    large = scheduler.predict(rows(1, 10 * SLICE), "value", math.inf)
    await entered(model)
    small = scheduler.predict(rows(2, 100), "value", math.inf)
    model.gate.release(2)
    await small
    assert [first for first, _, _ in model.calls] == [1.0, 2.0]
    assert not large.done()
    model.gate.release(1_000)
    assert len((await large).values) == 10 * SLICE


async def test_large_request_alternates_with_small_ones(model: Doubler, scheduler: FairScheduler) -> None:
    model.gate = threading.Semaphore(0)
    large = scheduler.predict(rows(1, 3 * SLICE), "value", math.inf)
    await entered(model)
    small = [scheduler.predict(rows(2, 100), "value", math.inf) for _ in range(4)]
    model.gate.release(1_000)
    await asyncio.gather(large, *small)
    assert [first for first, _, _ in model.calls] == [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 2.0]


async def test_observer_counts_a_request_once_for_several_slices(model: Doubler) -> None:
    calls: list[tuple[Any, ...]] = []
    scheduler = FairScheduler(model, lambda *call: calls.append(call), 1)
    await scheduler.predict(rows(1, SLICE + 1), "value", math.inf)
    scheduler.close()
    assert [call[:3] for call in calls] == [("value", SLICE, 1), ("value", 1, 0)]


class Faulty:
    """A model that fails for one row."""

    signature = Signature(1)

    def __init__(self, fault: BaseException | array[float]) -> None:
        self._fault = fault

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        if rows > 1:
            return Prediction(values, ())
        if isinstance(self._fault, BaseException):
            raise self._fault
        return Prediction(self._fault, ())


@pytest.mark.parametrize(
    "fault",
    [ZeroDivisionError("a bug"), StopIteration(1), SystemExit(3), asyncio.CancelledError(), array("f"), array("f", [1, 2])],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("large", [True, False])
async def test_failure_of_a_model_is_raised_and_later_requests_work(fault: BaseException | array[float], large: bool) -> None:
    model = Faulty(fault)
    scheduler = FairScheduler(model, lambda *_: None, 1)
    batcher = MicroBatcher(model, lambda *_: None, max_rows=8)

    def predict(count: int) -> asyncio.Future[Prediction]:
        return scheduler.predict(rows(1, count), "value", math.inf) if large else batcher.predict(rows(1, count), "value")

    for _ in range(2):
        with pytest.raises((ZeroDivisionError, RuntimeError), match=r"a bug|StopIteration|SystemExit|CancelledError|has [02] values"):
            await predict(1)
    assert len((await predict(2)).values) == 2
    scheduler.close()


async def test_cancelled_request_is_not_computed_further(model: Doubler, scheduler: FairScheduler) -> None:
    model.gate = threading.Semaphore(0)
    gone = scheduler.predict(rows(1, 10 * SLICE), "value", math.inf)
    await entered(model)
    gone.cancel()
    stays = scheduler.predict(rows(2, 100), "value", math.inf)
    model.gate.release(1_000)
    await stays
    assert [first for first, _, _ in model.calls] == [1.0, 2.0]


async def test_request_times_out_at_its_deadline(model: Doubler, scheduler: FairScheduler) -> None:
    with pytest.raises(TimedOut, match=f"0 of {SLICE} rows"):
        await scheduler.predict(rows(1, SLICE), "value", 0.0)
    assert model.calls == []


async def test_request_times_out_between_two_slices(model: Doubler, scheduler: FairScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(turns_module, "monotonic", lambda: now)
    model.gate = threading.Semaphore(0)
    late = scheduler.predict(rows(1, 10 * SLICE), "value", 5.0)
    await entered(model)
    now = 6.0
    model.gate.release(1_000)
    with pytest.raises(TimedOut, match=f"{SLICE} of {10 * SLICE} rows"):
        await late
    await scheduler.predict(rows(2, 100), "value", math.inf)
    assert [first for first, _, _ in model.calls] == [1.0, 2.0]


async def test_failed_request_does_not_affect_others(scheduler: FairScheduler) -> None:
    bad, good = scheduler.predict(rows(-1, 100), "value", math.inf), scheduler.predict(rows(1, 100), "value", math.inf)
    assert len((await good).values) == 100
    with pytest.raises(RuntimeError):
        await bad


async def test_concurrent_requests_use_all_cores(model: Doubler, on_two: FairScheduler) -> None:
    model.gate = threading.Semaphore(0)
    waiting = [on_two.predict(rows(value, 100), "value", math.inf) for value in (1, 2, 3)]
    await entered(model, 2)
    assert not model.entered.acquire(blocking=False)
    model.gate.release(1_000)
    assert [answer.values[0] for answer in await asyncio.gather(*waiting)] == [2.0, 4.0, 6.0]


async def test_single_large_request_is_divided_among_all_cores(model: Doubler, on_two: FairScheduler) -> None:
    model.gate = threading.Semaphore(0)
    waiting = on_two.predict(counting(2 * HALF), "value", math.inf)
    await entered(model, 2)
    model.gate.release(2)
    assert (await waiting).values.tolist() == doubled(2 * HALF)
    assert [call[:2] for call in sorted(model.calls)] == [(0.0, HALF), (HALF, HALF)]
    assert len({thread for _, _, thread in model.calls}) == 2


async def test_request_too_small_to_divide_is_one_call(model: Doubler, on_two: FairScheduler) -> None:
    await on_two.predict(rows(1, SLICE // 8), "value", math.inf)
    assert [size for _, size, _ in model.calls] == [SLICE // 8]


async def test_large_request_leaves_a_core_to_a_waiting_one(model: Doubler, on_two: FairScheduler) -> None:
    model.gate = threading.Semaphore(0)
    large = on_two.predict(rows(1, 10 * SLICE), "value", math.inf)
    await entered(model, 2)
    small = on_two.predict(rows(2, 100), "value", math.inf)
    model.gate.release(2)
    await entered(model, 2)
    model.gate.release(1_000)
    await small
    assert model.begun[:4].count(2.0) == 1
    assert len((await large).values) == 10 * SLICE
    assert sum(size for first, size, _ in model.calls if first == 1.0) == 10 * SLICE


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 3, 0, 2)])
async def test_slices_that_end_out_of_order_are_joined_in_order(
    order: tuple[int, ...], model: Doubler, make: Callable[[int], FairScheduler]
) -> None:
    size = SLICE // 8
    model.gates = {float(index * size): threading.Semaphore(0) for index in range(4)}
    scheduler = make(4)
    waiting = scheduler.predict(counting(4 * size), "value", math.inf)
    await entered(model, 4)
    for index in order:
        model.gates[float(index * size)].release()
        assert await asyncio.to_thread(model.left.acquire, timeout=10)
    assert (await waiting).values.tolist() == doubled(4 * size)
    assert [first for first, _, _ in model.calls] == [index * size for index in order]


async def test_several_values_per_row_are_sliced_and_joined_by_rows(on_two: FairScheduler) -> None:
    count, width = SLICE + 3, 3
    answer = await on_two.predict(Rows(array("d", range(count * width)), count), "value", math.inf)
    assert answer.values.tolist() == doubled(count * width)


async def test_failed_slice_fails_its_request_only(model: Doubler, on_two: FairScheduler) -> None:
    model.gates[1.0] = threading.Semaphore(0)
    bad = on_two.predict(Rows(array("f", [1] * SLICE + [-1] * 9 * SLICE), 10 * SLICE), "value", math.inf)
    with pytest.raises(RuntimeError, match="no negative values"):
        await bad
    assert (await on_two.predict(rows(2, 100), "value", math.inf)).values[0] == 4.0
    assert [first for first, _, _ in model.calls] == [-1.0, 2.0]  # its other slice still waits at the gate, and it has no more
    model.gates[1.0].release()
    model.gate = threading.Semaphore(0)
    later = [on_two.predict(rows(value, 100), "value", math.inf) for value in (3, 4)]
    await entered(model, 5)  # both cores are free again
    model.gate.release(2)
    assert [answer.values[0] for answer in await asyncio.gather(*later)] == [6.0, 8.0]


async def test_request_with_several_failed_slices_fails_once(model: Doubler, on_two: FairScheduler) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    model.gate = threading.Semaphore(0)
    bad = on_two.predict(rows(-1, 2 * HALF), "value", math.inf)
    gone = on_two.predict(rows(-2, 100), "value", math.inf)
    await entered(model, 2)
    model.gate.release(2)
    with pytest.raises(RuntimeError):
        await bad
    await entered(model)
    gone.cancel()
    model.gate.release(1_000)
    assert (await on_two.predict(rows(1, 2 * HALF), "value", math.inf)).values.tolist() == [2.0] * 2 * HALF
    await asyncio.to_thread(on_two._executor.shutdown)  # its threads keep their last job alive
    gc.collect()
    assert said == []


async def test_timed_out_rows_count_until_the_library_is_done(model: Doubler) -> None:
    held: list[int] = []
    scheduler = FairScheduler(model, lambda *_: None, 1, held.append)
    model.gate = threading.Semaphore(0)
    late = scheduler.predict(rows(1, 100), "value", monotonic() + 0.01)
    await entered(model)
    with pytest.raises(TimedOut, match="timed out after 0 of 100 rows"):
        await late
    assert sum(held) == 100
    model.gate.release(1_000)
    await scheduler.predict(rows(2, 100), "value", math.inf)
    assert sum(held) == 0
    scheduler.close()


async def test_cancelled_rows_count_until_the_library_is_done(model: Doubler) -> None:
    held: list[int] = []
    scheduler = FairScheduler(model, lambda *_: None, 1, held.append)
    model.gate = threading.Semaphore(0)
    gone = scheduler.predict(rows(1, 2 * SLICE), "value", math.inf)
    await entered(model)
    gone.cancel()
    await asyncio.sleep(0)
    assert sum(held) == SLICE
    model.gate.release(1_000)
    await scheduler.predict(rows(2, 100), "value", math.inf)
    assert sum(held) == 0
    scheduler.close()
