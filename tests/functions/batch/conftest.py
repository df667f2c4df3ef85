from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest
from aiohttp import web

METADATA = {
    "name": "flights",
    "inputs": [
        {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
        {"name": "distance", "datatype": "FP32", "shape": [-1], "parameters": {"optional": False}},
        {"name": "seats", "datatype": "INT32", "shape": [-1], "parameters": {"optional": True}},
    ],
    "outputs": [{"name": "late", "datatype": "FP32", "shape": [-1, 1]}],
}


# NumPy types of the binary tensors that a batch sends; each BYTES value has a length.
_NUMPY = {"FP64": "<f8", "FP32": "<f4", "INT32": "<i4", "INT64": "<i8", "BOOL": "?"}


def decoded(body: bytes, json_length: str | None) -> dict[str, Any]:
    """Return a request with the data of its binary tensors as lists, None for NaN."""
    head = len(body) if json_length is None else int(json_length)
    document: dict[str, Any] = json.loads(body[:head])
    rest = body[head:]
    for tensor in document["inputs"]:
        size = tensor.get("parameters", {}).get("binary_data_size")
        if size is not None:
            tensor["data"] = _values(tensor["datatype"], rest[:size])
            rest = rest[size:]
    assert not rest
    return document


def _values(datatype: str, content: bytes) -> list[Any]:
    if datatype != "BYTES":
        values = np.frombuffer(content, _NUMPY[datatype]).tolist()
        return [None if value != value else value for value in values]
    texts = []
    while content:
        end = 4 + int.from_bytes(content[:4], "little")
        texts.append(content[4:end].decode())
        content = content[end:]
    return texts


class FakeModel:
    """A model behind a router: `late` is the distance doubled; each row's revision is the first letter of its key.

    With a `binary_status` it does not read binary tensors, and answers them with it.
    """

    def __init__(self) -> None:
        self.binary_status: int | None = None
        self.binary_requests = 0
        self.requests: list[dict[str, Any]] = []
        self.failures: list[web.Response] = []
        self.answer: Callable[[dict[str, Any]], Awaitable[web.Response]] = self._score
        self.handler: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.handler:
            return await self.handler(request)
        if self.failures:
            return self.failures.pop(0)
        if request.method == "GET":
            return web.json_response(METADATA)
        if "Inference-Header-Content-Length" in request.headers:
            self.binary_requests += 1
            if self.binary_status is not None:
                return web.json_response({"error": "routing_keys need JSON tensors, not binary ones."}, status=self.binary_status)
        self.requests.append(decoded(await request.read(), request.headers.get("Inference-Header-Content-Length")))
        return await self.answer(self.requests[-1])

    async def _score(self, body: dict[str, Any]) -> web.Response:
        distance = next(item["data"] for item in body["inputs"] if item["name"] == "distance")
        outputs: list[Any] = [{"name": "late", "shape": [len(distance), 1], "datatype": "FP32", "data": [2 * value for value in distance]}]
        keys = body.get("parameters", {}).get("routing_keys")
        if keys:
            outputs.append({"name": "revision", "shape": [len(keys)], "datatype": "BYTES", "data": [key[0] for key in keys]})
        return web.json_response({"model_name": "flights", "outputs": outputs})


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
async def url(model: FakeModel) -> AsyncIterator[str]:
    """The URL of the model."""
    async with AsyncExitStack() as stack:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/v2/models/flights{rest:.*}", model.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
