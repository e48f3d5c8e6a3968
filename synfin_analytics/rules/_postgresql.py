"""A typed tree as PostgreSQL's text, which no row can make fail."""

from __future__ import annotations

import datetime as dt
import string
from typing import TYPE_CHECKING

from synfin_analytics.rules._like import LikePattern
from synfin_analytics.rules._tree import COLUMN_RANGE, MICROSECONDS_PER_DAY, MOMENTS, NUDGE, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

#: Functions by operation that take values and cannot fail.
_FUNCTIONS = {
    "floor": "floor",
    "trunc": "trunc",
    "abs": "abs",
    "lower": "lower",
    "upper": "upper",
    "trim": "btrim",
    "greatest": "greatest",
    "least": "least",
    "coalesce": "COALESCE",
}
_MOMENT_TYPES = {"aware": "timestamptz", "naive": "timestamp", "date": "date"}
#: What a text must look like to be read as a number, in every engine's regular expressions.
NUMBER_PATTERNS = {
    "int": r"^[+-]?[0-9]{1,15}$",
    "float": r"^[+-]?([0-9]{1,30}([.][0-9]{0,30})?|[.][0-9]{1,30})$",
}


#: Operations on a column that take long, and that rules have in common.
_SHARED = {"extract", "truncate"}
#: Characters of constants that need no escape in any layer.
_PLAIN = frozenset(string.ascii_letters + string.digits + " .,-+_/()<>=*")


