"""Posts of events to the services of this gateway without its HTTP hop, which would cost as much as the rest."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from urllib.parse import SplitResult, urlsplit

import aiohttp
from yarl import URL

from eventing.codecs.http import Message
from tidegate.local.controller.call import call, closes
from tidegate.local.controller.controller import Controller
from tidegate.local.controller.revision import Revision
from tidegate.local.errors import NoReplica, QueueFull
from tidegate.local.eventing.cluster_names import at_gateway
from tidegate.local.eventing.delivery.transport import SKIPPED, Answer, Post, PostFailed, read_answer
from tidegate.local.processes.replica import Replica


class DirectPost:
    """A `Post` to a replica, chosen as the gateway does; other URLs are posted to by `other`.

    A service that has no replica, or is late, answers as it does through the gateway. `port` is the gateway's: URLs of a
    cluster's Services are those of the gateway.
    """

    def __init__(self, controller: Controller, client: aiohttp.ClientSession, other: Post, port: int) -> None:
        self._controller = controller
        self._client = client
        self._other = other
        self._port = port

    async def __call__(self, url: str, message: Message) -> Answer:
        url = at_gateway(url, self._port)
        target = urlsplit(url)
        route = self._controller.table.find(target.netloc) if target.scheme == "http" else None
        revision = self._controller.revisions.get(route.choose()) if route else None
        if revision is None:
            return await self._other(url, message)
        started = time.perf_counter()
        answer = await self._call(revision, target, message)
        revision.latencies.add((time.perf_counter() - started) * 1000)
        return answer

    async def _call(self, revision: Revision, target: SplitResult, message: Message) -> Answer:
        limit = revision.plan.timeout
        try:
            async with asyncio.timeout(limit or None):
                return await call(revision, partial(self._send, target, message))
        except (QueueFull, NoReplica) as error:
            return _answer(503, str(error))
        except TimeoutError:
            return _answer(504, f"request timeout: {revision.plan.name} did not answer within {limit:g} s.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PostFailed(str(error) or type(error).__name__) from None

    async def _send(self, target: SplitResult, message: Message, replica: Replica) -> Answer:
        path = f"{target.path or '/'}?{target.query}" if target.query else target.path or "/"
        headers = {"Host": target.netloc, **message.headers, "K-Proxy-Request": "activator"}
        url = URL(f"{replica.address}{path}", encoded=True)
        async with self._client.post(url, headers=headers, data=message.body, allow_redirects=False, skip_auto_headers=SKIPPED) as answer:
            replica.record_answer(closes=closes(answer))
            return await read_answer(answer)


def _answer(status: int, message: str) -> Answer:
    return Answer(status=status, headers={"content-type": "text/plain"}, body=message.encode())
