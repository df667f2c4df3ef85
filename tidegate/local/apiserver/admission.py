"""Admission of Knative Services and Revisions: validation and defaults as in the API server and Knative's webhook."""

from __future__ import annotations

from functions.runtime.knative.objects import REVISIONS, SERVICES, SERVING, SERVING_LABELS
from tidegate.local.apiserver.status_error import StatusError, webhook_denied
from tidegate.local.objects import rules
from tidegate.local.objects.kinds import BY_PLURAL
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.resources import KnativeService
from tidegate.local.objects.validation import InvalidObject, Object, webhook_error, without_nulls

_PROBE_PORT = 0
_NAME_FIELD = "spec.template.metadata.name"


def parse_service(item: Object) -> KnativeService:
    """Parse a Knative Service. Raises StatusError as a cluster would for an invalid one."""
    try:
        service = rules.parse_manifest(item)
    except InvalidObject as error:
        raise StatusError.of(error, BY_PLURAL[SERVICES], str((item.get("metadata") or {}).get("name"))) from None
    if not isinstance(service, KnativeService):
        raise StatusError.bad_request(f"the object is {item.get('kind')} of {item.get('apiVersion')}, want Service of {SERVING}.")
    return service


def admit_service(item: Object, service: KnativeService, old: Object | None = None) -> Object:
    """Return a Knative Service with its defaults filled in.

    `service` is the model of `item`, and `old` the stored object that it replaces. Raises StatusError 400 for a change
    that Knative's webhook would deny.
    """
    admitted = _with_defaults(without_nulls(item))
    if old is not None:
        try:
            _check_name_change(old, admitted, service.spec.template.metadata.name)
        except InvalidObject as error:
            raise StatusError.of(error, BY_PLURAL[SERVICES], str(service.metadata.name)) from None
    return admitted


def admit_revision(item: Object, old: Object) -> Object:
    """Return a revision with changed labels or annotations.

    Raises StatusError for a change of its specification or its owner.
    """
    if item.get("spec") != old["spec"]:
        raise _immutable("spec")
    if _owner(item) != _owner(old):
        raise _immutable(f"metadata.labels ({SERVING_LABELS}*)")
    return item


def _owner(revision: Object) -> Object:
    labels: Object = revision["metadata"].get("labels") or {}
    return {name: value for name, value in labels.items() if name.startswith(SERVING_LABELS)}


def _immutable(field: str) -> StatusError:
    return StatusError.bad_request(f"{webhook_denied(BY_PLURAL[REVISIONS])} Immutable fields changed (-old +new): {field}")


def _with_defaults(service: Object) -> Object:
    """The defaults of Knative's webhook."""
    template = service["spec"]["template"]
    spec = {"containerConcurrency": 0, "enableServiceLinks": False, "timeoutSeconds": 300, **template["spec"]}
    spec["containers"] = [_container_with_defaults(container) for container in spec["containers"]]
    traffic = service["spec"].get("traffic") or [{"latestRevision": True, "percent": 100}]
    targets = [{"latestRevision": not target.get("revisionName"), **target} for target in traffic]
    metadata = {"namespace": DEFAULT_NAMESPACE, **service["metadata"]}
    return {**service, "metadata": metadata, "spec": {"template": {**template, "spec": spec}, "traffic": targets}}


def _check_name_change(old: Object, new: Object, name: str | None) -> None:
    """Raise InvalidObject for a changed template whose user-defined name already belongs to a revision."""
    before, after = old["spec"]["template"], new["spec"]["template"]
    if name and name == before.get("metadata", {}).get("name") and before != after:
        raise webhook_error(_NAME_FIELD, "Saw the following changes without a name change (-old +new)")


def _container_with_defaults(container: Object) -> Object:
    probe = {"successThreshold": 1, **(container.get("readinessProbe") or {"tcpSocket": {"port": _PROBE_PORT}})}
    return {"name": "user-container", "resources": {}, **container, "readinessProbe": probe}
