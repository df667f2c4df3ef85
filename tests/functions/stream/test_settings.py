from __future__ import annotations

import socket

import pytest

from common.environ import integer
from common.errors import InvalidSetting
from functions.stream.settings import Guarantee, Registry, ReplySettings, StreamSettings

ENVIRON = {
    "TIDEGATE_BOOTSTRAP_SERVERS": "kafka:9092",
    "TIDEGATE_STREAM_INPUT": "flights.departed",
    "TIDEGATE_STREAM_OUTPUT": "flights.scored",
    "K_SINK": "http://router.localhost:8080/models/flights",
}


def test_unset_settings_have_defaults() -> None:
    settings = StreamSettings.from_env(ENVIRON)
    assert settings.group == "tidegate-flights.departed"
    assert settings.deadletter == "flights.departed.deadletter"
    assert settings.model == "flights"
    assert settings.broker.api_version is None
    assert settings == StreamSettings(
        broker=settings.broker,
        input="flights.departed",
        output="flights.scored",
        deadletter=settings.deadletter,
        group=settings.group,
        model="flights",
        sink=ENVIRON["K_SINK"],
    )


def test_every_setting_can_be_set() -> None:
    named = {"KAFKA_API_VERSION": "2.3", "STREAM_GROUP": "g", "STREAM_DEADLETTER": "d", "STREAM_MODEL": "m", "STREAM_INSTANCE": "i"}
    numbers = {"BATCH_SIZE": "8", "IN_FLIGHT": "2", "LINGER_SECONDS": "0.1", "REQUEST_TIMEOUT_SECONDS": "3", "RETRY_SECONDS": "4"}
    numbers |= {"SESSION_TIMEOUT_SECONDS": "6", "COMMIT_SECONDS": "0.5", "STOP_SECONDS": "7"}
    numbers |= {"DELIVERY": "exactly-once", "TRANSACTION_SECONDS": "0.3"}
    environ = {f"TIDEGATE_{name}": value for name, value in named.items()} | {
        f"TIDEGATE_STREAM_{name}": value for name, value in numbers.items()
    }
    settings = StreamSettings.from_env(ENVIRON | environ)
    assert settings.broker.api_version == (2, 3)
    assert (settings.group, settings.deadletter, settings.model, settings.instance) == ("g", "d", "m", "i")
    assert (settings.batch_size, settings.in_flight, settings.linger_seconds, settings.request_timeout_seconds) == (8, 2, 0.1, 3)
    assert (settings.retry_seconds, settings.session_timeout_seconds, settings.commit_seconds, settings.stop_seconds) == (4, 6, 0.5, 7)
    assert (settings.delivery, settings.transaction_seconds, settings.transaction_timeout_seconds) == (Guarantee.EXACTLY_ONCE, 0.3, 6)


def test_other_delivery_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="TIDEGATE_STREAM_DELIVERY is 'once'; set at-least-once or exactly-once"):
        StreamSettings.from_env(ENVIRON | {"TIDEGATE_STREAM_DELIVERY": "once"})


def test_host_names_the_worker_in_a_cluster_only() -> None:
    assert StreamSettings.from_env(ENVIRON).node is None
    assert StreamSettings.from_env(ENVIRON | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}).node == socket.gethostname()


def test_security_settings_reach_the_broker() -> None:
    sasl = {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "PLAIN", "USERNAME": "alice", "PASSWORD": "correct-horse-battery"}
    settings = StreamSettings.from_env(ENVIRON | {f"TIDEGATE_KAFKA_{name}": value for name, value in sasl.items()})
    assert settings.broker.security.password == sasl["PASSWORD"]
    assert "horse" not in repr(settings)


@pytest.mark.parametrize("name", ENVIRON)
def test_missing_setting_is_named(name: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} is not set"):
        StreamSettings.from_env({key: value for key, value in ENVIRON.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("K_SINK", "router/models/flights"),
        ("K_SINK", "ftp://router"),
        ("TIDEGATE_KAFKA_API_VERSION", "two"),
        ("TIDEGATE_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("TIDEGATE_STREAM_RESET", "newest"),
        ("TIDEGATE_STREAM_REBALANCE", "sticky"),
        ("TIDEGATE_STREAM_MISSING_TOPICS", "ignore"),
        ("TIDEGATE_STREAM_BATCH_SIZE", "0.5"),
        ("TIDEGATE_STREAM_BATCH_SIZE", "many"),
        ("TIDEGATE_STREAM_RETRY_SECONDS", "-1"),
        ("TIDEGATE_STREAM_RETRY_SECONDS", "inf"),
        ("TIDEGATE_STREAM_RETRY_SECONDS", "nan"),
    ],
)
def test_invalid_setting_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} is '{value}'"):
        StreamSettings.from_env(ENVIRON | {name: value})


def test_number_above_its_limit_is_refused() -> None:
    assert integer({"PORT": "65535"}, "PORT", 8080, most=65_535) == 65_535
    with pytest.raises(InvalidSetting, match="PORT is '70000'; set a number from 0 to 65535"):
        integer({"PORT": "70000"}, "PORT", 8080, most=65_535)


