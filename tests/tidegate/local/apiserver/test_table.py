from __future__ import annotations

from typing import Any

import pytest

from tidegate.local.apiserver import table

Object = dict[str, Any]


def cells(plural: str, item: Object) -> dict[str, Any]:
    found = table.of(plural, [item])
    (row,) = found["rows"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    return dict(zip((column["name"] for column in found["columnDefinitions"]), row["cells"], strict=True))


def thing(spec: Object | None = None, status: Object | None = None) -> Object:
    metadata = {"name": "it", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": spec or {}, **({"status": status} if status else {})}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (60, "1m"), (61, "1m1s"), (479, "7m59s"), (480, "8m"), (3600, "1h"), (5400, "1h30m"), (86_400 * 8, "8d")],
)
def test_duration_is_written_as_kubectl_does(seconds: float, text: str) -> None:
    assert table.human(seconds) == text


def test_trigger_shows_broker_subscriber_and_reason() -> None:
    condition = {"type": "Ready", "status": "False", "reason": "BrokerDoesNotExist"}
    found = cells("triggers", thing({"broker": "b"}, {"subscriberUri": "http://a", "conditions": [condition]}))
    assert found.pop("Age")
    assert found == {"Name": "it", "Broker": "b", "Subscriber_URI": "http://a", "Ready": "False", "Reason": "BrokerDoesNotExist"}


@pytest.mark.parametrize(
    ("spec", "status", "shown"),
    [
        ({"parallelism": 1}, None, ("Running", "0/1", None)),
        ({"completions": 4}, {"succeeded": 2}, ("Running", "2/4", None)),
        (
            {"completions": 1},
            {
                "succeeded": 1,
                "startTime": "2026-01-01T00:00:00Z",
                "completionTime": "2026-01-01T00:01:05Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            },
            ("Complete", "1/1", "1m5s"),
        ),
        ({"completions": 1}, {"conditions": [{"type": "Failed", "status": "True"}]}, ("Failed", "0/1", None)),
    ],
    ids=["new", "running", "complete", "failed"],
)
def test_job_shows_how_far_it_is(spec: Object, status: Object | None, shown: tuple[str, str, str | None]) -> None:
    found = cells("jobs", thing(spec, status))
    assert (found["Status"], found["Completions"], found["Duration"]) == shown


def test_job_that_runs_shows_its_duration_so_far() -> None:
    assert cells("jobs", thing({}, {"startTime": "2026-01-01T00:00:00Z"}))["Duration"].endswith("d")


def test_class_of_a_broker_is_shown_on_request() -> None:
    (column,) = (found for found in table.of("brokers", [])["columnDefinitions"] if found["name"] == "Class")
    assert column["priority"] == 1
