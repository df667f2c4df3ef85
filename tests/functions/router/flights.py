"""The model flights as the router finds it: its Knative Service, its revisions, and requests to it."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from eventing.codecs.json import BATCH_MEDIA_TYPE
from functions.router.assignment import assign
from functions.runtime.knative.traffic import model_of

KEYS = [f"N{number}" for number in range(200)]
BATCH = {"content-type": BATCH_MEDIA_TYPE}
INFER = "/v2/models/flights/infer"


def service(port: int, *shares: tuple[str, int] | str, name: str = "flights") -> dict[str, Any]:
    """The Knative Service with a revision for each tag and percentage; without percentages, the shares are equal."""
    equal = [100 // len(shares) + (index < 100 % len(shares)) for index in range(len(shares))]
    pairs = [(share, percent) if isinstance(share, str) else share for share, percent in zip(shares, equal, strict=True)]
    traffic = [{"revisionName": f"{name}-{tag}", "tag": tag, "percent": percent} for tag, percent in pairs]
    status = {"address": {"url": f"http://{name}.localhost:{port}"}, "traffic": traffic}
    return {"metadata": {"name": name}, "spec": {}, "status": status}


def owner(entry: dict[str, Any], key: str) -> str:
    """The tag of the revision that a key is assigned to."""
    model = model_of(entry)
    return assign(model.split, model.salt, key.encode()).arm.tags[0]


def batch(count: int) -> bytes:
    return orjson.dumps([{"specversion": "1.0", "id": str(n), "source": "/s", "type": "t", "subject": f"k{n}"} for n in range(count)])


def rows(count: int) -> bytes:
    column = {"name": "x", "shape": [count], "datatype": "FP32", "data": [1.0] * count}
    return orjson.dumps({"parameters": {"routing_keys": [f"k{n}" for n in range(count)]}, "inputs": [column]})


async def echo(request: web.Request) -> web.StreamResponse:
    """A revision that replies with the request that it got."""
    seen = {"host": request.host, "path": request.raw_path, "method": request.method, "body": (await request.read()).decode()}
    return web.json_response({**seen, "headers": {name.lower(): value for name, value in request.headers.items()}}, headers={"X-Own": "1"})


async def score(request: web.Request) -> web.StreamResponse:
    """A revision that answers events and tensors with its tag, which is part of the host."""
    tag, body = request.host.partition("-")[0], orjson.loads(await request.read())
    if isinstance(body, list):
        replies = [{"id": f"r{item['id']}", "source": "/models/flights", "type": "done", "data": [tag, item["id"]]} for item in body]
        return web.Response(body=orjson.dumps(replies), content_type=BATCH_MEDIA_TYPE)
    column = body["inputs"][0]
    outputs = [{"name": "late", "shape": [len(column["data"])], "datatype": "FP32", "data": [value * 2 for value in column["data"]]}]
    return web.json_response({"model_name": "flights", "model_version": tag, "id": body["id"], "outputs": outputs})


async def measure(request: web.Request) -> web.StreamResponse:
    """A revision that replies with the size of the body."""
    return web.json_response({"bytes": len(await request.read())})


async def respond(request: web.Request) -> web.StreamResponse:
    """A revision that refuses a body with the word bad, and has an OpenAPI document."""
    if request.path == "/openapi.json":
        return web.json_response({"openapi": "3.1.0", "info": {"title": "flights", "version": "1"}, "paths": {}})
    return web.json_response({"path": request.raw_path}, status=400 if b"bad" in await request.read() else 200)
