"""Whether the cluster serves each kind that the manifests use, in that version; and if not, which part is missing or too old."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.doctor.accessors import mapping, mappings, text
from tidegate.doctor.cluster import dependencies
from tidegate.doctor.cluster.client import Cluster, Resource
from tidegate.doctor.finding import Finding, error, ok
from tidegate.objects import Document, Object

_SUBJECT = "kinds"


def check(cluster: Cluster) -> Iterator[Finding]:
    """Fills `cluster.served`. Raises Unseen."""
    wanted = kinds(cluster.documents)
    groups = group_versions(cluster.get("/apis") or {})
    for group_version in sorted({version for version, _ in wanted}):
        if group_version in groups or group_version == "v1":
            root = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
            cluster.served |= resources(group_version, cluster.get(root) or {})
    yield from judge(wanted, groups, cluster.served)


def kinds(documents: list[Document]) -> list[tuple[str, str]]:
    return sorted({(text(item.object, "apiVersion"), text(item.object, "kind")) for item in documents})


def group_versions(apis: Object) -> set[str]:
    """Of the answer to /apis."""
    return {text(version, "groupVersion") for group in mappings(apis.get("groups")) for version in mappings(group.get("versions"))}


def resources(group_version: str, listing: Object) -> dict[tuple[str, str], Resource]:
    """Of the answer to /apis/<group>/<version>, without what belongs to another resource, such as services/status."""
    return {
        (group_version, text(item, "kind")): Resource(group_version, text(item, "name"), item.get("namespaced") is True)
        for item in mappings(listing.get("resources"))
        if "/" not in text(item, "name")
    }


def judge(wanted: list[tuple[str, str]], groups: set[str], served: dict[tuple[str, str], Resource]) -> Iterator[Finding]:
    absent = [item for item in wanted if item not in served]
    if wanted and not absent:
        yield ok(_SUBJECT, f"the {len(wanted)} that the manifests use are served")
    for api_version, kind in absent:
        group = api_version.rpartition("/")[0]
        others = sorted(version for version in groups if version.rpartition("/")[0] == group and group)
        part = dependencies.of(api_version, kind)
        if others and api_version not in others:
            yield error(_SUBJECT, f"{kind} is asked for as {api_version}; the cluster serves {', '.join(others)}.", _newer(part))
        else:
            what = f"{part.name} is not installed" if part else "what brings it is not installed"
            yield error(_SUBJECT, f"{kind} ({api_version}) is not served: {what}.", f"install it: {part.install}" if part else _UNKNOWN)


_UNKNOWN = "install the custom resource definition and its controller, or take the object out of the manifests"


def _newer(part: dependencies.Part | None) -> str:
    how = f": {part.install}" if part else ""
    return f"upgrade {part.name if part else 'what brings it'}{how}, or write a version that is served into the manifests"


def broker_classes(documents: list[Document]) -> set[str]:
    found = [item.object for item in documents if item.object.get("kind") == "Broker"]
    return {text(mapping(item, "metadata", "annotations"), "eventing.knative.dev/broker.class") or "MTChannelBasedBroker" for item in found}
