"""The FastAPI application of `documentation.PATHS`.

Importing it takes a third of a second; import it in a thread, at the first request of one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import orjson
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from functions.runtime.documentation.model_spec import ModelSpec
from functions.runtime.documentation.openapi import SCHEMA_MEDIA_TYPE, document, schema_documents
from functions.runtime.errors import method_not_allowed, no_route

_UI = {
    "validatorUrl": None,  # otherwise the page sends the document's address to a validator on the internet
    "displayRequestDuration": True,
    "defaultModelsExpandDepth": -1,  # /schemas shows them better
}


def build(specs: Sequence[ModelSpec], *, management: bool = False) -> FastAPI:
    """Build the application; the first of several versions of a model answers by default.

    `management` is whether callers may load and unload models.
    """
    found = document(specs, management=management)
    app = FastAPIOffline(
        title=found["info"]["title"],
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/static",  # Swagger UI is part of the package, so that the page works without the internet
        swagger_ui_parameters=_UI,
        exception_handlers={HTTPException: _on_http_error},
    )
    app.openapi = lambda: found  # type: ignore[method-assign] # as in FastAPI's manual ("Extending OpenAPI")
    schemas = schema_documents(specs)
    _add(app, "/schemas", list(schemas), "application/json")
    for path, schema in schemas.items():
        _add(app, path, schema, SCHEMA_MEDIA_TYPE)
    return app


def _add(app: FastAPI, path: str, value: object, media_type: str) -> None:
    app.add_route(path, partial(_answer, orjson.dumps(value), media_type))


async def _answer(content: bytes, media_type: str, _: Request) -> Response:
    return Response(content, media_type=media_type)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    """Answer an error like the function's other routes."""
    path = request.url.path
    sentences = {404: no_route(path), 405: method_not_allowed(request.method, path)}
    body = {"error": sentences.get(error.status_code, error.detail)}
    return Response(orjson.dumps(body), error.status_code, error.headers, media_type="application/json")
