"""Batches while each part of the system is killed in turn: the driver, the function, the router, a Job, `tidegate up`.

Two batches are always at work on the same dataset: one by `tidegate batch`, which is resumed when its process was
killed, and one by an event, whose Job is retried. Both go through the router of a `tidegate up`, which is started again
when it was killed.
"""

from __future__ import annotations

import http.client
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from loadtest.batch.data import NAME
from loadtest.batch.local import ROUTER, Local, LocalFailed, kill

DRIVER, FUNCTION, JOB, UP = "driver", "function", "job", "up"
PARTS = (DRIVER, FUNCTION, ROUTER, JOB, UP)
# Rows of a part (docs/batch.md); rows of a request, and requests in flight, as they are set here. The rows that a kill
# costs depend on them.
_PART_ROWS, _CHUNK_ROWS, _IN_FLIGHT = 65_536, 16_384, 4
_TICK_SECONDS = 0.05
# The least time from the moment a part is there to its kill: some are killed while they start.
_SOONEST_SECONDS = 0.05
# The most seconds without a process of the part that is to be killed, or without the end of the last runs.
_PATIENCE_SECONDS = 120.0


@dataclass(slots=True)
class Outcome:
    """What came of the runs."""

    kills: Counter[str] = field(default_factory=Counter)
    digests: list[str] = field(default_factory=list)
    """Those of all complete runs."""

    kept: int = 0
    """Parts that were finished at a kill."""

    rewritten: int = 0
    """Those of them that were written again."""

    scored: int = 0
    """Rows that the function has predicted."""

    most_again: int = 0
    """The most rows that the kills may cost: those that were in flight."""

    left: list[str] = field(default_factory=list)
    """Files and folders beside the outputs at the end."""

    seconds: float = 0.0


def soak(local: Local, source: Path, folder: Path, order: Sequence[str], draw: random.Random, pause: float) -> Outcome:
    """Kill the parts in this order, each at a random time of at most `pause` seconds after it is there.

    Raises LocalFailed if a run fails, or if a part does not come back.
    """
    began = time.monotonic()
    outputs = folder / "outputs"
    outputs.mkdir()
    runs = _Runs(local, source, outputs, folder / "state", by_events=JOB in order)
    local.start()
    for part in order:
        runs.kill_later(part, draw.uniform(_SOONEST_SECONDS, pause))
    runs.finish()
    found = runs.outcome
    found.left = sorted(path.name for path in outputs.iterdir() if path.name not in runs.names)
    found.seconds = time.monotonic() - began
    return found


def order_of(parts: Sequence[str], kills: int, draw: random.Random) -> list[str]:
    """So many parts in random order, each as often as the others."""
    order = [parts[number % len(parts)] for number in range(kills)]
    draw.shuffle(order)
    return order


def variables() -> dict[str, str]:
    """The settings of both drivers."""
    return {"TIDEGATE_BATCH_IN_FLIGHT": str(_IN_FLIGHT), "TIDEGATE_BATCH_CHUNK_ROWS": str(_CHUNK_ROWS)}


