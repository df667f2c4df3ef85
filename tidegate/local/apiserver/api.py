"""The part of the Knative Serving API that clients use for services and revisions, over HTTP.

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

from functions.runtime.knative.objects import REVISIONS, SERVICES, SERVING, SERVING_GROUP
from tidegate.local.apiserver import access, patch
from tidegate.local.apiserver.admission import admit_revision, admit_service, parse_service
from tidegate.local.apiserver.discovery import discovery
from tidegate.local.apiserver.selector import Predicate, predicate
from tidegate.local.apiserver.status_error import StatusError, UnknownField
from tidegate.local.apiserver.store import Change, Store
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import Object

_ROOT = f"/apis/{SERVING}"
_KINDS = {SERVICES: "Service", REVISIONS: "Revision"}
_PATCHES: dict[str, Callable[[Any, Any], Any]] = {
    "application/merge-patch+json": patch.merge,
    "application/json-patch+json": patch.apply,
}
_BODY_LIMIT = 3 << 20  # etcd's own is 1.5 MiB


def application(store: Store, token: str) -> web.Application:
    """Build the application. All of its routes, including those added later, require the token."""
    app = web.Application(middlewares=[_failures(token)], client_max_size=_BODY_LIMIT)
    handlers = _Handlers(store)
    app.add_routes(discovery())
    for resource in _KINDS:
        for root in (f"{_ROOT}/{resource}", f"{_ROOT}/namespaces/{{namespace}}/{resource}"):
            app.router.add_get(root, handlers.read_all(resource))
            app.router.add_post(root, handlers.create(resource))
        one = f"{_ROOT}/namespaces/{{namespace}}/{resource}/{{name}}"
        app.router.add_get(one, handlers.read(resource))
        app.router.add_get(f"{one}/status", handlers.read(resource))
        app.router.add_put(one, handlers.replace(resource))
        app.router.add_patch(one, handlers.patch(resource))
        app.router.add_delete(one, handlers.delete(resource))
    return app


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

    return handle


class _Handlers:
    """Handlers of the API's verbs: each method makes the handler for one resource."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read_all(self, resource: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            selects = _selection(request)
            if request.query.get("watch", "").lower() in ("true", "1"):
                return await self._watch(request, resource, selects)
            items = [item for item in self._store.list(resource) if selects(item)]
            metadata = {"resourceVersion": str(self._store.version)}
            return _json({"apiVersion": SERVING, "kind": f"{_KINDS[resource]}List", "metadata": metadata, "items": items})

        return handle

    def read(self, resource: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            return _json(self._get(resource, request))

        return handle

    def create(self, resource: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            if resource == REVISIONS:
                raise StatusError(405, "MethodNotAllowed", "a revision is created by a change of its service's template")
            given = _in_namespace(await _object(request), request)
            item = admit_service(given, parse_service(given))
            item["metadata"].pop("resourceVersion", None)
            return _json(item if _is_dry_run(request) else self._store.create(resource, item), 201)

        return handle

    def replace(self, resource: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            item = await _object(request)
            if not (item.get("metadata") or {}).get("resourceVersion"):
                raise StatusError.unversioned(resource, request.match_info["name"])
            return _json(self._update(resource, item, request))

        return handle

    def patch(self, resource: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            change = _PATCHES.get(request.content_type)
            if change is None:
                message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(_PATCHES)}"
                raise StatusError(415, "UnsupportedMediaType", message)
            old = self._get(resource, request)
            try:
                return _json(self._update(resource, change(old, await _body(request)), request))
            except UnknownField as failure:
                raise failure.in_patch() from None

        return handle

    def delete(self, resource: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            item = self._get(resource, request)
            if not _is_dry_run(request):
                self._store.delete(resource, request.match_info["name"])
            details = {"name": request.match_info["name"], "group": SERVING_GROUP, "kind": resource, "uid": item["metadata"]["uid"]}
            return _json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})

        return handle

    def _get(self, resource: str, request: web.Request) -> Object:
        return self._store.get(resource, request.match_info["name"], request.match_info["namespace"])

    def _update(self, resource: str, item: Any, request: web.Request) -> Object:
        old = self._get(resource, request)
        _check_identity(item, old)
        # Before validation, so that a writer with an old version gets the conflict first.
        self._store.check_version(resource, item)
        admitted = admit_service(item, parse_service(item), old) if resource == SERVICES else admit_revision(item, old)
        return admitted if _is_dry_run(request) else self._store.update(resource, admitted)

    async def _watch(self, request: web.Request, resource: str, selects: Predicate) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        seconds = request.query.get("timeoutSeconds", "")
        try:
            async with asyncio.timeout(int(seconds) if seconds.isdigit() and int(seconds) else None):
                async with aclosing(self._events(resource, request.query.get("resourceVersion", ""), selects)) as events:
                    async for event in events:
                        await response.write(orjson.dumps(event) + b"\n")
        except TimeoutError:
            await response.write_eof()
        except ConnectionError:
            pass  # the client has disconnected
        return response

    async def _events(self, resource: str, since: str, selects: Predicate) -> AsyncGenerator[Object]:
        """Yield the events of a watch. Without a version, or with 0, the existing objects are sent first.

        For this watcher, an object that no longer matches is DELETED.
        """
        start = int(since) if since.isdigit() else 0
        seen: set[str] = {item["metadata"]["name"] for item in self._store.list(resource) if selects(item)}
        if start == 0:
            start = self._store.version
            for item in (item for item in self._store.list(resource) if selects(item)):
                yield {"type": "ADDED", "object": item}
        try:
            async for change in self._store.watch(resource, start):
                type_ = _event_type(change, selects(change.object), seen)
                if type_:
                    yield {"type": type_, "object": change.object}
        except StatusError as failure:
            yield {"type": "ERROR", "object": failure.to_json()}


def _event_type(change: Change, matches: bool, seen: set[str]) -> str | None:
    name = change.object["metadata"]["name"]
    known = name in seen
    if change.type == "DELETED" or not matches:
        seen.discard(name)
        return "DELETED" if known else None
    seen.add(name)
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
        raise StatusError.bad_request("the body is not a JSON object", remedy="send a Knative Service")
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
