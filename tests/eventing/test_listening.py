from __future__ import annotations

import socket

import pytest

from eventing.listening import PortTaken, listen


def test_a_port_that_is_free_is_taken() -> None:
    with listen(0, "127.0.0.1") as listener, socket.create_connection(listener.getsockname()[:2]):
        assert listener.proto == socket.IPPROTO_TCP


def test_a_port_that_is_taken_is_named_with_the_remedy() -> None:
    with listen(0, "127.0.0.1") as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port} of 127.0.0.1 is taken .*; stop it, or choose another port \(--port\)\."):
            listen(port, "127.0.0.1", option="--port")


def test_an_address_of_another_machine_is_told_in_a_sentence() -> None:
    with pytest.raises(PortTaken, match=r"cannot listen on port 0 of 192.0.2.1: .*; choose another port \(PORT\)\."):
        listen(0, "192.0.2.1")
