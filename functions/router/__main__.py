"""The process of the router: `python -m functions.router`."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Mapping
from functools import partial

from common.process import run_process
from common.redaction import redact_url
from common.sockets import listen
from functions.router import waking
from functions.router.settings import Settings
from functions.runtime.http.cors import with_cors
from functions.runtime.knative.client import Access
from functions.runtime.memory import return_large_blocks

log = logging.getLogger("tidegate.router")

# The parser takes about this for a batch of 256 events.
_PARSED_BYTES = 4 * 1024 * 1024


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM.

    Returns the exit status: 1 when a setting is invalid or no Kubernetes API is configured.
    """
    return run_process(partial(_run, environ), environ)


def _run(environ: Mapping[str, str]) -> int:
    settings = Settings.from_env(environ)
    access = Access.from_env(environ)
    listener = listen(settings.port, settings.host)
    log.info("routing the models of namespace %s (%s) on port %d", access.namespace, redact_url(access.url), listener.getsockname()[1])
    waking.start(access)
    # Imported now, since this takes longer than all before.
    from functions.router.app import build
    from functions.runtime.http.server import serve

    app = with_cors(build(settings, access), settings.cors_origins)
    return_large_blocks(_PARSED_BYTES)
    # A parser makes a million objects at once, and the garbage collector would stop everything to traverse them again
    # and again.
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    # Seconds that each iteration of the event loop waits for a thread that splits or joins; the default is 10 times as
    # many.
    sys.setswitchinterval(0.0005)
    return serve(
        app,
        listener,
        drain_seconds=settings.drain_seconds,
        body_seconds=settings.body_seconds,
        write_seconds=settings.request_seconds,  # replies are streamed from a revision, which may take this long
    )


if __name__ == "__main__":
    sys.exit(main())
