"""The dataset of the batch job, which is small enough for a ConfigMap."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from tests.e2e.departures import departure

ROWS = 500


def parquet() -> bytes:
    rows = [{"tailnum": f"N{number % 50:03}", **departure(number)} for number in range(ROWS)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content
