from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import orjson
import pytest

from loadtest.compare import __main__ as compare

_OURS_ALONE = ("--servers", "tidegate", "--rounds", "1", "--out", "compare.json", "--only", "one-row-1")


async def _start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtest.compare", *_OURS_ALONE, *arguments, cwd=folder, stdout=pipe, stderr=pipe
    )


def _working_in(folder: Path) -> list[str]:
    """The processes that were started there and still run, by their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder.resolve():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


async def test_command_measures_the_function_and_writes_figures(tmp_path: Path) -> None:
    process = await _start(tmp_path, "lightgbm", "--seconds", "0.2", "--soak", "500", "--write", "docs")
    output, errors = await process.communicate()
    assert b"one row, JSON, 1 connection" in output, errors.decode()
    result = orjson.loads((tmp_path / "compare.json").read_bytes())
    (measured,) = result["measured"]["figures"]["one-row-1"]["tidegate"]
    assert measured["requests"] > 0
    assert measured["errors"] == 0
    assert result["measured"]["failed"] == {}
    assert result["servers"][0]["notes"] == [], "the function takes binary tensors"
    assert result["soak"]["requests"] == 500
    assert (tmp_path / "docs" / "performance" / "comparison.md").exists()
    assert _working_in(tmp_path) == []


async def test_interrupt_keeps_the_figures_and_ends_the_servers(tmp_path: Path) -> None:
    process = await _start(tmp_path, "cold-start", "--rounds", "1000", "--seconds", "0.1")
    assert process.stderr
    async for line in process.stderr:
        if b"round 2/1000" in line:
            break
    process.send_signal(signal.SIGINT)
    output, errors = await process.communicate()
    assert process.returncode == 130, errors.decode()
    assert b"The run was interrupted" in output
    assert orjson.loads((tmp_path / "compare.json").read_bytes())["interrupted"] is True
    assert _working_in(tmp_path) == []


def test_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][:3] == ["one-row-1", "one-row-8", "one-row-64"]


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--seconds", "nan"], ["--only", "nothing"], ["--servers", "triton"]])
def test_wrong_use_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        compare.main(arguments)
    assert exited.value.code == 2


def test_missing_result_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main(["--read", str(tmp_path / "missing.json")]) == 1
    assert "measure first" in capsys.readouterr().err
