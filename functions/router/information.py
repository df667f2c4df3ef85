"""The endpoints about the router itself and the models that it routes to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from common.errors import TidegateError
from functions.router import documentation, exposition
from functions.router.call import Call
from functions.router.metrics import Metrics
from functions.router.table import Table
from functions.router.versions import Versions
from functions.runtime.errors import InvalidInput
from functions.runtime.http.asgi import Answer, json_answer, read_body
from functions.runtime.inference.budget import Budget
from functions.runtime.knative.traffic import Arm, RoutedModel
from functions.runtime.protocols.body import parse_json

Handler = Callable[[Call], Awaitable[Answer]]
_SMALL = 64 * 1024
# The index may start arms from zero: the number at a time, and the time limit of each.
_AT_ONCE = 8
_INDEX_SECONDS = 10.0
_EXTENSIONS = ["binary_tensor_data", "model_repository"]


class Information:
    """Handlers by path and method."""

    def __init__(self, table: Table, versions: Versions, metrics: Metrics) -> None:
        self._table = table
        self._versions = versions
        self._metrics = metrics
        self._handlers: dict[str, dict[str, Handler]] = {
            "/": {"GET": self._alive},
            "/v2": {"GET": self._server},
            "/v2/health/live": {"GET": self._live},
            "/v2/health/ready": {"GET": self._ready},
            "/v2/models": {"GET": self._models},
            "/v1/models": {"GET": self._models_v1},
            "/v2/repository/index": {"POST": self._index},
            "/metrics": {"GET": self._exposition},
            "/openapi.json": {"GET": self._openapi},
            "/docs": {"GET": self._page},
        }

    def handlers(self, path: str) -> dict[str, Handler] | None:
        """The handlers of a path by method; None for a path that is not served here."""
        return self._handlers.get(path)

    async def _alive(self, _: Call) -> Answer:
        """The liveness that KServe's V1 client checks."""
        return json_answer({"status": "alive"})

    async def _server(self, _: Call) -> Answer:
        return json_answer({"name": "tidegate-router", "version": "2", "extensions": _EXTENSIONS})

    async def _live(self, _: Call) -> Answer:
        return json_answer({"live": True})

    async def _ready(self, _: Call) -> Answer:
        return json_answer({"ready": self._table.loaded}, 200 if self._table.loaded else 503)

    async def _models(self, _: Call) -> Answer:
        await self._table.first_view()
        known = [
            {"name": name, "arms": [{"revision": arm.revision, "tags": arm.tags, "percent": arm.percent} for arm in model.arms]}
            for name, model in sorted(self._table.models.items())
        ]
        unroutable = [{"name": name, "arms": [], "reason": why} for name, why in sorted(self._table.reasons.items())]
        return json_answer({"models": known + [entry for entry in unroutable if entry["name"] not in self._table.models]})

    async def _models_v1(self, _: Call) -> Answer:
        await self._table.first_view()
        return json_answer({"models": sorted(self._table.models)})

    async def _index(self, call: Call) -> Answer:
        """The model repository index of Triton.

        https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
        """
        body = await read_body(call.receive, None, _SMALL, Budget(2 * _SMALL))
        document = parse_json(body) if body else {}
        only_ready = document.get("ready", False) if isinstance(document, dict) else None
        if type(only_ready) is not bool:
            raise InvalidInput("the body must be a JSON object, and its field ready must be true or false.")
        await self._table.first_view()
        semaphore = asyncio.Semaphore(_AT_ONCE)
        models = sorted(self._table.models.items())
        found = await asyncio.gather(*(self._entries(semaphore, model, arm) for _, model in models for arm in model.arms))
        entries = list({(entry["name"], entry.get("version")): entry for each in reversed(found) for entry in each}.values())[::-1]
        entries += [_entry(name, "", why) for name, why in sorted(self._table.reasons.items()) if name not in self._table.models]
        return json_answer([entry for entry in entries if entry["state"] == "READY" or not only_ready])

    async def _entries(self, semaphore: asyncio.Semaphore, model: RoutedModel, arm: Arm) -> list[dict[str, str]]:
        """An entry for each version that an arm serves."""
        try:
            async with semaphore, asyncio.timeout(_INDEX_SECONDS):
                versions = await self._versions.of(model, arm)
        except (TidegateError, TimeoutError) as error:
            return [_entry(model.name, "", str(error) or f"revision {arm.revision} timed out.")]
        return [_entry(model.name, version) for version in versions or ("",)]

    async def _exposition(self, _: Call) -> Answer:
        return Answer(exposition.render(self._metrics), content_type=exposition.CONTENT_TYPE)

    async def _openapi(self, _: Call) -> Answer:
        return json_answer(documentation.document(sorted(self._table.models)))

    async def _page(self, _: Call) -> Answer:
        page = await asyncio.to_thread(Path(documentation.PAGE).read_bytes)
        return Answer(page, content_type=b"text/html; charset=utf-8", headers=documentation.PAGE_HEADERS)


def _entry(name: str, version: str, reason: str = "") -> dict[str, str]:
    state = {"state": "UNAVAILABLE", "reason": reason} if reason else {"state": "READY", "reason": ""}
    return {"name": name, **({"version": version} if version else {}), **state}
