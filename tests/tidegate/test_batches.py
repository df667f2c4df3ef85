from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tidegate import batches
from tidegate.batches import COMPLETE, KILLED, RUNNING, UnknownRun

REQUEST = {"model": "flights", "input": "in.parquet", "output": "out.parquet"}


def test_run_is_found_by_its_name_its_beginning_or_its_output(tmp_path: Path) -> None:
    record = batches.new(REQUEST, "http://router")
    batches.save(tmp_path, record)
    assert [batches.find(tmp_path, name) for name in (record.run, record.run[:12], "out.parquet")] == [record] * 3
    with pytest.raises(UnknownRun, match="no batch other was started here"):
        batches.find(tmp_path, "other")


def test_last_unfinished_run_is_resumed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    first = replace(batches.new(REQUEST, "http://router"), run="1", pid=ended.pid)
    batches.save(tmp_path, first)
    batches.save(tmp_path, replace(first, run="2", state=COMPLETE))
    batches.save(tmp_path, replace(batches.new(REQUEST, "http://router"), run="3"))
    assert [record.current_state for record in batches.load_all(tmp_path)] == [KILLED, COMPLETE, RUNNING]
    assert batches.unfinished(tmp_path).run == "1"
    batches.save(tmp_path, replace(first, state=COMPLETE))
    with pytest.raises(UnknownRun, match="no unfinished batch was started here"):
        batches.unfinished(tmp_path)


def test_damaged_record_is_left_out(tmp_path: Path) -> None:
    batches.save(tmp_path, batches.new(REQUEST, "http://router"))
    (tmp_path / "batches" / "damaged.json").write_text("{")
    assert len(batches.load_all(tmp_path)) == 1
