"""The functions that read: a query into a DataFrame, or into batches of Arrow."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Column, Select, Table, select

from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.output import (
    Output,
    build_column,
    build_frame,
    check_output,
    concat_arrays,
    in_numpy,
    to_frame,
)
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.logging import logger
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.database.models import model_of
from synfin_analytics.exceptions import ArgumentError, DatabaseConnectionError, QueryError
from synfin_analytics.io.archive._scan import read_archived
from synfin_analytics.io.read._run import run_query

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt
    import polars as pl
    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.database.models import Base
    from synfin_analytics.io.read._run import Chunks, Plan
    from synfin_analytics.io.read._sql import Query

#: Rows of a batch of :func:`read_batches`: about as many as a row group of a Parquet file.
BATCH_ROWS = 131_072
#: Rows whose columns :func:`read_df` concatenates at once.
_ROWS_AT_ONCE = 65_536
#: Maximum size of a batch, so that wide rows do not fill the memory.
_BATCH_BYTES = 64 * 2**20
#: Capacity of a NumPy column as soon as it has more than one batch. Memory that is not written to
#: costs nothing.
_CAPACITY = 2**22
_GROWTH_FACTOR = 4


@overload
def read_df(
    query: Query,
    params: Mapping[str, object] | None = ...,
    *,
    session: Session | None = ...,
    manager: DatabaseManager | None = ...,
    output: Literal["pandas"] = ...,
    use_decimal: bool = ...,
    archive: str | Path | None = ...,
) -> pd.DataFrame: ...
@overload
def read_df(
    query: Query,
    params: Mapping[str, object] | None = ...,
    *,
    session: Session | None = ...,
    manager: DatabaseManager | None = ...,
    output: Literal["polars"],
    use_decimal: bool = ...,
    archive: str | Path | None = ...,
) -> pl.DataFrame: ...
@overload
def read_df(
    query: Query,
    params: Mapping[str, object] | None = ...,
    *,
    session: Session | None = ...,
    manager: DatabaseManager | None = ...,
    output: Literal["arrow"],
    use_decimal: bool = ...,
    archive: str | Path | None = ...,
) -> pa.Table: ...
@overload
def read_df(
    query: Query,
    params: Mapping[str, object] | None = ...,
    *,
    session: Session | None = ...,
    manager: DatabaseManager | None = ...,
    output: Output,
    use_decimal: bool = ...,
    archive: str | Path | None = ...,
) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
def read_df(
    query: Query,
    params: Mapping[str, object] | None = None,
    *,
    session: Session | None = None,
    manager: DatabaseManager | None = None,
    output: Output = "pandas",
    use_decimal: bool = False,
    archive: str | Path | None = None,
) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Read the rows of a query into a DataFrame, with their types.

    Parameters
    ----------
    query
        The name of a table or a model (for all columns, in the model's order), a ``select`` of
        SQLAlchemy, or SQL text.
    params
        Values of the parameters, written ``:name`` in SQL text. They go to the server apart from
        it, so that a value cannot change the query, and the server's log does not show it. A list
        goes with ``IN :name``, ``IN (:name)`` or ``= ANY(:name)``, and may be empty; a datetime
        without a time zone is UTC.
    session
        Session to read in, including its uncommitted rows; pending objects are flushed first if it
        autoflushes. A query that fails leaves the session as it was. Default: a new read-only
        session.
    manager
        Manager of the new session; by default that of the process.
    output
        Kind of DataFrame: ``"pandas"``, ``"polars"`` or ``"arrow"``.
    use_decimal
        Read NUMERIC as decimals of Arrow instead of float64. In pandas they have an ``ArrowDtype``:
        sums, also by group, and comparisons are exact; a mean is truncated to the column's scale.
    archive
        Folder of :func:`archive_transactions` whose rows belong to the table, too: the result has
        the rows of both. A row that is in both is the database's. ``query`` must be the name of a
        table or a model, or ``select(...)`` of some columns of a model.

    Returns
    -------
    pandas.DataFrame, polars.DataFrame or pyarrow.Table
        With the same types if it has no rows. Integers with NULLs remain integers (pandas:
        ``Int16``/``Int32``/``Int64``), NULL differs from ``""``, timestamps with a time zone are in
        UTC, JSON is its text, and a type without a counterpart is PostgreSQL's text. A statement
        that returns no rows results in the column ``rowcount``.

    Raises
    ------
    QueryError
        PostgreSQL rejects the query, or a DataFrame cannot represent a value, such as a date of
        ``infinity``.
    NotFoundError
        No table has that name; the message suggests the nearest one.
    ArgumentError
        The parameters do not match the query, or it is no table but there is an ``archive``.
    ArchiveError
        The folder is not an archive of this database, or a file of it is missing or damaged.
    SchemaError
        The tables do not exist yet.
    DatabaseConnectionError
        The server cannot be reached, or the connection was lost.

    Examples
    --------
    >>> read_df("SELECT :amount * 2 AS doubled, NULL::integer AS nothing", {"amount": 21})
       doubled  nothing
    0       42     <NA>
    """
    check_output(output)
    if output == "polars":
        require_thread_pool()  # otherwise the first use of the DataFrame would never return
    if archive is not None:
        if params is not None:
            raise ArgumentError("`params` must be None with `archive`: tables have no parameters.")
        table = _read_both(query, archive, session, manager, use_decimal=use_decimal)
        columns = {
            name: (
                table[name].type,
                [concat_arrays([piece], output) for piece in table[name].chunks],
            )
            for name in table.column_names
        }
        return to_frame(columns, output)

    def read(*, on_primary: bool) -> Any:
        scope = run_query(
            query, params, session, manager, use_decimal=use_decimal, on_primary=on_primary
        )
        with scope as (plans, chunks):
            return _collect(plans, chunks, output)

    try:
        return read(on_primary=False)
    except (DatabaseConnectionError, QueryError) as error:
        if session is not None or not error.on_replica:
            raise
        logger.info("%s Reading from the primary instead.", error)
    return read(on_primary=True)


