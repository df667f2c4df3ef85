"""The arms of a model, from the `traffic` of its Knative Service: that object is the only source of a split.

Annotations say how its arms are compared, and whether they start with the router.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from functions.runtime.errors import NotReady, UnknownModel
from functions.runtime.knative.keys import salt_of
from functions.runtime.knative.objects import TrafficTarget, traffic_targets

# The annotation that names a rollout: with another name, keys are assigned independently of before.
ROLLOUT = "tidegate.dev/rollout"
# The annotation with the latency above which a request counts as slow, such as `250ms`.
LATENCY_SLO = "tidegate.dev/latency-slo"
# The annotation with the difference of scores above which a shadow disagrees.
SHADOW_TOLERANCE = "tidegate.dev/shadow-tolerance"
# The annotation, `true` or `false`, of a model whose arms a starting router wakes.
WAKE_WITH_ROUTER = "tidegate.dev/wake-with-router"
# The tag of the revision that gets copies of requests; it has no percentage.
SHADOW_TAG = "shadow"

_DEFAULT_SLO_SECONDS = 1.0
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One addressable revision. With `percent` 0 it is reached by an override only. `url`: scheme and host, no path."""

    revision: str
    tags: tuple[str, ...] = ()
    percent: int
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedModel:
    """A model and its arms.

    `arms` are all of them, in the order of the traffic block. `stable` is the first with a percentage, `canaries` are
    the others with one, in order. `shadow` is the arm that gets copies of requests: the one with the tag `shadow`, if
    it has no percentage. `rollout` and `salt` are those of the assignment of keys. `wakes_with_router` is whether a
    router that starts wakes the split. `warnings` are sentences about annotations that cannot be used.
    """

    name: str
    arms: tuple[Arm, ...]
    stable: Arm
    canaries: tuple[Arm, ...] = ()
    shadow: Arm | None = None
    salt: bytes
    rollout: str = ""
    latency_slo: float = _DEFAULT_SLO_SECONDS
    """Seconds."""
    shadow_tolerance: float | None = None
    wakes_with_router: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def split(self) -> tuple[Arm, ...]:
        """The arms with a percentage: the stable one, then the canaries."""
        return (self.stable, *self.canaries)

    def named(self, name: str) -> Arm:
        """The arm of a revision or a tag. Raises UnknownModel, listing the known ones."""
        for arm in self.arms:
            if name == arm.revision or name in arm.tags:
                return arm
        known = ", ".join(label for arm in self.arms for label in (arm.revision, *arm.tags))
        raise UnknownModel(f"model {self.name} has no revision or tag {name}; it has {known}.")

    def successor(self, arm: Arm) -> Arm:
        """The current arm of the same revision; the stable arm if the revision has no part in the traffic any more."""
        return next((now for now in self.arms if now.revision == arm.revision), self.stable)

    def __str__(self) -> str:
        return ", ".join(f"{arm.percent}% {arm.revision}" + "".join(f" ({tag})" for tag in arm.tags) for arm in self.arms)


@dataclass(slots=True)
class _Target:
    percent: int
    tags: list[str]


def model_of(service: Mapping[str, Any]) -> RoutedModel:
    """The model of a Knative Service. Raises NotReady when no request can be routed to it yet."""
    name = service["metadata"]["name"]
    arms = _arms(name, _targets(service), _base(service))
    split = [arm for arm in arms if arm.percent]
    if not split:
        raise NotReady(f"model {name} has no revision that is ready", remedy=f"see `kubectl describe ksvc {name}` for the reason")
    total = sum(arm.percent for arm in split)
    if total != 100 or any(arm.percent < 0 for arm in split):  # otherwise another share of the keys would get the canary
        shares = ", ".join(f"{arm.percent}% to {arm.revision}" for arm in split)
        raise NotReady(f"the traffic of model {name} adds up to {total}%, not to 100% ({shares})", remedy="correct its percentages")
    stable, *canaries = split
    annotations = service["metadata"].get("annotations") or {}
    rollout = annotations.get(ROLLOUT, "")
    warnings: list[str] = []
    return RoutedModel(
        name=name,
        arms=arms,
        stable=stable,
        canaries=tuple(canaries),
        shadow=next((arm for arm in arms if SHADOW_TAG in arm.tags and not arm.percent), None),
        salt=salt_of(name, rollout),
        rollout=rollout,
        latency_slo=_latency_slo(name, annotations, warnings),
        shadow_tolerance=_shadow_tolerance(name, annotations, warnings),
        wakes_with_router=_wakes_with_router(name, annotations, warnings),
        warnings=tuple(warnings),
    )