def test_registry_settings() -> None:
    registry = {"TIDEGATE_SCHEMA_REGISTRY": "https://alice:correct-horse@registry.example.com/api"}
    settings = StreamSettings.from_env(ENVIRON | registry)
    assert settings.registry == Registry(url=registry["TIDEGATE_SCHEMA_REGISTRY"])
    assert "horse" not in repr(settings)
    file = {"TIDEGATE_SCHEMA_REGISTRY": "http://registry", "TIDEGATE_SCHEMA_REGISTRY_CREDENTIALS_FILE": "/etc/registry"}
    assert StreamSettings.from_env(ENVIRON | file).registry == Registry(url="http://registry", credentials_file="/etc/registry")


@pytest.mark.parametrize(
    ("url", "file", "reason"),
    [
        ("", "/f", "is set without a registry; set TIDEGATE_SCHEMA_REGISTRY too"),
        ("registry:8081", "", "TIDEGATE_SCHEMA_REGISTRY is 'registry:8081'; set an http or https URL"),
        ("http://a:horse@registry", "/f", "has credentials, and so has TIDEGATE_SCHEMA_REGISTRY_CREDENTIALS_FILE; set one of them"),
        ("http://registry?token=horse", "", "set a URL without a query and a fragment"),
    ],
)
def test_registry_settings_that_cannot_be_meant_are_refused(url: str, file: str, reason: str) -> None:
    with pytest.raises(InvalidSetting, match=reason) as error:
        StreamSettings.from_env(ENVIRON | {"TIDEGATE_SCHEMA_REGISTRY": url, "TIDEGATE_SCHEMA_REGISTRY_CREDENTIALS_FILE": file})
    assert "horse" not in str(error.value)


def test_registry_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.stream.settings.find_spec", lambda _: None)
    with pytest.raises(InvalidSetting, match=r"install tidegate\[registry\]"):
        StreamSettings.from_env(ENVIRON | {"TIDEGATE_SCHEMA_REGISTRY": "http://registry"})


@pytest.mark.parametrize("partitions", [0, 1, 2, 12, 100])
def test_unfinished_records_of_many_partitions_are_bounded_together(partitions: int) -> None:
    settings = StreamSettings.from_env(ENVIRON)
    each = settings.backlog_of(partitions)
    assert settings.batch_size <= each <= settings.backlog
    calls = settings.batch_size * settings.most_in_flight
    if partitions > 1:
        assert calls <= partitions * each <= max(2 * calls, partitions * settings.batch_size), "enough for every call, and no more"


def test_a_single_partition_keeps_the_calls_of_the_start_full() -> None:
    settings = StreamSettings.from_env(ENVIRON)
    assert settings.backlog_of(1) == settings.backlog


def test_reply_sink_stands_beside_a_topic_or_instead_of_it() -> None:
    sink = {"TIDEGATE_STREAM_REPLY_SINK": "http://alice:correct-horse@broker/models/tidegate"}
    both = StreamSettings.from_env(ENVIRON | sink)
    assert both.reply == ReplySettings(url=sink["TIDEGATE_STREAM_REPLY_SINK"])
    assert both.outputs == ("flights.scored", "flights.departed.deadletter")
    assert both.destinations.startswith("flights.scored and http://")
    assert both.destinations.endswith("broker/models/tidegate")
    assert "horse" not in f"{both}{both.destinations}"
    sizes = {"TIDEGATE_STREAM_REPLY_BATCH_SIZE": "20", "TIDEGATE_STREAM_REPLY_IN_FLIGHT": "2"}
    alone = StreamSettings.from_env(ENVIRON | sink | sizes | {"TIDEGATE_STREAM_OUTPUT": ""})
    assert alone.outputs == ("flights.departed.deadletter",)
    assert alone.reply == ReplySettings(url=sink["TIDEGATE_STREAM_REPLY_SINK"], batch_size=20, in_flight=2)


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"TIDEGATE_STREAM_OUTPUT": ""}, "TIDEGATE_STREAM_OUTPUT is not set, and neither is TIDEGATE_STREAM_REPLY_SINK"),
        ({"TIDEGATE_STREAM_REPLY_BATCH_SIZE": "2"}, "TIDEGATE_STREAM_REPLY_BATCH_SIZE is set without a reply sink"),
        (
            {"TIDEGATE_STREAM_REPLY_SINK": "http://broker/default", "TIDEGATE_STREAM_DELIVERY": "exactly-once"},
            "TIDEGATE_STREAM_DELIVERY is exactly-once, and TIDEGATE_STREAM_REPLY_SINK is set, which is in no transaction",
        ),
        ({"TIDEGATE_STREAM_REPLY_SINK": "broker"}, "TIDEGATE_STREAM_REPLY_SINK is 'broker'; set an http or https URL"),
    ],
)
def test_reply_settings_that_cannot_be_meant_are_refused(environ: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidSetting, match=reason):
        StreamSettings.from_env(ENVIRON | environ)
