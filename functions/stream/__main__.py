"""The stream worker as a process: `python -m functions.stream`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from functools import partial

from common.environ import Environ
from common.process import run_process
from common.sockets import listen
from functions.stream import startup
from functions.stream.health import Health, serving
from functions.stream.settings import StreamSettings
from functions.stream.stall import Stalled

logger = logging.getLogger("tidegate.stream")

# A first deployment starts the worker before the router has an address. If it has none after this time, the worker
# fails visibly.
_SINK_SECONDS = 60.0


def main(environ: Environ = os.environ) -> int:
    """Run the worker until SIGTERM; return the exit status: 1 for a TidegateError."""
    return run_process(partial(_run, environ), environ)


def _run(environ: Environ) -> int:
    if _starts_before_its_sink(environ) and _stopped_while_waiting():
        return 0
    settings = StreamSettings.from_env(environ)
    with asyncio.Runner() as runner:
        try:
            runner.run(_until_stopped(settings))
        except Stalled as error:
            logger.error("%s", error)
            logging.shutdown()
            os._exit(1)  # the exit of the interpreter would wait for a hanging thread of the client
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


async def _until_stopped(settings: StreamSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    health = Health()
    async with serving(health, listen(settings.port, settings.host)):
        await startup.run(settings, stop, health)


if __name__ == "__main__":
    sys.exit(main())
