"""Strict models of the supported kinds of objects."""

from __future__ import annotations

from pydantic import Field

from functions.runtime.knative.objects import SERVING
from tidegate.local.objects.podspec import PodSpec, RevisionSpec
from tidegate.local.objects.validation import Json, Object, StrictModel


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


class LabelSelector(StrictModel):
    match_labels: dict[str, str] = Field({})
    match_expressions: Json = None


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
    selector: Json = None


class Destination(StrictModel):
    ref: ObjectReference | None = None
    uri: str | None = None
    ca_certs: str | None = Field(None, alias="CACerts")
    audience: str | None = None


class SinkBindingSpec(StrictModel):
    subject: ObjectReference
    sink: Destination
    ce_overrides: Json = None


class SinkBinding(Manifest):
    spec: SinkBindingSpec
    status: Json = None


class ConfigMap(Manifest):
    data: dict[str, str] = Field({})
    binary_data: dict[str, str] = Field({})
    immutable: bool | None = None


class ServiceAccount(Manifest):
    automount_service_account_token: bool | None = None
    secrets: Json = None
    image_pull_secrets: Json = None


class Role(Manifest):
    rules: Json = None


class RoleBinding(Manifest):
    role_ref: Json
    subjects: Json = None


class JobSink(Manifest):
    spec: Json
    status: Json = None


KINDS: dict[tuple[str, str], type[Manifest]] = {
    (SERVING, "Service"): KnativeService,
    (SERVING, "Revision"): KnativeRevision,
    ("apps/v1", "Deployment"): Deployment,
    ("sources.knative.dev/v1", "SinkBinding"): SinkBinding,
    ("sinks.knative.dev/v1alpha1", "JobSink"): JobSink,
    ("v1", "ConfigMap"): ConfigMap,
    ("v1", "ServiceAccount"): ServiceAccount,
    ("rbac.authorization.k8s.io/v1", "Role"): Role,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): RoleBinding,
}

_NO_POD = "a process is not a pod"
# Kinds that manifests for a cluster may contain and that start no process, by API group and kind, with the reason.
_CLUSTER_ONLY = {
    ("", "LimitRange"): _NO_POD,
    ("", "Namespace"): "tidegate up has no namespaces",
    ("", "PersistentVolumeClaim"): "a process uses the files of this machine",
    ("", "ResourceQuota"): _NO_POD,
    ("", "Secret"): "set its values in the environment of tidegate up",
    ("eventing.knative.dev", "Broker"): "publish to the stream's topic, or post to the router",
    ("eventing.knative.dev", "EventPolicy"): "tidegate up has no JobSink that could start a job",
    ("eventing.knative.dev", "EventType"): "tidegate up has no event registry",
    ("eventing.knative.dev", "KafkaSink"): "the stream worker writes its topics itself",
    ("eventing.knative.dev", "Trigger"): "publish to the stream's topic, or post to the router",
    ("keda.sh", "ScaledObject"): "each stream has one worker in tidegate up",
    ("keda.sh", "TriggerAuthentication"): "each stream has one worker in tidegate up",
    ("monitoring.coreos.com", "PodMonitor"): "a function serves its own /metrics",
    ("monitoring.coreos.com", "ServiceMonitor"): "a function serves its own /metrics",
    ("networking.k8s.io", "NetworkPolicy"): "all processes listen on loopback only",
    ("policy", "PodDisruptionBudget"): _NO_POD,
    ("sources.knative.dev", "KafkaSource"): "publish to the stream's topic, or post to the router",
    ("sources.knative.dev", "PingSource"): "start `tidegate batch` at the scheduled time",
}


def cluster_only_reason(item: Object) -> str | None:
    """The reason why an object that a cluster would run is left out, or None for all others."""
    group = str(item.get("apiVersion")).rpartition("/")[0]
    if _component(item) == "kafka":
        return "tidegate up brings its own Kafka"
    return _CLUSTER_ONLY.get((group, str(item.get("kind"))))


def _component(item: Object) -> object:
    metadata = item.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return labels.get("app.kubernetes.io/component") if isinstance(labels, dict) else None
