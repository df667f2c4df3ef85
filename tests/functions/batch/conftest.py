from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

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


class Model:
    """A model behind a router: `late` is the distance doubled; each row's revision is the first letter of its key."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.failures: list[web.Response] = []
        self.answer: Callable[[dict[str, Any]], Awaitable[web.Response]] = self._score

    async def handle(self, request: web.Request) -> web.Response:
        if self.failures:
            return self.failures.pop(0)
        if request.method == "GET":
            return web.json_response(METADATA)
        self.requests.append(await request.json())
        return await self.answer(self.requests[-1])

    async def _score(self, body: dict[str, Any]) -> web.Response:
        distance = next(item["data"] for item in body["inputs"] if item["name"] == "distance")
        outputs: list[Any] = [{"name": "late", "shape": [len(distance), 1], "datatype": "FP32", "data": [2 * value for value in distance]}]
        if "parameters" in body:
            keys = body["parameters"]["routing_keys"]
            outputs.append({"name": "revision", "shape": [len(keys)], "datatype": "BYTES", "data": [key[0] for key in keys]})
        return web.json_response({"model_name": "flights", "outputs": outputs})


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
async def url(model: Model) -> AsyncIterator[str]:
    """Where the model is served."""
    async with AsyncExitStack() as stack:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/v2/models/flights{rest:.*}", model.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
