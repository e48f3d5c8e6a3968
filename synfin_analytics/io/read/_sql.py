"""A query, however it was given, as SQL text of which every parameter is known by its place."""

from __future__ import annotations

import copy
import re
from collections.abc import KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import psycopg2
from sqlalchemy import ClauseElement, FromClause, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.sql.compiler import SQLCompiler

from synfin_analytics._core.sql import NAMED, PYFORMAT, Token, tokens
from synfin_analytics.database.models import Base, model_of
from synfin_analytics.exceptions import ArgumentError, QueryError, nearest_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from psycopg2.extensions import cursor as Cursor  # noqa: N812
    from sqlalchemy import Dialect

Query: TypeAlias = str | type[Base] | ClauseElement

_READS = {"SELECT", "VALUES", "TABLE", "WITH"}
_WRITES = {"INSERT", "UPDATE", "DELETE", "MERGE"}
#: Words before a parenthesis that are not the name of a function.
_BEFORE_ROWS = frozenset(
    ["AND", "CASE", "ELSE", "HAVING", "NOT", "ON", "OR", "ROW", "SELECT", "THEN", "WHEN", "WHERE"]
)
_SETTINGS = {"RESET", "SET", "SHOW"}
_AFTER_ITEM = re.compile(r"\s*([,)])")
_TRANSACTION = {"ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"}


