from __future__ import annotations

import os
import subprocess
import sys

import pytest

from common.errors import TidegateError
from common.process import run_process


def test_exit_status_is_that_of_the_work() -> None:
    assert run_process(lambda: 130, {}) == 130


def test_error_ends_the_process_with_one_redacted_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise TidegateError("no answer from http://u:p@host", remedy="start it")

    assert run_process(fail, {}) == 1
    assert capsys.readouterr().err == "tidegate: no answer from http://***@host; start it.\n"


def test_fault_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_process(lambda: 1 // 0, {})


@pytest.mark.parametrize(
    ("module", "setting"),
    [
        ("functions.flights", {"TIDEGATE_MODEL": "."}),
        ("functions.router", {}),
        ("functions.stream", {}),
        ("functions.batch", {}),
    ],
)
def test_every_process_checks_the_log_level(module: str, setting: dict[str, str]) -> None:
    environ = {**os.environ, **setting, "TIDEGATE_LOG_LEVEL": "loud"}
    ended = subprocess.run([sys.executable, "-m", module], env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "tidegate: TIDEGATE_LOG_LEVEL is 'loud'; set one of debug, info, warning, error.\n"
