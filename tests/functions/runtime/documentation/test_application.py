from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from functions.runtime import documentation
from functions.runtime.documentation.application import build
from functions.runtime.documentation.model_spec import ModelSpec
from functions.runtime.documentation.openapi import document

Describe = Callable[..., ModelSpec]


@pytest.fixture(scope="module")
def app(describe: Describe) -> FastAPI:
    return build([describe(), describe(version="1")], management=True)


async def call(app: FastAPI, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    """Send a request; returns the status, the content type and the body."""
    sent: list[Any] = []
    received = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if not received:
            await asyncio.Event().wait()  # the client stays connected
        return received.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [], "root_path": "", "http_version": "1.1"}
    await app(scope, receive, send)
    headers = dict(sent[0]["headers"])
    return sent[0]["status"], headers.get(b"content-type", b"").decode(), b"".join(message.get("body", b"") for message in sent[1:])


async def test_the_document_and_its_page_are_served(app: FastAPI, describe: Describe) -> None:
    status, content_type, body = await call(app, "/openapi.json")
    assert (status, content_type) == (200, "application/json")
    assert orjson.loads(body) == document([describe(), describe(version="1")], management=True)
    status, content_type, body = await call(app, "/docs")
    assert (status, content_type.partition(";")[0]) == (200, "text/html")


async def test_page_loads_no_external_resources(app: FastAPI) -> None:
    page = (await call(app, "/docs"))[2].decode()
    assert "://" not in page
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert f"/docs/static/{asset}" in page
        status, _, body = await call(app, f"/docs/static/{asset}")
        assert (status, len(body) > 100_000) == (200, True)


async def test_each_schema_is_listed_and_served_at_its_path(app: FastAPI) -> None:
    listed = orjson.loads((await call(app, "/schemas"))[2])
    assert "/schemas/loans/request.json" in listed
    assert "/schemas/loans/versions/1/response.json" in listed
    for path in listed:
        status, content_type, body = await call(app, path)
        assert (status, content_type, orjson.loads(body)["$id"]) == (200, "application/schema+json", path)


@pytest.mark.parametrize(
    ("path", "method", "status", "sentence"),
    [
        ("/schemas/nothing.json", "GET", 404, "no route for /schemas/nothing.json."),
        ("/docs/static/nothing.js", "GET", 404, "no route for /docs/static/nothing.js."),
        ("/openapi.json", "POST", 405, "method POST not allowed for /openapi.json."),
        ("/schemas", "DELETE", 405, "method DELETE not allowed for /schemas."),
    ],
)
async def test_errors_have_the_format_of_the_function(path: str, method: str, status: int, sentence: str, app: FastAPI) -> None:
    found, _, body = await call(app, path, method)
    assert (found, orjson.loads(body)) == (status, {"error": sentence})


def test_served_paths_are_recognized() -> None:
    for path in ("/docs", "/docs/static/swagger-ui.css", "/openapi.json", "/schemas", "/schemas/loans/request.json"):
        assert documentation.serves(path)
    for path in ("/", "/docsx", "/v2/models/docs", "/models/schemas"):
        assert not documentation.serves(path)
