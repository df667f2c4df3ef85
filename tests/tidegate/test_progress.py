from __future__ import annotations

import io

import pytest
from rich.console import Console

from tidegate.progress import ProgressReporter


def _output(*, terminal: bool) -> str:
    file = io.StringIO()
    reporter = ProgressReporter(Console(file=file, force_terminal=terminal, width=120, color_system=None))
    with reporter.progress("reading", 1_000, "rows") as task:
        task.advance(600)
        task.show(1_000, "2 errors")
    return file.getvalue()


def test_plain_output_ends_with_the_total() -> None:
    (line,) = _output(terminal=False).splitlines()
    assert line.startswith("  reading: 1,000 of 1,000 rows, ")
    assert line.endswith("/s; 2 errors")


def test_terminal_shows_a_bar_with_the_total() -> None:
    shown = _output(terminal=True)
    assert "reading" in shown
    assert "1,000 of 1,000 rows, " in shown


def test_failed_task_leaves_no_bar() -> None:
    file = io.StringIO()
    reporter = ProgressReporter(Console(file=file, force_terminal=True, width=120, color_system=None))
    with pytest.raises(ValueError, match="broken"), reporter.progress("reading", None, "rows"):
        raise ValueError("broken")
    assert "rows" not in file.getvalue()
