"""Whether an object may be stored, and as what: validation and defaults, as the API server and Knative's webhook do them."""

from __future__ import annotations

from tidegate.local.apiserver.failure import Failure
from tidegate.local.objects import rules
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.resources import SERVING, SERVING_LABELS, KnativeService
from tidegate.local.objects.validation import InvalidObject, Object, refused, without_nulls

_PROBE_PORT = 0


def admit_service(item: Object, old: Object | None = None) -> Object:
    """A Knative Service with its defaults filled in. Raises Failure as a cluster would."""
    try:
        if not isinstance(rules.check(item), KnativeService):
            raise Failure.bad_request(f"the object is {item.get('kind')} of {item.get('apiVersion')}, want Service of {SERVING}.")
        service = _with_defaults(without_nulls(item))
        if old is not None:
            _check_name_change(old, service)
    except InvalidObject as error:
        raise Failure.of(error, "Service", str((item.get("metadata") or {}).get("name"))) from None
    return service


def admit_revision(item: Object, old: Object) -> Object:
    """Labels and annotations of a revision may change; what it runs, and the labels that say whose it is, may not. Raises Failure."""
    if item.get("spec") != old["spec"]:
        raise _immutable("spec")
    if _owner(item) != _owner(old):
        raise _immutable(f"metadata.labels ({SERVING_LABELS}*)")
    return item


def _owner(revision: Object) -> Object:
    labels: Object = revision["metadata"].get("labels") or {}
    return {name: value for name, value in labels.items() if name.startswith(SERVING_LABELS)}


def _immutable(field: str) -> Failure:
    return Failure.bad_request(
        'admission webhook "validation.webhook.serving.knative.dev" denied the request: '
        f"validation failed: Immutable fields changed (-old +new): {field}"
    )


def _with_defaults(service: Object) -> Object:
    """What Knative's webhook fills in."""
    template = service["spec"]["template"]
    spec = {"containerConcurrency": 0, "enableServiceLinks": False, "timeoutSeconds": 300, **template["spec"]}
    spec["containers"] = [_container_with_defaults(container) for container in spec["containers"]]
    traffic = service["spec"].get("traffic") or [{"latestRevision": True, "percent": 100}]
    targets = [{"latestRevision": not target.get("revisionName"), **target} for target in traffic]
    metadata = {"namespace": DEFAULT_NAMESPACE, **service["metadata"]}
    return {**service, "metadata": metadata, "spec": {"template": {**template, "spec": spec}, "traffic": targets}}


def _check_name_change(old: Object, new: Object) -> None:
    """Raises InvalidObject when a template changes under a name that the user chose: the name belongs to a revision already."""
    before, after = old["spec"]["template"], new["spec"]["template"]
    name = after.get("metadata", {}).get("name")
    if name and name == before.get("metadata", {}).get("name") and before != after:
        raise refused("spec.template.metadata.name", "Saw the following changes without a name change (-old +new)")


def _container_with_defaults(container: Object) -> Object:
    probe = {"successThreshold": 1, **(container.get("readinessProbe") or {"tcpSocket": {"port": _PROBE_PORT}})}
    return {"name": "user-container", "resources": {}, **container, "readinessProbe": probe}
