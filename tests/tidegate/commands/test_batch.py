from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import TidegateError
from functions.batch import job
from functions.batch.request import BatchRequest
from functions.batch.run.manifest import Entry, Header, InputFile, ModelInfo, manifest_of
from tidegate.cli import run


class Job:
    """Runs of a batch without a model: each fails until there is an outcome."""

    def __init__(self) -> None:
        self.requests: list[BatchRequest] = []
        self.outcomes: list[BaseException | job.Summary] = []

    async def run(self, request: BatchRequest, **_: Any) -> job.Summary:
        self.requests.append(request)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Job:
    found = Job()
    monkeypatch.setattr(job, "run", found.run)
    return found


def test_failed_run_is_resumed_as_the_same_run_with_another_limit(started: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started.outcomes = [TidegateError("row 5 cannot be scored."), job.Summary(rows=10, seconds=2.0, scored=4)]
    state, output = ["--state-dir", str(tmp_path)], str(tmp_path / "out.parquet")
    assert run(["batch", "in.parquet", output, "--model", "flights", "--columns", "a,b", "--url", "http://x", *state]) == 1
    capsys.readouterr()
    assert run(["batch", "list", "--json", *state]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["state"], listed["error"], listed["output"]) == ("failed", "row 5 cannot be scored.", output)
    assert run(["batch", "resume", "--max-rejects", "3", "--json", *state]) == 0
    assert json.loads(capsys.readouterr().out)["rows_per_second"] == 2.0
    first, second = started.requests
    assert (first.run, first.columns, second.columns, second.max_rejects) == (second.run, ("a", "b"), ("a", "b"), 3)
    assert run(["batch", "show", first.run, *state]) == 0
    assert "complete" in capsys.readouterr().out
    assert run(["batch", "resume", *state]) == 1


def test_interrupted_run_is_named_with_the_command_that_continues_it(
    started: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started.outcomes = [KeyboardInterrupt()]
    state = ["--state-dir", str(tmp_path)]
    assert run(["batch", "in.parquet", str(tmp_path / "out"), "--model", "flights", "--url", "http://x", *state]) == 130
    assert f"`tidegate batch resume {started.requests[0].run}` goes on with it" in capsys.readouterr().err


def test_run_of_a_job_is_shown_by_its_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, state = tmp_path / "out", ["--state-dir", str(tmp_path / "state")]
    assert run(["batch", "show", str(output), *state]) == 1
    assert f"no batch {output} was started here" in capsys.readouterr().err
    file = InputFile(name="in.parquet", size=1, version="1", rows=5)
    header = Header(run="/me#1", model=ModelInfo(name="m"), files=(file,), key=None, revision=None, format="parquet", started="now")
    entry = Entry(file=0, span=0, read=5, rows=5, name="part-00000-00000.parquet", size=1, digest="sha256:1", last=True)
    output.mkdir()
    (output / "_manifest.json").write_bytes(manifest_of(header, [entry]).to_json())
    assert run(["batch", "show", str(output), "--json", *state]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["run"], found["complete"], found["rows"], found["parts"]) == ("/me#1", True, 5, 1)


@pytest.mark.parametrize("command", ["resume", "list", "show"])
def test_help_of_a_command_names_its_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["batch", command, "--help"]) == 0
    assert f"Usage: tidegate batch {command}" in capsys.readouterr().out
    assert run(["batch", command, "--nonsense"]) == 2
    assert f"`tidegate batch {command} --help`" in capsys.readouterr().err
