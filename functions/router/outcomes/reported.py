"""The keys that a router has reported lately in a rollout."""

from __future__ import annotations

from collections.abc import Iterable

# Of each kind: about 2 MB.
_MOST = 32_768


class Reported:
    """Digests of keys by what was reported of them. The least recently used are forgotten beyond `most` of a kind."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._digests: dict[str, dict[int, None]] = {}

    def new(self, kind: str, digests: Iterable[int]) -> list[int]:
        """Those of the digests that were not reported as this kind."""
        known = self._digests.get(kind)
        if known is None:
            return list(digests)
        found = []
        for digest in digests:
            if digest in known:
                del known[digest]
                known[digest] = None  # used again: now the last to be forgotten
            else:
                found.append(digest)
        return found

    def add(self, kind: str, digest: int) -> None:
        """Remember that a digest is reported."""
        known = self._digests.setdefault(kind, {})
        known[digest] = None
        if len(known) > self._most:
            del known[next(iter(known))]
