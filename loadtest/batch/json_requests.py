"""`python -m loadtest.batch.json_requests PORT INPUT ROWS`: JSON requests of 1,000 rows, four at a time.

It prints the seconds, reading included; the answers are parsed and dropped.
"""

from __future__ import annotations

import http.client
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from loadtest.batch.data import NAME

_ROWS, _AT_ONCE = 1_000, 4


def main(port: int, source: str, rows: int) -> None:
    import orjson
    import pyarrow.parquet as pq

    def score(batch: object) -> None:
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}  # type: ignore[attr-defined]
        tensors = [
            {"name": name, "datatype": "INT32" if isinstance(data[0], int) else "FP32", "shape": [len(data)], "data": data}
            for name, data in columns.items()
        ]
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("POST", f"/v2/models/{NAME}/infer", orjson.dumps({"inputs": tensors}))
            answer = connection.getresponse()
            document = orjson.loads(answer.read())
            if answer.status != 200:
                raise RuntimeError(document)
        finally:
            connection.close()

    began = time.perf_counter()
    batches = (batch.slice(0, _ROWS) for batch in pq.ParquetFile(source).iter_batches(_ROWS))
    taken = (batch for batch, _ in zip(batches, range(rows // _ROWS), strict=False))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(score, taken):
            pass
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
