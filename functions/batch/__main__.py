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
from common.errors import InvalidSetting
from common.process import run_process
from eventing.codecs import json
from functions.batch.errors import InvalidRequest
from functions.batch.job import Progress, Summary, run
from functions.batch.request import BatchRequest, request_of
from functions.batch.run.memory import use_little_memory
from functions.batch.run.plan import Shard
from functions.batch.settings import BatchSettings
from functions.batch.storage import locations

_REPORT_SECONDS = 5.0

log = logging.getLogger("tidegate.batch")


class _Reporter:
    """A log line of progress every few seconds, and one at the end."""

    def __init__(self) -> None:
        self._next = _REPORT_SECONDS

    def __call__(self, progress: Progress) -> None:
        if progress.seconds >= self._next or progress.rows == progress.total_rows:
            self._next = progress.seconds + _REPORT_SECONDS
            of = "" if progress.total_rows is None else f" of {progress.total_rows}"
            log.info("%d%s rows scored, %.0f rows/s", progress.rows, of, progress.rate)


def main(environ: Environ = os.environ) -> int:
    """Run the batch; return the exit status: 0 when the output is complete, else 1."""
    return run_process(partial(_run, environ), environ)


def _run(environ: Environ) -> int:
    settings = BatchSettings.from_env(environ)
    use_little_memory()
    try:
        asyncio.run(_until_stopped(settings))
    except (asyncio.CancelledError, KeyboardInterrupt):
        log.warning("stopped before the end; the next attempt goes on from here")
        return 1
    return 0


async def _until_stopped(settings: BatchSettings) -> None:
    """Run the batch. Raises CancelledError on SIGTERM, so that the part that is being written is removed."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 this is a coroutine
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    request = _mounted_request(settings.event_path)
    shard = shard_of(settings, request)
    if shard is None:
        log.info("there are fewer shards than processes; nothing to do here")
        return
    log.info("scoring %s with %s into %s", locations.parse(request.input), request.model, locations.parse(request.output))
    summary = await run(
        request,
        url=settings.router_url,
        progress=_Reporter(),
        limits=settings.limits,
        policy=settings.policy,
        shard=shard,
        sink=settings.sink,
    )
    _log(summary, shard)


def _log(summary: Summary, shard: Shard) -> None:
    if not summary.complete:
        log.info("shard %d of %d is done: %d rows; others are at work", shard.index, shard.count, summary.scored)
        return
    by = ", ".join(f"{rows} by {revision}" for revision, rows in sorted(summary.revisions.items()))
    log.info("done: %d rows in %.1f s%s, %s", summary.rows, summary.seconds, f" ({by})" if by else "", summary.digest)


def shard_of(settings: BatchSettings, request: BatchRequest) -> Shard | None:
    """Return the share of this process, None if there is none for it. Raises InvalidSetting."""
    count = request.shards or settings.shards
    if count > settings.shards > 1 or (count > 1 and settings.shard is None):
        raise InvalidSetting(
            f"the request asks for {count} shards, but the Job has {settings.shards} processes with JOB_COMPLETION_INDEX",
            remedy="use an Indexed Job with as many completions, and set TIDEGATE_BATCH_SHARDS to them",
        )
    index = settings.shard or 0
    return Shard(index, count) if index < count else None


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
