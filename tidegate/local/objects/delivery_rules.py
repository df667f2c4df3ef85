"""Rules for the delivery of events, wherever an object has one, in the wording of Knative's webhook."""

from __future__ import annotations

from pydantic import BaseModel

from tidegate.local.objects import durations
from tidegate.local.objects.destinations import parts
from tidegate.local.objects.eventing import DeliverySpec
from tidegate.local.objects.validation import webhook_error

_POLICIES, _FORMATS = ("linear", "exponential"), ("json", "binary")
_DURATION = "want a duration of ISO 8601, such as PT0.5S"


def check(model: BaseModel) -> None:
    """Raise InvalidObject for the first violation in an object's deliveries."""
    for path, delivery in parts(model, DeliverySpec):
        _check(delivery, path)


def _check(delivery: DeliverySpec, path: str) -> None:
    if delivery.retry is not None and delivery.retry < 0:
        raise webhook_error(f"{path}.retry", f"invalid value: {delivery.retry}", "want 0 or more")
    if delivery.timeout is not None and _seconds(delivery.timeout, f"{path}.timeout") == 0:
        raise webhook_error(f"{path}.timeout", f"invalid value: {delivery.timeout}")
    _check_word(delivery.backoff_policy, _POLICIES, f"{path}.backoffPolicy")
    if delivery.backoff_delay is not None:
        _seconds(delivery.backoff_delay, f"{path}.backoffDelay")
    _check_word(delivery.format, _FORMATS, f"{path}.format")
    if delivery.retry_after_max is not None:
        raise webhook_error(f"{path}.retryAfterMax", "must not set the field(s)")


def _seconds(text: str, field: str) -> float:
    try:
        return durations.seconds(text)
    except ValueError:
        raise webhook_error(field, f"invalid value: {text[:80]}", _DURATION) from None


def _check_word(value: str | None, known: tuple[str, ...], field: str) -> None:
    if value is not None and value not in known:
        raise webhook_error(field, f"invalid value: {value[:80]}", f"want {' or '.join(known)}")
