"""The parts of a cluster that serve the kinds of manifests: their deployments, and the pages on their installation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a cluster. Its `deployments` in `namespace` act on the objects of its kinds."""

    name: str
    install: str
    namespace: str = ""
    deployments: tuple[str, ...] = ()


_KNATIVE = "https://knative.dev/docs"
SERVING = Part(
    "Knative Serving",
    f"{_KNATIVE}/install/yaml-install/serving/install-serving-with-yaml/",
    "knative-serving",
    ("controller", "webhook", "autoscaler", "activator"),
)
EVENTING = Part(
    "Knative Eventing",
    f"{_KNATIVE}/install/yaml-install/eventing/install-eventing-with-yaml/",
    "knative-eventing",
    ("eventing-controller", "eventing-webhook"),
)
KAFKA = Part(
    "Knative's Kafka components",
    f"{_KNATIVE}/eventing/brokers/broker-types/kafka-broker/",
    "knative-eventing",
    ("kafka-controller", "kafka-webhook-eventing"),
)
KAFKA_SOURCE = Part("Knative's KafkaSource", f"{_KNATIVE}/eventing/sources/kafka-source/", KAFKA.namespace, KAFKA.deployments)
KAFKA_SINK = Part("Knative's KafkaSink", f"{_KNATIVE}/eventing/sinks/kafka-sink/", KAFKA.namespace, KAFKA.deployments)
JOB_SINK = Part("Knative Eventing's JobSink", EVENTING.install, "knative-eventing", ("job-sink",))
CHANNEL_BROKER = Part(
    "Knative's channel-based Broker",
    f"{_KNATIVE}/eventing/brokers/broker-types/channel-based-broker/",
    "knative-eventing",
    ("mt-broker-controller", "mt-broker-ingress", "mt-broker-filter"),
)
KEDA = Part("KEDA", "https://keda.sh/docs/latest/deploy/", "keda", ("keda-operator",))
PROMETHEUS = Part("the Prometheus operator", "https://prometheus-operator.dev/docs/getting-started/installation/")
GATEWAY = Part("the Gateway API", "https://gateway-api.sigs.k8s.io/guides/getting-started/")
CERT_MANAGER = Part("cert-manager", "https://cert-manager.io/docs/installation/")
STRIMZI = Part("Strimzi", "https://strimzi.io/quickstarts/")

_KINDS = {"KafkaSource": KAFKA_SOURCE, "KafkaSink": KAFKA_SINK, "KafkaChannel": KAFKA, "JobSink": JOB_SINK}
_GROUPS = {
    "serving.knative.dev": SERVING,
    "eventing.knative.dev": EVENTING,
    "flows.knative.dev": EVENTING,
    "messaging.knative.dev": EVENTING,
    "sinks.knative.dev": EVENTING,
    "sources.knative.dev": EVENTING,
    "bindings.knative.dev": KAFKA,
    "keda.sh": KEDA,
    "monitoring.coreos.com": PROMETHEUS,
    "gateway.networking.k8s.io": GATEWAY,
    "cert-manager.io": CERT_MANAGER,
    "kafka.strimzi.io": STRIMZI,
}
_BROKERS = {"Kafka": KAFKA, "KafkaNamespaced": KAFKA, "MTChannelBasedBroker": CHANNEL_BROKER}

# Controllers of routes, by the ingress class in Knative Serving's config-network.
DEFAULT_INGRESS = "istio.ingress.networking.knative.dev"
INGRESSES = {
    "kourier.ingress.networking.knative.dev": Part(
        "Kourier",
        "https://knative.dev/docs/install/yaml-install/serving/install-serving-with-yaml/#install-a-networking-layer",
        SERVING.namespace,
        ("net-kourier-controller",),
    ),
    DEFAULT_INGRESS: Part(
        "Knative's Istio controller", "https://knative.dev/docs/install/installing-istio/", SERVING.namespace, ("net-istio-controller",)
    ),
    "contour.ingress.networking.knative.dev": Part(
        "Knative's Contour controller",
        "https://knative.dev/docs/install/yaml-install/serving/install-serving-with-yaml/#install-a-networking-layer",
        SERVING.namespace,
        ("net-contour-controller",),
    ),
    "gateway-api.ingress.networking.knative.dev": Part(
        "Knative's Gateway API controller",
        "https://knative.dev/docs/install/yaml-install/serving/install-serving-with-yaml/#install-a-networking-layer",
        SERVING.namespace,
        ("net-gateway-api-controller",),
    ),
}


def of(api_version: str, kind: str) -> Part | None:
    """The part that serves a kind; None for a kind of Kubernetes itself, or an unknown one."""
    return _KINDS.get(kind) or _GROUPS.get(api_version.rpartition("/")[0])


def of_broker(broker_class: str) -> Part | None:
    """The part that runs Brokers of this class; None for an unknown class."""
    return _BROKERS.get(broker_class)
