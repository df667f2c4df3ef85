"""The demo's checks must be able to fail: each is shown what it is there to find."""

from __future__ import annotations

from collections import Counter

from tidegate.demo import checks
from tidegate.demo.collector import Collected, Scored

REASONS = {"no id 1": "no id"}


def collected(scored: str = "abc", dead: dict[str, str] | None = None, copies: dict[str, int] | None = None) -> Collected:
    replies = {name: Scored("v1", f"key {name}", 0.5, 0) for name in scored}
    letters = {"no id 1": "the event has no id"} if dead is None else dead
    return Collected(replies, letters, Counter(dict.fromkeys([*replies, *letters], 1) | (copies or {})))


def broken(*found: checks.Check) -> list[str]:
    return [check.name for check in found if not check.kept]


def test_an_account_that_balances_is_kept() -> None:
    assert not broken(*checks.accounting("abc", REASONS, collected()))


def test_a_missing_event_is_found_and_named() -> None:
    found = checks.accounting("abcd", REASONS, collected())
    assert broken(*found) == ["events in = scored + dead letters", "no event is missing"]
    assert found[1].seen == "1 missing: d"


def test_a_doubled_event_is_found() -> None:
    assert broken(*checks.accounting("abc", REASONS, collected(copies={"b": 2}))) == ["no event is doubled"]


def test_an_event_that_nobody_sent_is_found_even_where_the_numbers_agree() -> None:
    assert "events in = scored + dead letters" in broken(*checks.accounting("abx", REASONS, collected()))


def test_dead_letters_need_their_reason_and_none_but_the_broken_may_be_there() -> None:
    assert checks.dead_letters(REASONS, collected()).kept
    assert not checks.dead_letters(REASONS, collected(dead={})).kept
    assert not checks.dead_letters(REASONS, collected(dead={"no id 1": "unknown category"})).kept
    assert not checks.dead_letters(REASONS, collected(dead={"no id 1": "no id", "event a": "invalid input"})).kept


def test_scores_are_equal_to_the_bit_or_not_equal() -> None:
    assert checks.equal("", [0.1, 0.2], [0.1, 0.2]).kept
    assert not checks.equal("", [0.1], [0.1000001]).kept
    assert not checks.equal("", [], []).kept


def test_a_key_that_saw_two_versions_and_a_share_that_is_off_are_found() -> None:
    fair = checks.by_key((f"key {number}", "v2" if number % 10 == 0 else "v1") for number in range(1000))
    assert not broken(*checks.canary("", fair, "v2", 0.1))
    assert broken(*checks.canary("", fair | {"key 1": {"v1", "v2"}}, "v2", 0.1)) == [": each key stays with one version"]
    assert broken(*checks.canary("", fair, "v2", 0.2)) == [": the canary has 20% of the keys"]
    assert broken(*checks.canary("", {}, "v2", 0.1)) == [": the canary has 10% of the keys"]
