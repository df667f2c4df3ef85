"""docs/observability.md documents every metric, field and setting."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from functions.runtime.contract.signature import Signature
from functions.runtime.observability import settings
from functions.runtime.observability.exchange import Exchange
from functions.runtime.observability.exposition import render
from functions.runtime.observability.metrics import Metrics, ModelMetrics
from functions.runtime.observability.observers import Observers
from functions.runtime.observability.payloads import Payload, kserve_event, tidegate_event
from functions.runtime.observability.request_log import line_of
from functions.runtime.observability.settings import ObservabilitySettings
from functions.runtime.observability.tracing import attributes_of

DOCS = (Path(__file__).parents[4] / "docs/observability.md").read_text("utf-8")
SETTINGS = (Path(__file__).parents[4] / "docs/settings.md").read_text("utf-8")
TEXT = frozenset(re.findall(r"`([^`\s]+)`", DOCS))
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Make = Callable[..., Exchange]


def full(exchange: Make) -> Exchange:
    event = {"id": "1", "source": "/a", "specversion": "1.0", "type": "t", "subject": "s"}
    return exchange(
        reason="failed",
        request_id="r",
        traceparent=TRACEPARENT,
        request_bytes=1,
        response_bytes=1,
        event=event,
        request_type="application/json",
    )


def test_every_metric_and_its_labels(exchange: Make, served: Callable[..., ModelMetrics]) -> None:
    metrics = Metrics()
    everything = ObservabilitySettings(request_log=True, traces_endpoint="http://localhost:1", payload_sink="http://localhost:1")
    with Observers(everything, metrics):
        model = served(metrics, Signature(2, meaning="probability", classes=1))
        metrics.observed(model, array("f", [1, 2]), 1, array("f", [0.5]))
        metrics.predicted("flights", "2", "value", 1, 1, 0.1, 0.1)
        metrics.started("load", 0.1)
        metrics.exchanged(full(exchange))
        families = list(text_string_to_metric_families(render(metrics)[0].decode()))

    counters = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    labels = {label for family in families if family.name.startswith("tidegate") for sample in family.samples for label in sample.labels}
    assert counters <= TEXT
    assert labels - {"le"} <= TEXT
    assert len(counters) > 25


def test_every_documented_metric_exists() -> None:
    named = set(re.findall(r"^\| `(tidegate_\w+)`", DOCS, re.MULTILINE))
    functions = Path(settings.__file__).parents[2]
    sources = {
        name: "".join(path.read_text("utf-8") for path in (functions / name).rglob("*.py"))
        for name in ("runtime", "router", "rollout", "stream")
    }
    source = "".join(sources.values())

    assert len(named) > 12
    assert [name for name in named if f'"{name.removesuffix("_total").removesuffix("_info")}' not in source] == []
    assert set(re.findall(r'"(tidegate_router_\w+)"', sources["router"])) <= named
    rollout = set(re.findall(r'"(tidegate_rollout_\w+)"', sources["rollout"]))
    assert rollout
    names = named | {name.removesuffix("_total") for name in named}
    assert rollout <= names
    assert set(re.findall(r'"(tidegate_stream_\w+)"', sources["stream"])) <= names


def test_every_reading() -> None:
    sources = [path.read_text("utf-8") for path in Path(settings.__file__).parents[1].rglob("*.py")]
    names = {name for source in sources for name in re.findall(r'(?:Reading\(|_add\(.*)"(tidegate_\w+)"', source)}

    assert len(names) > 4
    assert names <= TEXT


def test_every_setting() -> None:
    source = Path(settings.__file__).read_text("utf-8")
    variables = set(re.findall(r"\b(?:TIDEGATE|OTEL|K)_[A-Z_]+\b", source))

    assert len(variables) > 12
    assert variables <= set(re.findall(r"`([A-Z_]+)[`=]", SETTINGS))


def test_every_field_of_the_request_log(exchange: Make) -> None:
    assert set(json.loads(line_of(full(exchange)))) <= TEXT


def test_every_attribute_of_a_span(exchange: Make) -> None:
    assert set(attributes_of(full(exchange))) <= TEXT
    assert set(ObservabilitySettings.from_env({"K_SERVICE": "a", "K_REVISION": "b"}).resource) <= TEXT


def test_every_payload_event_and_its_attributes(exchange: Make) -> None:
    for is_response in (False, True):
        payload = Payload(
            exchange(request_id="r", traceparent=TRACEPARENT, request_type="a/b", response_type="a/b"), is_response, b"1", "k"
        )
        for describe in (tidegate_event, kserve_event("service", "namespace")):
            event = describe(payload)
            assert event is not None
            assert {event.type, *event.attributes} - {"specversion", "type"} <= TEXT
