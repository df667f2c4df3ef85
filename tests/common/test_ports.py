from __future__ import annotations

import socket

from common.ports import stable_ports


def test_ports_are_free_and_below_those_of_outgoing_connections() -> None:
    ports = stable_ports(20)
    assert len(set(ports)) == 20
    assert max(ports) < 32_768
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            assert port not in stable_ports(50)
