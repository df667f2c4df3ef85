from __future__ import annotations

import pytest

from loadtest import target


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:8080/", "http://flights.localhost:1", "http://[::1]:8080", "https://127.1.2.3"]
)
def test_this_machine_is_allowed(url: str) -> None:
    assert target.check(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://example.com", "http://10.0.0.1:8080", "http://localhost.example.com", "http://notlocalhost", "http://0.0.0.0"]
)
def test_another_machine_is_allowed_for_its_owner_only(url: str) -> None:
    with pytest.raises(target.InvalidTarget, match="--i-own-this-target"):
        target.check(url)
    assert target.check(url, owned=True) == url


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://[::1", "http://127.0.0.1:port"])
def test_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(target.InvalidTarget, match="is not the URL of a gateway"):
        target.check(url, owned=True)


def test_unreachable_target_is_reported_before_any_load(unused_tcp_port: int) -> None:
    with pytest.raises(target.InvalidTarget, match="nothing answers at"):
        target.reach(f"http://127.0.0.1:{unused_tcp_port}")