def latency_slo_of(text: str) -> float | None:
    """The seconds of the annotation LATENCY_SLO; None for a text that is no duration above zero."""
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    return seconds if seconds > 0 else None


def _latency_slo(model: str, annotations: Mapping[str, str], warnings: list[str]) -> float:
    """The latency of the annotation in seconds. One that cannot be read must not stop the model: it is a warning."""
    value = annotations.get(LATENCY_SLO)
    if value is None:
        return _DEFAULT_SLO_SECONDS
    seconds = latency_slo_of(value)
    if seconds is None:
        warnings.append(f"model {model}: {LATENCY_SLO} is {value!r:.40}, not a duration such as 250ms or 2s; the default, 1s, applies.")
        return _DEFAULT_SLO_SECONDS
    return seconds


def _shadow_tolerance(model: str, annotations: Mapping[str, str], warnings: list[str]) -> float | None:
    value = annotations.get(SHADOW_TOLERANCE)
    if value is None:
        return None
    try:
        tolerance = float(value)
    except ValueError:
        tolerance = -1.0
    if 0 <= tolerance < float("inf"):
        return tolerance
    warnings.append(f"model {model}: {SHADOW_TOLERANCE} is {value!r:.40}, not a number of at least 0; it is ignored.")
    return None


def _wakes_with_router(model: str, annotations: Mapping[str, str], warnings: list[str]) -> bool:
    value = annotations.get(WAKE_WITH_ROUTER, "false")
    if value not in ("true", "false"):
        warnings.append(f"model {model}: {WAKE_WITH_ROUTER} is {value!r:.40}, not true or false; it is ignored.")
    return value == "true"


def _arms(name: str, targets: Mapping[str, _Target], base: str) -> tuple[Arm, ...]:
    """One arm a revision. Only the revision that has all traffic can do without a tag."""
    single = sum(target.percent > 0 for target in targets.values()) == 1
    arms = []
    for revision, target in targets.items():
        if target.tags:
            arms.append(Arm(revision=revision, tags=tuple(target.tags), percent=target.percent, url=_tagged(base, target.tags[0])))
        elif target.percent and single:
            arms.append(Arm(revision=revision, percent=target.percent, url=base))
        elif target.percent:
            raise NotReady(
                f"model {name} sends {target.percent}% to revision {revision}, which has no tag to call it by", remedy="give it a tag"
            )
    return tuple(arms)


def _targets(service: Mapping[str, Any]) -> dict[str, _Target]:
    """The targets by revision, since one may be listed twice: with its percentage, and with a tag."""
    targets: dict[str, _Target] = {}
    for entry in _traffic(service):
        target = targets.setdefault(entry.revision, _Target(0, []))
        target.percent += entry.percent
        target.tags += [entry.tag] if entry.tag else []
    return targets


def _traffic(service: Mapping[str, Any]) -> list[TrafficTarget]:
    """The traffic that can be routed now.

    The status follows the specification when Knative's controllers have run, which takes seconds on a busy cluster. It
    has what can be called: revisions where the specification says `latestRevision`, and their tags. A specification
    that only divides the traffic between those in another way is in force at once: a canary that is rolled back gets
    no more requests.
    """
    asked, status = service["spec"].get("traffic"), service.get("status") or {}
    latest = status.get("latestReadyRevisionName")
    present = traffic_targets(status.get("traffic") or asked, latest)
    wanted = traffic_targets(asked)
    callable_ = {(target.revision, target.tag) for target in present if target.tag}
    is_pinned = bool(wanted) and len(wanted) == len(asked or ())
    return wanted if is_pinned and {(target.revision, target.tag) for target in wanted} <= callable_ else present


def _base(service: Mapping[str, Any]) -> str:
    """The address of the Service; the cluster-internal one if there is one, since it avoids the external gateway."""
    status = service.get("status") or {}
    url = (status.get("address") or {}).get("url") or status.get("url")
    if not url:
        name = service["metadata"]["name"]
        raise NotReady(f"model {name} has no address yet", remedy=f"see `kubectl describe ksvc {name}` for the reason")
    return str(url).rstrip("/")


def _tagged(base: str, tag: str) -> str:
    """The host of a tag, `<tag>-<service>…`; on the Service's own host, Knative would draw a revision at random."""
    parts = urlsplit(base)
    return f"{parts.scheme}://{tag}-{parts.netloc}"
