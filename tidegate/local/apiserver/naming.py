"""Names that the API server gives to objects."""

from __future__ import annotations

import secrets

from tidegate.local.objects.validation import Object

# Those of k8s.io/apimachinery/pkg/util/rand: no vowels, which could make words, and no digits that look like letters.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LENGTH = 5


def with_name(item: Object) -> Object:
    """The object with a name, made of `metadata.generateName` and a random suffix if it has none."""
    metadata = item["metadata"]
    prefix = metadata.get("generateName")
    if metadata.get("name") or not isinstance(prefix, str) or not prefix:
        return item
    suffix = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return {**item, "metadata": {**metadata, "name": f"{prefix}{suffix}"}}
