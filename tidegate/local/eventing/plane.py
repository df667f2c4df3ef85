"""Knative Eventing as a whole: the controller with the runner of each kind, and the ingresses for the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.port import Broker
from tidegate.local.apiserver.store import Store
from tidegate.local.eventing import flows
from tidegate.local.eventing.addressing import BROKERS, INGRESSES, JOB_SINKS, KAFKA_SINKS, PARALLELS, SEQUENCES, Handler
from tidegate.local.eventing.api_server_source import ApiServerSources
from tidegate.local.eventing.bindings import Bind, Bindings
from tidegate.local.eventing.broker import BrokerRunner
from tidegate.local.eventing.container_source import ContainerSources
from tidegate.local.eventing.controller import JOBS, TRIGGERS, EventingController
from tidegate.local.eventing.flows import FlowRunner
from tidegate.local.eventing.job_files import JobFiles
from tidegate.local.eventing.job_sinks import JobSinks
from tidegate.local.eventing.jobs import Jobs
from tidegate.local.eventing.kafka_sink import KafkaSinkRunner
from tidegate.local.eventing.kafka_source import KafkaSourceRunner
from tidegate.local.eventing.ping import Pings
from tidegate.local.eventing.transport import Post
from tidegate.local.eventing.trigger import TriggerRunner
from tidegate.local.processes.launcher import Launcher

KAFKA_SOURCES = "kafkasources"


class Eventing:
    """Everything that accepts, moves and delivers events. Nothing connects to Kafka before a Broker is there."""

    def __init__(
        self,
        store: Store,
        *,
        port: int,
        kafka: Broker,
        create_topics: bool,
        post: Post,
        launcher: Launcher,
        jobs_folder: Path,
        bind_deployment: Bind,
        api: str,
    ) -> None:
        cluster = KafkaCluster(kafka)
        self.controller = EventingController(store, port)
        self.bindings = Bindings(store, bind_deployment)
        self.containers = ContainerSources(launcher)
        self.jobs = Jobs(store, launcher, JobFiles(jobs_folder))
        self.pings = Pings(post)
        job_sinks = JobSinks(store, self.jobs, self.bindings.inject)
        self.brokers = BrokerRunner(cluster, self.controller.reporter(BROKERS), create_topics=create_topics)
        self.triggers = TriggerRunner(cluster, self.brokers, post, self.controller.reporter(TRIGGERS))
        self.kafka_sinks = KafkaSinkRunner(cluster, self.brokers, self.controller.reporter(KAFKA_SINKS), create_topics=create_topics)
        report = self.controller.reporter(KAFKA_SOURCES)
        self.kafka_sources = KafkaSourceRunner(cluster, self.brokers, post, report, create_topics=create_topics)
        sequences, parallels = FlowRunner(flows.sequence, post), FlowRunner(flows.parallel, post)
        # Closed in this order: what makes events comes first, what receives them last.
        self.controller.run(
            {
                "apiserversources": ApiServerSources(store, post, api),
                "containersources": self.containers,
                "pingsources": self.pings,
                KAFKA_SOURCES: self.kafka_sources,
                "sinkbindings": self.bindings,
                # Before Triggers, which wait for the answers of flows.
                SEQUENCES: sequences,
                PARALLELS: parallels,
                TRIGGERS: self.triggers,
                KAFKA_SINKS: self.kafka_sinks,
                # Last of those that write to Kafka, since they share its connection.
                BROKERS: self.brokers,
                JOB_SINKS: job_sinks,
                JOBS: self.jobs,
            }
        )
        self.ingresses = _by_host(
            {
                BROKERS: self.brokers.handle,
                JOB_SINKS: job_sinks.handle,
                KAFKA_SINKS: self.kafka_sinks.handle,
                SEQUENCES: sequences.handle,
                PARALLELS: parallels.handle,
            }
        )

    def start(self) -> None:
        """Reconcile each change of the store from now on, and run again the Jobs that an earlier end interrupted."""
        self.controller.start()
        self.jobs.restore()

    async def close(self) -> None:
        """Finish what is in flight, and stop everything."""
        await self.controller.close()

    def kill(self) -> None:
        """Kill every process at once, and give up the events in flight."""
        self.triggers.kill()
        self.jobs.kill()
        self.containers.kill()


def _by_host(handlers: Mapping[str, Handler]) -> dict[str, Handler]:
    return {host: handler for resource, handler in handlers.items() for host in INGRESSES[resource]}
