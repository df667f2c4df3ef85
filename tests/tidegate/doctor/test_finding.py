from __future__ import annotations

from common.errors import TidegateError
from tidegate.doctor.finding import error, of_error


def test_error_becomes_a_finding_with_its_remedy() -> None:
    assert of_error("x", TidegateError("no response; none", remedy="start one")) == error("x", "no response; none.", "start one")
    assert of_error("x", TidegateError("it is 3; it must be 1.")) == error("x", "it is 3; it must be 1.", "")
