from __future__ import annotations

import io

from rich.console import Console

from tidegate.doctor import report
from tidegate.doctor.finding import MAX_CHARACTERS, Level, error, note, ok, warning
from tidegate.doctor.report import lines


def test_report_has_a_line_for_each_finding_and_remedy() -> None:
    console = Console(file=io.StringIO(), width=40, force_terminal=False)
    found = [
        ("this machine", ok("Python", "3.12.1")),
        ("this machine", warning("images", "flights names no registry and has a line that is long.", "name one")),
        ("the cluster", error("kinds", "[KEDA] is not\n  installed.", "install it")),
        ("the cluster", note("quota", "not inspected")),
    ]
    counts = report.show(found, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == (
        "This machine\n"
        "  ok    Python: 3.12.1\n"
        "  warn  images: flights names no registry and has a line that is long.\n"
        "      Try this: name one\n"
        "The cluster\n"
        "  FAIL  kinds: [KEDA] is not installed.\n"
        "      Try this: install it\n"
        "  note  quota: not inspected\n"
        "1 error, 1 warning.\n"
    )
    assert counts[Level.ERROR] == 1


def test_long_message_is_shortened_to_a_line() -> None:
    words = "the server says " + "much " * 100
    shown = lines(error("Service x", words, "do this"))[0].plain
    assert shown.endswith("much…")
    assert len(shown) <= MAX_CHARACTERS + len("  FAIL  Service x: ")
