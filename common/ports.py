"""Free ports for a server that starts later, or again, and whose port is set."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

# Below the range from which systems take the ports of outgoing connections, one of which could take it meanwhile:
# 32,768 and more (Linux), 49,152 (others).
_PORTS = range(12_000, 32_000)


def stable_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that are free now, each another one."""
    ports: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_PORTS, len(_PORTS)):
            if len(ports) == count:
                break
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    return ports
