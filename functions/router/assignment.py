"""The assignment of keys to arms: a function of key, salt and percentages, so that replicas and restarts agree."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from eventing.event import to_text
from functions.runtime.knative.keys import HASH_BYTES, digest_of, key_hash, salted
from functions.runtime.knative.traffic import Arm, RoutedModel

# In order of precedence: an explicit routing key, the key of the Kafka record, the subject of the event.
_KEY_ATTRIBUTES = ("routingkey", "partitionkey", "subject")


class Assigned(NamedTuple):
    """What one arm gets: an item for a request, and for each event or row of a batch, in their order.

    An item is the digest of its key, or None if its sender named the arm or a version. Requests that belong to no
    split have no items, such as those that only read.
    """

    arm: Arm
    items: tuple[int | None, ...] = ()


def assign(arms: Sequence[Arm], salt: bytes, key: bytes) -> Assigned:
    """The arm of a key. `arms` are the stable one, then the canaries, each with a percentage above 0.

    Their order, not their percentages, decides which one is the canary: a key in the canary at 5% is still in it at
    60%.
    """
    return assigner(arms, salt)(key)


def assigner(arms: Sequence[Arm], salt: bytes) -> Callable[[bytes], Assigned]:
    """The assignment of many keys, for which what they have in common is computed once."""
    begun = salted(salt)
    stable, canary = arms[0], arms[-1]
    # Digests are compared as the big-endian integers that they are; with one arm, all of them are above.
    threshold = (canary.percent * 2**64 // (stable.percent + canary.percent) if len(arms) > 1 else 0).to_bytes(HASH_BYTES, "big")

    def assigned(key: bytes) -> Assigned:
        hashed = begun.copy()
        hashed.update(key)
        digest = hashed.digest()
        arm = min(arms, key=lambda arm: _distance(arm, salt, key)) if len(arms) > 2 else canary if digest < threshold else stable
        return Assigned(arm, (digest_of(digest),))

    return assigned


def _distance(arm: Arm, salt: bytes, key: bytes) -> float:
    """A value of the exponential distribution with the percentage as its rate.

    Each of several arms has the smallest one with a probability in proportion to its rate.
    """
    hashed = int.from_bytes(key_hash(arm.revision.encode() + b"\0" + salt, key), "big")
    uniform = ((hashed >> 12) + 0.5) / 2**52
    return -math.log(uniform) / arm.percent


def choose(model: RoutedModel, override: str | None, key: bytes | None, *, counted: bool = True) -> Assigned:
    """The arm of the override, else of the key, else a random one by the percentages.

    Unless it is `counted`, a request that only one arm can answer has no items: its key is not hashed. Raises
    UnknownModel.
    """
    if override:
        return Assigned(model.named(override), (None,))
    if not counted and not model.canaries and model.shadow is None:
        return Assigned(model.stable)
    return assign(model.split, model.salt, os.urandom(8) if key is None else key)


def event_key(attributes: Mapping[str, Any]) -> bytes:
    """The routing key of an event; by default its source and id, so that a retry reaches the same revision."""
    for name in _KEY_ATTRIBUTES:
        value = attributes.get(name)
        if value is not None and value != "":
            return (value if type(value) is str else to_text(value)).encode()
    return f"{attributes['source']}\0{attributes['id']}".encode()
