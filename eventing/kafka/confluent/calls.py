"""A time-out for the client's calls that have none of their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from eventing.kafka.errors import RequestTimedOut

Result = TypeVar("Result")


def within(timeout_seconds: float, call: Callable[[], Result]) -> Result:
    """Return what a call returns on a thread of its own, or raise RequestTimedOut and leave it behind.

    The client is thread-safe. The thread is a daemon, so that it does not hold up the end of the process.
    """
    future: Future[Result] = Future()
    Thread(target=_settle, args=(future, call), name="tidegate-kafka-call", daemon=True).start()
    try:
        return future.result(timeout_seconds)
    except TimeoutError:
        if future.done():
            raise
        raise RequestTimedOut(f"Kafka did not answer within {timeout_seconds:g} s") from None


def _settle(future: Future[Result], call: Callable[[], Result]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 it is raised in the caller
        future.set_exception(error)
