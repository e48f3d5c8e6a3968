"""Parse a query of any kind into SQL text with parameters at known positions."""

from __future__ import annotations

import copy
import re
from collections.abc import KeysView, Mapping, Sequence, ValuesView
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
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
from synfin_analytics.io.read._values import item_parts, list_parts, value_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from psycopg2.extensions import cursor as Cursor  # noqa: N812
    from sqlalchemy import Dialect

    from synfin_analytics.io.read._values import Kind, Part

Query: TypeAlias = str | type[Base] | ClauseElement

_READ_COMMANDS = {"SELECT", "VALUES", "TABLE", "WITH"}
_WRITE_COMMANDS = {"INSERT", "UPDATE", "DELETE", "MERGE"}
#: Words before a parenthesis that are not names of functions.
_BEFORE_ROWS = frozenset(
    ["AND", "CASE", "ELSE", "HAVING", "NOT", "ON", "OR", "ROW", "SELECT", "THEN", "WHEN", "WHERE"]
)
_SETTING_COMMANDS = {"RESET", "SET", "SHOW"}
#: Commands whose expressions may refer to values.
_COMMANDS_WITH_VALUES = _READ_COMMANDS | _WRITE_COMMANDS | {"EXPLAIN"}
_AFTER_ITEM = re.compile(r"\s*([,)])")
_COMPARISON_BEFORE = re.compile(r"(?:[<>=]|\bBETWEEN|\bAND)\s*$", re.IGNORECASE)
_COMPARISON_AFTER = re.compile(r"\s*(?:[<>=]|!=|BETWEEN\b)", re.IGNORECASE)
#: The end of ``= ANY(:list)``, and a cast of the list.
_AFTER_ARRAY = re.compile(r"(?P<cast>\s*::\s*[\w.\" ]+\[\s*\])?\s*\)")
#: What follows a number that is the position of a column in ORDER BY and GROUP BY.
_AFTER_POSITION = re.compile(
    r"\s*(?:[,);]|$|(?:ASC|DESC|FETCH|HAVING|LIMIT|NULLS|OFFSET|ORDER|WINDOW)\b)", re.IGNORECASE
)
#: Types whose name may precede a string.
_TYPES_BEFORE_TEXT = {"DATE", "INTERVAL", "TIME", "TIMESTAMP", "TIMESTAMPTZ"}
_TRANSACTION_COMMANDS = frozenset(
    ["ABORT", "BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT", "START"]
)


