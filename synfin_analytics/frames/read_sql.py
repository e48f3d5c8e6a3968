"""A query, however it was given, as SQL text of which every parameter is known by its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import psycopg2
from sqlalchemy import ClauseElement, FromClause, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.sql.compiler import SQLCompiler

from synfin_analytics.exceptions import ArgumentError, QueryError, nearest_names
from synfin_analytics.models import Base, model_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg2.extensions import cursor as Cursor  # noqa: N812
    from sqlalchemy import Dialect

_TOKENS = r"""
    (?P<blank>   \s+ | --[^\n]* )
  | (?P<comment> /\* )
  | (?P<quoted>  [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
               | \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$ )
  | (?P<param>   {param} )
  | (?P<word>    [^\W\d][\w$]* )
  | (?P<other>   ::+ | \d[\w.]* | . )
"""
_NO_PARAMETERS = re.compile(_TOKENS.format(param="(?P<name>(?!))"), re.VERBOSE | re.DOTALL)
_NAMED = re.compile(
    _TOKENS.format(param=r"(?<![\w:]):(?P<name>[^\W\d]\w*)"), re.VERBOSE | re.DOTALL
)
_COMPILED = re.compile(_TOKENS.format(param=r"%\((?P<name>[^)]+)\)s"), re.VERBOSE | re.DOTALL)

Query: TypeAlias = str | type[Base] | ClauseElement

_READS = {"SELECT", "VALUES", "TABLE", "WITH"}
_WRITES = {"INSERT", "UPDATE", "DELETE", "MERGE"}
_TRANSACTION = {"ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that the query compares with: it is bound, and appears in no message."""

    name: str
    value: object

    def bound(self, cursor: Cursor) -> str:
        """Quote the value as psycopg2 does for any query."""
        try:
            text: bytes = cursor.mogrify("%s", (plain(self.value),))
        except (psycopg2.ProgrammingError, ValueError):
            # ValueError: a NUL character or a lone surrogate, which PostgreSQL's text has not.
            raise ArgumentError(
                f"Parameter {self.name!r} is a {type(self.value).__name__} that PostgreSQL cannot "
                "take: give a number, a text without NUL characters, a date, a datetime, a bool, "
                "None, or a list of these."
            ) from None
        return text.decode()


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement in pieces: SQL text and parameters in turn."""

    pieces: tuple[str | Parameter, ...]
    #: COPY can run it: SELECT, VALUES, TABLE or WITH, and nothing is written.
    reads: bool
    #: The text was written by the user, so that a place in it says something.
    own_text: bool

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
        self._statement = statement
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
        for piece, part in zip(self._statement.pieces, self._parts, strict=True):
            if rest < 0:
                return None
            if rest < len(part):
                if isinstance(piece, Parameter):
                    return piece
                if not self._statement.own_text:
                    return None
                text += part[:rest]
                line = text.count("\n") + 1
                return f"line {line}, column {len(text) - text.rfind(chr(10))}"
            rest -= len(part)
            text += f":{piece.name}" if isinstance(piece, Parameter) else piece
        return None


def statement_of(
    query: Query,
    params: Mapping[str, object] | None,
    dialect: Dialect,
) -> Statement:
    """Statement of a query that is SQL text, a table's name, a model or a SQLAlchemy statement."""
    if params is not None and not isinstance(params, Mapping):
        raise ArgumentError(
            f"params is a dict of name and value, for :name in the query; got a "
            f"{type(params).__name__}."
        )
    if isinstance(query, str):
        _check_characters(query)
    if isinstance(query, str) and not re.fullmatch(r"\s*\w+\s*", query):
        if params is None:
            return _parse(query, _NO_PARAMETERS, {})
        return _parse(query, _NAMED, params)
    if isinstance(query, (str, type)):
        name = query.strip() if isinstance(query, str) else query
        query = model_of(name).__table__
    if isinstance(query, FromClause):
        query = select(query)
    if not isinstance(query, ClauseElement):
        raise ArgumentError(
            "A query is SQL text, the name of a table, a model or a SQLAlchemy select; got a "
            f"{type(query).__name__}."
        )
    return _compiled(query, params or {}, dialect)


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError("The query has a lone surrogate, which is no character.") from None
    if "\0" in text:
        raise QueryError("The query has a NUL character, which PostgreSQL's text cannot have.")


def _compiled(query: ClauseElement, params: Mapping[str, object], dialect: Dialect) -> Statement:
    compiled = query.compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler):
        raise QueryError("This statement returns no rows: give a select, or SQL text.")
    unknown = set(params) - set(compiled.binds)
    if unknown:
        raise _unknown(min(unknown), compiled.binds)
    try:
        state = compiled.construct_expanded_state(dict(params))
    except InvalidRequestError:
        missing = [n for n, bind in compiled.binds.items() if bind.required and n not in params]
        raise _missing(missing[0], params) from None
    processors: dict[str, Any] = dict(state.processors)
    for name, bind in compiled.binds.items():
        processors.setdefault(name, bind.type.dialect_impl(dialect).bind_processor(dialect))
    values = {
        name: process(value) if (process := processors.get(name)) else value
        for name, value in state.parameters.items()
    }
    return _parse(state.statement, _COMPILED, values)


