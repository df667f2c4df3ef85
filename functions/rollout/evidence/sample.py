"""A sample of keys in bounded memory, in which each key is counted once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_DIGESTS = 2_048
DIGESTS = 2**32
"""A digest has 32 bits."""


def threshold_of(halvings: int) -> int:
    """Where the digests end that are counted after so many halvings."""
    return DIGESTS >> halvings


@dataclass(frozen=True, slots=True)
class Sample:
    """The keys that were counted, by their digests of 32 bits.

    Only digests below a threshold are counted. When more than a number of them are held, the threshold is halved, and the
    digests above it are forgotten: they are never counted again, since they are above it from then on. So each key
    is counted at most once in any number of windows, of routers and of deliveries, and memory does not grow.

    Whether a key is counted depends on its digest and on those before, which do not depend on the key's arm. A test of
    how the keys of a sample are divided among arms is therefore as valid as one of all keys; it has fewer of them.
    """

    digests: frozenset[int] = frozenset()
    halvings: int = 0

    @property
    def threshold(self) -> int:
        return threshold_of(self.halvings)

    def admit(self, digests: Iterable[int], most: int = MOST_DIGESTS) -> tuple[Sample, list[int]]:
        """The sample with these keys, of which it holds at most `most`, and those of them that are to be counted now.

        They are taken in the order of their digests, whatever their order was, since another order could favour an arm.
        """
        fresh = [digest for digest in sorted(set(digests)) if digest < self.threshold and digest not in self.digests]
        if not fresh:
            return self, []
        kept, halvings, admitted = set(self.digests), self.halvings, []
        for digest in fresh:
            if digest >= threshold_of(halvings):
                break
            kept.add(digest)
            admitted.append(digest)
            while len(kept) > most:
                halvings += 1
                threshold = threshold_of(halvings)
                kept = {other for other in kept if other < threshold}
        return Sample(frozenset(kept), halvings), admitted
