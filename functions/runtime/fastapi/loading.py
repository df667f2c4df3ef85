"""Loading the application of a function's own module `app`."""

from __future__ import annotations

from importlib import import_module

from functions.runtime.errors import InvalidModel
from functions.runtime.fastapi.application import Application


def load(module: str) -> Application:
    """Import a module such as `functions.flights.app`. Raises InvalidModel when its `app` was not made by `create_app`.

    An error of the module itself is raised as it is: its traceback leads to the line.
    """
    app = getattr(import_module(module), "app", None)
    if not isinstance(app, Application):
        raise InvalidModel(
            f"the module {module} has no application named app that create_app made; write app = create_app()"
            " (from functions.runtime.fastapi import create_app), or remove the module."
        )
    return app
