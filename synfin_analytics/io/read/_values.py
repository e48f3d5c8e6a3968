"""The values of a query as texts, and what stands for them in its SQL.

A value is never written into the statement: the server gets it apart, as a setting of the
transaction (:mod:`._send`), and the statement refers to that. Each value has the type that it would
have as a literal; where the context of a literal decides, the server is asked for the type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from synfin_analytics._core.sql import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: What a value stands for: a scalar; a scalar that is evaluated once anyway (LIMIT); an array; the
#: list after IN, or a column of one of rows; or the array in ``= ANY(…)``.
Kind = Literal["scalar", "limit", "array", "list", "column", "any"]

_NUMBER = re.compile(r"-?\d+(?P<fraction>\.\d*)?(?P<exponent>[eE][+-]?\d+)?")
_TEXT = re.compile(r"(?P<text>E?'(?:[^'\\]|''|\\\\)*')(?:::(?P<type>[a-z ]+))?", re.DOTALL)
_INTEGERS, _BIGINTS = 2**31, 2**63
#: Types of numbers: each converts to the following ones.
_NUMBERS = ("integer", "bigint", "numeric", "float")
#: Types in which a comparison with a number of this type has the same result.
_COMPARABLE = {
    "integer": {"numeric", "double precision"},
    "bigint": {"numeric", "double precision"},
    "numeric": {"double precision"},
}
#: Names that mean a length of 1 in a cast.
_WITHOUT_LENGTH = {"character": "bpchar", "bit": '"bit"'}


@dataclass(frozen=True, slots=True)
class Value:
    """A value as text.

    Attributes
    ----------
    text
        The text that the server converts; of an array, its elements in braces.
    type
        Type of a literal of this value, or of the elements; None if its context decides.
    kind
        What it stands for.
    compared
        Whether it is a number next to a comparison.
    cast
        A cast of the array that the user wrote.
    """

    text: str
    type: str | None
    kind: Kind = "scalar"
    compared: bool = False
    cast: str = ""

    @property
    def is_array(self) -> bool:
        """Whether the text is of an array."""
        return self.kind not in {"scalar", "limit"}

    def declared(self) -> str:
        """Type that PREPARE declares; ``unknown`` asks the server."""
        if self.type is None or self.compared:
            return "unknown"
        return f"{self.type}[]" if self.kind in {"array", "any"} else self.type

    def placeholder(self, number: int) -> str:
        """Return what stands for the value in PREPARE."""
        return f"${number}{self.cast}"

    def infer(self, inferred: str) -> str:
        """Type of the value, or of its elements, if the server infers this one."""
        if self.type is None:
            inferred = inferred.removesuffix("[]") if self.kind in {"array", "any"} else inferred
            return _WITHOUT_LENGTH.get(inferred, inferred)
        if self.compared and inferred in _COMPARABLE.get(self.type, ()):
            return inferred
        return self.type

    def reference(self, setting: str, type_name: str, *, function: str = "", once: bool) -> str:
        """Return what stands for the value in the query.

        Parameters
        ----------
        setting
            The setting with its text.
        type_name
            Type of the value, or of its elements.
        function
            The function with which the planner sees the value; "" if the database has none.
        once
            Whether, without the function, it is a subquery: it is evaluated once, but hides the
            value from the planner, who knows that of the setting alone, which is converted for each
            row. The cast outside makes it an expression where a subquery has another meaning.
        """
        if self.is_array:
            type_name += "[]"
        value = f"current_setting('{setting}')::{type_name}"
        match self.kind:
            case "limit":  # evaluated once, and the planner estimates it
                return f"({value})"
            case "column":
                return value
            case "list" | "any":
                return f"SELECT unnest(({value}){self.cast})"
            case _ if function:
                return f"({function}('{setting}', NULL::{type_name}){self.cast})"
            case "scalar" if not once:
                return f"(({value}){self.cast})"
            case _:
                return f"(((SELECT {value})::{type_name}){self.cast})"


@dataclass(frozen=True, slots=True)
class Rows:
    """The list after ``(a, b) IN``: one array for each column."""

    columns: tuple[Value, ...]

    def placeholder(self, texts: Iterable[str]) -> str:
        """Return what stands for the rows in PREPARE."""
        return f"({', '.join(texts)})"

    def reference(self, texts: Iterable[str]) -> str:
        """Return what stands for the rows in the query."""
        return f"SELECT * FROM unnest({', '.join(texts)})"  # noqa: S608 - no value is in it


#: A parameter in the query: SQL and values.
Part: TypeAlias = "str | Value | Rows"


def value_parts(
    value: object,
    quote: Callable[[object], str],
    *,
    kind: Kind = "scalar",
    compared: bool = False,
    cast: str = "",
) -> list[Part]:
    """Return what a value becomes that is no list after IN; ``cast`` follows it.

    Parameters
    ----------
    value
        The value; a tuple is a row.
    quote
        Returns the literal that psycopg2 writes.
    kind, compared, cast
        As in :class:`Value`.
    """
    if isinstance(value, tuple):
        return ["(", *item_parts(value, quote), ")", cast]
    if not isinstance(value, list):
        literal = quote(value).strip()
        parsed = parse_literal(literal, kind="limit" if kind == "limit" else "scalar")
        if parsed is None:
            return [*_parts_of(literal), cast]
        return [replace(parsed, compared=compared and parsed.type is not None), cast]
    if all(item is None for item in value):
        return [f"{quote(value).strip()}{cast}"]  # '{}' or '{NULL}', without a type
    array = to_array(value, quote, "any" if kind == "any" else "array", cast)
    if array is not None:
        return [array]
    return ["(ARRAY[", *item_parts(value, quote), "])", cast]


def list_parts(items: Sequence[object], quote: Callable[[object], str]) -> list[Part]:
    """Return what the items of a whole list after IN become."""
    array = to_array(items, quote, "list")
    if array is not None:
        return [array]
    widths = {len(item) if isinstance(item, tuple) else 0 for item in items}
    if len(widths) == 1 and 0 not in widths:
        columns = [to_array(column, quote, "column") for column in zip(*items, strict=True)]
        if None not in columns:
            return [Rows(tuple(column for column in columns if column is not None))]
    return item_parts(items, quote)


def item_parts(items: Sequence[object], quote: Callable[[object], str]) -> list[Part]:
    """Return what items become, one by one."""
    parts: list[Part] = []
    for index, item in enumerate(items):
        parts += [", "] * bool(index) + value_parts(item, quote)
    return parts


def to_array(
    items: Sequence[object], quote: Callable[[object], str], kind: Kind, cast: str = ""
) -> Value | None:
    """Return items as one array; None if they have no common type."""
    texts: list[str] = []
    types: set[str | None] = set()
    for item in items:
        if item is None:
            texts.append("NULL")
            continue
        if isinstance(item, (list, tuple)):
            return None
        if isinstance(item, bool):
            texts.append("true" if item else "false")
            types.add("boolean")
            continue
        value = parse_literal(quote(item).strip())
        if value is None:
            return None
        types.add(value.type)
        escaped = value.text.replace("\\", "\\\\").replace('"', '\\"')
        texts.append(f'"{escaped}"')
    known = types - {None}
    if known <= set(_NUMBERS):
        type_name = max(known, key=_NUMBERS.index) if known else None
    elif len(known) == 1:
        (type_name,) = known
    else:
        return None
    if type_name is None and kind not in {"list", "column"}:
        type_name = "text"  # as in ARRAY['a', 'b']
    return Value(f"{{{','.join(texts)}}}", type_name, kind, cast=cast)


def parse_literal(literal: str, *, kind: Kind = "scalar") -> Value | None:
    """Return the value of a literal as psycopg2 writes it; None if it is more than that.

    Examples
    --------
    >>> parse_literal("'it''s'"), parse_literal("'2026-02-01'::date").type
    (Value(text="it's", type=None, kind='scalar', compared=False, cast=''), 'date')
    """
    if number := _NUMBER.fullmatch(literal):
        if not literal.strip("-0."):
            literal = literal.removeprefix("-")  # as a literal, -0.0 is numeric, which has no -0
        whole = None if number["fraction"] or number["exponent"] else int(literal)
        type_name = "numeric"
        if whole is not None and -_BIGINTS <= whole < _BIGINTS:
            type_name = "integer" if -_INTEGERS <= whole < _INTEGERS else "bigint"
        return Value(literal, type_name, kind)
    if text := _TEXT.fullmatch(literal):
        return Value(_unquote(text["text"]), text["type"], kind)
    return None


def _unquote(literal: str) -> str:
    if literal.startswith("E"):
        literal = literal[1:].replace("\\\\", "\\")
    return literal[1:-1].replace("''", "'")


def _parts_of(literal: str) -> list[Part]:
    """Split SQL of another adapter of psycopg2, such as a range, at its literals."""
    parts: list[Part] = []
    for token in tokens(literal):
        text = literal[token.start : token.stop]
        value = parse_literal(text) if token.kind in {"text", "number"} else None
        parts.append(value or text)
    return [f"({literal})"] if all(isinstance(part, str) for part in parts) else parts


def render(
    parts: Sequence[Sequence[Part]], write: Callable[[Value], str], *, final: bool
) -> list[str]:
    """Return the SQL of each piece; ``write`` returns what stands for a value."""
    rendered = []
    for piece in parts:
        texts = []
        for part in piece:
            if isinstance(part, Rows):
                columns = [write(column) for column in part.columns]
                texts.append(part.reference(columns) if final else part.placeholder(columns))
            else:
                texts.append(part if isinstance(part, str) else write(part))
        rendered.append("".join(texts))
    return rendered


def values_of(parts: Sequence[Sequence[Part]]) -> list[Value]:
    """Values in the order in which :func:`render` writes them."""
    values: list[Value] = []
    for piece in parts:
        for part in piece:
            values += (
                part.columns
                if isinstance(part, Rows)
                else [part]
                if isinstance(part, Value)
                else []
            )
    return values


def name_settings(values: Iterable[Value], first: int) -> Mapping[str, str]:
    """Return the setting of each text; equal texts share one, so that expressions stay equal."""
    texts = dict.fromkeys(value.text for value in values)
    return {text: f"synfin.p{number}" for number, text in enumerate(texts, first)}
