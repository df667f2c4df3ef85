"""Rows per second of plain XGBoost, of JSON requests and of a batch, each in processes of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from common.errors import TidegateError
from loadtest.batch.data import NAME

# Runs the command, and writes its peak memory in KiB as the last line of standard error. The maximum that getrusage has
# for a child includes that of its parent, which has made the dataset.
_MEASURED = """
import sys
from tidegate.cli import run
status = run(sys.argv[1:])
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
sys.exit(status)
"""


class BatchFailed(TidegateError):
    """A batch that is measured failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A complete batch: the seconds of its process, the digest of its output, and its peak memory in bytes."""

    rows: int
    seconds: float
    digest: str
    peak: int

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


def plain(artifact: Path, source: Path, output: Path, rows: int) -> float:
    """Return the rate of the library in one process, on all cores."""
    threads = os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()
    return rows / _printed("plain", str(artifact), str(source), str(output), str(threads))


def json_requests(port: int, source: Path, rows: int) -> float:
    """Return the rate of JSON requests of 1,000 rows."""
    return rows / _printed("json_requests", str(port), str(source), str(rows))


def batch(source: Path, work: Path, url: str, rows: int) -> Run:
    """Run a batch from the start of its process to its end. Raises BatchFailed."""
    output = work / "out"
    shutil.rmtree(output, ignore_errors=True)
    arguments = [str(source), str(output), "--model", NAME, "--url", url, "--json", "--state-dir", str(work / "state")]
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _MEASURED, "batch", *arguments], capture_output=True, check=False)  # noqa: S603
    seconds = time.perf_counter() - began
    if done.returncode:
        raise BatchFailed(f"the batch failed with exit status {done.returncode}: {done.stderr.decode().strip()}")
    result = orjson.loads(done.stdout)
    if result["rows"] != rows:
        raise BatchFailed(f"the batch has {result['rows']} of {rows} rows.")
    return Run(rows=rows, seconds=seconds, digest=result["digest"], peak=1024 * int(done.stderr.split()[-1]))


def _printed(module: str, *arguments: str) -> float:
    command = [sys.executable, "-m", f"loadtest.batch.{module}", *arguments]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)  # noqa: S603
