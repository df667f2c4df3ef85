"""The file of streams."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidSetting
from functions.stream import streams
from functions.stream.settings import StreamSettings

OURS = "the password of the process"
ENVIRON = {"TIDEGATE_BOOTSTRAP_SERVERS": "kafka:9092", "K_SINK": "http://router.local/models/flights"}


def settings(text: str, environ: dict[str, str] | None = None) -> dict[str, StreamSettings]:
    found = streams.settings_of(streams.parse(text, "streams.yaml"), environ or ENVIRON, "streams.yaml")
    return {stream.name: stream.settings for stream in found}


def test_stream_has_its_own_settings_above_the_defaults_above_the_environment() -> None:
    text = """
        defaults: {batch_size: 64, in_flight: 2, output: scores, sink: /models/orders}
        streams:
          - {input: orders, batch_size: 8}
          - {name: yes, input: payments, sink: https://elsewhere.local/m/fraud, group: fraud, deadletter: dead, commit_seconds: 0.25}
    """
    found = settings(text, {**ENVIRON, "TIDEGATE_STREAM_IN_FLIGHT": "9", "TIDEGATE_STREAM_RETRY_SECONDS": "30"})
    orders, payments = found["orders"], found["yes"]
    assert (orders.batch_size, orders.in_flight, orders.retry_seconds, orders.output) == (8, 2, 30, "scores")
    assert (orders.sink, orders.model, orders.group) == ("http://router.local/models/orders", "orders", "tidegate-orders")
    assert (payments.batch_size, payments.group, payments.deadletter, payments.commit_seconds) == (64, "fraud", "dead", 0.25)
    assert (payments.sink, payments.model) == ("https://elsewhere.local/m/fraud", "fraud")


def test_stream_without_a_sink_is_posted_to_that_of_the_process() -> None:
    (found,) = settings("streams: [{input: a, output: b}]").values()
    assert (found.sink, found.model) == (ENVIRON["K_SINK"], "flights")


def test_one_topic_may_have_several_streams() -> None:
    found = settings("defaults: {input: a, output: b}\nstreams: [{name: x, group: x}, {name: y, group: y, sink: /models/y}]")
    assert {name: item.sink.rpartition("/")[2] for name, item in found.items()} == {"x": "flights", "y": "y"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("streams: []", "streams.yaml has no streams"),
        ("[1]", "streams.yaml is not a map"),
        ("stream: [{input: a}]", "streams.yaml has the unknown key 'stream'"),
        ("streams: [{input: a}", r"streams.yaml is not YAML \(line 1: "),
        ("streams: [{input: a, input: b}]", r"streams.yaml is not YAML \(line 1: duplicate key 'input'\)"),
        ("streams: [a]", "stream 1 of streams.yaml is not a map"),
        ("streams: [{output: a}]", "stream 1 of streams.yaml has no input; add the topic"),
        ("streams: [{input: a, outputs: b}]", "stream 'a' of streams.yaml has the unknown key 'outputs'; use some of .*batch_size, "),
        ("streams: [{input: a, port: 1}]", "stream 'a' of streams.yaml has the unknown key 'port'"),
        ("defaults: {hots: 1}\nstreams: [{input: a}]", "the defaults of streams.yaml has the unknown key 'hots'"),
        ("streams: [{input: a}]", "stream 'a' of streams.yaml: output is not set, and neither is reply_sink"),
        ("streams: [{input: a, output: [b]}]", "stream 'a' of streams.yaml: output is a list; set one value"),
        (
            "streams: [{input: a, output: b, batch_size: many}]",
            "stream 'a' of streams.yaml: batch_size is 'many'; set a number of at least 1",
        ),
        ("streams: [{input: a, output: b, sink: nowhere}]", "stream 'a' of streams.yaml: sink is 'nowhere'; it must be an http"),
        ("streams: [{name: a b, input: a, output: b}]", "name is 'a b'; use letters"),
        (
            "streams: [{input: a, output: b}, {input: a, output: c}]",
            r"streams.yaml has two streams with the name 'a'; give each its own name",
        ),
        ("streams: [{input: a, output: b}, {input: c, output: c, group: tidegate-a}]", "two streams with the group 'tidegate-a'"),
        ("streams: [{input: a, output: b, kafka_security_protocol: SASL}]", "kafka_security_protocol is 'SASL'; set one of PLAINTEXT"),
        (
            "streams: [{input: a, output: b, kafka_username: u}]",
            "stream 'a' of streams.yaml: kafka_username is set, but kafka_security_protocol is PLAINTEXT",
        ),
    ],
)
def test_error_names_the_stream_and_the_key(text: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said) as caught:
        settings(text)
    assert "TIDEGATE_" not in str(caught.value)


def test_variable_of_the_environment_keeps_its_name() -> None:
    with pytest.raises(InvalidSetting, match=r"^stream 'a' of streams.yaml: TIDEGATE_STREAM_BATCH_SIZE is 'x'"):
        settings("streams: [{input: a, output: b}]", {**ENVIRON, "TIDEGATE_STREAM_BATCH_SIZE": "x"})


def test_path_of_a_sink_needs_the_sink_of_the_process() -> None:
    with pytest.raises(InvalidSetting, match=r"stream 'a' of streams.yaml: sink is '/models/m', a path, and K_SINK is not set"):
        settings("streams: [{input: a, output: b, sink: /models/m}]", {"TIDEGATE_BOOTSTRAP_SERVERS": "kafka:9092"})


def test_host_alone_is_no_sink() -> None:
    with pytest.raises(InvalidSetting, match=r"stream 'a' of streams.yaml has no sink, and K_SINK is a host without a path; set sink"):
        settings("streams: [{input: a, output: b}]", {**ENVIRON, "K_SINK": "http://router.local/"})
    assert settings("streams: [{input: a, output: b, sink: /models/m}]", {**ENVIRON, "K_SINK": "http://router.local"})


def test_streams_are_shown_without_their_files_of_credentials() -> None:
    text = """
        defaults: {output: b, kafka_security_protocol: SASL_SSL, kafka_sasl_mechanism: PLAIN, kafka_username: me}
        streams:
          - {input: a, kafka_password_file: /not/here, schema_registry: https://registry, schema_registry_credentials_file: /nor/here}
    """
    with pytest.raises(InvalidSetting, match="kafka_password_file"):
        settings(text)
    (found,) = streams.settings_of([entry.without_access() for entry in streams.parse(text, "s")], ENVIRON, "s")
    assert (found.settings.input, found.settings.registry) == ("a", None)


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("streams: [{input: a, sink: 'http://m/m'}]", False),
        ("defaults: {sink: 'http://m/m'}\nstreams: [{input: a}, {input: b}]", False),
        ("streams: [{input: a, sink: 'http://m/m'}, {input: b}]", True),
        ("streams: [{input: a, sink: /models/m}]", True),
    ],
)
def test_process_waits_for_its_sink_only_if_a_stream_needs_it(text: str, needed: bool) -> None:
    assert streams.needs_sink(streams.parse(text, "streams.yaml")) is needed


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ("kafka_password: hunter2", "has a kafka_password; write the password into a file, and set kafka_password_file"),
        ("schema_registry: 'https://me:hunter2@registry'", "schema_registry has credentials; write them into a file"),
    ],
)
@pytest.mark.parametrize("place", ["defaults: {{output: b, {}}}\nstreams: [{{input: a}}]", "streams: [{{input: a, output: b, {}}}]"])
def test_secret_in_the_file_is_refused_and_not_repeated(own: str, said: str, place: str) -> None:
    with pytest.raises(InvalidSetting, match=said) as caught:
        settings(place.format(own))
    assert "hunter2" not in str(caught.value)


def test_password_of_a_stream_is_that_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine\n")
    security = {
        "TIDEGATE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "TIDEGATE_KAFKA_SASL_MECHANISM": "PLAIN",
        "TIDEGATE_KAFKA_USERNAME": "me",
        "TIDEGATE_KAFKA_PASSWORD": OURS,
    }
    text = f"streams: [{{input: a, output: b, kafka_password_file: {tmp_path}/mine}}, {{input: c, output: d}}]"
    found = settings(text, {**ENVIRON, **security})
    assert {name: item.broker.security.password for name, item in found.items()} == {"a": "mine", "c": OURS}


def test_credentials_are_not_sent_to_another_address(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("me:secret")
    environ = {
        **ENVIRON,
        "TIDEGATE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "TIDEGATE_KAFKA_SASL_MECHANISM": "PLAIN",
        "TIDEGATE_KAFKA_USERNAME": "me",
        "TIDEGATE_KAFKA_PASSWORD": OURS,
        "TIDEGATE_SCHEMA_REGISTRY": "https://registry",
        "TIDEGATE_SCHEMA_REGISTRY_CREDENTIALS_FILE": str(tmp_path / "registry"),
    }
    text = """
        defaults: {output: b}
        streams:
          - {input: same, bootstrap_servers: kafka:9092}
          - {input: other, bootstrap_servers: other:9092, schema_registry: https://other}
    """
    found = settings(text, environ)
    assert found["same"].broker.security.password == OURS
    assert found["other"].broker.security.password is None
    registries = [item.registry for item in found.values()]
    assert [registry and registry.credentials_file for registry in registries] == [str(tmp_path / "registry"), None]


def test_example_of_the_page_is_valid() -> None:
    page = (Path(__file__).parents[3] / "docs/streams.md").read_text("utf-8")
    example = page.split("## Many streams in one worker")[1].split("```yaml\n")[1].split("```")[0]
    found = streams.settings_of([entry.without_access() for entry in streams.parse(example, "streams.yaml")], ENVIRON, "streams.yaml")
    assert {stream.name: stream.settings.model for stream in found} == {
        "flights.departed": "flights",
        "cargo": "cargo",
        "eu.departed": "flights",
    }


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"^TIDEGATE_STREAMS is '/nowhere', which cannot be read"):
        streams.read("/nowhere")
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(InvalidSetting, match=r"which cannot be read \(it is not UTF-8\)"):
        streams.read(str(tmp_path / "latin"))


@given(st.text(max_size=200))
def test_any_text_is_streams_or_one_error(text: str) -> None:
    try:
        entries = streams.parse(text, "streams.yaml")
    except InvalidSetting:
        return
    assert entries
