"""Options of several commands, and the running `tidegate up` that they refer to."""

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
    Path,
    typer.Option("--state-dir", envvar="TIDEGATE_STATE_DIR", help="The folder of a running `tidegate up` with its address and its logs."),
]
BootstrapServers = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-servers",
        envvar="TIDEGATE_BOOTSTRAP_SERVERS",
        metavar="HOST:PORT,…",
        help="Kafka brokers. By default those of the running `tidegate up`.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", envvar="TIDEGATE_JSON", help="Print JSON, for programs.")]

DEFAULT_STATE_DIR = Path(".tidegate")


class NotRunning(TidegateError):
    """The command needs a running `tidegate up`."""


def running(state_dir: Path) -> Running:
    """The announced state of a running `tidegate up`. Raises NotRunning."""
    from tidegate.local import state

    found = state.read(state_dir)
    if found is None:
        raise NotRunning(
            f"no tidegate is running here ({state_dir})", remedy="start it with `tidegate up`, or name its folder with --state-dir"
        )
    return found


def broker(bootstrap_servers: str | None, state_dir: Path) -> Broker:
    """The broker that was named, or that of the running `tidegate up`."""
    from eventing.kafka.port import Broker

    return Broker(bootstrap_servers, security=security()) if bootstrap_servers else broker_of(running(state_dir))


def security() -> Security:
    """The access to a named broker, from the environment alone: other users can read command lines."""
    from eventing.kafka.security import Security

    return Security.from_env(os.environ)


def broker_of(found: Running) -> Broker:
    """The broker of a running `tidegate up`.

    Its state has no secrets: those of a named broker are in this process's environment.
    """
    from eventing.kafka.port import Broker
    from tidegate.local.broker import OWN

    version = found.kafka_api_version
    if found.kafka in OWN:
        return Broker(found.bootstrap_servers, tuple(version) if version else None)
    return Broker(found.bootstrap_servers, tuple(version) if version else None, security())


def router(url: str | None, state_dir: Path) -> str:
    """The router that was named, or that of the running `tidegate up`."""
    from urllib.parse import urlsplit

    return url or f"http://router.localhost:{urlsplit(running(state_dir).gateway).port}"


def pair(revisions: str) -> tuple[str, str]:
    """Two names that a comma separates. Raises a usage error."""
    names = [name.strip() for name in revisions.split(",")]
    if len(names) != 2 or not all(names):
        raise typer.BadParameter(f"{revisions!r} is not two names; write FIRST,SECOND", param_hint="--revisions")
    return names[0], names[1]
