"""API discovery: groups, versions and resources, which clients request first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from tidegate.local.apiserver.resources import RESOURCES, Resource
from tidegate.local.objects.kinds import api_root

_KUBERNETES = "1.34"


def discovery() -> list[web.RouteDef]:
    """The routes of the discovery documents."""
    groups = {resource.kind.group: _group(resource.kind.group) for resource in RESOURCES.values() if resource.kind.group}
    documents: dict[str, dict[str, Any]] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": f"v{_KUBERNETES}.0+tidegate", "platform": "tidegate/up"},
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": list(groups.values())},
        **{f"/apis/{name}": {"kind": "APIGroup", "apiVersion": "v1", **group} for name, group in groups.items()},
    }
    for version in sorted({version for resource in RESOURCES.values() for version in resource.kind.api_versions}):
        found = [resource for resource in RESOURCES.values() if version in resource.kind.api_versions]
        names = [entry for resource in found for entry in _resources(resource)]
        documents[api_root(version)] = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": names}
    return [web.get(path, _constant(document)) for path, document in documents.items()]


def _group(name: str) -> dict[str, Any]:
    found = [resource.kind.versions for resource in RESOURCES.values() if resource.kind.group == name]
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in _ordered(found)]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _ordered(versions: Iterable[tuple[str, ...]]) -> list[str]:
    """All versions, stable ones first."""
    return sorted({version for found in versions for version in found}, key=lambda version: ("alpha" in version, "beta" in version))


def _resources(resource: Resource) -> list[dict[str, Any]]:
    kind = resource.kind
    whole = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": True,
        "kind": kind.kind,
        "verbs": list(resource.verbs),
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
    }
    status = {"name": f"{kind.plural}/status", "singularName": "", "namespaced": True, "kind": kind.kind, "verbs": ["get"]}
    return [whole, status] if kind.has_status else [whole]


def _constant(document: dict[str, Any]) -> Any:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(document)

    return handle
