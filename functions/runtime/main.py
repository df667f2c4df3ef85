"""The process of a model function: settings from the environment, a model, a server."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping

from eventing.errors import TidegateError
from eventing.listening import listen
from functions.runtime import artifact
from functions.runtime.app import build
from functions.runtime.dataplane import DataPlane
from functions.runtime.server import log_to_stderr, serve
from functions.runtime.settings import Settings

log = logging.getLogger("tidegate.function")


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Serve the model that TIDEGATE_MODEL names. Returns the exit status: 1 when the model or a setting cannot be used."""
    started = time.perf_counter()
    try:
        settings = Settings.from_env(environ)
        log_to_stderr(settings.log_level)
        plane = DataPlane(artifact.load(settings.model))
        listener = listen(settings.port, settings.host)
    except TidegateError as error:
        print(f"tidegate: {error}", file=sys.stderr)
        return 1
    card = plane.card
    log.info(
        "serving %s %s on port %d, loaded in %.0f ms",
        card.name,
        card.version or "",
        listener.getsockname()[1],
        1e3 * (time.perf_counter() - started),
    )
    return serve(build(plane, settings.max_body_bytes), listener, drain_seconds=settings.drain_seconds)
