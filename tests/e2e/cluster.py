"""One namespace of a cluster, by kubectl: tests wait for conditions, and what does not come true is explained."""

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
    """`kubectl` runs on the cluster that is meant, and fails with what it says."""

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
        """By JSON patch."""
        self.kubectl("patch", what, "--type=json", "-p", json.dumps(operations))

    def wait(self, what: str, condition: str, seconds: float) -> None:
        """Until `condition`, as `kubectl wait --for` takes it; an object that is not there yet is waited for as well."""
        self.kubectl("wait", what, "--for=create", f"--timeout={seconds:g}s")
        self.kubectl("wait", what, f"--for={condition}", f"--timeout={seconds:g}s")

    def wait_all(self, kind: str, selector: str, condition: str, seconds: float) -> None:
        self.kubectl("wait", kind, "-l", selector, f"--for={condition}", f"--timeout={seconds:g}s")

    def ready(self, name: str, seconds: float = 120) -> Object:
        """The Knative Service, once it is ready as it was last written."""
        self.wait(f"ksvc/{name}", "condition=Ready", seconds)
        return self.get(f"ksvc/{name}")

    def not_ready(self, what: str, seconds: float = 180) -> Object:
        """What its condition Ready says, once that is False."""
        self.wait(what, 'jsonpath={.status.conditions[?(@.type=="Ready")].status}=False', seconds)
        return condition(self.get(what), "Ready")

    def pods(self, service: str) -> list[Object]:
        return self.find("pods", f"serving.knative.dev/service={service}")

    def at_zero(self, service: str, seconds: float = 240) -> None:
        """Until no pod of the Knative Service is left, one that is stopping included."""
        while self.pods(service):
            self.wait_all("pods", f"serving.knative.dev/service={service}", "delete", seconds)

    def has(self, resource: str) -> bool:
        """Whether the cluster knows a kind, such as `kafkasinks.eventing.knative.dev`."""
        return resource in self._kubectl("get", "crd", "-o", "name")

    @contextmanager
    def forwarded(self, namespace: str, service: str, port: int = 80) -> Iterator[str]:
        """`host:port` on this machine that leads to a Service's port in the cluster."""
        command = ["kubectl", "port-forward", "--namespace", namespace, f"service/{service}", f":{port}"]
        with Popen(command, stdout=PIPE, stderr=STDOUT, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            # It writes a line for each connection, and stops when nobody reads them.
            reading = Thread(target=process.stdout.read)
            reading.start()
            try:
                told = re.search(r"127\.0\.0\.1:\d+", first)
                assert told, first
                yield told.group()
            finally:
                process.terminate()
                reading.join()

    def explain(self) -> str:
        """What a person looks at first when something is not as it should be."""
        parts = [
            self._told("get", "ksvc,revisions,routes,deployments,pods,jobs", "-o", "wide"),
            self._told("describe", "ksvc"),
            self._told("get", "events", "--sort-by=.lastTimestamp"),
        ]
        pods = self._told("get", "pods", "-o", "name").split()
        parts += [f"{pod}:\n" + self._told("logs", pod, "--all-containers", "--prefix", "--tail=30") for pod in pods]
        return "\n\n".join(parts)

    def _told(self, *arguments: str) -> str:
        try:
            return self.kubectl(*arguments).strip()
        except AssertionError as error:
            return str(error)


def condition(item: Object, kind: str) -> Object:
    """One of an object's conditions: {type, status, reason, message, …}."""
    found: Object = next(entry for entry in item["status"]["conditions"] if entry["type"] == kind)
    return found
