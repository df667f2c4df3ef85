"""The request for a batch, and how an event describes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from eventing.event import Event
from eventing.types import BATCH_REQUESTED, KNATIVE_PING
from functions.batch.errors import InvalidRequest

_SHAPE = "send {model, input, output, key}, of which key is optional"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """A Parquet file to score with a model, and the Parquet file to write.

    `key` names the column with each row's routing key; without it the router sends each chunk to a random revision.
    """

    model: str
    input: str
    output: str
    key: str | None = None
    overwrite: bool = False


def request_of(event: Event) -> BatchRequest:
    """Return the request that an event describes. Raises InvalidRequest, naming the missing and invalid fields."""
    if event.type not in (BATCH_REQUESTED, KNATIVE_PING):
        raise InvalidRequest(f"the event's type is {event.type}", remedy=f"send an event of the type {BATCH_REQUESTED}")
    data = event.value()
    if not isinstance(data, dict):
        raise InvalidRequest("the event's data is not a JSON object", remedy=_SHAPE)
    _check(data)
    return BatchRequest(
        model=data["model"],
        input=_dated(data["input"], event),
        output=_dated(data["output"], event),
        key=data.get("key"),
    )


def _check(data: dict[str, Any]) -> None:
    wrong = [name for name in ("model", "input", "output") if not isinstance(data.get(name), str) or not data[name]]
    if not isinstance(data.get("key", ""), str):
        wrong.append("key")
    if wrong:
        raise InvalidRequest(f"{', '.join(wrong)} in the event's data must be a non-empty string", remedy=_SHAPE)


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
