from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

from loadtest.router import __main__ as router
from loadtest.router import changes, stickiness
from loadtest.router.platform import service
from loadtest.router.stickiness import CANARY, STABLE, Found, Key
from loadtest.router.traffic import Requests, cause_of
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


def test_no_request_fails_while_releases_and_restarts_change_everything(
    flights_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--requests", "200", "--rate", "50", "--pause", "0.1", "--kills", "0", "--seed", "1"]
    status = changes.main([*options, "--models", str(flights_models), "--folder", str(tmp_path)])
    report = capsys.readouterr().out
    assert status == 0, report
    assert re.search(r"^[1-9][\d,]* requests in .* 0 failed$", report, re.MULTILINE)
    changed = ("SIGTERM of a router's replica", "SIGTERM of a function's replica", "revision of the router deployed", "promoted")
    for change in (*changed, "`tidegate rollout start`", "`tidegate rollout abort`"):
        assert re.search(rf"^\| {change} \| [1-9]", report, re.MULTILINE), report


def test_an_event_of_a_batch_that_failed_fails_its_request() -> None:
    requests = Requests("flights", 1)
    batch = next(found for found in iter(requests.next, None) if found.items)
    good = {"type": "dev.tidegate.inference.completed", "data": {}}
    bad = {"type": "dev.tidegate.inference.failed", "data": {"detail": "no arm"}}
    assert cause_of(batch, 200, orjson.dumps([good] * batch.items)) is None
    assert cause_of(batch, 200, orjson.dumps([bad, *[good] * (batch.items - 1)])) == '{"detail":"no arm"}'
    assert cause_of(batch, 200, orjson.dumps([good])) == f"1 replies to {batch.items} events"
    assert cause_of(batch, 503, b"away") == "away"


def test_each_key_meets_one_revision_through_replicas_and_restarts(capsys: pytest.CaptureFixture[str]) -> None:
    assert stickiness.main(["--requests", "4800", "--seed", "1"]) == 0
    report = capsys.readouterr().out
    assert re.search(r"^4,800 requests, .* 300 keys, each 16 times, through 3 replicas, of which 4 were replaced$", report, re.MULTILINE)
    assert re.search(r"^from 5 to 20%: [1-9]\d* keys moved to the canary, 0 left it$", report, re.MULTILINE)


def found(*, at_5: dict[Key, set[str]], at_20: dict[Key, set[str]]) -> Found:
    return Found(keys={"a sequence": list(range(100))}, met={5: at_5, 20: at_20})


def split(canaries: int) -> dict[Key, set[str]]:
    return {key: {CANARY if key < canaries else STABLE} for key in range(100)}


def test_keys_that_meet_two_revisions_leave_the_canary_or_are_too_many_are_found() -> None:
    assert found(at_5=split(5), at_20=split(20)).is_sticky
    assert not found(at_5=split(5) | {50: {CANARY, STABLE}}, at_20=split(20)).is_sticky
    assert not found(at_5=split(5), at_20=split(20) | {0: {STABLE}}).is_sticky
    assert not found(at_5=split(5), at_20=split(40)).is_sticky
