"""Filters of rows, as text: comparisons of columns with values, joined by `and`, `or` and `not`.

The syntax is an expression of Python, parsed and never evaluated: `distance > 500 and carrier in ('UA', 'AA')`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from functions.batch.errors import InvalidDataset, InvalidRequest, first_line

# Longer filters are not written by people, and Python's parser limits the depth.
_MAX_LENGTH = 2_000
_SHAPE = "write it as in distance > 500 and carrier in ('UA', 'AA')"

_COMPARISONS: dict[type[ast.cmpop], Callable[[pc.Expression, Any], pc.Expression]] = {
    ast.Eq: lambda column, value: column == value,
    ast.NotEq: lambda column, value: column != value,
    ast.Lt: lambda column, value: column < value,
    ast.LtE: lambda column, value: column <= value,
    ast.Gt: lambda column, value: column > value,
    ast.GtE: lambda column, value: column >= value,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter; a row without a value of a compared column does not pass."""

    text: str
    columns: frozenset[str]
    expression: pc.Expression

    def mask(self, batch: pa.RecordBatch) -> pa.Array:
        """Return for each row whether it passes. Raises InvalidDataset when a type cannot be compared."""
        # Imported here, since it takes 50 MB of memory.
        from pyarrow import acero

        try:
            table = acero.Declaration("table_source", acero.TableSourceNodeOptions(pa.Table.from_batches([batch])))
            project = acero.Declaration("project", acero.ProjectNodeOptions([self.expression], ["mask"]), [table])
            found = project.to_table(use_threads=False)
        except (pa.ArrowException, NotImplementedError) as error:
            reason = first_line(error)
            raise InvalidDataset(
                f"the filter {self.text!r} does not fit the columns ({reason})", remedy="compare values of one type"
            ) from None
        return found.column(0).combine_chunks().fill_null(False)


def parse(text: str) -> Filter:
    """Parse a filter. Raises InvalidRequest."""
    if len(text) > _MAX_LENGTH:
        raise InvalidRequest(f"the filter has {len(text):,} characters, more than {_MAX_LENGTH:,}", remedy="shorten it")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        columns: set[str] = set()
        expression = _expression(tree, columns)
    except (SyntaxError, ValueError, RecursionError, MemoryError, pa.ArrowException):
        raise InvalidRequest(f"the filter {text[:200]!r} cannot be read", remedy=_SHAPE) from None
    return Filter(text, frozenset(columns), expression)


def _expression(node: ast.expr, columns: set[str]) -> pc.Expression:
    if isinstance(node, ast.BoolOp):
        parts = [_expression(value, columns) for value in node.values]
        found = parts[0]
        for part in parts[1:]:
            found = found & part if isinstance(node.op, ast.And) else found | part
        return found
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return ~_expression(node.operand, columns)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _comparison(node.left, node.ops[0], node.comparators[0], columns)
    raise ValueError("not a comparison")


def _comparison(left: ast.expr, operator: ast.cmpop, right: ast.expr, columns: set[str]) -> pc.Expression:
    if not isinstance(left, ast.Name):
        raise ValueError("no column on the left")
    columns.add(left.id)
    column, value = pc.field(left.id), ast.literal_eval(right)
    if isinstance(operator, (ast.Is, ast.IsNot)) and value is None:
        return column.is_null() if isinstance(operator, ast.Is) else column.is_valid()
    if isinstance(operator, (ast.In, ast.NotIn)) and isinstance(value, (tuple, list)) and value:
        found = column.isin(list(value))
        return found if isinstance(operator, ast.In) else ~found
    if type(operator) in _COMPARISONS and isinstance(value, (str, int, float, bool)):
        return _COMPARISONS[type(operator)](column, value)
    raise ValueError("not a comparison with a value")