class PostgreSQL:
    """Writes trees for the columns of one table.

    Parameters
    ----------
    columns
        SQL text of each column; a column that is not in it is its quoted name.
    without_nan
        Columns that are known to hold no NaN.
    shared
        If given, parts of moments such as the hour of a column are written as names, and the names
        are added here with the texts to compute before.
    """

    def __init__(
        self,
        columns: Mapping[str, str],
        without_nan: Collection[str] = (),
        shared: dict[str, str] | None = None,
    ) -> None:
        self._columns = columns
        self._without_nan = without_nan
        self._shared = shared

    def condition(self, node: Node) -> str:
        """Return a boolean expression in parentheses: true, false or NULL."""
        return self.value(node)

    def value(self, node: Node) -> str:
        """Return an expression in parentheses: a double, a text or a boolean."""
        method: Callable[[Node], str] | None = getattr(self, f"_{node.op}", None)
        text = self._call(node) if method is None else method(node)
        if self._shared is None or node.op not in _SHARED or node.args[0].op != "column":
            return text
        return self._shared.setdefault(text, f"__part_{len(self._shared)}")

    # -- Conditions --------------------------------------------------------------------------------

    def _and(self, node: Node) -> str:
        return f"({' AND '.join(map(self.value, node.args))})"

    def _or(self, node: Node) -> str:
        return f"({' OR '.join(map(self.value, node.args))})"

    def _not(self, node: Node) -> str:
        return f"(NOT {self.value(node.args[0])})"

    def _is(self, node: Node) -> str:
        operand = node.args[0]
        as_stored = operand.op == "column" and operand.kind != "float"
        text = self._stored(operand) if as_stored else self.value(operand)
        return f"({text} IS {str(node.value).upper()})"

    def _compare(self, node: Node) -> str:
        left, right = self._operands(node.args)
        return f"({left} {node.value} {right})"

    def _in(self, node: Node) -> str:
        tested, *options = self._operands(node.args)
        return f"({tested} IN ({', '.join(options)}))"

    def _in_range(self, node: Node) -> str:
        number, (low, high) = self.value(node.args[0]), COLUMN_RANGE
        return f"({number} = 0 OR abs({number}) BETWEEN 1e{low} AND 1e{high})"

    def _is_number(self, node: Node) -> str:
        return f"({self.value(node.args[0])} ~ {quote(NUMBER_PATTERNS[str(node.value)])})"

    def _like(self, node: Node) -> str:
        pattern = LikePattern.parse(str(node.value)).text
        return f"({self._collated(node.args[0])} LIKE {quote(pattern)})"

    def _operands(self, args: tuple[Node, ...]) -> list[str]:
        """Return what is compared, in the columns' own types where that gives the same."""
        kinds = {arg.kind for arg in args}
        if kinds == {"text"}:
            return list(map(self._collated, args))
        sources = {arg.source for arg in args if arg.op == "column"}
        if len(sources) == 1 and all(arg.op == "column" or arg.is_literal for arg in args):
            literal = self._literal_of(sources.pop(), args)
            if literal is not None:
                return [literal(arg) if arg.is_literal else self._native(arg) for arg in args]
        return list(map(self.value, args))

    def _literal_of(self, source: str, args: tuple[Node, ...]) -> Callable[[Node], str] | None:
        """Return how to write literals that are compared with columns as they are stored."""
        literals = [arg for arg in args if arg.is_literal]
        if source == "int" and all(arg.kind == "int" for arg in literals):
            return lambda arg: str(arg.value)
        if source == "decimal":
            return decimal_text
        if source == "date" and any(int(arg.value or 0) % MICROSECONDS_PER_DAY for arg in literals):
            return None
        sql_type = _MOMENT_TYPES.get(source)
        return None if sql_type is None else lambda arg: moment_text(arg, sql_type)

    # -- Values ------------------------------------------------------------------------------------

    def _infix(self, node: Node, sign: str) -> str:
        return f"({self.value(node.args[0])} {sign} {self.value(node.args[1])})"

    def _add(self, node: Node) -> str:
        return self._infix(node, "+")

    def _sub(self, node: Node) -> str:
        return self._infix(node, "-")

    def _mul(self, node: Node) -> str:
        return self._infix(node, "*")

    def _div(self, node: Node) -> str:
        divisor = self.value(node.args[1])
        if not (node.args[1].is_literal and node.args[1].value):
            divisor = f"NULLIF({divisor}, 0)"
        return f"({self.value(node.args[0])} / {divisor})"

    def _call(self, node: Node) -> str:
        """Return the call of a function that has the same name and cannot fail."""
        ordered = node.kind == "text" and node.op in {"greatest", "least"}
        write = self._collated if ordered else self.value
        return f"{_FUNCTIONS[node.op]}({', '.join(map(write, node.args))})"

    def _length(self, node: Node) -> str:
        return f"CAST(length({self.value(node.args[0])}) AS double precision)"

    def _guard(self, node: Node) -> str:
        return f"(CASE WHEN {self._in_range(node)} THEN {self.value(node.args[0])} END)"

    def _sqrt(self, node: Node) -> str:
        number = self.value(node.args[0])
        return f"(CASE WHEN {number} >= 0 THEN sqrt({number}) END)"

    def _ln(self, node: Node) -> str:
        number = self.value(node.args[0])
        return f"(CASE WHEN {number} > 0 THEN ln({number}) END)"

    def _log10(self, node: Node) -> str:
        number = self.value(node.args[0])
        return f"(CASE WHEN {number} > 0 THEN log({number}) END)"

    def _round(self, node: Node) -> str:
        number, decimals = self.value(node.args[0]), int(node.value or 0)
        factor = double(10.0 ** abs(decimals))
        scale, unscale = ("*", "/") if decimals >= 0 else ("/", "*")
        size = f"floor(abs({number}) {scale} {factor} * {double(NUDGE)} + 0.5)"
        return f"(sign({number}) * {size} {unscale} {factor})"

    def _case(self, node: Node) -> str:
        *parts, default = map(self.value, node.args)
        branches = zip(parts[::2], parts[1::2], strict=True)
        text = " ".join(f"WHEN {condition} THEN {value}" for condition, value in branches)
        return f"(CASE {text} ELSE {default} END)"

    def _substring(self, node: Node) -> str:
        start, length = str(node.value).split()
        count = "" if length == "-" else f", {length}"
        return f"substr({self.value(node.args[0])}, {start}{count})"

    def _concat(self, node: Node) -> str:
        return f"({' || '.join(map(self.value, node.args))})"

    def _parse_number(self, node: Node) -> str:
        number = f"CAST({self.value(node.args[0])} AS double precision)"
        return f"(CASE WHEN {self._is_number(node)} THEN {number} END)"

    def _extract(self, node: Node) -> str:
        return f"date_part({quote(str(node.value))}, {self._moment(node.args[0])})"

    def _truncate(self, node: Node) -> str:
        unit = quote(str(node.value))
        return _microseconds(f"date_trunc({unit}, {self._moment(node.args[0])})")

    def _collated(self, node: Node) -> str:
        """Return a text that is ordered by code points."""
        return f'({self.value(node)} COLLATE "C")'

    def _lit(self, node: Node) -> str:
        sql_type = {"text": "text", "bool": "boolean"}.get(node.kind, "double precision")
        if node.value is None:
            return f"CAST(NULL AS {sql_type})"
        if node.kind == "bool":
            return "TRUE" if node.value else "FALSE"
        if node.kind == "text":
            return f"CAST({quote(str(node.value))} AS text)"
        return double(float(node.value))

    def _column(self, node: Node) -> str:
        column = self._stored(node)
        if node.kind == "bool":
            return column
        if node.kind in MOMENTS:
            return _microseconds(column)
        if node.kind == "text":
            return f"CAST({column} AS text)"
        number = f"CAST({column} AS double precision)"
        exact = node.source == "int" or node.value in self._without_nan
        return number if exact else f"NULLIF({number}, 'NaN')"

    def _stored(self, node: Node) -> str:
        """Return a column with its own type."""
        name = str(node.value)
        return self._columns.get(name) or quote_name(name)

    def _native(self, node: Node) -> str:
        """Return a column with its own type, with NaN as NULL."""
        column = self._stored(node)
        exact = node.source != "decimal" or node.value in self._without_nan
        return column if exact else f"NULLIF({column}, 'NaN')"

    def _moment(self, node: Node) -> str:
        """Return a timestamp without a time zone, in UTC."""
        if node.op == "column":
            column = self._stored(node)
            if node.source == "aware":
                return f"({column} AT TIME ZONE 'UTC')"
            return f"CAST({column} AS timestamp)"
        seconds = f"({self.value(node)} / 1000000)"
        return f"(to_timestamp({seconds}) AT TIME ZONE 'UTC')"


