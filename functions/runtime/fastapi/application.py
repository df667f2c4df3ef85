"""The FastAPI application around a model function: the function's own routes first, then the added ones."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.params import Depends

from common.errors import TidegateError
from functions.runtime.documentation.openapi import document
from functions.runtime.errors import InvalidModel, sentence_of, status_of
from functions.runtime.fastapi import openapi
from functions.runtime.fastapi.inference import InferenceRoute
from functions.runtime.fastapi.model import Model
from functions.runtime.function import Function, assemble

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Any]]


class Application(FastAPI):
    """A FastAPI application that serves models, made by `create_app`.

    Routes, dependencies, middleware, exception handlers and background tasks are added as to any FastAPI application.
    """

    def __init__(self, function: Function, dependencies: Sequence[Depends], lifespan: Lifespan | None, **options: Any) -> None:
        self.function = function
        self.models: Mapping[str, Model] = {name: Model(function.plane, name) for name in function.plane.names}
        options.setdefault("title", ", ".join(self.models))
        options.setdefault("version", function.plane.entries[0].version or "0")
        # The page at /docs is the function's own, which works without the internet; it shows this application's
        # document.
        super().__init__(dependencies=dependencies, lifespan=_lifespan(function, lifespan), docs_url=None, redoc_url=None, **options)
        self._inference = InferenceRoute(function.app, dependencies, self)
        self.router.routes.insert(0, self._inference)
        # Paths without a route are answered by the function, with its error messages.
        self.router.default = self._inference.handle
        self.add_exception_handler(TidegateError, _on_domain_error)

    @property
    def model(self) -> Model:
        """The only model of the function. Raises InvalidModel if it serves several."""
        if len(self.models) > 1:
            remedy = f"name one: app.models[{next(iter(self.models))!r}]"
            raise InvalidModel(f"this function serves {', '.join(self.models)}", remedy=remedy)
        return next(iter(self.models.values()))

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document of the models' operations and of the added routes."""
        if not self.openapi_schema:
            plane = self.function.plane
            models = document([model_spec for model in self.models.values() for model_spec in model.specs], management=plane.control)
            self.openapi_schema = openapi.merged(super().openapi(), openapi.secured(models, self._inference.security()))
        return self.openapi_schema


def create_app(
    model: str | os.PathLike[str] | None = None,
    *,
    dependencies: Sequence[Depends] = (),
    lifespan: Lifespan | None = None,
    environ: Mapping[str, str] = os.environ,
    **options: Any,
) -> Application:
    """Make a FastAPI application that serves one or several models.

    `model`, by default TIDEGATE_MODEL, is a folder with a `model.yaml` or with several such folders, a `model.yaml`, or
    an artifact alone. `dependencies` are resolved before every call of a model or of an added route, but not for health
    probes and /metrics. `lifespan` and `options` are FastAPI's. Raises InvalidModel and InvalidSetting.
    """
    if model is not None:
        environ = {**environ, "TIDEGATE_MODEL": os.fspath(model)}
    return Application(assemble(environ), dependencies, lifespan, **options)


def _lifespan(function: Function, own: Lifespan | None) -> Lifespan:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        with function.observers:
            async with contextlib.nullcontext() if own is None else own(app) as state:
                yield state
            function.app.close()

    return lifespan


async def _on_domain_error(_: Request, error: Exception) -> Response:
    """Answer an error of a handler's `model.predict` like the function's own routes do."""
    assert isinstance(error, TidegateError)  # noqa: S101 the exception class of the registration
    return Response(orjson.dumps({"error": sentence_of(error)}), status_of(error), media_type="application/json")
