"""Run a query: plan its columns, and decode the rows of one binary COPY while they arrive.

The COPY runs on the session's own connection, so that it sees what the session sees.
"""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from psycopg2 import extensions

from synfin_analytics.database._interrupt import PAUSE, Cursor, in_background
from synfin_analytics.database.logging import log_if_slow
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.database.schema import schema_of_tables
from synfin_analytics.exceptions import ArgumentError, QueryError
from synfin_analytics.io.read._decode import (
    DECODERS,
    DOUBLE_DIGITS,
    INT64_DIGITS,
    PADDING,
    Chunk,
    decode_chunk,
    numeric_decoder,
)
from synfin_analytics.io.read._evaluation import choose_evaluation
from synfin_analytics.io.read._send import bind_values, has_values
from synfin_analytics.io.read._session import (
    connect_session,
    driver_connection,
    end_if_lost,
    savepoint,
    transaction,
    translate_errors,
    undo,
)
from synfin_analytics.io.read._sql import EMPTY, Parameter, Query, Statement, parse_query

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from psycopg2.extensions import Column as Description
    from psycopg2.extensions import connection as DriverConnection  # noqa: N812
    from sqlalchemy import Connection as BoundConnection
    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.read._decode import Decoder
    from synfin_analytics.io.read._sql import BoundSQL

    #: Decoded columns, some rows at a time.
    Chunks: TypeAlias = Iterator[list[pa.Array]]
    #: The columns of a result, and its rows.
    Result: TypeAlias = tuple[list["Plan"], Chunks]


@contextlib.contextmanager
def run_query(
    query: Query,
    params: Mapping[str, object] | None,
    session: Session | None,
    manager: DatabaseManager | None,
    *,
    use_decimal: bool,
    on_primary: bool = False,
) -> Iterator[Result]:
    """Run a query, and leave the session usable whatever happens in the block.

    Parameters
    ----------
    query, params, session, manager, use_decimal
        As in :func:`synfin_analytics.read_df`.
    on_primary
        Whether not to use a read replica.
    """
    with contextlib.ExitStack() as stack:
        if session is None:
            scope = (manager or get_db_manager())._read_scope(on_primary=on_primary)
            bound = stack.enter_context(scope).connection()
        elif manager is None:
            bound = connect_session(session)
        else:
            raise ArgumentError("Pass `session` or `manager`, not both; got both.")
        connection = driver_connection(bound)

        @stack.callback
        def invalidate_if_closed() -> None:  # for example after an interrupt
            if connection.closed and not bound.invalidated:
                bound.invalidate()

        block_errors: list[BaseException] = []
        stack.push(functools.partial(end_if_lost, connection, block_errors))
        cursor = stack.enter_context(connection.cursor(cursor_factory=Cursor))
        with translate_errors(EMPTY, bound):
            statement = parse_query(query, params, bound.dialect, lambda: schema_of_tables(cursor))
        started = time.perf_counter()
        with translate_errors(EMPTY, bound):
            if connection.autocommit and has_values(statement):
                stack.enter_context(transaction(cursor))
            to_savepoint = session is not None and (
                not connection.autocommit or has_values(statement)
            )
            if to_savepoint:
                stack.enter_context(savepoint(cursor))
            restart = functools.partial(undo, cursor, to_savepoint=to_savepoint)
            binding = bind_values(
                cursor, statement, bound, restart, ends_transaction=session is None
            )
            sql = stack.enter_context(binding)
        with translate_errors(sql, bound):
            if statement.is_read:
                plans, chunks = _copy(cursor, sql, use_decimal=use_decimal)
            else:
                result = _execute(cursor, sql, bound, restart, use_decimal=use_decimal)
                plans, chunks = stack.enter_context(result)
        translated = stack.enter_context(contextlib.closing(_translated(chunks, sql, bound)))
        try:
            yield plans, translated
        except BaseException as error:
            block_errors.append(error)
            raise
        if not bound.invalidated:
            log_if_slow(bound, started, statement.text)


def _translated(
    chunks: Chunks, sql: BoundSQL, bound: BoundConnection
) -> Generator[list[pa.Array], None, None]:
    with translate_errors(sql, bound):
        yield from chunks


# -- Plan --------------------------------------------------------------------------------------

