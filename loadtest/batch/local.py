"""A `tidegate up` with the model, the router and the JobSink of the manifests, whose processes can be found and killed."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import yaml

from common.errors import TidegateError
from eventing.types import BATCH_REQUESTED
from loadtest.batch.data import NAME

ROUTER = "router"
_BASE = Path("manifests/base")
_START_SECONDS, _STOP_SECONDS, _ACCEPT_SECONDS = 60.0, 30.0, 30.0
_TICK_SECONDS = 0.02
# Knative's shortest window of the autoscaler: a service is at zero soon after its last request.
_WINDOW = "6s"
_PORTS = range(20_000, 30_000)


class LocalFailed(TidegateError):
    """`tidegate up` did not start, or did not do what it was asked."""


class Local:
    """A `tidegate up` with its state, manifests and log in a folder.

    Batches that events start may use the files in `data`, and have so many `attempts` after their first. Model and
    router have one replica each, always if `warm`; otherwise they start by a request.
    """

    def __init__(
        self, folder: Path, model: Path, data: Path, *, warm: bool, variables: Mapping[str, str] = MappingProxyType({}), attempts: int = 3
    ) -> None:
        self.port = _port()
        self.url = f"http://{ROUTER}.localhost:{self.port}"
        self._state = folder / "up"
        self._log = folder / "up.log"
        self._manifests = folder / "manifests.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        documents = _manifests(model, data, warm=warm, variables=variables, attempts=attempts)
        self._manifests.write_text(yaml.safe_dump_all(documents), "utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of its process. Raises LocalFailed if there is none."""
        if self._process is None:
            raise LocalFailed("`tidegate up` was not started.")
        return self._process.pid

    def start(self) -> None:
        """Start it with the state that an earlier one has left, and wait until it accepts requests. Raises LocalFailed."""
        command = [sys.executable, "-m", "tidegate", "up", str(self._manifests), "--port", str(self.port), "--state-dir", str(self._state)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
        deadline = time.monotonic() + _START_SECONDS
        while self._announced() != self._process.pid:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LocalFailed("`tidegate up` did not start", remedy=f"see {self._log}")
            time.sleep(_TICK_SECONDS)

    def kill(self) -> None:
        """Kill it; its processes are killed by its helper."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it with all of its processes."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def service(self, name: str) -> tuple[int, int] | None:
        """The process id and the port of a service's replica, None if it has none."""
        found = next((item for item in self._children() if item[1].get("K_SERVICE") == name), None)
        return (found[0], int(found[1]["PORT"])) if found else None

    def job(self) -> int | None:
        """The process id of a Job's pod, None if none is running."""
        return next((pid for pid, variables in self._children() if "K_EVENT_PATH" in variables), None)

    def send(self, id_: str, data: Mapping[str, Any]) -> None:
        """Request a batch by an event. Raises LocalFailed if it is not accepted."""
        event = {"specversion": "1.0", "id": id_, "source": "/loadtest", "type": BATCH_REQUESTED, "data": data}
        headers = {"Host": f"job-sink.localhost:{self.port}", "Content-Type": "application/cloudevents+json"}
        deadline, status = time.monotonic() + _ACCEPT_SECONDS, 0
        while status != 202:
            if time.monotonic() > deadline:
                raise LocalFailed(f"the JobSink does not accept an event (status {status})", remedy=f"see {self._log}")
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_ACCEPT_SECONDS)) as connection:
                connection.request("POST", "/default/batch", orjson.dumps(event), headers)
                status = connection.getresponse().status
            if status != 202:  # the sink is not ready yet
                time.sleep(_TICK_SECONDS)

    def _announced(self) -> int | None:
        """The process that accepts requests, by its state file; a killed one leaves its own."""
        try:
            return int(orjson.loads((self._state / "up.json").read_bytes())["pid"])
        except (OSError, ValueError, KeyError):  # not there yet, or not complete
            return None

    def _children(self) -> Iterator[tuple[int, dict[str, str]]]:
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == self.pid:
                    pairs = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                    yield int(folder.name), dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def _manifests(model: Path, data: Path, *, warm: bool, variables: Mapping[str, str], attempts: int) -> list[dict[str, Any]]:
    """The project's manifests with another model, its folders, and so many further attempts of a Job."""
    paths = [path for name in ("flights", ROUTER, "batch") for path in sorted((_BASE / name).glob("*.yaml"))]
    documents = [item for path in paths if path.stem != "kustomization" for item in yaml.safe_load_all(path.read_text("utf-8")) if item]
    for item in documents:
        if item["kind"] == "Service":
            item["metadata"]["name"] = {"flights": NAME}.get(item["metadata"]["name"], item["metadata"]["name"])
            scaling = {"min-scale": str(int(warm)), "max-scale": "1", "window": _WINDOW}
            item["spec"]["template"]["metadata"]["annotations"] |= {
                f"autoscaling.knative.dev/{name}": value for name, value in scaling.items()
            }
            if item["metadata"]["name"] == NAME:
                _set(item["spec"]["template"], {"TIDEGATE_MODEL": str(model.resolve())})
        elif item["kind"] == "JobSink":
            job = item["spec"]["job"]["spec"]
            job["backoffLimit"] = attempts
            _set(job["template"], {"TIDEGATE_BATCH_PATHS": str(data.resolve()), **variables})
    return documents


def _set(template: dict[str, Any], variables: Mapping[str, str]) -> None:
    (container,) = template["spec"]["containers"]
    others = [item for item in container.get("env", []) if item["name"] not in variables]
    container["env"] = [*others, *({"name": name, "value": value} for name, value in variables.items())]


def _port() -> int:
    """A free port that no connection takes while `tidegate up` is started again: below the range of ephemeral ports."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise LocalFailed(f"no port of {_PORTS.start} to {_PORTS.stop - 1} is free.")


def kill(pid: int) -> None:
    """Kill a process, which may have ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
