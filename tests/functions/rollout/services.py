"""Knative Services with a rollout, and outcomes about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from eventing.distinct import Distinct
from eventing.label import prediction_digest
from eventing.outcome import ArmOutcome, Outcome
from functions.rollout.policy import POLICY, policy_of
from functions.rollout.service import begin, move
from functions.runtime.knative.keys import digest_of, key_hash, salt_of
from tidegate.local.apiserver.patch import merge

Object = dict[str, Any]
STABLE, CANARY = "flights-00001", "flights-00002"
STARTED = 1_700_000_000.0
POLICY_TEXT = "{steps: [50, 100], minimumKeys: 5, minimumDuration: 0, alpha: 0.05, beta: 0.2, maximumErrors: 0.5, deadline: 1h}"


def service(name: str = "flights", annotations: Mapping[str, str] | None = None) -> Object:
    """A Knative Service whose stable revision has all traffic, and that has a newer one."""
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "annotations": {POLICY: POLICY_TEXT, **(annotations or {})}},
        "spec": {
            "template": {"spec": {"containers": [{"image": "fn"}]}},
            "traffic": [{"revisionName": STABLE, "latestRevision": False, "percent": 100, "tag": "stable"}],
        },
        "status": {"latestCreatedRevisionName": CANARY, "latestReadyRevisionName": CANARY},
    }


def with_rollout(item: Object | None = None, now: float = STARTED) -> Object:
    """The Service with a rollout that has just begun."""
    found = item or service()
    found = merge(found, {"metadata": {"resourceVersion": "1", "uid": "1-2-3"}})
    new: Object = merge(found, move(found, begin(found, policy_of(found["metadata"]["annotations"]), now)))
    return new


def rollout_name(item: Object) -> str:
    name: str = item["metadata"]["annotations"]["tidegate.dev/rollout"]
    return name


def outcome(
    item: Object, sequence: int, *, keys: Iterable[int] = (), failed: Iterable[int] = (), router: str = "router-1", started: float = STARTED
) -> Outcome:
    """An outcome about both arms at 50%: these keys of the canary, of which some failed. The stable arm has one good key."""
    keys, failed = list(keys), list(failed)
    sketch, rest = Distinct(), Distinct()
    for key in keys:
        sketch.add(_spread(key))
    rest.add(_spread(sequence))
    return Outcome(
        router=router,
        model=item["metadata"]["name"],
        sequence=sequence,
        rollout=rollout_name(item),
        started=started + sequence,
        seconds=1.0,
        arms=[
            ArmOutcome(revision=STABLE, percent=50, requests=1, keys=rest),
            ArmOutcome(
                revision=CANARY,
                percent=50,
                requests=len(keys),
                errors=len(failed),
                keys=sketch,
                bad_keys={"errors": sorted(_spread(key) for key in failed)},
            ),
        ],
    )


def scored(item: Object, sequence: int, scores: Mapping[str, float], canary: Iterable[str], *, started: float = STARTED) -> Outcome:
    """An outcome about both arms at 50%: the scores of predictions by their ids, each of a key of the same name."""
    ours = set(canary)
    salt = salt_of(item["metadata"]["name"], rollout_name(item))

    def arm(revision: str, ids: list[str]) -> ArmOutcome:
        return ArmOutcome(
            revision=revision,
            percent=50,
            requests=len(ids),
            scores=[scores[name] for name in ids],
            score_keys=[digest_of(key_hash(salt, name.encode())) for name in ids],
            score_ids=[prediction_digest(name) for name in ids],
        )

    return Outcome(
        router="router-1",
        model=item["metadata"]["name"],
        sequence=sequence,
        rollout=rollout_name(item),
        started=started + sequence,
        seconds=1.0,
        arms=[arm(STABLE, [name for name in scores if name not in ours]), arm(CANARY, [name for name in scores if name in ours])],
    )


def _spread(key: int) -> int:
    """A hash of 32 bits."""
    return (key * 2_654_435_761 + 12_345) % 2**32
