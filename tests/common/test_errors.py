from __future__ import annotations

import pickle

import pytest

from common.errors import RemediedError, TidegateError
from functions.batch.client import Refused


@pytest.mark.parametrize(
    "error",
    [TidegateError("it is broken."), RemediedError("it is broken", remedy="fix it"), Refused("it is broken", 400, remedy="fix it")],
    ids=["plain", "remedied", "own arguments"],
)
def test_an_error_ends_in_another_process_as_it_began(error: TidegateError) -> None:
    found = pickle.loads(pickle.dumps(error))  # noqa: S301 our own
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))
