"""Which arm serves which version of its model.

A Knative Service does not say it, so the arms are asked for their metadata, and once: a revision never changes. An arm
at zero is started by that, so nothing is asked before a request names a version, or wants to know all of them.
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
from functions.router.calling import Caller
from functions.runtime.errors import UnknownModel, Unreachable
from functions.runtime.knative.traffic import Arm, Model

log = logging.getLogger("tidegate.router")

# Arms that are asked only to complete a list may take so long; a start from zero takes one or two.
_LIST_SECONDS = 10.0
# On one machine a model can be trained again below a revision. So before a version is called unknown, what was learned
# this long ago is asked again.
_FRESH_SECONDS = 10.0


class _Learned(NamedTuple):
    versions: tuple[str, ...]
    at: float


class Versions:
    def __init__(self, caller: Caller, limit: int) -> None:
        """`limit` bounds the bytes of an arm's metadata."""
        self._caller = caller
        self._limit = limit
        self._learned: dict[tuple[str, str], _Learned] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[tuple[str, ...]]] = {}

    def known(self, model: Model, arm: Arm) -> tuple[str, ...] | None:
        """The versions of an arm, if it was asked before."""
        found = self._learned.get((model.name, arm.revision))
        return None if found is None else found.versions

    async def of(self, model: Model, arm: Arm) -> tuple[str, ...]:
        """The versions that an arm serves, none where its card names none. Raises what the call of the arm does."""
        known = self.known(model, arm)
        return await self._ask(model, arm) if known is None else known

    async def arm(self, model: Model, version: str, arms: Sequence[Arm]) -> Arm:
        """The first of these arms that serves the version.

        Raises UnknownModel, or why an arm that may serve it could not be asked.
        """
        return (await self._serving(model, version, arms, only_first=True))[0]

    async def arms(self, model: Model, version: str, arms: Sequence[Arm]) -> list[Arm]:
        """All of these arms that serve the version. Raises as `arm` does."""
        return await self._serving(model, version, arms, only_first=False)

    async def listed(self, model: Model, arms: Sequence[Arm]) -> list[str]:
        """The versions of all of these arms, in their order, but for those of an arm that cannot say them now."""
        found = await asyncio.gather(*(self._within(self.of(model, arm), arm) for arm in arms))
        return list(dict.fromkeys(version for versions in found for version in versions))

    async def _serving(self, model: Model, version: str, arms: Sequence[Arm], *, only_first: bool) -> list[Arm]:
        failures: dict[Arm, TidegateError] = {}
        for ask in (self.of, self._again):
            serving: list[Arm] = []
            for arm in arms:
                try:
                    if arm not in failures and version in await ask(model, arm):
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

    async def _again(self, model: Model, arm: Arm) -> tuple[str, ...]:
        """Ask an arm whose answer may be out of date."""
        learned = self._learned.get((model.name, arm.revision))
        if learned is not None and monotonic() - learned.at < _FRESH_SECONDS:
            return learned.versions
        return await self._ask(model, arm)

    async def _ask(self, model: Model, arm: Arm) -> tuple[str, ...]:
        """One call at a time for each arm, which goes on when the caller who wanted it first is gone."""
        key = (model.name, arm.revision)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._read(model, arm))
            task.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(task)

    def _done(self, key: tuple[str, str], task: asyncio.Task[tuple[str, ...]]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # retrieved, since the one who asked may be gone

    async def _read(self, model: Model, arm: Arm) -> tuple[str, ...]:
        reply = await self._caller.call(model.name, arm, "GET", f"/v2/models/{quote(model.name, safe='')}", [])
        answer = await reply.read(self._limit, lambda _: None)
        if answer.status >= 500:
            raise Unreachable(f"revision {arm.revision} does not say which versions it serves (status {answer.status}); try again.")
        self._forget_others(model)
        versions = versions_of(answer.body) if answer.ok else ()
        self._learned[model.name, reply.arm.revision] = _Learned(versions, monotonic())
        return versions

    def _forget_others(self, model: Model) -> None:
        """Revisions that are no arms any more."""
        current = {arm.revision for arm in model.arms}
        for key in [key for key in self._learned if key[0] == model.name and key[1] not in current]:
            del self._learned[key]

    async def _within(self, asked: Awaitable[tuple[str, ...]], arm: Arm) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(_LIST_SECONDS):
                return await asked
        except (TidegateError, TimeoutError) as error:
            log.info("the versions of revision %s are left out of a list: %s", arm.revision, str(error) or "it does not answer in time")
            return ()


def versions_of(metadata: bytes) -> tuple[str, ...]:
    """The versions that a model's metadata names ("Model Metadata" of the Open Inference Protocol);

    none where it is not such an object.
    """
    try:
        found = orjson.loads(metadata)
    except orjson.JSONDecodeError:
        return ()
    versions = found.get("versions") if isinstance(found, dict) else None
    return tuple(version for version in versions if isinstance(version, str)) if isinstance(versions, list) else ()


def with_versions(metadata: bytes, versions: Sequence[str]) -> bytes | None:
    """Metadata with these versions behind those that it names; None where it is not an object."""
    try:
        found = orjson.loads(metadata)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    named = found.get("versions")
    mine = named if isinstance(named, list) else []
    merged = [*mine, *(version for version in versions if version not in mine)]
    return orjson.dumps({**found, **({"versions": merged} if merged else {})})
