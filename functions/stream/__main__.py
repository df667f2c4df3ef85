"""The stream worker as a process: `python -m functions.stream`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from common import logs
from common.environ import Environ
from common.errors import TidegateError
from common.sockets import listen
from functions.stream import worker
from functions.stream.health import Health, serving
from functions.stream.settings import StreamSettings
from functions.stream.stall import Stalled

logger = logging.getLogger("tidegate.stream")

# A first deployment starts the worker before the router has an address. If it has none after this time, the worker
# fails visibly.
_SINK_SECONDS = 60.0


def main() -> int:
    """Return 0 after a stop, and 1 after an error, which is logged in one sentence."""
    logs.to_stderr()
    if _starts_before_its_sink(os.environ) and _stopped_while_waiting():
        return 0
    runner = asyncio.Runner()
    try:
        runner.run(_until_stopped(StreamSettings.from_env(os.environ)))
    except Stalled as error:
        logger.error("%s", error)
        logging.shutdown()
        os._exit(1)  # the exit of the interpreter would wait for a hanging thread of the client
    except TidegateError as error:
        logger.error("%s", error)
        return 1
    finally:
        runner.close()
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
        await worker.run(settings, stop, health)


if __name__ == "__main__":
    sys.exit(main())
