"""Inference by CloudEvents: an event's data are rows, its reply is an event that can be joined to it.

The data is one record by the card's names, or a request of the Open Inference Protocol or of V1; the reply's data answers in kind.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import TidegateError
from eventing import reply
from eventing.event import Event
from eventing.reply import Problem
from functions.runtime.contract.encoding import Rows
from functions.runtime.contract.outputs import OutputTensor, ServedOutput
from functions.runtime.errors import InvalidInput, log_bug, problem_of
from functions.runtime.inference.dataplane import ServedModel
from functions.runtime.protocols import v1, v2

Answer = Callable[[Sequence[OutputTensor]], Any]
# Events of a batch that are answered at once: some milliseconds of work.
_GROUP = 256
# Making the data of a reply of so many values takes about a millisecond.
_LARGE_VALUES = 4_096


@dataclass(frozen=True, slots=True)
class Question:
    """What an event asks; `answer` makes the reply's data, and is None for a record, whose rows are put together with its neighbours'."""

    event: Event
    rows: Rows
    outputs: tuple[ServedOutput, ...]
    answer: Answer | None = None


def read(model: ServedModel, event: Event) -> Question:
    """Raises what is wrong with the event."""
    if not event.is_json:
        raise InvalidInput(f"the event's data is {event.get('datacontenttype')}; send a JSON object with the model's inputs by name.")
    data = event.value()
    if isinstance(data, dict):
        if "inputs" in data and "inputs" not in model.encoder.names:
            request = v2.parse(data, model)
            return Question(event, request.rows, request.outputs, lambda answered: v2.document_of(model.card, request, answered))
        if "instances" in data and "instances" not in model.encoder.names:
            return Question(event, v1.parse(data, model), model.outputs.default, v1.document_of)
    return Question(event, Rows(model.encoder.record(data), 1), model.outputs.default)


def read_all(model: ServedModel, events: Sequence[Event]) -> list[Question | Event]:
    """A question for each event, or the reply that says what is wrong with it: no event fails its neighbours. Raises TooLarge."""
    model.check_rows(len(events))
    return [_question(model, event) for event in events]


async def answer(model: ServedModel, question: Question, deadline: float = math.inf) -> Event:
    answered = await model.infer(question.rows, question.outputs, deadline)
    make = question.answer or _record
    small = sum([len(tensor.data) for tensor in answered]) < _LARGE_VALUES
    data = make(answered) if small else await asyncio.to_thread(make, answered)
    return reply.completed(question.event, model.card.name, model.card.version, data)


async def answer_all(model: ServedModel, questions: Sequence[Question | Event], deadline: float = math.inf) -> list[Event]:
    """A reply for each, in order. Raises what fails for all of them, such as Overloaded."""
    records = [item for item in questions if isinstance(item, Question) and item.answer is None]
    requests = [item for item in questions if isinstance(item, Question) and item.answer is not None]
    replies = iter(await _answer_records(model, records, deadline))
    others = iter(await _answer_requests(model, requests, deadline))
    return [item if isinstance(item, Event) else next(replies if item.answer is None else others) for item in questions]


def _question(model: ServedModel, event: Event) -> Question | Event:
    try:
        return read(model, event)
    except TidegateError as error:
        problem = problem_of(error)
    except Exception as error:  # noqa: BLE001 a transform is the user's code
        problem = Problem(500, "failed", log_bug(error, f"the event {event.id} of {event.source}"))
    return reply.failed(event, model.card.name, problem, model.card.version)


async def _answer_records(model: ServedModel, questions: Sequence[Question], deadline: float) -> list[Event]:
    if not questions:
        return []
    values = questions[0].rows.values[:]
    for question in questions[1:]:
        values.extend(question.rows.values)
    answered = await model.infer(Rows(values, len(questions)), model.outputs.default, deadline)
    name, version = model.card.name, model.card.version
    replies: list[Event] = []
    records = _records(answered)
    for some in _in_groups(model, questions):
        replies += [reply.completed(question.event, name, version, next(records)) for question in some]
        await asyncio.sleep(0)
    return replies


async def _answer_requests(model: ServedModel, questions: Sequence[Question], deadline: float) -> list[Event]:
    replies: list[Event] = []
    for some in _in_groups(model, questions):
        tasks = [asyncio.ensure_future(_answer_request(model, item, deadline)) for item in some]
        try:
            replies += await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # when one has failed, nobody waits for the others
                task.cancel()
    return replies


async def _answer_request(model: ServedModel, question: Question, deadline: float) -> Event:
    """Too many rows in one event are that event's problem; that the function is overloaded is everybody's."""
    try:
        return await answer(model, question, deadline)
    except TidegateError as error:
        problem = problem_of(error)
        if problem.status >= 429:
            raise
        return reply.failed(question.event, model.card.name, problem, model.card.version)


def _in_groups(model: ServedModel, questions: Sequence[Question]) -> Iterator[list[Question]]:
    """Some at a time, so that the event loop comes round between them: a batch of 10,000 events is no reason to answer nobody else.

    Those of a group wait together: they have no more rows than one request may have, lest they leave no room for each other.
    """
    most = model.rows_at_once
    group: list[Question] = []
    rows = 0
    for question in questions:
        if group and (len(group) == _GROUP or rows + question.rows.count > most):
            yield group
            group, rows = [], 0
        group.append(question)
        rows += question.rows.count
    if group:
        yield group


def _record(answered: Sequence[OutputTensor]) -> dict[str, Any]:
    return next(_records(answered))


def _records(answered: Sequence[OutputTensor]) -> Iterator[dict[str, Any]]:
    """An object by output name for each row."""
    names = [tensor.name for tensor in answered]
    return (dict(zip(names, row, strict=True)) for row in zip(*map(v1.rows_of, answered), strict=True))
