"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.errors import TidegateError

if TYPE_CHECKING:
    from eventing.kafka.port import Broker
    from eventing.kafka.security import Security
    from tidegate.local.state import Running

StateDir = Annotated[
    Path, typer.Option("--state-dir", envvar="TIDEGATE_STATE_DIR", help="Where a running `tidegate up` leaves its address and its logs.")
]
BootstrapServers = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers",
        envvar="TIDEGATE_BOOTSTRAP_SERVERS",
        metavar="HOST:PORT,…",
        help="Kafka brokers. Left out: those of the running `tidegate up`.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", envvar="TIDEGATE_JSON", help="Print JSON, for a program to read.")]

DEFAULT_STATE_DIR = Path(".tidegate")


class NotRunning(TidegateError):
    """The command needs a running `tidegate up`."""


def running(state_dir: Path) -> Running:
    """What a running `tidegate up` says of itself. Raises NotRunning."""
    from tidegate.local import state

    found = state.read(state_dir)
    if found is None:
        raise NotRunning(f"no tidegate is running here ({state_dir}); start it with `tidegate up`, or name its folder with --state-dir.")
    return found


def broker(bootstrap_servers: str | None, state_dir: Path) -> Broker:
    """The broker that was named, or that of the running `tidegate up`."""
    from eventing.kafka.port import Broker

    return Broker(bootstrap_servers, security=security()) if bootstrap_servers else broker_of(running(state_dir))


def security() -> Security:
    """How a named broker is entered: by the environment alone, since a command line is seen by everybody on the machine."""
    from eventing.kafka.security import Security

    return Security.from_env(os.environ)


def broker_of(found: Running) -> Broker:
    """The Kafka that a running `tidegate up` uses. Its state has no secrets: for a named one, this process's own environment tells them."""
    from eventing.kafka.port import Broker
    from tidegate.local.broker import EMBEDDED

    version = found.kafka_api_version
    if found.kafka == EMBEDDED:
        return Broker(found.bootstrap_servers, tuple(version) if version else None)
    return Broker(found.bootstrap_servers, tuple(version) if version else None, security())
