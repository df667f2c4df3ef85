"""Whether an object may be stored, and as what: validation and defaults, as the API server and Knative's webhook do them."""

from __future__ import annotations

from tidegate.local.apiserver.failure import Failure
from tidegate.local.controller import reconciler
from tidegate.local.objects import rules
from tidegate.local.objects.resources import SERVING, KnativeService
from tidegate.local.objects.validation import InvalidObject, Object, without_nulls


def admit_service(item: Object, old: Object | None = None) -> Object:
    """A Knative Service with its defaults filled in. Raises Failure as a cluster would."""
    try:
        if not isinstance(rules.check(item), KnativeService):
            raise Failure.bad_request(f"the object is {item.get('kind')} of {item.get('apiVersion')}, want Service of {SERVING}.")
        service = reconciler.with_defaults(without_nulls(item))
        if old is not None:
            reconciler.verify_name_change(old, service)
    except InvalidObject as error:
        raise Failure.of(error, "Service", str((item.get("metadata") or {}).get("name"))) from None
    return service


def admit_revision(item: Object, old: Object) -> Object:
    """Labels and annotations of a revision may change; what it runs, and the labels that say whose it is, may not. Raises Failure."""
    if item.get("spec") != old["spec"]:
        raise _immutable("spec")
    if _owner(item) != _owner(old):
        raise _immutable(f"metadata.labels ({reconciler.LABELS}*)")
    return item


def _owner(revision: Object) -> Object:
    labels: Object = revision["metadata"].get("labels") or {}
    return {name: value for name, value in labels.items() if name.startswith(reconciler.LABELS)}


def _immutable(field: str) -> Failure:
    return Failure.bad_request(
        'admission webhook "validation.webhook.serving.knative.dev" denied the request: '
        f"validation failed: Immutable fields changed (-old +new): {field}"
    )
