"""The Kubernetes API for the kinds that `tidegate up` runs, over HTTP.

The official `kubernetes` client and kubectl work with it unchanged, by the kubeconfig that has its token.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Middleware

from tidegate.local.apiserver import access, naming, patch, table
from tidegate.local.apiserver.discovery import discovery
from tidegate.local.apiserver.openapi import openapi
from tidegate.local.apiserver.resources import RESOURCES, Mutate, Resource
from tidegate.local.apiserver.selector import Predicate, predicate
from tidegate.local.apiserver.status_error import StatusError, UnknownField
from tidegate.local.apiserver.store import Change, Store
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import Object

_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/merge-patch+json": patch.merge,
    "application/json-patch+json": patch.apply,
}
# Kubernetes' own kinds are patched by this type. It differs from a merge patch only for lists that a Job must not change.
_STRATEGIC = "application/strategic-merge-patch+json"
_BODY_LIMIT = 3 << 20  # etcd's own is 1.5 MiB


def application(store: Store, token: str, mutate: Mutate) -> web.Application:
    """Build the application. All of its routes, including those added later, require the token.

    `mutate` changes objects that clients send before their admission.
    """
    app = web.Application(middlewares=[_failures(token)], client_max_size=_BODY_LIMIT)
    app.add_routes([*discovery(), *openapi()])
    for resource in RESOURCES.values():
        for version in resource.kind.api_versions:
            _add_routes(app.router, f"/apis/{version}", _Handlers(store, resource, version, mutate))
    return app


def _add_routes(router: web.UrlDispatcher, root: str, handlers: _Handlers) -> None:
    plural = handlers.resource.kind.plural
    for path in (f"{root}/{plural}", f"{root}/namespaces/{{namespace}}/{plural}"):
        router.add_get(path, handlers.read_all)
        router.add_post(path, handlers.create)
    one = f"{root}/namespaces/{{namespace}}/{plural}/{{name}}"
    router.add_get(one, handlers.read)
    router.add_put(one, handlers.replace)
    router.add_patch(one, handlers.patch)
    router.add_delete(one, handlers.delete)
    router.add_get(f"{one}/status", handlers.read)
    router.add_put(f"{one}/status", handlers.replace_status)
    router.add_patch(f"{one}/status", handlers.patch_status)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _failures(token: str) -> Middleware:
    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            access.check(request, token)
            return await handler(request)
        except StatusError as failure:
            return _json(failure.to_json(), failure.code)
        except web.HTTPNotFound:
            return _json(StatusError(404, "NotFound", "the server could not find the requested resource").to_json(), 404)
        except web.HTTPMethodNotAllowed:
            message = "the server does not allow this method on the requested resource"
            return _json(StatusError(405, "MethodNotAllowed", message).to_json(), 405)
        except web.HTTPRequestEntityTooLarge:
            return _json(StatusError(413, "RequestEntityTooLarge", "the object is too large").to_json(), 413)
        except RecursionError:
            return _json(StatusError.bad_request("the object is nested too deeply", remedy="send a smaller one").to_json(), 400)

    return handle


class _Handlers:
    """Handlers of the verbs for one resource, in one version of its group."""

    def __init__(self, store: Store, resource: Resource, version: str, mutate: Mutate) -> None:
        self.resource = resource
        self._mutate = mutate
        self._store = store
        self._version = version
        self._plural = resource.kind.plural

    async def read_all(self, request: web.Request) -> web.StreamResponse:
        selects = _selection(request)
        if request.query.get("watch", "").lower() in ("true", "1"):
            return await self._watch(request, selects)
        items = [self._versioned(item) for item in self._store.list(self._plural) if selects(item)]
        metadata = {"resourceVersion": str(self._store.version)}
        if table.is_wanted(request):
            return _json({**table.of(self._plural, items), "metadata": metadata})
        return _json({"apiVersion": self._version, "kind": f"{self.resource.kind.kind}List", "metadata": metadata, "items": items})

    async def read(self, request: web.Request) -> web.StreamResponse:
        item = self._versioned(self._get(request))
        return _json(table.of(self._plural, [item]) if table.is_wanted(request) else item)

    async def create(self, request: web.Request) -> web.StreamResponse:
        given = naming.with_name(_in_namespace(await _object(request), request))
        item = self.resource.admit(self._mutate(self._plural, given), None)
        for field in ("resourceVersion", "uid"):
            item["metadata"].pop(field, None)
        item.pop("status", None)
        return self._answer(item if _is_dry_run(request) else self._store.create(self._plural, item), 201)

    async def replace(self, request: web.Request) -> web.StreamResponse:
        item = await _object(request)
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
        if not _is_dry_run(request):
            self._store.delete(self._plural, metadata["name"], metadata["namespace"])
        details = {"name": metadata["name"], "group": self.resource.kind.group, "kind": self._plural, "uid": metadata["uid"]}
        return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})

    async def replace_status(self, request: web.Request) -> web.StreamResponse:
        return self._answer(self._update_status(await _object(request), request))

    async def patch_status(self, request: web.Request) -> web.StreamResponse:
        return self._answer(self._update_status(await self._patched(request), request))

    def _answer(self, item: Object, status: int = 200) -> web.Response:
        return _json(self._versioned(item), status)

    def _versioned(self, item: Object) -> Object:
        return item if item["apiVersion"] == self._version else {**item, "apiVersion": self._version}

    def _get(self, request: web.Request) -> Object:
        return self._store.get(self._plural, request.match_info["name"], request.match_info["namespace"])

    async def _patched(self, request: web.Request) -> Any:
        accepted = {**_PATCHES, _STRATEGIC: patch.merge} if self.resource.kind.group == "batch" else _PATCHES
        change = accepted.get(request.content_type)
        if change is None:
            message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
            raise StatusError(415, "UnsupportedMediaType", message)
        return change(self._get(request), await _body(request))

    def _update(self, item: Any, request: web.Request) -> Object:
        old = self._get(request)
        _check_identity(item, old)
        # Before validation, so that a writer with an old version gets the conflict first.
        self._store.check_version(self._plural, item)
        admitted = self.resource.admit(self._mutate(self._plural, item), old)
        return admitted if _is_dry_run(request) else self._store.update(self._plural, admitted)

    def _update_status(self, item: Any, request: web.Request) -> Object:
        old = self._get(request)
        _check_identity(item, old)
        self._store.check_version(self._plural, item)
        status = item.get("status")
        if not isinstance(status, dict):
            raise StatusError.bad_request("the object has no status", remedy="send one, or patch the object itself")
        if _is_dry_run(request):
            return {**old, "status": status}
        return self._store.update_status(self._plural, old["metadata"]["name"], status, old["metadata"]["namespace"])

    async def _watch(self, request: web.Request, selects: Predicate) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        seconds = request.query.get("timeoutSeconds", "")
        as_table = table.is_wanted(request)
        try:
            async with asyncio.timeout(int(seconds) if seconds.isdigit() and int(seconds) else None):
                async with aclosing(self._events(request.query.get("resourceVersion", ""), selects)) as events:
                    async for event in events:
                        if as_table and event["type"] != "ERROR":
                            event["object"] = table.of(self._plural, [event["object"]])
                        await response.write(orjson.dumps(event) + b"\n")
        except TimeoutError:
            await response.write_eof()
        except ConnectionError:
            pass  # the client has disconnected
        return response

    async def _events(self, since: str, selects: Predicate) -> AsyncGenerator[Object]:
        """Yield the events of a watch. Without a version, or with 0, the existing objects are sent first.

        For this watcher, an object that no longer matches is DELETED.
        """
        start = int(since) if since.isdigit() else 0
        matching = [item for item in self._store.list(self._plural) if selects(item)]
        seen = {_identity(item) for item in matching}
        if start == 0:
            start = self._store.version
            for item in matching:
                yield {"type": "ADDED", "object": self._versioned(item)}
        try:
            async for change in self._store.watch(self._plural, start):
                type_ = _event_type(change, selects(change.object), seen)
                if type_:
                    yield {"type": type_, "object": self._versioned(change.object)}
        except StatusError as failure:
            yield {"type": "ERROR", "object": failure.to_json()}


def _identity(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _event_type(change: Change, matches: bool, seen: set[tuple[str, str]]) -> str | None:
    identity = _identity(change.object)
    known = identity in seen
    if change.type == "DELETED" or not matches:
        seen.discard(identity)
        return "DELETED" if known else None
    seen.add(identity)
    return "MODIFIED" if known and change.type == "MODIFIED" else "ADDED"


def _selection(request: web.Request) -> Predicate:
    selected = predicate(request.query.get("labelSelector"), request.query.get("fieldSelector"))
    namespace = request.match_info.get("namespace")
    return lambda item: namespace in (None, item["metadata"]["namespace"]) and selected(item)


def _check_identity(item: Any, old: Object) -> None:
    if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
        raise StatusError.bad_request("the object has no metadata", remedy="send the whole object, or a patch of it")
    for field in ("name", "namespace"):
        given = item["metadata"].setdefault(field, old["metadata"][field])
        if given != old["metadata"][field]:
            raise StatusError.bad_request(
                f"the {field} of the object ({given}) does not match the {field} on the URL ({old['metadata'][field]})"
            )


def _in_namespace(item: Object, request: web.Request) -> Object:
    namespace = request.match_info.get("namespace", DEFAULT_NAMESPACE)
    metadata = item.get("metadata") or {}
    if metadata.get("namespace", namespace) != namespace:
        given = f"{metadata['namespace']} is not {namespace}"
        raise StatusError.bad_request(f"the namespace of the provided object does not match the namespace sent on the request ({given})")
    return {**item, "metadata": {**metadata, "namespace": namespace}}


async def _object(request: web.Request) -> Object:
    value = await _body(request)
    if not isinstance(value, dict):
        raise StatusError.bad_request("the body is not a JSON object", remedy="send a Kubernetes object")
    if not isinstance(value.get("metadata") or {}, dict):
        raise StatusError.bad_request("the metadata of the object is not a mapping", remedy="send a Kubernetes object")
    return value


async def _body(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise StatusError.bad_request(f"the body is not JSON: {error}.") from None


def _is_dry_run(request: web.Request) -> bool:
    return "dryRun" in request.query


def _json(value: Object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
