"""Checks of the demo's results, as pure functions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tidegate.demo.collector import Collected


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: whether it was kept, and what was observed."""

    name: str
    kept: bool
    observed: str


def accounting(sent: Iterable[str], cases: Iterable[str], collected: Collected) -> list[Check]:
    """Each published event has one result, a score or a dead letter."""
    good, bad = set(sent), set(cases)
    out = collected.scored.keys() | collected.dead.keys()
    lost = (good | bad) - out
    unknown = out - (good | bad)
    doubled = [name for name, copies in collected.copies.items() if copies > 1]
    total = len(good) + len(bad)
    return [
        Check(
            "events in = scored + dead letters",
            total == len(collected.scored) + len(collected.dead) and not unknown,
            f"{total:,} = {len(collected.scored):,} + {len(collected.dead):,}{_examples(unknown, '; not published:')}",
        ),
        Check("no event is missing", not lost, f"{len(lost)} missing{_examples(lost)}"),
        Check("no event is duplicated", not doubled, f"{len(doubled)} duplicated{_examples(doubled)}"),
    ]


def dead_letters(reasons: Mapping[str, str], collected: Collected) -> Check:
    """All broken events, and no others, are dead letters whose problem names the fault."""
    wrong = [case for case, reason in reasons.items() if reason not in collected.dead.get(case, "")]
    others = collected.dead.keys() - reasons.keys()
    kept = not wrong and not others
    observed = f"{len(reasons) - len(wrong)} of {len(reasons)}{_examples(wrong, '; not')}{_examples(others, '; and also')}"
    return Check("broken events are dead letters with a reason", kept, observed)


def equal(name: str, served: Iterable[object], offline: Iterable[object]) -> Check:
    """Served and offline scores are equal to the bit, since float32 passes through JSON and Parquet without loss.

    They may be pairs with the revision.
    """
    pairs = list(zip(served, offline, strict=True))
    different = sum(1 for a, b in pairs if a != b)
    return Check(name, bool(pairs) and not different, f"{len(pairs) - different:,} of {len(pairs):,}, to the bit")


def canary(name: str, versions_by_key: Mapping[str, set[str]], version: str, weight: float) -> list[Check]:
    """Each key has one version, and the canary's share of keys is within 4 standard deviations of its weight."""
    keys = len(versions_by_key)
    split = [key for key, versions in versions_by_key.items() if len(versions) > 1]
    share = share_of_keys(versions_by_key, version)
    tolerance = 4 * math.sqrt(weight * (1 - weight) / max(keys, 1))
    return [
        Check(f"{name}: each key stays with one version", not split, f"{len(split)} of {keys:,} keys had two{_examples(split)}"),
        Check(
            f"{name}: the canary has {weight:.0%} of the keys",
            bool(keys) and abs(share - weight) <= tolerance,
            f"{share:.2%}, within {weight:.0%} ± {tolerance:.2%}",
        ),
    ]


def share_of_keys(versions_by_key: Mapping[str, set[str]], version: str) -> float:
    """The share of keys that this version has answered."""
    return sum(version in versions for versions in versions_by_key.values()) / max(len(versions_by_key), 1)


def by_key(pairs: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """The versions that answered each key, from pairs of (key, version)."""
    versions: dict[str, set[str]] = defaultdict(set)
    for key, version in pairs:
        versions[key].add(version)
    return dict(versions)


def _examples(names: Iterable[str], before: str = ":") -> str:
    shown = sorted(names)[:3]
    return f"{before} {', '.join(shown)}" if shown else ""
