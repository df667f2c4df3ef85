"""The OpenAPI documents by which kubectl learns that this server validates fields itself.

They have the operations that kubectl looks up, and no schemas.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tidegate.local.apiserver.resources import RESOURCES
from tidegate.local.objects.kinds import Kind, api_root

# Fields are always validated strictly, and dry runs change nothing.
_PARAMETERS = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in ("dryRun", "fieldValidation")]


def openapi() -> list[web.RouteDef]:
    """The routes of the documents: an index, and one for each version of a group."""
    by_version: dict[str, dict[str, Any]] = {}
    for resource in RESOURCES.values():
        for api_version in resource.kind.api_versions:
            path = f"{api_root(api_version)}/namespaces/{{namespace}}/{resource.kind.plural}/{{name}}"
            by_version.setdefault(api_version, {})[path] = {"patch": _operation(resource.kind, api_version)}
    roots = {version: api_root(version).removeprefix("/") for version in by_version}
    index = {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in roots.values()}}
    routes = [web.get("/openapi/v3", _constant(index))]
    for version, paths in by_version.items():
        document = {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1"}, "paths": paths}
        routes.append(web.get(f"/openapi/v3/{roots[version]}", _constant(document)))
    return routes


def _operation(kind: Kind, api_version: str) -> dict[str, Any]:
    identity = {"group": kind.group, "version": api_version.rpartition("/")[2], "kind": kind.kind}
    return {"parameters": _PARAMETERS, "responses": {"200": {"description": "OK"}}, "x-kubernetes-group-version-kind": identity}


def _constant(document: dict[str, Any]) -> Any:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(document)

    return handle
