"""Objects of the manifests' components, created and changed by the official Kubernetes client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tidegate.documents import read_documents
from tidegate.local.objects.manifests import DEFAULT_NAMESPACE

COMPONENTS = Path("manifests/components")

Object = dict[str, Any]


def connect(kubeconfig: Path) -> Any:
    """A client of the API, as for any cluster. The package has types for a part of itself only."""
    from kubernetes import client, config

    configuration: Any = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    configuration.proxy = None  # a proxy of the environment does not lead back to this machine
    return client.ApiClient(configuration)


def component(path: str) -> list[Object]:
    """The objects of a component, or of one of its files."""
    return [document.object for document in read_documents(str(COMPONENTS / path))]


class Objects:
    """A context manager: objects of any kind in the default namespace."""

    def __init__(self, kubeconfig: Path) -> None:
        from kubernetes import client

        self._client = connect(kubeconfig)
        self._api: Any = client.CustomObjectsApi(self._client)
        self._core: Any = client.CoreV1Api(self._client)

    def __enter__(self) -> Objects:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def create(self, *items: Object) -> None:
        for item in items:
            if item["kind"] == "ConfigMap":
                self._core.create_namespaced_config_map(DEFAULT_NAMESPACE, item)
            else:
                self._api.create_namespaced_custom_object(*_resource(item["apiVersion"], item["kind"]), item)

    def set_job_env(self, sink: str, variable: str, value: str) -> None:
        """Change one environment variable of the Jobs of a JobSink."""
        resource = _resource("sinks.knative.dev/v1alpha1", "JobSink")
        found = self._api.get_namespaced_custom_object(*resource, sink)
        (container,) = found["spec"]["job"]["spec"]["template"]["spec"]["containers"]
        next(item for item in container["env"] if item["name"] == variable)["value"] = value
        self._api.replace_namespaced_custom_object(*resource, sink, found)


def _resource(api_version: str, kind: str) -> tuple[str, str, str, str]:
    group, version = api_version.split("/")
    return group, version, DEFAULT_NAMESPACE, f"{kind.lower()}s"
