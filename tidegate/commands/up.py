"""`tidegate up`: run the manifests of a cluster as processes on this machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from common.errors import TidegateError
from tidegate.commands.options import DEFAULT_STATE_DIR, StateDir


class Kafka(StrEnum):
    """The brokers that `tidegate up` starts by itself."""

    EMBEDDED = "embedded"
    APACHE = "apache"


class ConflictingOptions(TidegateError):
    """Two options do not go together."""


def up(
    manifests: Annotated[
        Path, typer.Argument(help="A folder (its kustomization.yaml is followed), a file, or - for standard input.", allow_dash=True)
    ] = Path("manifests/base"),
    port: Annotated[int, typer.Option(envvar="TIDEGATE_PORT", min=0, max=65535, help="The gateway's port; 0 takes a free one.")] = 8080,
    host: Annotated[
        str, typer.Option(envvar="TIDEGATE_HOST", help="The gateway's address; :: is all addresses. It has no authentication.")
    ] = "127.0.0.1",
    api_port: Annotated[
        int, typer.Option(envvar="TIDEGATE_API_PORT", min=0, max=65535, help="The Kubernetes API's port; 0 takes a free one.")
    ] = 0,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option(envvar="TIDEGATE_BOOTSTRAP_SERVERS", metavar="HOST:PORT,…", help="Kafka brokers. By default one is started."),
    ] = None,
    kafka: Annotated[
        Kafka | None,
        typer.Option(
            envvar="TIDEGATE_KAFKA",
            help="The broker that is started: by default an embedded one, which keeps no events; apache needs Java and Maven.",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", envvar="TIDEGATE_FRESH", help="Delete the topics of earlier runs with --kafka apache.")
    ] = False,
    state_dir: StateDir = DEFAULT_STATE_DIR,
) -> None:
    """Run the manifests on this machine, without a cluster.

    A revision has no process until a request arrives. Services are at http://<service>.localhost:PORT, revisions with a
    tag at http://<tag>-<service>.localhost:PORT. Ctrl-C drains and stops everything; a second one stops at once.
    """
    import asyncio

    from eventing.kafka.security import PLAINTEXT
    from tidegate.commands.options import security
    from tidegate.local.up import UpSettings, run
    from tidegate.progress import log_to_stderr

    log_to_stderr()
    _check(kafka, bootstrap_servers, fresh)
    settings = UpSettings(
        manifests=str(manifests),
        port=port,
        host=host,
        api_port=api_port,
        kafka=kafka or Kafka.EMBEDDED,
        fresh=fresh,
        bootstrap_servers=bootstrap_servers,
        security=security() if bootstrap_servers else PLAINTEXT,
        state_dir=state_dir,
    )
    asyncio.run(run(settings))


def _check(kafka: Kafka | None, bootstrap_servers: str | None, fresh: bool) -> None:
    if kafka is not None and bootstrap_servers:
        raise ConflictingOptions(f"--kafka {kafka} starts a broker, and --bootstrap-servers names one", remedy="leave out one of them")
    if fresh and kafka is not Kafka.APACHE:
        raise ConflictingOptions("--fresh deletes the topics of --kafka apache, which is not given", remedy="leave it out")
