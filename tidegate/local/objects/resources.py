"""Strict models of Knative Services and of Kubernetes' own objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from tidegate.local.objects.podspec import PodSpec, RevisionSpec
from tidegate.local.objects.validation import Json, StrictModel

_MOST_ANNOTATION_BYTES = 256 * 1024


class Metadata(StrictModel):
    name: str | None = None
    namespace: str | None = None
    generate_name: str | None = None
    labels: dict[str, str] = Field({})
    annotations: dict[str, str] = Field({})
    finalizers: list[str] = Field([])
    owner_references: Json = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    managed_fields: Json = None
    self_link: str | None = None

    @field_validator("annotations")
    @classmethod
    def _bounded(cls, value: dict[str, str]) -> dict[str, str]:
        """As in the API server, of names and values together."""
        if sum(len(text.encode(errors="surrogatepass")) for pair in value.items() for text in pair) > _MOST_ANNOTATION_BYTES:
            raise ValueError(f"must have at most {_MOST_ANNOTATION_BYTES} bytes")
        return value


class Manifest(StrictModel):
    """The fields that objects of every kind have."""

    api_version: str
    kind: str
    metadata: Metadata


class RevisionTemplate(StrictModel):
    metadata: Metadata = Metadata.model_validate({})
    spec: RevisionSpec


class TrafficTarget(StrictModel):
    revision_name: str | None = None
    configuration_name: str | None = None
    latest_revision: bool | None = None
    percent: int | None = None
    tag: str | None = None
    url: str | None = None


class ServiceSpec(StrictModel):
    template: RevisionTemplate
    traffic: list[TrafficTarget] = Field([])


class KnativeService(Manifest):
    spec: ServiceSpec
    status: Json = None


class KnativeRevision(Manifest):
    spec: RevisionSpec
    status: Json = None


class PodTemplate(StrictModel):
    metadata: Metadata = Metadata.model_validate({})
    spec: PodSpec


class LabelRequirement(StrictModel):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = Field([])

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy it. An absent label satisfies NotIn, as in Kubernetes."""
        if self.operator in ("Exists", "DoesNotExist"):
            return (self.key in labels) == (self.operator == "Exists")
        return (labels.get(self.key) in self.values) == (self.operator == "In")


class LabelSelector(StrictModel):
    match_labels: dict[str, str] = Field({})
    match_expressions: list[LabelRequirement] = Field([])

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels satisfy every requirement; an empty selector has none."""
        return self.match_labels.items() <= labels.items() and all(item.holds(labels) for item in self.match_expressions)


class DeploymentSpec(StrictModel):
    template: PodTemplate
    selector: LabelSelector
    replicas: int = Field(1, ge=0)
    strategy: Json = None
    min_ready_seconds: int | None = None
    revision_history_limit: int | None = None
    progress_deadline_seconds: int | None = None
    paused: bool | None = None


class Deployment(Manifest):
    spec: DeploymentSpec
    status: Json = None


class ObjectReference(StrictModel):
    api_version: str
    kind: str
    name: str | None = None
    namespace: str | None = None
    selector: LabelSelector | None = None


class ConfigMap(Manifest):
    data: dict[str, str] = Field({})
    binary_data: dict[str, str] = Field({})
    immutable: bool | None = None


class Event(Manifest):
    """What happened to an object, for people: the core group's form of it."""

    involved_object: Json
    reason: str | None = None
    message: str | None = None
    type: str | None = None
    action: str | None = None
    count: int | None = None
    source: Json = None
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    series: Json = None
    related: Json = None
    reporting_component: str | None = None
    reporting_instance: str | None = None


class ServiceAccount(Manifest):
    automount_service_account_token: bool | None = None
    secrets: Json = None
    image_pull_secrets: Json = None


class Role(Manifest):
    rules: Json = None


class RoleBinding(Manifest):
    role_ref: Json
    subjects: Json = None
