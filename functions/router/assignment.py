"""The assignment of keys to arms: a function of key, salt and percentages, so that replicas and restarts agree."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from eventing.event import to_text
from functions.runtime.knative.traffic import Arm, RoutedModel

# In order of precedence: an explicit routing key, the key of the Kafka record, the subject of the event.
_KEY_ATTRIBUTES = ("routingkey", "partitionkey", "subject")
_HASH_BYTES = 8


def assign(arms: Sequence[Arm], salt: bytes, key: bytes) -> Arm:
    """The arm of a key. `arms` are the stable one, then the canaries, each with a percentage above 0.

    Their order, not their percentages, decides which one is the canary: a key in the canary at 5% is still in it at
    60%.
    """
    return assigner(arms, salt)(key)


def assigner(arms: Sequence[Arm], salt: bytes) -> Callable[[bytes], Arm]:
    """The assignment of many keys, for which what they have in common is computed once."""
    if len(arms) == 1:
        only = arms[0]
        return lambda _: only
    if len(arms) > 2:
        return lambda key: min(arms, key=lambda arm: _distance(arm, salt, key))
    stable, canary = arms
    # Digests are compared as the big-endian integers that they are.
    threshold = (canary.percent * 2**64 // (stable.percent + canary.percent)).to_bytes(_HASH_BYTES, "big")
    salted = blake2b(salt + b"\0", digest_size=_HASH_BYTES)

    def arm_of(key: bytes) -> Arm:
        digest = salted.copy()
        digest.update(key)
        return canary if digest.digest() < threshold else stable

    return arm_of


def _distance(arm: Arm, salt: bytes, key: bytes) -> float:
    """A value of the exponential distribution with the percentage as its rate.

    Each of several arms has the smallest one with a probability in proportion to its rate.
    """
    uniform = ((_hash(arm.revision.encode() + b"\0" + salt, key) >> 12) + 0.5) / 2**52
    return -math.log(uniform) / arm.percent


def _hash(salt: bytes, key: bytes) -> int:
    return int.from_bytes(blake2b(salt + b"\0" + key, digest_size=_HASH_BYTES).digest(), "big")


def choose(model: RoutedModel, override: str | None, key: bytes | None) -> Arm:
    """The arm of the override, else of the key, else a random one by the percentages. Raises InvalidInput."""
    if override:
        return model.named(override)
    if not model.canaries:
        return model.stable
    return assign(model.split, model.salt, os.urandom(8) if key is None else key)


def event_key(attributes: Mapping[str, Any]) -> bytes:
    """The routing key of an event; by default its source and id, so that a retry reaches the same revision."""
    for name in _KEY_ATTRIBUTES:
        value = attributes.get(name)
        if value is not None and value != "":
            return (value if type(value) is str else to_text(value)).encode()
    return f"{attributes['source']}\0{attributes['id']}".encode()
