"""One namespace of a cluster, by kubectl: tests wait for conditions, and a failed wait is explained."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import PIPE, STDOUT, Popen
from threading import Thread
from typing import Any

Object = dict[str, Any]
Kubectl = Callable[..., str]

PART = "app.kubernetes.io/part-of=tidegate"


class Cluster:
    """A namespace. `kubectl` runs on its cluster, and raises with the command's output."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self.namespace = namespace

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self._kubectl("--namespace", self.namespace, *arguments, stdin=stdin)

    def get(self, what: str) -> Object:
        """One object, such as `ksvc/flights`."""
        found: Object = json.loads(self.kubectl("get", what, "-o", "json"))
        return found

    def find(self, kind: str, selector: str) -> list[Object]:
        found: list[Object] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return found

    def apply(self, item: Object) -> None:
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(item))

    def patch(self, what: str, *operations: Object) -> None:
        """Apply a JSON patch."""
        self.kubectl("patch", what, "--type=json", "-p", json.dumps(operations))

    def wait(self, what: str, condition: str, seconds: float) -> None:
        """Wait for the object, and then for a condition in the format of `kubectl wait --for`."""
        self.kubectl("wait", what, "--for=create", f"--timeout={seconds:g}s")
        self.kubectl("wait", what, f"--for={condition}", f"--timeout={seconds:g}s")

    def wait_all(self, kind: str, selector: str, condition: str, seconds: float) -> None:
        self.kubectl("wait", kind, "-l", selector, f"--for={condition}", f"--timeout={seconds:g}s")

    def ready(self, name: str, seconds: float = 120) -> Object:
        """Wait until the newest generation of the Knative Service is ready; return the Service."""
        self.wait(f"ksvc/{name}", "condition=Ready", seconds)
        return self.get(f"ksvc/{name}")

    def not_ready(self, what: str, seconds: float = 180) -> Object:
        """Wait until the condition Ready is False; return the condition."""
        self.wait(what, 'jsonpath={.status.conditions[?(@.type=="Ready")].status}=False', seconds)
        return condition(self.get(what), "Ready")

    def pods(self, service: str) -> list[Object]:
        return self.find("pods", f"serving.knative.dev/service={service}")

    def at_zero(self, service: str, seconds: float = 240) -> None:
        """Wait until the Knative Service has no pods, not even terminating ones."""
        while self.pods(service):
            self.wait_all("pods", f"serving.knative.dev/service={service}", "delete", seconds)

    def has(self, resource: str) -> bool:
        """Whether the cluster has a custom resource definition, such as `kafkasinks.eventing.knative.dev`."""
        return resource in self._kubectl("get", "crd", "-o", "name")

    @contextmanager
    def forwarded(self, namespace: str, service: str, port: int = 80) -> Iterator[str]:
        """`host:port` on this machine that leads to a Service's port in the cluster."""
        command = ["kubectl", "port-forward", "--namespace", namespace, f"service/{service}", f":{port}"]
        with Popen(command, stdout=PIPE, stderr=STDOUT, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            # It writes a line for each connection, and blocks unless they are read.
            reading = Thread(target=process.stdout.read)
            reading.start()
            try:
                match = re.search(r"127\.0\.0\.1:\d+", first)
                assert match, first
                yield match.group()
            finally:
                process.terminate()
                reading.join()

    def explain(self) -> str:
        """The state of the namespace, for the report of a failed test."""
        parts = [
            self._output("get", "ksvc,revisions,routes,deployments,pods,jobs", "-o", "wide"),
            self._output("describe", "ksvc"),
            self._output("get", "events", "--sort-by=.lastTimestamp"),
        ]
        pods = self._output("get", "pods", "-o", "name").split()
        parts += [f"{pod}:\n" + self._output("logs", pod, "--all-containers", "--prefix", "--tail=30") for pod in pods]
        return "\n\n".join(parts)

    def _output(self, *arguments: str) -> str:
        try:
            return self.kubectl(*arguments).strip()
        except AssertionError as error:
            return str(error)


def condition(item: Object, kind: str) -> Object:
    """One of an object's conditions: {type, status, reason, message, …}."""
    found: Object = next(entry for entry in item["status"]["conditions"] if entry["type"] == kind)
    return found
