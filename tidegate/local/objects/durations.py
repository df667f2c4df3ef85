"""Durations in ISO 8601's notation, as Knative Eventing's objects have them."""

from __future__ import annotations

import re

_NUMBER = r"(\d+(?:[.,]\d+)?)"
_PERIOD = re.compile(
    rf"\+?P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.ASCII
)
_DAY = 86_400.0
# The mean year and month of the Gregorian calendar, as in rickb777/date/period, which Knative uses.
_SECONDS = (365.2425 * _DAY, 365.2425 * _DAY / 12, 7 * _DAY, _DAY, 3600.0, 60.0, 1.0)
_LONGEST = 64


def seconds(text: str) -> float:
    """Seconds of a duration such as `PT0.5S`. Raises ValueError for any other text."""
    match = _PERIOD.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or not any(match.groups()):
        raise ValueError(f"{text[:_LONGEST]!r} is no duration of ISO 8601, such as PT0.5S")
    return sum(float(number.replace(",", ".")) * unit for number, unit in zip(match.groups(), _SECONDS, strict=True) if number)
