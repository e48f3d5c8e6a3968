"""Columns of any frame in the types of the tables, and those that are derived from others.

Cells are read as :func:`synfin_analytics.load_df` reads them, so that a frame means the same here
as in the table. A column that the frame does not have is NULL in every row.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NoReturn

import narwhals as nw
import polars as pl

from synfin_analytics._core.dataframes import collect, column_names, native_frame, open_frame
from synfin_analytics._core.engine_errors import translate_dask_errors
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.output import to_frame
from synfin_analytics._core.partitions import select_from_partitions
from synfin_analytics._core.validation.outcome import CellErrors, summarize
from synfin_analytics._core.validation.rules import Range
from synfin_analytics._core.validation.spec import ColumnSpec, spec_of
from synfin_analytics._core.validation.validate import validate_column
from synfin_analytics.database.models import TIME_OF_DAY
from synfin_analytics.exceptions import ArgumentError, NotFoundError, Problem
from synfin_analytics.io.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from narwhals.typing import IntoDataFrameT, IntoFrame

    from synfin_analytics._core.output import Output
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.validation.columns import Column
    from synfin_analytics.database.models import Base
    from synfin_analytics.io._source import SourceBatch

_BATCH_ROWS = 1_000_000
_INTEGERS = (nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32)
#: Characters of the longest of them.
_INTEGER_DIGITS = 20
_OUTPUTS: dict[nw.Implementation, Output] = {
    nw.Implementation.PANDAS: "pandas",
    nw.Implementation.POLARS: "polars",
}


def collect_columns(
    df: IntoFrame | TransactionSource,
    required: Sequence[str],
    optional: Sequence[str],
    name: str,
    caller: str,
) -> nw.DataFrame[Any]:
    """Collect columns of a frame of any engine into memory.

    Parameters
    ----------
    df
        A frame of pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
    required, optional
        Names of the columns; optional ones are collected if the frame has them.
    name, caller
        Name of the argument and of the public function, for messages.

    Raises
    ------
    NotFoundError
        A required column does not exist; the message names the nearest.
    ArgumentError
        It is not a frame.
    """
    require_thread_pool()
    data: Any = native_frame(df)
    is_dask = nw.dependencies.is_dask_dataframe(data)
    columns = column_names(data, caller)
    for column in required:
        if column not in columns:
            raise NotFoundError("column", column, columns, location=f"the {name}")
    selected = [column for column in (*required, *optional) if column in columns]
    if is_dask:  # without narwhals, which is about to drop Dask
        with translate_dask_errors(columns):
            collected = select_from_partitions(data, selected).compute()
        rows: nw.DataFrame[Any] = nw.from_native(collected, eager_only=True)
        return rows
    return collect(open_frame(data, caller).select(*selected))


def coerce_columns(
    rows: nw.DataFrame[Any],
    model: type[Base],
    names: Sequence[str],
    *,
    keys: Collection[str] = (),
    numbered: bool = True,
) -> pl.DataFrame:
    """Coerce columns to the types of a table, in the order of ``names``.

    An amount of 0, or with more than two decimals, is accepted as a double: the table rejects it,
    but public data sets have such amounts.

    Parameters
    ----------
    rows
        The frame.
    model
        Model of the table.
    names
        The columns; one that the frame does not have is NULL in every row.
    keys
        Columns that are only compared; the table need not have them. Integers are equal if their
        texts are, and need not become texts.
    numbered
        Whether positions of rows mean something to the caller: not those of a group of rows on a
        worker, of which an error has the number only.

    Raises
    ------
    ArgumentError
        Cells are missing that are required, or the table does not accept them; all are listed.
    """
    frame, problems = check_cells(rows, model, names, keys=keys)
    if problems:
        raise_problems(spec_of(model).name, problems, numbered=numbered)
    return frame


def check_cells(
    rows: nw.DataFrame[Any],
    model: type[Base],
    names: Sequence[str],
    *,
    keys: Collection[str] = (),
) -> tuple[pl.DataFrame, list[Problem]]:
    """Return what :func:`coerce_columns` does, with NULL for invalid cells, and what is wrong."""
    batches = open_source(rows.to_native(), _BATCH_ROWS).batches
    schema, columns = rows.schema, _columns(model, names, keys)
    for name in keys:
        if schema.get(name) in _INTEGERS:
            columns[name] = _as_integer(columns[name])
    empty = pl.DataFrame(schema={name: column.dtype for name, column in columns.items()})
    errors: list[CellErrors] = []
    frames = [_coerce_batch(batch, columns, errors) for batch in batches]
    return pl.concat([empty, *frames]), summarize(errors)


def coerce_batches(
    batches: Iterable[SourceBatch],
    model: type[Base],
    names: Sequence[str],
    *,
    keys: Collection[str] = (),
) -> Iterator[pl.DataFrame]:
    """Yield each batch as :func:`coerce_columns` does; raise for all of them after the last one."""
    columns = _columns(model, names, keys)
    errors: list[CellErrors] = []
    for batch in batches:
        yield _coerce_batch(batch, columns, errors)
    if errors:
        raise_problems(spec_of(model).name, summarize(errors))


def _columns(
    model: type[Base], names: Sequence[str], keys: Collection[str]
) -> dict[str, ColumnSpec]:
    """Return what each column accepts; a key that the table does not have is a text."""
    columns = spec_of(model).columns
    others = {name: ColumnSpec(name, "text", pl.String()) for name in keys}
    return {name: _relax(columns.get(name) or others[name]) for name in names}


def _coerce_batch(
    batch: SourceBatch, columns: Mapping[str, ColumnSpec], errors: list[CellErrors]
) -> pl.DataFrame:
    rows = pl.int_range(batch.start, batch.start + batch.height, eager=True)
    series = []
    for name, column in columns.items():
        if name not in batch.columns:
            series.append(_nulls(name, column, batch.height))
            continue
        validated = validate_column(_expand_singles(batch.columns[name], column), column)
        for mask, reason in validated.errors:
            # A message has the number of the cells, not their values.
            cells = pl.Series(mask).filter(mask)
            errors.append(
                CellErrors.of_cells(name, reason, rows.filter(mask), cells, personal=True)
            )
        series.append(validated.cells.alias(name))
    return pl.DataFrame(series)


def make_frame_like(
    rows: nw.DataFrame[IntoDataFrameT], columns: Mapping[str, pa.Array], keep: Sequence[str] = ()
) -> IntoDataFrameT:
    """Make a frame of the same library as ``rows``.

    Parameters
    ----------
    rows
        The frame; the index of a pandas frame is kept.
    columns
        Columns of the new frame, as long as ``rows``.
    keep
        Columns of ``rows`` that come first.
    """
    output = _OUTPUTS.get(rows.implementation, "arrow")
    frame: Any = to_frame({name: (array.type, [array]) for name, array in columns.items()}, output)
    if rows.implementation.is_pandas():
        native: Any = rows.to_native()
        frame.index = native.index
    result: nw.DataFrame[IntoDataFrameT] = nw.from_native(frame, eager_only=True)
    if keep:
        result = nw.concat([rows.select(*keep), result], how="horizontal")
    return result.to_native()


def make_null_columns(model: type[Base], names: Sequence[str], height: int) -> pl.DataFrame:
    """Make columns of a table that are NULL in every row."""
    columns = spec_of(model).columns
    return pl.DataFrame([_nulls(name, columns[name], height) for name in names])


def _nulls(name: str, column: ColumnSpec, height: int) -> pl.Series:
    return pl.repeat(None, height, dtype=column.dtype, eager=True).alias(name)


def raise_invalid_rows(
    table: str,
    column: str,
    reason: str,
    mask: pl.Series,
    row_numbers: pl.Series | None = None,
    *,
    numbered: bool = True,
) -> NoReturn:
    """Raise an ArgumentError for the rows of a table under a mask; ``row_numbers`` name them."""
    rows = tuple(mask.arg_true() if row_numbers is None else row_numbers.filter(mask))
    raise_problems(table, [Problem(column, reason, len(rows), rows)], numbered=numbered)


def raise_problems(table: str, problems: Sequence[Problem], *, numbered: bool = True) -> NoReturn:
    """Raise an ArgumentError that lists what is wrong with a table, or with a group of its rows."""
    if not numbered:
        problems = [_of_group(problem) for problem in problems]
    lines = "".join(f"\n  {problem}" for problem in problems)
    numbering = " (rows count from 0)" if any(problem.rows for problem in problems) else ""
    raise ArgumentError(f"These {table} cannot be used{numbering}:{lines}")


def _of_group(problem: Problem) -> Problem:
    """Return a problem with the number of its rows instead of their positions in a group."""
    reason = f"{problem.reason}: {pluralize(problem.count, 'row')} of one group"
    return Problem(problem.column, reason, problem.count)


def _relax(column: ColumnSpec) -> ColumnSpec:
    """Accept an amount as a double of at least 0."""
    if column.kind == "decimal" and isinstance(column.rule, Range) and column.rule.above == 0:
        limit = 10.0 ** (column.precision - column.scale)
        return dataclasses.replace(column, kind="number", dtype=pl.Float64(), rule=Range(0, limit))
    return column


def _as_integer(column: ColumnSpec) -> ColumnSpec:
    """Accept an integer without a text, if the column accepts the text of any integer."""
    any_text = column.kind == "text" and column.rule is None
    if any_text and (column.length is None or column.length >= _INTEGER_DIGITS):
        return dataclasses.replace(column, kind="integer", dtype=pl.Int64(), length=None)
    return column


def _expand_singles(cells: Column, column: ColumnSpec) -> Column:
    """Expand a single to the shortest decimal it represents: 12.34, not 12.3400001526."""
    if column.kind == "number" and isinstance(cells, pl.Series) and cells.dtype == pl.Float32:
        return cells.cast(pl.String).cast(pl.Float64)
    return cells


# -- Derived columns ---------------------------------------------------------------------------

# The triggers of the database do the same row by row, for the ORM and for plain SQL; a test
# compares the two. The loader computes whole columns, because triggers would halve the speed of a
# load.
_TIMESTAMP = pl.col("timestamp")
_SATURDAY = 6

#: For each table: the columns to derive from, and the derived columns.
RULES: dict[str, tuple[tuple[str, ...], dict[str, pl.Expr]]] = {
    "transactions": (
        ("timestamp",),
        {
            "hour_of_day": _TIMESTAMP.dt.hour().cast(pl.Int16),
            "day_of_week": (_TIMESTAMP.dt.weekday() - 1).cast(pl.Int16),
            "day_of_month": _TIMESTAMP.dt.day().cast(pl.Int16),
            "month": _TIMESTAMP.dt.month().cast(pl.Int16),
            "is_weekend": _TIMESTAMP.dt.weekday() >= _SATURDAY,
            "time_of_day_category": (_TIMESTAMP.dt.hour() // 6).replace_strict(
                dict(enumerate(TIME_OF_DAY)), return_dtype=pl.String
            ),
        },
    ),
    "model_predictions": (
        ("prediction", "ground_truth"),
        {"is_correct": pl.col("prediction") == pl.col("ground_truth")},
    ),
}


def derive_columns(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """Add or fill the derived columns of ``table``, if ``frame`` has their sources.

    Examples
    --------
    >>> import datetime as dt
    >>> moment = dt.datetime(2024, 3, 2, 13, tzinfo=dt.UTC)
    >>> derive_columns(pl.DataFrame({"timestamp": [moment]}), "transactions").row(0)[1:]
    (13, 5, 2, 3, True, 'afternoon')
    """
    sources, rules = RULES.get(table, ((), {}))
    if not rules or not set(sources) <= set(frame.columns):
        return frame
    return frame.with_columns(
        (pl.coalesce(name, rule) if name in frame.columns else rule).alias(name)
        for name, rule in rules.items()
    )
