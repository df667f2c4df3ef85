"""SinkBindings: the variables `K_SINK` and `K_CE_OVERRIDES` of their subjects, as Knative's webhook injects them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from functions.runtime.knative.objects import SERVICES
from tidegate.local.apiserver.resources import RESOURCES
from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.resolution import Key
from tidegate.local.eventing.runner import Resolved
from tidegate.local.objects.eventing import SinkBinding, SourceSpec
from tidegate.local.objects.kinds import BY_VERSION
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.resources import LabelSelector
from tidegate.local.objects.validation import Object

Variables = Mapping[str, str]
Bind = Callable[[str, Variables], None]
"""Set the variables of the Deployment with this name."""

DEPLOYMENTS, JOBS = "deployments", "jobs"


@dataclass(frozen=True, slots=True)
class _Selected:
    """The Jobs that a binding selects by their labels."""

    namespace: str
    selector: LabelSelector
    variables: Variables


class Bindings:
    """The runner of SinkBindings. A bound Service gets a new revision, a Deployment a rollout, a Job what it starts with."""

    def __init__(self, store: Store, bind_deployment: Bind) -> None:
        self._store = store
        self._bind_deployment = bind_deployment
        self._subjects: dict[tuple[str, str], Key] = {}
        self._variables: dict[Key, Variables] = {}
        self._selected: dict[tuple[str, str], _Selected] = {}

    def inject(self, resource: str, item: Object) -> Object:
        """The object with the variables of its binding, if it has one. An object that is invalid is left as it is."""
        if not self._variables and not self._selected:
            return item
        try:
            variables = self._variables_for(resource, item["metadata"])
            return injected(item, variables) if variables else item
        except (KeyError, TypeError, AttributeError):
            return item

    def apply(self, item: SinkBinding, context: Resolved) -> None:
        """Bind the subject. While the sink has no address, the subject keeps what it has."""
        metadata, subject = item.metadata, item.spec.subject
        namespace, name = metadata.namespace or "", metadata.name or ""
        if subject.name is None and subject.selector is not None:
            if context.sink is not None:
                variables = variables_of(item.spec, context.sink)
                self._selected[namespace, name] = _Selected(subject.namespace or namespace, subject.selector, variables)
            return
        key = Key(BY_VERSION[subject.api_version, subject.kind].plural, subject.namespace or namespace, subject.name or "")
        if self._subjects.get((namespace, name), key) != key:
            self.delete(namespace, name)
        self._subjects[namespace, name] = key
        if context.sink is not None:
            self._variables[key] = variables_of(item.spec, context.sink)
            self._update(key)

    def delete(self, namespace: str, name: str) -> None:
        """Take the variables away from what the subject starts next."""
        self._selected.pop((namespace, name), None)
        key = self._subjects.pop((namespace, name), None)
        if key:
            self._variables.pop(key, None)
            self._update(key)

    async def close(self) -> None:
        """A binding has nothing in flight."""

    def _variables_for(self, resource: str, metadata: Object) -> Variables | None:
        namespace = metadata.get("namespace") or DEFAULT_NAMESPACE
        if found := self._variables.get(Key(resource, namespace, metadata["name"])):
            return found
        labels = metadata.get("labels") or {}
        selected = self._selected.values() if resource == JOBS else ()
        return next((item.variables for item in selected if item.namespace == namespace and item.selector.matches(labels)), None)

    def _update(self, key: Key) -> None:
        if key.resource == DEPLOYMENTS:
            self._bind_deployment(key.name, self._variables.get(key, {}))
        elif key.resource == SERVICES:
            with suppress(StatusError):  # the Service is not there yet, and gets its variables when it is
                stored = self._store.get(SERVICES, key.name, key.namespace)
                new = injected(stored, self._variables.get(key, {}))
                if new != stored:
                    self._store.update(SERVICES, RESOURCES[SERVICES].admit(new, stored))


def variables_of(spec: SourceSpec, sink: str) -> Variables:
    """The variables by which a process sends the events of a source."""
    overrides = spec.ce_overrides.model_dump() if spec.ce_overrides and spec.ce_overrides.extensions else None
    return {"K_SINK": sink, **({"K_CE_OVERRIDES": json.dumps(overrides)} if overrides else {})}


def injected(item: Object, variables: Variables) -> Object:
    """A Service or a Job whose containers have exactly these variables of a binding beside their own."""
    spec = item["spec"]
    pod = spec["template"]["spec"]
    containers = [{**container, "env": _env(container, variables)} for container in pod["containers"]]
    containers = [{name: value for name, value in container.items() if name != "env" or value} for container in containers]
    return {**item, "spec": {**spec, "template": {**spec["template"], "spec": {**pod, "containers": containers}}}}


def _env(container: Object, variables: Variables) -> list[Object]:
    own = [entry for entry in container.get("env", []) if entry.get("name") not in ("K_SINK", "K_CE_OVERRIDES")]
    return [*own, *({"name": name, "value": value} for name, value in variables.items())]
