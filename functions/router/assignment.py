"""Which arm a key belongs to: a function of the key, the salt and the percentages, so that replicas and restarts agree."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from eventing.event import to_text
from functions.runtime.knative.traffic import Arm, Model

# What comes first: an explicit routing key, then what Kafka keys by, then what the event is about.
_KEY_ATTRIBUTES = ("routingkey", "partitionkey", "subject")


def assign(arms: Sequence[Arm], salt: bytes, key: bytes) -> Arm:
    """The arm of a key; every arm has a percentage above 0.

    The order of the traffic block decides who is the canary: the first is stable, a later one is a canary whatever its share,
    so that a key that is in the canary at 5% is still in it at 60%.
    """
    if len(arms) == 1:
        return arms[0]
    if len(arms) == 2:
        stable, canary = arms
        threshold = canary.percent * 2**64 // (stable.percent + canary.percent)
        return canary if _hash(salt, key) < threshold else stable
    return min(arms, key=lambda arm: _distance(arm, salt, key))


def _distance(arm: Arm, salt: bytes, key: bytes) -> float:
    """Exponential with the percentage as its rate: the smallest of several is each one's with a probability by its rate."""
    uniform = ((_hash(arm.revision.encode() + b"\0" + salt, key) >> 12) + 0.5) / 2**52
    return -math.log(uniform) / arm.percent


def _hash(salt: bytes, key: bytes) -> int:
    return int.from_bytes(blake2b(salt + b"\0" + key, digest_size=8).digest(), "big")


def choose(model: Model, override: str | None, key: bytes | None) -> Arm:
    """The arm that an override names, else the key's, else one at random by the percentages. Raises InvalidInput."""
    if override:
        return model.named(override)
    return assign(model.split, model.salt, os.urandom(8) if key is None else key)


def event_key(attributes: Mapping[str, Any]) -> bytes:
    """The key of an event that has at least source and id: a retry of it meets the same revision."""
    for name in _KEY_ATTRIBUTES:
        value = attributes.get(name)
        if value is not None and value != "":
            return to_text(value).encode()
    return f"{attributes['source']}\0{attributes['id']}".encode()
