"""The process of a model function: settings from the environment, models, a server."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping

from eventing.errors import TidegateError
from eventing.listening import listen
from functions.runtime import artifact
from functions.runtime.artifact import Loaded
from functions.runtime.dataplane import DataPlane
from functions.runtime.dataplane import Limits as RowLimits
from functions.runtime.fetching import Policy
from functions.runtime.http.app import App
from functions.runtime.http.call import Limits
from functions.runtime.http.cors import with_cors
from functions.runtime.http.hosts import with_hosts
from functions.runtime.observing.metrics import Metrics, Reading
from functions.runtime.observing.observers import observing
from functions.runtime.observing.process import age_seconds
from functions.runtime.observing.settings import ObservingSettings
from functions.runtime.server import log_to_stderr, serve
from functions.runtime.settings import Settings

log = logging.getLogger("tidegate.function")

# Told when the function can be called: the data plane, and the socket that it listens on.
Ready = Callable[[DataPlane, socket.socket], None]


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Serve what TIDEGATE_MODEL names. Returns the exit status: 1 when a model or a setting cannot be used."""
    return run(environ, _log_ready)


def run(environ: Mapping[str, str], ready: Ready, *, port_option: str = "PORT") -> int:
    metrics = Metrics()
    _note_imports(metrics)
    try:
        settings = Settings.from_env(environ)
        observing_settings = ObservingSettings.from_env(environ)
        log_to_stderr(settings.log_level)
        plane = _load(settings, Policy.from_env(environ), metrics)
        began = time.perf_counter()
        listener = listen(settings.port, settings.host, option=port_option)
        metrics.started("listen", time.perf_counter() - began)
    except TidegateError as error:
        print(f"tidegate: {error}", file=sys.stderr)
        return 1
    with observing(observing_settings, metrics) as observers:
        app = App(plane, _limits(settings), observers)
        metrics.watch(Reading("tidegate_requests_in_flight", "Requests that are being answered.", lambda: app.in_flight))
        metrics.watch(Reading("tidegate_rows_waiting", "Rows that wait for a prediction, or are in one.", lambda: plane.waiting_rows))
        ready(plane, listener)
        # A parser makes a million objects in one go, and the collector would stop everything to look at them again and again.
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        guarded = with_hosts(with_cors(app, settings.cors_origins), settings.allowed_hosts, settings.cors_origins)
        return serve(guarded, listener, drain_seconds=settings.drain_seconds, body_seconds=settings.timeout_seconds)


def _load(settings: Settings, policy: Policy, metrics: Metrics) -> DataPlane:
    began = time.perf_counter()
    models = artifact.load_all(settings.model, policy)
    limits = RowLimits(request_rows=settings.max_rows, waiting_rows=settings.max_waiting_rows)
    plane = DataPlane([(model, _reload(model, policy)) for model in models], metrics, limits, control=settings.model_control)
    metrics.started("load", time.perf_counter() - began)
    return plane


def _reload(model: Loaded, policy: Policy) -> Callable[[], Loaded]:
    return lambda: artifact.load(model.source, policy)


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.max_body_bytes,
        settings.max_json_bytes,
        settings.max_waiting_bytes,
        settings.max_waiting_requests,
        settings.timeout_seconds,
    )


def _note_imports(metrics: Metrics) -> None:
    """All that is imported before the first line of `main` runs: the interpreter's start and the modules of the function."""
    age = age_seconds()
    if age is not None:
        metrics.started("imports", age)


def _log_ready(plane: DataPlane, listener: socket.socket) -> None:
    names = ", ".join(f"{slot.name} {slot.version or ''}".strip() for slot in plane.slots)
    age = age_seconds()
    log.info(
        "serving %s on port %d, %s after its start", names, listener.getsockname()[1], "ready" if age is None else f"{1e3 * age:.0f} ms"
    )