def double(value: float) -> str:
    """Return a number as a constant of double precision."""
    return f"CAST('{value!r}' AS double precision)"


def _microseconds(moment: str) -> str:
    return f"round(date_part('epoch', {moment}) * 1000000)"


def decimal_text(node: Node) -> str:
    """Return a literal number as a NUMERIC."""
    return f"CAST({quote(repr(node.value))} AS numeric)"


def moment_text(node: Node, sql_type: str) -> str:
    """Return a literal moment as a constant of a type."""
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(
        microseconds=int(node.value or 0)
    )
    if sql_type == "date":
        return f"CAST({quote(str(moment.date()))} AS date)"
    if sql_type == "timestamp":
        moment = moment.replace(tzinfo=None)
    return f"CAST({quote(str(moment))} AS {sql_type})"


def quote(text: str) -> str:
    r"""Return a text as a constant that means the same with every setting of the server.

    Characters other than ASCII letters, digits, spaces and a few others are escaped, so that no
    layer between takes a colon or a percent sign for a parameter.

    Examples
    --------
    >>> quote("50%"), quote("day")
    ("E'50\\u0025'", "'day'")
    """
    escaped = "".join(
        character
        if character in _PLAIN
        else f"\\u{ord(character):04x}"
        if ord(character) < 0x10000
        else f"\\U{ord(character):08x}"
        for character in text
    )
    if escaped == text:
        return f"'{text}'"
    return f"E'{escaped}'"


def quote_name(name: str) -> str:
    """Return a quoted name of a column."""
    return '"' + name.replace('"', '""') + '"'
