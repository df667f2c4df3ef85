"""Knative Services by the official Kubernetes client, as on any cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from functions.runtime.knative.objects import SERVICES, SERVING_GROUP, SERVING_VERSION, condition
from tidegate.demo.control import DemoFailed
from tidegate.demo.objects import connect
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE

# The arguments by which the Kubernetes client finds Knative Services.
_RESOURCE = (SERVING_GROUP, SERVING_VERSION, DEFAULT_NAMESPACE, SERVICES)

Object = dict[str, Any]


class KnativeServices:
    """A context manager: Knative Services in the default namespace."""

    def __init__(self, kubeconfig: Path) -> None:
        from kubernetes import client, watch

        self._client = connect(kubeconfig)
        self._api: Any = client.CustomObjectsApi(self._client)
        self._watch: Any = watch.Watch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def get(self, name: str) -> Object:
        found: Object = self._api.get_namespaced_custom_object(*_RESOURCE, name)
        return found

    def set_traffic(self, name: str, traffic: list[Object]) -> Object:
        """Patch the traffic block, with the resourceVersion that was read: a change in between is not overwritten."""
        version = self.get(name)["metadata"]["resourceVersion"]
        body = {"metadata": {"resourceVersion": version}, "spec": {"traffic": traffic}}
        self._api.patch_namespaced_custom_object(*_RESOURCE, name, body)
        return self.wait_ready(name)

    def set_env(self, name: str, variable: str, value: str) -> Object:
        """Set one environment variable of the template, which creates a revision unless it has the value."""
        found = self.get(name)
        (container,) = found["spec"]["template"]["spec"]["containers"]
        values = {item["name"]: item for item in container.get("env") or []}
        container["env"] = list({**values, variable: {"name": variable, "value": value}}.values())
        self._api.replace_namespaced_custom_object(*_RESOURCE, name, found)
        return self.wait_ready(name)

    def wait_ready(self, name: str, seconds: int = 30) -> Object:
        """Watch the object until its newest specification is ready. Raises DemoFailed."""
        watcher = self._watch()
        stream = watcher.stream(self._api.list_namespaced_custom_object, *_RESOURCE, timeout_seconds=seconds)
        for event in stream:
            found: Object = event["object"]
            if found["metadata"]["name"] == name and _is_ready(found):
                watcher.stop()
                return found
        raise DemoFailed(f"the Knative Service {name} was not ready after {seconds} s", remedy="run `tidegate status` for the reason")


def _is_ready(found: Object) -> bool:
    ready = condition(found, "Ready")
    observed = found.get("status", {}).get("observedGeneration")
    return observed == found["metadata"]["generation"] and ready is not None and ready["status"] == "True"
