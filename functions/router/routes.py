"""The requests about a model: thin, over the table, the assignment, and the pure split and join."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from common.errors import TidegateError
from eventing.codecs import http
from eventing.codecs.http import Message, Mode
from eventing.reply import PROBLEM_MEDIA_TYPE
from functions.router import batches, tensors
from functions.router.assignment import choose, event_key
from functions.router.call import Call, contains, required_json
from functions.router.calling import Caller
from functions.router.headers import RawHeaders, passed_on
from functions.router.parts import Part, Share, positions_by_arm, share
from functions.router.paths import Asked, Kind
from functions.router.reply import Answer, Reply
from functions.router.table import Table
from functions.router.versions import Versions, with_versions
from functions.runtime.errors import NotAllowed, not_a_cloudevent, problem_of, sentence_of, status_of
from functions.runtime.knative.traffic import Arm, Model
from functions.runtime.protocols.routing import KEYS as ROUTING_KEYS

KEY = b"tidegate-routing-key"
OVERRIDE = b"tidegate-revision"
# The extension attribute that does for one event what the header does for a request.
OVERRIDE_ATTRIBUTE = "tidegaterevision"
_NEEDLE = OVERRIDE_ATTRIBUTE.encode()
_ENCODINGS = (b"accept-encoding", b"content-encoding")
_JSON = [(b"content-type", b"application/json")]

Shares = dict[Arm, Share]
Joined = tuple[Answer, list[str]]


class Routes:
    """`allow_override` is whether callers may name the revision that answers them."""

    def __init__(self, table: Table, caller: Caller, versions: Versions, *, allow_override: bool) -> None:
        self._table = table
        self._caller = caller
        self._versions = versions
        self._allow_override = allow_override

    async def answer(self, call: Call, asked: Asked) -> Reply | Joined:
        """The answer to a request about a model: one arm's, to be passed on, or one that is put together, with the
        names of its revisions."""
        model = await self._table.find(asked.model)
        if asked.kind is Kind.INFER:
            return await self._infer(call, asked, model)
        if asked.kind is Kind.EVENTS:
            return await self._events(call, model)
        if asked.kind is Kind.METADATA and call.method == "GET" and len(model.arms) > 1 and OVERRIDE not in call.headers:
            return await self._metadata(call, asked, model)
        body = await call.body()
        target = "/openapi.json" if asked.kind is Kind.OPENAPI else call.target
        return await self._forward(call, model, await self._arm(call, asked, model), body, target)

    async def _infer(self, call: Call, asked: Asked, model: Model) -> Reply | Joined:
        """Open Inference: one request to one arm, unless `parameters.routing_keys` has a key for each row."""
        body = await call.body()
        content = (await call.unpacked(body, call.limits.json_bytes)).content if call.encoding else body
        length = call.json_length(content)
        shares = None
        if await contains(content, tensors.NEEDLE, length):
            content = await call.read_json(body) if call.encoding else content
            call.check_json(content, length)
            override, candidates = self._override(call), await self._candidates(asked, model)
            shares = await call.offload(length, _split_rows, content[:length], model, override, candidates)
        if shares is None:
            return await self._forward(call, model, await self._arm(call, asked, model), body)
        required_json(call, ROUTING_KEYS)
        parts = await self._parts(call, model, shares, _as_error)
        for part in parts:
            if not part.answer.ok:
                return part.answer, [part.arm.revision]
        joined = await call.offload(_size(parts), tensors.join, parts)
        return Answer(200, _JSON, joined), _revisions(parts)

    async def _events(self, call: Call, model: Model) -> Reply | Joined:
        """A CloudEvent, or a batch of them, each to its arm."""
        body = await call.body()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in call.headers.items()}
        mode = http.mode_of(headers)
        if mode is None:
            raise not_a_cloudevent()
        if OVERRIDE in call.headers or KEY in call.headers:
            return await self._forward(call, model, self._chosen(call, model), body)
        if mode is Mode.BINARY:
            # The attributes are all in the headers; what the data is worth, its arm says.
            (event,) = http.decode(Message(headers, b""), mode)
            return await self._forward(call, model, self._arm_of_event(model, event.attributes), body)
        if not model.canaries and not call.encoding and not await contains(body, _NEEDLE, len(body)):
            return await self._forward(call, model, model.stable, body)
        content = await call.read_json(body)
        if mode is Mode.BATCH:
            return await self._batch(call, model, body, content)
        (event,) = await call.offload(len(content), http.decode, Message(headers, content), mode)
        return await self._forward(call, model, self._arm_of_event(model, event.attributes), body)

    async def _batch(self, call: Call, model: Model, body: bytes, content: bytes) -> Reply | Joined:
        """`content` is the body without its encoding."""
        shares = await call.offload(len(content), _split_batch, content, lambda item: self._arm_of_event(model, item))
        if not isinstance(shares, dict):
            return await self._forward(call, model, shares or model.stable, body)
        parts = await self._parts(call, model, shares, _as_problem)
        refused = batches.refusal(parts)
        if refused is not None:
            return refused, _revisions(parts)
        joined = await call.offload(_size(parts), batches.join, model.name, parts)
        return Answer(200, batches.HEADERS, joined), _revisions(parts)

    async def _metadata(self, call: Call, asked: Asked, model: Model) -> Reply | Joined:
        """An arm's metadata, with the versions of all arms."""
        arm = await self._arm(call, asked, model)
        headers = _to_be_read(call)
        listed, reply = await asyncio.gather(
            self._versions.listed(model, self._arms(model)), self._caller.call(model.name, arm, "GET", call.target, headers)
        )
        answer = await reply.read(call.limits.json_bytes, call.hold)
        merged = with_versions(answer.body, listed) if answer.ok else None
        return (answer if merged is None else Answer(answer.status, answer.headers, merged)), [reply.arm.revision]

    async def _parts(self, call: Call, model: Model, shares: Shares, as_answer: Callable[[TidegateError], Answer]) -> list[Part]:
        """One request for each arm, all at once; where there is no answer, what the protocol says instead of one."""
        call.hold(sum(len(share.body) for share in shares.values()))
        headers = _to_be_read(call)

        async def ask(arm: Arm, share: Share) -> Part:
            try:
                if share.error is not None:
                    raise share.error
                reply = await self._caller.call(model.name, arm, call.method, call.target, headers, share.body)
                answer = await reply.read(call.limits.json_bytes, call.hold)
                call.check_answer(answer.body)
                return Part(reply.arm, share.positions, answer, share.body)
            except TidegateError as error:
                return Part(arm, share.positions, as_answer(error), share.body)

        return await asyncio.gather(*(ask(arm, share) for arm, share in shares.items()))

    async def _forward(self, call: Call, model: Model, arm: Arm, body: bytes, target: str | None = None) -> Reply:
        return await self._caller.call(
            model.name, arm, call.method, call.target if target is None else target, passed_on(call.scope["headers"]), body
        )

    async def _arm(self, call: Call, asked: Asked, model: Model) -> Arm:
        """The arm of a whole request; where its path names a version, one that serves it."""
        arm = self._chosen(call, model)
        arms = self._arms(model)
        if asked.version is None or OVERRIDE in call.headers or len(arms) == 1:
            return arm
        return await self._versions.arm(model, asked.version, [arm, *(other for other in arms if other is not arm)])

    async def _candidates(self, asked: Asked, model: Model) -> list[Arm] | None:
        """The arms that may have rows of a request, or None where its path names no version."""
        arms = self._arms(model)
        return None if asked.version is None or len(arms) == 1 else await self._versions.arms(model, asked.version, arms)

    def _arms(self, model: Model) -> tuple[Arm, ...]:
        """Those that a request can come to by itself."""
        return model.arms if self._allow_override else model.split

    def _chosen(self, call: Call, model: Model) -> Arm:
        """By the headers.

        Without a key, what only reads goes to the stable arm, and the rest to one at random by the percentages.
        """
        override, key = self._override(call), call.headers.get(KEY)
        if override is None and key is None and call.method in ("GET", "HEAD"):
            return model.stable
        return choose(model, override, key)

    def _override(self, call: Call) -> str | None:
        override = call.headers.get(OVERRIDE)
        return self._allowed(override.decode("latin-1")) if override else None

    def _arm_of_event(self, model: Model, attributes: Mapping[str, Any]) -> Arm:
        override = attributes.get(OVERRIDE_ATTRIBUTE) or None
        return choose(model, override if override is None else self._allowed(override), event_key(attributes))

    def _allowed(self, override: str) -> str:
        if not self._allow_override:
            raise NotAllowed(
                f"the revision {override!r:.80} is named, which is switched off here; leave out Tidegate-Revision and {OVERRIDE_ATTRIBUTE}."
            )
        return override


