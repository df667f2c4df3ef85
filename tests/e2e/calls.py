"""HTTP calls to a Knative Service through the cluster's ingress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any, TypeVar

import orjson

from eventing.codecs import http
from eventing.codecs.http import Mode
from eventing.event import Event

T = TypeVar("T")

REVISION = "tidegate-revision"
KEY = "tidegate-routing-key"
# The interval of polling a state that cannot be waited for.
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. The names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    def events(self) -> list[Event]:
        mode = http.mode_of(self.headers)
        assert mode is not None, self
        return http.decode(http.Message(self.headers, self.body), mode)


@dataclass(frozen=True, slots=True)
class Site:
    """A virtual host at `address`, which is `host:port` of an ingress."""

    address: str
    host: str

    def call(
        self, path: str, body: Any = None, *, method: str | None = None, headers: Mapping[str, str] | None = None, seconds: float = 90
    ) -> Answer:
        """A GET, or a POST if there is a body.

        Bytes are sent unchanged, any other value as JSON. The names of `headers` are in lower case.
        """
        content = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        sent = {"host": self.host, "content-type": "application/json", **(headers or {})}
        with closing(HTTPConnection(self.address, timeout=seconds)) as connection:
            connection.request(method or ("GET" if content is None else "POST"), path, content, sent)
            response = connection.getresponse()
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())

    def predict(self, *records: Mapping[str, Any], model: str = "flights", key: str | None = None, seconds: float = 90) -> Answer:
        """Predict by V1."""
        headers = {} if key is None else {KEY: key}
        return self.call(f"/v1/models/{model}:predict", {"instances": records}, headers=headers, seconds=seconds)

    def send(self, path: str, *events: Event, mode: Mode = Mode.BINARY) -> Answer:
        message = http.encode(events, mode)
        return self.call(path, message.body, headers=message.headers)


def eventually(poll: Callable[[], T], holds: Callable[[T], object], seconds: float = 60) -> T:
    """Poll until `holds` is true of the result, and return it; fail with the last result."""
    until = time.monotonic() + seconds
    while not holds(found := poll()):
        assert time.monotonic() < until, f"after {seconds:g} s it is still {found}"
        time.sleep(_PAUSE_SECONDS)
    return found
