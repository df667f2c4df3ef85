"""A local gateway for a load test: `tidegate up` in another process, with everything at zero."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import TidegateError

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


class GatewayFailed(TidegateError):
    """`tidegate up` did not start."""


@contextmanager
def local_gateway(folder: Path, manifests: Path | None = None, *, bootstrap_servers: str | None = None) -> Iterator[str]:
    """Start a gateway with its state and log in a folder, and yield its URL. Raises GatewayFailed.

    By default it runs the project's manifests, and embeds Kafka.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = folder / "up.json"
    state.unlink(missing_ok=True)
    log = folder / "up.log"
    command = [sys.executable, "-m", "tidegate", "up", "--port", "0", "--state-dir", str(folder)]
    command += [str(manifests)] if manifests else []
    command += ["--bootstrap-servers", bootstrap_servers] if bootstrap_servers else []
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True) as process:  # noqa: S603
        try:
            yield _wait(process, state, log)
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], state: Path, log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if state.exists():
            return str(json.loads(state.read_text("utf-8"))["gateway"])
        time.sleep(0.05)
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    raise GatewayFailed(f"`tidegate up` did not start: {lines[-1].rstrip('.') if lines else 'no output'}", remedy=f"see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
