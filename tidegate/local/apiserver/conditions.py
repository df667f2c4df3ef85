"""Conditions in the status of an object, as Knative's controllers write them."""

from __future__ import annotations

from functions.runtime.knative.objects import condition
from tidegate.local.apiserver.store import now
from tidegate.local.objects.validation import Object


def changed(item: Object, kind: str, status: str, reason: str = "", message: str = "") -> Object:
    """A condition for the object. Its transition time changes only with its status."""
    new: Object = {"type": kind, "status": status}
    new |= {name: value for name, value in (("reason", reason), ("message", message)) if value}
    old = condition(item, kind)
    new["lastTransitionTime"] = old["lastTransitionTime"] if old and old["status"] == status else now()
    return new