class _Runs:
    """The runs of both kinds, and what has been counted so far."""

    def __init__(self, local: Local, source: Path, outputs: Path, state: Path, *, by_events: bool) -> None:
        self.outcome = Outcome()
        self.names: set[str] = set()
        self._local, self._source, self._outputs, self._state = local, source, outputs, state
        self._by_events = by_events
        self._driver: subprocess.Popen[bytes] | None = None
        self._driver_output: Path | None = None
        self._requested: list[Path] = []
        self._predicted: dict[int, int] = {}
        self._finished: dict[Path, dict[str, tuple[int, int]]] = {}
        self._ending = False

    def kill_later(self, part: str, seconds: float) -> None:
        """Wait until a part is there and for so many seconds; then kill it if it is there still, else its successor."""
        self._until(lambda: self._process(part) is not None, f"there is no process to kill: {part}")
        due = time.monotonic() + seconds
        self._until(lambda: time.monotonic() >= due, "")
        self._until(lambda: self._process(part) is not None, f"there is no process to kill: {part}")
        self._kill(part)

    def finish(self) -> None:
        """Wait until the runs that have begun are complete."""
        self._ending = True
        self._until(lambda: self._driver is None and not self._requested, "a run does not end")
        self._count()
        self.outcome.scored = sum(self._predicted.values())

    def _until(self, reached: Callable[[], bool], problem: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        self._tend()
        while not reached():
            if time.monotonic() > deadline:
                raise LocalFailed(f"{problem} ({_PATIENCE_SECONDS:g} s).")
            time.sleep(_TICK_SECONDS)
            self._tend()

    def _tend(self) -> None:
        """Take the results of runs that have ended, and begin others in their place."""
        if self._driver is not None and self._driver.poll() is not None:
            self._take(self._driver)
        if self._driver is None and not self._ending:
            self._begin()
        for output in [path for path in self._requested if (path / "_SUCCESS").exists()]:
            self._requested.remove(output)
            self._complete(output)
        if self._by_events and not self._requested and not self._ending:
            output = self._new_output("event")
            self._local.send(output.name, {"model": NAME, "input": str(self._source.resolve()), "output": str(output.resolve())})
            self._requested.append(output)
        if (function := self._local.service(NAME)) and function[0] not in self._predicted:
            self._count()  # the first reading imports what later ones need

    def _process(self, part: str) -> int | None:
        if part == DRIVER:
            return self._driver.pid if self._driver is not None and self._driver.poll() is None else None
        if part in (FUNCTION, ROUTER):
            found = self._local.service(NAME if part == FUNCTION else ROUTER)
            return found[0] if found else None
        return self._local.job() if part == JOB else self._local.pid

    def _kill(self, part: str) -> None:
        self._count()
        pid = self._process(part)
        if pid is None:  # it has ended in the meantime
            self.kill_later(part, 0.0)
            return
        if part == UP:
            self._local.kill()
        else:
            kill(pid)
        self.outcome.kills[part] += 1
        self._note(part)
        if part == UP:
            self._local.start()

    def _note(self, part: str) -> None:
        """Note which parts of the dataset are finished, and how many rows may be scored again."""
        resent = _IN_FLIGHT * _CHUNK_ROWS
        again = _PART_ROWS + 2 * resent
        drivers = 1 + self._by_events
        self.outcome.most_again += {DRIVER: again, JOB: again, UP: again + resent}.get(part, drivers * resent)
        for output in (self._driver_output, *self._requested):
            if output is not None:
                # The file that was seen first: if a later one has its name, the part was written again.
                self._finished[output] = _finished(output) | self._finished.get(output, {})

    def _begin(self) -> None:
        self._driver_output = self._new_output("command")
        self._start(str(self._source), str(self._driver_output), "--model", NAME)

    def _start(self, *arguments: str) -> None:
        command = [
            sys.executable,
            "-m",
            "tidegate",
            "batch",
            *arguments,
            "--url",
            self._local.url,
            "--json",
            "--state-dir",
            str(self._state),
        ]
        environ = {**os.environ, **variables()}
        self._driver = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # noqa: S603

    def _take(self, driver: subprocess.Popen[bytes]) -> None:
        """Take the result of a driver, or resume its run."""
        _, said = driver.communicate()
        output = self._driver_output
        assert output is not None  # noqa: S101 it was set with the driver
        if driver.returncode > 0:
            raise LocalFailed(f"a batch fails after a kill: {said.decode().strip()}")
        record = _record(self._state, output)
        if driver.returncode == 0 or record.get("state") == "complete":  # killed after its work, before its end
            self._driver = None
            self._complete(output)
        elif record:
            self._start("resume", record["run"])
        else:  # killed before it had begun
            self._start(str(self._source), str(output), "--model", NAME)

    def _complete(self, output: Path) -> None:
        self.outcome.digests.append(orjson.loads((output / "_manifest.json").read_bytes())["digest"])
        before = self._finished.pop(output, {})
        self.outcome.kept += len(before)
        self.outcome.rewritten += sum(_identity(output / name) != found for name, found in before.items())

    def _new_output(self, kind: str) -> Path:
        output = self._outputs / f"{kind}-{len(self.names)}"
        self.names.add(output.name)
        return output

    def _count(self) -> None:
        """Read how many rows the function's process has predicted, which it forgets when it is killed."""
        if found := self._local.service(NAME):
            pid, port = found
            self._predicted[pid] = max(self._predicted.get(pid, 0), predicted(port))


def predicted(port: int) -> int:
    """The rows that a function has predicted, by its metrics; 0 if it does not listen yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("tidegate_batch_rows_sum")))


def _record(state: Path, output: Path) -> Mapping[str, Any]:
    """What the command has noted of the run into an output; empty before that."""
    records = [orjson.loads(path.read_bytes()) for path in state.glob("batches/*.json")]
    return next((record for record in records if record["request"]["output"] == str(output)), {})


def _finished(output: Path) -> dict[str, tuple[int, int]]:
    """The finished parts of a run, by the name of their file."""
    work = output.with_name(output.name + ".tidegate")
    names = [path.stem + ".parquet" for path in (work / "_tidegate/entries").glob("*.json")]
    return {name: found for name in names if (found := _identity(work / name))}


def _identity(path: Path) -> tuple[int, int] | None:
    """A file and the time when it was written: another one if it is written again."""
    try:
        found = path.stat()
    except OSError:  # the output has appeared meanwhile
        return None
    return found.st_ino, found.st_mtime_ns
