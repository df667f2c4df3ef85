from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from functions.router.outcomes.reported import Reported


@given(st.lists(st.tuples(st.sampled_from(["errors", "slow"]), st.integers(0, 20))))
def test_a_digest_is_new_once_of_each_kind(reports: list[tuple[str, int]]) -> None:
    reported, new = Reported(), []
    for kind, digest in reports:
        for found in reported.new(kind, [digest]):
            reported.add(kind, found)
            new.append((kind, found))
    assert new == list(dict.fromkeys(reports))


def test_the_least_recently_used_digest_is_forgotten() -> None:
    reported = Reported(most=2)
    reported.add("errors", 1)
    reported.add("errors", 2)
    assert reported.new("errors", [1]) == []
    reported.add("errors", 3)
    assert reported.new("errors", [1, 2, 3]) == [2]
