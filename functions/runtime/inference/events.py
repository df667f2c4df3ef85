"""Inference for CloudEvents: the prediction of one event or of a batch, and the events that answer them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence

from common.errors import TidegateError
from eventing import reply
from eventing.event import Event
from functions.runtime.contract.encoding import Rows
from functions.runtime.errors import problem_of
from functions.runtime.inference.served import ServedModel
from functions.runtime.protocols.events import EventRequest, record_of, records_of

# Events of a batch that are answered at once: some milliseconds of work.
_GROUP = 256
# Converting this many values to the data of a reply takes about a millisecond.
_LARGE_VALUES = 4_096


async def infer(model: ServedModel, request: EventRequest, deadline: float = math.inf) -> Event:
    """Predict one event and return its reply. Raises what `ServedModel.infer` raises."""
    tensors = await model.infer(request.rows, request.outputs, deadline)
    document_of = request.document_of or record_of
    small = sum([len(tensor.data) for tensor in tensors]) < _LARGE_VALUES
    data = document_of(tensors) if small else await asyncio.to_thread(document_of, tensors)
    return reply.completed(request.event, model.card.name, model.card.version, data)


async def infer_batch(model: ServedModel, requests: Sequence[EventRequest | Event], deadline: float = math.inf) -> list[Event]:
    """Predict a batch and return a reply for each request, in order; an Event among them is a reply already.

    Raises what fails for the whole batch, such as Overloaded.
    """
    records = [item for item in requests if isinstance(item, EventRequest) and item.document_of is None]
    documents = [item for item in requests if isinstance(item, EventRequest) and item.document_of is not None]
    of_records = iter(await _infer_records(model, records, deadline))
    of_documents = iter(await _infer_documents(model, documents, deadline))
    return [item if isinstance(item, Event) else next(of_records if item.document_of is None else of_documents) for item in requests]


async def _infer_records(model: ServedModel, requests: Sequence[EventRequest], deadline: float) -> list[Event]:
    """Predict the rows of all records as one request."""
    if not requests:
        return []
    values = requests[0].rows.values[:]
    for request in requests[1:]:
        values.extend(request.rows.values)
    tensors = await model.infer(Rows(values, len(requests)), model.outputs.default, deadline)
    name, version = model.card.name, model.card.version
    replies: list[Event] = []
    records = records_of(tensors)
    for group in _groups(model, requests):
        replies += [reply.completed(request.event, name, version, next(records)) for request in group]
        await asyncio.sleep(0)
    return replies


async def _infer_documents(model: ServedModel, requests: Sequence[EventRequest], deadline: float) -> list[Event]:
    replies: list[Event] = []
    for group in _groups(model, requests):
        tasks = [asyncio.ensure_future(_infer_document(model, item, deadline)) for item in group]
        try:
            replies += await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # when one has failed, the results of the others are not needed
                task.cancel()
    return replies


async def _infer_document(model: ServedModel, request: EventRequest, deadline: float) -> Event:
    """Predict one event of a batch: too many rows fail this event only; an overloaded function fails the batch."""
    try:
        return await infer(model, request, deadline)
    except TidegateError as error:
        problem = problem_of(error)
        if problem.status >= 429:
            raise
        return reply.failed(request.event, model.card.name, problem, model.card.version)


def _groups(model: ServedModel, requests: Sequence[EventRequest]) -> Iterator[list[EventRequest]]:
    """Divide requests into groups, between which the event loop serves others, even during a batch of 10,000 events.

    The requests of a group wait for their predictions together: they have no more rows than one request may have, so
    that they fit into the queue.
    """
    most = model.max_rows_at_once
    group: list[EventRequest] = []
    rows = 0
    for request in requests:
        if group and (len(group) == _GROUP or rows + request.rows.count > most):
            yield group
            group, rows = [], 0
        group.append(request)
        rows += request.rows.count
    if group:
        yield group