#: How a value is written: as it is; as the list after IN, with or without its parentheses; or, for
#: an empty list, which PostgreSQL has no IN for, in place of ``IN`` or ``NOT IN`` and the list.
Form = Literal["value", "list", "items", "in nothing", "not in nothing"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that the query compares with: it is bound, and appears in no message."""

    name: str
    value: object
    form: Form = "value"
    #: What is compared with an empty list is a row, as in ``(a, b) IN :pairs``.
    row: bool = False

    def bound(self, cursor: Cursor) -> str:
        """Quote the value as psycopg2 does for any query."""
        try:
            match self.form:
                case "value":
                    return _literal(plain(self.value), cursor)
                case "list" | "items":
                    items = ", ".join(_literal(item, cursor) for item in _items(self.value) or ())
                    return f"({items})" if self.form == "list" else items
                case _:
                    operator = "= ANY" if self.form == "in nothing" else "<> ALL"
                    return f"{operator}(ARRAY[]::record[])" if self.row else f"{operator}('{{}}')"
        except (psycopg2.ProgrammingError, ValueError):
            # ValueError: a NUL character or a lone surrogate, which PostgreSQL's text has not.
            raise ArgumentError(
                f"`params[{self.name!r}]` must be a number, a text without NUL characters, a date, "
                "a datetime, a bool, None, or a list of these; got a "
                f"{type(self.value).__name__} that PostgreSQL cannot take."
            ) from None


def _literal(value: object, cursor: Cursor) -> str:
    text: str = cursor.mogrify("%s", (value,)).decode()
    # A cast or a subscript binds to the whole value, not to what is behind its sign.
    if not isinstance(value, str) and text.lstrip().startswith(("-", "ARRAY")):
        return f"({text.strip()})"
    return text


def _items(value: object) -> Sequence[object] | None:
    """Items of a list of values; None for a single value."""
    value = plain(value)
    return value if isinstance(value, (list, tuple)) else None


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement in pieces: SQL text and parameters in turn."""

    pieces: tuple[str | Parameter, ...]
    #: COPY can run it: SELECT, VALUES, TABLE or WITH, and nothing is written.
    reads: bool
    #: The text was written by the user, so that a place in it says something.
    own_text: bool
    #: It shows or changes settings of the session.
    of_settings: bool = False

    @property
    def text(self) -> str:
        """The statement with its parameters' names, without their values."""
        return "".join(p if isinstance(p, str) else f":{p.name}" for p in self.pieces)

    def bound(self, cursor: Cursor) -> BoundSQL:
        """Put the values in, quoted by psycopg2."""
        parts = [p.bound(cursor) if isinstance(p, Parameter) else p for p in self.pieces]
        return BoundSQL(self, parts)


class BoundSQL:
    """What is sent to the server; it finds places in the user's text again."""

    def __init__(self, statement: Statement, parts: list[str]) -> None:
        self.statement = statement
        self._parts = parts
        self._before = ""

    def within(self, before: str, after: str) -> bytes:
        """Text to send now, with ``before`` and ``after`` around the statement."""
        self._before = before
        return (before + "".join(self._parts) + after).encode()

    def place(self, position: int) -> str | Parameter | None:
        """Say what is at the server's ``position``: a parameter, or a line and column in words."""
        rest = position - 1 - len(self._before)
        text = ""
        for piece, part in zip(self.statement.pieces, self._parts, strict=True):
            if rest < 0:
                return None
            if rest < len(part):
                if isinstance(piece, Parameter):
                    return piece
                if not self.statement.own_text:
                    return None
                text += part[:rest]
                line = text.count("\n") + 1
                return f"line {line}, column {len(text) - text.rfind(chr(10))}"
            rest -= len(part)
            text += f":{piece.name}" if isinstance(piece, Parameter) else piece
        return None


#: What is sent before a query of the user's: no place in it is theirs.
NOTHING = BoundSQL(Statement((), reads=True, own_text=False), [])


def statement_of(
    query: Query,
    params: Mapping[str, object] | None,
    dialect: Dialect,
    home: Callable[[], str],
) -> Statement:
    """Statement of a query that is SQL text, a table's name, a model or a SQLAlchemy statement.

    ``home`` says which schema our tables are in: they are meant, not others of their names. What is
    written as SQL text is left to the search path.
    """
    if params is not None and not isinstance(params, Mapping):
        raise ArgumentError(
            "`params` must be a dict of names and values, for :name in the query; got a "
            f"{type(params).__name__}."
        )
    if isinstance(query, str):
        _check_characters(query)
    if isinstance(query, str) and not re.fullmatch(r"\s*\w+\s*", query):
        return _parse(query, NAMED, params)
    if isinstance(query, (str, type)):
        name = query.strip() if isinstance(query, str) else query
        query = model_of(name).__table__
    if isinstance(query, FromClause):
        query = select(query)
    if not isinstance(query, ClauseElement):
        raise ArgumentError(
            "`query` must be SQL text, the name of a table, a model or a SQLAlchemy select; got a "
            f"{type(query).__name__}."
        )
    return _compiled(query, params or {}, _with_schema(dialect, home()))


def _with_schema(dialect: Dialect, schema: str) -> Dialect:
    """Copy of a dialect that writes our tables with their schema."""

    def schema_of(table: Any) -> str | None:
        ours = getattr(table, "metadata", None) is Base.metadata
        return table.schema or (schema if ours and schema else None)

    copied = copy.copy(dialect)
    copied.identifier_preparer = copy.copy(dialect.identifier_preparer)
    copied.identifier_preparer.schema_for_object = schema_of  # type: ignore[assignment]  # may be None
    return copied


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError(
            "The query must not contain a lone surrogate: it is not a character."
        ) from None
    if "\0" in text:
        raise QueryError("The query must not contain a NUL character: PostgreSQL's text has none.")


def _compiled(query: ClauseElement, params: Mapping[str, object], dialect: Dialect) -> Statement:
    compiled = query.compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler):
        raise QueryError("This statement returns no rows: give a select, or SQL text.")
    unknown = set(params) - set(compiled.binds)
    if unknown:
        raise _unknown(sorted(unknown), compiled.binds)
    try:
        state = compiled.construct_expanded_state(dict(params))
    except InvalidRequestError:
        missing = [n for n, bind in compiled.binds.items() if bind.required and n not in params]
        raise _missing(missing, params) from None
    processors: dict[str, Any] = dict(state.processors)
    for name, bind in compiled.binds.items():
        processors.setdefault(name, bind.type.dialect_impl(dialect).bind_processor(dialect))
    values = {
        name: process(value) if (process := processors.get(name)) else value
        for name, value in state.parameters.items()
    }
    return _parse(state.statement, PYFORMAT, values)


