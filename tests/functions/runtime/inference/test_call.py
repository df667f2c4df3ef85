"""The life cycle of a call over a transport in memory."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from functions.runtime.artifacts.loading import Loaded
from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.encoding import Encoder, Rows
from functions.runtime.contract.outputs import resolve
from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import ClientGone, Overloaded, TimedOut, UnknownModel
from functions.runtime.inference.budget import LARGE_ANSWER_BYTES
from functions.runtime.inference.call import Call, Capacity, RequestLimits
from functions.runtime.inference.limits import OFF_LOOP_BYTES
from functions.runtime.inference.registry import DataPlane, ModelEntry
from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.metrics import Metrics

CARD = Card("same", (Input("a", "FP32"),), (Output("y"),), Artifact("none"), version="v2")
LIMITS = RequestLimits(body_bytes=1000, json_bytes=1000, bodies_bytes=100_000, requests=2, timeout_seconds=60.0)
MANY_ROWS = 10_000


class Same:
    """A model that predicts its input."""

    signature = Signature(1)

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        return Prediction(array("f", values), ())


@dataclass(slots=True)
class MemoryCall(Call):
    """A call whose client disconnects when `gone` is set."""

    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def disconnected(self) -> None:
        await self.gone.wait()

    def read(self, content: bytes) -> None:
        self.capacity.budget.take(len(content))
        self.content = content


@pytest.fixture
async def capacity() -> AsyncIterator[Capacity]:
    found = Capacity(LIMITS)
    yield found
    found.close()


@pytest.fixture
def call(capacity: Capacity) -> MemoryCall:
    return new(capacity)


def new(capacity: Capacity) -> MemoryCall:
    return MemoryCall(capacity, Exchange("v2", "/inference.GRPCInferenceService/ModelInfer", time.time_ns(), method=""))


def entry() -> ModelEntry:
    loaded = Loaded(CARD, Encoder(CARD, CARD.columns), Same(), resolve(CARD, Same.signature), Path("none"))
    return DataPlane([(loaded, lambda: loaded)], Metrics()).only()


async def test_admitted_call_predicts_and_records_its_steps(call: MemoryCall, capacity: Capacity) -> None:
    served = entry()
    with call:
        assert capacity.in_flight == 1
        call.admit(lambda: served)
        call.read(b"1.5")
        rows = Rows(array("f", [float(call.content)]), 1)
        call.decoded(rows.count)
        (tensor,) = await call.cancel_on_disconnect(1, served.model.infer(rows, served.outputs.default, call.deadline))
        assert list(tensor.data) == [1.5]
        call.predicted()
        call.answered(200, 7)
        assert capacity.budget.used == 10
    exchange = call.exchange
    assert call.entry is served
    assert (exchange.model, exchange.version, exchange.rows, exchange.status, exchange.response_bytes) == ("same", "v2", 1, 200, 7)
    assert 0 < exchange.decoded <= exchange.predicted <= exchange.took
    assert (capacity.in_flight, capacity.budget.used) == (0, 0)


def test_call_beyond_the_limit_is_overloaded(capacity: Capacity) -> None:
    with new(capacity), new(capacity), new(capacity) as third:
        with pytest.raises(Overloaded, match="2 requests in flight, which is the limit; retry later"):
            third.admit(entry)
        assert third.exchange.model == ""
    assert capacity.in_flight == 0


def test_call_that_raises_gives_its_bytes_back(call: MemoryCall, capacity: Capacity) -> None:
    def serve() -> None:
        with call:
            call.read(b"x" * 100)
            call.expect(LARGE_ANSWER_BYTES)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        serve()
    assert (capacity.in_flight, capacity.budget.used) == (0, 0)


def test_only_a_large_response_is_expected_and_its_size_corrected(call: MemoryCall, capacity: Capacity) -> None:
    with call:
        call.read(b"x")
        call.expect(LARGE_ANSWER_BYTES - 1)
        assert capacity.budget.used == 1
        call.expect(LARGE_ANSWER_BYTES)
        assert capacity.budget.used == 1 + LARGE_ANSWER_BYTES
        call.answered(200, 50)
        assert capacity.budget.used == 51


def test_response_beyond_the_budget_is_overloaded_while_another_call_waits(capacity: Capacity) -> None:
    with new(capacity) as first, new(capacity) as second:
        first.read(b"x" * 100)
        second.read(b"y")
        with pytest.raises(Overloaded, match="requests of 101 bytes are in flight"):
            second.expect(LIMITS.bodies_bytes)
    with new(capacity) as alone:
        alone.expect(2 * LIMITS.bodies_bytes)


@pytest.mark.parametrize(("size", "in_thread"), [(OFF_LOOP_BYTES - 1, False), (OFF_LOOP_BYTES, True)])
async def test_work_on_many_bytes_leaves_the_event_loop(size: int, in_thread: bool, call: MemoryCall) -> None:
    found = await call.offload(size, threading.current_thread)
    assert (found is not threading.main_thread()) == in_thread


async def test_offloaded_work_raises_what_it_raises(call: MemoryCall) -> None:
    for error, expected in ((TimeoutError, TimeoutError), (StopIteration, RuntimeError), (UnknownModel("x"), UnknownModel)):

        def fail(error: BaseException | type[BaseException] = error) -> None:
            raise error

        with pytest.raises(expected):
            await call.offload(OFF_LOOP_BYTES, fail)


async def test_offloaded_work_ends_at_the_deadline(call: MemoryCall, capacity: Capacity) -> None:
    capacity.limits = replace(LIMITS, timeout_seconds=0.0)
    over = threading.Event()
    with pytest.raises(TimedOut, match="the request timed out; send fewer rows"):
        await call.offload(OFF_LOOP_BYTES, over.wait)
    over.set()


async def test_disconnect_cancels_a_large_prediction(call: MemoryCall) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def predict() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    waiting = asyncio.create_task(call.cancel_on_disconnect(MANY_ROWS, predict()))
    await started.wait()
    call.gone.set()
    with pytest.raises(ClientGone):
        await waiting
    await cancelled.wait()


async def test_large_prediction_of_a_waiting_client_is_returned(call: MemoryCall) -> None:
    async def predict() -> str:
        await asyncio.sleep(0)
        return "done"

    assert await call.cancel_on_disconnect(MANY_ROWS, predict()) == "done"


async def test_small_prediction_is_not_watched(call: MemoryCall) -> None:
    async def predict() -> str:
        await asyncio.sleep(0)
        return "done"

    call.gone.set()
    assert await call.cancel_on_disconnect(1, predict()) == "done"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (UnknownModel("no model"), 404, "unknown model"),
        (ClientGone(), 499, "client gone"),
        (asyncio.CancelledError(), 503, "stopping"),
        (ZeroDivisionError(), 500, "bug"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_failure_is_recorded(
    error: Exception | asyncio.CancelledError, status: int, reason: str, call: MemoryCall, caplog: pytest.LogCaptureFixture
) -> None:
    failure = call.failed(error)
    assert (failure.status, failure.reason) == (call.exchange.status, call.exchange.reason) == (status, reason)
    assert all(record.message.endswith("at /inference.GRPCInferenceService/ModelInfer") for record in caplog.records)
