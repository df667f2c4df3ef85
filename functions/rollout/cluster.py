"""The Knative Services of a namespace, by the official Kubernetes client. Its calls block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from common.errors import TidegateError
from functions.rollout.state import Decision, Kind, State
from functions.rollout.update import Conflict
from functions.runtime.knative.client import Access
from functions.runtime.knative.objects import SERVICES, SERVING, SERVING_GROUP, SERVING_VERSION

_MERGE_PATCH = "application/merge-patch+json"
_TIMEOUT_SECONDS = 10.0
_COMPONENT = "tidegate-rollout"
_WARNINGS = (Kind.ROLL_BACK, Kind.INCONCLUSIVE)


class ClusterUnavailable(TidegateError):
    """The Kubernetes API cannot be reached, or rejects a call."""


class Cluster:
    """The Services that `access` leads to. The token is read for each call, as it is renewed."""

    def __init__(self, access: Access) -> None:
        self._namespace = access.namespace
        configuration: Any = client.Configuration(host=access.url)
        configuration.retries = False
        if access.account is not None:
            configuration.ssl_ca_cert = str(access.account / "ca.crt")
        token = access.token
        if token is not None:
            configuration.api_key = {"authorization": ""}
            configuration.refresh_api_key_hook = lambda settings: settings.api_key.update(
                authorization=f"Bearer {token.read_text('utf-8').strip()}"
            )
        self._client = client.ApiClient(configuration)
        self._objects = client.CustomObjectsApi(self._client)
        self._core = client.CoreV1Api(self._client)

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    def names(self) -> Sequence[str]:
        """The Services of the namespace. Raises ClusterUnavailable."""
        listed = self._call(self._objects.list_namespaced_custom_object)
        return [item["metadata"]["name"] for item in listed["items"]]

    def get(self, name: str) -> Mapping[str, Any] | None:
        """A Service; None if there is none. Raises ClusterUnavailable."""
        try:
            found: Mapping[str, Any] = self._call(self._objects.get_namespaced_custom_object, name)
        except ClusterUnavailable as error:
            if _status(error) == 404:
                return None
            raise
        return found

    def patch(self, name: str, body: Mapping[str, Any]) -> None:
        """Apply a merge patch to a Service. Raises Conflict and ClusterUnavailable."""
        try:
            self._call(self._objects.patch_namespaced_custom_object, name, dict(body), _content_type=_MERGE_PATCH)
        except ClusterUnavailable as error:
            if _status(error) == 409:
                raise Conflict from error
            raise

    def record(self, state: State, decision: Decision) -> None:
        """Make a decision an Event of the Service, for `kubectl describe`. Raises ClusterUnavailable."""
        service = self.get(state.model) or {"metadata": {}}
        now = datetime.fromtimestamp(decision.at, UTC)
        event = {
            "metadata": {"generateName": f"{state.model}.", "namespace": self._namespace},
            "involvedObject": {
                "apiVersion": SERVING,
                "kind": "Service",
                "name": state.model,
                "namespace": self._namespace,
                "uid": service["metadata"].get("uid"),
            },
            "type": "Warning" if decision.kind in _WARNINGS else "Normal",
            "reason": f"Rollout{decision.kind.value.title().replace('-', '')}",
            "message": decision.sentence,
            "source": {"component": _COMPONENT},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._core.create_namespaced_event(self._namespace, cast("Any", event), _request_timeout=_TIMEOUT_SECONDS)
        except (ApiException, HTTPError, OSError) as error:
            raise _unavailable(error) from error

    def _call(self, function: Any, *arguments: Any, **options: Any) -> Any:
        where = (SERVING_GROUP, SERVING_VERSION, self._namespace, SERVICES)
        try:
            return function(*where, *arguments, _request_timeout=_TIMEOUT_SECONDS, **options)
        except (ApiException, HTTPError, OSError) as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> ClusterUnavailable:
    if isinstance(error, ApiException) and error.status:
        return ClusterUnavailable(f"the Kubernetes API responded {error.status} {error.reason}")
    return ClusterUnavailable(f"the Kubernetes API cannot be reached ({type(error).__name__})")


def _status(error: ClusterUnavailable) -> int:
    return int(getattr(error.__cause__, "status", 0) or 0)
