"""Handlers of the API's verbs, for each resource alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from tidegate.local.apiserver import naming, patch, requests, table, watching
from tidegate.local.apiserver.requests import json_response
from tidegate.local.apiserver.resources import Mutate, Resource
from tidegate.local.apiserver.status_error import StatusError, UnknownField
from tidegate.local.apiserver.store import Store
from tidegate.local.objects.validation import Object

_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/merge-patch+json": patch.merge,
    "application/json-patch+json": patch.apply,
}
# Kubernetes' own kinds are patched by this type. It differs from a merge patch only for lists of objects with a name,
# which a Job must not change.
_STRATEGIC = "application/strategic-merge-patch+json"


class Handlers:
    """Handlers of the verbs for one resource, in one version of its group."""

    def __init__(self, store: Store, resource: Resource, version: str, mutate: Mutate) -> None:
        self.resource = resource
        self._mutate = mutate
        self._store = store
        self._version = version
        self._plural = resource.kind.plural

    async def read_all(self, request: web.Request) -> web.StreamResponse:
        selects = requests.selection(request, self._plural)
        if request.query.get("watch", "").lower() in ("true", "1"):
            present = self._row if table.is_wanted(request) else self._versioned
            return await watching.stream(request, self._store, self._plural, selects, present)
        items = [self._versioned(item) for item in self._store.list(self._plural) if selects(item)]
        metadata = {"resourceVersion": str(self._store.version)}
        if table.is_wanted(request):
            return json_response({**table.of(self._plural, items), "metadata": metadata})
        return json_response({"apiVersion": self._version, "kind": f"{self.resource.kind.kind}List", "metadata": metadata, "items": items})

    async def read(self, request: web.Request) -> web.StreamResponse:
        present = self._row if table.is_wanted(request) else self._versioned
        return json_response(present(self._get(request)))

    async def create(self, request: web.Request) -> web.StreamResponse:
        given = naming.with_name(requests.in_namespace(await requests.object_of(request), request))
        item = self.resource.admit(self._mutate(self._plural, given), None)
        for field in ("resourceVersion", "uid"):
            item["metadata"].pop(field, None)
        item.pop("status", None)
        return self._answer(item if requests.is_dry_run(request) else self._store.create(self._plural, item), 201)

    async def replace(self, request: web.Request) -> web.StreamResponse:
        item = await requests.object_of(request)
        if not (item.get("metadata") or {}).get("resourceVersion"):
            raise StatusError.unversioned(self._plural, request.match_info["name"])
        return self._answer(self._update(item, request))

    async def patch(self, request: web.Request) -> web.StreamResponse:
        try:
            return self._answer(self._update(await self._patched(request), request))
        except UnknownField as failure:
            raise failure.in_patch() from None

    async def delete(self, request: web.Request) -> web.StreamResponse:
        item = self._get(request)
        metadata = item["metadata"]
        if not requests.is_dry_run(request):
            self._store.delete(self._plural, metadata["name"], metadata["namespace"])
        details = {"name": metadata["name"], "group": self.resource.kind.group, "kind": self._plural, "uid": metadata["uid"]}
        return json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})

    def _answer(self, item: Object, status: int = 200) -> web.Response:
        return json_response(self._versioned(item), status)

    def _versioned(self, item: Object) -> Object:
        return item if item["apiVersion"] == self._version else {**item, "apiVersion": self._version}

    def _row(self, item: Object) -> Object:
        return table.of(self._plural, [item])

    def _get(self, request: web.Request) -> Object:
        return self._store.get(self._plural, request.match_info["name"], request.match_info["namespace"])

    async def _patched(self, request: web.Request) -> Any:
        accepted = {**_PATCHES, _STRATEGIC: patch.merge} if self.resource.kind.is_kubernetes else _PATCHES
        change = accepted.get(request.content_type)
        if change is None:
            message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
            raise StatusError(415, "UnsupportedMediaType", message)
        return change(self._get(request), await requests.body_of(request))

    def _update(self, item: Any, request: web.Request) -> Object:
        old = self._get(request)
        requests.check_identity(item, old)
        # Before validation, so that a writer with an old version gets the conflict first.
        self._store.check_version(self._plural, item)
        admitted = self.resource.admit(self._mutate(self._plural, item), old)
        return admitted if requests.is_dry_run(request) else self._store.update(self._plural, admitted)
