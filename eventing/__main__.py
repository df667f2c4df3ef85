"""`python -m eventing`: the stream worker, as its Deployment runs it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from eventing.errors import TidegateError
from eventing.settings import StreamSettings
from eventing.stream import worker

logger = logging.getLogger("tidegate.stream")


def main() -> int:
    """0 when it was stopped, 1 when it cannot work; why is told in one sentence."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(_until_stopped(StreamSettings.from_env(os.environ)))
    except TidegateError as error:
        logger.error("%s", error)
        return 1
    return 0


async def _until_stopped(settings: StreamSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await worker.run(settings, stop)


if __name__ == "__main__":
    sys.exit(main())
