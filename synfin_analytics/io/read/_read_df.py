"""Read the rows of a query with one binary COPY on the session's own connection."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

import pyarrow as pa
from psycopg2 import extensions

from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.output import Output, build_frame, check_output, concat_arrays
from synfin_analytics.database.logging import log_if_slow
from synfin_analytics.database.schema import schema_of_tables
from synfin_analytics.exceptions import ArgumentError, QueryError
from synfin_analytics.io._interrupt import InterruptibleCursor
from synfin_analytics.io.read._builders import column_builder
from synfin_analytics.io.read._copy_to import copy_chunks
from synfin_analytics.io.read._decode import DECODERS, decode_chunk
from synfin_analytics.io.read._plan import NUMERIC, Plan, decimal_type, plan_columns
from synfin_analytics.io.read._session import (
    connect_session,
    driver_connection,
    read_only_session,
    savepoint,
    translate_errors,
)
from synfin_analytics.io.read._sql import EMPTY, Parameter, Query, Statement, parse_query

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    import pandas as pd
    import polars as pl
    from psycopg2.extensions import Column as Description
    from psycopg2.extensions import connection as DriverConnection  # noqa: N812
    from psycopg2.extensions import cursor as Cursor  # noqa: N812
    from sqlalchemy import Connection as BoundConnection
    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.read._sql import BoundSQL

    Chunks: TypeAlias = Generator[list[pa.Array], None, None]
    Prepared: TypeAlias = tuple[list[Plan], Chunks]

_INT8 = 20
_MAX_PRECISION = 1000  # of numeric(p, s)
#: Rows of a batch of :func:`read_batches`: about as many as a row group of a Parquet file.
BATCH_ROWS = 131_072
#: Rows whose columns :func:`read_df` concatenates at once.
_ROWS_AT_ONCE = 65_536
#: Maximum size of a batch, so that wide rows do not fill the memory.
_BATCH_BYTES = 64 * 2**20

#: Settings with which the text of a value is complete.
_LOSSLESS_TEXT = {"extra_float_digits": "1", "datestyle": "ISO, YMD", "intervalstyle": "postgres"}
# Values of any type as the server's text, which the server parses again.
_AS_TEXT = extensions.new_type(
    tuple(extensions.string_types), "SYNFIN_TEXT", lambda value, _cursor: value
)


@overload
def read_df(
    query: Query,
    params: Mapping[str, object] | None = ...,
    *,
    session: Session | None = ...,
    manager: DatabaseManager | None = ...,
    output: Literal["pandas"] = ...,
    use_decimal: bool = ...,
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
) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
def read_df(
    query: Query,
    params: Mapping[str, object] | None = None,
    *,
    session: Session | None = None,
    manager: DatabaseManager | None = None,
    output: Output = "pandas",
    use_decimal: bool = False,
) -> pd.DataFrame | pl.DataFrame | pa.Table:
    """Read the rows of a query into a DataFrame, with their types.

    Parameters
    ----------
    query
        The name of a table or a model (for all columns, in the model's order), a ``select`` of
        SQLAlchemy, or SQL text.
    params
        Values of the parameters, written ``:name`` in SQL text. They are bound, never formatted
        into the text. A list goes with ``IN :name``, ``IN (:name)`` or ``= ANY(:name)``, and may be
        empty; a datetime without a time zone is UTC.
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
        The parameters do not match the query.
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
    with _run(query, params, session, manager, use_decimal=use_decimal) as result:
        builders = {plan.name: column_builder(plan, output) for plan in result.plans}
        for arrays in _gather(result.chunks, _ROWS_AT_ONCE):
            for builder, pieces in zip(builders.values(), arrays, strict=True):
                builder.add(pieces)
            arrays.clear()  # the next rows reuse their memory
    return build_frame({name: builder.finish() for name, builder in builders.items()}, output)


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
    with _run(query, params, session, manager, use_decimal=use_decimal) as result:
        for plan in result.plans:
            if plan.decimal_as_text and plan.digits is None:
                raise QueryError(
                    f"Column {plan.name!r} must have a scale to be read as decimals in batches; "
                    f"got NUMERIC. Cast it, for example to {plan.name}::numeric(20, 4)."
                )
        schema = pa.schema(
            [
                (
                    plan.name,
                    decimal_type(plan, []) if plan.decimal_as_text else plan.decoder.arrow_type,
                )
                for plan in result.plans
            ]
        )
        batches = _batches(result, schema)
        with contextlib.closing(batches):
            yield Batches(schema, batches)


def _batches(result: _Result, schema: pa.Schema) -> Generator[pa.RecordBatch, None, None]:
    for arrays in _gather(result.chunks, BATCH_ROWS):
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


@dataclass(frozen=True, slots=True)
class _Result:
    plans: list[Plan]
    chunks: Chunks


@contextlib.contextmanager
def _run(
    query: Query,
    params: Mapping[str, object] | None,
    session: Session | None,
    manager: DatabaseManager | None,
    *,
    use_decimal: bool,
) -> Iterator[_Result]:
    """Run a query, and leave the session usable whatever happens in the block."""
    with contextlib.ExitStack() as stack:
        if session is None:
            bound = stack.enter_context(read_only_session(manager)).connection()
        elif manager is None:
            bound = connect_session(session)
        else:
            raise ArgumentError("Pass `session` or `manager`, not both; got both.")
        connection = driver_connection(bound)
        stack.callback(_invalidate_if_closed, bound, connection)
        cursor = stack.enter_context(connection.cursor(cursor_factory=InterruptibleCursor))
        with translate_errors(EMPTY, bound):
            statement = parse_query(query, params, bound.dialect, lambda: schema_of_tables(cursor))
        sql = statement.bind(cursor)
        started = time.perf_counter()
        with translate_errors(sql, bound):
            if session is not None and not connection.autocommit:
                stack.enter_context(savepoint(cursor))
            prepare = _copy if statement.is_read else _execute
            plans, chunks = prepare(cursor, sql, use_decimal=use_decimal)
        yield _Result(
            plans, stack.enter_context(contextlib.closing(_translated(chunks, sql, bound)))
        )
        if not bound.invalidated:
            log_if_slow(bound, started, statement.text)


def _invalidate_if_closed(bound: BoundConnection, connection: DriverConnection) -> None:
    """Tell the session about a closed connection, for example after an interrupt."""
    if connection.closed and not bound.invalidated:
        bound.invalidate()


def _translated(chunks: Chunks, sql: BoundSQL, bound: BoundConnection) -> Chunks:
    with translate_errors(sql, bound):
        yield from chunks


def _copy(cursor: Cursor, sql: BoundSQL, *, use_decimal: bool) -> Prepared:
    """Run a query with COPY."""
    cursor.execute(sql.within("SELECT * FROM (\n", "\n) AS q LIMIT 0"))
    plans = plan_columns(cursor.description or (), use_decimal=use_decimal)
    before, after = "COPY (\n", "\n) TO STDOUT (FORMAT binary)"
    if any(plan.cast for plan in plans):
        names = [f"c{index}" for index in range(len(plans))]
        select_list = ", ".join(
            plan.cast.format(name) if plan.cast else name
            for plan, name in zip(plans, names, strict=True)
        )
        before = f"COPY (SELECT {select_list} FROM (\n"  # noqa: S608 - generated names
        after = f"\n) AS q({', '.join(names)})) TO STDOUT (FORMAT binary)"
    return plans, _decode(cursor.connection, sql.within(before, after), plans)


def _decode(connection: DriverConnection, sql: bytes, plans: list[Plan]) -> Chunks:
    decoders = {plan.name: plan.decoder for plan in plans}
    with contextlib.closing(copy_chunks(connection, sql)) as chunks:
        for chunk in chunks:
            yield decode_chunk(chunk, decoders)


def _execute(cursor: Cursor, sql: BoundSQL, *, use_decimal: bool) -> Prepared:
    """Run any other statement, such as EXPLAIN or INSERT … RETURNING, which has few rows.

    They arrive as text, and return to the server as arrays of text that a query casts, so that each
    type is read in one way only.
    """
    extensions.register_type(_AS_TEXT, cursor)
    with _lossless_text(cursor, sql):
        return _fetch(cursor, sql, use_decimal=use_decimal)


@contextlib.contextmanager
def _lossless_text(cursor: Cursor, sql: BoundSQL) -> Iterator[None]:
    """Convert values to text and back without loss, whatever the session's settings are."""
    if sql.statement.is_about_settings:  # such as SHOW, which would show the changed ones
        yield
        return
    local = not cursor.connection.autocommit
    change = "SELECT " + ", ".join(f"set_config('{name}', %s, %s)" for name in _LOSSLESS_TEXT)
    cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in _LOSSLESS_TEXT))
    before = cursor.fetchone() or ()
    cursor.execute(change, [part for value in _LOSSLESS_TEXT.values() for part in (value, local)])
    try:
        yield
    finally:
        # A transaction that has failed is rolled back, and the settings with it.
        if cursor.connection.info.transaction_status != extensions.TRANSACTION_STATUS_INERROR:
            cursor.execute(change, [part for value in before for part in (value, local)])


