"""The demo's checks must be able to fail: each meets the fault that it looks for."""

from __future__ import annotations

from collections import Counter

from tidegate.demo import checks
from tidegate.demo.collector import Collected, Scored

REASONS = {"no id 1": "no id"}


def collected(scored: str = "abc", dead: dict[str, str] | None = None, copies: dict[str, int] | None = None) -> Collected:
    replies = {name: Scored(version="v1", key=f"key {name}", score=0.5, written_ms=0) for name in scored}
    letters = {"no id 1": "the event has no id"} if dead is None else dead
    return Collected(replies, letters, Counter(dict.fromkeys([*replies, *letters], 1) | (copies or {})))


def broken(*found: checks.Check) -> list[str]:
    return [check.name for check in found if not check.kept]


def test_balanced_account_is_kept() -> None:
    assert not broken(*checks.accounting("abc", REASONS, collected()))


def test_missing_event_is_named() -> None:
    found = checks.accounting("abcd", REASONS, collected())
    assert broken(*found) == ["events in = scored + dead letters", "no event is missing"]
    assert found[1].observed == "1 missing: d"


def test_duplicate_event_is_found() -> None:
    assert broken(*checks.accounting("abc", REASONS, collected(copies={"b": 2}))) == ["no event is duplicated"]


def test_unknown_event_is_found_even_if_the_counts_agree() -> None:
    assert "events in = scored + dead letters" in broken(*checks.accounting("abx", REASONS, collected()))


def test_dead_letters_are_the_broken_events_with_their_reason() -> None:
    assert checks.dead_letters(REASONS, collected()).kept
    assert not checks.dead_letters(REASONS, collected(dead={})).kept
    assert not checks.dead_letters(REASONS, collected(dead={"no id 1": "unknown category"})).kept
    assert not checks.dead_letters(REASONS, collected(dead={"no id 1": "no id", "event a": "invalid input"})).kept


def test_scores_must_be_equal_to_the_bit() -> None:
    assert checks.equal("", [0.1, 0.2], [0.1, 0.2]).kept
    assert not checks.equal("", [0.1], [0.1000001]).kept
    assert not checks.equal("", [], []).kept


def test_key_with_two_versions_and_wrong_share_are_found() -> None:
    fair = checks.by_key((f"key {number}", "v2" if number % 10 == 0 else "v1") for number in range(1000))
    assert not broken(*checks.canary("", fair, "v2", 0.1))
    assert broken(*checks.canary("", fair | {"key 1": {"v1", "v2"}}, "v2", 0.1)) == [": each key stays with one version"]
    assert broken(*checks.canary("", fair, "v2", 0.2)) == [": the canary has 20% of the keys"]
    assert broken(*checks.canary("", {}, "v2", 0.1)) == [": the canary has 10% of the keys"]
