"""The one way to the cluster: reads, questions about rights, and dry runs. Nothing is ever changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import urllib3
from kubernetes import client, config
from yaml import YAMLError

from common.errors import TidegateError
from common.loopback import is_loopback_url
from tidegate.doctor.accessors import mapping, mappings, name_of, text
from tidegate.doctor.finding import Unseen
from tidegate.objects import Document, Object

# Of one call. A whole check has its own limit (tidegate.doctor.run).
_TIMEOUT = urllib3.Timeout(connect=3.0, read=8.0)
# They have no types.
_CONTEXTS: Callable[..., Any] = config.list_kube_config_contexts
_LOAD: Callable[..., Any] = config.load_kube_config
_JSON, _APPLY = "application/json", "application/apply-patch+yaml"
_MANAGER = "tidegate-doctor"
# A traceback and what was said before it.
_LOG_LINES = "30"
# What the kubelet answers in place of the log of a container that is removed already, with status 200.
_LOG_GONE = "unable to retrieve container logs"


class NoCluster(TidegateError):
    """There is no configuration by which a cluster could be found."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is empty when the answer is no JSON object; `warnings` are those that the server sends beside it."""

    status: int
    body: Object
    warnings: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The server's own."""
        return text(self.body, "message") or f"status {self.status}"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as the cluster serves it: `name` is what stands in paths, such as `services`."""

    group_version: str
    name: str
    namespaced: bool

    @property
    def group(self) -> str:
        return self.group_version.rpartition("/")[0]


class Api:
    """Calls with the credentials of the kubeconfig. Raises urllib3's errors when nobody answers."""

    def __init__(self, configuration: Any) -> None:
        self.url: str = configuration.host.rstrip("/")
        self._configuration = configuration
        self._pool = client.ApiClient(configuration).rest_client.pool_manager

    def call(self, method: str, path: str, body: Object | None = None, content_type: str = _JSON, **query: str) -> Answer:
        content = orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS) if body is not None else None
        found = self._request(method, path, query, {"Accept": _JSON, "Content-Type": content_type}, content)
        warnings = tuple(value for name, value in found.headers.items() if name.lower() == "warning")
        return Answer(found.status, _object(found.data), warnings)

    def read(self, path: str, **query: str) -> str:
        """What is at the path as text, which is no JSON, such as a log; empty where it is not given."""
        found = self._request("GET", path, query, {"Accept": "*/*"}, None)
        return str(found.data.decode(errors="replace")) if found.status == 200 else ""

    def _request(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes | None) -> Any:
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        sent = {**headers, **self._authorization()}
        return self._pool.request(method, url, headers=sent, body=body, timeout=_TIMEOUT, retries=False, redirect=False)

    def _authorization(self) -> dict[str, str]:
        # Asked for each time, since a plug-in of the kubeconfig may have to make a new token.
        settings = self._configuration.auth_settings().values()
        return {setting["key"]: setting["value"] for setting in settings if setting["in"] == "header" and setting["value"]}


@dataclass
class Cluster:
    """The cluster, the namespace that is deployed to, and the manifests; the rest is found out on the way."""

    api: Api
    namespace: str
    documents: list[Document]
    served: dict[tuple[str, str], Resource] = field(default_factory=dict)
    """By apiVersion and kind, what the manifests use and the cluster has."""

    has_namespace: bool = True
    """False once the namespace was looked for in vain."""

    forbidden: set[str] = field(default_factory=set)
    """Names of resources, such as `services.serving.knative.dev`, that this user may not write."""

    _seen: dict[str, Object | None] = field(default_factory=dict)

    def get(self, path: str, **query: str) -> Object | None:
        """The object or the list at the path, read once; None where there is none. Raises Unseen."""
        key = f"{path}?{urlencode(query)}"
        if key not in self._seen:
            self._seen[key] = self._get(path, query)
        return self._seen[key]

    def items(self, path: str, **query: str) -> list[Object]:
        return mappings((self.get(path, **query) or {}).get("items"))

    def namespace_of(self, item: Object) -> str:
        return text(mapping(item, "metadata"), "namespace") or self.namespace

    def path(self, item: Object) -> str | None:
        """Where the object is or would be; None for a kind that is not served."""
        resource = self.served.get((text(item, "apiVersion"), text(item, "kind")))
        return f"{self.collection(resource, self.namespace_of(item))}/{quote(name_of(item))}" if resource and name_of(item) else None

    @staticmethod
    def collection(resource: Resource, namespace: str) -> str:
        root = f"/apis/{resource.group_version}" if "/" in resource.group_version else f"/api/{resource.group_version}"
        return f"{root}/namespaces/{quote(namespace)}/{resource.name}" if resource.namespaced else f"{root}/{resource.name}"

    def live(self, item: Object) -> Object | None:
        """The object of the same name that is on the cluster. Raises Unseen."""
        path = self.path(item)
        return self.get(path) if path and self.has_namespace else None

    def applied(self, path: str, item: Object) -> Answer:
        """What the server would answer to a server-side apply with strict validation; it keeps nothing of it."""
        query = {"dryRun": "All", "fieldManager": _MANAGER, "fieldValidation": "Strict", "force": "true"}
        return self.api.call("PATCH", path, item, _APPLY, **query)

    def created(self, path: str, item: Object) -> Answer:
        """Likewise, to a new object."""
        return self.api.call("POST", path, item, dryRun="All", fieldManager=_MANAGER)

    def log(self, pod: Object, container: str) -> str:
        """The end of the log of a container as it last ended, or as it runs; empty where it cannot be read."""
        path = f"/api/v1/namespaces/{quote(text(mapping(pod, 'metadata'), 'namespace'))}/pods/{quote(name_of(pod))}/log"
        for previous in ("true", "false"):
            found = self.api.read(path, container=container, previous=previous, tailLines=_LOG_LINES)
            if found and not found.startswith(_LOG_GONE):
                return found
        return ""

    def reviewed(self, kind: str, spec: Object) -> bool:
        """The answer to a SelfSubjectAccessReview or a SubjectAccessReview. Raises Unseen."""
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        answer = self.api.call("POST", f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body)
        if answer.status not in (200, 201):
            raise Unseen(answer.sentence)
        return mapping(answer.body, "status").get("allowed") is True

    def _get(self, path: str, query: dict[str, str]) -> Object | None:
        answer = self.api.call("GET", path, None, _JSON, **query)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Unseen(answer.sentence)
        return answer.body


def connect(kubeconfig: Path | None, context: str | None) -> tuple[Api, str]:
    """The API of the kubeconfig (by default KUBECONFIG or ~/.kube/config) and the namespace of its context. Raises NoCluster."""
    configuration = client.Configuration()
    file = str(kubeconfig) if kubeconfig else None
    try:
        contexts, current = _CONTEXTS(file)
        _LOAD(file, context, client_configuration=configuration, persist_config=False)
    except (config.ConfigException, OSError, ValueError, TypeError, KeyError, YAMLError) as problem:
        raise NoCluster(
            f"no cluster can be found by {kubeconfig or 'KUBECONFIG or ~/.kube/config'}: {' '.join(str(problem).split()).rstrip('.')};"
            " name a kubeconfig by --kubeconfig, and one of its contexts by --context (kubectl config get-contexts)."
        ) from None
    if is_loopback_url(configuration.host):
        configuration.proxy = None  # as kubectl does
    chosen = next((item for item in contexts if item["name"] == context), current)
    return Api(configuration), text(mapping(chosen, "context"), "namespace") or "default"


def _object(content: bytes) -> Object:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
