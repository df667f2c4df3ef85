"""The status of each kind of object as a pure function: addresses, resolved URLs, and the conditions of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from eventing.types import KNATIVE_PING
from functions.runtime.knative import objects
from tidegate.local.apiserver import conditions
from tidegate.local.eventing import addressing
from tidegate.local.eventing.resolution import Resolution, broker_of
from tidegate.local.eventing.runner import Condition
from tidegate.local.objects.eventing import DELIVERY_ORDER, Broker, KafkaSource, Trigger
from tidegate.local.objects.resources import Manifest
from tidegate.local.objects.validation import Object

SINK, SUBSCRIBER, DEAD_LETTER = "spec.sink", "spec.subscriber", "spec.delivery.deadLetterSink"
_NO_POLICY = Condition(
    type="EventPoliciesReady", reason="DefaultAuthorizationMode", message="tidegate up accepts the events of every process of this machine"
)
_NO_IDENTITY = Condition(type="OIDCIdentityCreated", reason="authentication-oidc feature disabled")
# Of a receiver with a topic in Kafka: Brokers of class Kafka, and KafkaSinks.
_RECEIVER = ("ConfigMapUpdated", "ConfigParsed", "DataPlaneAvailable", "ProbeSucceeded")
# Until their runner reports it.
_TOPIC_UNKNOWN = Condition(type="TopicReady", status="Unknown")
_FLOW = ("ChannelsReady", "SubscriptionsReady")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An object with everything that decides its status. `broker` is that of a Trigger, if it exists.

    `reported` are the conditions that its runner has reported, by type.
    """

    resource: str
    item: Object
    model: Manifest
    resolution: Resolution
    port: int
    broker: Object | None = None
    reported: Mapping[str, Condition] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return str(self.item["metadata"]["namespace"])

    @property
    def name(self) -> str:
        return str(self.item["metadata"]["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Status:
    """The fields of a status beside its conditions, and the conditions on which Ready depends."""

    fields: Object
    conditions: list[Condition]


def status_of(view: View) -> Object:
    """The status of an object whose kind has conditions."""
    found = _KINDS[view.resource](view)
    known = {condition.type: condition for condition in found.conditions}
    # What the controller knows to be wrong is not made right by a runner.
    known |= {type_: reported for type_, reported in view.reported.items() if type_ not in known or known[type_].status != "False"}
    return {
        "observedGeneration": view.item["metadata"]["generation"],
        "conditions": _written(view.item, [*known.values(), _ready(known.values())]),
        **found.fields,
    }


def has_status(resource: str) -> bool:
    """Whether the controller writes the status of a resource."""
    return resource in _KINDS


def _written(item: Object, found: Iterable[Condition]) -> list[Object]:
    ordered = sorted(found, key=lambda condition: condition.type)
    return [conditions.changed(item, c.type, c.status, c.reason, c.message) for c in ordered]


def _ready(found: Iterable[Condition]) -> Condition:
    """Ready has the reason of the first condition that is not true, failures before unknown ones."""
    unmet = [c for status in ("False", "Unknown") for c in sorted(found, key=lambda c: c.type) if c.status == status]
    first = next(iter(unmet), Condition(type=""))
    return Condition(type="Ready", status=first.status, reason=first.reason, message=first.message)


def _broker(view: View) -> _Status:
    assert isinstance(view.model, Broker)  # noqa: S101 for mypy
    dead_letter = _uri("deadLetterSinkUri", view, DEAD_LETTER)
    fields = {**_address(view), **dead_letter, "annotations": {"default.topic": view.model.topic}}
    found = _receiver()
    if problem := view.resolution.problems.get(DEAD_LETTER):
        reason = f"failed to resolve Spec.Delivery.DeadLetterSink: {problem.message}"
        found = [*found, Condition(type="ConfigParsed", status="False", reason=reason)]
    return _Status(fields=fields, conditions=found)


def _kafka_sink(view: View) -> _Status:
    return _Status(fields=_address(view), conditions=_receiver())


def _receiver() -> list[Condition]:
    return [Condition(type="Addressable"), _NO_POLICY, _TOPIC_UNKNOWN, *(Condition(type=type_) for type_ in _RECEIVER)]


def _trigger(view: View) -> _Status:
    fields: Object = {"annotations": {"group.id": f"knative-trigger-{view.namespace}-{view.name}"}}
    identity = Condition(type="OIDCIdentityCreated", reason="authentication-oidc feature not yet supported for this Broker class")
    subscriber, dependency = _subscriber(view)
    fields |= _uri("subscriberUri", view, SUBSCRIBER)
    dead_letter_fields, dead_letter = _dead_letter(view)
    found = [_broker_ready(view), subscriber, dependency, dead_letter, identity, Condition(type="SubscriptionReady")]
    return _Status(fields=fields | dead_letter_fields, conditions=found)


def _broker_ready(view: View) -> Condition:
    if view.broker is None:
        assert isinstance(view.model, Trigger)  # noqa: S101 for mypy
        name = broker_of(view.model, view.namespace).name
        return Condition(type="BrokerReady", status="False", reason="BrokerDoesNotExist", message=f'Broker "{name}" does not exist')
    ready = objects.condition(view.broker, "Ready")
    if ready is None:
        return Condition(type="BrokerReady", status="Unknown", reason="BrokerNotConfigured", message="Broker has not yet been reconciled.")
    return Condition(type="BrokerReady", status=ready["status"], reason=ready.get("reason", ""), message=ready.get("message", ""))


def _subscriber(view: View) -> tuple[Condition, Condition]:
    """The conditions by which the Broker of channels and that of Kafka report an unresolved subscriber: both."""
    problem = view.resolution.problems.get(SUBSCRIBER)
    if problem is None:
        order = view.item["metadata"].get("annotations", {}).get(DELIVERY_ORDER, "unordered")
        message = f"Subscriber will receive events with the delivery order: {order.upper()}"
        resolved = Condition(type="SubscriberResolved", reason="SubscriberResolved", message=message)
        return resolved, _unknown("DependencyReady")
    resolved = Condition(type="SubscriberResolved", status="False", reason="Unable to get the Subscriber's URI", message=problem.message)
    message = f"failed to resolve subscriber: {problem.message}"
    return resolved, Condition(type="DependencyReady", status="False", reason="ReconcileContract", message=message)


def _dead_letter(view: View) -> tuple[Object, Condition]:
    type_ = "DeadLetterSinkResolved"
    own = _uri("deadLetterSinkUri", view, DEAD_LETTER)
    if own:
        return own, Condition(type=type_)
    if problem := view.resolution.problems.get(DEAD_LETTER):
        reason = "Unable to get the dead letter sink's URI"
        return {}, Condition(type=type_, status="False", reason=reason, message=problem.message)
    assert isinstance(view.model, Trigger)  # noqa: S101 for mypy
    if view.model.spec.delivery is None and view.broker is not None and inherited(view.broker):
        return {"deadLetterSinkUri": inherited(view.broker)}, Condition(type=type_)
    return {}, Condition(type=type_, reason="DeadLetterSinkNotConfigured", message="No dead letter sink is configured.")


def inherited(broker: Object) -> str | None:
    """The dead letter sink's URL of a Broker, which applies to its Triggers without a delivery of their own."""
    url: str | None = (broker.get("status") or {}).get("deadLetterSinkUri")
    return url


def _ping_source(view: View) -> _Status:
    source = f"/apis/v1/namespaces/{view.namespace}/pingsources/{view.name}"
    fields = {**_uri("sinkUri", view, SINK), "ceAttributes": [{"type": KNATIVE_PING, "source": source}]}
    return _Status(fields=fields, conditions=[_sink_provided(view), Condition(type="Deployed"), _NO_IDENTITY])


def _kafka_source(view: View) -> _Status:
    assert isinstance(view.model, KafkaSource)  # noqa: S101 for mypy
    selector = f"eventing.knative.dev/source=kafka-source-controller,eventing.knative.dev/sourceName={view.name}"
    fields = {
        **_uri("sinkUri", view, SINK),
        "consumers": view.model.spec.consumers,
        "selector": selector,
    }
    problem = view.resolution.problems.get(SINK)
    if problem is None:
        return _Status(fields=fields, conditions=[Condition(type="SinkProvided"), _unknown("ConsumerGroup")])
    message = f"failed to resolve subscriber: {problem.message}"
    empty = Condition(type="SinkProvided", status="Unknown", reason="SinkEmpty", message="Sink has resolved to empty.")
    failed = Condition(type="ConsumerGroup", status="False", reason="ReconcileContract", message=message)
    return _Status(fields=fields, conditions=[empty, failed])


def _sink_binding(view: View) -> _Status:
    token = Condition(type="OIDCTokenSecretCreated", reason=_NO_IDENTITY.reason)
    types = ("SinkBindingAvailable", "TrustBundlePropagated")
    found = [_sink_provided(view), _NO_IDENTITY, token, *(Condition(type=type_) for type_ in types)]
    return _Status(fields=_uri("sinkUri", view, SINK), conditions=found)


def _api_server_source(view: View) -> _Status:
    found = [_sink_provided(view), Condition(type="Deployed"), Condition(type="SufficientPermissions"), _NO_IDENTITY]
    return _Status(fields={**_uri("sinkUri", view, SINK), "namespaces": [view.namespace]}, conditions=found)


def _container_source(view: View) -> _Status:
    sink = _sink_provided(view)
    binding = Condition(type="SinkBindingReady", status=sink.status, reason=sink.reason, message=sink.message)
    return _Status(fields=_uri("sinkUri", view, SINK), conditions=[binding, Condition(type="ReceiveAdapterReady")])


def _job_sink(view: View) -> _Status:
    fields = {**_address(view), "job": {"selector": f"sinks.knative.dev/job-sink-name={view.name}"}}
    return _Status(fields=fields, conditions=[Condition(type="Addressable"), _NO_POLICY])


def _flow(view: View) -> _Status:
    """A Sequence or a Parallel, whose subscriptions are ready as soon as each destination has an address."""
    found = [Condition(type="Addressable"), _NO_POLICY, *(Condition(type=type_) for type_ in _FLOW)]
    if view.resolution.problems:
        path, problem = next(iter(view.resolution.problems.items()))
        message = f"{path}: {problem.message}"
        found.append(Condition(type="SubscriptionsReady", status="Unknown", reason="SubscriptionsNotReady", message=message))
    return _Status(fields=_address(view), conditions=found)


def _unknown(type_: str) -> Condition:
    """A condition of a consumer group, until its runner reports it."""
    reason, message = "failed to reconcile consumer group", "consumer group is not ready"
    return Condition(type=type_, status="Unknown", reason=reason, message=message)


def _sink_provided(view: View) -> Condition:
    problem = view.resolution.problems.get(SINK)
    if problem is None:
        return Condition(type="SinkProvided")
    return Condition(type="SinkProvided", status="False", reason="NotFound", message=problem.message)


def _uri(field_: str, view: View, path: str) -> Object:
    return {field_: view.resolution.urls[path]} if path in view.resolution.urls else {}


def _address(view: View) -> Object:
    return {"address": {"name": "http", "url": addressing.ingress_url(view.resource, view.namespace, view.name, view.port)}}


_KINDS: Mapping[str, Callable[[View], _Status]] = {
    addressing.BROKERS: _broker,
    addressing.KAFKA_SINKS: _kafka_sink,
    addressing.JOB_SINKS: _job_sink,
    addressing.SEQUENCES: _flow,
    addressing.PARALLELS: _flow,
    "triggers": _trigger,
    "pingsources": _ping_source,
    "kafkasources": _kafka_source,
    "sinkbindings": _sink_binding,
    "apiserversources": _api_server_source,
    "containersources": _container_source,
}
