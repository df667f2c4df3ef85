"""Whether an object may be stored, and as what: validation and defaults, as the API server and Knative's webhook do them."""

from __future__ import annotations

from tidegate.local import reconciler, resources
from tidegate.local.failure import Failure
from tidegate.local.validation import InvalidObject, Object, without_nulls


def admit_service(item: Object, old: Object | None = None) -> Object:
    """A Knative Service with its defaults filled in. Raises Failure as a cluster would."""
    try:
        if not isinstance(resources.check(item), resources.KnativeService):
            raise Failure.bad_request(f"the object is {item.get('kind')} of {item.get('apiVersion')}, want Service of {resources.SERVING}.")
        service = reconciler.with_defaults(without_nulls(item))
        if old is not None:
            reconciler.verify_name_change(old, service)
    except InvalidObject as error:
        raise Failure.of(error, "Service", str((item.get("metadata") or {}).get("name"))) from None
    return service


def admit_revision(item: Object, old: Object) -> Object:
    """Labels and annotations of a revision may change; what it runs may not. Raises Failure."""
    if item.get("spec") != old["spec"]:
        raise Failure.bad_request(
            'admission webhook "validation.webhook.serving.knative.dev" denied the request: '
            "validation failed: Immutable fields changed (-old +new): spec"
        )
    return item
