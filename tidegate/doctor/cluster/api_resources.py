"""The kinds that the manifests use: served by the cluster in that version, or the part that is missing or too old."""

from __future__ import annotations

from collections.abc import Iterator

from urllib3.exceptions import HTTPError

from tidegate.doctor.accessors import mapping, mappings, text
from tidegate.doctor.cluster import dependencies
from tidegate.doctor.cluster.client import Cluster
from tidegate.doctor.cluster.target import Resource, Served
from tidegate.doctor.finding import Finding, Findings, NotInspectable, error, note, ok
from tidegate.documents import Document, Object

_SUBJECT = "kinds"


def check(cluster: Cluster) -> Findings[Served]:
    """Check the kinds. Returns those that are served, as far as the cluster lists them."""
    wanted = kinds(cluster.documents)
    served: dict[tuple[str, str], Resource] = {}
    try:
        groups = group_versions(cluster.get("/apis") or {})
        for group_version in sorted({version for version, _ in wanted}):
            if group_version in groups or group_version == "v1":
                root = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
                served |= resources(group_version, cluster.get(root) or {})
    except (NotInspectable, HTTPError) as reason:
        yield note(_SUBJECT, f"could not be inspected: {reason}")
        return served
    yield from judge(wanted, groups, served)
    return served


def kinds(documents: list[Document]) -> list[tuple[str, str]]:
    """The apiVersions and kinds of the manifests."""
    return sorted({(text(item.object, "apiVersion"), text(item.object, "kind")) for item in documents})


def group_versions(apis: Object) -> set[str]:
    """The group versions in the response to `/apis`."""
    return {text(version, "groupVersion") for group in mappings(apis.get("groups")) for version in mappings(group.get("versions"))}


def resources(group_version: str, listing: Object) -> dict[tuple[str, str], Resource]:
    """The resources in the response to `/apis/<group>/<version>`, without subresources such as `services/status`."""
    return {
        (group_version, text(item, "kind")): Resource(
            group_version=group_version, name=text(item, "name"), namespaced=item.get("namespaced") is True
        )
        for item in mappings(listing.get("resources"))
        if "/" not in text(item, "name")
    }


def judge(wanted: list[tuple[str, str]], groups: set[str], served: Served) -> Iterator[Finding]:
    """An error for each kind that is not served, with the part of the cluster that serves it."""
    absent = [item for item in wanted if item not in served]
    if wanted and not absent:
        yield ok(_SUBJECT, f"all {len(wanted)} of the manifests are served")
    for api_version, kind in absent:
        group = api_version.rpartition("/")[0]
        others = sorted(version for version in groups if version.rpartition("/")[0] == group and group)
        part = dependencies.of(api_version, kind)
        if others and api_version not in others:
            yield error(_SUBJECT, f"{kind} is used as {api_version}; the cluster serves {', '.join(others)}.", _newer(part))
        else:
            missing = f"{part.name} is not installed" if part else "its custom resource definition is not installed"
            yield error(_SUBJECT, f"{kind} ({api_version}) is not served: {missing}.", f"install it: {part.install}" if part else _UNKNOWN)


_UNKNOWN = "install the custom resource definition and its controller, or remove the object from the manifests"


def _newer(part: dependencies.Part | None) -> str:
    how = f": {part.install}" if part else ""
    return f"upgrade {part.name if part else 'its controller'}{how}, or write a version that is served into the manifests"


def broker_classes(documents: list[Document]) -> set[str]:
    """The classes of the manifests' Brokers; Knative's default for a Broker that names none."""
    found = [item.object for item in documents if item.object.get("kind") == "Broker"]
    return {text(mapping(item, "metadata", "annotations"), "eventing.knative.dev/broker.class") or "MTChannelBasedBroker" for item in found}
