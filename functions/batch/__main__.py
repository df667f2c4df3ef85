"""`python -m functions.batch`: the process of a batch Job, told what to do by an event."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from common.process import run_process
from eventing.codecs import json
from eventing.event import Event
from eventing.types import BATCH_REQUESTED, KNATIVE_PING
from functions.batch.job import BatchRequest, Progress, run
from functions.batch.places import check_local, folders
from functions.runtime.errors import InvalidInput

# What a Knative JobSink mounts, and the router's address in a cluster.
_EVENT_FOLDER = "/etc/jobsink-event"
_ROUTER = "http://router.default.svc.cluster.local"
_REPORT_SECONDS = 5.0

log = logging.getLogger("tidegate.batch")


def request_of(event: Event) -> BatchRequest:
    """What the event asks for. Raises InvalidInput, naming what its data lacks."""
    if event.type not in (BATCH_REQUESTED, KNATIVE_PING):
        raise InvalidInput(f"the event's type is {event.type}; a batch is started by {BATCH_REQUESTED}.")
    data = event.value()
    if not isinstance(data, dict):
        raise InvalidInput("the event's data is no JSON object; send {model, input, output, key}.")
    wrong = [name for name in ("model", "input", "output") if not isinstance(data.get(name), str) or not data[name]]
    if wrong or not isinstance(data.get("key", ""), str):
        raise InvalidInput(
            f"the event's data needs {', '.join(wrong) or 'key'} as a text; send {{model, input, output, key}}, key being optional."
        )
    return BatchRequest(data["model"], _dated(data["input"], event), _dated(data["output"], event), data.get("key"))


def _dated(path: str, event: Event) -> str:
    """`{date}` and `{yesterday}` by the event's own day, in UTC: a schedule says the same every night. Raises InvalidInput."""
    if "{date}" not in path and "{yesterday}" not in path:
        return path
    told = event.attributes.get("time")
    try:
        time = datetime.fromisoformat(str(told))
        # Without an offset it is UTC, as the schedule is, rather than this machine's own time.
        day = time.astimezone(UTC).date() if time.tzinfo else time.date()
        yesterday = day - timedelta(days=1)
    except (ValueError, OverflowError):
        what = "has no time" if told is None else f"has the time {told!r}, which is none"
        raise InvalidInput(f"{path} asks for a date, and the event {what}; give it one, such as 2026-11-23T02:30:00Z.") from None
    return path.replace("{date}", str(day)).replace("{yesterday}", str(yesterday))


def _requested(environ: Mapping[str, str]) -> BatchRequest:
    path = Path(environ.get("K_EVENT_PATH", _EVENT_FOLDER), "event")
    try:
        return request_of(json.decode(path.read_bytes()))
    except OSError as error:
        raise InvalidInput(f"cannot read the event {path}: {error.strerror}; K_EVENT_PATH names the folder that it is in.") from None


class _Reporter:
    """A log line every few seconds, and one at the end."""

    def __init__(self) -> None:
        self._next = _REPORT_SECONDS

    def __call__(self, progress: Progress) -> None:
        if progress.seconds >= self._next or progress.rows == progress.total_rows:
            self._next = progress.seconds + _REPORT_SECONDS
            rate = progress.rows / max(progress.seconds, 1e-9)
            log.info("%d of %d rows scored, %.0f rows/s", progress.rows, progress.total_rows, rate)


async def _run(environ: Mapping[str, str]) -> None:
    """Raises CancelledError on SIGTERM, so that nothing half-written stays."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 this is a coroutine
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    request = _requested(environ)
    allowed = folders(environ)
    for path in (request.input, request.output):
        check_local(path, allowed)
    log.info("scoring %s with %s into %s", request.input, request.model, request.output)
    url = environ.get("TIDEGATE_ROUTER_URL", _ROUTER)
    summary = await run(request, url=url, progress=_Reporter(), allowed=allowed)
    by = ", ".join(f"{rows} by {revision}" for revision, rows in sorted(summary.revisions.items()))
    log.info("done: %d rows in %.1f s%s", summary.rows, summary.seconds, f" ({by})" if by else "")


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Returns the exit status: 0 when the output is there, else 1."""
    return run_process(partial(_main, environ), environ)


def _main(environ: Mapping[str, str]) -> int:
    try:
        asyncio.run(_run(environ))
    except (asyncio.CancelledError, KeyboardInterrupt):
        log.warning("stopped before the end; nothing was written")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
