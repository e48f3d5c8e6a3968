"""Send the values of a query apart from its text, and prepare the SQL that refers to them.

A statement that contains values shows them in the server's log (``log_statement``), in
``pg_stat_activity`` and, as COPY has no parameters, in ``pg_stat_statements``. So each value
becomes a setting of the transaction (:mod:`synfin_analytics.database._set_config`).
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import errors, extensions

from synfin_analytics._core.sql import tokens
from synfin_analytics.database._interrupt import interruptible
from synfin_analytics.database._set_config import set_config
from synfin_analytics.exceptions import QueryError
from synfin_analytics.io.read._evaluation import find_function
from synfin_analytics.io.read._session import invalid_value, transaction, translate_errors
from synfin_analytics.io.read._sql import BoundSQL, Parameter
from synfin_analytics.io.read._values import Value, name_settings, render, values_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection as BoundConnection

    from synfin_analytics.database._interrupt import Cursor
    from synfin_analytics.io.read._sql import Statement
    from synfin_analytics.io.read._values import Part

#: Number of settings that open queries of a connection use.
_IN_USE = "synfin_values"
_PREPARED = "synfin_types"
_TEXTS = {"text", "character varying", "bpchar", "name"}
_UNKNOWN_TYPE = re.compile(r"parameter \$(\d+)")


def has_values(statement: Statement) -> bool:
    """Whether a statement has parameters."""
    return any(isinstance(piece, Parameter) for piece in statement.pieces)


@contextlib.contextmanager
def bind_values(
    cursor: Cursor,
    statement: Statement,
    bound: BoundConnection,
    undo: Callable[[], object],
    *,
    ends_transaction: bool = False,
) -> Iterator[BoundSQL]:
    """Send the values of a statement, and remove them at the end.

    Parameters
    ----------
    cursor
        Cursor of the connection, in a transaction or at its beginning.
    statement
        The statement and its values.
    bound
        The connection.
    undo
        Makes the transaction usable after an error.
    ends_transaction
        Whether the transaction ends with the query, and removes the values itself.
    """
    parts: list[list[Part]] = [
        piece.parts(cursor) if isinstance(piece, Parameter) else [piece]
        for piece in statement.pieces
    ]
    values = values_of(parts)
    if not values:
        yield BoundSQL(statement, render(parts, str, final=True))
        return
    if not statement.takes_values:
        raise QueryError(
            f"PostgreSQL does not accept parameters in {statement.command}. Write the values into "
            "the query, or change a setting with SELECT set_config(:name, :value, false)."
        )
    types = _find_types(cursor, statement, parts, values, bound, undo)
    if cursor.connection.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE:
        # The settings belong to a transaction; rows that come back have one of their own.
        if cursor.connection.autocommit:
            with transaction(cursor), bind_values(cursor, statement, bound, undo) as sql:
                yield sql
            return
        cursor.execute("SELECT 1")  # the driver begins one
    info = bound.info  # which SQLAlchemy refuses to give once the connection is lost
    first = info.get(_IN_USE, 0)
    settings = name_settings(values, first)
    info[_IN_USE] = first + len(settings)
    try:
        names = {name: text for text, name in settings.items()}
        interruptible(cursor.connection, lambda: set_config(cursor.connection, names))
        _check(cursor, statement, parts, types, settings)
        function = find_function(cursor)

        def render_once(once: Collection[str]) -> list[str]:
            remaining = iter(types)

            def write(value: Value) -> str:
                setting = settings[value.text]
                return value.reference(
                    setting, next(remaining), function=function, once=setting in once
                )

            return render(parts, write, final=True)

        is_open = not function and any(value.kind == "scalar" for value in values)
        yield BoundSQL(statement, render_once(()), render_once if is_open else None)
    finally:
        info[_IN_USE] = first
        status = (
            extensions.TRANSACTION_STATUS_UNKNOWN
            if cursor.connection.closed
            else cursor.connection.info.transaction_status
        )
        if status == extensions.TRANSACTION_STATUS_INTRANS and not ends_transaction:
            cursor.execute(
                "SELECT " + ", ".join(f"set_config('{name}', '', true)" for name in names)
            )


# -- Types -----------------------------------------------------------------------------------------


def _find_types(
    cursor: Cursor,
    statement: Statement,
    parts: Sequence[Sequence[Part]],
    values: Sequence[Value],
    bound: BoundConnection,
    undo: Callable[[], object],
) -> list[str]:
    """Return the type of each value, or of its elements, from PREPARE, which sees no values."""
    declared = [value.declared() for value in values]
    if "unknown" not in declared:
        return [value.type or "text" for value in values]
    is_shared = False
    while True:
        # Equal values share a parameter, so that expressions with them are equal, as GROUP BY
        # needs it. Where a type is unknown, they share it only then: each place may have its own.
        keys = [
            (value.text, name) if is_shared or name != "unknown" else number
            for number, (value, name) in enumerate(zip(values, declared, strict=True))
        ]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys), 1)}
        try:
            unless = (errors.IndeterminateDatatype, *(() if is_shared else _AMBIGUOUS))
            inferred = _prepare(cursor, statement, parts, keys, numbers, declared, bound, unless)
        except errors.IndeterminateDatatype as error:
            # A literal in this place is a text, or a number of its own type.
            found = _UNKNOWN_TYPE.search(error.diag.message_primary or "")
            number = int(found[1]) if found else 0
            places = [index for index, key in enumerate(keys) if numbers[key] == number]
            if not places or declared[places[0]] != "unknown":
                raise QueryError(
                    "PostgreSQL cannot tell the type of a parameter of the query. Cast it, for "
                    "example to :name::date."
                ) from None
            for index in places:
                declared[index] = values[index].type or "text"
        except _AMBIGUOUS:
            is_shared = True
        else:
            return [
                value.infer(inferred[numbers[key] - 1])
                for value, key in zip(values, keys, strict=True)
            ]
        undo()


#: Errors for expressions that differ although their values are equal.
_AMBIGUOUS = (errors.GroupingError, errors.InvalidColumnReference)


def _prepare(
    cursor: Cursor,
    statement: Statement,
    parts: Sequence[Sequence[Part]],
    keys: Sequence[object],
    numbers: Mapping[Any, int],
    declared: Sequence[str],
    bound: BoundConnection,
    unless: tuple[type[psycopg2.Error], ...],
) -> list[str]:
    """Return the types of the parameters of a prepared statement."""
    remaining = iter(keys)
    pieces = render(parts, lambda value: value.placeholder(numbers[next(remaining)]), final=False)
    sql = BoundSQL(statement, pieces)
    skip = _start_of_explained(sql.text) if statement.command == "EXPLAIN" else 0
    types = {numbers[key]: name for key, name in zip(keys, declared, strict=True)}
    before = f"PREPARE {_PREPARED} ({', '.join(types[n] for n in sorted(types))}) AS "
    after = (
        f";\nSELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = '{_PREPARED}'"
    )
    text = sql.wrap(before, after, skip)
    with translate_errors(sql, bound, unless):
        cursor.execute(text)
    [(inferred,)] = cursor.fetchall()
    cursor.execute(f"DEALLOCATE {_PREPARED}")
    return list(inferred)


def _start_of_explained(text: str) -> int:
    """Position of the statement after EXPLAIN and its options."""
    depth = 0
    starts = {"DELETE", "INSERT", "MERGE", "SELECT", "TABLE", "UPDATE", "VALUES", "WITH"}
    for token in tokens(text):
        content = text[token.start : token.stop]
        depth += (content == "(") - (content == ")")
        if depth == 0 and content.upper() in starts:
            return token.start
    return 0


def _check(
    cursor: Cursor,
    statement: Statement,
    parts: Sequence[Sequence[Part]],
    types: Sequence[str],
    settings: Mapping[str, str],
) -> None:
    """Convert texts to other types one by one, as the error of the whole query names none."""
    remaining = iter(types)
    for piece, part in zip(statement.pieces, parts, strict=True):
        for value in values_of([part]):
            type_name = next(remaining)
            if isinstance(piece, str) or value.type is not None or type_name in _TEXTS:
                continue
            array = "[]" if value.is_array else ""
            try:
                cursor.execute(
                    f"SELECT current_setting('{settings[value.text]}')::{type_name}{array}"
                )
            except psycopg2.DataError as error:
                raise invalid_value(error, piece) from None
