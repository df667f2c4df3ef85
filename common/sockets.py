"""A listening socket, bound before anything else is started, so that a port that is taken is known at once."""

from __future__ import annotations

import errno
import socket

from common.errors import TidegateError

_BACKLOG = 2048
_ANY_IPV6 = "::"
# What is wrong with the address and not with the port.
_OF_THE_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)


class PortTaken(TidegateError):
    """Another process listens there, or nobody may."""


def listen(
    port: int,
    host: str = "0.0.0.0",  # noqa: S104 a container is reached from outside
    *,
    option: str = "PORT",
    host_option: str = "TIDEGATE_HOST",
) -> socket.socket:
    """A listening socket; port 0 takes a free one, and the host `::` is every address of both IP versions (RFC 3493, section 5.3).

    `option` and `host_option` are what a person changes to choose another. Raises PortTaken.
    """
    try:
        family, address = _resolve(host, port)
        listener = _bind(family, address)
    except (OSError, UnicodeError) as error:
        raise _refused(error, port, host, option, host_option) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL by which this machine calls it: an IPv6 address stands in brackets (RFC 3986), and every address includes 127.0.0.1."""
    host, port = listener.getsockname()[:2]
    return f"http://{bracketed('127.0.0.1' if host in ('0.0.0.0', _ANY_IPV6) else host)}:{port}"  # noqa: S104 it is compared


def bracketed(host: str) -> str:
    """As a URL has it; the zone of an IPv6 address is escaped (RFC 6874)."""
    return f"[{host.replace('%', '%25')}]" if ":" in host else host


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    # The usual address is not looked up: that would import the codec of international names, which a start from zero pays for.
    if host.replace(".", "").isdecimal():
        return socket.AF_INET, (host, port)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = min(found, key=lambda item: item[0] != socket.AF_INET)
    return family, address


def _bind(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    # The protocol is named so that asyncio recognises TCP and turns Nagle's delay off.
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


def _refused(error: OSError | UnicodeError, port: int, host: str, option: str, host_option: str) -> PortTaken:
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return PortTaken(
            f"{host[:100]!r} is not an IP address or a name that is known here; "
            f"choose an address of this machine ({host_option}), such as 127.0.0.1 or ::1."
        )
    if error.errno in _OF_THE_ADDRESS:
        return PortTaken(
            f"cannot listen at {host}: {error.strerror}; choose an address of this machine ({host_option}), such as 127.0.0.1."
        )
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"port {port} of {host} is taken by another process; stop it, or choose another port ({option}).")
    return PortTaken(f"cannot listen on port {port} of {host}: {error.strerror}; choose another port ({option}).")