#: How a value is written: as it is; as the list after IN, with or without its parentheses; or, for
#: an empty list, which PostgreSQL's IN does not allow, in place of IN or NOT IN and the list.
Form = Literal["value", "list", "items", "in empty", "not in empty"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value in the query; it is bound, and appears in no message."""

    name: str
    value: object
    form: Form = "value"
    #: Whether a row is compared with the list, as in ``(a, b) IN :pairs``.
    row: bool = False
    #: Whether the items are the whole list after IN.
    is_whole: bool = False
    #: What a single value, or a list that is not after IN, stands for.
    kind: Kind = "scalar"
    #: Whether it is an item of a list after IN.
    is_item: bool = False
    #: Whether it is an operand of a comparison.
    compared: bool = False
    #: Whether it is a number of a statement of SQLAlchemy that is compared with nothing: a constant
    #: of its arithmetic such as ``coalesce(sum(x), 0)``, which remains in the text.
    is_constant: bool = False
    #: A cast of the array in ``= ANY(:list::type[])``, and the type in ``interval :text``.
    cast: str = ""

    def parts(self, cursor: Cursor) -> list[Part]:
        """Return what it becomes: SQL, and values that are sent apart."""

        def quote(value: object) -> str:
            text: str = cursor.mogrify("%s", (value,)).decode()
            return text

        try:
            match self.form:
                case "value" if self.is_constant:
                    literal = quote(to_python(self.value)).strip()
                    return [f"({literal})" if literal.startswith("-") else literal]
                case "value":
                    return value_parts(
                        to_python(self.value),
                        quote,
                        kind=self.kind,
                        compared=self.compared,
                        cast=self.cast,
                    )
                case "list":
                    return ["(", *list_parts(_items(self.value) or (), quote), ")"]
                case "items":
                    make = list_parts if self.is_whole else item_parts
                    return make(_items(self.value) or (), quote)
                case _:
                    operator = "= ANY" if self.form == "in empty" else "<> ALL"
                    empty = "(ARRAY[]::record[])" if self.row else "('{}')"
                    return [f"{operator}{empty}"]
        except (psycopg2.ProgrammingError, ValueError):
            # ValueError: a NUL character or a lone surrogate, which PostgreSQL does not allow.
            raise ArgumentError(
                f"`params[{self.name!r}]` must be a number, a string without NUL characters, a "
                "date, a datetime, a bool, None, or a list of these; got a value of type "
                f"{type(self.value).__name__} that PostgreSQL does not accept."
            ) from None


def _items(value: object) -> Sequence[object] | None:
    """Items of a list of values; None for a single value."""
    value = to_python(value)
    return value if isinstance(value, (list, tuple)) else None


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement: pieces of SQL text and parameters alternate."""

    pieces: tuple[str | Parameter, ...]
    #: Whether COPY can run it: SELECT, VALUES, TABLE or WITH that writes nothing.
    is_read: bool
    #: Whether the user wrote the text, so that positions in it are helpful.
    is_users_text: bool
    #: First word.
    command: str = "SELECT"

    @property
    def is_about_settings(self) -> bool:
        """Whether it shows or changes settings of the session."""
        return self.command in _SETTING_COMMANDS

    @property
    def takes_values(self) -> bool:
        """Whether its expressions may refer to values."""
        return self.command in _COMMANDS_WITH_VALUES

    @property
    def text(self) -> str:
        """The statement with the names of its parameters, without their values."""
        return "".join(
            piece if isinstance(piece, str) else f":{piece.name}" for piece in self.pieces
        )


class BoundSQL:
    """The text for the server, whose positions can be mapped back to the user's text."""

    def __init__(
        self,
        statement: Statement,
        parts: list[str],
        render_once: Callable[[Collection[str]], list[str]] | None = None,
    ) -> None:
        self.statement = statement
        self._parts = parts
        self._render_once = render_once
        self._length_before = 0

    @property
    def has_scalars(self) -> bool:
        """Whether it refers to values that it may evaluate for each row."""
        return self._render_once is not None

    def evaluating_once(self, settings: Collection[str]) -> BoundSQL:
        """Return the same query that evaluates the values of these settings once."""
        if self._render_once is None or not settings:
            return self
        return BoundSQL(self.statement, self._render_once(settings), self._render_once)

    @property
    def text(self) -> str:
        """The statement for the server."""
        return "".join(self._parts)

    def wrap(self, before: str, after: str, skip: int = 0) -> bytes:
        """Return the text to send, with ``before`` and ``after`` around the statement.

        Its first ``skip`` characters are left out.
        """
        self._length_before = len(before) - skip
        return (before + self.text[skip:] + after).encode()

    def place(self, position: int) -> str | Parameter | None:
        """Parameter at the server's ``position``, or line and column for a message."""
        offset = position - 1 - self._length_before
        text = ""
        for piece, part in zip(self.statement.pieces, self._parts, strict=True):
            if offset < 0:
                return None
            if offset < len(part):
                if isinstance(piece, Parameter):
                    return piece
                if not self.statement.is_users_text:
                    return None
                text += part[:offset]
                line = text.count("\n") + 1
                return f"line {line}, column {len(text) - text.rfind(chr(10))}"
            offset -= len(part)
            text += f":{piece.name}" if isinstance(piece, Parameter) else piece
        return None


#: For statements that are sent before the user's query.
EMPTY = BoundSQL(Statement((), is_read=True, is_users_text=False), [])


def parse_query(
    query: Query,
    params: Mapping[str, object] | None,
    dialect: Dialect,
    find_schema: Callable[[], str],
) -> Statement:
    """Parse SQL text, the name of a table, a model or a statement of SQLAlchemy.

    Parameters
    ----------
    query, params
        As in :func:`read_df`.
    dialect
        Dialect of the session.
    find_schema
        Returns the schema of the package's tables, which names of tables and models mean. In SQL
        text the search path decides.
    """
    if params is not None and not isinstance(params, Mapping):
        raise ArgumentError(
            "`params` must be a dict of names and values, for :name in the query; got "
            f"{type(params).__name__}."
        )
    if isinstance(query, str):
        _check_characters(query)
        if not re.fullmatch(r"\s*\w+\s*", query):
            return _parse(query, NAMED, params)
        query = model_of(query.strip()).__table__
    elif isinstance(query, type):
        query = model_of(query).__table__
    if isinstance(query, FromClause):
        query = select(query)
    if not isinstance(query, ClauseElement):
        raise ArgumentError(
            "`query` must be SQL text, the name of a table, a model or a select of SQLAlchemy; got "
            f"{type(query).__name__}."
        )
    return _compile(query, params or {}, _with_schema(dialect, find_schema()))


def _with_schema(dialect: Dialect, schema: str) -> Dialect:
    """Copy of a dialect that qualifies the package's tables with their schema."""

    def schema_of(table: Any) -> str | None:
        is_ours = getattr(table, "metadata", None) is Base.metadata
        return table.schema or (schema if is_ours and schema else None)

    copied = copy.copy(dialect)
    copied.identifier_preparer = copy.copy(dialect.identifier_preparer)
    copied.identifier_preparer.schema_for_object = schema_of  # type: ignore[assignment]  # may be None
    return copied


def _check_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError(
            "The query must not contain a lone surrogate, which is not a character."
        ) from None
    if "\0" in text:
        raise QueryError(
            "The query must not contain a NUL character, which PostgreSQL does not allow."
        )


def _compile(query: ClauseElement, params: Mapping[str, object], dialect: Dialect) -> Statement:
    compiled = query.compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler):
        raise QueryError("The statement must return rows; got DDL. Pass a select or SQL text.")
    unknown = set(params) - set(compiled.binds)
    if unknown:
        raise _unknown_parameters(sorted(unknown), compiled.binds)
    try:
        state = compiled.construct_expanded_state(dict(params))
    except InvalidRequestError:
        missing = [
            name for name, bind in compiled.binds.items() if bind.required and name not in params
        ]
        raise _missing_parameters(missing, params) from None
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
    """An open parenthesis or bracket, and what it means for parameters inside."""

    #: Whether it is a subscript such as ``a[1:n]``, where a colon and a name are part of a slice.
    subscript: bool = False
    #: If it is the list after IN, the comparison.
    comparison: _In | None = None
    #: Whether it has a comma, like the row ``(a, b)``, and whether a function's name precedes it.
    has_comma: bool = False
    function: bool = False


