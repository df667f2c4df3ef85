"""The Job that a JobSink makes of an event, as a pure function of both: Knative's names, labels and addresses.

Knative makes the name of a Job from the MD5 digest of the event's source and id, joined without a separator.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from eventing.event import Event
from tidegate.local.objects.eventing import SINKS, JobSink
from tidegate.local.objects.job import BATCH
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import Object

ID_LABEL, NAME_LABEL = "sinks.knative.dev/job-sink-id", "sinks.knative.dev/job-sink-name"
_VOLUME, _MOUNT_PATH = "jobsink-event", "/etc/jobsink-event"
# The longest name that Knative generates (kmeta.ChildName), and the part of it that is not a digest.
_LONGEST, _HEAD = 63, 31
# Go's url.PathEscape leaves these unescaped.
_SAFE = "$&+=:@"
_LOCATION_PARTS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The run of a JobSink for one event, which its source and id identify."""

    namespace: str
    sink: str
    source: str
    id: str

    @classmethod
    def of(cls, namespace: str, sink: str, event: Event) -> Run:
        return cls(namespace=namespace, sink=sink, source=event.source, id=event.id)

    @classmethod
    def at(cls, path: str) -> Run | None:
        """The run of a path that `location` returned, or None for any other path."""
        parts = path.removesuffix("/").split("/")
        if len(parts) != _LOCATION_PARTS:
            return None
        namespace, sink, source, id_ = (unquote(parts[place]) for place in (2, 4, 6, 8))
        return cls(namespace=namespace, sink=sink, source=source, id=id_)

    @property
    def location(self) -> str:
        """The path at which a caller can ask what became of the run."""
        namespace, sink, source, id_ = (quote(part, safe=_SAFE) for part in (self.namespace, self.sink, self.source, self.id))
        return f"/namespaces/{namespace}/name/{sink}/sources/{source}/ids/{id_}"

    @property
    def job(self) -> str:
        """The name of the Job."""
        name = f"{self.sink}-{_md5(self.source + self.id)}"
        return name if len(name) <= _LONGEST else f"{self.sink}-"[:_HEAD] + _md5(name)


def job_of(sink: JobSink, run: Run) -> Object:
    """Return the Job of a run, in which each container has the event's volume and its path in `K_EVENT_PATH`."""
    template = sink.spec.job.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"status"})
    metadata = template.get("metadata", {})
    owner = {"apiVersion": SINKS, "kind": "jobsinks", "name": run.sink, "uid": sink.metadata.uid or ""}
    labels = {**metadata.get("labels", {}), ID_LABEL: run.job, NAME_LABEL: run.sink}
    named = {**metadata, "name": run.job, "namespace": run.namespace or DEFAULT_NAMESPACE, "labels": labels}
    named["ownerReferences"] = [{**owner, "controller": True, "blockOwnerDeletion": False}]
    spec = template["spec"]
    pod = {**spec["template"], "spec": _with_event(spec["template"]["spec"], run.job)}
    return {"apiVersion": BATCH, "kind": "Job", "metadata": named, "spec": {**spec, "template": pod}}


def _with_event(pod: Object, job: str) -> Object:
    volumes = pod.get("volumes", [])
    if not any(volume["name"] == _VOLUME for volume in volumes):
        volumes = [*volumes, {"name": _VOLUME, "secret": {"secretName": job}}]
    return {**pod, "containers": [_container_with_event(container) for container in pod["containers"]], "volumes": volumes}


def _container_with_event(container: dict[str, Any]) -> dict[str, Any]:
    mounts, env = container.get("volumeMounts", []), container.get("env", [])
    own = next((mount["mountPath"] for mount in mounts if mount["name"] == _VOLUME), None)
    if own is None:
        mounts = [*mounts, {"name": _VOLUME, "readOnly": True, "mountPath": _MOUNT_PATH}]
    if not any(variable["name"] == "K_EXECUTION_MODE" for variable in env):
        env = [*env, {"name": "K_EXECUTION_MODE", "value": "batch"}]
    return {**container, "volumeMounts": mounts, "env": [*env, {"name": "K_EVENT_PATH", "value": own or _MOUNT_PATH}]}


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
