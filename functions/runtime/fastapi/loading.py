"""Loading the FastAPI application of a function's module `app`."""

from __future__ import annotations

from importlib import import_module

from functions.runtime.errors import InvalidModel
from functions.runtime.fastapi.application import Application


def load(module: str) -> Application:
    """Import a module such as `functions.flights.app` and return its application.

    Raises InvalidModel if its `app` was not made by `create_app`, and any error of the module itself.
    """
    app = getattr(import_module(module), "app", None)
    if not isinstance(app, Application):
        raise InvalidModel(
            f"the module {module} has no application named app that create_app made",
            remedy="write app = create_app() (from functions.runtime.fastapi import create_app), or remove the module",
        )
    return app
