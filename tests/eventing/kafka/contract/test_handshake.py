"""Apache Kafka by TLS and SASL, with each client library: accepted and refused clients, the reasons, and that no secret is
printed.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eventing.codecs.kafka import Message
from eventing.event import Event
from eventing.kafka.confluent import cluster as confluent
from eventing.kafka.confluent.cluster import ConfluentCluster
from eventing.kafka.confluent.handshake import check_listener
from eventing.kafka.errors import BrokerRefused, BrokerUnreachable
from eventing.kafka.factory import CLIENTS
from eventing.kafka.kafka_python import cluster as kafka_python
from eventing.kafka.kafka_python.cluster import KafkaCluster
from eventing.kafka.kafka_python.handshake import check_handshake
from eventing.kafka.port import Broker, Cluster, ConsumedRecord, TopicPartition
from eventing.kafka.security import PLAINTEXT, Security
from tidegate.local.broker import reachable
from tidegate.local.up import UpSettings, up

if TYPE_CHECKING:
    from tests.fixtures.apache import Apache

Serve = Callable[[Callable[[list[Event]], Awaitable[list[Event]]]], Awaitable[str]]
Start = Callable[..., subprocess.Popen[str]]
ClusterOf = Callable[[Broker], Cluster]

SSL = {"SECURITY_PROTOCOL": "SSL", "CA_FILE": "ca.pem"}
CERTIFICATE = SSL | {"CERTIFICATE_FILE": "client.pem", "KEY_FILE": "client.key"}
SCRAM = SSL | {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "SCRAM-SHA-512", "USERNAME": "alice", "PASSWORD_FILE": "password"}
PLAIN = SCRAM | {"SASL_MECHANISM": "PLAIN"}
TOKEN = SSL | {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER", "TOKEN_FILE": "token"}
UNENCRYPTED = {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "CA_FILE": ""}


@pytest.fixture(params=[KafkaCluster, ConfluentCluster])
def cluster_of(request: pytest.FixtureRequest) -> ClusterOf:
    """Makes the clusters of one library."""
    found: ClusterOf = request.param
    return found


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a module with these variables, as a container does."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(*command: str, **environ: str) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **environ}, text=True, **pipes)
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        process.kill()
        process.communicate()


def worker(apache: Apache, sink: str = "http://127.0.0.1:1/models/flights", **environ: str) -> dict[str, str]:
    stream = {"INPUT": "departed", "OUTPUT": "scored", "GROUP": "tidegate-departed"}
    found = {f"TIDEGATE_STREAM_{name}": value for name, value in stream.items()}
    return {"TIDEGATE_BOOTSTRAP_SERVERS": apache.at("SASL_SSL"), "K_SINK": sink, "PORT": "0", **found, **environ}


def read(broker: Broker, topic: str) -> ConsumedRecord:
    """Wait for the first record of a topic."""
    with closing(KafkaCluster(broker).consumer()) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        while True:
            for records in consumer.poll(0.5).values():
                return records[0]


@pytest.mark.parametrize("client", CLIENTS)
async def test_worker_moves_an_event(
    client: str, apache: Apache, serve: Serve, start: Start, flight: Callable[[int], Message], score: Callable[[Event], Event]
) -> None:
    async def answer(events: list[Event]) -> list[Event]:
        return [score(event) for event in events]

    environ, broker, message = apache.environ(SCRAM), broker_of(apache, "SASL_SSL", SCRAM), flight(0)
    with closing(KafkaCluster(broker).producer()) as producer:
        departed, scored = (f"{name}-{client}" for name in ("departed", "scored"))
        for topic in (departed, scored, f"{departed}.deadletter"):
            assert producer.partitions_for(topic)  # which makes it
        producer.send(departed, message)
        producer.flush(10)
    environ |= {"TIDEGATE_STREAM_INPUT": departed, "TIDEGATE_STREAM_OUTPUT": scored, "TIDEGATE_STREAM_GROUP": departed}
    process = start("functions.stream", **worker(apache, await serve(answer), TIDEGATE_KAFKA_CLIENT=client, **environ))
    record = await asyncio.to_thread(read, broker, scored)
    process.send_signal(signal.SIGTERM)
    _, output = await asyncio.to_thread(process.communicate, None, 60)

    assert process.returncode == 0
    assert dict(record.headers)["ce_causationid"] == b"flight-0"
    assert apache.secret not in output
    assert "1 scored" in output


@pytest.mark.parametrize("client", CLIENTS)
def test_worker_with_a_wrong_password_exits_with_one_sentence(client: str, apache: Apache, start: Start) -> None:
    process = start(
        "functions.stream",
        **worker(apache, TIDEGATE_KAFKA_CLIENT=client, **apache.environ(PLAIN | {"PASSWORD_FILE": "", "PASSWORD": "guessed-by-chance"})),
    )
    _, output = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(output.splitlines()) == 1
    assert f"the Kafka broker at {apache.at('SASL_SSL')} rejected the user alice" in output
    assert "check TIDEGATE_KAFKA_USERNAME and TIDEGATE_KAFKA_PASSWORD." in output
    assert "guessed-by-chance" not in output


@pytest.mark.parametrize(
    ("listener", "given"),
    [
        ("PLAINTEXT", {}),
        ("SSL", SSL),
        ("MUTUAL", CERTIFICATE),
        ("SASL_SSL", PLAIN),
        ("SASL_SSL", SCRAM),
        ("SASL_SSL", SCRAM | {"SASL_MECHANISM": "SCRAM-SHA-256"}),
        ("SASL_SSL", TOKEN),
        ("SASL_PLAINTEXT", PLAIN | UNENCRYPTED),
    ],
)
def test_matching_security_is_accepted(cluster_of: ClusterOf, apache: Apache, listener: str, given: dict[str, str]) -> None:
    broker = broker_of(apache, listener, given)
    with closing(cluster_of(broker).producer()) as producer, closing(cluster_of(broker).consumer()) as consumer:
        assert producer.partitions_for("for.all") == {0}
        assert "for.all" in consumer.topics()


@pytest.mark.parametrize(
    ("listener", "given", "sentence"),
    [
        ("SSL", SSL | {"CA_FILE": "other-ca.pem"}, r"certificate of .* is not accepted \(.*\), checked by .*other-ca\.pem; .*_CA_FILE"),
        ("SSL", SSL | {"CA_FILE": ""}, r"certificate of .* is not accepted \(.*\), checked by the system's authorities"),
        ("SASL_SSL", SCRAM | {"CA_FILE": "other-ca.pem"}, "certificate of .* is not accepted"),
        ("MUTUAL", SSL, "requires a client certificate .*TIDEGATE_KAFKA_CERTIFICATE_FILE"),
        ("MUTUAL", SSL | {"CERTIFICATE_FILE": "other-ca.pem", "KEY_FILE": "other-ca.key"}, "requires a client certificate that it trusts"),
        ("SASL_SSL", SSL, r"requires SASL \(.*SCRAM-SHA-512.*\); set TIDEGATE_KAFKA_SECURITY_PROTOCOL to SASL_SSL"),
        ("SASL_SSL", SCRAM | {"PASSWORD_FILE": "guess"}, r"rejected the user alice \(.*\); check .*_USERNAME and .*_PASSWORD_FILE\."),
        ("SASL_SSL", PLAIN | {"USERNAME": "eve"}, r"rejected the user eve \(.*\); check"),
        ("SASL_SSL", TOKEN | {"TOKEN_FILE": "old-token"}, r"rejected the token \(.*\); check the token in .*old-token \(.*_TOKEN_FILE\)"),
        ("SSL", SCRAM, "does not use SASL; set TIDEGATE_KAFKA_SECURITY_PROTOCOL to SSL"),
        ("SASL_PLAINTEXT", SCRAM | UNENCRYPTED, "supports PLAIN, not SCRAM-SHA-512; set TIDEGATE_KAFKA_SASL_MECHANISM"),
        ("SASL_SSL", SCRAM | UNENCRYPTED, "speaks TLS; set TIDEGATE_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL"),
    ],
)
def test_refused_client_gets_the_reason(cluster_of: ClusterOf, apache: Apache, listener: str, given: dict[str, str], sentence: str) -> None:
    with pytest.raises(BrokerRefused, match=sentence) as caught:
        cluster_of(broker_of(apache, listener, given)).consumer()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    assert apache.secret not in message
    assert "guessed" not in message


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # a client of kafka-python's that cannot be made leaves sockets behind
@pytest.mark.parametrize(
    ("listener", "sentence"),
    [
        ("SSL", "speaks TLS; set TIDEGATE_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL"),
        ("SASL_PLAINTEXT", r"requires SASL \(PLAIN\); set TIDEGATE_KAFKA_SECURITY_PROTOCOL to SASL_PLAINTEXT"),
    ],
)
def test_plaintext_client_of_a_secured_listener_gets_the_reason(
    cluster_of: ClusterOf, apache: Apache, listener: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in (kafka_python, confluent):
        monkeypatch.setattr(library, "_BOOTSTRAP_SECONDS", 1.0)
    with pytest.raises(BrokerRefused, match=sentence):
        cluster_of(Broker(apache.at(listener))).producer()
    gc.collect()


def test_port_without_tls_differs_from_a_closed_port(cluster_of: ClusterOf, apache: Apache) -> None:
    broker = broker_of(apache, "PLAINTEXT", SSL)
    with pytest.raises(BrokerUnreachable, match=r"does not speak TLS .*; use its TLS port, or set .*_SECURITY_PROTOCOL to PLAINTEXT"):
        cluster_of(broker).consumer()
    with pytest.raises(BrokerUnreachable, match="no Kafka broker answers at"):
        cluster_of(replace(broker, bootstrap_servers="127.0.0.1:1")).consumer()


def test_certificate_of_another_host_name_is_not_accepted(cluster_of: ClusterOf, apache: Apache) -> None:
    broker = replace(broker_of(apache, "SSL", SSL), bootstrap_servers=f"127.0.0.1:{apache.ports['SSL']}")
    with pytest.raises(
        BrokerRefused, match=r"is not accepted \(IP address mismatch.*\).*; use a host name of .*TIDEGATE_BOOTSTRAP_SERVERS"
    ):
        cluster_of(broker).consumer()


@pytest.mark.parametrize("check", [check_handshake, check_listener])
def test_plaintext_listener_passes_the_handshake(apache: Apache, check: Callable[..., None]) -> None:
    check(("localhost", apache.ports["PLAINTEXT"]), PLAINTEXT, 5)


def test_commands_take_the_same_variables(apache: Apache, start: Start, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1, "kg": 2}\n')
    environ = {"TIDEGATE_BOOTSTRAP_SERVERS": apache.at("SASL_SSL"), **apache.environ(SCRAM)}
    for arguments in (["publish", "fruit", str(tmp_path / "rows.jsonl")], ["tail", "fruit", "--from-beginning", "--count", "1"]):
        process = start("tidegate", *arguments, **environ)
        printed, output = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert "fruit" in printed
        assert apache.secret not in printed + output


async def test_tidegate_up_passes_the_settings_on_and_stores_no_secret(apache: Apache, tmp_path: Path) -> None:
    broker = broker_of(apache, "SASL_SSL", SCRAM | {"PASSWORD_FILE": "", "PASSWORD": apache.secret})
    async with reachable(broker.bootstrap_servers, broker.security) as found:
        environ = found.environment()
    settings = UpSettings(manifests=[], port=0, state_dir=tmp_path, bootstrap_servers=broker.bootstrap_servers, security=broker.security)
    async with up(settings):
        written = await asyncio.to_thread(lambda: [path.read_text() for path in tmp_path.rglob("*") if path.is_file()])

    assert Broker(environ["TIDEGATE_BOOTSTRAP_SERVERS"], security=Security.from_env(environ)) == broker
    assert any(broker.bootstrap_servers in text for text in written)
    assert not any(apache.secret in text for text in written)


async def test_tidegate_up_with_a_wrong_password_starts_nothing(apache: Apache, tmp_path: Path) -> None:
    broker = broker_of(apache, "SASL_SSL", PLAIN | {"PASSWORD_FILE": "guess"})
    with pytest.raises(BrokerRefused, match="rejected the user alice"):
        async with up(
            UpSettings(manifests=[], port=0, state_dir=tmp_path, bootstrap_servers=broker.bootstrap_servers, security=broker.security)
        ):
            raise AssertionError


def broker_of(apache: Apache, listener: str, given: dict[str, str]) -> Broker:
    return Broker(apache.at(listener), security=Security.from_env(apache.environ(given)))
