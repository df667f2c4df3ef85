"""Inference requests in CloudEvents, and the events that answer them.

The data of an event is one record by the card's input names, or a request of the Open Inference Protocol or of V1; the
data of the reply has the same form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from common.errors import TidegateError
from eventing import reply
from eventing.event import Event
from eventing.reply import Problem
from functions.runtime.contract.encoding import Rows
from functions.runtime.contract.outputs import OutputTensor, ServedOutput
from functions.runtime.errors import InvalidInput, log_bug, problem_of
from functions.runtime.protocols import v1, v2

if TYPE_CHECKING:
    from functions.runtime.protocols.model import ModelContract


@dataclass(frozen=True, slots=True)
class EventRequest:
    """The rows and outputs that an event requests.

    `document_of` converts tensors to the reply's data; it is None for a record, whose row can be predicted together
    with those of other records.
    """

    event: Event
    rows: Rows
    outputs: tuple[ServedOutput, ...]
    document_of: Callable[[Sequence[OutputTensor]], Any] | None = None


def read(model: ModelContract, event: Event) -> EventRequest:
    """Decode an event. Raises InvalidInput, InvalidEvent, TooLarge, and any error of a transform."""
    if not event.is_json:
        raise InvalidInput(
            f"unsupported datacontenttype {event.get('datacontenttype')}",
            remedy="send a JSON object with the model's inputs by name",
        )
    data = event.value()
    if isinstance(data, dict):
        if "inputs" in data and "inputs" not in model.encoder.names:
            request = v2.parse(data, model)
            return EventRequest(event, request.rows, request.outputs, lambda tensors: v2.document_of(model.card, request, tensors))
        if "instances" in data and "instances" not in model.encoder.names:
            return EventRequest(event, v1.parse(data, model), model.outputs.default, v1.document_of)
    return EventRequest(event, Rows(model.encoder.record(data), 1), model.outputs.default)


def read_all(model: ModelContract, events: Sequence[Event]) -> list[EventRequest | Event]:
    """Decode a batch: a request for each event, or the reply that names its error, so that no event fails the others.

    Raises TooLarge for too many events.
    """
    model.check_rows(len(events))
    return [_read_or_fail(model, event) for event in events]


def record_of(tensors: Sequence[OutputTensor]) -> dict[str, Any]:
    """Convert the tensors of one row to an object by output name."""
    return next(records_of(tensors))


def records_of(tensors: Sequence[OutputTensor]) -> Iterator[dict[str, Any]]:
    """Yield an object by output name for each row."""
    names = [tensor.name for tensor in tensors]
    return (dict(zip(names, row, strict=True)) for row in zip(*map(v1.rows_of, tensors), strict=True))


def _read_or_fail(model: ModelContract, event: Event) -> EventRequest | Event:
    try:
        return read(model, event)
    except TidegateError as error:
        problem = problem_of(error)
    except Exception as error:  # noqa: BLE001 a transform is the user's code
        problem = Problem(500, "failed", log_bug(error, f"the event {event.id} of {event.source}"))
    return reply.failed(event, model.card.name, problem, model.card.version)
