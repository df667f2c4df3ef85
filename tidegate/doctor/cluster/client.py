"""The only access to a cluster: reads, access reviews and dry runs. Nothing is changed."""

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
from tidegate.doctor.finding import NotInspectable
from tidegate.documents import Document, Object

# The limits of one call. A whole check has a limit of its own (tidegate.doctor.run).
_TIMEOUT = urllib3.Timeout(connect=3.0, read=8.0)
# The kubernetes package has no types for these.
_CONTEXTS: Callable[..., Any] = config.list_kube_config_contexts
_LOAD: Callable[..., Any] = config.load_kube_config
_JSON, _APPLY = "application/json", "application/apply-patch+yaml"
_MANAGER = "tidegate-doctor"
# Enough for a traceback and the lines before it.
_LOG_LINES = "30"
# The kubelet sends this with status 200 in place of the log of a container that has been removed.
_LOG_GONE = "unable to retrieve container logs"


class NoCluster(TidegateError):
    """No kubeconfig names a cluster."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response of the API server. `body` is empty if it is not a JSON object; `warnings` are its warning headers."""

    status: int
    body: Object
    warnings: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The server's message, or the status if there is none."""
        return text(self.body, "message") or f"status {self.status}"


class Api:
    """HTTP calls with the credentials of the kubeconfig. They raise urllib3's errors when no server responds."""

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
        """Read a resource that is text, such as a log; an empty string if the server does not return it."""
        found = self._request("GET", path, query, {"Accept": "*/*"}, None)
        return str(found.data.decode(errors="replace")) if found.status == 200 else ""

    def _request(self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes | None) -> Any:
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        sent = {**headers, **self._authorization()}
        return self._pool.request(method, url, headers=sent, body=body, timeout=_TIMEOUT, retries=False, redirect=False)

    def _authorization(self) -> dict[str, str]:
        # Read for each call, since a plug-in of the kubeconfig may have to renew the token.
        settings = self._configuration.auth_settings().values()
        return {setting["key"]: setting["value"] for setting in settings if setting["in"] == "header" and setting["value"]}


@dataclass
class Cluster:
    """A cluster, the namespace that is deployed to, and the manifests. An object is read once."""

    api: Api
    namespace: str
    documents: list[Document]
    _cache: dict[str, Object | None] = field(default_factory=dict)

    def get(self, path: str, **query: str) -> Object | None:
        """The object or the list at the path; None if there is none. Raises NotInspectable."""
        key = f"{path}?{urlencode(query)}"
        if key not in self._cache:
            self._cache[key] = self._get(path, query)
        return self._cache[key]

    def items(self, path: str, **query: str) -> list[Object]:
        """The items of the list at the path. Raises NotInspectable."""
        return mappings((self.get(path, **query) or {}).get("items"))

    def namespace_of(self, item: Object) -> str:
        return text(mapping(item, "metadata"), "namespace") or self.namespace

    def try_apply(self, path: str, item: Object) -> Answer:
        """Dry run of a server-side apply with strict validation."""
        query = {"dryRun": "All", "fieldManager": _MANAGER, "fieldValidation": "Strict", "force": "true"}
        return self.api.call("PATCH", path, item, _APPLY, **query)

    def try_create(self, path: str, item: Object) -> Answer:
        """Dry run of the creation of an object."""
        return self.api.call("POST", path, item, dryRun="All", fieldManager=_MANAGER)

    def log(self, pod: Object, container: str) -> str:
        """The end of a container's log, of its previous run if there was one; empty if it cannot be read."""
        path = f"/api/v1/namespaces/{quote(text(mapping(pod, 'metadata'), 'namespace'))}/pods/{quote(name_of(pod))}/log"
        for previous in ("true", "false"):
            found = self.api.read(path, container=container, previous=previous, tailLines=_LOG_LINES)
            if found and not found.startswith(_LOG_GONE):
                return found
        return ""

    def access_review(self, kind: str, spec: Object) -> bool:
        """Whether a SelfSubjectAccessReview or a SubjectAccessReview allows the access. Raises NotInspectable."""
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        answer = self.api.call("POST", f"/apis/authorization.k8s.io/v1/{kind.lower()}s", body)
        if answer.status not in (200, 201):
            raise NotInspectable(answer.sentence)
        return mapping(answer.body, "status").get("allowed") is True

    def _get(self, path: str, query: dict[str, str]) -> Object | None:
        answer = self.api.call("GET", path, None, _JSON, **query)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise NotInspectable(answer.sentence)
        return answer.body


def connect(kubeconfig: Path | None, context: str | None) -> tuple[Api, str]:
    """The API of the kubeconfig (by default KUBECONFIG or ~/.kube/config) and the namespace of its context.

    Raises NoCluster.
    """
    configuration = client.Configuration()
    file = str(kubeconfig) if kubeconfig else None
    try:
        contexts, current = _CONTEXTS(file)
        _LOAD(file, context, client_configuration=configuration, persist_config=False)
    except (config.ConfigException, OSError, ValueError, TypeError, KeyError, YAMLError) as problem:
        raise NoCluster(
            f"no cluster found by {kubeconfig or 'KUBECONFIG or ~/.kube/config'}: {' '.join(str(problem).split()).rstrip('.')}",
            remedy="name a kubeconfig by --kubeconfig, and one of its contexts by --context (kubectl config get-contexts)",
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
