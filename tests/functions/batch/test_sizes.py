from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from functions.batch.sizes import decoded_bytes, row_bytes

ROWS = st.lists(
    st.tuples(
        st.integers(0, 9) | st.none(),
        st.text(max_size=9) | st.none(),
        st.lists(st.text(max_size=5), max_size=3) | st.none(),
        st.lists(st.tuples(st.text(max_size=3), st.integers(0, 9)), max_size=3) | st.none(),
        st.fixed_dictionaries({"name": st.text(max_size=5) | st.none(), "values": st.lists(st.integers(0, 9), max_size=3)}) | st.none(),
    ),
    max_size=20,
)
NESTED = (
    pa.list_(pa.string()),
    pa.map_(pa.string(), pa.int64()),
    pa.struct([pa.field("name", pa.string()), pa.field("values", pa.list_(pa.int16()))]),
)


@given(ROWS, st.integers(0, 20))
def test_bytes_of_a_row_do_not_depend_on_the_rows_around_it(rows: list[tuple[object, ...]], cut: int) -> None:
    numbers, texts, *nested = zip(*rows, strict=True) if rows else ((),) * 5
    arrays = [pa.array(values, type_) for values, type_ in zip(nested, NESTED, strict=True)]
    columns = [pa.array(numbers, pa.int64()), pa.array(texts, pa.string()), pa.array(texts, pa.string()).dictionary_encode(), *arrays]
    batch = pa.RecordBatch.from_arrays(columns, ["number", "text", "same", "list", "map", "struct"])

    parts = [*row_bytes(batch.slice(0, cut)), *row_bytes(batch.slice(cut))]

    assert [*row_bytes(batch)] == parts
    flat = batch.select(["number", "text", "same"])
    assert row_bytes(flat).sum() == decoded_bytes(flat)


def test_bytes_of_large_values_of_every_layout_are_counted() -> None:
    text = "x" * 1_000
    layouts = [
        pa.array([text]),
        pa.array([text], pa.large_string()),
        pa.array([text], pa.string_view()),
        pa.array([text.encode()], pa.large_binary()),
        pa.array([[text]]),
        pa.array([{"text": text}]),
        pa.array([[("key", text)]], pa.map_(pa.string(), pa.string())),
        pa.array([[text, text]], pa.list_(pa.string(), 2)),
        pa.array([bytes(1_000)], pa.binary(1_000)),
    ]
    for column in layouts:
        assert 1_000 <= row_bytes(pa.RecordBatch.from_arrays([column], ["column"]))[0] <= 2_020, column.type
