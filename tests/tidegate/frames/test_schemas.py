from __future__ import annotations

import pytest

from functions.batch.signature import OUTPUT_TYPES, Output
from tidegate.frames.schemas import ddl_of, with_outputs


@pytest.mark.parametrize("datatype", sorted(OUTPUT_TYPES))
def test_every_datatype_has_a_type_of_spark(datatype: str) -> None:
    assert ddl_of(Output("late", datatype, 3)) == f"array<{ddl_of(Output('late', datatype, 1))}>"


def test_names_are_quoted() -> None:
    assert with_outputs("a int", [Output("very `late`", "FP32", 1)]) == "a int, `very ``late``` float"
