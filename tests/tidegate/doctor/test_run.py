from __future__ import annotations

import threading

import pytest

from tidegate.doctor.finding import Findings, Level, NotInspectable, ok
from tidegate.doctor.run import Check, watched


def _breaks(problem: Exception) -> Findings[None]:
    yield ok("first", "is fine")
    raise problem


@pytest.mark.parametrize("problem", [NotInspectable("services is forbidden"), ValueError("a bug")])
def test_failing_check_is_a_note_after_its_findings(problem: Exception) -> None:
    first, last = watched(Check("permissions", lambda: _breaks(problem), None))
    assert first.level is Level.OK
    assert (last.level, last.subject) == (Level.NOTE, "permissions")
    assert str(problem) in last.message


def test_hanging_check_is_abandoned_after_its_limit() -> None:
    release = threading.Event()

    def hangs() -> Findings[None]:
        yield ok("API", "is there")
        release.wait()

    found = list(watched(Check("API", hangs, None), seconds=0.05))
    release.set()
    assert [item.level for item in found] == [Level.OK, Level.NOTE]
    assert found[-1].message == "could not be inspected within 0.05 s."


def test_failure_level_of_a_required_check_is_error() -> None:
    release = threading.Event()

    def hangs() -> Findings[None]:
        release.wait()
        yield ok("API server", "is there")

    found = list(watched(Check("API server", hangs, None, Level.ERROR), seconds=0.05))
    release.set()
    broken = list(watched(Check("manifests", lambda: _breaks(RecursionError("too deep")), None, Level.ERROR)))
    assert [item.level for item in (*found, *broken)] == [Level.ERROR, Level.OK, Level.ERROR]


def _result(findings: Findings[str]) -> str:
    while True:
        try:
            next(findings)
        except StopIteration as end:
            result: str = end.value
            return result


def _finds(result: str) -> Findings[str]:
    yield ok("API", "is there")
    return result


def _fails() -> Findings[str]:
    yield ok("API", "is there")
    raise NotInspectable("forbidden")


def test_result_of_a_check_is_returned() -> None:
    assert _result(watched(Check("API", lambda: _finds("v1.34"), "unknown"))) == "v1.34"


def test_failing_check_returns_its_default() -> None:
    assert _result(watched(Check("API", _fails, "unknown"))) == "unknown"
