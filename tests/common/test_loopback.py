from __future__ import annotations

import socket
from urllib.request import OpenerDirector, ProxyHandler

import pytest

from common.loopback import is_loopback, is_loopback_url, opener


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "router.localhost", "a.b.localhost.", "127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"]
)
def test_addresses_of_this_machine_are_loopback(host: str) -> None:
    assert is_loopback(host)
    assert is_loopback_url(f"http://user:p@{f'[{host}]' if ':' in host else host}:8080/x?y")


@pytest.mark.parametrize("host", ["", "localhost.example", "notlocalhost", "128.0.0.1", "0.0.0.0", "::2", "127.0.0.1.example", "é"])  # noqa: S104
def test_other_addresses_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("url", ["http://[::1", "", "x", "http://example.com/localhost", "http://localhost@example.com", "http://]["])
def test_other_and_invalid_urls_are_not_loopback(url: str) -> None:
    assert not is_loopback_url(url)


def proxies(found: OpenerDirector) -> dict[str, str]:
    handlers = [item for item in vars(found)["handlers"] if isinstance(item, ProxyHandler)]
    (handler,) = handlers or [ProxyHandler({})]
    chosen: dict[str, str] = handler.proxies  # type: ignore[attr-defined]
    return chosen


def test_proxy_is_used_for_other_machines_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("http_proxy", proxy)
    assert proxies(opener("http://127.0.0.1:8080")) == {}
    assert proxies(opener("http://models.example"))["http"] == proxy
