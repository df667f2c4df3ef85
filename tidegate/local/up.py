"""`tidegate up`: start-up and shutdown of everything that runs the manifests on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web

from common import http_client
from common.redaction import redact_url
from common.sockets import listen, url_of
from eventing.kafka.security import PLAINTEXT, Security
from tidegate.documents import InvalidManifest
from tidegate.local import state, status
from tidegate.local.apache import libraries, server
from tidegate.local.apiserver import access, kubeconfig
from tidegate.local.apiserver.api import application
from tidegate.local.apiserver.config_maps import ConfigMaps
from tidegate.local.apiserver.resources import RESOURCES, apply
from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.apiserver.store import Store, now
from tidegate.local.broker import APACHE, EMBEDDED, Kafka, apache, reachable
from tidegate.local.controller.controller import Controller
from tidegate.local.controller.deployments import Deployments
from tidegate.local.direct import DirectPost
from tidegate.local.eventing.cluster_names import at_gateway
from tidegate.local.eventing.delivery.transport import HttpPost
from tidegate.local.eventing.overview import overview
from tidegate.local.eventing.plane import Eventing
from tidegate.local.gateway import Gateway, drop_malformed_request_logs
from tidegate.local.objects import manifests
from tidegate.local.objects.job import Job
from tidegate.local.objects.kinds import BY_VERSION
from tidegate.local.objects.manifests import ParsedDocument
from tidegate.local.objects.resources import ConfigMap, Deployment
from tidegate.local.objects.validation import Object
from tidegate.local.processes.launcher import Launcher
from tidegate.local.processes.orphan_reaper import OrphanReaper

log = logging.getLogger("tidegate.local")

_LOOPBACK = "127.0.0.1"
_HOSTS_WITH_LOOPBACK = (_LOOPBACK, "localhost", "0.0.0.0", "::", "[::]")  # noqa: S104 for a comparison
# After draining, only connections of callers that neither send nor read are still open.
_CLOSE_SECONDS = 2.0
# A watch never ends by itself, so it is cut off.
_WATCH_CLOSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """Options of `tidegate up`. A port of 0 means a free one.

    `manifests` is a path (`-` is standard input) or the objects themselves. `project_root` is the working directory of
    the processes, to which paths of models in manifests are relative. Without `bootstrap_servers` the broker is
    the one that `kafka` names, "embedded" or "apache"; `security` is for a named one. With `fresh` the topics of earlier
    runs with "apache" are deleted.
    """

    manifests: str | Sequence[Object] = "manifests/base"
    port: int = 8080
    api_port: int = 0
    host: str = _LOOPBACK
    state_dir: Path = Path(".tidegate")
    project_root: Path = field(default_factory=Path.cwd)
    kafka: str = EMBEDDED
    fresh: bool = False
    bootstrap_servers: str | None = None
    security: Security = PLAINTEXT

    @property
    def logs(self) -> Path:
        return self.state_dir.resolve() / "log"

    @property
    def mounts(self) -> Path:
        return self.state_dir.resolve() / "mounts"


@dataclass(frozen=True, slots=True)
class Up:
    """A running `tidegate up`."""

    running: state.Running
    controller: Controller
    deployments: Deployments
    eventing: Eventing
    killed: asyncio.Event

    def apply(self, item: Object) -> Object:
        """Create or replace an object of a kind that the API serves. Raises StatusError as the API would."""
        kind = BY_VERSION.get((str(item.get("apiVersion")), str(item.get("kind"))))
        if kind is None or not kind.served:
            raise StatusError.bad_request(f"the API has no {item.get('kind')} of {item.get('apiVersion')}.")
        return apply(self.controller.store, RESOURCES[kind.plural], item, self.eventing.bindings.inject)

    @property
    def in_flight(self) -> int:
        """The number of requests that are held or in flight."""
        return self.controller.in_system

    def status(self) -> status.Status:
        """The status document."""
        pools = {name: revision.pool for name, revision in self.controller.revisions.items()} | self.deployments.pools
        return {
            "gateway": self.running.gateway,
            "kafka": redact_url(self.running.kafka),
            "bootstrap_servers": redact_url(self.running.bootstrap_servers),
            "in_flight": self.in_flight,
            "services": status.services(self.controller),
            "deployments": {name: status.pool(pool) for name, pool in self.deployments.pools.items()},
            "streams": {
                name: {"topic": item.topic, "output": item.output, "deadletter": item.deadletter, "group": item.group, "model": item.model}
                for name, item in self.deployments.streams.items()
            },
            "eventing": overview(self.controller.store, self.eventing),
            "peak_rss_mib": status.peaks(pools),
        }

    def kill(self) -> None:
        """Kill every process at once; requests in flight fail."""
        self.killed.set()
        self.deployments.kill()
        self.eventing.kill()
        self.controller.kill()


@asynccontextmanager
async def up(settings: UpSettings) -> AsyncIterator[Up]:
    """Run everything, from the broker to the workers, for as long as the context; then drain and stop in reverse order.

    Raises InvalidManifest, PortTaken, AlreadyRunning, BrokerUnreachable or BrokerRefused before any process is started, and
    MissingProgram or StartFailed before any but an Apache Kafka is.
    """
    documents = manifests.load(settings.manifests)
    async with AsyncExitStack() as stack:
        stack.enter_context(state.claimed(settings.state_dir))
        gateway_sockets = [stack.enter_context(item) for item in _gateway_sockets(settings)]
        api_socket = stack.enter_context(listen(settings.api_port, _LOOPBACK, option="--api-port"))
        for earlier in (settings.logs, settings.mounts):
            shutil.rmtree(earlier, ignore_errors=True)
        reaper, killed = stack.enter_context(OrphanReaper()), asyncio.Event()
        kafka = await stack.enter_async_context(_kafka(settings, reaper, killed))
        token = access.new_token()
        running = _running(settings, kafka, gateway_sockets[-1], api_socket, token)
        store = Store()
        launcher = _launcher(settings, ConfigMaps(store), running, kafka, reaper)
        port = gateway_sockets[0].getsockname()[1]
        domain = f"localhost:{port}"
        client = await stack.enter_async_context(http_client.session(timeout_seconds=None, raw=True))
        controller = Controller(store, launcher, domain)
        controller.start()
        deployments = Deployments(manifests.of_kind(Deployment, documents), launcher)
        eventing = Eventing(
            controller.store,
            port=port,
            kafka=kafka.broker,
            create_topics=kafka.name != EMBEDDED,
            post=DirectPost(controller, client, HttpPost(client), port),
            launcher=launcher,
            jobs_folder=settings.state_dir.resolve() / "jobs",
            bind_deployment=deployments.bind,
            api=running.api,
        )
        here = Up(running, controller, deployments, eventing, killed)
        await stack.enter_async_context(_serving(_api(here, token), api_socket))
        stack.push_async_callback(controller.close)
        stack.push_async_callback(client.close)  # idle connections: a replica that stops would wait for their next request
        await stack.enter_async_context(_serving(_gateway(here, client), *gateway_sockets))
        eventing.start()
        stack.push_async_callback(_drain, here)
        stack.push_async_callback(eventing.close)
        _apply(documents, here)
        await stack.enter_async_context(deployments.running())
        stack.enter_context(state.announced(settings.state_dir, running))
        addresses = (running.gateway, running.api, redact_url(running.bootstrap_servers), redact_url(running.kafka))
        log.info("%s is the gateway; %s the API; Kafka is at %s (%s)", *addresses)
        yield here


async def run(settings: UpSettings) -> None:
    """Run until SIGINT or SIGTERM: the first signal drains, the second one kills."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()
    logging.getLogger("aiohttp.server").addFilter(drop_malformed_request_logs)
    async with up(settings) as here:

        def stop() -> None:
            if stopping.is_set():
                log.warning("killing the remaining processes")
                here.kill()
            stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        await stopping.wait()