def _collect(plans: Sequence[Plan], chunks: Chunks, output: Output) -> Any:
    builders = {plan.name: _column_builder(plan, output) for plan in plans}
    for arrays in _gather(chunks, _ROWS_AT_ONCE):
        for builder, pieces in zip(builders.values(), arrays, strict=True):
            builder.add(pieces)
        arrays.clear()  # the next rows reuse their memory
    return build_frame({name: builder.finish() for name, builder in builders.items()}, output)


def _read_both(
    query: Query,
    archive: str | Path,
    session: Session | None,
    manager: DatabaseManager | None,
    *,
    use_decimal: bool,
) -> pa.Table:
    """Read the rows of a table in the database and in an archive."""
    model, names = _parse_table(query)
    key = spec_of(model).primary_key
    columns = [model.__table__.c[name] for name in dict.fromkeys((*names, key))]
    with contextlib.ExitStack() as stack:
        if session is None:
            manager = manager or get_db_manager()
            session = stack.enter_context(manager.session_scope(read_only=True))
        elif manager is not None:
            raise ArgumentError("Pass `session` or `manager`, not both; got both.")
        rows = select(*columns)
        stored = read_df(rows, session=session, output="arrow", use_decimal=use_decimal)
        archived = read_archived(archive, model.__tablename__, stored, key, session)
    return pa.concat_tables([*archived, stored]).select(names)


def _parse_table(query: Query) -> tuple[type[Base], list[str]]:
    """Return the table of a query and its columns: without conditions, it is their name."""
    if isinstance(query, type) or (isinstance(query, str) and query.strip().isidentifier()):
        model = model_of(query.strip() if isinstance(query, str) else query)
        return model, model.__table__.columns.keys()
    if isinstance(query, Select):
        columns = [column for column in query.selected_columns if isinstance(column, Column)]
        tables = {column.table.name for column in columns if isinstance(column.table, Table)}
        if len(tables) == 1 and query.compare(select(*columns)):
            return model_of(tables.pop()), [column.name for column in columns]
    raise ArgumentError(
        "`query` must be the name of a table or a model, or select(...) of some of its columns "
        "without a condition, if there is an `archive`; got another statement. Read the table, "
        "and filter the DataFrame."
    )


