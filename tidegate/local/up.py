"""`tidegate up`: the manifests run on this machine, brought up and down in order."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from common import http_client
from common.redaction import redact_url
from common.sockets import listen, url_of
from eventing.kafka.security import PLAINTEXT, Security
from tidegate.local import state, status
from tidegate.local.apiserver import access, kubeconfig
from tidegate.local.apiserver.api import application
from tidegate.local.apiserver.failure import Failure
from tidegate.local.apiserver.store import Store, now
from tidegate.local.broker import Kafka, reachable
from tidegate.local.controller.controller import Fleet
from tidegate.local.controller.deployments import Deployments, sinks
from tidegate.local.errors import InvalidManifest
from tidegate.local.gateway import Gateway, tell_no_malformed_requests
from tidegate.local.objects import manifests, resources
from tidegate.local.objects.validation import Object
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.orphan_reaper import Lifeline
from tidegate.objects import Document

log = logging.getLogger("tidegate.local")

_LOOPBACK = "127.0.0.1"
_WITH_LOOPBACK = (_LOOPBACK, "localhost", "0.0.0.0", "::", "[::]")  # noqa: S104 they are compared
# After draining, what is still open at the gateway is a caller that sends or reads no more.
_CLOSE_SECONDS = 2.0
# A watch never ends by itself: at the end they are cut off.
_WATCH_GRACE = 0.1


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What a person may choose. A port of 0 is any that is free.

    `manifests` is a path (`-` is standard input) or the objects themselves. `project_root` is the folder that processes start in;
    the model's paths in manifests are relative to it. `bootstrap_servers` None is the embedded broker; `security` is for a named one.
    """

    manifests: str | Sequence[Object] = "manifests/base"
    port: int = 8080
    api_port: int = 0
    host: str = _LOOPBACK
    state_dir: Path = Path(".tidegate")
    project_root: Path = field(default_factory=Path.cwd)
    bootstrap_servers: str | None = None
    security: Security = PLAINTEXT


@dataclass(frozen=True, slots=True)
class Up:
    """What runs. `fleet.apply(service)` creates or changes a Knative Service, as the API does."""

    running: state.Running
    fleet: Fleet
    deployments: Deployments
    killed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def in_flight(self) -> int:
        return self.fleet.in_system

    def status(self) -> status.Status:
        pools = {name: revision.pool for name, revision in self.fleet.revisions.items()} | self.deployments.pools
        return {
            "gateway": self.running.gateway,
            "kafka": redact_url(self.running.kafka),
            "bootstrap_servers": redact_url(self.running.bootstrap_servers),
            "in_flight": self.in_flight,
            "services": status.services(self.fleet),
            "deployments": {name: status.pool(pool) for name, pool in self.deployments.pools.items()},
            "streams": {
                name: {"topic": item.topic, "group": item.group, "model": item.model} for name, item in self.deployments.streams.items()
            },
            "peak_rss_mib": status.peaks(pools),
        }

    def kill(self) -> None:
        """Ends every process at once; what was in flight is lost."""
        self.killed.set()
        self.deployments.kill()
        self.fleet.kill()


@asynccontextmanager
async def up(settings: UpSettings) -> AsyncIterator[Up]:
    """Everything, from the broker to the workers; at the end it drains and stops in the opposite order.

    Raises InvalidManifest, PortTaken, AlreadyRunning, BrokerUnreachable or BrokerRefused before any process was started.
    """
    documents = manifests.load(settings.manifests)
    async with AsyncExitStack() as stack:
        stack.enter_context(state.claimed(settings.state_dir))
        gateway_sockets = [stack.enter_context(item) for item in _gateway_sockets(settings)]
        api_socket = stack.enter_context(listen(settings.api_port, _LOOPBACK, option="--api-port"))
        kafka = await stack.enter_async_context(reachable(settings.bootstrap_servers, settings.security))
        token = access.new_token()
        running = _running(settings, kafka, gateway_sockets[-1], api_socket, token)
        launcher = _launcher(settings, documents, running, kafka, stack.enter_context(Lifeline()))
        domain = f"localhost:{gateway_sockets[0].getsockname()[1]}"
        fleet = Fleet(Store(), launcher, domain)
        deployments = _deployments(documents, launcher, domain)
        here = Up(running, fleet, deployments)
        await stack.enter_async_context(_serving(_api(here, token), api_socket))
        stack.push_async_callback(fleet.close)
        client = await stack.enter_async_context(http_client.session(timeout_seconds=None, raw=True))
        await stack.enter_async_context(_serving(_gateway(fleet, client), *gateway_sockets))
        _apply(documents, fleet)
        stack.push_async_callback(_drained, here)
        await stack.enter_async_context(deployments.running())
        stack.enter_context(state.announced(settings.state_dir, running))
        where = (running.gateway, running.api, redact_url(running.bootstrap_servers), redact_url(running.kafka))
        log.info("%s is the gateway; %s the API; Kafka is at %s (%s)", *where)
        yield here