def _kafka(settings: UpSettings, reaper: OrphanReaper, killed: asyncio.Event) -> AbstractAsyncContextManager[Kafka]:
    if settings.kafka != APACHE or settings.bootstrap_servers:
        return reachable(settings.bootstrap_servers, settings.security)
    folder = settings.state_dir.resolve() / "kafka"
    options = server.Options(folder=folder, output=settings.logs / "kafka.log", cache=libraries.cache(), fresh=settings.fresh)
    return apache(options, reaper, killed)


def _gateway_sockets(settings: UpSettings) -> Iterator[socket.socket]:
    """Listen on 127.0.0.1, where the processes call each other, and on the host if it does not include that."""
    options = {"option": "--port", "host_option": "--host"}
    if settings.host in _HOSTS_WITH_LOOPBACK:
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


def _gateway(here: Up, client: aiohttp.ClientSession) -> web.ServerRunner:
    gateway = Gateway(here.controller, client, here.eventing.ingresses)
    # Bodies are not decompressed; a caller that disconnects cancels its request.
    server = web.Server(gateway.handle, access_log=None, auto_decompress=False, handler_cancellation=True, lingering_time=0)
    return web.ServerRunner(server, shutdown_timeout=_CLOSE_SECONDS)


def _api(here: Up, token: str) -> web.AppRunner:
    async def show(_: web.Request) -> web.Response:
        return web.json_response(here.status())

    async def deliveries(request: web.Request) -> web.Response:
        found = here.eventing.triggers.deliveries.of(request.query.get("source", ""), request.query.get("id", ""))
        return web.json_response({"deliveries": [delivery.document() for delivery in found]})

    app = application(here.controller.store, token, here.eventing.bindings.inject)
    app.router.add_get("/tidegate/status", show)
    app.router.add_get("/tidegate/deliveries", deliveries)
    return web.AppRunner(app, access_log=None, shutdown_timeout=_WATCH_CLOSE_SECONDS, handler_cancellation=True)


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


