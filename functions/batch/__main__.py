"""`python -m functions.batch`: the process of a batch Job, whose request is the event that a JobSink mounts."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

from common.environ import Environ
from common.process import run_process
from eventing.codecs import json
from functions.batch.errors import InvalidRequest
from functions.batch.job import Progress, run
from functions.batch.request import BatchRequest, request_of
from functions.batch.settings import BatchSettings
from functions.batch.storage.paths import check_path

_REPORT_SECONDS = 5.0

log = logging.getLogger("tidegate.batch")


class _Reporter:
    """A log line of progress every few seconds, and one at the end."""

    def __init__(self) -> None:
        self._next = _REPORT_SECONDS

    def __call__(self, progress: Progress) -> None:
        if progress.seconds >= self._next or progress.rows == progress.total_rows:
            self._next = progress.seconds + _REPORT_SECONDS
            rate = progress.rows / max(progress.seconds, 1e-9)
            log.info("%d of %d rows scored, %.0f rows/s", progress.rows, progress.total_rows, rate)


def main(environ: Environ = os.environ) -> int:
    """Run the batch; return the exit status: 0 when the output is complete, else 1."""
    return run_process(partial(_run, environ), environ)


def _run(environ: Environ) -> int:
    try:
        asyncio.run(_until_stopped(BatchSettings.from_env(environ)))
    except (asyncio.CancelledError, KeyboardInterrupt):
        log.warning("stopped before the end; nothing was written")
        return 1
    return 0


async def _until_stopped(settings: BatchSettings) -> None:
    """Run the batch. Raises CancelledError on SIGTERM, so that no partial output remains."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 this is a coroutine
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    request = _mounted_request(settings.event_path)
    for path in (request.input, request.output):
        check_path(path, settings.folders)
    log.info("scoring %s with %s into %s", request.input, request.model, request.output)
    summary = await run(request, url=settings.router_url, progress=_Reporter(), limits=settings.limits, allowed=settings.folders)
    by = ", ".join(f"{rows} by {revision}" for revision, rows in sorted(summary.revisions.items()))
    log.info("done: %d rows in %.1f s%s", summary.rows, summary.seconds, f" ({by})" if by else "")


def _mounted_request(folder: Path) -> BatchRequest:
    path = folder / "event"
    try:
        return request_of(json.decode(path.read_bytes()))
    except OSError as error:
        raise InvalidRequest(
            f"cannot read the event {path}: {error.strerror}", remedy="set K_EVENT_PATH to the folder of the event"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
