"""The versions of the model that each arm serves.

A Knative Service does not contain them, so they are read from the metadata of the arms, once: a revision does not
change. A call starts an arm at zero, so none is made before a request names a version or lists them all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from time import monotonic
from typing import NamedTuple
from urllib.parse import quote

import orjson

from common.errors import TidegateError
from functions.router.dispatch import Dispatcher
from functions.router.outcomes.mirror import Request
from functions.runtime.errors import UnknownModel, Unreachable
from functions.runtime.knative.traffic import Arm, RoutedModel

log = logging.getLogger("tidegate.router")

# The time limit of an arm that is called to complete a list; a start from zero takes one or two.
_LIST_SECONDS = 10.0
# On one machine a model can be trained again under the same revision. So before a version is reported as unknown,
# entries older than this are read again.
_FRESH_SECONDS = 10.0


class _Entry(NamedTuple):
    versions: tuple[str, ...]
    read_at: float


class Versions:
    """The known versions, by model and revision. `limit` is the limit on the bytes of an arm's metadata."""

    def __init__(self, dispatcher: Dispatcher, limit: int) -> None:
        self._dispatcher = dispatcher
        self._limit = limit
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._pending: dict[tuple[str, str], asyncio.Task[tuple[str, ...]]] = {}

    def known(self, model: RoutedModel, arm: Arm) -> tuple[str, ...] | None:
        """The versions of an arm, if they were read before."""
        found = self._entries.get((model.name, arm.revision))
        return None if found is None else found.versions

    async def of(self, model: RoutedModel, arm: Arm) -> tuple[str, ...]:
        """The versions that an arm serves; none where its card names none. Raises as `Dispatcher.call` does."""
        known = self.known(model, arm)
        return await self._shared_read(model, arm) if known is None else known

    async def arm(self, model: RoutedModel, version: str, arms: Sequence[Arm]) -> Arm:
        """The first of these arms that serves the version.

        Raises UnknownModel, or the error of an arm that may serve it and could not be called.
        """
        return (await self._serving(model, version, arms, only_first=True))[0]

    async def arms(self, model: RoutedModel, version: str, arms: Sequence[Arm]) -> list[Arm]:
        """The arms among these that serve the version. Raises as `arm` does."""
        return await self._serving(model, version, arms, only_first=False)

    async def listed(self, model: RoutedModel, arms: Sequence[Arm]) -> list[str]:
        """The versions of these arms, in their order, without those of an arm that cannot be called now."""
        found = await asyncio.gather(*(self._within_limit(self.of(model, arm), arm) for arm in arms))
        return list(dict.fromkeys(version for versions in found for version in versions))

    async def _serving(self, model: RoutedModel, version: str, arms: Sequence[Arm], *, only_first: bool) -> list[Arm]:
        failures: dict[Arm, TidegateError] = {}
        for read in (self.of, self._refreshed):
            serving: list[Arm] = []
            for arm in arms:
                try:
                    if arm not in failures and version in await read(model, arm):
                        serving.append(arm)
                        if only_first:
                            return serving
                except TidegateError as error:
                    failures[arm] = error
            if serving:
                return serving
        if failures:
            raise next(iter(failures.values()))
        known = ", ".join(dict.fromkeys(name for arm in arms for name in self.known(model, arm) or ())) or "none"
        raise UnknownModel(f"model {model.name} has no version {version[:80]} here; known versions: {known}.")

    async def _refreshed(self, model: RoutedModel, arm: Arm) -> tuple[str, ...]:
        """The versions of an arm, read again if they may be out of date."""
        entry = self._entries.get((model.name, arm.revision))
        if entry is not None and monotonic() - entry.read_at < _FRESH_SECONDS:
            return entry.versions
        return await self._shared_read(model, arm)

    async def _shared_read(self, model: RoutedModel, arm: Arm) -> tuple[str, ...]:
        """Read the versions of an arm, in one call for all waiting requests.

        The call goes on when the first of the requests is cancelled.
        """
        key = (model.name, arm.revision)
        task = self._pending.get(key)
        if task is None:
            task = self._pending[key] = asyncio.create_task(self._read(model, arm))
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    def _done(self, key: tuple[str, str], task: asyncio.Task[tuple[str, ...]]) -> None:
        self._pending.pop(key, None)
        if not task.cancelled():
            task.exception()  # retrieved here, since no request may be waiting any more

    async def _read(self, model: RoutedModel, arm: Arm) -> tuple[str, ...]:
        request = Request("GET", f"/v2/models/{quote(model.name, safe='')}", [], b"")
        reply = await self._dispatcher.call(model.name, arm, request)
        metadata = await reply.read(self._limit, lambda _: None)
        if metadata.status >= 500:
            raise Unreachable(f"cannot read the versions of revision {arm.revision} (status {metadata.status})", remedy="retry")
        self._drop_former(model)
        versions = versions_of(metadata.body) if metadata.ok else ()
        self._entries[model.name, reply.arm.revision] = _Entry(versions, monotonic())
        return versions

    def _drop_former(self, model: RoutedModel) -> None:
        """Drop the entries of revisions that are not arms any more."""
        current = {arm.revision for arm in model.arms}
        for key in [key for key in self._entries if key[0] == model.name and key[1] not in current]:
            del self._entries[key]

    async def _within_limit(self, read: Awaitable[tuple[str, ...]], arm: Arm) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(_LIST_SECONDS):
                return await read
        except (TidegateError, TimeoutError) as error:
            log.info("listing no versions of revision %s: %s", arm.revision, str(error) or "timed out")
            return ()


def versions_of(metadata: bytes) -> tuple[str, ...]:
    """The versions in a model's metadata ("Model Metadata" of the Open Inference Protocol); none if it is malformed."""
    try:
        found = orjson.loads(metadata)
    except orjson.JSONDecodeError:
        return ()
    versions = found.get("versions") if isinstance(found, dict) else None
    return tuple(version for version in versions if isinstance(version, str)) if isinstance(versions, list) else ()


def with_versions(metadata: bytes, versions: Sequence[str]) -> bytes | None:
    """Metadata with these versions appended to its own; None if it is not an object."""
    try:
        found = orjson.loads(metadata)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    named = found.get("versions")
    own = named if isinstance(named, list) else []
    merged = [*own, *(version for version in versions if version not in own)]
    return orjson.dumps({**found, **({"versions": merged} if merged else {})})
