"""The stream worker as a process: `python -m functions.stream`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from common.environ import Environ
from common.errors import TidegateError
from common.process import run_process
from common.redaction import redact
from common.sockets import listen
from functions.stream import startup, streams
from functions.stream.health import Health, serving
from functions.stream.settings import StreamSettings
from functions.stream.stall import Stalled
from functions.stream.streams import STREAMS, NamedStream
from functions.stream.supervisor import StreamsHealth, Supervisor

logger = logging.getLogger("tidegate.stream")

# A first deployment starts the worker before the router has an address. If it has none after this time, the worker
# fails visibly.
_SINK_SECONDS = 60.0


def main(environ: Environ = os.environ) -> int:
    """Run the worker, of one stream or of those in a file, until SIGTERM; return the exit status: 1 for a TidegateError."""
    return run_process(partial(_run, environ), environ)


def _run(environ: Environ) -> int:
    if path := environ.get(STREAMS):
        return _run_many(path, environ)
    if _starts_before_its_sink(environ) and _stopped_while_waiting():
        return 0
    settings = StreamSettings.from_env(environ)
    with asyncio.Runner() as runner:
        try:
            runner.run(_until_stopped(settings))
        except Stalled as error:
            logger.error("%s", error)
            _exit_now(1)
    return 0


def _run_many(path: str, environ: Environ) -> int:
    entries = streams.read(path)
    if streams.needs_sink(entries) and _starts_before_its_sink(environ) and _stopped_while_waiting():
        return 0
    found = streams.settings_of(entries, environ, path)
    with asyncio.Runner() as runner:
        runner.run(_until_all_stopped(found))
    return 0


def _starts_before_its_sink(environ: Environ) -> bool:
    return not environ.get("K_SINK") and "KUBERNETES_SERVICE_HOST" in environ


def _stopped_while_waiting() -> bool:
    """Wait for SIGTERM: a SinkBinding replaces this pod by one with K_SINK.

    A crash meanwhile would fail a watched deployment.
    """
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    logger.warning("K_SINK is not set yet: a SinkBinding sets it in the next pod; waiting %.0f s for that", _SINK_SECONDS)
    stopped = signal.sigtimedwait(signals, _SINK_SECONDS) is not None
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    return stopped


def _stop_at_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _until_stopped(settings: StreamSettings) -> None:
    stop, health = _stop_at_signals(), Health()
    async with serving(health, listen(settings.port, settings.host)):
        await startup.run(settings, stop, health)


async def _until_all_stopped(found: Sequence[NamedStream]) -> None:
    stop, health = _stop_at_signals(), StreamsHealth([stream.name for stream in found])
    supervisor = Supervisor(found, health)
    process = found[0].settings  # the address is that of the process
    async with serving(health, listen(process.port, process.host)):
        try:
            await supervisor.run(stop)
        except TidegateError as error:
            if not isinstance(error, Stalled) and not supervisor.hanging:
                raise
            logger.error("%s", redact(str(error)))
            _exit_now(1)
    if supervisor.hanging:
        _exit_now(0)


def _exit_now(status: int) -> NoReturn:
    """End the process, whose interpreter would wait for the threads of hanging clients."""
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
