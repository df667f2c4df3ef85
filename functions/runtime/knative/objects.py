"""Names and fields of Knative Serving objects that several components read: API group, labels and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERVING_GROUP = "serving.knative.dev"
SERVING = f"{SERVING_GROUP}/v1"
"""The `apiVersion` of Knative Services and Revisions."""
SERVICES, REVISIONS = "services", "revisions"
"""Names of the resources in the API."""
SERVING_LABELS = f"{SERVING_GROUP}/"
"""The prefix of Knative's own labels and annotations."""
SERVICE_LABEL = f"{SERVING_LABELS}service"
"""The label by which a revision and its pods name their Knative Service."""


def condition(item: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """The condition of this type in the object's status, such as `Ready`, or None while no controller has reported it."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return next((found for found in conditions if found["type"] == kind), None)
