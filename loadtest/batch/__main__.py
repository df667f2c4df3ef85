"""`python -m loadtest.batch`: rows a second of a batch, beside plain XGBoost and JSON requests of 1,000 rows.

Each is measured in turn, several rounds, on the same file; `--kills` kills the batch meanwhile and compares digests.
Exit status 1 if a digest differs, or a bar is missed with `--strict`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import orjson

from loadtest.batch.data import NAME, dataset, model
from loadtest.compare.processes import Process, free_port, running

_READY = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
_PLAIN_BAR, _JSON_BAR = 0.6, 4.0
# Runs the command, and writes its peak memory in KiB as the last line of standard error. The maximum that getrusage has
# for a child includes that of its parent, which has made the dataset.
_MEASURED = """
import sys
from tidegate.cli import run
status = run(sys.argv[1:])
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
sys.exit(status)
"""
# The most seconds from the start of a batch to its kill.
_LONGEST_SECONDS = 6.0


def main() -> int:
    """Measure and print the table; return the exit status."""
    given = _arguments()
    folder = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    source, place = dataset(folder, given.rows), model(folder)
    port = free_port()
    environ = {**os.environ, "TIDEGATE_MODEL": str(place), "PORT": str(port), "TIDEGATE_HOST": "127.0.0.1"}
    plain, json, batch = [], [], []
    with (
        tempfile.TemporaryDirectory(dir=folder) as work,
        running([sys.executable, "-m", "functions.flights"], environ, port, _READY, folder / "function.log") as function,
    ):
        for _ in range(given.rounds):
            threads = str(os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count())
            plain.append(given.rows / _printed("plain", str(place / "model.ubj"), str(source), f"{work}/plain.parquet", threads))
            json_rows = min(given.json_rows, given.rows)
            json.append(json_rows / _printed("json_requests", str(port), str(source), str(json_rows)))
            batch.append(_batch(source, Path(work), function, given.rows))
        longest = max(0.5, min(_LONGEST_SECONDS, median(item["seconds"] for item in batch)))
        killed = _with_kills(source, Path(work), function, given.kills, longest) if given.kills else None
    rates = [item["rows"] / item["seconds"] for item in batch]
    ratio, gain = median(rates) / median(plain), median(rates) / median(json)
    _print(given.rows, [("plain XGBoost", plain), ("JSON, 1,000 rows a request", json), ("tidegate batch", rates)])
    print(f"\n{ratio:.2f} of plain XGBoost (bar {_PLAIN_BAR}); {gain:.1f} times JSON (bar {_JSON_BAR:g})")
    print(f"peak memory of the driver: {max(item['peak'] for item in batch) / 2**20:.0f} MiB")
    if killed is not None:
        digests, runs, scored = killed
        same = digests == {batch[0]["digest"]}
        print(f"{given.kills} kills: {'the same' if same else 'ANOTHER'} digest, {scored - runs * given.rows:,} rows scored again")
        if not same:
            return 1
    return int(given.strict and (ratio < _PLAIN_BAR or gain < _JSON_BAR))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.batch", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--json-rows", type=int, default=300_000, help="rows for JSON requests, whose rate does not depend on them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=0, help="SIGKILLs of the driver in further runs")
    parser.add_argument("--strict", action="store_true", help="fail if a bar is missed")
    parser.add_argument("--folder", type=Path, default=Path("loadtest/results/batch"))
    return parser.parse_args()


def _printed(module: str, *arguments: str) -> float:
    command = [sys.executable, "-m", f"loadtest.batch.{module}", *arguments]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)  # noqa: S603


def _command(*arguments: str, state: Path, program: tuple[str, ...] = ("-m", "tidegate")) -> list[str]:
    return [sys.executable, *program, "batch", *arguments, "--json", "--state-dir", str(state)]


def _batch(source: Path, work: Path, function: Process, rows: int) -> dict[str, Any]:
    """Run a batch from the start of the process to its end; return its seconds, digest and peak memory in bytes."""
    output = work / "out"
    shutil.rmtree(output, ignore_errors=True)
    began = time.perf_counter()
    arguments = (str(source), str(output), "--model", NAME, "--url", f"http://127.0.0.1:{function.port}")
    command = _command(*arguments, state=work / "state", program=("-c", _MEASURED))
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"the batch failed with exit status {done.returncode}: {done.stderr.decode()}")
    result = orjson.loads(done.stdout)
    if result["rows"] != rows:
        raise SystemExit(f"the batch has {result['rows']} of {rows} rows")
    return {"rows": rows, "seconds": seconds, "digest": result["digest"], "peak": 1024 * int(done.stderr.split()[-1])}


def _with_kills(source: Path, work: Path, function: Process, kills: int, longest: float) -> tuple[set[str], int, int]:
    """Kill batches at random points, so often in all; return their digests, their number, and the rows that were scored.

    `longest` is the most seconds before a kill. A batch that ends before its kill is followed by another one.
    """
    before = _predicted(function)
    digests, runs = set(), 0
    while kills or not runs:
        digest, kills = _killed_run(source, work, function, kills, longest)
        digests.add(digest)
        runs += 1
    return digests, runs, _predicted(function) - before


def _killed_run(source: Path, work: Path, function: Process, kills: int, longest: float) -> tuple[str, int]:
    """Run a batch to its end with at most so many kills; return its digest and the kills that are left."""
    output, state = work / "killed", work / "killed-state"
    for folder in (output, state):
        shutil.rmtree(folder, ignore_errors=True)
    command = _command(str(source), str(output), "--model", NAME, "--url", f"http://127.0.0.1:{function.port}", state=state)
    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603
        if kills:
            try:
                process.wait(timeout=random.uniform(0.3, longest))  # noqa: S311
            except subprocess.TimeoutExpired:
                process.kill()
                kills -= 1
        printed, said = process.communicate()
        if process.returncode == 0:
            return orjson.loads(printed)["digest"], kills
        if process.returncode > 0:
            raise SystemExit(f"a killed batch cannot be resumed: {said.decode()}")
        records = list(state.glob("batches/*.json"))
        if records:  # else it was killed before it had begun
            record = orjson.loads(records[0].read_bytes())
            if record["state"] == "complete":  # killed after its work, before its process had ended
                return record["result"]["digest"], kills
            command = _command_resume(function, state)


def _command_resume(function: Process, state: Path) -> list[str]:
    return _command("resume", "--url", f"http://127.0.0.1:{function.port}", state=state)


def _predicted(function: Process) -> int:
    """The rows that the function has predicted, by its metrics."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{function.port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("tidegate_batch_rows_sum")))


def _print(rows: int, measured: list[tuple[str, list[float]]]) -> None:
    print(f"{rows:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, median of {len(measured[0][1])}\n")
    print("| | rows/s | lowest | highest |\n|---|---|---|---|")
    for name, rates in measured:
        print(f"| {name} | {median(rates):,.0f} | {min(rates):,.0f} | {max(rates):,.0f} |")


if __name__ == "__main__":
    sys.exit(main())
