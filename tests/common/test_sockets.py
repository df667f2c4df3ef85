from __future__ import annotations

import socket

import pytest

from common.sockets import PortTaken, bracketed, listen, url_of


def test_free_port_is_bound() -> None:
    with listen(0, "127.0.0.1") as listener, socket.create_connection(listener.getsockname()[:2]):
        assert listener.proto == socket.IPPROTO_TCP


def test_taken_port_is_reported_with_the_remedy() -> None:
    with listen(0, "127.0.0.1") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} of 127.0.0.1 is taken .*; stop it, or choose another port \(--port\)\."):
            listen(port, "127.0.0.1", option="--port")


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "[2001:db8::1]"])
def test_address_of_another_machine_is_reported_with_the_remedy(host: str) -> None:
    with pytest.raises(PortTaken, match=r"cannot listen at .*; choose an address of this machine \(--host\), such as 127\.0\.0\.1\."):
        listen(0, host, host_option="--host")


@pytest.mark.parametrize("host", ["nowhere.invalid", "127.0.0.1:80", "http://x", "[::1", "999.1.1.1", "::1::", "x" * 300, "é" * 80, ""])
def test_invalid_address_is_reported_with_the_remedy(host: str) -> None:
    with pytest.raises(PortTaken, match=r"is not an IP address or a known name; choose an address of this machine"):
        listen(0, host)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6_address_has_brackets_in_the_url(host: str) -> None:
    with listen(0, host) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://[::1]:{port}"
        socket.create_connection(("::1", port)).close()
        with pytest.raises(PortTaken, match=rf"port {port} of .*::1.* is taken"):
            listen(port, host)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()


def test_two_colons_listen_on_both_ip_versions() -> None:
    with listen(0, "::") as listener:
        port = listener.getsockname()[1]
        for host in ("::1", "127.0.0.1"):
            socket.create_connection((host, port)).close()
        assert url_of(listener) == f"http://127.0.0.1:{port}"


def test_url_of_a_wildcard_listener_is_loopback() -> None:
    for host in ("localhost", "0.0.0.0"):  # noqa: S104 for a moment
        with listen(0, host) as listener:
            assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_zone_is_escaped_in_a_url() -> None:
    assert bracketed("fe80::1%eth0") == "[fe80::1%25eth0]"
    assert bracketed("router.localhost") == "router.localhost"