# OIDs of types.
NUMERIC = 1700
_INT8, _TEXT, _DOUBLE, _INET, _DOUBLE_ARRAY, _NUMERIC_ARRAY = 20, 25, 701, 869, 1022, 1231
_DECIMAL128_DIGITS = 38
_DECIMAL256_DIGITS = 76


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of one column of the result."""

    name: str
    decoder: Decoder
    #: SQL around the column if the server converts it, else empty.
    cast: str = ""
    #: Whether it is a decimal that is sent as text, since its number of digits is not known.
    decimal_as_text: bool = False
    #: Precision and scale, if the text is of a numeric(p, s).
    digits: tuple[int, int] | None = None

    def arrow_type(self, pieces: Sequence[pa.Array] = ()) -> pa.DataType:
        """Return the type that can represent all values of the column.

        Parameters
        ----------
        pieces
            The values, on which the type depends if they are decimals that were sent as text.

        Raises
        ------
        QueryError
            A decimal is NaN or infinity, or needs too many digits.
        """
        if not self.decimal_as_text:
            return self.decoder.arrow_type
        if any(pc.any(pc.match_substring_regex(piece, "[a-zA-Z]")).as_py() for piece in pieces):
            raise QueryError(
                f"Column {self.name!r} has NaN or infinity, which a decimal cannot represent. Read "
                "it with use_decimal=False, or replace it with NULLIF(…, 'NaN')."
            )
        if self.digits is not None:
            precision, scale = self.digits
            make_type = pa.decimal128 if precision <= _DECIMAL128_DIGITS else pa.decimal256
            return make_type(precision, scale)
        integral = scale = 0
        for piece in pieces:
            numbers = pc.extract_regex(piece, r"^-?(?P<integral>\d+)\.?(?P<fraction>\d*)$")
            integral = max(integral, _max_length(pc.struct_field(numbers, "integral")))
            scale = max(scale, _max_length(pc.struct_field(numbers, "fraction")))
        if integral + scale <= _DECIMAL128_DIGITS:
            return pa.decimal128(_DECIMAL128_DIGITS, scale)
        if integral + scale <= _DECIMAL256_DIGITS:
            return pa.decimal256(_DECIMAL256_DIGITS, scale)
        raise QueryError(
            f"Column {self.name!r} has numbers that need {integral + scale} digits; a decimal has "
            f"at most {_DECIMAL256_DIGITS}. Round them, for example with "
            f"{self.name}::numeric(30, 8), or cast them to text."
        )


def plan_columns(description: Sequence[Description], *, use_decimal: bool) -> list[Plan]:
    """Plan each column that the server describes.

    Raises
    ------
    QueryError
        There is no column, or several have the same name.
    """
    if not description:
        raise QueryError("The query returns no columns; a DataFrame needs at least one.")
    names = Counter(column.name for column in description)
    duplicates = [name for name, count in names.items() if count > 1]
    if duplicates:
        raise QueryError(
            f"The query returns several columns named {', '.join(map(repr, duplicates))}; the "
            "names in a DataFrame are unique. Select the columns that you need, and rename them "
            "with AS."
        )
    return [_plan(column, use_decimal=use_decimal) for column in description]


def _plan(column: Description, *, use_decimal: bool) -> Plan:
    name = column.name
    if column.type_code == NUMERIC:
        return _numeric_plan(column, use_decimal=use_decimal)
    if column.type_code in DECODERS:
        return Plan(name, DECODERS[column.type_code])
    if column.type_code == _NUMERIC_ARRAY and not use_decimal:
        return Plan(name, DECODERS[_DOUBLE_ARRAY], "{}::double precision[]")
    # PostgreSQL's text form, also of enums, ranges, rows and types of extensions.
    cast = "abbrev({})" if column.type_code == _INET else "{}::text"
    return Plan(name, DECODERS[_TEXT], cast)


def _numeric_plan(column: Description, *, use_decimal: bool) -> Plan:
    precision, scale = column.precision, column.scale
    # Since PostgreSQL 15 a scale may be negative or greater than the precision; this is rare.
    is_usual = precision is not None and scale is not None and 0 <= scale <= precision
    if is_usual and precision <= (INT64_DIGITS if use_decimal else DOUBLE_DIGITS):
        return Plan(column.name, numeric_decoder(precision, scale, use_decimal=use_decimal))
    if not use_decimal:
        return Plan(column.name, DECODERS[_DOUBLE], "{}::double precision")
    digits = (precision, scale) if is_usual and precision <= _DECIMAL256_DIGITS else None
    return Plan(column.name, DECODERS[_TEXT], "{}::text", decimal_as_text=True, digits=digits)


def _max_length(texts: pa.Array) -> int:
    return pc.max(pc.utf8_length(texts)).as_py() or 0


# -- COPY --------------------------------------------------------------------------------------

#: Maximum number of rows of a chunk: enough to make NumPy's calls cheap.
ROWS = 8_192
#: Approximate maximum size of a chunk, so that wide rows stay in the processor's cache until they
#: are decoded, and do not fill the memory.
BYTES = 2 * 2**20
#: Maximum number of rows between two checks of its size.
_STRIDE = 64
#: Maximum number of chunks that wait to be decoded; then the server waits.
_MAX_WAITING = 4

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"


def _copy(cursor: Cursor, sql: BoundSQL, *, use_decimal: bool) -> Result:
    """Run a query with COPY."""
    cursor.execute(sql.wrap("SELECT * FROM (\n", "\n) AS q LIMIT 0"))
    plans = plan_columns(cursor.description or (), use_decimal=use_decimal)
    sql, prelude, postlude = choose_evaluation(cursor, sql)
    before, after = "COPY (\n", "\n) TO STDOUT (FORMAT binary)"
    if any(plan.cast for plan in plans):
        names = [f"c{index}" for index in range(len(plans))]
        select_list = ", ".join(
            plan.cast.format(name) if plan.cast else name
            for plan, name in zip(plans, names, strict=True)
        )
        before = f"COPY (SELECT {select_list} FROM (\n"  # noqa: S608 - generated names
        after = f"\n) AS q({', '.join(names)})) TO STDOUT (FORMAT binary)"
    return plans, _decode(cursor.connection, sql.wrap(prelude + before, after + postlude), plans)


def _decode(connection: DriverConnection, sql: bytes, plans: list[Plan]) -> Chunks:
    decoders = {plan.name: plan.decoder for plan in plans}
    with contextlib.closing(copy_chunks(connection, sql)) as chunks:
        for chunk in chunks:
            yield decode_chunk(chunk, decoders)


class _Sink:
    """The file-like object to which psycopg2 writes each row."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write


