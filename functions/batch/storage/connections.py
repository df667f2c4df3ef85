"""HTTP requests to addresses that the policy allows.

Each name is resolved once, its addresses are checked, and the connection is made to the address that was checked: a
second resolution could return another. Redirects are followed within the policy.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from functions.batch.errors import InvalidPath
from functions.batch.storage import locations
from functions.batch.storage.locations import Location
from functions.batch.storage.policy import Policy

# Between two packets of a server.
_SECONDS = 30.0
_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
# Characters of a path that are sent as they are; those of a percent-encoding are among them.
_SAFE = "/%:@!$&'()*+,;=~-._"
_REASONS = {401: "access denied", 403: "access denied", 404: "not found", 410: "not found", 412: "it changed while it was read"}
_ANSWERS = (200, 206, 416)


class Answer(NamedTuple):
    """A response whose body is not read yet, its connection, and the location after redirects."""

    location: Location
    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse


def get(location: Location, policy: Policy, headers: Mapping[str, str]) -> Answer:
    """Request a file, over a new connection. Raises InvalidPath for a status other than 200, 206 and 416."""
    for _ in range(_MAX_REDIRECTS + 1):
        policy.check(location)
        connection = _connection(location, policy)
        try:
            response = request(connection, location, headers)
            if response.status not in _REDIRECTS:
                return Answer(location, connection, response)
            target = response.getheader("Location", "")
        except BaseException:
            connection.close()
            raise
        connection.close()
        location = _redirected(location, target)
    raise InvalidPath(f"{location} redirects more than {_MAX_REDIRECTS} times", remedy="name the last location")


def request(connection: http.client.HTTPConnection, location: Location, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    """Request a file over a connection. Raises InvalidPath for an error status, or when the server does not answer."""
    path = "/" + location.path.partition("/")[2]
    with translated(location):
        connection.request("GET", quote(path, safe=_SAFE) + location.query, headers={"User-Agent": "tidegate", **headers})
        response = connection.getresponse()
    if response.status not in (*_ANSWERS, *_REDIRECTS):
        raise unreadable(location, _REASONS.get(response.status, f"status {response.status}"))
    return response


@contextmanager
def translated(location: Location) -> Iterator[None]:
    """Turn exceptions of the connection into InvalidPath."""
    try:
        yield
    except socket.gaierror:
        raise unreadable(location, "unknown host") from None
    except TimeoutError:
        raise unreadable(location, f"no data for {_SECONDS:g} s") from None
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise unreadable(location, getattr(error, "strerror", None) or type(error).__name__) from None


def unreadable(location: Location, reason: str) -> InvalidPath:
    """Return the error of a file that cannot be read."""
    return InvalidPath(f"cannot read {location} ({reason})", remedy="check the location, and that its server allows to read it")


def _redirected(location: Location, target: str) -> Location:
    found = locations.parse(urljoin(location.uri, target))
    if not found.is_web or (location.scheme == "https" and found.scheme == "http"):
        raise InvalidPath(f"{location} redirects to {found.scheme}", remedy="name the location that it redirects to")
    return found


class _Plain(http.client.HTTPConnection):
    """A connection to the first of some checked addresses that answers."""

    addresses: tuple[str, ...] = ()

    def connect(self) -> None:
        failure: OSError = OSError("no address")
        for address in self.addresses:
            try:
                self.sock = socket.create_connection((address, self.port), self.timeout)
                break
            except OSError as error:
                failure = error
        else:
            raise failure


class _Encrypted(_Plain):
    """The same with TLS, for the name of the host."""

    default_port = 443

    def connect(self) -> None:
        super().connect()
        self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _connection(location: Location, policy: Policy) -> http.client.HTTPConnection:
    """Return a connection to a host whose addresses were checked. Raises InvalidPath."""
    parts = urlsplit(location.uri)
    host = parts.hostname or ""
    connection = (_Encrypted if location.scheme == "https" else _Plain)(host, parts.port, timeout=_SECONDS)
    with translated(location):
        found = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    # The zone of a link-local address is no part of it.
    addresses = tuple(dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found))
    policy.check_host(host, addresses)
    connection.addresses = addresses
    return connection
