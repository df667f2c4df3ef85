"""Driving `tidegate up` from outside, as a user would: its command, its Kubernetes API, its status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from eventing.errors import TidegateError
from eventing.kafka import Broker
from tidegate.commands.options import broker_of
from tidegate.commands.status import read_status, replicas
from tidegate.local import state
from tidegate.local.state import Running
from tidegate.local.status import Status

_START_SECONDS = 30.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.1
_GROUP, _VERSION, _NAMESPACE, _PLURAL = "serving.knative.dev", "v1", "default", "services"

Object = dict[str, Any]


class DemoFailed(TidegateError):
    """A step of the demo did not come to its end."""


class Workbench:
    """A context manager: a `tidegate up` of its own, ended with Ctrl-C's signal at the end."""

    def __init__(self, state_dir: Path, manifests: Path, bootstrap_servers: str | None) -> None:
        self.state_dir = state_dir
        self._log = state_dir / "up.log"
        self._command = [sys.executable, "-m", "tidegate", "up", str(manifests), "--port", "0", "--state-dir", str(state_dir)]
        if bootstrap_servers:
            self._command += ["--bootstrap-servers", bootstrap_servers]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Workbench:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            # Its own session: a Ctrl-C in the terminal is for the demo, which then ends this in order.
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 our own command
        self.running = self._wait_for_start(self._process)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def broker(self) -> Broker:
        return broker_of(self.running)

    def status(self) -> Status:
        """What `tidegate status --json` prints."""
        return read_status(self.running)

    def pid_of(self, name: str) -> int | None:
        """The process of a service's or a deployment's replica that is at work; None when there is none at the moment."""
        at_work = [replica for owner, replica in replicas(self.status()) if owner == name and replica["state"] == "ready"]
        return max(at_work, key=lambda replica: replica["in_flight"])["pid"] if at_work else None

    def stop(self) -> int:
        """Ctrl-C, and its exit status."""
        process = self._process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise DemoFailed(f"`tidegate up` had not ended {_STOP_SECONDS:.0f} s after Ctrl-C and was killed; see {self._log}.") from None

    def wait_until(self, what: str, seconds: float, holds: Callable[[Status], bool]) -> Status:
        """The first status for which it holds. Raises DemoFailed, naming what was waited for."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if holds(status := self.status()):
                return status
            time.sleep(_POLL_SECONDS)
        raise DemoFailed(f"after {seconds:.0f} s {what} was still not so; see {self._log}.")

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
        raise DemoFailed(f"`tidegate up` did not start: {lines[-1] if lines else 'it said nothing'} (its log is {self._log}).")


class KnativeServices:
    """Knative Services by the official Kubernetes client, as on any cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        # The package ships annotations for a part of itself only.
        from kubernetes import client, config, watch

        self._client: Any = config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call]
        self._api: Any = client.CustomObjectsApi(self._client)
        self._watch: Any = watch.Watch

    def close(self) -> None:
        self._client.close()

    def get(self, name: str) -> Object:
        found: Object = self._api.get_namespaced_custom_object(_GROUP, _VERSION, _NAMESPACE, _PLURAL, name)
        return found

    def set_traffic(self, name: str, traffic: list[Object]) -> Object:
        """Patch the traffic of the object as it was read: whoever changed it in between is not overwritten."""
        version = self.get(name)["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"traffic": traffic}}
        self._api.patch_namespaced_custom_object(_GROUP, _VERSION, _NAMESPACE, _PLURAL, name, body)
        return self.wait_ready(name)

    def set_env(self, name: str, variable: str, value: str) -> Object:
        """Change one environment variable of the template, which makes a new revision."""
        found = self.get(name)
        (container,) = found["spec"]["template"]["spec"]["containers"]
        next(item for item in container["env"] if item["name"] == variable)["value"] = value
        self._api.replace_namespaced_custom_object(_GROUP, _VERSION, _NAMESPACE, _PLURAL, name, found)
        return self.wait_ready(name)

    def wait_ready(self, name: str, seconds: int = 30) -> Object:
        """Watch until the object's status is that of its newest spec, and ready."""
        watcher = self._watch()
        stream = watcher.stream(self._api.list_namespaced_custom_object, _GROUP, _VERSION, _NAMESPACE, _PLURAL, timeout_seconds=seconds)
        for event in stream:
            found: Object = event["object"]
            if found["metadata"]["name"] == name and _is_ready(found):
                watcher.stop()
                return found
        raise DemoFailed(f"the Knative Service {name} was not ready after {seconds} s; `tidegate status` says why.")


def _is_ready(found: Object) -> bool:
    status = found.get("status", {})
    conditions = {item["type"]: item["status"] for item in status.get("conditions", ())}
    return status.get("observedGeneration") == found["metadata"]["generation"] and conditions.get("Ready") == "True"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
