"""The examples of docs/engines.md are run by the engines; their scores equal those of `tidegate batch` to the bit."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from os import environ
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.batch.job import run
from functions.batch.request import BatchRequest
from tests.fixtures.frames import flights_frame, served
from tidegate import frames

PAGE = (Path(__file__).parents[2] / "docs/engines.md").read_text("utf-8")
ROUTER = "http://router.localhost:8080"
# Below the limit of a test that hangs.
SECONDS = 240
# Seconds instead of minutes on a small machine: no web page, and no optimizing compiler.
SPARK = """\
spark.ui.enabled false
spark.driver.memory 640m
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1
"""
# A row that the model does not take, in the same program, since an engine takes seconds to start.
BAD_ROW = """
bad = flights.toPandas()
bad.loc[7, "carrier"] = "??"
try:
    spark.createDataFrame(bad).coalesce(1).mapInPandas(score, score.spark_schema(flights.schema)).count()
except Exception as error:
    print(error)
arrow = flights.mapInArrow(score, score.spark_schema(flights.schema))
assert arrow.toPandas().late.equals(spark.read.parquet("scored").toPandas().late)
spark.stop()
"""


def example(heading: str) -> str:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def url(flights_models: Path) -> Iterator[str]:
    with served(flights_models / "v1") as found:
        yield found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, flights_models: Path, url: str) -> Path:
    """A folder with the files that the examples name, and with what `tidegate batch` makes of the dataset."""
    folder = tmp_path_factory.mktemp("engines")
    (folder / "models").mkdir()
    shutil.copytree(flights_models, folder / "models/flights")
    given = flights_frame(5_000)
    given["aircraft_manufacturer"] = given.aircraft_manufacturer.astype("str")
    pq.write_table(pa.Table.from_pandas(given, preserve_index=False), folder / "flights.parquet")
    request = BatchRequest(model="flights", input=str(folder / "flights.parquet"), output=str(folder / "expected.parquet"))
    asyncio.run(run(request, url=url))
    return folder


def scores(path: Path) -> bytes:
    """The scores as in memory, in the order of the rows."""
    table = pq.read_table(path).sort_by("flight")
    assert table.schema.field("late").type == pa.float32()
    return bytes(table["late"].combine_chunks().to_numpy().tobytes())


def execute(program: str, folder: Path, engine: str) -> str:
    """Run an example as a reader would, in a folder of its own, and return what it printed."""
    if find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed: run `make engines`.")
    (folder / "example.py").write_text(program)
    (folder / "spark-defaults.conf").write_text(SPARK)
    found = {"PATH": f"{Path(sys.executable).parent}:{environ['PATH']}", "SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [sys.executable, "example.py"]
    done = subprocess.run(command, cwd=folder, env={**environ, **found}, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    for name in ("flights.parquet", "models"):
        (tmp_path / name).symlink_to(project / name)
    return tmp_path


def test_spark_scores_like_a_batch(project: Path, folder: Path, url: str) -> None:
    if shutil.which("java") is None:
        pytest.skip("java is not on the PATH: install Java 17 or newer for Spark.")
    program = example("Through a service")
    assert ROUTER in program
    printed = execute(program.replace(ROUTER, url) + BAD_ROW, folder, "pyspark")
    assert scores(folder / "scored") == scores(project / "expected.parquet")
    # The page shows the same sentence of another frame.
    said = re.search(r"InvalidFrame: row 17 of the frame \(index 1017\) (.*)", PAGE)
    assert said is not None
    shown = said[1].replace("; fix the row", " (status 400); fix the row")
    assert f"InvalidFrame: row 7 of the partition {shown}" in printed


def test_dask_scores_like_a_batch(project: Path, folder: Path) -> None:
    execute(example("In the engine's processes"), folder, "distributed")
    assert scores(folder / "scored") == scores(project / "expected.parquet")


@pytest.mark.parametrize("batch_format", ["pandas", "pyarrow", "numpy"])
def test_the_batches_of_ray_are_scored_like_a_batch(project: Path, url: str, batch_format: str) -> None:
    """Ray's `map_batches` passes frames of these kinds, and takes any of them."""
    table = pq.read_table(project / "flights.parquet")
    arrays = {name: column.to_numpy() for name, column in zip(table.column_names, table.columns, strict=True)}
    batch = {"pandas": table.to_pandas(), "pyarrow": table, "numpy": arrays}[batch_format]
    scored = frames.scorer("flights", url=url)(batch)
    assert pd.Series(scored["late"]).to_numpy("float32").tobytes() == scores(project / "expected.parquet")


def test_an_artifact_in_this_process_scores_like_a_batch(project: Path) -> None:
    scored = frames.scorer("flights", path=project / "models/flights", version="v1")(pd.read_parquet(project / "flights.parquet"))
    assert scored.late.to_numpy().tobytes() == scores(project / "expected.parquet")
    assert pq.read_schema(project / "expected.parquet").names == list(scored)
