"""Scaling of a revision, read from its `autoscaling.knative.dev/` annotations with Knative's defaults and ranges."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tidegate.local.objects.validation import nearest, webhook_error

PREFIX = "autoscaling.knative.dev/"
# Knative still accepts the spellings from before 1.0.
_OLD_NAMES = {"minScale": "min-scale", "maxScale": "max-scale", "initialScale": "initial-scale", "activationScale": "activation-scale"}
_KNOWN = [
    *("class", "metric", "metric-aggregation-algorithm", "min-scale", "max-scale", "initial-scale", "activation-scale", "scale-down-delay"),
    *("target", "target-utilization-percentage", "target-burst-capacity", "window", "panic-window-percentage"),
    *("panic-threshold-percentage", "scale-to-zero-pod-retention-period"),
]
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|ns|h|m|s))+|0")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_HOUR = 3600.0
_UNLIMITED = float("inf")


@dataclass(frozen=True, slots=True)
class Decision:
    """A desired number of replicas and its reason, which `tidegate status` shows."""

    desired: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Parameters of the autoscaler, with the defaults of Knative's ConfigMap config-autoscaler. Times are in seconds.

    `target` is the intended load of one replica by `metric` (requests in flight, or requests per second), already
    reduced to the target utilization. `concurrency` is the hard limit of requests in flight per replica; 0 means no
    limit, as for `max_scale`.
    """

    metric: Literal["concurrency", "rps"] = "concurrency"
    target: float = 70.0
    concurrency: int = 0
    min_scale: int = 0
    max_scale: int = 0
    activation_scale: int = 1
    window: float = 60.0
    panic_window: float = 6.0
    panic_threshold: float = 2.0
    scale_down_delay: float = 0.0
    retention: float = 0.0


def read(annotations: Mapping[str, str], concurrency: int, where: str) -> Scaling:
    """Read the annotations of a revision, which are at the path `where`.

    Raises InvalidObject as Knative's webhook would.
    """
    reader = _Reader(_known(annotations, where), where)
    metric = reader.choice("metric", ("concurrency", "rps"))
    reader.choice("class", ("kpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev"))
    reader.number("initial-scale", 1, 0, integer=True)
    reader.number("target-burst-capacity", 0, -1)
    window = reader.duration("window", 60.0, 6.0)
    return _checked(
        Scaling(
            metric="rps" if metric == "rps" else "concurrency",
            target=_target(reader, metric, concurrency),
            concurrency=concurrency,
            min_scale=int(reader.number("min-scale", 0, 0, integer=True)),
            max_scale=int(reader.number("max-scale", 0, 0, integer=True)),
            activation_scale=int(reader.number("activation-scale", 1, 2, integer=True)),
            window=window,
            panic_window=window * reader.number("panic-window-percentage", 10, 1, 100) / 100,
            panic_threshold=reader.number("panic-threshold-percentage", 200, 110, 1000) / 100,
            scale_down_delay=reader.duration("scale-down-delay", 0.0),
            retention=reader.duration("scale-to-zero-pod-retention-period", 0.0),
        ),
        where,
    )


def forbid_annotations(annotations: Mapping[str, str], where: str) -> None:
    """Raise InvalidObject for an autoscaling annotation outside a revision's template."""
    for name in annotations:
        if name.startswith(PREFIX):
            details = 'autoscaling annotations must be put under "spec.template.metadata.annotations" to work'
            raise webhook_error(where, f'invalid key name "{name}"', details)


def duration_seconds(text: str) -> float | None:
    """Seconds of a duration in Go's notation (`1m30s`), or None if it is invalid."""
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)", text))


class _Reader:
    """A reader of annotations by their short names. Errors name the full path."""

    def __init__(self, values: Mapping[str, str], where: str) -> None:
        self._values = values
        self._where = where

    def has(self, name: str) -> bool:
        return name in self._values

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._values.get(name, choices[0])
        if value not in choices:
            raise webhook_error(self._path(name), f"invalid value: {value}, want {' or '.join(choices)}")
        return value

    def number(self, name: str, default: float, low: float, high: float = _UNLIMITED, *, integer: bool = False) -> float:
        text = self._values.get(name)
        if text is None:
            return default
        try:
            value = int(text) if integer else float(text)
        except ValueError:
            raise webhook_error(self._path(name), f"invalid value: {text}, want {'an integer' if integer else 'a number'}") from None
        if not low <= value <= high:
            raise webhook_error(self._path(name), f"expected {low:g} <= {text} <= {high:g}")
        return value

    def duration(self, name: str, default: float, low: float = 0.0, high: float = _HOUR) -> float:
        text = self._values.get(name)
        if text is None:
            return default
        value = duration_seconds(text)
        if value is None:
            raise webhook_error(self._path(name), f"invalid value: {text}, want a duration such as 30s or 1m30s")
        if not low <= value <= high:
            raise webhook_error(self._path(name), f"expected {low:g}s <= {text} <= {high:g}s")
        return value

    def _path(self, name: str) -> str:
        return f"{self._where}.{PREFIX}{name}"


def _known(annotations: Mapping[str, str], where: str) -> dict[str, str]:
    short = {name.removeprefix(PREFIX): value for name, value in annotations.items() if name.startswith(PREFIX)}
    values = {_OLD_NAMES.get(name, name): value for name, value in short.items()}
    for name in values:
        if name not in _KNOWN:
            guess = nearest(name, _KNOWN)
            raise webhook_error(
                f"{where}.{PREFIX}{name}", f"unknown autoscaling annotation{f', did you mean {PREFIX}{guess}?' if guess else ''}"
            )
    return values


def _target(reader: _Reader, metric: str, concurrency: int) -> float:
    # As Knative's ResolveMetricTarget: the hard limit is the default of the target, and its maximum.
    total = 200.0 if metric == "rps" else float(concurrency or 100)
    if reader.has("target"):
        given = reader.number("target", total, 0.01)
        total = min(given, concurrency) if concurrency and metric == "concurrency" else given
    return max(0.01, total * reader.number("target-utilization-percentage", 70, 1, 100) / 100)


def _checked(scaling: Scaling, where: str) -> Scaling:
    low, high = scaling.min_scale, scaling.max_scale
    if high and high < low:
        raise webhook_error(f"{where}.{PREFIX}max-scale", f"max-scale={high} is less than min-scale={low}")
    if scaling.activation_scale > 1 and (low > scaling.activation_scale or 0 < high < scaling.activation_scale):
        raise webhook_error(
            f"{where}.{PREFIX}activation-scale", f"activation-scale={scaling.activation_scale} is not between min- and max-scale"
        )
    return scaling