async def run(settings: UpSettings) -> None:
    """Runs until SIGINT or SIGTERM; the first one drains, the second one kills."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    logging.getLogger("aiohttp.server").addFilter(tell_no_malformed_requests)
    async with up(settings) as here:

        def stop() -> None:
            if stopping.is_set():
                log.warning("killing what is left")
                here.kill()
            stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await stopping.wait()


def _gateway_sockets(settings: UpSettings) -> Iterator[socket.socket]:
    """One on 127.0.0.1, where the processes call each other, and one more for an address that does not include it."""
    options = {"option": "--port", "host_option": "--host"}
    if settings.host in _WITH_LOOPBACK:
        yield listen(settings.port, settings.host, **options)
        return
    first = listen(settings.port, _LOOPBACK, **options)
    yield first
    yield listen(first.getsockname()[1], settings.host, **options)


@asynccontextmanager
async def _serving(runner: web.AppRunner | web.ServerRunner, *sockets: socket.socket) -> AsyncIterator[None]:
    await runner.setup()
    try:
        for sock in sockets:
            await web.SockSite(runner, sock).start()
        yield
    finally:
        await runner.cleanup()


def _gateway(fleet: Fleet, client: aiohttp.ClientSession) -> web.ServerRunner:
    # A body stays as it was sent; a caller that goes away ends its request.
    server = web.Server(Gateway(fleet, client).handle, access_log=None, auto_decompress=False, handler_cancellation=True, lingering_time=0)
    return web.ServerRunner(server, shutdown_timeout=_CLOSE_SECONDS)


def _api(here: Up, token: str) -> web.AppRunner:
    async def show(_: web.Request) -> web.Response:
        return web.json_response(here.status())

    app = application(here.fleet.store, token)
    app.router.add_get("/tidegate/status", show)
    return web.AppRunner(app, access_log=None, shutdown_timeout=_WATCH_GRACE, handler_cancellation=True)


def _running(settings: UpSettings, kafka: Kafka, gateway: socket.socket, api: socket.socket, token: str) -> state.Running:
    api_url = f"http://{_LOOPBACK}:{api.getsockname()[1]}"
    return state.Running(
        pid=os.getpid(),
        gateway=url_of(gateway),
        api=api_url,
        kubeconfig=str(kubeconfig.write(settings.state_dir, api_url, token)),
        bootstrap_servers=kafka.broker.bootstrap_servers,
        kafka_api_version=list(kafka.broker.api_version) if kafka.broker.api_version else None,
        kafka=kafka.name,
        started=now(),
        token_file=str(kubeconfig.write_token(settings.state_dir, token)),
    )


def _launcher(settings: UpSettings, documents: Sequence[Document], running: state.Running, kafka: Kafka, line: Lifeline) -> Launcher:
    logs = settings.state_dir.resolve() / "log"
    shutil.rmtree(logs, ignore_errors=True)
    # Nobody but the gateway has business with a process: it listens on loopback only.
    api = {"TIDEGATE_KUBERNETES_API": running.api, "TIDEGATE_KUBERNETES_TOKEN_FILE": running.token_file}
    common = {**kafka.environment(), **api, "TIDEGATE_HOST": _LOOPBACK}
    config_maps = {m.metadata.name or "": m.data for m in manifests.of_kind(resources.ConfigMap, documents)}
    return Launcher(settings.project_root.resolve(), logs, line, common, config_maps)


def _deployments(documents: Sequence[Document], launcher: Launcher, domain: str) -> Deployments:
    bindings = manifests.of_kind(resources.SinkBinding, documents)
    return Deployments(manifests.of_kind(resources.Deployment, documents), sinks(bindings, domain), launcher)


def _apply(documents: Sequence[Document], fleet: Fleet) -> None:
    for document in documents:
        kind, name = document.object["kind"], document.object["metadata"]["name"]
        if kind == "Service":
            try:
                fleet.apply(document.object)
            except Failure as failure:
                raise InvalidManifest(f"{document.source}: {failure}") from None
        elif kind == "JobSink":
            log.info("the JobSink %s is not started by tidegate up: use `tidegate batch`", name)


async def _drained(here: Up) -> None:
    """The gateway stays open until then: a function that answers a request may need another one for it."""
    if here.in_flight:
        log.info("draining: waiting for %d requests…", here.in_flight)
    while here.in_flight and not here.killed.is_set():  # noqa: ASYNC110 only at the end, and not for long
        await asyncio.sleep(0.05)
