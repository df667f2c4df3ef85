from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from eventing.event import Event
from eventing.types import INFERENCE_COMPLETED, INFERENCE_FAILED
from functions.runtime.artifacts.loading import Loaded
from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.encoding import Encoder, Rows
from functions.runtime.contract.outputs import OutputTensor, resolve
from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.errors import Overloaded
from functions.runtime.inference.events import infer_batch
from functions.runtime.inference.served import PredictionLimits, ServedModel
from functions.runtime.protocols import events, v1

CARD = Card(
    name="sum",
    inputs=(Input("a", "FP32", optional=True), Input("b", "FP32")),
    outputs=(Output("sum"),),
    artifact=Artifact("none"),
    features=("x", "y"),
)


class Sum:
    """A model whose score is the sum of a row's two features."""

    signature = Signature(2)

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        return Prediction(array("f", [values[2 * row] + values[2 * row + 1] for row in range(rows)]), ())


def transform(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A user's transform that does not handle optional inputs."""
    return {"x": record["a"], "y": None if record["b"] < 0 else record["b"]}


def ignored(*_: object) -> None:
    """Ignore the call."""


def serve(limits: PredictionLimits) -> ServedModel:
    model = Sum()
    loaded = Loaded(CARD, Encoder(CARD, CARD.features, transform), model, resolve(CARD, model.signature), Path("none"))
    return ServedModel(loaded, limits, ignored, ignored)


@pytest.fixture
def served() -> ServedModel:
    return serve(PredictionLimits())


def event(event_id: str, data: Any) -> Event:
    return Event({"specversion": "1.0", "id": event_id, "source": "/s", "type": "t"}, data)


async def answers(served: ServedModel, sent: list[Event]) -> list[Event]:
    return await infer_batch(served, events.read_all(served, sent))


@pytest.mark.parametrize("bad", [{"b": 1.0}, {"a": 1.0, "b": -1.0}])
@pytest.mark.parametrize("count", [8, 256])
async def test_failing_transform_fails_its_event_only(
    bad: dict[str, float], count: int, served: ServedModel, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [bad if index == 5 else {"a": 1.0, "b": float(index)} for index in range(count)]
    replies = await answers(served, [event(str(index), row) for index, row in enumerate(rows)])
    failed = replies.pop(5)
    assert [reply.value() for reply in replies] == [{"sum": 1.0 + index} for index in range(count) if index != 5]
    assert {reply.type for reply in replies} == {INFERENCE_COMPLETED}
    assert (failed.type, failed.get("causationid"), failed.value()["status"]) == (INFERENCE_FAILED, "5", 500)
    (record,) = caplog.records
    assert record.exc_info
    reference = failed.value()["detail"].split()[-1].rstrip(".")
    assert record.getMessage() == f"bug {reference} at the event 5 of /s"


def column(name: str, *data: float) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": "FP32", "data": list(data)}


async def test_data_may_be_a_record_or_a_v1_or_v2_request(served: ServedModel) -> None:
    v2 = {"id": "mine", "inputs": [column("a", 1, 2), column("b", 3, 4)]}
    v1 = {"instances": [{"a": 1, "b": 2}, [5, 6]]}
    sent = [
        event("0", {"a": 1, "b": 1}),
        event("1", v2),
        event("2", {"a": 2, "b": 2}),
        event("3", v1),
        event("4", {"instances": [[5, 6], [1, 1]]}),
    ]
    replies = await answers(served, sent)
    assert [reply.get("causationid") for reply in replies] == ["0", "1", "2", "3", "4"]
    assert replies[0].value() == {"sum": 2.0}
    assert replies[1].value()["id"] == "mine"
    assert replies[1].value()["outputs"][0] == {"name": "sum", "datatype": "FP32", "shape": (2,), "data": [4.0, 6.0]}
    assert replies[2].value() == {"sum": 4.0}
    assert (replies[3].type, replies[3].value()["detail"]) == (
        INFERENCE_FAILED,
        "row 1: a row must be an object with the model's inputs by name, not a list.",
    )
    assert replies[4].value() == {"predictions": [11.0, 2.0]}


async def test_event_with_too_many_rows_fails_alone(served: ServedModel) -> None:
    most = PredictionLimits().request_rows
    replies = await answers(served, [event("0", {"instances": [[1, 1]] * (most + 1)}), event("1", {"a": 1, "b": 1})])
    assert (replies[0].type, replies[0].value()["status"]) == (INFERENCE_FAILED, 413)
    assert replies[1].value() == {"sum": 2.0}


def instances(count: int) -> dict[str, Any]:
    return {"instances": [[1, 1]] * count}


async def test_events_of_a_batch_fit_into_the_queue() -> None:
    served = serve(PredictionLimits(waiting_rows=100))
    counts = [60, 60, 1, 100, 39, 1, 61]
    replies = await answers(served, [event(str(index), instances(count)) for index, count in enumerate(counts)])
    assert [reply.get("causationid") for reply in replies] == list("0123456")
    assert [len(reply.value()["predictions"]) for reply in replies] == counts


async def test_failed_batch_cancels_its_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    served = serve(PredictionLimits())
    outcomes: list[str] = []

    async def infer(rows: Rows, *_: object) -> list[OutputTensor]:
        if rows.count == 2:
            raise Overloaded("too much at once", remedy="retry later")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            raise
        return []

    monkeypatch.setattr(served, "infer", infer)
    with pytest.raises(Overloaded):
        await answers(served, [event("0", instances(1)), event("1", instances(2)), event("2", instances(3))])
    await asyncio.sleep(0)
    assert outcomes == ["cancelled"] * 2


@pytest.mark.parametrize(("count", "in_thread"), [(10, False), (10_000, True)])
async def test_data_of_a_large_reply_is_made_in_a_thread(
    count: int, in_thread: bool, served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    document_of = v1.document_of

    def recorded(tensors: Sequence[OutputTensor]) -> dict[str, Any]:
        threads.append(threading.current_thread())
        return document_of(tensors)

    monkeypatch.setattr(v1, "document_of", recorded)
    (reply,) = await answers(served, [event("0", instances(count))])
    assert reply.value() == {"predictions": [2.0] * count}
    assert [thread is not threading.main_thread() for thread in threads] == [in_thread]
