"""The process of the rollout function: `python -m functions.rollout`."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import closing
from functools import partial

from common.environ import Environ
from common.process import run_process
from common.redaction import redact_url
from common.sockets import listen
from functions.rollout.app import build
from functions.rollout.cluster import Cluster
from functions.rollout.settings import RolloutSettings
from functions.rollout.sink import Sink
from functions.runtime.http.server import serve
from functions.runtime.knative.client import Access

log = logging.getLogger("tidegate.rollout")


def main(environ: Environ = os.environ) -> int:
    """Serve until SIGTERM.

    Returns the exit status: 1 when a setting is invalid or no Kubernetes API is configured.
    """
    return run_process(partial(_run, environ), environ)


def _run(environ: Environ) -> int:
    settings = RolloutSettings.from_env(environ)
    access = Access.from_env(environ)
    listener = listen(settings.port, settings.host)
    port = listener.getsockname()[1]
    log.info("deciding on rollouts of namespace %s (%s) on port %d", access.namespace, redact_url(access.url), port)
    sink = Sink(settings.sink) if settings.sink else None
    with closing(Cluster(access)) as cluster:
        return serve(build(cluster, sink), listener, drain_seconds=settings.drain_seconds)


if __name__ == "__main__":
    sys.exit(main())
