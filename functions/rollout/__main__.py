"""The process of the rollout function: `python -m functions.rollout`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from functools import partial

from common.process import run_process
from common.redaction import redact_url
from common.sockets import listen
from functions.rollout.app import build
from functions.rollout.settings import Settings
from functions.runtime.http.server import serve
from functions.runtime.knative.client import Access

log = logging.getLogger("tidegate.rollout")


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Serve until SIGTERM.

    Returns the exit status: 1 when a setting is invalid or no Kubernetes API is configured.
    """
    return run_process(partial(_run, environ), environ)


def _run(environ: Mapping[str, str]) -> int:
    settings = Settings.from_env(environ)
    access = Access.from_env(environ)
    listener = listen(settings.port, settings.host)
    log.info("rollouts of namespace %s (%s), on port %d", access.namespace, redact_url(access.url), listener.getsockname()[1])
    if settings.sink is None:
        log.warning("K_SINK is not set: decisions are Events of Kubernetes, but no CloudEvents")
    return serve(build(settings, access), listener, drain_seconds=settings.drain_seconds)


if __name__ == "__main__":
    sys.exit(main())
