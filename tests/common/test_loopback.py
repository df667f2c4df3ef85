from __future__ import annotations

import socket
from urllib.request import OpenerDirector, ProxyHandler

import pytest

from common.loopback import is_loopback, leads_here, opener


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "router.localhost", "a.b.localhost.", "127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"]
)
def test_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert leads_here(f"http://user:p@{f'[{host}]' if ':' in host else host}:8080/x?y")


@pytest.mark.parametrize("host", ["", "localhost.example", "notlocalhost", "128.0.0.1", "0.0.0.0", "::2", "127.0.0.1.example", "é"])  # noqa: S104
def test_another(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("url", ["http://[::1", "", "x", "http://example.com/localhost", "http://localhost@example.com", "http://]["])
def test_what_leads_elsewhere_or_is_no_url(url: str) -> None:
    assert not leads_here(url)


def proxies(found: OpenerDirector) -> dict[str, str]:
    handlers = [item for item in vars(found)["handlers"] if isinstance(item, ProxyHandler)]
    (handler,) = handlers or [ProxyHandler({})]
    chosen: dict[str, str] = handler.proxies  # type: ignore[attr-defined]
    return chosen


def test_only_what_is_elsewhere_goes_by_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("http_proxy", proxy)
    assert proxies(opener("http://127.0.0.1:8080")) == {}
    assert proxies(opener("http://models.example"))["http"] == proxy
