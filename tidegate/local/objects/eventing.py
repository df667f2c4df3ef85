"""Strict models of Knative Eventing's objects."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegate.local.objects.job import JobTemplate
from tidegate.local.objects.resources import LabelSelector, Manifest, ObjectReference, PodTemplate
from tidegate.local.objects.validation import Json, StrictModel

EVENTING, EVENTING_ALPHA = "eventing.knative.dev/v1", "eventing.knative.dev/v1alpha1"
SOURCES, SOURCES_BETA = "sources.knative.dev/v1", "sources.knative.dev/v1beta1"
SINKS, FLOWS = "sinks.knative.dev/v1alpha1", "flows.knative.dev/v1"
BROKER_CLASS = "eventing.knative.dev/broker.class"
DELIVERY_ORDER = "kafka.eventing.knative.dev/delivery.order"
"""The annotation of a Trigger with the value `ordered` or `unordered` (the default)."""
EXTERNAL_TOPIC = "kafka.eventing.knative.dev/external.topic"
"""The annotation of a Broker with the name of a topic that exists already, which is then its own."""


class Destination(StrictModel):
    """A receiver of events: an object with an address, an absolute URI, or a URI relative to the object's."""

    ref: ObjectReference | None = None
    uri: str | None = None
    ca_certs: str | None = Field(None, alias="CACerts")
    audience: str | None = None


# As the webhook of a cluster does, the rules report it by its fields.
_MISSING = Destination.model_validate({})


class DeliverySpec(StrictModel):
    """How often an event is sent, how long an attempt may take, and where it goes after the last one.

    Times are durations of ISO 8601, such as `PT0.5S`.
    """

    dead_letter_sink: Destination | None = None
    retry: int | None = None
    backoff_policy: str | None = None
    backoff_delay: str | None = None
    timeout: str | None = None
    retry_after_max: str | None = None
    format: str | None = None


class CloudEventOverrides(StrictModel):
    extensions: dict[str, str] = Field({})


class BrokerSpec(StrictModel):
    config: ObjectReference | None = None
    delivery: DeliverySpec | None = None


class Broker(Manifest):
    spec: BrokerSpec = BrokerSpec.model_validate({})
    status: Json = None

    @property
    def topic(self) -> str:
        """The name of its topic in Kafka: that of an annotation, or by Knative's default template."""
        found = self.metadata
        return found.annotations.get(EXTERNAL_TOPIC) or f"knative-broker-{found.namespace}-{found.name}"


class TriggerFilter(StrictModel):
    attributes: dict[str, str] = Field({})


class EventFilter(StrictModel):
    """A filter with one of the dialects of CloudEvents' Subscriptions API."""

    exact: dict[str, str] = Field({})
    prefix: dict[str, str] = Field({})
    suffix: dict[str, str] = Field({})
    all: list[EventFilter] = Field([])
    any: list[EventFilter] = Field([])
    not_: EventFilter | None = Field(None, alias="not")
    cesql: str = ""


class BrokerReference(StrictModel):
    api_version: str | None = None
    kind: str | None = None
    name: str
    namespace: str | None = None


class TriggerSpec(StrictModel):
    broker: str = ""
    broker_ref: BrokerReference | None = None
    filter: TriggerFilter | None = None
    filters: list[EventFilter] = Field([])
    subscriber: Destination = _MISSING
    delivery: DeliverySpec | None = None


class Trigger(Manifest):
    spec: TriggerSpec
    status: Json = None


class SourceSpec(StrictModel):
    """The fields that all sources have."""

    sink: Destination = _MISSING
    ce_overrides: CloudEventOverrides | None = None


class PingSourceSpec(SourceSpec):
    schedule: str = "* * * * *"
    timezone: str = ""
    content_type: str = ""
    data: str = ""
    data_base64: str = Field("", alias="dataBase64")


class PingSource(Manifest):
    spec: PingSourceSpec
    status: Json = None


class KafkaSourceSpec(SourceSpec):
    bootstrap_servers: list[str] = Field(min_length=1)
    topics: list[str] = Field(min_length=1)
    consumer_group: str = ""
    consumers: int = Field(1, ge=0)
    initial_offset: Literal["earliest", "latest"] = "latest"
    ordering: Literal["ordered", "unordered"] = "ordered"
    delivery: DeliverySpec | None = None
    net: Json = None


class KafkaSource(Manifest):
    spec: KafkaSourceSpec
    status: Json = None


class KafkaSinkSpec(StrictModel):
    topic: str = Field(min_length=1)
    bootstrap_servers: list[str] = Field(min_length=1)
    num_partitions: int | None = Field(None, ge=1)
    replication_factor: int | None = Field(None, ge=1)
    content_mode: Literal["binary", "structured"] = "binary"
    auth: Json = None


class KafkaSink(Manifest):
    spec: KafkaSinkSpec
    status: Json = None


class JobSinkSpec(StrictModel):
    job: JobTemplate


class JobSink(Manifest):
    spec: JobSinkSpec
    status: Json = None


class SinkBindingSpec(SourceSpec):
    subject: ObjectReference


class SinkBinding(Manifest):
    spec: SinkBindingSpec
    status: Json = None


class ResourceSelector(StrictModel):
    api_version: str
    kind: str = Field(min_length=1)
    selector: LabelSelector | None = None


class ResourceOwner(StrictModel):
    api_version: str
    kind: str


class ApiServerSourceSpec(SourceSpec):
    resources: list[ResourceSelector] = Field(min_length=1)
    owner: ResourceOwner | None = None
    mode: Literal["Reference", "Resource"] = "Reference"
    service_account_name: str = "default"
    namespace_selector: LabelSelector | None = None
    filters: list[EventFilter] = Field([])


class ApiServerSource(Manifest):
    spec: ApiServerSourceSpec
    status: Json = None


class ContainerSourceSpec(SourceSpec):
    template: PodTemplate


class ContainerSource(Manifest):
    spec: ContainerSourceSpec
    status: Json = None


class ChannelTemplate(StrictModel):
    """The kind of the channels between steps. It is accepted and ignored: a process calls the next step itself."""

    api_version: str
    kind: str
    spec: Json = None


class SequenceStep(Destination):
    delivery: DeliverySpec | None = None


class SequenceSpec(StrictModel):
    steps: list[SequenceStep] = Field([])
    channel_template: ChannelTemplate | None = None
    reply: Destination | None = None


class Sequence(Manifest):
    spec: SequenceSpec
    status: Json = None


class ParallelBranch(StrictModel):
    filter: Destination | None = None
    subscriber: Destination = _MISSING
    reply: Destination | None = None
    delivery: DeliverySpec | None = None


class ParallelSpec(StrictModel):
    branches: list[ParallelBranch] = Field([])
    channel_template: ChannelTemplate | None = None
    reply: Destination | None = None


class Parallel(Manifest):
    spec: ParallelSpec
    status: Json = None
