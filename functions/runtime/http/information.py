"""The routes for metadata, health and statistics, and those that load and unload models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from functions.runtime.errors import InvalidInput, InvalidModel, NotAllowed, NotReady
from functions.runtime.http.asgi import Answer, Receive, Scope, json_answer, read_body
from functions.runtime.inference.budget import Budget
from functions.runtime.inference.registry import DataPlane, ModelEntry
from functions.runtime.observability.metrics import Metrics
from functions.runtime.protocols import triton, v2
from functions.runtime.protocols.body import parse_json

Handler = Callable[[Scope, Receive], Awaitable[Answer]]
_SMALL = 64 * 1024
_EXTENSIONS = (*v2.EXTENSIONS, "model_configuration", "statistics")


class Information:
    """The handlers for everything but inference."""

    def __init__(self, plane: DataPlane, metrics: Metrics) -> None:
        self._plane = plane
        self._metrics = metrics

    async def server(self, _: Scope, __: Receive) -> Answer:
        return json_answer({"name": "tidegate", "version": "2", "extensions": _EXTENSIONS})

    async def alive(self, _: Scope, __: Receive) -> Answer:
        """Answer the liveness request of KServe's V1 client."""
        return json_answer({"status": "alive"})

    async def live(self, _: Scope, __: Receive) -> Answer:
        return json_answer({"live": True})

    async def ready(self, _: Scope, __: Receive) -> Answer:
        """Report readiness: models are loaded and warmed up before the port opens, so a live function is ready."""
        return json_answer({"ready": True})

    async def models(self, _: Scope, __: Receive) -> Answer:
        return json_answer({"models": self._plane.names})

    async def index(self, _: Scope, receive: Receive) -> Answer:
        """List the models with their states.

        Source: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
        """
        only_ready = (await _read_object(receive)).get("ready", False)
        if type(only_ready) is not bool:
            raise InvalidInput("ready must be a boolean", remedy="send true or false")
        return json_answer([_index_entry(entry) for entry in self._plane.entries if entry.ready or not only_ready])

    async def statistics(self, _: Scope, __: Receive) -> Answer:
        return json_answer(triton.statistics([(entry.name, entry.version) for entry in self._plane.entries], self._metrics))

    def statistics_of(self, find: Callable[[], ModelEntry], name: str, version: str | None) -> Handler:
        """Make the handler for the statistics of one version of a model, or of all its versions."""

        async def handle(_: Scope, __: Receive) -> Answer:
            find()
            entries = [entry for entry in self._plane.entries if entry.name == name and version in (None, entry.version)]
            return json_answer(triton.statistics([(entry.name, entry.version) for entry in entries], self._metrics))

        return handle

    def config_of(self, find: Callable[[], ModelEntry]) -> Handler:
        async def handle(_: Scope, __: Receive) -> Answer:
            entry = find()
            return json_answer(triton.config(entry.card, entry.outputs, entry.max_rows))

        return handle

    def metadata(self, find: Callable[[], ModelEntry]) -> Handler:
        async def handle(_: Scope, __: Receive) -> Answer:
            entry = find()
            return json_answer(v2.metadata(entry.card, entry.outputs, self._plane.versions(entry.name)))

        return handle

    def ready_of(self, find: Callable[[], ModelEntry]) -> Handler:
        async def handle(_: Scope, __: Receive) -> Answer:
            entry = find()
            entry.check_ready()
            return json_answer({"name": entry.name, "ready": True})

        return handle

    def load(self, name: str) -> Handler:
        async def handle(_: Scope, receive: Receive) -> Answer:
            entries = self._controlled(name)
            await _refuse_parameters(receive)
            for entry in entries:
                try:
                    await entry.load()
                except InvalidModel as error:
                    raise NotReady(f"loading the model {name} failed: {error}") from None
            return json_answer({})

        return handle

    def unload(self, name: str) -> Handler:
        async def handle(_: Scope, __: Receive) -> Answer:
            for entry in self._controlled(name):
                await entry.unload()
            return json_answer({})

        return handle

    def _controlled(self, name: str) -> list[ModelEntry]:
        try:
            return self._plane.controlled(name)
        except NotAllowed as error:
            raise NotAllowed(error.message, remedy="set TIDEGATE_MODEL_CONTROL=true for the function to allow it") from None


async def _refuse_parameters(receive: Receive) -> None:
    """Raise InvalidInput for parameters.

    With them other servers load an artifact that the caller sends or names; this one loads its configured models only.
    """
    if (await _read_object(receive)).get("parameters"):
        raise InvalidInput("loading takes no parameters: only the configured model can be loaded", remedy="send an empty object")


async def _read_object(receive: Receive) -> dict[str, Any]:
    body = await read_body(receive, None, _SMALL, Budget(2 * _SMALL))
    found = parse_json(body) if body else {}
    if not isinstance(found, dict):
        raise InvalidInput("the body must be a JSON object", remedy="send {}, or no body")
    return found


def _index_entry(entry: ModelEntry) -> dict[str, str]:
    state = {"state": "READY", "reason": ""} if entry.ready else {"state": "UNAVAILABLE", "reason": entry.reason}
    return {"name": entry.name, **({"version": entry.version} if entry.version else {}), **state}
