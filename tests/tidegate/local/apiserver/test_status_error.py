from __future__ import annotations

import pytest

from tidegate.local.apiserver.status_error import StatusError
from tidegate.local.objects.kinds import BY_PLURAL
from tidegate.local.objects.validation import InvalidObject, Stage, webhook_error


def test_error_is_a_status_object() -> None:
    assert StatusError.not_found("services", "hello").to_json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'services.serving.knative.dev "hello" not found',
        "reason": "NotFound",
        "code": 404,
        "details": {"name": "hello", "group": "serving.knative.dev", "kind": "services"},
    }


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (
            InvalidObject(Stage.DECODING, "spec.x", "is an unknown field; did you mean spec.y?"),
            400,
            "BadRequest",
            'Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field "spec.x" '
            "(spec.x is an unknown field; did you mean spec.y?)",
        ),
        (
            InvalidObject(Stage.SCHEMA, "spec.x", "is missing", remedy="add it"),
            422,
            "Invalid",
            'Service.serving.knative.dev "hello" is invalid: spec.x is missing; add it.',
        ),
        (
            webhook_error("spec.x", "invalid value", "want 1"),
            400,
            "BadRequest",
            'admission webhook "validation.webhook.serving.knative.dev" denied the request: '
            "validation failed: invalid value: spec.x\nwant 1",
        ),
    ],
)
def test_invalid_object_is_the_error_of_its_stage(error: InvalidObject, code: int, reason: str, message: str) -> None:
    found = StatusError.of(error, BY_PLURAL["services"], "hello")
    assert (found.code, found.reason, str(found)) == (code, reason, message)