@dataclass(frozen=True, slots=True)
class _In:
    """A comparison with IN: its position, that of a NOT before it included."""

    start: int
    negated: bool
    row: bool


@dataclass(slots=True)
class _Parser:
    """Follows the tokens of a statement to find the context of each parameter."""

    brackets: list[_Bracket] = field(default_factory=list)
    #: The words so far, without names of parameters, which may be keywords of SQL.
    words: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    #: Whether the parentheses that were closed last contained a row.
    closed_row: bool = False

    def advance(self, word: str, start: int) -> None:
        """Read the next token: an uppercase word, a sign, ``"`` for a quoted name, or ""."""
        last = self._last
        if word == "(":
            self.brackets.append(
                _Bracket(comparison=self.comparison_before(), function=_is_function(last))
            )
        elif word == "[":
            nested = last in {"[", ","} and bool(self.brackets) and not self.brackets[-1].subscript
            self.brackets.append(_Bracket(subscript=last != "ARRAY" and not nested))
        elif word in {")", "]"} and self.brackets:
            bracket = self.brackets.pop()
            self.closed_row = word == ")" and bracket.has_comma and not bracket.function
        elif word == "," and self.brackets:
            self.brackets[-1].has_comma = True
        self.words.append(word)
        self.starts.append(start)

    @property
    def _last(self) -> str:
        return self.words[-1] if self.words else ""

    @property
    def in_subscript(self) -> bool:
        """Whether the next token is in a subscript of an array."""
        return bool(self.brackets) and self.brackets[-1].subscript

    def comparison_before(self) -> _In | None:
        """Comparison whose list comes next, if the last word is IN."""
        if self._last != "IN":
            return None
        negated = self.words[-2:-1] == ["NOT"]
        compared = self.words[-3:-2] if negated else self.words[-2:-1]
        start = self.starts[-2] if negated else self.starts[-1]
        return _In(start, negated, compared == [")"] and self.closed_row)

    def comparison_around(self) -> _In | None:
        """Comparison whose list has the next token as an item."""
        if self._last not in {"(", ","} or not self.brackets:
            return None
        return self.brackets[-1].comparison