def _launcher(settings: UpSettings, config_maps: ConfigMaps, running: state.Running, kafka: Kafka, reaper: OrphanReaper) -> Launcher:
    # Processes listen on loopback only, since their only client is the gateway.
    api = {"TIDEGATE_KUBERNETES_API": running.api, "TIDEGATE_KUBERNETES_TOKEN_FILE": running.token_file}
    common = {**kafka.environment(), **api, "TIDEGATE_HOST": _LOOPBACK}
    rewrite = partial(at_gateway, port=int(running.gateway.rpartition(":")[2]))
    root = settings.project_root.resolve()
    return Launcher(
        root=root, logs=settings.logs, mounts=settings.mounts, reaper=reaper, common=common, config_maps=config_maps, rewrite=rewrite
    )


def _apply(documents: Sequence[ParsedDocument], here: Up) -> None:
    # A process that is started at once reads its ConfigMaps.
    for parsed in sorted(documents, key=lambda parsed: not isinstance(parsed.model, ConfigMap)):
        document, model = parsed.document, parsed.model
        kind = BY_VERSION[model.api_version, model.kind]
        if kind.served:
            if isinstance(model, Job):
                here.eventing.jobs.give_way(model)
            try:
                here.apply(document.object)
            except StatusError as error:
                raise InvalidManifest(f"{document.source}: {error.message}", remedy=error.remedy) from None


async def _drain(here: Up) -> None:
    """Wait for the requests in flight.

    The gateway stays open, since a function may call another one to answer a request.
    """
    if here.in_flight:
        log.info("draining: waiting for %d requests…", here.in_flight)
    while here.in_flight and not here.killed.is_set():  # noqa: ASYNC110 only at shutdown, and briefly
        await asyncio.sleep(0.05)