@dataclass(frozen=True, slots=True)
class Batches:
    """Record batches of Arrow as they arrive from the server.

    Attributes
    ----------
    schema
        Names and types of the columns.
    batches
        The record batches; iterating over this object iterates over them.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.batches


@contextlib.contextmanager
def read_batches(
    query: Query,
    params: Mapping[str, object] | None = None,
    *,
    session: Session | None = None,
    manager: DatabaseManager | None = None,
    use_decimal: bool = False,
) -> Iterator[Batches]:
    """Read a result that is larger than memory, one batch of Arrow at a time.

    Leaving the block early cancels the query.

    Parameters
    ----------
    query, params, session, manager, use_decimal
        As in :func:`read_df`.

    Yields
    ------
    Batches
        The schema, and an iterator of record batches.

    Raises
    ------
    QueryError
        As in :func:`read_df`; or with ``use_decimal`` a NUMERIC column has no scale.

    Examples
    --------
    >>> with read_batches("SELECT generate_series(1, 300000) AS n") as batches:
    ...     sum(batch.num_rows for batch in batches)
    300000
    """
    with run_query(query, params, session, manager, use_decimal=use_decimal) as (plans, chunks):
        for plan in plans:
            if plan.decimal_as_text and plan.digits is None:
                raise QueryError(
                    f"Column {plan.name!r} must have a scale to be read as decimals in batches; "
                    f"got NUMERIC. Cast it, for example to {plan.name}::numeric(20, 4)."
                )
        schema = pa.schema([(plan.name, plan.arrow_type()) for plan in plans])
        with contextlib.closing(_batches(chunks, schema)) as batches:
            yield Batches(schema, batches)


def _batches(chunks: Chunks, schema: pa.Schema) -> Generator[pa.RecordBatch, None, None]:
    for arrays in _gather(chunks, BATCH_ROWS):
        columns = [
            concat_arrays(pieces, "arrow").cast(field.type)
            for pieces, field in zip(arrays, schema, strict=True)
        ]
        arrays.clear()
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _gather(chunks: Chunks, n_rows: int) -> Iterator[list[tuple[pa.Array, ...]]]:
    """Gather the columns of about ``n_rows`` rows, so that chunks reuse their memory."""
    waiting: list[list[pa.Array]] = []
    rows = size = 0
    for arrays in chunks:
        waiting.append(arrays)
        rows += len(arrays[0])
        size += sum(array.get_total_buffer_size() for array in arrays)
        if rows >= n_rows or size >= _BATCH_BYTES:
            yield list(zip(*waiting, strict=True))
            waiting.clear()
            rows = size = 0
    if waiting:
        yield list(zip(*waiting, strict=True))


# -- Columns of a DataFrame --------------------------------------------------------------------


def _column_builder(plan: Plan, output: Output) -> _ArrowBuilder | _NumPyBuilder:
    """Return an empty builder of the column of a plan."""
    if output == "pandas" and not plan.decimal_as_text and in_numpy(plan.decoder.arrow_type):
        return _NumPyBuilder(plan.decoder.arrow_type)
    return _ArrowBuilder(plan, output)


class _ArrowBuilder:
    """A column of Arrow arrays, one for each batch."""

    def __init__(self, plan: Plan, output: Output) -> None:
        self._plan = plan
        self._output = output
        self._pieces: list[pa.Array] = []

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Append the decoded values of these arrays as one batch."""
        # Decimals whose scale is only known at the end are texts until then.
        output: Output = "arrow" if self._plan.decimal_as_text else self._output
        self._pieces.append(concat_arrays(arrays, output))

    def finish(self) -> Any:
        """Return the column of the DataFrame; the builder is not used any more."""
        arrow_type = self._plan.arrow_type(self._pieces)
        if self._plan.decimal_as_text:
            self._pieces[:] = [piece.cast(arrow_type) for piece in self._pieces]
        return build_column(arrow_type, self._pieces, self._output)


class _NumPyBuilder:
    """A column of pandas in one array from the beginning.

    Joining pieces at the end would need as much new memory again, and getting it from the system
    takes longer than decoding the rows.
    """

    def __init__(self, arrow_type: pa.DataType) -> None:
        self._arrow_type = arrow_type
        self._values: npt.NDArray[Any] = pa.array([], arrow_type).to_numpy()
        self._used = 0

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Copy the values of these arrays."""
        self._reserve(sum(map(len, arrays)))
        for array in arrays:
            values = self._values[self._used : self._used + len(array)]
            values[:] = np.frombuffer(array.buffers()[1], values.dtype, len(array))
            if array.null_count:
                missing = np.nan if values.dtype.kind == "f" else np.array("NaT", values.dtype)
                values[array.is_null().to_numpy(zero_copy_only=False)] = missing
            self._used += len(array)

    def _reserve(self, rows: int) -> None:
        needed = self._used + rows
        if needed > len(self._values):
            capacity = needed
            if self._used:
                capacity = max(needed, _CAPACITY, _GROWTH_FACTOR * len(self._values))
            values = np.empty(capacity, self._values.dtype)
            values[: self._used] = self._values[: self._used]
            self._values = values

    def finish(self) -> Any:
        """Return the column of the DataFrame; the builder is not used any more."""
        values = self._values[: self._used]
        if self._arrow_type == pa.timestamp("us", tz="UTC"):
            # From integers pandas makes timestamps without copying them.
            return pd.array(values.view("i8"), pd.DatetimeTZDtype("us", "UTC"), copy=False)
        return values
