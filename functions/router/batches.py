"""Batches of events: split by arm, and what each part's answer means for its events. Pure functions on parsed JSON.

The items stay plain JSON objects: the revision checks them, and here only their keys are of interest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from common.delivery import Outcome, outcome_of
from common.errors import InvalidEvent
from eventing.codecs.json import BATCH_MEDIA_TYPE
from eventing.event import Event
from eventing.reply import Problem, failed
from functions.router.parts import Part, dump, in_order
from functions.router.reply import Answer

Item = dict[str, Any]
HEADERS = [(b"content-type", BATCH_MEDIA_TYPE.encode())]


def parse(body: bytes) -> list[Item]:
    """The objects of a batch, each with an id and a source. Raises InvalidEvent."""
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"the body is not JSON: {error}.") from None
    if not isinstance(items, list):
        raise InvalidEvent("a batch of events is a JSON array; this body is not one.")
    for index, item in enumerate(items):
        if not isinstance(item, dict) or not _is_text(item.get("id")) or not _is_text(item.get("source")):
            raise InvalidEvent(f"event {index} of the batch is no object with an id and a source; a CloudEvent needs both as texts.")
    return items


def take(items: Sequence[Item], positions: Sequence[int]) -> bytes:
    return dump([items[position] for position in positions])


def without_data(items: Sequence[Item], positions: Sequence[int]) -> bytes:
    """The events as far as their failures need them."""
    return dump([{name: value for name, value in items[position].items() if not isinstance(value, (dict, list))} for position in positions])


def refusal(parts: Sequence[Part]) -> Answer | None:
    """The answer that stands for the whole batch, or None when the parts are to be joined.

    Either no part was answered; or one with several events was refused for good, as a batch is for one bad event in it:
    without the split its sender would be told so and look for the bad one, and must not take all of them for bad.
    """
    for part in parts:
        if len(part.positions) > 1 and outcome_of(part.answer.status) is Outcome.DEAD_LETTER:
            return part.answer
    return None if any(part.answer.ok for part in parts) else parts[0].answer


def join(model: str, parts: Sequence[Part]) -> bytes:
    """A batch with one reply for each event: its revision's, or a failure that says why there is none.

    The events of a part that failed are read again from what was sent: parsed, they would take many times their bytes
    until the answer comes.
    """
    return orjson.dumps(in_order((part.positions, _replies(model, part)) for part in parts))


def _replies(model: str, part: Part) -> list[Any]:
    answer, revision, count = part.answer, part.arm.revision, len(part.positions)
    found = _array(answer.body) if answer.ok else None
    if found is not None and len(found) == count:
        return found
    if answer.ok:
        said = "no batch" if found is None else f"{len(found)} replies"
        problem = Problem(502, "bad answer", f"revision {revision} answered {said} to {count} events; see its log.")
    else:
        problem = _problem(answer, revision)
    return [_failure(model, item, problem) for item in orjson.loads(part.sent)]


def _failure(model: str, item: Item, problem: Problem) -> Item:
    reply = failed(Event(item), model, problem)
    return {**reply.attributes, "data": reply.data}


def _problem(answer: Answer, revision: str) -> Problem:
    try:
        value = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        value = None
    if isinstance(value, dict) and "detail" in value:
        return replace(Problem.from_json(value), status=answer.status)
    said = answer.body[:200].decode(errors="replace").strip() or "nothing"
    return Problem(answer.status, "failed", f"revision {revision} answered {answer.status}: {said}")


def _array(body: bytes) -> list[Any] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, list) else None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""
