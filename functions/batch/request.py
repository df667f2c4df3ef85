"""The request for a batch, and how an event describes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from eventing.event import Event
from eventing.types import BATCH_REQUESTED, KNATIVE_PING
from functions.batch.errors import InvalidRequest

_STRINGS = ("key", "revision", "format", "filter")
_OPTIONAL = (*_STRINGS, "max_rejects", "overwrite", "incremental", "shards")
_SHAPE = f"send {{model, input, output}}, and optionally {', '.join((*_OPTIONAL, 'columns'))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """A dataset to score with a model, and the dataset to write."""

    model: str
    input: str
    output: str
    key: str | None = None
    """The column with each row's routing key; without it, all rows of a part have one revision."""

    revision: str | None = None
    """The revision or tag that scores all rows, whatever the traffic."""

    format: str | None = None
    """The format of the input, where its name does not show it."""

    columns: tuple[str, ...] | None = None
    """The columns to read, those that the model needs included; None for all."""

    filter: str | None = None
    """A condition on the rows to score."""

    max_rejects: int = 0
    """Rows that may be rejected, that is left out with their reason, before the run fails."""

    overwrite: bool = False
    incremental: bool = False
    """Whether to score only the files that the output does not have yet."""

    shards: int | None = None
    """Processes that share the work; None leaves it to the Job."""

    run: str = ""
    """The identity of the run: the same request is one run, however often it is sent."""


def request_of(event: Event) -> BatchRequest:
    """Return the request that an event describes. Raises InvalidRequest, naming the missing and invalid fields."""
    if event.type not in (BATCH_REQUESTED, KNATIVE_PING):
        raise InvalidRequest(f"the event's type is {event.type}", remedy=f"send an event of the type {BATCH_REQUESTED}")
    data = event.value()
    if not isinstance(data, dict):
        raise InvalidRequest("the event's data is not a JSON object", remedy=_SHAPE)
    _check(data)
    columns = data.get("columns")
    return BatchRequest(
        input=_dated(data["input"], event),
        output=_dated(data["output"], event),
        columns=None if columns is None else tuple(columns),
        run=f"{event.source}#{event.id}",
        **{name: data[name] for name in ("model", *_OPTIONAL) if data.get(name) is not None},
    )


def _check(data: dict[str, Any]) -> None:
    wrong = [name for name in ("model", "input", "output") if not isinstance(data.get(name), str) or not data[name]]
    wrong += [name for name in _STRINGS if not isinstance(data.get(name) or "", str)]
    if wrong:
        raise InvalidRequest(f"{', '.join(wrong)} in the event's data must be a non-empty string", remedy=_SHAPE)
    columns = data.get("columns")
    if columns is not None and not (isinstance(columns, list) and all(isinstance(name, str) for name in columns)):
        raise InvalidRequest("columns in the event's data must be a list of names", remedy=_SHAPE)
    for name in ("max_rejects", "shards"):
        if type(data.get(name, 1)) is not int or data.get(name, 1) < (name == "shards"):
            raise InvalidRequest(f"{name} in the event's data must be a positive integer", remedy=_SHAPE)
    for name in ("overwrite", "incremental"):
        if type(data.get(name, False)) is not bool:
            raise InvalidRequest(f"{name} in the event's data must be true or false", remedy=_SHAPE)


def _dated(path: str, event: Event) -> str:
    """Replace `{date}` and `{yesterday}` by the day of the event in UTC: a schedule sends the same data every night."""
    if "{date}" not in path and "{yesterday}" not in path:
        return path
    day = _day_of(path, event.attributes.get("time"))
    return path.replace("{date}", str(day[1])).replace("{yesterday}", str(day[0]))


def _day_of(path: str, value: object) -> tuple[object, object]:
    """Return the day before, and the day of a time. Raises InvalidRequest."""
    try:
        time = datetime.fromisoformat(str(value))
        # A time without an offset is UTC, like the schedule, rather than this machine's local time.
        day = time.astimezone(UTC).date() if time.tzinfo else time.date()
        return day - timedelta(days=1), day
    except (ValueError, OverflowError):
        fault = "the event has no time" if value is None else f"the event has the invalid time {value!r}"
        raise InvalidRequest(f"{path} contains a date, but {fault}", remedy="set a time such as 2026-11-23T02:30:00Z") from None
