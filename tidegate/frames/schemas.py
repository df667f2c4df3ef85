"""The columns that a model adds, as Spark describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functions.batch.signature import Output

# Spark has no unsigned integers, so that they become the next wider ones.
_SPARK = {
    "BOOL": "boolean",
    **dict.fromkeys(("FP16", "BF16", "FP32"), "float"),
    "FP64": "double",
    "INT8": "tinyint",
    **dict.fromkeys(("UINT8", "INT16"), "smallint"),
    **dict.fromkeys(("UINT16", "INT32"), "int"),
    **dict.fromkeys(("UINT32", "INT64"), "bigint"),
    "UINT64": "decimal(20,0)",
    "BYTES": "string",
}


def ddl_of(output: Output) -> str:
    """Return the type of an output in the data definition language of Spark."""
    plain = _SPARK[output.datatype]
    return plain if output.width == 1 else f"array<{plain}>"


def with_outputs(schema: Any, outputs: Sequence[Output]) -> Any:
    """Return a schema with the outputs appended: a string of DDL for one, otherwise a StructType for one."""
    ddl = ", ".join(f"`{output.name.replace('`', '``')}` {ddl_of(output)}" for output in outputs)
    if isinstance(schema, str):
        return f"{schema}, {ddl}"
    from pyspark.sql.types import StructType

    added: Any = StructType.fromDDL(ddl)
    return StructType([*schema.fields, *added.fields])
