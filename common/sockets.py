"""Listening sockets, and what has arrived at a connected one.

A process binds its socket before it starts anything else, so that a taken port fails at once.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket

from common.errors import RemediedError

_BACKLOG = 2048
_ANY_IPV6 = "::"
# Errors of the address rather than the port.
_ADDRESS_ERRORS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)


class PortTaken(RemediedError):
    """The port is taken or not allowed, or the address is not one of this machine."""


def listen(
    port: int,
    host: str = "0.0.0.0",  # noqa: S104 a container is reached from outside
    *,
    option: str = "PORT",
    host_option: str = "TIDEGATE_HOST",
) -> socket.socket:
    """Return a listening TCP socket.

    Port 0 takes a free port; the host `::` means every address of both IP versions (RFC 3493, section 5.3). `option`
    and `host_option` are the names of the settings that a remedy refers to. Raises PortTaken.
    """
    try:
        family, address = _resolve(host, port)
        listener = _bind(family, address)
    except (OSError, UnicodeError) as error:
        raise _error(error, port, host, option, host_option) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL of a listener for callers on this machine.

    A wildcard address becomes 127.0.0.1; an IPv6 address is in brackets (RFC 3986).
    """
    host, port = listener.getsockname()[:2]
    return f"http://{bracketed('127.0.0.1' if host in ('0.0.0.0', _ANY_IPV6) else host)}:{port}"  # noqa: S104 it is compared


def bracketed(host: str) -> str:
    """Return a host as written in a URL: an IPv6 address in brackets, its zone escaped (RFC 6874)."""
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Return whether the system has bytes of a connection, or its end, that the event loop has not read."""
    unread = poll_of(transport)
    return unread is not None and bool(unread.poll(0))


def poll_of(transport: asyncio.BaseTransport) -> select.poll | None:
    """Return what polls a connection for what `has_unread` is about, to be kept by those who ask often."""
    if not hasattr(select, "poll"):  # Windows has none
        return None
    unread = select.poll()
    unread.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return unread


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    # An IPv4 address is not resolved: that would import the codec for international names, which a start from zero pays
    # for.
    if host.replace(".", "").isdecimal():
        return socket.AF_INET, (host, port)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    return family, address


def _bind(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    # The protocol is given so that asyncio recognises TCP and disables Nagle's algorithm.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != _ANY_IPV6)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _error(error: OSError | UnicodeError, port: int, host: str, option: str, host_option: str) -> PortTaken:
    address = f"choose an address of this machine ({host_option}), such as 127.0.0.1"
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return PortTaken(f"{host[:100]!r} is not an IP address or a known name", remedy=f"{address} or ::1")
    if error.errno in _ADDRESS_ERRORS:
        return PortTaken(f"cannot listen at {host}: {error.strerror}", remedy=address)
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"port {port} of {host} is taken by another process", remedy=f"stop it, or choose another port ({option})")
    return PortTaken(f"cannot listen on port {port} of {host}: {error.strerror}", remedy=f"choose another port ({option})")