def _fetch(cursor: Cursor, sql: BoundSQL, *, use_decimal: bool) -> Prepared:
    cursor.execute(sql.within("", ""))
    description = cursor.description
    if description is None:
        count = None if cursor.rowcount < 0 else cursor.rowcount
        return _row_count(count)
    plan_columns(description, use_decimal=use_decimal)
    columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(description)
    names = [column.name for column in description]
    cursor.execute(
        "SELECT format_type(oid, typmod) FROM unnest(%s::oid[], %s::integer[]) AS t(oid, typmod)",
        ([column.type_code for column in description], [_typmod(column) for column in description]),
    )
    pieces: list[str | Parameter] = ["SELECT "]
    for index, (name, (type_name,)) in enumerate(zip(names, cursor.fetchall(), strict=True)):
        quoted = '"' + name.replace('"', '""') + '"'
        pieces[0] = f"{pieces[0]}{', ' if index else ''}c{index}::{type_name} AS {quoted}"
    for index, (name, values) in enumerate(zip(names, columns, strict=True)):
        pieces += [", " if index else " FROM unnest(", Parameter(name, list(values)), "::text[]"]
    pieces.append(f") AS q({', '.join(f'c{index}' for index in range(len(names)))})")
    query = Statement(tuple(pieces), is_read=True, is_users_text=False)
    return _copy(cursor, query.bind(cursor), use_decimal=use_decimal)


def _row_count(count: int | None) -> Prepared:
    decoder = DECODERS[_INT8]
    chunks = ([pa.array([value], decoder.arrow_type)] for value in [count])
    return [Plan("rowcount", decoder)], chunks


def _typmod(column: Description) -> int:
    """Return the type modifier of ``numeric(p, s)``; -1 for other types."""
    if column.type_code != NUMERIC or column.precision is None or column.scale is None:
        return -1
    precision, scale = int(column.precision), int(column.scale)
    if precision > _MAX_PRECISION:  # the driver's value for numeric without (p, s)
        return -1
    return ((precision << 16) | scale) + 4
