"""The settings of a stream: its topics, its sink, and its limits of time and size."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from urllib.parse import urlsplit

from common.environ import Environ, integer, is_url, number, one_of, required, url
from common.errors import InvalidSetting
from common.redaction import redact_url
from eventing.kafka.port import Broker
from eventing.kafka.security import Security

# No duration may be zero; a millisecond is the clients' unit.
_LEAST_SECONDS = 0.001

EAGER = "eager"
COOPERATIVE = "cooperative"
EARLIEST = "earliest"
LATEST = "latest"
WAIT = "wait"
CREATE = "create"
FAIL = "fail"


class Guarantee(StrEnum):
    """How often an event is answered in spite of failures."""

    AT_LEAST_ONCE = "at-least-once"
    EXACTLY_ONCE = "exactly-once"


class Order(StrEnum):
    """Within what the order of events is kept."""

    KEY = "key"
    PARTITION = "partition"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """The schema registry of the values in the input topic."""

    url: str = field(repr=False)
    """TIDEGATE_SCHEMA_REGISTRY: its URL, perhaps with `user:password@`."""

    credentials_file: str | None = None
    """TIDEGATE_SCHEMA_REGISTRY_CREDENTIALS_FILE: a file with `user:password`, read at each call."""

    @classmethod
    def from_env(cls, environ: Environ) -> Registry | None:
        """Read the settings; None without a registry. Raises InvalidSetting, which names the variable."""
        found, file = url(environ, "TIDEGATE_SCHEMA_REGISTRY"), environ.get("TIDEGATE_SCHEMA_REGISTRY_CREDENTIALS_FILE") or None
        if found is None:
            if file is not None:
                raise InvalidSetting(
                    "TIDEGATE_SCHEMA_REGISTRY_CREDENTIALS_FILE is set without a registry", remedy="set TIDEGATE_SCHEMA_REGISTRY too"
                )
            return None
        parts = urlsplit(found)
        if parts.query or parts.fragment:
            raise InvalidSetting(f"TIDEGATE_SCHEMA_REGISTRY is {redact_url(found)!r}", remedy="set a URL without a query and a fragment")
        if file is not None and "@" in parts.netloc:
            raise InvalidSetting(
                "TIDEGATE_SCHEMA_REGISTRY has credentials, and so has TIDEGATE_SCHEMA_REGISTRY_CREDENTIALS_FILE", remedy="set one of them"
            )
        if not (_is_installed("fastavro") and _is_installed("google.protobuf")):
            raise InvalidSetting("TIDEGATE_SCHEMA_REGISTRY needs packages that are not installed", remedy="install tidegate[registry]")
        return cls(url=found, credentials_file=file)


@dataclass(frozen=True, kw_only=True)
class ReplySettings:
    """The reply sink: a URL that gets the replies, beside a topic or instead of one."""

    url: str = field(repr=False)
    """TIDEGATE_STREAM_REPLY_SINK: its URL, perhaps with `user:password@`."""

    batch_size: int = 1
    """TIDEGATE_STREAM_REPLY_BATCH_SIZE, replies in one call: with more than 1 they are posted in batch mode, which no
    sink of Knative takes."""

    in_flight: int = 32
    """TIDEGATE_STREAM_REPLY_IN_FLIGHT, calls: each carries one reply of a key at a time, so few of them would leave a
    Broker idle."""

    @classmethod
    def from_env(cls, environ: Environ) -> ReplySettings | None:
        """Read the settings; None without a reply sink. Raises InvalidSetting, which names the variable."""
        found = url(environ, "TIDEGATE_STREAM_REPLY_SINK")
        if found is None:
            for name in ("TIDEGATE_STREAM_REPLY_BATCH_SIZE", "TIDEGATE_STREAM_REPLY_IN_FLIGHT"):
                if environ.get(name):
                    raise InvalidSetting(f"{name} is set without a reply sink", remedy="set TIDEGATE_STREAM_REPLY_SINK too")
            return None
        return cls(
            url=found,
            batch_size=integer(environ, "TIDEGATE_STREAM_REPLY_BATCH_SIZE", cls.batch_size, least=1),
            in_flight=integer(environ, "TIDEGATE_STREAM_REPLY_IN_FLIGHT", cls.in_flight, least=1),
        )


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """The settings of one stream. All but the topics, the sink and the broker have defaults."""

    broker: Broker
    """TIDEGATE_BOOTSTRAP_SERVERS (`host:port`, several separated by commas); TIDEGATE_KAFKA_API_VERSION (`2.3`; only
    for the embedded broker); the variables of eventing/kafka/security.py."""

    input: str
    """TIDEGATE_STREAM_INPUT: the topic that is read."""

    output: str
    """TIDEGATE_STREAM_OUTPUT: the topic that replies are written to; empty with a reply sink alone."""

    deadletter: str
    """TIDEGATE_STREAM_DEADLETTER: the topic for rejected events; `<input>.deadletter` unless set."""

    group: str
    """TIDEGATE_STREAM_GROUP: the consumer group, and the stream's name in its outputs; `tidegate-<input>` unless set.
    """

    model: str
    """TIDEGATE_STREAM_MODEL: the model in the problems of dead letters; the last part of the sink's path unless set."""

    sink: str
    """K_SINK: the URL that batches are posted to, as a SinkBinding sets it."""

    reply: ReplySettings | None = None
    """The URL that replies are posted to; None if they are only written to a topic."""

    registry: Registry | None = None
    """The schema registry of the input topic's values; None if they need none."""

    host: str = "0.0.0.0"  # noqa: S104 a kubelet connects from outside
    """TIDEGATE_HOST: the address of the port."""

    port: int = 8080
    """PORT: the port of the health endpoints; 0 takes a free one."""

    instance: str | None = None
    """TIDEGATE_STREAM_INSTANCE: a name that survives a restart (static membership), so that the partitions return at
    once. None unless set: a Deployment's pods change their names, and a static member that stops for good holds its
    partitions for the session time-out."""

    missing_topics: str = WAIT
    """TIDEGATE_STREAM_MISSING_TOPICS: what to do at start when a topic does not exist: `wait` for it, `fail`, or `create`
    those that are written to, with as many partitions as the input topic has. An input topic is only waited for."""

    reset: str = EARLIEST
    """TIDEGATE_STREAM_RESET: where to start without an offset of the group, or with one that its partition does not have
    any more: at its `earliest` record, so that none is lost, or behind its `latest`."""

    rebalance: str = EAGER
    """TIDEGATE_STREAM_REBALANCE: `cooperative` leaves a worker the partitions that stay with it when others come and go.
    All workers of a group must agree, and those of earlier releases know only `eager`, in which each gives up all."""

    batch_size: int = 256
    """TIDEGATE_STREAM_BATCH_SIZE, events: with more, only the client costs time; a batch of 256 stays far below the
    sink's limit."""

    order: Order = Order.KEY
    """TIDEGATE_STREAM_ORDER: `key` keeps the order of each key, and a retried event holds only those of its key;
    `partition` keeps that of the whole partition, also of records without a key."""

    in_flight: int = 4
    """TIDEGATE_STREAM_IN_FLIGHT, batches: how many calls are open once the sink has answered one; hides its latency."""

    max_in_flight: int = 16
    """TIDEGATE_STREAM_MAX_IN_FLIGHT, batches: up to how many that grows, as long as throughput grows with it."""

    linger_seconds: float = 0.005
    """TIDEGATE_STREAM_LINGER_SECONDS: how long an output may wait for others to share its produce request."""

    request_timeout_seconds: float = 60.0
    """TIDEGATE_STREAM_REQUEST_TIMEOUT_SECONDS, for one call: the first call to a model that starts from zero takes
    longer."""

    retry_seconds: float = 600.0
    """TIDEGATE_STREAM_RETRY_SECONDS: how long an event is retried before its dead letter; longer than a roll-out or a
    node's restart."""

    session_timeout_seconds: float = 10.0
    """TIDEGATE_STREAM_SESSION_TIMEOUT_SECONDS: a killed worker's partitions are reassigned after this; brokers accept
    6 s or more."""

    commit_seconds: float = 0.5
    """TIDEGATE_STREAM_COMMIT_SECONDS between commits: a restart reads again the outputs since the last one."""

    delivery: Guarantee = Guarantee.AT_LEAST_ONCE
    """TIDEGATE_STREAM_DELIVERY: `at-least-once` works with any broker; `exactly-once` writes outputs and offsets in
    transactions, and needs Apache Kafka 2.5 or newer."""

    transaction_seconds: float = 0.1
    """TIDEGATE_STREAM_TRANSACTION_SECONDS between the starts of two transactions: readers wait for an output so long; a
    transaction takes several requests, whatever it holds."""

    node: str | None = None
    """The host's name in a cluster, from its own variables. With the group it makes the transactional id, if there is no
    TIDEGATE_STREAM_INSTANCE; elsewhere a random name does."""

    stop_seconds: float = 20.0
    """TIDEGATE_STREAM_STOP_SECONDS: how long a stop waits for events in flight; of the 30 s that Kubernetes grants, 10
    are left for the last writes and the exit of the process."""

    @property
    def most_in_flight(self) -> int:
        """The most calls that are open at a time."""
        return max(self.in_flight, self.max_in_flight)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The topics that are written to."""
        return (self.output, self.deadletter) if self.output else (self.deadletter,)

    @property
    def destinations(self) -> str:
        """Where replies go, for messages: without credentials."""
        found = [self.output, "" if self.reply is None else redact_url(self.reply.url)]
        return " and ".join(filter(None, found))

    @property
    def transaction_timeout_seconds(self) -> float:
        """How long a transaction may be open: readers wait for that of a killed worker no longer than its partitions do."""
        return self.session_timeout_seconds

    @property
    def backlog(self) -> int:
        """The most unfinished records of a partition, with those that wait for a retry of an earlier one of their key."""
        return 4 * self.batch_size * self.in_flight

    def backlog_of(self, partitions: int) -> int:
        """The most records of each of so many partitions that wait for no other: enough to fill every call while a poll is
        under way, and few enough that all partitions together take little memory."""
        enough = 2 * self.batch_size * self.most_in_flight
        return max(min(self.backlog, enough // max(partitions, 1)), self.batch_size)

    @classmethod
    def from_env(cls, environ: Environ) -> StreamSettings:
        """Read the settings. Raises InvalidSetting, which names the variable."""
        input_, sink = required(environ, "TIDEGATE_STREAM_INPUT"), _url(environ, "K_SINK")
        output, reply = environ.get("TIDEGATE_STREAM_OUTPUT") or "", ReplySettings.from_env(environ)
        delivery = _delivery(environ, "TIDEGATE_STREAM_DELIVERY", cls.delivery)
        if reply is not None and delivery is Guarantee.EXACTLY_ONCE:
            raise InvalidSetting(
                "TIDEGATE_STREAM_DELIVERY is exactly-once, and TIDEGATE_STREAM_REPLY_SINK is set, which is in no transaction",
                remedy="unset one of them",
            )
        if not output and reply is None:
            raise InvalidSetting(
                "TIDEGATE_STREAM_OUTPUT is not set, and neither is TIDEGATE_STREAM_REPLY_SINK",
                remedy="set the topic for replies, or the URL that they are posted to",
            )
        return cls(
            broker=Broker(
                required(environ, "TIDEGATE_BOOTSTRAP_SERVERS"),
                _version(environ, "TIDEGATE_KAFKA_API_VERSION"),
                Security.from_env(environ),
            ),
            input=input_,
            output=output,
            deadletter=environ.get("TIDEGATE_STREAM_DEADLETTER") or deadletter_of(input_),
            group=environ.get("TIDEGATE_STREAM_GROUP") or group_of(input_),
            model=environ.get("TIDEGATE_STREAM_MODEL") or model_of(sink),
            sink=sink,
            reply=reply,
            registry=Registry.from_env(environ),
            host=environ.get("TIDEGATE_HOST") or cls.host,
            port=integer(environ, "PORT", cls.port, most=65_535),
            instance=environ.get("TIDEGATE_STREAM_INSTANCE") or None,
            missing_topics=one_of(environ, "TIDEGATE_STREAM_MISSING_TOPICS", cls.missing_topics, (WAIT, CREATE, FAIL)),
            reset=one_of(environ, "TIDEGATE_STREAM_RESET", cls.reset, (EARLIEST, LATEST)),
            rebalance=one_of(environ, "TIDEGATE_STREAM_REBALANCE", cls.rebalance, (EAGER, COOPERATIVE)),
            batch_size=integer(environ, "TIDEGATE_STREAM_BATCH_SIZE", cls.batch_size, least=1),
            order=_order(environ, "TIDEGATE_STREAM_ORDER", cls.order),
            in_flight=integer(environ, "TIDEGATE_STREAM_IN_FLIGHT", cls.in_flight, least=1),
            max_in_flight=integer(environ, "TIDEGATE_STREAM_MAX_IN_FLIGHT", cls.max_in_flight, least=1),
            linger_seconds=number(environ, "TIDEGATE_STREAM_LINGER_SECONDS", cls.linger_seconds, least=_LEAST_SECONDS),
            request_timeout_seconds=number(
                environ, "TIDEGATE_STREAM_REQUEST_TIMEOUT_SECONDS", cls.request_timeout_seconds, least=_LEAST_SECONDS
            ),
            retry_seconds=number(environ, "TIDEGATE_STREAM_RETRY_SECONDS", cls.retry_seconds, least=_LEAST_SECONDS),
            session_timeout_seconds=number(
                environ, "TIDEGATE_STREAM_SESSION_TIMEOUT_SECONDS", cls.session_timeout_seconds, least=_LEAST_SECONDS
            ),
            commit_seconds=number(environ, "TIDEGATE_STREAM_COMMIT_SECONDS", cls.commit_seconds, least=_LEAST_SECONDS),
            delivery=delivery,
            transaction_seconds=number(environ, "TIDEGATE_STREAM_TRANSACTION_SECONDS", cls.transaction_seconds, least=_LEAST_SECONDS),
            node=socket.gethostname() if "KUBERNETES_SERVICE_HOST" in environ else None,
            stop_seconds=number(environ, "TIDEGATE_STREAM_STOP_SECONDS", cls.stop_seconds, least=_LEAST_SECONDS),
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of its parent
        return False


def _url(environ: Environ, name: str) -> str:
    value = environ.get(name)
    if not value:
        raise InvalidSetting(
            f"{name} is not set; a SinkBinding sets it as soon as its sink has an address", remedy="see `kubectl get sinkbinding`"
        )
    if not is_url(value):
        raise InvalidSetting(
            f"{name} is {redact_url(value)!r}; it must be an http or https URL",
            remedy="set one such as http://router.localhost:8080/models/flights",
        )
    return value


def _order(environ: Environ, name: str, default: Order) -> Order:
    value = environ.get(name) or default.value
    try:
        return Order(value)
    except ValueError:
        raise InvalidSetting(f"{name} is {value!r}", remedy="set key or partition") from None


def _delivery(environ: Environ, name: str, default: Guarantee) -> Guarantee:
    value = environ.get(name) or default.value
    try:
        return Guarantee(value)
    except ValueError:
        raise InvalidSetting(f"{name} is {value!r}", remedy="set at-least-once or exactly-once") from None


def _version(environ: Environ, name: str) -> tuple[int, ...] | None:
    value = environ.get(name)
    if not value:
        return None
    try:
        return tuple(int(part) for part in value.split("."))
    except ValueError:
        raise InvalidSetting(f"{name} is {value!r}; it must be a version", remedy="set one such as 2.3") from None


def deadletter_of(topic: str) -> str:
    """Return the default topic for the rejected events of a topic."""
    return f"{topic}.deadletter"


def group_of(topic: str) -> str:
    """Return the default consumer group of a topic's stream worker."""
    return f"tidegate-{topic}"


def model_of(sink: str) -> str:
    """Return the default model of a stream: the last part of the sink's path."""
    return urlsplit(sink).path.rstrip("/").rpartition("/")[2]
