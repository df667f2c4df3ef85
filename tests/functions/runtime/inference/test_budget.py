from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.errors import Overloaded
from functions.runtime.inference.budget import Budget


def test_request_beyond_the_budget_is_overloaded_and_takes_nothing() -> None:
    budget = Budget(10)
    budget.take(6)
    with pytest.raises(Overloaded, match="requests of 6 bytes are in flight; retry later"):
        budget.take(5)
    assert budget.used == 6
    budget.take(4)


def test_request_alone_is_never_refused() -> None:
    budget = Budget(10)
    budget.take(8)
    budget.take(8, held=8)
    assert budget.used == 16


def test_actual_size_replaces_the_estimate_even_beyond_the_budget() -> None:
    budget = Budget(10)
    budget.take(8)
    budget.replace(8, by=20)
    assert budget.used == 20


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100))), st.integers(0, 300))
def test_calls_that_end_give_back_all_that_they_took(calls: list[tuple[int, int]], total: int) -> None:
    budget = Budget(total)
    held = 0
    for size, answer in calls:
        try:
            budget.take(size)
        except Overloaded:
            continue
        budget.replace(0, by=answer)
        held += size + answer
        assert budget.used == held
    budget.give(held)
    assert budget.used == 0
