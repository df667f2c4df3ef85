from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest

from common.errors import InvalidSetting
from functions.runtime.http import hosts
from functions.runtime.http.asgi import Answer, Receive, Scope, Send

LOOPBACK = hosts.names_of("127.0.0.1")


async def app(_: Scope, __: Receive, send: Send) -> None:
    await Answer(b"{}").send(send)


def status(allowed: str, *origins: str, **headers: str) -> int:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def ask() -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        guarded = hosts.with_hosts(app, hosts.allowed_hosts({"TIDEGATE_ALLOWED_HOSTS": allowed}), origins)
        await guarded({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive, send)

    asyncio.run(ask())
    return int(sent[0]["status"])


def test_without_hosts_the_application_is_unchanged() -> None:
    assert hosts.with_hosts(app, hosts.allowed_hosts({})) is app


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LOCALHOST", "flights.default.localhost:80", "127.0.0.1:8080", "[::1]:8080"]
)
def test_loopback_server_accepts_the_names_of_loopback(host: str) -> None:
    assert status(LOOPBACK, host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "evil.example.com:8080",
        "localhost.evil.example.com",
        "xlocalhost",
        "127.0.0.1.evil.example.com",
        "",
        "[",
        "10.0.0.1",
    ],
)
def test_loopback_server_refuses_other_names(host: str) -> None:
    assert status(LOOPBACK, host=host) == 403


def test_page_of_another_site_is_refused() -> None:
    assert status(LOOPBACK, host="localhost:8080", origin="http://localhost:8080") == 200
    assert status(LOOPBACK, host="localhost:8080", origin="https://evil.example.com") == 403
    assert status(LOOPBACK, host="localhost:8080", origin="null") == 403
    assert status(LOOPBACK, "https://app.example.com", host="localhost:8080", origin="https://app.example.com") == 200
    assert status(LOOPBACK, "*", host="localhost:8080", origin="https://app.example.com") == 200


def test_asterisk_allows_subdomains() -> None:
    assert status("*.example.com", host="a.b.example.com") == 200
    assert status("*.example.com", host="example.com") == 403


def test_server_on_another_address_accepts_any_name() -> None:
    assert hosts.names_of("0.0.0.0") == ""  # noqa: S104
    assert hosts.names_of("192.168.1.7") == ""
    assert status(hosts.names_of("127.0.0.5"), host="127.0.0.5:1") == 200
    assert status(hosts.names_of("::1"), host="[::1]:1") == 200


@pytest.mark.parametrize("value", ["localhost:8080", "http://localhost", "a b", "*"])
def test_invalid_host_is_refused_at_start(value: str) -> None:
    with pytest.raises(InvalidSetting, match=r"TIDEGATE_ALLOWED_HOSTS has .* not a host"):
        hosts.allowed_hosts({"TIDEGATE_ALLOWED_HOSTS": value})


def test_function_checks_the_host_if_configured(start_server: Callable[..., Any]) -> None:
    server = start_server(TIDEGATE_ALLOWED_HOSTS="localhost")
    assert server.ask(b"GET /v2/health/live HTTP/1.1\r\nhost: localhost:1\r\n\r\n").status == 200
    reply = server.ask(b"GET /v2/health/live HTTP/1.1\r\nhost: evil.example.com\r\n\r\n")
    assert (reply.status, "'evil.example.com' is not allowed;" in reply.sentence) == (403, True)
