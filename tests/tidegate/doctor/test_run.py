from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import orjson
import pytest
from rich.console import Console

from common.errors import TidegateError
from tidegate.doctor import report
from tidegate.doctor.finding import Finding, Level, Unseen, error, note, of_error, ok, warning
from tidegate.doctor.run import Topic, watched

Tidegate = Callable[..., CompletedProcess[str]]


def _breaks(problem: Exception) -> Iterator[Finding]:
    yield ok("first", "is well")
    raise problem


@pytest.mark.parametrize("problem", [Unseen("services is forbidden"), ValueError("a bug")])
def test_a_check_that_cannot_be_made_is_a_note_and_keeps_what_it_found(problem: Exception) -> None:
    first, last = watched(Topic("rights", lambda: _breaks(problem)))
    assert first.level is Level.OK
    assert (last.level, last.subject) == (Level.NOTE, "rights")
    assert str(problem) in last.message


def test_a_check_that_hangs_is_left_to_itself() -> None:
    release = threading.Event()

    def hangs() -> Iterator[Finding]:
        yield ok("API", "is there")
        release.wait()

    found = list(watched(Topic("API", hangs), seconds=0.05))
    release.set()
    assert [item.level for item in found] == [Level.OK, Level.NOTE]
    assert found[-1].message == "could not be looked at within 0.05 s."


def test_what_all_others_need_is_an_error_if_it_cannot_be_looked_at() -> None:
    release = threading.Event()

    def hangs() -> Iterator[Finding]:
        release.wait()
        yield ok("API server", "is there")

    found = list(watched(Topic("API server", hangs, Level.ERROR), seconds=0.05))
    release.set()
    broken = list(watched(Topic("manifests", lambda: _breaks(RecursionError("too deep")), Level.ERROR)))
    assert [item.level for item in (*found, *broken)] == [Level.ERROR, Level.OK, Level.ERROR]


def test_an_error_of_ours_is_taken_apart_into_message_and_remedy() -> None:
    assert of_error("x", TidegateError("nobody answers; start one.")) == error("x", "nobody answers.", "start one")
    assert of_error("x", TidegateError("it is so.")) == error("x", "it is so.", "")


def test_the_report_has_a_mark_a_line_and_the_remedy_on_the_next() -> None:
    console = Console(file=io.StringIO(), width=40, force_terminal=False)
    found = [
        ("this machine", ok("Python", "3.12.1")),
        ("this machine", warning("images", "flights names no registry and has a line that is long.", "name one")),
        ("the cluster", error("kinds", "[KEDA] is not\n  installed.", "install it")),
        ("the cluster", note("quota", "not looked at")),
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
        "  note  quota: not looked at\n"
        "1 error, 1 warning.\n"
    )
    assert counts[Level.ERROR] == 1


def test_the_command_finds_what_is_wrong_and_ends_with_1(tidegate: Tidegate, tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: price}\nspec: {template: {spec: {containers: "
        "[{image: price, env: [{name: TIDEGATE_MODEL, value: functions/price/models/v1}]}]}}}\n"
    )
    environ = {"TIDEGATE_STATE_DIR": str(tmp_path / "state"), "TIDEGATE_PORT": "0"}
    done = tidegate("doctor", str(tmp_path), **environ)
    assert done.returncode == 1, done.stderr
    assert "  FAIL  model of price: functions/price/models/v1" in done.stdout
    assert "\n      Try this: train the model" in done.stdout
    as_json = orjson.loads(tidegate("doctor", str(tmp_path), "--json", **environ).stdout)
    assert as_json["errors"] == 1
    assert {"group": "this machine", "subject": "model of price", "level": "error"}.items() <= as_json["findings"][3].items()


def test_the_command_is_content_with_this_project(tidegate: Tidegate, flights_models: Path, tmp_path: Path) -> None:
    done = tidegate("doctor", TIDEGATE_STATE_DIR=str(tmp_path), TIDEGATE_PORT="0")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("Nothing is wrong.\n")
    assert "tidegate doctor --cluster" in done.stdout


def test_manifests_that_are_none_are_told_and_the_rest_is_looked_at(tidegate: Tidegate, tmp_path: Path) -> None:
    done = tidegate("doctor", "nowhere", TIDEGATE_STATE_DIR=str(tmp_path), TIDEGATE_PORT="0")
    assert done.returncode == 1
    assert "  FAIL  manifests: cannot read the manifest nowhere" in done.stdout
    assert "Kafka" in done.stdout