@dataclass(slots=True)
class _Bracket:
    """An open parenthesis or bracket, and what it means for the parameters in it."""

    #: Of ``a[1:n]``, where a colon and a name are part of a slice.
    subscript: bool = False
    #: Where the list after IN begins: at IN, or at the NOT before it.
    in_list: _In | None = None
    #: Of a row as ``(a, b)``: it has a comma, and no function's name before it.
    row: bool = False
    function: bool = False


@dataclass(frozen=True, slots=True)
class _In:
    start: int
    negated: bool
    row: bool


@dataclass(slots=True)
class _Reader:
    """Follows the tokens of a statement, to know what a parameter belongs to."""

    open: list[_Bracket] = field(default_factory=list)
    #: The words so far; without parameters' names, which might be words of SQL.
    words: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    #: The parenthesis that was closed last was a row.
    row: bool = False

    def follow(self, word: str, start: int) -> None:
        """Read the next token: a word in capitals, a sign, ``"`` for a quoted name, or else ""."""
        last = self._last
        if word == "(":
            after_in = self.after_in() if last == "IN" else None
            self.open.append(_Bracket(in_list=after_in, function=_is_function(last)))
        elif word == "[":
            nested = last in {"[", ","} and bool(self.open) and not self.open[-1].subscript
            self.open.append(_Bracket(subscript=last != "ARRAY" and not nested))
        elif word in {")", "]"} and self.open:
            closed = self.open.pop()
            self.row = word == ")" and closed.row and not closed.function
        elif word == "," and self.open:
            self.open[-1].row = True
        self.words.append(word)
        self.starts.append(start)

    @property
    def _last(self) -> str:
        return self.words[-1] if self.words else ""

    @property
    def subscript(self) -> bool:
        """Whether the next token is in a subscript of an array."""
        return bool(self.open) and self.open[-1].subscript

    def after_in(self) -> _In | None:
        """Where the comparison began, if the last word is IN."""
        if self._last != "IN":
            return None
        negated = self.words[-2:-1] == ["NOT"]
        compared = self.words[-3:-2] if negated else self.words[-2:-1]
        start = self.starts[-2] if negated else self.starts[-1]
        return _In(start, negated, compared == [")"] and self.row)

    def in_list(self) -> _In | None:
        """Where the comparison began, if the next token is an item of the list after IN."""
        if self._last not in {"(", ","} or not self.open:
            return None
        return self.open[-1].in_list


def _is_function(before: str) -> bool:
    """Whether what stands before a parenthesis is the name of a function."""
    return before == '"' or (before.isidentifier() and before not in _BEFORE_ROWS)


def _parse(text: str, grammar: re.Pattern[str], values: Mapping[str, object] | None) -> Statement:
    reader = _Reader()
    missing: list[str] = []
    pieces = list(_pieces(text, grammar, values, reader, missing))
    if not "".join(reader.words).strip(";"):
        raise QueryError("The query is empty.")
    if missing:
        raise _missing(list(dict.fromkeys(missing)), values)
    if grammar is NAMED and values is not None:
        used = {piece.name for piece in pieces if isinstance(piece, Parameter)}
        if unused := set(values) - used:
            raise _unknown(sorted(unused), used)
    if grammar is PYFORMAT:
        pieces = [p.replace("%%", "%") if isinstance(p, str) else p for p in pieces]
    first = _first(reader.words)
    return Statement(
        tuple(pieces),
        _reads(first, reader.words),
        own_text=grammar is not PYFORMAT,
        of_settings=first in _SETTINGS,
    )


