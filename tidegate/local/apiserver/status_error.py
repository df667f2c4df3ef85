"""Errors of API calls, as Kubernetes `Status` objects."""

from __future__ import annotations

from common.errors import TidegateError
from tidegate.local.objects.kinds import BY_PLURAL, Kind
from tidegate.local.objects.validation import InvalidObject, Object, Stage

# Knative's webhooks: that of Serving, of Eventing, and of the kinds of Kafka.
_SERVING, _EVENTING, _KAFKA = "serving.knative.dev", "eventing.knative.dev", "kafka.eventing.knative.dev"


def webhook_denied(kind: Kind) -> str:
    """The beginning of each message of the webhook that validates a kind."""
    group = _SERVING if kind.group == _SERVING else _KAFKA if kind.plural.startswith("kafka") else _EVENTING
    return f'admission webhook "validation.webhook.{group}" denied the request: validation failed:'


class StatusError(TidegateError):
    """A failed API call: `code` is the HTTP status, `reason` the machine-readable word that clients compare.

    `name`, `group` and `kind` identify the object in question, if there is one.
    """

    def __init__(
        self, code: int, reason: str, message: str, *, remedy: str = "", name: str | None = None, group: str = "", kind: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.reason = reason
        self._details = {"name": name, "group": group, "kind": kind} if kind else {}

    def to_json(self) -> Object:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "code": self.code,
            **({"details": self._details} if self._details else {}),
        }

    @classmethod
    def _of_object(cls, code: int, reason: str, resource: str, name: str, message: str) -> StatusError:
        kind = BY_PLURAL.get(resource)
        qualified, group = (kind.qualified, kind.group) if kind else (resource, "")
        return cls(code, reason, message.format(f'{qualified} "{name}"'), name=name, group=group, kind=resource)

    @classmethod
    def not_found(cls, resource: str, name: str) -> StatusError:
        return cls._of_object(404, "NotFound", resource, name, "{} not found")

    @classmethod
    def exists(cls, resource: str, name: str) -> StatusError:
        return cls._of_object(409, "AlreadyExists", resource, name, "{} already exists")

    @classmethod
    def conflict(cls, resource: str, name: str) -> StatusError:
        message = (
            "Operation cannot be fulfilled on {}: the object has been modified; "
            "please apply your changes to the latest version and try again"
        )
        return cls._of_object(409, "Conflict", resource, name, message)

    @classmethod
    def unversioned(cls, resource: str, name: str) -> StatusError:
        message = "{} is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        return cls._of_object(422, "Invalid", resource, name, message)

    @classmethod
    def gone(cls, requested: int, oldest: int) -> StatusError:
        return cls(410, "Expired", f"too old resource version: {requested} ({oldest})")

    @classmethod
    def bad_request(cls, message: str, *, remedy: str = "") -> StatusError:
        return cls(400, "BadRequest", message, remedy=remedy)

    @classmethod
    def of(cls, error: InvalidObject, kind: Kind, name: str) -> StatusError:
        """The error of a cluster for an invalid object, as the API server or Knative's webhook reports it."""
        if error.stage is Stage.DECODING:
            cause = f'strict decoding error: unknown field "{error.field}" ({error})'
            message = f'{kind.kind} in version "{kind.versions[0]}" cannot be handled as a {kind.kind}: {cause}'
            return UnknownField(400, "BadRequest", message, name=name)
        if error.stage is Stage.SCHEMA:
            qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
            return cls(422, "Invalid", f'{qualified} "{name}" is invalid: {error}', name=name, group=kind.group, kind=kind.kind)
        details = f"\n{error.details}" if error.details else ""
        return cls.bad_request(f"{webhook_denied(kind)} {error.problem}: {error.field}{details}")


class UnknownField(StatusError):
    """An object has a field that its kind does not have."""

    def in_patch(self) -> StatusError:
        """The error for a patch that adds the field: the API server reports another status than for a whole object."""
        return StatusError(422, "Invalid", f"the patch is invalid: {self}")
