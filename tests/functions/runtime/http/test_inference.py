from __future__ import annotations

import asyncio
import threading
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event
from functions.runtime.artifacts.loading import Loaded
from functions.runtime.contract.card import Artifact, Card, Input, Output
from functions.runtime.contract.encoding import Encoder
from functions.runtime.contract.outputs import resolve
from functions.runtime.contract.signature import Kind, Prediction, Signature
from functions.runtime.http.app import App
from functions.runtime.http.asgi import Message, Scope
from functions.runtime.inference.call import Capacity, RequestLimits
from functions.runtime.inference.registry import DataPlane
from functions.runtime.observability.metrics import Metrics
from functions.runtime.observability.observers import Observers
from functions.runtime.observability.settings import ObservabilitySettings

CARD = Card("same", (Input("a", "FP32"),), (Output("y"),), Artifact("none"))
LEAVES = 200


class Same:
    """A model of one input and many trees."""

    signature = Signature(1, kinds={"value": (), "leaf": (LEAVES,)})

    def predict(self, values: array[float], rows: int, kind: Kind = "value") -> Prediction:
        return Prediction(array("f", values), ()) if kind == "value" else Prediction(array("i", bytes(4 * LEAVES * rows)), (LEAVES,))


@pytest.fixture
def app() -> App:
    loaded = Loaded(CARD, Encoder(CARD, CARD.columns), Same(), resolve(CARD, Same.signature), Path("none"))
    metrics = Metrics()
    limits = RequestLimits(body_bytes=2**24, json_bytes=2**22, bodies_bytes=2**24, requests=10, timeout_seconds=30.0)
    return App(DataPlane([(loaded, lambda: loaded)], metrics), Capacity(limits), Observers(ObservabilitySettings(), metrics))


async def ask(app: App, body: bytes, content_type: str) -> tuple[int, Any]:
    sent: list[Message] = []
    received: asyncio.Queue[Message] = asyncio.Queue()
    received.put_nowait({"type": "http.request", "body": body})

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": "/models/same", "headers": [(b"content-type", content_type.encode())]}
    await app(scope, received.get, send)
    return sent[0]["status"], orjson.loads(sent[1]["body"])


def tensor(rows: int, **fields: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "a", "shape": [rows], "datatype": "FP32", "data": [0.5] * rows}], **fields}


@pytest.mark.parametrize("mode", [Mode.STRUCTURED, Mode.BATCH])
@pytest.mark.parametrize(
    ("data", "in_thread"),
    [
        ({"a": 1.0}, False),
        (tensor(1, outputs=[{"name": "leaf"}]), False),
        (tensor(100, outputs=[{"name": "leaf"}]), True),
        (tensor(3_000), True),
        ({"instances": [[0.5]] * 3_000}, True),
    ],
)
async def test_large_reply_is_encoded_in_a_thread(
    data: Any, in_thread: bool, mode: Mode, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = Event({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}, data)
    message = http.encode([event], mode)
    threads: list[threading.Thread] = []
    encode = http.encode

    def recorded(events: Sequence[Event], mode: Mode) -> http.Message:
        threads.append(threading.current_thread())
        return encode(events, mode)

    monkeypatch.setattr(http, "encode", recorded)
    status, _ = await ask(app, message.body, message.headers["content-type"])
    assert status == 200
    assert [thread is not threading.main_thread() for thread in threads] == [in_thread]


async def test_too_many_lists_and_objects_are_refused_with_a_remedy(app: App) -> None:
    body = b"[" + b"{}," * 400_000 + b"{}]"
    status, answer = await ask(app, body, "application/cloudevents-batch+json")
    assert (status, answer["detail"]) == (
        413,
        "the request's JSON has more than 400000 lists and objects; send binary tensors, or several requests.",
    )
