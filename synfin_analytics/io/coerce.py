"""Columns of any frame in the types of our tables.

Cells are read as :func:`synfin_analytics.load_df` reads them, so that a frame means the same here
as in the table. Of a column that is not there every cell is missing.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from synfin_analytics._core.dataframes import collect, open_frame
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.output import to_frame
from synfin_analytics._core.validation.checks import check
from synfin_analytics._core.validation.faults import Faults
from synfin_analytics._core.validation.rules import Range
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.exceptions import ArgumentError, NotFoundError, Problem
from synfin_analytics.io._sources import open_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from synfin_analytics._core.output import Output
    from synfin_analytics._core.validation.columns import Column
    from synfin_analytics._core.validation.spec import ColumnSpec
    from synfin_analytics.database.models import Base

_BATCH = 1_000_000
_KINDS: dict[nw.Implementation, Output] = {
    nw.Implementation.PANDAS: "pandas",
    nw.Implementation.POLARS: "polars",
}


def collect_columns(
    df: Any, required: Sequence[str], optional: Sequence[str], what: str, caller: str
) -> nw.DataFrame[Any]:
    """Columns of a frame of any engine, with its rows at hand; optional ones where they are.

    Parameters
    ----------
    frame
        Of pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
    required, optional
        Names of columns; others stay where they are.
    what, caller
        What the rows are, and the name of the public function, for messages.

    Raises
    ------
    NotFoundError
        A required column is not there; the message names the nearest.
    ArgumentError
        It is no frame.
    """
    require_thread_pool()
    dask = nw.dependencies.is_dask_dataframe(df)
    known = list(df.columns) if dask else open_frame(df, caller).collect_schema().names()
    for name in required:
        if name not in known:
            raise NotFoundError("column", name, known, where=f"the {what}")
    names = [name for name in (*required, *optional) if name in known]
    if dask:  # without narwhals, whose way to Dask moves away
        rows: nw.DataFrame[Any] = nw.from_native(df[names].compute(), eager_only=True)
        return rows
    return collect(open_frame(df, caller).select(*names))


def coerce_columns(
    rows: nw.DataFrame[Any], model: type[Base], names: Sequence[str]
) -> pl.DataFrame:
    """Columns in the types of a table, in the order of ``names``.

    An amount of 0, or of more than two decimals, is accepted here, as a double: the table refuses
    it, but data from elsewhere have them.

    Raises
    ------
    ArgumentError
        Cells are missing that are required, or not what the table takes; all of them are told.
    """
    spec = spec_of(model)
    columns = {name: _lenient(spec.columns[name]) for name in names}
    source = open_source(rows.to_native(), _BATCH)
    faults = Faults()
    parts = []
    for batch in source.batches:
        number = pl.int_range(batch.start, batch.start + batch.height, eager=True)
        read = []
        for name, column in columns.items():
            if name not in batch.columns:
                read.append(pl.repeat(None, batch.height, dtype=column.dtype, eager=True))
                continue
            checked = check(_as_written(batch.columns[name], column), column)
            for mask, reason in checked.faults:
                cells = pl.Series(mask).filter(mask)  # their number is told, not what they say
                faults.add(name, reason, number.filter(mask), cells, personal=True)
            read.append(checked.values)
        parts.append(
            pl.DataFrame([values.alias(name) for name, values in zip(columns, read, strict=True)])
        )
    if faults:
        _refuse(spec.name, faults.problems())
    empty = pl.DataFrame(schema={name: column.dtype for name, column in columns.items()})
    return pl.concat([empty, *parts])


def make_frame_like(
    rows: nw.DataFrame[Any], columns: dict[str, pa.Array], keep: Sequence[str] = ()
) -> Any:
    """Frame of these columns of the kind of ``rows``, after those of ``rows`` to keep."""
    found: Any = to_frame(
        {name: (values.type, [values]) for name, values in columns.items()},
        _KINDS.get(rows.implementation, "arrow"),
    )
    if rows.implementation.is_pandas():
        found.index = rows.to_native().index
    if not keep:
        return found
    frames = [rows.select(*keep), nw.from_native(found, eager_only=True)]
    return nw.concat(frames, how="horizontal").to_native()


def make_null_columns(model: type[Base], names: Sequence[str], height: int) -> pl.DataFrame:
    """Make columns of a table in which nothing is known."""
    columns = spec_of(model).columns
    return pl.DataFrame(
        [
            pl.repeat(None, height, dtype=columns[name].dtype, eager=True).alias(name)
            for name in names
        ]
    )


def raise_invalid_rows(table: str, column: str, reason: str, rows: pl.Series) -> None:
    """Refuse the rows of a table under a mask, for what is in one column."""
    places = tuple(rows.arg_true())
    _refuse(table, [Problem(column, reason, len(places), places)])


def _refuse(table: str, problems: Sequence[Problem]) -> None:
    told = "".join(f"\n  {problem}" for problem in problems)
    raise ArgumentError(f"These {table} cannot be used (rows count from 0):{told}")


def _lenient(column: ColumnSpec) -> ColumnSpec:
    if column.kind == "decimal" and isinstance(column.rule, Range) and column.rule.above == 0:
        limit = 10.0 ** (column.precision - column.scale)
        return dataclasses.replace(column, kind="number", dtype=pl.Float64(), rule=Range(0, limit))
    return column


def _as_written(cells: Column, column: ColumnSpec) -> Column:
    """Read a single as the shortest decimal that it stands for: 12.34, not 12.3400001526."""
    if column.kind == "number" and isinstance(cells, pl.Series) and cells.dtype == pl.Float32:
        return cells.cast(pl.String).cast(pl.Float64)
    return cells
