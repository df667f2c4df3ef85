"""The controller with the store of the API, and runners that record their calls."""

from __future__ import annotations

from typing import Any

import pytest

from functions.runtime.knative.objects import condition
from tidegate.local.apiserver.store import Store
from tidegate.local.eventing.controller import EventingController
from tidegate.local.eventing.runner import Condition, Resolved
from tidegate.local.objects.resources import Manifest

Object = dict[str, Any]
PORT = 8080
SERVICE = {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "router"}
DELIVERY = {"deadLetterSink": {"uri": "http://dead.example"}, "retry": 3}
URLS = {
    "subscriber": "http://router.localhost:8080/models/flights",
    "broker": "http://broker-ingress.localhost:8080/default/tidegate",
    "sink": "http://kafka-sink-ingress.localhost:8080/default/dead",
}


class Recorder:
    """A runner that records its calls."""

    def __init__(self) -> None:
        self.applied: list[tuple[Manifest, Resolved]] = []
        self.deleted: list[tuple[str, str]] = []
        self.closed = False

    def apply(self, item: Manifest, context: Resolved) -> None:
        self.applied.append((item, context))

    def delete(self, namespace: str, name: str) -> None:
        self.deleted.append((namespace, name))

    async def close(self) -> None:
        self.closed = True


class Fixture:
    def __init__(self) -> None:
        self.store = Store()
        self.controller = EventingController(self.store, PORT)
        self.brokers, self.triggers = Recorder(), Recorder()
        self.controller.run({"triggers": self.triggers, "brokers": self.brokers})
        self.controller.start()

    def add(self, resource: str, item: Object) -> None:
        self.store.create(resource, item)

    def service(self) -> None:
        self.add("services", {"apiVersion": SERVICE["apiVersion"], "kind": "Service", "metadata": {"name": "router"}, "spec": {}})
        self.store.update_status("services", "router", {"address": {"url": "http://router.localhost:8080"}})

    def broker(self, **spec: Any) -> None:
        self.add("brokers", {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": "tidegate"}, "spec": spec})

    def trigger(self, **spec: Any) -> None:
        whole = {"broker": "tidegate", "subscriber": {"ref": SERVICE, "uri": "/models/flights"}, **spec}
        self.add("triggers", {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": {"name": "t"}, "spec": whole})

    def status(self, resource: str, name: str) -> Object:
        found: Object = self.store.get(resource, name)["status"]
        return found

    def is_(self, resource: str, name: str, type_: str) -> tuple[str, str]:
        found = condition(self.store.get(resource, name), type_) or {}
        return found.get("status", ""), found.get("reason", "")


@pytest.fixture
def here() -> Fixture:
    return Fixture()


def test_trigger_is_ready_when_all_it_names_is_there_and_its_runner_reports(here: Fixture) -> None:
    here.trigger()
    assert here.is_("triggers", "t", "BrokerReady") == ("False", "BrokerDoesNotExist")
    here.broker()
    assert here.is_("triggers", "t", "BrokerReady") == ("Unknown", "")
    assert here.is_("triggers", "t", "SubscriberResolved") == ("False", "Unable to get the Subscriber's URI")
    here.service()
    assert here.is_("triggers", "t", "SubscriberResolved") == ("True", "SubscriberResolved")
    assert here.status("triggers", "t")["subscriberUri"] == URLS["subscriber"]
    here.controller.reporter("brokers")("default", "tidegate", Condition(type="TopicReady"))
    assert here.is_("brokers", "tidegate", "Ready") == ("True", "")
    assert here.is_("triggers", "t", "Ready")[0] == "Unknown"
    here.controller.reporter("triggers")("default", "t", Condition(type="DependencyReady"))
    assert here.is_("triggers", "t", "Ready") == ("True", "")


def test_missing_subscriber_is_named_as_on_a_cluster(here: Fixture) -> None:
    here.broker()
    here.trigger()
    found = condition(here.store.get("triggers", "t"), "SubscriberResolved") or {}
    assert found["message"] == 'failed to get object default/router: services.serving.knative.dev "router" not found'
    ready = condition(here.store.get("triggers", "t"), "Ready") or {}
    assert ready["status"] == "False"
    assert "failed to resolve subscriber" in ready["message"]


def test_trigger_loses_its_subscriber_with_the_service(here: Fixture) -> None:
    here.service()
    here.broker()
    here.trigger()
    here.store.delete("services", "router")
    assert here.is_("triggers", "t", "SubscriberResolved")[0] == "False"
    assert "subscriberUri" not in here.status("triggers", "t")
    assert [context.subscriber for _, context in here.triggers.applied] == [URLS["subscriber"], None]


def test_problem_that_the_controller_sees_outweighs_a_report(here: Fixture) -> None:
    here.broker()
    here.trigger()
    here.controller.reporter("triggers")("default", "t", Condition(type="DependencyReady"))
    assert here.is_("triggers", "t", "DependencyReady") == ("False", "ReconcileContract")


def test_broker_has_its_address_and_its_dead_letter_sink(here: Fixture) -> None:
    here.broker(delivery={"deadLetterSink": {"ref": {"apiVersion": "eventing.knative.dev/v1alpha1", "kind": "KafkaSink", "name": "dead"}}})
    assert here.is_("brokers", "tidegate", "ConfigParsed")[0] == "False"
    sink = {"topic": "dead", "bootstrapServers": ["kafka:9092"]}
    here.add("kafkasinks", {"apiVersion": "eventing.knative.dev/v1alpha1", "kind": "KafkaSink", "metadata": {"name": "dead"}, "spec": sink})
    status = here.status("brokers", "tidegate")
    assert status["address"] == {"name": "http", "url": URLS["broker"]}
    assert status["deadLetterSinkUri"] == URLS["sink"]
    assert here.is_("brokers", "tidegate", "ConfigParsed")[0] == "True"


@pytest.mark.parametrize(
    ("own", "dead_letter", "retry"),
    [
        (None, "http://dead.example", 3),
        ({"retry": 5}, None, 5),
        ({"deadLetterSink": {"uri": "http://own.example"}}, "http://own.example", None),
    ],
    ids=["broker", "retry", "sink"],
)
def test_delivery_of_a_trigger_replaces_that_of_its_broker(
    here: Fixture, own: Object | None, dead_letter: str | None, retry: int | None
) -> None:
    here.service()
    here.broker(delivery=DELIVERY)
    here.trigger(**({"delivery": own} if own else {}))
    _, context = here.triggers.applied[-1]
    assert context.dead_letter == dead_letter
    assert context.delivery is not None
    assert context.delivery.retry == retry
    assert here.status("triggers", "t").get("deadLetterSinkUri") == dead_letter


def test_runner_is_called_once_for_each_change(here: Fixture) -> None:
    here.service()
    here.broker()
    here.trigger()
    here.store.update("triggers", {**here.store.get("triggers", "t")})
    here.store.update_status("triggers", "t", {})
    assert len(here.triggers.applied) == 1
    stored = here.store.get("triggers", "t")
    here.store.update("triggers", {**stored, "spec": {**stored["spec"], "filters": [{"exact": {"type": "x"}}]}})
    assert len(here.triggers.applied) == 2
    here.store.delete("triggers", "t")
    assert here.triggers.deleted == [("default", "t")]


def test_trigger_without_its_broker_is_not_run(here: Fixture) -> None:
    here.trigger()
    assert not here.triggers.applied
    here.broker()
    assert len(here.triggers.applied) == 1
    here.store.delete("brokers", "tidegate")
    assert here.triggers.deleted == [("default", "t")]
    assert here.is_("triggers", "t", "BrokerReady") == ("False", "BrokerDoesNotExist")


def test_triggers_of_two_namespaces_share_a_name(here: Fixture) -> None:
    here.broker()
    here.trigger()
    spec = {"broker": "tidegate", "subscriber": {"uri": "http://a.example"}}
    metadata = {"name": "t", "namespace": "other"}
    here.add("triggers", {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": metadata, "spec": spec})
    other = here.store.get("triggers", "t", "other")
    assert (condition(other, "BrokerReady") or {})["status"] == "False"


def test_two_brokers_that_are_each_others_dead_letter_sink_settle(here: Fixture) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        ref = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": other}
        spec = {"delivery": {"deadLetterSink": {"ref": ref}}}
        here.add("brokers", {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": {"name": name}, "spec": spec})
    assert here.status("brokers", "a")["deadLetterSinkUri"].endswith("/default/b")
    assert here.status("brokers", "b")["deadLetterSinkUri"].endswith("/default/a")


def test_runner_that_fails_leaves_the_others_alone(here: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(item: Manifest, context: Resolved) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(here.brokers, "apply", fail)
    here.service()
    here.broker()
    here.trigger()
    assert len(here.triggers.applied) == 1


async def test_runners_are_closed(here: Fixture) -> None:
    await here.controller.close()
    assert here.triggers.closed
    assert here.brokers.closed
    here.broker()
    assert not here.brokers.applied
