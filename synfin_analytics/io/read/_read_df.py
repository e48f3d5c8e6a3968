"""Rows of a query as a DataFrame, by one binary COPY on the session's own connection."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

import pyarrow as pa
from psycopg2 import extensions

from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.output import Output, check_output, frame_of, joined
from synfin_analytics.database.logging import log_if_slow
from synfin_analytics.database.schema._search_path import schema_of_tables
from synfin_analytics.exceptions import ArgumentError, QueryError
from synfin_analytics.io._interrupt import InterruptibleCursor
from synfin_analytics.io.read._builders import column_of
from synfin_analytics.io.read._copy_to import copy_chunks
from synfin_analytics.io.read._decode import decode_chunk
from synfin_analytics.io.read._decode_types import DECODERS
from synfin_analytics.io.read._plan import NUMERIC, Plan, exact_type, plans_of
from synfin_analytics.io.read._session import (
    connection_of,
    driver_connection,
    reading_session,
    savepoint,
    told,
)
from synfin_analytics.io.read._sql import NOTHING, Parameter, Query, Statement, statement_of

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
_MOST_PRECISION = 1000  # of numeric(p, s)
#: Rows of a batch of :func:`read_batches`: about a row group of a Parquet file.
BATCH_ROWS = 131_072
#: Rows whose columns :func:`read_df` joins at once.
_ROWS_AT_ONCE = 65_536
#: A batch also ends here, so that wide rows do not fill the memory.
_BATCH_BYTES = 64 * 2**20

#: Settings under which a value's text has all of it.
_EXACT_TEXTS = {"extra_float_digits": "1", "datestyle": "ISO, YMD", "intervalstyle": "postgres"}
# Values as the server's text, whatever their type: it reads them back itself.
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
    """Read the rows of a query, with their types.

    Parameters
    ----------
    query
        The name of a table or a model (all columns, in the model's order), a SQLAlchemy ``select``,
        or SQL text.
    params
        Values of the parameters, written ``:name`` in SQL text. They are bound, never formatted
        into it. A list goes with ``IN :name``, ``IN (:name)`` or ``= ANY(:name)``, and may be
        empty; a datetime without a zone is UTC.
    session
        Session to read in, which sees its own uncommitted rows; pending objects are flushed first
        if it autoflushes. When the query fails, the session is as it was before. By default a
        session of its own, which only reads.
    manager
        Whose session that is; by default the process's.
    output
        ``"pandas"``, ``"polars"`` or ``"arrow"``.
    use_decimal
        NUMERIC as decimals of Arrow rather than as float64. In pandas they are an ``ArrowDtype``:
        sums, also by group, and comparisons are exact; a mean is cut to the column's scale.

    Returns
    -------
    pandas.DataFrame, polars.DataFrame or pyarrow.Table
        Typed the same when it has no rows. Integers with NULLs stay integers (pandas:
        ``Int16``/``Int32``/``Int64``), NULL is not ``""``, timestamps with a zone are in UTC, JSON
        is its text, and a type that frames do not know is PostgreSQL's text of it. A statement
        that returns no rows gives the column ``rowcount``.

    Raises
    ------
    QueryError
        PostgreSQL refuses the query, or a value fits in no frame, as ``infinity`` among dates.
    NotFoundError
        No table has that name; the message has the nearest.
    ArgumentError
        Parameters and query do not go together.
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
        require_thread_pool()  # the first use of the frame would wait for ever
    with _run(query, params, session, manager, use_decimal=use_decimal) as result:
        columns = {plan.name: column_of(plan, output) for plan in result.plans}
        for arrays in _gathered(result.chunks, _ROWS_AT_ONCE):
            for column, pieces in zip(columns.values(), arrays, strict=True):
                column.add(pieces)
            arrays.clear()  # their memory is for the next rows
    return frame_of({name: column.finish() for name, column in columns.items()}, output)


@dataclass(frozen=True, slots=True)
class Batches:
    """Rows as they arrive from the server."""

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
    """Read a result of any size in little memory, a batch of Arrow at a time.

    Leaving the block early stops the query. Parameters and errors are those of :func:`read_df`.

    Examples
    --------
    >>> with read_batches("SELECT generate_series(1, 300000) AS n") as batches:
    ...     sum(batch.num_rows for batch in batches)
    300000
    """
    with _run(query, params, session, manager, use_decimal=use_decimal) as result:
        for plan in result.plans:
            if plan.exact_text and plan.digits is None:
                raise QueryError(
                    f"Column {plan.name!r} is NUMERIC without a scale: for exact numbers in "
                    f"batches give it one, as in {plan.name}::numeric(20, 4)."
                )
        schema = pa.schema(
            [
                (plan.name, exact_type(plan, []) if plan.exact_text else plan.decoder.arrow)
                for plan in result.plans
            ]
        )
        batches = _batches(result, schema)
        with contextlib.closing(batches):
            yield Batches(schema, batches)


def _batches(result: _Result, schema: pa.Schema) -> Generator[pa.RecordBatch, None, None]:
    for arrays in _gathered(result.chunks, BATCH_ROWS):
        columns = [
            joined(pieces, "arrow").cast(field.type)
            for pieces, field in zip(arrays, schema, strict=True)
        ]
        arrays.clear()
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _gathered(chunks: Chunks, most: int) -> Iterator[list[tuple[pa.Array, ...]]]:
    """Gather the columns of about ``most`` rows: that reuses the chunks' memory."""
    waiting: list[list[pa.Array]] = []
    rows = size = 0
    for arrays in chunks:
        waiting.append(arrays)
        rows += len(arrays[0])
        size += sum(array.get_total_buffer_size() for array in arrays)
        if rows >= most or size >= _BATCH_BYTES:
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
    """Begin the query, and leave the session usable whatever happens before the block's end."""
    with contextlib.ExitStack() as stack:
        if session is None:
            bound = stack.enter_context(reading_session(manager)).connection()
        elif manager is None:
            bound = connection_of(session)
        else:
            raise ArgumentError("Give session= or manager=, not both: a session has its database.")
        connection = driver_connection(bound)
        stack.callback(_give_up_closed, bound, connection)
        cursor = stack.enter_context(connection.cursor(cursor_factory=InterruptibleCursor))
        with told(NOTHING, bound):
            statement = statement_of(query, params, bound.dialect, lambda: schema_of_tables(cursor))
        sql = statement.bound(cursor)
        began = time.perf_counter()
        with told(sql, bound):
            if session is not None and not connection.autocommit:
                stack.enter_context(savepoint(cursor))
            prepare = _copied if statement.reads else _executed
            plans, chunks = prepare(cursor, sql, use_decimal=use_decimal)
        yield _Result(plans, stack.enter_context(contextlib.closing(_checked(chunks, sql, bound))))
        if not bound.invalidated:
            log_if_slow(bound, began, statement.text)


def _give_up_closed(bound: BoundConnection, connection: DriverConnection) -> None:
    """Let the session know of a connection that was closed, as one that an interrupt cut."""
    if connection.closed and not bound.invalidated:
        bound.invalidate()


def _checked(chunks: Chunks, sql: BoundSQL, bound: BoundConnection) -> Chunks:
    with told(sql, bound):
        yield from chunks


def _copied(cursor: Cursor, sql: BoundSQL, *, use_decimal: bool) -> Prepared:
    """Rows of a query that COPY can run."""
    cursor.execute(sql.within("SELECT * FROM (\n", "\n) AS q LIMIT 0"))
    plans = plans_of(cursor.description or (), use_decimal=use_decimal)
    before, after = "COPY (\n", "\n) TO STDOUT (FORMAT binary)"
    if any(plan.cast for plan in plans):
        names = [f"c{index}" for index in range(len(plans))]
        listed = ", ".join(
            plan.cast.format(name) if plan.cast else name
            for plan, name in zip(plans, names, strict=True)
        )
        before = f"COPY (SELECT {listed} FROM (\n"  # noqa: S608 - names of ours
        after = f"\n) AS q({', '.join(names)})) TO STDOUT (FORMAT binary)"
    return plans, _decoded(cursor.connection, sql.within(before, after), plans)


def _decoded(connection: DriverConnection, sql: bytes, plans: list[Plan]) -> Chunks:
    decoders = {plan.name: plan.decoder for plan in plans}
    with contextlib.closing(copy_chunks(connection, sql)) as chunks:
        for chunk in chunks:
            yield decode_chunk(chunk, decoders)


def _executed(cursor: Cursor, sql: BoundSQL, *, use_decimal: bool) -> Prepared:
    """Rows of any other statement, as EXPLAIN or INSERT … RETURNING: usually few.

    They come as text, and go back to the server as arrays of text to be cast and read as any other
    query: so each type is read in one way only.
    """
    extensions.register_type(_AS_TEXT, cursor)
    with _exact_texts(cursor, sql):
        return _returned(cursor, sql, use_decimal=use_decimal)


@contextlib.contextmanager
def _exact_texts(cursor: Cursor, sql: BoundSQL) -> Iterator[None]:
    """Have values written as text, and read again, without loss, whatever the settings are."""
    if sql.statement.of_settings:  # as SHOW, which would show these
        yield
        return
    local = not cursor.connection.autocommit
    change = "SELECT " + ", ".join(f"set_config('{name}', %s, %s)" for name in _EXACT_TEXTS)
    cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in _EXACT_TEXTS))
    before = cursor.fetchone() or ()
    cursor.execute(change, [part for value in _EXACT_TEXTS.values() for part in (value, local)])
    try:
        yield
    finally:
        # A transaction that has failed is rolled back, and the settings with it.
        if cursor.connection.info.transaction_status != extensions.TRANSACTION_STATUS_INERROR:
            cursor.execute(change, [part for value in before for part in (value, local)])


