"""Errors of API calls, as Kubernetes `Status` objects."""

from __future__ import annotations

from common.errors import TidegateError
from functions.runtime.knative.objects import SERVING_GROUP
from tidegate.local.objects.validation import InvalidObject, Object, Stage

WEBHOOK_DENIED = f'admission webhook "validation.webhook.{SERVING_GROUP}" denied the request: validation failed:'
"""The beginning of each message of Knative's webhook."""


class StatusError(TidegateError):
    """A failed API call: `code` is the HTTP status, `reason` the machine-readable word that clients compare.

    `name` and `kind` identify the object in question, if there is one.
    """

    def __init__(self, code: int, reason: str, message: str, *, remedy: str = "", name: str | None = None, kind: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.reason = reason
        self._details = {"name": name, "group": SERVING_GROUP, "kind": kind} if kind else {}

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
    def not_found(cls, resource: str, name: str) -> StatusError:
        return cls(404, "NotFound", f'{resource}.{SERVING_GROUP} "{name}" not found', name=name, kind=resource)

    @classmethod
    def exists(cls, resource: str, name: str) -> StatusError:
        return cls(409, "AlreadyExists", f'{resource}.{SERVING_GROUP} "{name}" already exists', name=name, kind=resource)

    @classmethod
    def conflict(cls, resource: str, name: str) -> StatusError:
        message = (
            f'Operation cannot be fulfilled on {resource}.{SERVING_GROUP} "{name}": the object has been modified; '
            "please apply your changes to the latest version and try again"
        )
        return cls(409, "Conflict", message, name=name, kind=resource)

    @classmethod
    def unversioned(cls, resource: str, name: str) -> StatusError:
        field = "metadata.resourceVersion: Invalid value: 0"
        message = f'{resource}.{SERVING_GROUP} "{name}" is invalid: {field}: must be specified for an update'
        return cls(422, "Invalid", message, name=name, kind=resource)

    @classmethod
    def gone(cls, requested: int, oldest: int) -> StatusError:
        return cls(410, "Expired", f"too old resource version: {requested} ({oldest})")

    @classmethod
    def bad_request(cls, message: str, *, remedy: str = "") -> StatusError:
        return cls(400, "BadRequest", message, remedy=remedy)

    @classmethod
    def of(cls, error: InvalidObject, kind: str, name: str) -> StatusError:
        """The error of a cluster for an invalid object, as the API server or Knative's webhook reports it."""
        if error.stage is Stage.DECODING:
            message = f'strict decoding error: unknown field "{error.field}" ({error})'
            return UnknownField(400, "BadRequest", f'{kind} in version "v1" cannot be handled as a {kind}: {message}', name=name)
        if error.stage is Stage.SCHEMA:
            return cls(422, "Invalid", f'{kind}.{SERVING_GROUP} "{name}" is invalid: {error}', name=name, kind=kind)
        details = f"\n{error.details}" if error.details else ""
        return cls.bad_request(f"{WEBHOOK_DENIED} {error.problem}: {error.field}{details}")


class UnknownField(StatusError):
    """An object has a field that its kind does not have."""

    def in_patch(self) -> StatusError:
        """The error for a patch that adds the field: the API server reports another status than for a whole object."""
        return StatusError(422, "Invalid", f"the patch is invalid: {self}")
