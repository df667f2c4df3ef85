"""The Kubernetes API by its official client: Knative Services are read and patched, and Events created."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

import orjson
from kubernetes import client as kubernetes
from urllib3.exceptions import HTTPError

from common.redaction import redact, redact_url
from functions.runtime.knative.client import Access, ApiError
from functions.runtime.knative.objects import REVISIONS, SERVICES, SERVING_GROUP, SERVING_VERSION

Object = dict[str, Any]
_TIMEOUT_SECONDS = (5, 15)  # to connect, to read
_PAGE = 100
_MERGE_PATCH = "application/merge-patch+json"


class NotFound(ApiError):
    """There is no such object."""


class Refused(ApiError):
    """The API will not do this, however often it is asked: it is forbidden, or invalid."""


class Conflict(ApiError):
    """The object was changed in the meantime: get it again."""


_ERRORS = {404: NotFound, 409: Conflict, **dict.fromkeys((400, 403, 405, 413, 415, 422), Refused)}


class Cluster:
    """Calls on one namespace. They block: call them in a thread. Each raises ApiError."""

    def __init__(self, configuration: Any, namespace: str) -> None:
        """`configuration` is one of the official client."""
        self.namespace = namespace
        self._url = redact_url(configuration.host)
        self._client: Any = kubernetes.ApiClient(configuration)
        self._objects = kubernetes.CustomObjectsApi(self._client)
        self._core = kubernetes.CoreV1Api(self._client)
        self._in_namespace = (SERVING_GROUP, SERVING_VERSION, namespace)
        self._where = (*self._in_namespace, SERVICES)

    @classmethod
    def of(cls, access: Access) -> Cluster:
        """The API that a process has access to by its environment."""
        return cls(_configuration(access), access.namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def services(self) -> Iterator[Object]:
        """All Knative Services of the namespace."""
        more = ""
        while True:
            answer = self._call(self._objects.list_namespaced_custom_object, *self._where, limit=_PAGE, _continue=more)
            yield from answer["items"]
            more = answer["metadata"].get("continue") or ""
            if not more:
                return

    def read(self, name: str) -> Object:
        """One Knative Service. Raises NotFound."""
        found: Object = self._call(self._objects.get_namespaced_custom_object, *self._where, name)
        return found

    def revision(self, name: str) -> Object:
        """One revision. Raises NotFound."""
        found: Object = self._call(self._objects.get_namespaced_custom_object, *self._in_namespace, REVISIONS, name)
        return found

    def patch(self, name: str, patch: Mapping[str, Any]) -> Object:
        """Merge a patch (RFC 7396) into a Knative Service; returns the new one. Raises Conflict, NotFound and Refused."""
        new: Object = self._call(self._objects.patch_namespaced_custom_object, *self._where, name, dict(patch), _content_type=_MERGE_PATCH)
        return new

    def record(self, event: Mapping[str, Any]) -> None:
        """Create an Event, unless one of its name is there already. Raises Refused."""
        try:
            self._call(self._core.create_namespaced_event, self.namespace, dict(event))
        except Conflict:
            return

    def _call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        with self._errors():
            return function(*arguments, **options, _request_timeout=_TIMEOUT_SECONDS)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except kubernetes.ApiException as error:
            kind = _ERRORS.get(error.status, ApiError)
            raise kind(f"the Kubernetes API responded {error.status}: {_message(error).rstrip('.')}.") from None
        except (HTTPError, OSError) as error:
            raise ApiError(f"the Kubernetes API at {self._url} is unreachable: {redact(str(error)) or type(error).__name__}.") from None


def _configuration(access: Access) -> Any:
    configuration: Any = kubernetes.Configuration()
    configuration.host = access.url
    configuration.retries = False  # each turn reads again
    if urlsplit(access.url).hostname in ("127.0.0.1", "localhost"):
        configuration.proxy = None  # a proxy of the environment does not lead back to this machine
    if access.account:
        configuration.ssl_ca_cert = str(access.account / "ca.crt")
    if access.token:
        token = access.token

        def refresh(config: Any) -> None:
            # Read for each call, since the kubelet replaces it before it expires.
            config.api_key["authorization"] = f"Bearer {token.read_text('ascii').strip()}"

        configuration.refresh_api_key_hook = refresh
        configuration.api_key["authorization"] = ""
    return configuration


def _message(error: Any) -> str:
    try:
        return str(orjson.loads(error.body or b"")["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return str(error.reason or "no reason given")[:200]
