from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from common.errors import InvalidSetting
from functions.runtime.http import cors
from functions.runtime.http.asgi import Answer, Receive, Scope, Send

PAGE = "https://app.example.com"


async def app(_: Scope, __: Receive, send: Send) -> None:
    await Answer(b"{}", headers=((b"ce-id", b"1"),)).send(send)


def call(allowed: str, method: str = "POST", **headers: str) -> tuple[int, dict[str, str]]:
    """Send a request; returns the status and the headers by lower-case name."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/", "headers": raw}
    served = cors.with_cors(app, cors.origins({"TIDEGATE_CORS_ORIGINS": allowed}))
    asyncio.run(_run(served(scope, receive, send)))
    return sent[0]["status"], {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}


async def _run(answering: Any) -> None:
    await answering


def test_without_origins_the_application_is_unchanged() -> None:
    assert cors.with_cors(app, cors.origins({})) is app
    assert cors.with_cors(app, cors.origins({"TIDEGATE_CORS_ORIGINS": " , "})) is app


def test_page_of_an_allowed_origin_reads_response_and_headers() -> None:
    _, headers = call(f"https://other.example.com, {PAGE}", origin=PAGE)
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-expose-headers"] == "*"
    assert "Origin" in headers["vary"]
    assert headers["ce-id"] == "1"
    assert "access-control-allow-credentials" not in headers


def test_page_of_another_origin_cannot_read_the_response() -> None:
    _, headers = call(PAGE, origin="https://evil.example.com")
    assert "access-control-allow-origin" not in headers


def test_asterisk_allows_every_page_without_credentials() -> None:
    _, headers = call("*", origin=PAGE, cookie="session=1")
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers


def test_preflight_allows_the_requested_headers() -> None:
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "authorization,ce-id,content-type,traceparent"}
    status, headers = call(PAGE, "OPTIONS", origin=PAGE, **asked)
    assert status == 200
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-allow-headers"] == "authorization,ce-id,content-type,traceparent"
    assert "POST" in headers["access-control-allow-methods"]
    assert call(PAGE, "OPTIONS", origin="https://evil.example.com", **asked)[0] == 400


@pytest.mark.parametrize(
    "value", ["app.example.com", "https://app.example.com/", "https://App.example.com", "https://a b", "https://*.example.com"]
)
def test_invalid_origin_is_refused_at_start(value: str) -> None:
    with pytest.raises(InvalidSetting, match=r"TIDEGATE_CORS_ORIGINS has .* not an origin"):
        cors.origins({"TIDEGATE_CORS_ORIGINS": f"{PAGE},{value}"})