def _is_function(word: str) -> bool:
    """Whether the word before a parenthesis is the name of a function."""
    return word == '"' or (word.isidentifier() and word not in _BEFORE_ROWS)


def _parse(text: str, grammar: re.Pattern[str], values: Mapping[str, object] | None) -> Statement:
    parser = _Parser()
    missing: list[str] = []
    pieces = list(_pieces(text, grammar, values, parser, missing))
    if not "".join(parser.words).strip(";"):
        raise QueryError("The query is empty.")
    if missing:
        raise _missing_parameters(list(dict.fromkeys(missing)), values)
    if grammar is NAMED and values is not None:
        used = {piece.name for piece in pieces if isinstance(piece, Parameter)}
        if unused := set(values) - used:
            raise _unknown_parameters(sorted(unused), used)
    if grammar is PYFORMAT:
        pieces = [piece.replace("%%", "%") if isinstance(piece, str) else piece for piece in pieces]
    command = next((word for word in parser.words if word != "("), "")
    return Statement(
        tuple(_join_items(pieces)),
        _is_read(command, parser.words),
        is_users_text=grammar is not PYFORMAT,
        command=command,
    )


def _pieces(
    text: str,
    grammar: re.Pattern[str],
    values: Mapping[str, object] | None,
    parser: _Parser,
    missing: list[str],
) -> Iterator[str | Parameter]:
    """Split one statement at its parameters; append those without a value to ``missing``."""
    begin, end = 0, len(text)
    for token in tokens(text, grammar):
        if token.kind in {"blank", "comment"}:
            continue
        content = text[token.start : token.stop]
        if content == ";":
            end = min(end, token.start)
        elif end < len(text):
            raise QueryError(
                "The query must be one statement; got several statements, separated by "
                "semicolons. Run them one by one."
            )
        if token.kind == "parameter":
            if values is not None and token.name in values:
                parameter, start, stop = _make_parameter(
                    token, values[token.name], parser, text, is_compiled=grammar is PYFORMAT
                )
                yield text[begin:start]
                yield parameter
                begin = stop
            elif not parser.in_subscript:
                missing.append(token.name)
        word = {"word": content.upper(), "name": '"', "other": content}.get(token.kind, "")
        parser.advance(word, token.start)
    yield text[begin : max(begin, end)]


def _make_parameter(
    token: Token, value: object, parser: _Parser, text: str, *, is_compiled: bool
) -> tuple[Parameter, int, int]:
    """Parameter for a value, and start and end of the text that it replaces."""
    items = _items(value)
    stop = token.stop
    comparison = parser.comparison_before()
    if comparison is not None:
        form: Form = "list"
        if items is None:
            raise ArgumentError(
                f"`params[{token.name!r}]` must be a list after IN; got {type(value).__name__}."
            )
    else:
        comparison = parser.comparison_around()
        following = _AFTER_ITEM.match(text, stop)
        if comparison is None or items is None or following is None:
            is_item = comparison is not None and following is not None
            return _make_single(
                token, value, parser, text, is_item=is_item, is_compiled=is_compiled
            )
        form = "items"
        if not items:
            if parser.words[-1] != "(" or following[1] != ")":
                raise ArgumentError(
                    f"`params[{token.name!r}]` must not be empty, since the list after IN has "
                    "other items too."
                )
            stop = following.end()
    if not items:
        form = "not in empty" if comparison.negated else "in empty"
        return Parameter(token.name, value, form, comparison.row), comparison.start, stop
    is_whole = form == "items" and parser.words[-1] == "(" and text[stop:].lstrip()[:1] == ")"
    return Parameter(token.name, value, form, is_whole=is_whole), token.start, stop


