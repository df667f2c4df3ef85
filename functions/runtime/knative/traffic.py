"""A model's arms, read from the `traffic` of its Knative Service: the Knative object is the one truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from functions.runtime.errors import InvalidInput, NotReady

ROLLOUT = "tidegate.dev/rollout"


@dataclass(frozen=True, slots=True)
class Arm:
    """One revision that can be addressed. `percent` 0: by an override only. `url`: scheme and host, no path."""

    revision: str
    tags: tuple[str, ...]
    percent: int
    url: str


@dataclass(frozen=True, slots=True)
class Model:
    """`arms` in the order of the traffic block; `split` are those with a percentage, the stable one first."""

    name: str
    arms: tuple[Arm, ...]
    split: tuple[Arm, ...]
    salt: bytes

    def named(self, name: str) -> Arm:
        """The arm of a revision or a tag. Raises InvalidInput, naming those there are."""
        for arm in self.arms:
            if name == arm.revision or name in arm.tags:
                return arm
        known = ", ".join(label for arm in self.arms for label in (arm.revision, *arm.tags))
        raise InvalidInput(f"model {self.name} has no revision or tag {name}; it has {known}.")

    def successor(self, arm: Arm) -> Arm:
        """The same revision as it is addressed now; the stable arm where it has no part in the traffic any more."""
        return next((now for now in self.arms if now.revision == arm.revision), self.split[0])

    def __str__(self) -> str:
        return ", ".join(f"{arm.percent}% {arm.revision}" + "".join(f" ({tag})" for tag in arm.tags) for arm in self.arms)


@dataclass(slots=True)
class _Target:
    percent: int
    tags: list[str]


def model_of(service: Mapping[str, Any]) -> Model:
    """What a Knative Service says about its model. Raises NotReady, with what to do, when it cannot be routed to."""
    name = service["metadata"]["name"]
    targets = _targets(service)
    single = sum(target.percent > 0 for target in targets.values()) == 1
    base = _base(service)
    arms = []
    for revision, target in targets.items():
        if target.tags:
            arms.append(Arm(revision, tuple(target.tags), target.percent, _tagged(base, target.tags[0])))
        elif target.percent and single:
            arms.append(Arm(revision, (), target.percent, base))
        elif target.percent:
            raise NotReady(f"model {name} sends {target.percent}% to revision {revision}, which has no tag to call it by; give it a tag.")
    split = tuple(arm for arm in arms if arm.percent)
    if not split:
        raise NotReady(f"model {name} has no revision that is ready; `kubectl describe ksvc {name}` says why.")
    rollout = (service["metadata"].get("annotations") or {}).get(ROLLOUT, "")
    return Model(name, tuple(arms), split, f"{name}/{rollout}".encode())


def _targets(service: Mapping[str, Any]) -> dict[str, _Target]:
    """By revision, since one may be listed twice: with its percentage, and with a tag. The status is preferred: it is resolved."""
    status = service.get("status") or {}
    targets: dict[str, _Target] = {}
    for entry in status.get("traffic") or service["spec"].get("traffic") or []:
        revision = entry.get("revisionName") or status.get("latestReadyRevisionName")
        if revision:
            target = targets.setdefault(revision, _Target(0, []))
            target.percent += entry.get("percent") or 0
            target.tags += [entry["tag"]] if entry.get("tag") else []
    return targets


def _base(service: Mapping[str, Any]) -> str:
    """The address inside the cluster if there is one: from there it saves the way out and in again."""
    status = service.get("status") or {}
    url = (status.get("address") or {}).get("url") or status.get("url")
    if not url:
        name = service["metadata"]["name"]
        raise NotReady(f"model {name} has no address yet; `kubectl describe ksvc {name}` says why.")
    return str(url).rstrip("/")


def _tagged(base: str, tag: str) -> str:
    """Knative gives each tag a host of its own, `<tag>-<service>…`; the percentages of the Service's host would be random."""
    parts = urlsplit(base)
    return f"{parts.scheme}://{tag}-{parts.netloc}"
