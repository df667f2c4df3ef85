"""The FastAPI application of what `documentation.PATHS` names.

Importing it takes a third of a second: do so in a thread, when one of them is first asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import orjson
from fastapi import FastAPI, Request, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from functions.runtime.documentation.model_spec import Described
from functions.runtime.documentation.openapi import SCHEMA_MEDIA_TYPE, document, schema_documents
from functions.runtime.errors import method_not_allowed, no_route

_UI = {
    "validatorUrl": None,  # else the page would send the document's address to a validator on the internet
    "displayRequestDuration": True,
    "defaultModelsExpandDepth": -1,  # /schemas tells it better
}


def build(described: Sequence[Described], *, management: bool = False) -> FastAPI:
    """The application; of several versions of a model, the first is the one that answers where no version is named.

    `management` is whether models may be loaded and unloaded here.
    """
    found = document(described, management=management)
    app = FastAPIOffline(
        title=found["info"]["title"],
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/static",  # Swagger UI comes with the package: the page needs no internet
        swagger_ui_parameters=_UI,
        exception_handlers={HTTPException: _on_http_error},
    )
    app.openapi = lambda: found  # type: ignore[method-assign] # as FastAPI's manual has it ("Extending OpenAPI")
    schemas = schema_documents(described)
    _add(app, "/schemas", list(schemas), "application/json")
    for path, schema in schemas.items():
        _add(app, path, schema, SCHEMA_MEDIA_TYPE)
    return app


def _add(app: FastAPI, path: str, value: object, media_type: str) -> None:
    app.add_route(path, partial(_answer, orjson.dumps(value), media_type))


async def _answer(content: bytes, media_type: str, _: Request) -> Response:
    return Response(content, media_type=media_type)


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    """As every other route of the function says it."""
    path = request.url.path
    sentences = {404: no_route(path), 405: method_not_allowed(request.method, path)}
    body = {"error": sentences.get(error.status_code, error.detail)}
    return Response(orjson.dumps(body), error.status_code, error.headers, media_type="application/json")
