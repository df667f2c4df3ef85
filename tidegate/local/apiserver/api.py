"""The Kubernetes API for the kinds that `tidegate up` runs, over HTTP.

The official `kubernetes` client and kubectl work with it unchanged, by the kubeconfig that has its token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from tidegate.local.apiserver import access, events
from tidegate.local.apiserver.discovery import discovery
from tidegate.local.apiserver.handlers import Handlers
from tidegate.local.apiserver.openapi import openapi
from tidegate.local.apiserver.requests import json_response
from tidegate.local.apiserver.resources import RESOURCES, Mutate
from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.apiserver.store import Store
from tidegate.local.objects.kinds import api_root

_BODY_LIMIT = 3 << 20  # etcd's own is 1.5 MiB


def application(store: Store, token: str, mutate: Mutate) -> web.Application:
    """Build the application. All of its routes, including those added later, require the token.

    `mutate` changes objects that clients send before their admission.
    """
    events.bound(store)
    app = web.Application(middlewares=[_failures(token)], client_max_size=_BODY_LIMIT)
    app.add_routes([*discovery(), *openapi()])
    for resource in RESOURCES.values():
        for version in resource.kind.api_versions:
            _add_routes(app.router, api_root(version), Handlers(store, resource, version, mutate))
    return app


def _add_routes(router: web.UrlDispatcher, root: str, handlers: Handlers) -> None:
    plural = handlers.resource.kind.plural
    for path in (f"{root}/{plural}", f"{root}/namespaces/{{namespace}}/{plural}"):
        router.add_get(path, handlers.read_all)
        router.add_post(path, handlers.create)
    one = f"{root}/namespaces/{{namespace}}/{plural}/{{name}}"
    router.add_get(one, handlers.read)
    router.add_put(one, handlers.replace)
    router.add_patch(one, handlers.patch)
    router.add_delete(one, handlers.delete)
    # Controllers write the status; a client only reads it.
    router.add_get(f"{one}/status", handlers.read)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _failures(token: str) -> Middleware:
    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            access.check(request, token)
            return await handler(request)
        except StatusError as failure:
            return json_response(failure.to_json(), failure.code)
        except web.HTTPNotFound:
            return json_response(StatusError(404, "NotFound", "the server could not find the requested resource").to_json(), 404)
        except web.HTTPMethodNotAllowed:
            message = "the server does not allow this method on the requested resource"
            return json_response(StatusError(405, "MethodNotAllowed", message).to_json(), 405)
        except web.HTTPRequestEntityTooLarge:
            return json_response(StatusError(413, "RequestEntityTooLarge", "the object is too large").to_json(), 413)
        except RecursionError:
            return json_response(StatusError.bad_request("the object is nested too deeply", remedy="send a smaller one").to_json(), 400)

    return handle