def copy_chunks(connection: DriverConnection, sql: bytes) -> Generator[Chunk, None, None]:
    """Run a binary COPY and yield its rows while the server continues to send.

    One thread reads while the caller decodes, so that two processors of the client and one of the
    server are busy. The waiting caller can be interrupted (Ctrl-C). If it stops early for whatever
    reason, the server cancels the command, and the connection is ready for the next one.
    """
    chunks: queue.Queue[Chunk | None] = queue.Queue(_MAX_WAITING)
    is_stopped = threading.Event()

    def emit(chunk: Chunk | None) -> None:
        while not is_stopped.is_set():
            with contextlib.suppress(queue.Full):
                chunks.put(chunk, timeout=PAUSE)
                return

    def read() -> None:
        # For each row, `send` of a generator takes a tenth of the time of a method call.
        sink = _collect(emit)
        next(sink)
        try:
            with connection.cursor() as cursor:
                cursor.copy_expert(sql, _Sink(sink.send))
            with contextlib.suppress(StopIteration):
                sink.throw(EOFError)
        finally:
            emit(None)

    with in_background(connection, read):
        try:
            while (chunk := _next(chunks)) is not None:
                yield chunk
        finally:
            is_stopped.set()


def _next(chunks: queue.Queue[Chunk | None]) -> Chunk | None:
    while True:
        with contextlib.suppress(queue.Empty):
            return chunks.get(timeout=PAUSE)


def _collect(emit: Callable[[Chunk], object]) -> Generator[None, bytes, None]:
    """Receive one message at a time and emit chunks of rows; the last one on EOFError."""
    message = yield
    if not message.startswith(_HEADER):
        raise QueryError("The server's answer is not a binary COPY stream of a supported version.")
    buffers: list[BytesIO] = []
    first = message[len(_HEADER) :]  # it comes with the header
    while True:
        data = _free_buffer(buffers)
        lengths = [data.write(first)] if first else []
        first = b""
        # The inner loop runs for each row, so it only stores the row.
        write, append = data.write, lengths.append
        try:
            while len(lengths) < ROWS and (size := data.tell()) < BYTES:
                # If rows remain as wide as the previous ones, no more than this fit.
                fitting = 1 + (BYTES - size) * len(lengths) // max(size, 1)
                for _ in range(min(_STRIDE, ROWS - len(lengths), fitting)):
                    append(write((yield)))
        except EOFError:
            _emit(emit, data, lengths)
            return
        size = data.tell()
        _emit(emit, data, lengths)
        if size > 2 * BYTES:  # a few huge rows
            buffers.remove(data)


