"""Inference by CloudEvents: an event's data is one row by the card's names; the reply is an event that can be joined to it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from eventing import reply
from eventing.errors import TidegateError
from eventing.event import Event
from eventing.reply import Problem
from functions.runtime.dataplane import DataPlane
from functions.runtime.encoding import Rows
from functions.runtime.errors import InvalidInput, log_bug, problem_of


async def infer(plane: DataPlane, event: Event) -> Event:
    """The reply to one event. Raises what is wrong with it."""
    row = plane.encoder.record(_record(event))
    scores = await plane.infer(Rows(array("f", row), 1))
    return _completed(plane, event, scores.row(0))


async def infer_batch(plane: DataPlane, events: Sequence[Event]) -> list[Event]:
    """One reply an event, in order: what is wrong with one event fails that event alone."""
    values = array("f")
    problems: dict[int, Problem] = {}
    for index, event in enumerate(events):
        row = _row(plane, event)
        if isinstance(row, Problem):
            problems[index] = row
        else:
            values.extend(row)
    count = len(events) - len(problems)
    rows = iter(await _score_rows(plane, Rows(values, count)))
    return [
        reply.failed(event, plane.card.name, problems[index], plane.card.version)
        if index in problems
        else _completed(plane, event, next(rows))
        for index, event in enumerate(events)
    ]


def _row(plane: DataPlane, event: Event) -> array[float] | Problem:
    """The features of one event, or why there are none: a transform that fails at one event must not fail its neighbours."""
    try:
        # An array of its own: extending by what is no number would stop half way, and shift the rows after it.
        return array("f", plane.encoder.record(_record(event)))
    except TidegateError as error:
        return problem_of(error)
    except Exception as error:  # noqa: BLE001 a transform is the user's code
        return Problem(500, "failed", log_bug(error, f"the event {event.id} of {event.source}"))


async def _score_rows(plane: DataPlane, rows: Rows) -> list[list[float]]:
    if rows.count == 0:
        return []
    scores = await plane.infer(rows)
    return [scores.row(index) for index in range(rows.count)]


def _record(event: Event) -> Any:
    if not event.is_json:
        raise InvalidInput(f"the event's data is {event.get('datacontenttype')}; send a JSON object with the model's inputs by name.")
    return event.value()


def _completed(plane: DataPlane, event: Event, row: list[float]) -> Event:
    data = {plane.card.outputs[0].name: row[0] if plane.width == 1 else row}
    return reply.completed(event, plane.card.name, plane.card.version, data)
