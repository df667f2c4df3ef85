"""`python -m loadtest.batch.plain ARTIFACT INPUT OUTPUT THREADS`: what a script does in one process, without a service.

It reads a Parquet file, predicts with `Booster.inplace_predict` and writes a Parquet file; it prints the seconds.
"""

from __future__ import annotations

import sys
import time

_ROWS = 131_072


def main(artifact: str, source: str, output: str, threads: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import xgboost as xgb

    booster = xgb.Booster({"nthread": threads}, model_file=artifact)
    began = time.perf_counter()
    reader = pq.ParquetFile(source)
    with pq.ParquetWriter(output, reader.schema_arrow.append(pa.field("late", pa.float32()))) as writer:
        for batch in reader.iter_batches(_ROWS):
            rows = np.empty((batch.num_rows, batch.num_columns), np.float32)
            for index, column in enumerate(batch.columns):
                rows[:, index] = column.to_numpy(zero_copy_only=False)
            scores = booster.inplace_predict(rows, validate_features=False)
            writer.write_batch(batch.append_column("late", pa.array(scores)))
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
