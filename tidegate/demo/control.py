"""Control of a `tidegate up` from outside, as by a user: its command, its signals, its status."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from common.errors import TidegateError
from eventing.kafka.port import Broker
from functions.runtime.artifacts import modules
from tidegate.commands.options import broker_of
from tidegate.commands.status import read_status, replicas
from tidegate.local import state
from tidegate.local.state import Running
from tidegate.local.status import Status

_START_SECONDS = 30.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.1


class DemoFailed(TidegateError):
    """A step of the demo could not be completed."""


def interrupt_by_signals() -> None:
    """Let SIGTERM and the end of the terminal do what Ctrl-C does: `tidegate up` has a session of its own.

    A signal that is ignored, as by nohup, stays so.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


class Workbench:
    """A context manager that starts a `tidegate up`, and stops it by Ctrl-C's signal."""

    def __init__(self, state_dir: Path, manifests: Path, bootstrap_servers: str | None) -> None:
        self.state_dir = state_dir
        self._log = state_dir / "up.log"
        self._command = [sys.executable, "-P", "-m", "tidegate", "up", str(manifests), "--port", "0", "--state-dir", str(state_dir)]
        if bootstrap_servers:
            self._command += ["--bootstrap-servers", bootstrap_servers]
        self._process: subprocess.Popen[bytes] | None = None
        self.pids: set[int] = set()

    def __enter__(self) -> Workbench:
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            # In a session of its own: a Ctrl-C in the terminal goes to the demo, which then stops this process in
            # order.
            self._process = subprocess.Popen(self._command, env=modules.environment(), stdout=log, stderr=log, start_new_session=True)  # noqa: S603 our own command
        try:
            self.running = self._wait_for_start(self._process)
        except BaseException:
            # An exception here does not reach __exit__, and a Ctrl-C must leave no process behind.
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def broker(self) -> Broker:
        return broker_of(self.running)

    def status(self) -> Status:
        """The status document of `tidegate status --json`. Adds its processes to `pids`."""
        status = read_status(self.running)
        self.pids |= {replica["pid"] for _, replica in replicas(status)}
        self.pids |= {pod["pid"] for job in status["eventing"]["jobs"] for pod in job["pods"]}
        return status

    def pid_of(self, name: str) -> int | None:
        """The busiest ready process of a service or a deployment; None if there is none.

        Of a service with several revisions, it is one of that with the most traffic: if a canary's process ends, the
        stable revision answers for it, which is another matter.
        """
        status = self.status()
        service = status["services"].get(name)
        if service:
            found = max(service["revisions"], key=lambda revision: (revision["percent"], len(revision["replicas"])))["replicas"]
        else:
            found = [replica for owner, replica in replicas(status) if owner == name]
        ready = [replica for replica in found if replica["state"] == "ready"]
        return max(ready, key=lambda replica: replica["in_flight"])["pid"] if ready else None

    def address_of(self, kind: str, name: str) -> str:
        """The URL of a receiver of events. Raises DemoFailed."""
        receivers = self.status()["eventing"]["receivers"]
        found = next((item["address"] for item in receivers if (item["kind"], item["name"]) == (kind, name)), "")
        if not found:
            raise DemoFailed(f"the {kind} {name} has no address", remedy="run `tidegate status` for the reason")
        return found

    def command(self, *words: str) -> dict[str, Any]:
        """Run a `tidegate` command beside it. Returns what it prints as JSON. Raises DemoFailed."""
        command = [sys.executable, "-P", "-m", "tidegate", *words, "--state-dir", str(self.state_dir), "--json"]
        process = subprocess.run(command, env=modules.environment(), stdout=subprocess.PIPE, check=False)  # noqa: S603 our own command
        if process.returncode != 0:
            raise DemoFailed(f"`tidegate {words[0]}` failed; see the lines above for the reason.")
        found: dict[str, Any] = orjson.loads(process.stdout)
        return found

    def stop(self) -> int:
        """Stop it by Ctrl-C's signal. Returns its exit status."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise DemoFailed(
                f"`tidegate up` did not stop within {_STOP_SECONDS:.0f} s of Ctrl-C and was killed", remedy=f"see {self._log}"
            ) from None

    def wait_until(self, seconds: float, holds: Callable[[Status], bool]) -> Status:
        """The first status for which `holds` is true, or the last one before the time is up."""
        deadline = time.monotonic() + seconds
        while not holds(status := self.status()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return status

    def _wait_for_start(self, process: subprocess.Popen[bytes]) -> Running:
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            found = state.read(self.state_dir)
            if found is not None and found.pid == process.pid:
                return found
            time.sleep(_POLL_SECONDS)
        if process.poll() is None:
            process.kill()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        raise DemoFailed(f"`tidegate up` did not start: {lines[-1] if lines else 'no output'}", remedy=f"see {self._log}")