def _pieces(
    text: str,
    grammar: re.Pattern[str],
    values: Mapping[str, object] | None,
    reader: _Reader,
    missing: list[str],
) -> Iterator[str | Parameter]:
    """Split one statement at its parameters; those without a value are ``missing``."""
    begin, end = 0, len(text)
    for token in tokens(text, grammar):
        if token.kind in {"blank", "comment"}:
            continue
        found = text[token.start : token.stop]
        if found == ";":
            end = min(end, token.start)
        elif end < len(text):
            raise QueryError(
                "The text has several statements, separated by semicolons. Run them one by one."
            )
        if token.kind == "parameter":
            if values is not None and token.name in values:
                parameter, start, stop = _parameter(token, values[token.name], reader, text)
                yield text[begin:start]
                yield parameter
                begin = stop
            elif not reader.subscript:
                missing.append(token.name)
        word = {"word": found.upper(), "name": '"', "other": found}.get(token.kind, "")
        reader.follow(word, token.start)
    yield text[begin : max(begin, end)]


def _parameter(
    token: Token, value: object, reader: _Reader, text: str
) -> tuple[Parameter, int, int]:
    """Parameter for a value, and which part of the text it replaces."""
    items = _items(value)
    stop = token.stop
    comparison = reader.after_in()
    if comparison is not None:
        form: Form = "list"
        if items is None:
            raise ArgumentError(
                f"`params[{token.name!r}]` must be a list after IN; got a {type(value).__name__}."
            )
    else:
        comparison = reader.in_list()
        following = _AFTER_ITEM.match(text, stop)
        if comparison is None or items is None or following is None:
            return Parameter(token.name, value), token.start, stop
        form = "items"
        if not items:
            if reader.words[-1] != "(" or following[1] != ")":
                raise ArgumentError(
                    f"`params[{token.name!r}]` must not be empty: its list after IN has other "
                    "items too."
                )
            stop = following.end()
    if not items:
        form = "not in nothing" if comparison.negated else "in nothing"
        return Parameter(token.name, value, form, comparison.row), comparison.start, stop
    return Parameter(token.name, value, form), token.start, stop


def _first(words: Sequence[str]) -> str:
    return next((word for word in words if word != "("), "")


def _reads(first: str, words: Sequence[str]) -> bool:
    """Whether COPY can run the statement; the words of a part follow on its parenthesis."""
    if first in _TRANSACTION:
        raise QueryError(
            f"{first} would end or divide the session's transaction behind its back: call "
            "session.commit() or session.rollback()."
        )
    if first != "WITH":
        return first in _READS
    depth = 0
    for before, word in pairwise(words):
        depth += (before == "(") - (before == ")")
        if word in _WRITES and (depth == 0 or before == "("):
            return False
    return True


def _missing(names: Sequence[str], values: Mapping[str, object] | None) -> ArgumentError:
    listed = ", ".join(f":{name}" for name in names)
    near = nearest_names(names[0], values or ())
    if near:
        hint = f" Did you mean {near[0]!r}?"
    else:
        example = ", ".join(f"{name!r}: …" for name in names)
        hint = f" Pass params={{{example}}}."
    return ArgumentError(f"`params` must have a value for {listed}, named in the query.{hint}")


def _unknown(names: Sequence[str], known: Iterable[str]) -> ArgumentError:
    named = sorted(f":{name}" for name in known if name.isidentifier())
    has = f"which has {', '.join(named)}" if named else "which has none"
    return ArgumentError(
        f"`params` must have names of parameters in the query, {has}; got "
        f"{', '.join(map(repr, names))}. A parameter is a colon and its name, outside quotes."
    )


def plain(value: Any) -> object:
    """Value as psycopg2 knows it; a datetime without a zone is UTC, as everywhere here.

    Examples
    --------
    >>> plain(np.int16(3)), plain(pd.NaT), plain(datetime(2026, 1, 1))
    (3, None, datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.datetime64):
        return plain(pd.Timestamp(value))
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) or hasattr(value, "to_list"):  # a column of a frame
        return [plain(one) for one in value]
    if isinstance(value, (list, set, frozenset, range, KeysView, ValuesView)):
        return [plain(one) for one in value]
    if isinstance(value, tuple):
        return tuple(plain(one) for one in value)
    return value
