"""The HTTP side of everything that accepts events: a request's events, or the response that refuses it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from aiohttp import web

from common.errors import InvalidEvent
from eventing.codecs import http
from eventing.codecs.http import Message
from eventing.event import Event

# A batch of events may be larger than one event, which Kafka limits to 1 MiB by default.
MAX_BODY_BYTES = 8 << 20
T = TypeVar("T")

_PATH = re.compile(r"/([a-z0-9][-a-z0-9.]{0,252})/([a-z0-9][-a-z0-9.]{0,252})/?")


class Refused(Exception):
    """A request without events that could be accepted, with its response."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.response = error(status, message, headers)


class Address(NamedTuple):
    """The object of a request, by the path `/<namespace>/<name>`."""

    namespace: str
    name: str


def address_of(request: web.BaseRequest) -> Address | None:
    """Return the object that a request is for, or None if its path names none."""
    found = _PATH.fullmatch(request.path)
    return Address(*found.groups()) if found else None


def find(request: web.BaseRequest, objects: Mapping[Address, T], *, none: str) -> tuple[Address, T]:
    """Return the object that a request is for. Raises Refused with 404; `none` is its subject, such as "no Broker"."""
    address = address_of(request)
    if address is None or address not in objects:
        known = ", ".join(f"/{found.namespace}/{found.name}" for found in sorted(objects)) or "none"
        raise Refused(404, f"{none} has the path {request.path[:200]}; known paths: {known}.")
    return address, objects[address]


async def events_of(request: web.BaseRequest) -> list[Event]:
    """Return the events of a request in binary, structured or batched mode; their data is left as it is.

    Raises Refused.
    """
    if request.method != "POST":
        raise Refused(405, f"events are sent by POST, not by {request.method[:20]}.", {"Allow": "POST"})
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refused(415, "unsupported Content-Encoding; send the body uncompressed.")
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = await _body(request)
    try:
        mode = http.mode_of(headers)
        if mode is None:
            raise InvalidEvent("the request is no CloudEvent", remedy="send ce- headers, or application/cloudevents+json")
        return http.decode(Message(headers, body), mode, verbatim=True)
    except InvalidEvent as problem:
        raise Refused(400, str(problem)) from None


def error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


async def _body(request: web.BaseRequest) -> bytes:
    too_large = f"the body is larger than {MAX_BODY_BYTES >> 20} MiB; send a smaller batch."
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise Refused(413, too_large, {"Connection": "close"})
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    if request.content_length is not None:
        return await request.content.read()
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Refused(413, too_large, {"Connection": "close"})
    return bytes(body)