def _returned(cursor: Cursor, sql: BoundSQL, *, use_decimal: bool) -> Prepared:
    cursor.execute(sql.within("", ""))
    described = cursor.description
    if described is None:
        count = None if cursor.rowcount < 0 else cursor.rowcount
        return _row_count(count)
    plans_of(described, use_decimal=use_decimal)
    columns = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(described)
    names = [column.name for column in described]
    cursor.execute(
        "SELECT format_type(oid, typmod) FROM unnest(%s::oid[], %s::integer[]) AS t(oid, typmod)",
        ([column.type_code for column in described], [_typmod(column) for column in described]),
    )
    pieces: list[str | Parameter] = ["SELECT "]
    for index, (name, (kind,)) in enumerate(zip(names, cursor.fetchall(), strict=True)):
        quoted = '"' + name.replace('"', '""') + '"'
        pieces[0] = f"{pieces[0]}{', ' if index else ''}c{index}::{kind} AS {quoted}"
    for index, (name, values) in enumerate(zip(names, columns, strict=True)):
        pieces += [", " if index else " FROM unnest(", Parameter(name, list(values)), "::text[]"]
    pieces.append(f") AS q({', '.join(f'c{index}' for index in range(len(names)))})")
    again = Statement(tuple(pieces), reads=True, own_text=False)
    return _copied(cursor, again.bound(cursor), use_decimal=use_decimal)


def _row_count(count: int | None) -> Prepared:
    decoder = DECODERS[_INT8]
    chunks = ([pa.array([one], decoder.arrow)] for one in [count])
    return [Plan("rowcount", decoder)], chunks


def _typmod(column: Description) -> int:
    """Give what PostgreSQL keeps of ``numeric(p, s)``; -1 where there is nothing to keep."""
    if column.type_code != NUMERIC or column.precision is None or column.scale is None:
        return -1
    precision, scale = int(column.precision), int(column.scale)
    if precision > _MOST_PRECISION:  # what the driver makes of a numeric without limits
        return -1
    return ((precision << 16) | scale) + 4
