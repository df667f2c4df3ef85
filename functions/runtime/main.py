"""The process of a model function: settings from the environment, models, a server."""

from __future__ import annotations

import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from common.process import run_process
from common.sockets import listen
from functions.runtime.authentication import settings as authentication
from functions.runtime.function import Function, assemble
from functions.runtime.http.asgi import Application
from functions.runtime.http.cors import with_cors
from functions.runtime.http.hosts import with_hosts
from functions.runtime.http.server import serve
from functions.runtime.inference.registry import DataPlane
from functions.runtime.observability.process import age_seconds

if TYPE_CHECKING:
    from functions.runtime.fastapi import Application as FastAPIApplication

log = logging.getLogger("tidegate.function")

# Called when the function can be called, with the data plane and the socket that it listens on.
Ready = Callable[[DataPlane, socket.socket], None]


def main(environ: Mapping[str, str] = os.environ, *, package: str | None = None) -> int:
    """Serve the models of TIDEGATE_MODEL until SIGTERM.

    Returns the exit status: 1 when a model or a setting cannot be used.

    `package` is the package of the function, such as `functions.flights`: if it has a module `app`, that module's `app`
    is served.
    """
    return run(environ, _log_ready, package=package)


def run(
    environ: Mapping[str, str], ready: Ready, *, port_option: str = "PORT", host_option: str = "TIDEGATE_HOST", package: str | None = None
) -> int:
    listening = partial(listen, option=port_option, host_option=host_option)
    return run_process(partial(_run, environ, ready, listening, package, age_seconds()), environ)


def _run(
    environ: Mapping[str, str],
    ready: Ready,
    listening: Callable[[int, str], socket.socket],
    package: str | None,
    imports: float | None,
) -> int:
    """Serve until SIGTERM. `imports`: seconds before the first line of this ran, the interpreter's start included."""
    with ExitStack() as stack:
        function, app = _function(environ, package)
        settings, metrics = function.settings, function.observers.metrics
        # Outside of authentication: a browser sends preflights without credentials.
        guarded = with_cors(_authenticated(app, environ), settings.cors_origins)
        guarded = with_hosts(guarded, settings.allowed_hosts, settings.cors_origins)
        if imports is not None:
            metrics.started("imports", imports)
        began = time.perf_counter()
        listener = listening(settings.port, settings.host)
        metrics.started("listen", time.perf_counter() - began)
        if app is function.app:  # a FastAPI application does this in its lifespan
            stack.enter_context(function.observers)
        ready(function.plane, listener)
        # A parser makes a million objects at once, and the garbage collector would stop everything to traverse them
        # again and again.
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        return serve(guarded, listener, drain_seconds=settings.drain_seconds, body_seconds=settings.timeout_seconds)


def _function(environ: Mapping[str, str], package: str | None) -> tuple[Function, Application]:
    """The function, and the application that serves it: its own, or the FastAPI application around it."""
    if package is None or find_spec(f"{package}.app") is None:
        function = assemble(environ)
        return function, function.app
    # Imported only here: most functions have no such module, and importing FastAPI takes longer than all the rest.
    load = import_module("functions.runtime.fastapi.loading").load
    app: FastAPIApplication = load(f"{package}.app")
    return app.function, app


def _authenticated(app: Application, environ: Mapping[str, str]) -> Application:
    if not authentication.is_required(environ):
        return app
    from functions.runtime.http.authentication import authenticated

    return authenticated(app, environ)


def _log_ready(plane: DataPlane, listener: socket.socket) -> None:
    names = ", ".join(f"{entry.name} {entry.version or ''}".strip() for entry in plane.entries)
    age = age_seconds()
    log.info(
        "serving %s on port %d, %s after its start", names, listener.getsockname()[1], "ready" if age is None else f"{1e3 * age:.0f} ms"
    )