def _parse(text: str, grammar: re.Pattern[str], values: Mapping[str, object]) -> Statement:
    pieces: list[str | Parameter] = []
    tokens: list[str] = []  # without parameters' names, which might be words of SQL
    begin = 0
    end = len(text)
    for kind, name, start, stop in _tokens(text, grammar):
        found = text[start:stop]
        if end < len(text) and found != ";":
            raise QueryError(
                "The text has several statements, separated by a semicolon: run them one by one."
            )
        if found == ";":
            end = min(end, start)
        elif kind == "param":
            if name not in values:
                raise _missing(name, values)
            pieces += [text[begin:start], Parameter(name, values[name])]
            begin = stop
        tokens.append(found.upper() if kind == "word" else found if kind == "other" else "")
    if not "".join(tokens).strip(";"):
        raise QueryError("The query is empty.")
    pieces.append(text[begin:end])
    if grammar is _NAMED:
        used = {piece.name for piece in pieces if isinstance(piece, Parameter)}
        if unused := set(values) - used:
            raise _unknown(min(unused), used)
    if grammar is _COMPILED:
        pieces = [p.replace("%%", "%") if isinstance(p, str) else p for p in pieces]
    return Statement(tuple(pieces), _reads(tokens), own_text=grammar is not _COMPILED)


def _tokens(text: str, grammar: re.Pattern[str]) -> Iterator[tuple[str, str, int, int]]:
    """Split SQL: kind, name if it is a parameter, begin and end; comments are left out."""
    at = 0
    while at < len(text):
        token = grammar.match(text, at)
        if token is None or token.lastgroup is None:  # cannot be: any character is a token
            raise QueryError("The query cannot be read as SQL.")
        kind = token.lastgroup
        start, at = token.span()
        if kind == "comment":
            at = _end_of_comment(text, start)
        elif kind != "blank":
            yield kind, token["name"] or "", start, at


def _reads(tokens: list[str]) -> bool:
    """Whether COPY can run the statement; the words of a part follow on its parenthesis."""
    first = next((one for one in tokens if one != "("), "")
    if first in _TRANSACTION:
        raise QueryError(
            f"{first} would end or divide the session's transaction behind its back: call "
            "session.commit() or session.rollback()."
        )
    if first != "WITH":
        return first in _READS
    depth = 0
    for before, word in pairwise(tokens):
        depth += (before == "(") - (before == ")")
        if word in _WRITES and (depth == 0 or before == "("):
            return False
    return True


def _end_of_comment(text: str, start: int) -> int:
    """Comments of SQL nest."""
    depth = 0
    for edge in re.finditer(r"/\*|\*/", text[start:]):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return start + edge.end()
    return len(text)


def _missing(name: str, values: Mapping[str, object]) -> ArgumentError:
    near = nearest_names(name, values)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ArgumentError(f"params has no value for :{name}, which stands in the query.{hint}")


def _unknown(name: str, known: Mapping[str, object] | set[str]) -> ArgumentError:
    named = sorted(f":{one}" for one in known if one.isidentifier())
    has = f"It has {', '.join(named)}." if named else "It has none."
    return ArgumentError(
        f"The query has no parameter :{name}. {has} A parameter is written as a colon and its "
        "name, outside quotes."
    )


def plain(value: object) -> object:
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
    if isinstance(value, (np.ndarray, pd.Series, pd.Index)):
        return [plain(one) for one in value]
    if isinstance(value, (list, set, frozenset)):
        return [plain(one) for one in value]
    if isinstance(value, tuple):
        return tuple(plain(one) for one in value)
    return value
