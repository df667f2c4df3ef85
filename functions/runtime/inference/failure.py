"""Failures of calls as values, which each transport encodes in its own way."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from common.errors import TidegateError
from eventing.reply import Problem
from functions.runtime.errors import ClientGone, log_bug, problem_of, status_of


class Failure(NamedTuple):
    """The outcome of a call that raised an exception."""

    status: int
    """The status of HTTP; other transports derive their codes from it."""

    reason: str
    """The kind of the failure for observers, of which there are few."""

    problem: Problem
    """The answer to an event. Its status can differ: a sender of events retries some statuses that a caller does not."""

    closes: bool = False
    """Whether a connection should be closed, since the rest of the request may not have been read."""

    @property
    def detail(self) -> str:
        """The sentence for the caller."""
        return self.problem.detail


# nginx's status for a client that closed the connection before the response. Only metrics and logs see it.
CLIENT_GONE = Failure(499, "client gone", Problem(499, "client gone", "the client has disconnected."))


def failure_of(error: Exception | asyncio.CancelledError, where: str, *, process: str = "function") -> Failure:
    """Map an exception to the failure that the caller and the observers see.

    An unexpected one is logged as a bug at `where`. A cancellation means that `process` is stopping and its drain time
    is over.
    """
    if isinstance(error, TidegateError):
        problem = problem_of(error)
        return Failure(status_of(error), problem.title, problem)
    if isinstance(error, ClientGone):
        return CLIENT_GONE
    if isinstance(error, asyncio.CancelledError):
        return Failure(503, "stopping", Problem(503, "stopping", f"the {process} is stopping; retry the request."), closes=True)
    return Failure(500, "bug", Problem(500, "failed", log_bug(error, where)), closes=True)