def _split_rows(body: bytes, model: Model, override: str | None, candidates: Sequence[Arm] | None) -> Shares | None:
    """A body for each arm, with its rows; None when the request has no keys.

    Where there are candidates, another arm's rows go to the first.
    """
    message = tensors.parse(body)
    if message is None:
        return None
    arms = [choose(model, override, key) for key in tensors.keys_of(message)]
    if candidates is not None and override is None:
        arms = [arm if arm in candidates else candidates[0] for arm in arms]
    return {arm: share(rows, partial(tensors.take, message, rows)) for arm, rows in positions_by_arm(arms).items()}


def _split_batch(body: bytes, arm_of: Callable[[Mapping[str, Any]], Arm]) -> Shares | Arm | None:
    """A body for each arm, with its events; or the only arm, if there are any events, for which the body can stay as it
    is."""
    items = batches.parse(body)
    positions = positions_by_arm([arm_of(item) for item in items])
    if len(positions) <= 1:
        return next(iter(positions), None)
    return {
        arm: share(found, partial(batches.take, items, found), partial(batches.without_data, items, found))
        for arm, found in positions.items()
    }


def _to_be_read(call: Call) -> RawHeaders:
    """The headers of a request that is written here, uncompressed, and whose answer is read here, so it must not
    come compressed."""
    return [(name, value) for name, value in passed_on(call.scope["headers"]) if name not in _ENCODINGS]


def _size(parts: Sequence[Part]) -> int:
    """About the bytes that are read to join them: the events of a part that failed are read again."""
    return sum(len(part.answer.body) + len(part.sent) for part in parts)


def _revisions(parts: Iterable[Part]) -> list[str]:
    return list(dict.fromkeys(part.arm.revision for part in parts))


def _as_error(error: TidegateError) -> Answer:
    return Answer(status_of(error), _JSON, orjson.dumps({"error": sentence_of(error)}))


def _as_problem(error: TidegateError) -> Answer:
    problem = problem_of(error)
    return Answer(problem.status, [(b"content-type", PROBLEM_MEDIA_TYPE.encode())], orjson.dumps(problem.to_json()))
