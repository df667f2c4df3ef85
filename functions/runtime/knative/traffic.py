"""The arms of a model, from the `traffic` of its Knative Service: that object is the only source of a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from functions.runtime.errors import InvalidInput, NotReady
from functions.runtime.knative.objects import traffic_targets

# The annotation that names a rollout: with another name, keys are assigned independently of before.
ROLLOUT = "tidegate.dev/rollout"


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
    the others with one, in order. `shadow` is the arm that would get copies of requests; a traffic block cannot name
    one.
    """

    name: str
    arms: tuple[Arm, ...]
    stable: Arm
    canaries: tuple[Arm, ...] = ()
    shadow: Arm | None = None
    salt: bytes

    @property
    def split(self) -> tuple[Arm, ...]:
        """The arms with a percentage: the stable one, then the canaries."""
        return (self.stable, *self.canaries)

    def named(self, name: str) -> Arm:
        """The arm of a revision or a tag. Raises InvalidInput, listing the known ones."""
        for arm in self.arms:
            if name == arm.revision or name in arm.tags:
                return arm
        known = ", ".join(label for arm in self.arms for label in (arm.revision, *arm.tags))
        raise InvalidInput(f"model {self.name} has no revision or tag {name}; it has {known}.")

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
    stable, *canaries = split
    rollout = (service["metadata"].get("annotations") or {}).get(ROLLOUT, "")
    return RoutedModel(name=name, arms=arms, stable=stable, canaries=tuple(canaries), salt=f"{name}/{rollout}".encode())


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
    """The targets by revision, since one may be listed twice: with its percentage, and with a tag.

    The status is preferred to the specification: it names revisions where the latter says `latestRevision`.
    """
    status = service.get("status") or {}
    targets: dict[str, _Target] = {}
    for entry in traffic_targets(status.get("traffic") or service["spec"].get("traffic"), status.get("latestReadyRevisionName")):
        target = targets.setdefault(entry.revision, _Target(0, []))
        target.percent += entry.percent
        target.tags += [entry.tag] if entry.tag else []
    return targets


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