def _make_single(
    token: Token,
    value: object,
    parser: _Parser,
    text: str,
    *,
    is_item: bool,
    is_compiled: bool,
) -> tuple[Parameter, int, int]:
    """Parameter for a value that is no list after IN; otherwise as :func:`_make_parameter`."""
    start, stop = token.start, token.stop
    kind: Kind = "scalar"
    cast = ""
    words = ["", "", *parser.words[-2:]]
    is_position = words[-1] == "BY" and words[-2] in {"GROUP", "ORDER"}
    if is_position and type(value) is int and _AFTER_POSITION.match(text, stop):
        raise ArgumentError(
            f"`params[{token.name!r}]` must not be the position of a column after "
            f"{words[-2]} BY: a parameter is a value. Write the number into the query."
        )
    if words[-1] in {"LIMIT", "OFFSET"} or words[-2:] in (["FETCH", "FIRST"], ["FETCH", "NEXT"]):
        kind = "limit"
    elif words[-1] == "(" and words[-2] in {"ALL", "ANY", "SOME"}:
        if _items(value) is not None and (following := _AFTER_ARRAY.match(text, stop)):
            kind, cast = "any", following["cast"] or ""
            stop += len(cast)
    elif words[-1] in _TYPES_BEFORE_TEXT and isinstance(value, str):
        start, cast = parser.starts[-1], f"::{words[-1].lower()}"
    compared = bool(
        _COMPARISON_BEFORE.search(text[max(0, start - 20) : start])
        or _COMPARISON_AFTER.match(text, stop)
    )
    is_free = kind == "scalar" and not (is_item or compared)
    parameter = Parameter(
        token.name,
        value,
        kind=kind,
        is_item=is_item,
        compared=compared,
        is_constant=is_free and is_compiled and isinstance(to_python(value), (int, float, Decimal)),
        cast=cast,
    )
    return parameter, start, stop


def _is_item(pieces: Sequence[str | Parameter], index: int) -> bool:
    piece = pieces[index] if index < len(pieces) else ""
    return isinstance(piece, Parameter) and piece.is_item


def _join_items(pieces: Sequence[str | Parameter]) -> Iterator[str | Parameter]:
    """Join parameters that are together the whole list after IN, as in ``IN (:a, :b)``."""
    start = 0
    while start < len(pieces):
        stop = start
        while _is_item(pieces, stop) and _is_item(pieces, stop + 2) and pieces[stop + 1] == ", ":
            stop += 2
        first = pieces[start]
        if stop > start and isinstance(first, Parameter):
            around = [str(piece).strip() for piece in (pieces[start - 1], pieces[stop + 1])]
            if around[0].endswith("(") and around[1].startswith(")"):
                values = [
                    piece.value
                    for piece in pieces[start : stop + 1]
                    if isinstance(piece, Parameter)
                ]
                yield Parameter(first.name, values, "items", is_whole=True)
                start = stop + 1
                continue
        yield first
        start += 1


def _is_read(command: str, words: Sequence[str]) -> bool:
    """Whether COPY can run the statement: nothing in it writes, at the top or in a WITH."""
    if command in _TRANSACTION_COMMANDS:
        raise QueryError(
            f"The query must not be {command}, which controls the session's transaction. Call "
            "session.commit() or session.rollback()."
        )
    if command != "WITH":
        return command in _READ_COMMANDS
    depth = 0
    for before, word in pairwise(words):
        depth += (before == "(") - (before == ")")
        if word in _WRITE_COMMANDS and (depth == 0 or before == "("):
            return False
    return True


def _missing_parameters(names: Sequence[str], values: Mapping[str, object] | None) -> ArgumentError:
    parameters = ", ".join(f":{name}" for name in names)
    near = nearest_names(names[0], values or ())
    if near:
        hint = f" Did you mean {near[0]!r}?"
    else:
        example = ", ".join(f"{name!r}: …" for name in names)
        hint = f" Pass params={{{example}}}."
    return ArgumentError(f"`params` must have a value for {parameters} in the query.{hint}")


def _unknown_parameters(names: Sequence[str], parameters: Iterable[str]) -> ArgumentError:
    existing = ", ".join(sorted(f":{name}" for name in parameters if name.isidentifier()))
    return ArgumentError(
        f"`params` must only name parameters of the query ({existing or 'it has none'}); got "
        f"{', '.join(map(repr, names))}. A parameter is a colon and a name, outside quotes."
    )


def to_python(value: Any) -> object:
    """Convert a value to a type that psycopg2 supports; a datetime without a time zone is UTC.

    Examples
    --------
    >>> to_python(np.int16(3)), to_python(pd.NaT), to_python(datetime(2026, 1, 1))
    (3, None, datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datetime.timezone.utc))
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.datetime64):
        return to_python(pd.Timestamp(value))
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) or hasattr(value, "to_list"):  # a column of a DataFrame
        return [to_python(item) for item in value]
    if isinstance(value, (list, set, frozenset, range, KeysView, ValuesView)):
        return [to_python(item) for item in value]
    if isinstance(value, tuple):
        return tuple(to_python(item) for item in value)
    return value
