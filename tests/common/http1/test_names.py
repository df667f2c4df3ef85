from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from common.http1.errors import NotConnected
from common.http1.names import Names


@pytest.fixture
async def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The names that the system was asked for; all have one address but `unknown`."""
    names: list[Any] = []

    async def getaddrinfo(host: Any, *_: Any, **__: Any) -> Any:
        names.append(host)
        if host == b"unknown":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 0))] * 2

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return names


@pytest.mark.parametrize(
    ("host", "address"),
    [*((host, "127.0.0.1") for host in ("localhost", "router.localhost", "v2-flights.localhost", "127.0.0.1")), ("::1", "::1")],
)
async def test_this_machine_needs_no_system(host: str, address: str, looked_up: list[Any]) -> None:
    assert await Names().addresses(host) == (address,)
    assert not looked_up


async def test_a_name_is_looked_up_once_for_all_who_wait_and_for_a_while(looked_up: list[Any]) -> None:
    names = Names()
    found = await asyncio.gather(*(names.addresses("flights.models.svc") for _ in range(5)))
    assert [*found, await names.addresses("flights.models.svc")] == [("10.0.0.7",)] * 6
    assert looked_up == [b"flights.models.svc"]
    names.forget("flights.models.svc")
    await names.addresses("flights.models.svc")
    assert len(looked_up) == 2


async def test_an_unknown_name_is_no_connection(looked_up: list[Any]) -> None:
    names = Names()
    for _ in range(2):  # it may be known a moment later
        with pytest.raises(NotConnected, match="Name or service not known"):
            await names.addresses("unknown")
    assert len(looked_up) == 2


@pytest.mark.parametrize("host", ["", "a" * 300, "a..b", "ä" * 100])
async def test_a_host_that_is_no_name_is_no_connection(host: str) -> None:
    with pytest.raises(NotConnected):
        await Names().addresses(host)
