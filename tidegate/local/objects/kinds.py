"""The kinds of objects that `tidegate up` supports, with their names in the API, and those that only a cluster does."""

from __future__ import annotations

from dataclasses import dataclass

from functions.runtime.knative.objects import REVISIONS, SERVICES, SERVING_GROUP
from tidegate.local.objects import eventing, resources
from tidegate.local.objects.job import Job
from tidegate.local.objects.resources import Manifest
from tidegate.local.objects.validation import Object

CONFIG_MAPS, EVENTS = "configmaps", "events"
_KNATIVE = ("all", "knative")
# Kubernetes' own groups. Clients patch their kinds in another way than custom resources.
_KUBERNETES = ("", "apps", "batch", "rbac.authorization.k8s.io")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of objects. The first of `versions` is the preferred one.

    `plural` is its resource's name in the API and in the store. One that is not `served` is read from manifests only.
    """

    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    model: type[Manifest]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    served: bool = True

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def api_versions(self) -> tuple[str, ...]:
        """The values of `apiVersion`, such as `serving.knative.dev/v1`."""
        return tuple(f"{self.group}/{version}" if self.group else version for version in self.versions)

    @property
    def has_status(self) -> bool:
        return "status" in self.model.model_fields

    @property
    def is_kubernetes(self) -> bool:
        """Whether it is one of Kubernetes' own kinds, and no custom resource."""
        return self.group in _KUBERNETES

    @property
    def qualified(self) -> str:
        """The name of the resource with its group, as the API server writes it: `services.serving.knative.dev`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _kind(group: str, version: str, plural: str, model: type[Manifest], *short: str, category: str = "", served: bool = True) -> Kind:
    categories = (*_KNATIVE, category) if category else ()
    kind = model.__name__.removeprefix("Knative")
    versions = tuple(version.split())
    return Kind(
        group=group, versions=versions, kind=kind, plural=plural, model=model, short_names=short, categories=categories, served=served
    )


_EVENTING, _SOURCES, _FLOWS = "eventing.knative.dev", "sources.knative.dev", "flows.knative.dev"
_RBAC = "rbac.authorization.k8s.io"
SUPPORTED = (
    _kind(SERVING_GROUP, "v1", SERVICES, resources.KnativeService, "kservice", "ksvc", category="serving"),
    _kind(SERVING_GROUP, "v1", REVISIONS, resources.KnativeRevision, "rev", category="serving"),
    _kind(_EVENTING, "v1", "brokers", eventing.Broker, category="eventing"),
    _kind(_EVENTING, "v1", "triggers", eventing.Trigger, category="eventing"),
    _kind(_EVENTING, "v1alpha1", "kafkasinks", eventing.KafkaSink, category="eventing"),
    _kind(_SOURCES, "v1", "pingsources", eventing.PingSource, category="sources"),
    _kind(_SOURCES, "v1 v1beta1", "kafkasources", eventing.KafkaSource, category="sources"),
    _kind(_SOURCES, "v1", "sinkbindings", eventing.SinkBinding, category="sources"),
    _kind(_SOURCES, "v1", "apiserversources", eventing.ApiServerSource, category="sources"),
    _kind(_SOURCES, "v1", "containersources", eventing.ContainerSource, category="sources"),
    _kind("sinks.knative.dev", "v1alpha1", "jobsinks", eventing.JobSink, category="sinks"),
    _kind(_FLOWS, "v1", "sequences", eventing.Sequence, category="flows"),
    _kind(_FLOWS, "v1", "parallels", eventing.Parallel, category="flows"),
    _kind("batch", "v1", "jobs", Job),
    _kind("apps", "v1", "deployments", resources.Deployment, "deploy", served=False),
    _kind("", "v1", CONFIG_MAPS, resources.ConfigMap, "cm"),
    _kind("", "v1", EVENTS, resources.Event, "ev"),
    _kind("", "v1", "serviceaccounts", resources.ServiceAccount, "sa"),
    _kind(_RBAC, "v1", "roles", resources.Role),
    _kind(_RBAC, "v1", "rolebindings", resources.RoleBinding),
)

INGRESS_NAMES = {
    "brokers": "broker-ingress",
    "kafkasinks": "kafka-sink-ingress",
    "jobsinks": "job-sink",
    "sequences": "sequence-ingress",
    "parallels": "parallel-ingress",
}
"""By resource: the name in the host that answers for all of its objects, which no Knative Service can have."""


def api_root(api_version: str) -> str:
    """The path of a group's version in the API: `/api/v1` for Kubernetes' core group, `/apis/batch/v1` for another."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


BY_PLURAL = {kind.plural: kind for kind in SUPPORTED}
BY_VERSION = {(version, kind.kind): kind for kind in SUPPORTED for version in kind.api_versions}
KINDS: dict[tuple[str, str], type[Manifest]] = {key: kind.model for key, kind in BY_VERSION.items()}

_NO_POD = "a process is not a pod"
# Kinds that manifests for a cluster may contain and that start no process, by API group and kind, with the reason.
_CLUSTER_ONLY = {
    ("", "LimitRange"): _NO_POD,
    ("", "Namespace"): "tidegate up has no namespaces",
    ("", "PersistentVolumeClaim"): "a process uses the files of this machine",
    ("", "ResourceQuota"): _NO_POD,
    ("", "Secret"): "set its values in the environment of tidegate up",
    ("eventing.knative.dev", "EventPolicy"): "every process of this machine may send events",
    ("eventing.knative.dev", "EventType"): "tidegate up has no event registry",
    ("keda.sh", "ScaledObject"): "each stream has one worker in tidegate up",
    ("keda.sh", "TriggerAuthentication"): "each stream has one worker in tidegate up",
    ("monitoring.coreos.com", "PodMonitor"): "a function serves its own /metrics",
    ("monitoring.coreos.com", "ServiceMonitor"): "a function serves its own /metrics",
    ("networking.k8s.io", "NetworkPolicy"): "all processes listen on loopback only",
    ("policy", "PodDisruptionBudget"): _NO_POD,
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
