"""Names and fields of Knative Serving objects that several components read: API group, labels, conditions and traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

SERVING_GROUP, SERVING_VERSION = "serving.knative.dev", "v1"
SERVING = f"{SERVING_GROUP}/{SERVING_VERSION}"
"""The `apiVersion` of Knative Services and Revisions."""
SERVICES, REVISIONS = "services", "revisions"
"""Names of the resources in the API."""
SERVING_LABELS = f"{SERVING_GROUP}/"
"""The prefix of Knative's own labels and annotations."""
SERVICE_LABEL = f"{SERVING_LABELS}service"
"""The label by which a revision and its pods name their Knative Service."""


# Not a dataclass, whose creation would add 0.4 ms to the start of the router.
class TrafficTarget(NamedTuple):
    """An entry of a `traffic` block. One revision may have several: with its percentage, and with tags."""

    revision: str
    percent: int
    tag: str | None


def traffic_targets(traffic: Iterable[Mapping[str, Any]] | None, latest: str | None = None) -> list[TrafficTarget]:
    """The entries of a `traffic` block in its order, where `latest` is the revision of an entry that names none.

    Entries without a revision are left out: they wait for the first ready one.
    """
    return [
        TrafficTarget(revision=revision, percent=entry.get("percent") or 0, tag=entry.get("tag") or None)
        for entry in traffic or ()
        if (revision := entry.get("revisionName") or latest)
    ]


def condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """The condition of this type in the status, such as `Ready`, or None while no controller has reported it."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((found for found in conditions if found["type"] == kind), None)
