"""A real model function, `tidegate serve`, that reloads its model on request."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from common.errors import TidegateError

_START_SECONDS = 120.0
# Loading and trying take a second; a process without an answer by then hangs.
_ANSWER_SECONDS = 45.0
_BASE = "/v2/models/model"
_LOAD = "/v2/repository/models/model/load"


class NotStarted(TidegateError):
    """The function did not start with an undamaged model."""


class Server:
    def __init__(self, folder: Path) -> None:
        """Start the function and wait until it is ready. Raises NotStarted."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        environ = os.environ | {"TIDEGATE_MODEL_CONTROL": "true", "TIDEGATE_LOG_LEVEL": "error"}
        command = [sys.executable, "-m", "tidegate", "serve", str(folder), "--port", str(self._port)]
        self._log = (folder / "server.log").open("w")
        self._process = subprocess.Popen(command, env=environ, stdout=self._log, stderr=self._log)  # noqa: S603
        end = time.monotonic() + _START_SECONDS
        while not self.is_alive():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise NotStarted(f"tidegate serve {folder} did not start: {(folder / 'server.log').read_text().strip()[-300:]}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        return self._process.pid

    def load(self) -> tuple[int, str]:
        """Reload the model; return the status, and the reason of a refusal. Raises OSError without an answer."""
        status, document = self._exchange("POST", _LOAD, b"")
        return status, document.get("error", "")

    def infer(self, body: bytes) -> tuple[int, dict[str, list[Any]]]:
        """Predict; return the status, and the data of each output. Raises OSError without an answer."""
        status, document = self._exchange("POST", f"{_BASE}/infer", body)
        return status, {item["name"]: item["data"] for item in document.get("outputs", [])}

    def is_alive(self) -> bool:
        try:
            return self._exchange("GET", "/v2/health/live")[0] == http.client.OK
        except OSError:
            return False

    def death(self) -> str:
        """Return the reason of a missing answer: the signal or status that ended the process, or a hang."""
        try:
            code = self._process.wait(2)
        except subprocess.TimeoutExpired:
            return "hang"
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _exchange(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            found = orjson.loads(reply.read() or b"{}")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from None
        finally:
            connection.close()
        return reply.status, found if isinstance(found, dict) else {}
