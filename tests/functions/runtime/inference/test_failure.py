from __future__ import annotations

import asyncio
import re

import pytest

from common.errors import InvalidEvent
from functions.runtime.errors import ClientGone, InvalidInput, InvalidModel, NotReady, Overloaded, TimedOut, UnknownModel
from functions.runtime.inference.failure import CLIENT_GONE, failure_of


@pytest.mark.parametrize(
    ("error", "status", "reason", "event_status"),
    [
        (InvalidInput("x is 'a'", remedy="send a number"), 400, "invalid input", 400),
        (InvalidEvent("no id", remedy="send one"), 400, "invalid event", 400),
        (UnknownModel("no model"), 404, "unknown model", 422),
        (Overloaded("queue full", remedy="retry later"), 429, "overloaded", 429),
        (NotReady("the model is not loaded"), 503, "not ready", 503),
        (TimedOut("too late"), 504, "timed out", 504),
        (InvalidModel("no artifact"), 500, "failed", 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_domain_error_keeps_its_status_and_sentence(error: Exception, status: int, reason: str, event_status: int) -> None:
    failure = failure_of(error, "POST /x")
    assert (failure.status, failure.reason, failure.detail) == (status, reason, str(error))
    assert (failure.problem.status, failure.problem.title) == (event_status, reason)
    assert not failure.closes


def test_bug_has_a_reference_that_the_log_has_too(caplog: pytest.LogCaptureFixture) -> None:
    failure = failure_of(ZeroDivisionError("secret"), "POST /x")
    assert (failure.status, failure.reason, failure.problem.status, failure.problem.title) == (500, "bug", 500, "failed")
    assert failure.closes
    assert "secret" not in failure.detail
    (reference,) = re.findall(r"^internal error; reference (\w+)\.$", failure.detail)
    (record,) = caplog.records
    assert record.message == f"bug {reference} at POST /x"
    assert record.exc_info is not None


@pytest.mark.parametrize("process", ["function", "router"])
def test_cancellation_means_that_the_process_stops(process: str) -> None:
    failure = failure_of(asyncio.CancelledError(), "POST /x", process=process)
    assert (failure.status, failure.reason, failure.problem.title) == (503, "stopping", "stopping")
    assert failure.detail == f"the {process} is stopping; retry the request."
    assert failure.closes


def test_client_that_is_gone_is_one_value() -> None:
    assert failure_of(ClientGone(), "POST /x") is CLIENT_GONE
    assert (CLIENT_GONE.status, CLIENT_GONE.reason) == (499, "client gone")
