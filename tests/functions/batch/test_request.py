from __future__ import annotations

from time import tzset
from typing import Any

import pytest

from eventing.event import Event
from eventing.types import BATCH_REQUESTED
from functions.batch.errors import InvalidRequest
from functions.batch.request import BatchRequest, request_of


def event(data: Any, type_: str = BATCH_REQUESTED, **more: str) -> Event:
    return Event({"specversion": "1.0", "id": "1", "source": "/test", "type": type_, **more}, data)


def test_event_describes_a_batch() -> None:
    assert request_of(event({"model": "m", "input": "i", "output": "o"})) == BatchRequest(model="m", input="i", output="o", run="/test#1")
    assert request_of(event({"model": "m", "input": "i", "output": "o", "key": "k"})) == BatchRequest(
        model="m", input="i", output="o", key="k", run="/test#1"
    )


def test_event_has_the_options_of_a_batch() -> None:
    options: dict[str, Any] = {"revision": "m-2", "filter": "x > 1", "format": "csv", "max_rejects": 3, "incremental": True, "shards": 2}
    asked = request_of(event({"model": "m", "input": "i", "output": "o", "columns": ["a"], **options}))
    assert asked == BatchRequest(model="m", input="i", output="o", columns=("a",), run="/test#1", **options)


def test_dates_in_paths_are_the_day_of_the_event() -> None:
    data = {"model": "m", "input": "in-{yesterday}.parquet", "output": "out-{date}.parquet"}
    asked = event(data, "dev.knative.sources.ping", time="2026-03-01T01:30:00+02:00")
    assert request_of(asked) == BatchRequest(model="m", input="in-2026-02-27.parquet", output="out-2026-02-28.parquet", run="/test#1")


@pytest.mark.parametrize(
    ("time", "day", "before"),
    [
        ("2024-03-01T00:00:00.272531213Z", "2024-03-01", "2024-02-29"),
        ("2024-03-01T00:00:00+00:01", "2024-02-29", "2024-02-28"),
        ("2025-12-31T23:59:59-00:01", "2026-01-01", "2025-12-31"),
        ("2026-03-29T02:30:00", "2026-03-29", "2026-03-28"),
    ],
)
def test_day_is_in_utc_in_any_local_time(monkeypatch: pytest.MonkeyPatch, time: str, day: str, before: str) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        tzset()
        asked = request_of(event({"model": "m", "input": "{yesterday}", "output": "{date}"}, time=time))
    tzset()
    assert asked == BatchRequest(model="m", input=before, output=day, run="/test#1")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (event({"model": "m", "input": "{date}", "output": "o"}), "the event has no time"),
        (event({"model": "m", "input": "{date}", "output": "o"}, time="noon"), "the event has the invalid time 'noon'"),
        (event({"model": "m", "input": "{yesterday}", "output": "o"}, time="0001-01-01T00:00:00Z"), "the invalid time"),
        (event({}, "other"), "the event's type is other"),
        (event([]), "not a JSON object"),
        (event({"model": "m", "output": 7}), "input, output in the event's data must be a non-empty string"),
        (event({"model": "m", "input": "i", "output": "o", "key": 1}), "key in the event's data must be"),
    ],
)
def test_invalid_event_is_refused(asked: Event, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        request_of(asked)
