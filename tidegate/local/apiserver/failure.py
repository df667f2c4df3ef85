"""Failures of API calls, as Kubernetes `Status` objects."""

from __future__ import annotations

from common.errors import TidegateError
from tidegate.local.objects.validation import InvalidObject, Object, Stage

_GROUP = "serving.knative.dev"


class Failure(TidegateError):
    """An API call that is refused: `code` is the HTTP status, `reason` the word that clients compare.

    `name` and `kind` are of the object that it is about, if there is one.
    """

    def __init__(self, code: int, reason: str, message: str, name: str | None = None, kind: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self._details = {"name": name, "group": _GROUP, "kind": kind} if kind else {}

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
    def not_found(cls, resource: str, name: str) -> Failure:
        return cls(404, "NotFound", f'{resource}.{_GROUP} "{name}" not found', name, resource)

    @classmethod
    def exists(cls, resource: str, name: str) -> Failure:
        return cls(409, "AlreadyExists", f'{resource}.{_GROUP} "{name}" already exists', name, resource)

    @classmethod
    def conflict(cls, resource: str, name: str) -> Failure:
        message = (
            f'Operation cannot be fulfilled on {resource}.{_GROUP} "{name}": the object has been modified; '
            "please apply your changes to the latest version and try again"
        )
        return cls(409, "Conflict", message, name, resource)

    @classmethod
    def unversioned(cls, resource: str, name: str) -> Failure:
        message = f'{resource}.{_GROUP} "{name}" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update'
        return cls(422, "Invalid", message, name, resource)

    @classmethod
    def gone(cls, asked: int, oldest: int) -> Failure:
        return cls(410, "Expired", f"too old resource version: {asked} ({oldest})")

    @classmethod
    def bad_request(cls, message: str) -> Failure:
        return cls(400, "BadRequest", message)

    @classmethod
    def of(cls, error: InvalidObject, kind: str, name: str) -> Failure:
        """What a cluster answers to an object like this: the API server for its form, Knative's webhook for its sense."""
        if error.stage is Stage.DECODING:
            message = f'strict decoding error: unknown field "{error.field}" ({error})'
            return UnknownField(400, "BadRequest", f'{kind} in version "v1" cannot be handled as a {kind}: {message}', name)
        if error.stage is Stage.SCHEMA:
            return cls(422, "Invalid", f'{kind}.{_GROUP} "{name}" is invalid: {error}', name, kind)
        message = f"validation failed: {error.problem}: {error.field}" + (f"\n{error.details}" if error.details else "")
        return cls.bad_request(f'admission webhook "validation.webhook.serving.knative.dev" denied the request: {message}')


class UnknownField(Failure):
    """The object has a field that its kind has not."""

    def in_patch(self) -> Failure:
        """The API server blames the patch for it, with another status than it has for an object that is sent whole."""
        return Failure(422, "Invalid", f"the patch is invalid: {self}")
