"""The addresses of a host: loopback for names under `localhost`, others from the system, which are kept for a while."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from ipaddress import ip_address
from time import monotonic

from common.http1.errors import NotConnected
from common.loopback import is_loopback

_LOOPBACK = ("127.0.0.1",)
# A Service's name is resolved to another address only when the Service is made again.
_KEPT_SECONDS = 10.0
_MOST = 4096


class Names:
    """Resolves names; equal ones at once in one look-up."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._pending: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Return the addresses of a host, in the system's order. Raises NotConnected."""
        known = self._known.get(host)
        if known is not None and known[0] > monotonic():
            return known[1]
        if _is_address(host):
            return (host,)
        if is_loopback(host):  # RFC 6761, section 6.3
            return _LOOPBACK
        task = self._pending.get(host)
        if task is None:
            task = self._pending[host] = asyncio.create_task(self._resolve(host))
            task.add_done_callback(partial(self._done, host))
        try:
            return await asyncio.shield(task)  # it goes on for the others when one is cancelled
        except OSError as error:
            raise NotConnected(f"the name cannot be resolved: {error.strerror or error}") from None
        except UnicodeError:
            raise NotConnected("the host is not a valid name") from None

    def forget(self, host: str) -> None:
        """Resolve a host again at the next call: none of its addresses accepts connections."""
        self._known.pop(host, None)

    def _done(self, host: str, task: asyncio.Task[tuple[str, ...]]) -> None:
        self._pending.pop(host, None)
        if not task.cancelled():
            task.exception()  # retrieved here, since all who waited may have given up

    async def _resolve(self, host: str) -> tuple[str, ...]:
        # As bytes, since a string imports the codec for international names, which takes milliseconds.
        name = host.encode("ascii") if host.isascii() else host
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
        addresses = tuple(dict.fromkeys(str(address[0]) for *_, address in found))
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[host] = (monotonic() + _KEPT_SECONDS, addresses)
        return addresses


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
