"""API discovery: groups, versions and resources, which clients request first."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from functions.runtime.knative.objects import REVISIONS, SERVICES, SERVING, SERVING_GROUP, SERVING_VERSION

_VERBS = ["delete", "get", "list", "patch", "update", "watch"]
_KUBERNETES = "1.34"


def discovery() -> list[web.RouteDef]:
    """The routes of the discovery documents."""
    documents: dict[str, dict[str, Any]] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": f"v{_KUBERNETES}.0+tidegate", "platform": "tidegate/up"},
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group()]},
        f"/apis/{SERVING_GROUP}": {"kind": "APIGroup", "apiVersion": "v1", **_group()},
        f"/apis/{SERVING}": {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": SERVING, "resources": _resources()},
    }
    return [web.get(path, _constant(document)) for path, document in documents.items()]


def _group() -> dict[str, Any]:
    version = {"groupVersion": SERVING, "version": SERVING_VERSION}
    return {"name": SERVING_GROUP, "versions": [version], "preferredVersion": version}


def _resources() -> list[dict[str, Any]]:
    return [
        _resource(SERVICES, "service", "Service", ["kservice", "ksvc"], ["create", *_VERBS]),
        _resource(REVISIONS, "revision", "Revision", ["rev"], _VERBS),
    ]


def _resource(name: str, singular: str, kind: str, short: list[str], verbs: list[str]) -> dict[str, Any]:
    categories = ["all", "knative", "serving"]
    return {
        "name": name,
        "singularName": singular,
        "namespaced": True,
        "kind": kind,
        "verbs": verbs,
        "shortNames": short,
        "categories": categories,
    }


def _constant(document: dict[str, Any]) -> Any:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(document)

    return handle
