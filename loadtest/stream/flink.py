"""PyFlink with the model in a vectorized function: run by the Python of its own environment, which needs Java.

`python -m loadtest.stream.flink model --servers … --input …`. Its defaults are kept but for checkpoints, which are off
without an interval: the offsets are committed with them, and a restart goes on from there. FLINK_CONNECTOR_JARS
names the folder with the Kafka connector.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from pyflink.table import DataTypes, EnvironmentSettings, TableEnvironment
from pyflink.table.udf import ScalarFunction, udf

from loadtest.stream.job import JARS, Job, parse

_COLUMNS = ("carrier", "origin", "dest", "scheduled_departure", "scheduled_arrival", "distance")
_TABLES = """
CREATE TABLE departed (
  k BYTES, flight BIGINT, carrier STRING, origin STRING, dest STRING,
  scheduled_departure STRING, scheduled_arrival STRING, distance DOUBLE
) WITH (
  'connector' = 'kafka', 'topic' = '{input}', 'properties.bootstrap.servers' = '{servers}',
  'properties.group.id' = '{group}', 'scan.startup.mode' = 'group-offsets', 'properties.auto.offset.reset' = 'earliest',
  'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'
);
CREATE TABLE results (
  k BYTES, late FLOAT, headers MAP<STRING, BYTES> METADATA
) WITH (
  'connector' = 'kafka', 'topic' = '{output}', 'properties.bootstrap.servers' = '{servers}',
  'key.format' = 'raw', 'key.fields' = 'k', 'value.format' = 'json', 'value.fields-include' = 'EXCEPT_KEY'
)
"""
_INSERT = """
INSERT INTO results
SELECT k, late({columns}), MAP['ce_causationid', CAST(CAST(flight AS STRING) AS BYTES)] FROM departed
"""


class Late(ScalarFunction):  # type: ignore[misc]
    """The model, loaded once by each worker."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def open(self, _: Any) -> None:
        from loadtest.stream.scoring import Model

        self._model = Model(Path(self._folder))

    def eval(self, *columns: pd.Series) -> pd.Series:
        rows = (dict(zip(_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True))
        return pd.Series(self._model.predict(list(rows)), dtype="float32")


def _statements(job: Job) -> Iterator[str]:
    found = _TABLES.format(input=job.input, output=job.output, servers=job.servers, group=job.group)
    yield from (statement for statement in found.split(";") if statement.strip())


def main() -> None:
    _, job = parse(["model"])
    environment = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
    settings = {
        "pipeline.jars": ";".join(path.resolve().as_uri() for path in Path(os.environ[JARS]).glob("*.jar")),
        "execution.checkpointing.interval": "1 s",
        "execution.checkpointing.dir": Path(job.state).as_uri(),
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
    }
    for name, value in settings.items():
        environment.get_config().set(name, value)
    environment.create_temporary_function("late", udf(Late(job.model), result_type=DataTypes.FLOAT(), func_type="pandas"))
    for statement in _statements(job):
        environment.execute_sql(statement)
    environment.execute_sql(_INSERT.format(columns=", ".join(_COLUMNS))).wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
