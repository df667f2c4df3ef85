from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from loadtest.router import __main__ as router
from loadtest.router.platform import service
from loadtest.router.upstream import answer


def test_what_the_router_adds_is_measured(flights_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(flights_models / "v1")
    assert router.main(["--rounds", "1", "--seconds", "0.1", "--requests", "20", "--model", model]) == 0
    report = capsys.readouterr().out
    assert re.search(r"process start to first response through the router: [1-9]\d* ms\n", report)
    for what in ("1 connections", "8 connections", "router alone", "256 events to one arm", "256 events to two arms", "memory"):
        assert re.search(rf"^.*{what}.* [1-9][\d,.]* ", report, re.MULTILINE), what


def test_a_function_that_does_not_start_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert router.main(["--model", str(tmp_path / "missing")]) == 1
    assert re.match(r"router: no response with status 200: .*model", capsys.readouterr().err)


def test_each_event_is_answered() -> None:
    events = [{"id": str(number), "partitionkey": "k"} for number in range(3)]
    head, _, body = answer(orjson.dumps(events)).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head
    assert [reply["causationid"] for reply in orjson.loads(body)] == ["0", "1", "2"]


def test_a_service_has_a_revision_for_each_share() -> None:
    status = service("flights", 8080, {"v1": 95, "v2": 5})["status"]
    assert status["address"] == {"url": "http://flights.localhost:8080"}
    assert [(target["revisionName"], target["percent"]) for target in status["traffic"]] == [("flights-v1", 95), ("flights-v2", 5)]
