"""The hash of a routing key: it decides on the arm of the key, and its digest names the key in outcomes."""

from __future__ import annotations

from hashlib import blake2b

HASH_BYTES = 8
# Of those, the last that name a key.
_DIGEST_BYTES = 4


def salt_of(model: str, rollout: str) -> bytes:
    """What the keys of a model are hashed with: another rollout assigns them independently."""
    return f"{model}/{rollout}".encode()


def salted(salt: bytes) -> blake2b:
    """The beginning of the hash of each key."""
    return blake2b(salt + b"\0", digest_size=HASH_BYTES)


def key_hash(salt: bytes, key: bytes) -> bytes:
    hashed = salted(salt)
    hashed.update(key)
    return hashed.digest()


def digest_of(hashed: bytes) -> int:
    """The digest of a key by its hash: 32 bits that do not depend on the arm.

    Of two arms, the first bits decide, since percentages are whole numbers; of three or more, other hashes.
    """
    return int.from_bytes(hashed[HASH_BYTES - _DIGEST_BYTES :], "big")
