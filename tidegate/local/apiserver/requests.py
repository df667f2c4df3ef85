"""What a request to the API asks for: its object, its patch, its selection; and responses in JSON."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from tidegate.local.apiserver.selector import Predicate, predicate
from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE
from tidegate.local.objects.validation import Object


def selection(request: web.Request, plural: str) -> Predicate:
    """The objects of a list or a watch of a resource, by namespace and selectors."""
    selected = predicate(request.query.get("labelSelector"), request.query.get("fieldSelector"), plural)
    namespace = request.match_info.get("namespace")
    return lambda item: namespace in (None, item["metadata"]["namespace"]) and selected(item)


async def body_of(request: web.Request) -> Any:
    """The body as a JSON value. Raises StatusError 400."""
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise StatusError.bad_request(f"the body is not JSON: {error}.") from None


async def object_of(request: web.Request) -> Object:
    """The body as an object whose metadata, if there, is a mapping. Raises StatusError 400."""
    value = await body_of(request)
    if not isinstance(value, dict):
        raise StatusError.bad_request("the body is not a JSON object", remedy="send a Kubernetes object")
    if not isinstance(value.get("metadata") or {}, dict):
        raise StatusError.bad_request("the metadata of the object is not a mapping", remedy="send a Kubernetes object")
    return value


def in_namespace(item: Object, request: web.Request) -> Object:
    """The object in the namespace of the URL. Raises StatusError 400 if it names another one."""
    namespace = request.match_info.get("namespace", DEFAULT_NAMESPACE)
    metadata = item.get("metadata") or {}
    if metadata.get("namespace", namespace) != namespace:
        given = f"{metadata['namespace']} is not {namespace}"
        raise StatusError.bad_request(f"the namespace of the provided object does not match the namespace sent on the request ({given})")
    return {**item, "metadata": {**metadata, "namespace": namespace}}


def check_identity(item: Any, old: Object) -> None:
    """Raise StatusError 400 for a new version of an object that has another name or namespace."""
    if not isinstance(item, dict) or not isinstance(item.get("metadata"), dict):
        raise StatusError.bad_request("the object has no metadata", remedy="send the whole object, or a patch of it")
    for field in ("name", "namespace"):
        given = item["metadata"].setdefault(field, old["metadata"][field])
        if given != old["metadata"][field]:
            raise StatusError.bad_request(
                f"the {field} of the object ({given}) does not match the {field} on the URL ({old['metadata'][field]})"
            )


def is_dry_run(request: web.Request) -> bool:
    return "dryRun" in request.query


def json_response(value: Object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