def _emit(emit: Callable[[Chunk], object], data: BytesIO, lengths: list[int]) -> None:
    # Only the trailer is two bytes long: a row has at least one field. It may come with the header.
    if lengths and lengths[-1] == len(_TRAILER):
        lengths.pop()
    if lengths:
        data.write(PADDING)
        emit(Chunk(data.getbuffer(), lengths))


def _free_buffer(buffers: list[BytesIO]) -> BytesIO:
    """Return a buffer whose chunk is decoded: reusing memory is faster than getting new memory."""
    for data in buffers:
        with contextlib.suppress(BufferError):
            data.seek(0)
            data.write(b"")  # raises as long as a chunk uses these bytes
            return data
    buffers.append(BytesIO())
    return buffers[-1]


# -- Other statements --------------------------------------------------------------------------

_MAX_PRECISION = 1000  # of numeric(p, s)
#: Settings with which the text of a value is complete.
_LOSSLESS_TEXT = {"extra_float_digits": "1", "datestyle": "ISO, YMD", "intervalstyle": "postgres"}
#: Status of a transaction that has failed, and of a lost connection.
_UNUSABLE = {extensions.TRANSACTION_STATUS_INERROR, extensions.TRANSACTION_STATUS_UNKNOWN}
# Values of any type as the server's text, which the server parses again.
_AS_TEXT = extensions.new_type(
    tuple(extensions.string_types), "SYNFIN_TEXT", lambda value, _cursor: value
)


@contextlib.contextmanager
def _execute(
    cursor: Cursor,
    sql: BoundSQL,
    bound: BoundConnection,
    restart: Callable[[], object],
    *,
    use_decimal: bool,
) -> Iterator[Result]:
    """Run any other statement, such as EXPLAIN or INSERT … RETURNING, which has few rows.

    They arrive as text, and return to the server as arrays of text that a query casts, so that each
    type is read in one way only.
    """
    extensions.register_type(_AS_TEXT, cursor)
    with _lossless_text(cursor, sql):
        cursor.execute(sql.wrap("", ""))
        description = cursor.description
        if description is None:
            count = None if cursor.rowcount < 0 else cursor.rowcount
            plan = Plan("rowcount", DECODERS[_INT8])
            yield [plan], iter([[pa.array([count], plan.arrow_type())]])
            return
        plan_columns(description, use_decimal=use_decimal)
        rows = cursor.fetchall()
        texts = _cast_texts(cursor, description, rows)
        with bind_values(cursor, texts, bound, restart) as query:
            yield _copy(cursor, query, use_decimal=use_decimal)


@contextlib.contextmanager
def _lossless_text(cursor: Cursor, sql: BoundSQL) -> Iterator[None]:
    """Convert values to text and back without loss, whatever the session's settings are."""
    local = not cursor.connection.autocommit
    # Behind a pooler, the next statement may run on another connection, and another client on this.
    is_shared = not local and getattr(cursor.connection, "through_pooler", False)
    # A statement such as SHOW would show the changed ones.
    if is_shared or sql.statement.is_about_settings:
        yield
        return
    change = "SELECT " + ", ".join(f"set_config('{name}', %s, %s)" for name in _LOSSLESS_TEXT)
    cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in _LOSSLESS_TEXT))
    before = cursor.fetchone() or ()
    cursor.execute(change, [part for value in _LOSSLESS_TEXT.values() for part in (value, local)])
    try:
        yield
    finally:
        # A transaction that has failed is rolled back, and the settings with it.
        if cursor.connection.info.transaction_status not in _UNUSABLE:
            cursor.execute(change, [part for value in before for part in (value, local)])


def _cast_texts(
    cursor: Cursor, description: Sequence[Description], rows: Sequence[Sequence[str | None]]
) -> Statement:
    """Return the query that casts rows of texts to the types that the server described."""
    columns = list(zip(*rows, strict=True)) or [()] * len(description)
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
    return Statement(tuple(pieces), is_read=True, is_users_text=False)


def _typmod(column: Description) -> int:
    """Return the type modifier of ``numeric(p, s)``; -1 for other types."""
    precision, scale = column.precision, column.scale
    is_numeric = column.type_code == NUMERIC and precision is not None and scale is not None
    if not is_numeric or precision > _MAX_PRECISION:  # the driver's value for one without (p, s)
        return -1
    return ((int(precision) << 16) | int(scale)) + 4
