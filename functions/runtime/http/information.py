"""The routes that tell about the function and its models, and those that load and unload them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from functions.runtime.errors import InvalidInput, InvalidModel, NotReady
from functions.runtime.http.asgi import Answer, Budget, Receive, Scope, json_answer, read_body
from functions.runtime.inference.dataplane import DataPlane, Slot
from functions.runtime.protocols import triton, v2
from functions.runtime.protocols.body import parse_json

Tell = Callable[[Scope, Receive], Awaitable[Answer]]
_SMALL = 64 * 1024
_EXTENSIONS = (*v2.EXTENSIONS, "model_configuration", "statistics")


class Information:
    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    async def server(self, _: Scope, __: Receive) -> Answer:
        return json_answer({"name": "tidegate", "version": "2", "extensions": _EXTENSIONS})

    async def alive(self, _: Scope, __: Receive) -> Answer:
        """As KServe's client for V1 asks for it."""
        return json_answer({"status": "alive"})

    async def live(self, _: Scope, __: Receive) -> Answer:
        return json_answer({"live": True})

    async def ready(self, _: Scope, __: Receive) -> Answer:
        """The models are loaded and have predicted before the port is open, so whoever is alive here is ready."""
        return json_answer({"ready": True})

    async def models(self, _: Scope, __: Receive) -> Answer:
        return json_answer({"models": self._plane.names})

    async def index(self, _: Scope, receive: Receive) -> Answer:
        """https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md"""
        only_ready = (await _read_object(receive)).get("ready", False)
        if type(only_ready) is not bool:
            raise InvalidInput("ready must be true or false.")
        return json_answer([_index_entry(slot) for slot in self._plane.slots if slot.ready or not only_ready])

    async def statistics(self, _: Scope, __: Receive) -> Answer:
        return json_answer(triton.statistics([(slot.name, slot.version) for slot in self._plane.slots], self._plane.metrics))

    def statistics_of(self, find: Callable[[], Slot], name: str, version: str | None) -> Tell:
        """Of one version of a model, or of all of them."""

        async def tell(_: Scope, __: Receive) -> Answer:
            find()
            asked = [slot for slot in self._plane.slots if slot.name == name and version in (None, slot.version)]
            return json_answer(triton.statistics([(slot.name, slot.version) for slot in asked], self._plane.metrics))

        return tell

    def config_of(self, find: Callable[[], Slot]) -> Tell:
        async def tell(_: Scope, __: Receive) -> Answer:
            slot = find()
            return json_answer(triton.config(slot.card, slot.outputs, slot.max_rows))

        return tell

    def metadata(self, find: Callable[[], Slot]) -> Tell:
        async def tell(_: Scope, __: Receive) -> Answer:
            slot = find()
            return json_answer(v2.metadata(slot.card, slot.outputs, self._plane.versions(slot.name)))

        return tell

    def ready_of(self, find: Callable[[], Slot]) -> Tell:
        async def tell(_: Scope, __: Receive) -> Answer:
            slot = find()
            slot.check_ready()
            return json_answer({"name": slot.name, "ready": True})

        return tell

    def load(self, name: str) -> Tell:
        async def tell(_: Scope, receive: Receive) -> Answer:
            slots = self._plane.controlled(name)
            await _refuse_parameters(receive)
            for slot in slots:
                try:
                    await slot.load()
                except InvalidModel as error:
                    raise NotReady(f"the model {name} was not loaded: {error}") from None
            return json_answer({})

        return tell

    def unload(self, name: str) -> Tell:
        async def tell(_: Scope, __: Receive) -> Answer:
            for slot in self._plane.controlled(name):
                await slot.unload()
            return json_answer({})

        return tell


async def _refuse_parameters(receive: Receive) -> None:
    """Other servers load what a caller sends here, or points to; this one loads what it was started with."""
    if (await _read_object(receive)).get("parameters"):
        raise InvalidInput("loading takes no parameters: only the model that the function is configured with can be loaded.")


async def _read_object(receive: Receive) -> dict[str, Any]:
    body = await read_body(receive, None, _SMALL, Budget(2 * _SMALL))
    found = parse_json(body) if body else {}
    if not isinstance(found, dict):
        raise InvalidInput("the body is not a JSON object.")
    return found


def _index_entry(slot: Slot) -> dict[str, str]:
    state = {"state": "READY", "reason": ""} if slot.ready else {"state": "UNAVAILABLE", "reason": slot.reason}
    return {"name": slot.name, **({"version": slot.version} if slot.version else {}), **state}
