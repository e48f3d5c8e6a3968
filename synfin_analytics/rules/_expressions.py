"""A typed tree as narwhals expressions with the same values in every engine.

Engines disagree about NULL: comparisons of NumPy columns with NaN are false, and true for ``!=``.
A condition is therefore compiled twice, where it is true and where it is false, both without NULL;
a value has a second expression for where it is NULL.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import narwhals as nw

from synfin_analytics._core.dataframes import to_utc
from synfin_analytics._core.dates import days_since_epoch
from synfin_analytics.rules._like import LikePattern
from synfin_analytics.rules._postgresql import NUMBER_PATTERNS
from synfin_analytics.rules._tree import COLUMN_RANGE, MICROSECONDS_PER_DAY, MOMENTS, NUDGE, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from synfin_analytics._core.dataframes import Frame

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
#: Operations, besides some divisions, that fail for some operands.
_FAILING = {"guard", "sqrt", "ln", "log10", "parse_number"}
_MICROSECONDS = {"hour": 3_600_000_000, "minute": 60_000_000, "second": 1_000_000}


class Expressions:
    """Compiles trees for the columns of one frame.

    Parameters
    ----------
    frame
        With the columns that the trees use; only its schema and engine are read.
    """

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._schema = frame.collect_schema()
        self._polars = frame.implementation.is_polars()
        self._lazy_sql = frame.implementation.is_duckdb() or frame.implementation.is_spark_like()
        self._cache: dict[tuple[str, int], nw.Expr] = {}
        self._nodes: list[Node] = []  # keeps the ids in the cache valid

    # -- Conditions --------------------------------------------------------------------------------

    def true(self, node: Node) -> nw.Expr:
        """Return where a condition is true; never NULL."""
        return self._memo("true", node, self._outcome, wanted=True)

    def false(self, node: Node) -> nw.Expr:
        """Return where a condition is false; never NULL."""
        return self._memo("false", node, self._outcome, wanted=False)

    def _memo(
        self, name: str, node: Node, compute: Callable[..., nw.Expr], **options: bool
    ) -> nw.Expr:
        key = name, id(node)
        if key not in self._cache:
            self._nodes.append(node)
            self._cache[key] = compute(node, **options)
        return self._cache[key]

    def _outcome(self, node: Node, *, wanted: bool) -> nw.Expr:
        """Return where a condition is true, or where it is false."""
        method: Callable[..., nw.Expr] | None = getattr(self, f"_condition_{node.op}", None)
        if method is not None:
            return method(node, wanted=wanted)
        test = self._test(node)
        return self._known(test if wanted else ~test, node.args[0])

    def _either(self, node: Node, *, wanted: bool) -> nw.Expr:
        return self.true(node) if wanted else self.false(node)

    def _condition_lit(self, node: Node, *, wanted: bool) -> nw.Expr:
        return nw.lit(node.value is wanted)

    def _condition_and(self, node: Node, *, wanted: bool) -> nw.Expr:
        join = operator.and_ if wanted else operator.or_
        return _joined(join, (self._either(arg, wanted=wanted) for arg in node.args))

    def _condition_or(self, node: Node, *, wanted: bool) -> nw.Expr:
        join = operator.or_ if wanted else operator.and_
        return _joined(join, (self._either(arg, wanted=wanted) for arg in node.args))

    def _condition_not(self, node: Node, *, wanted: bool) -> nw.Expr:
        return self._either(node.args[0], wanted=not wanted)

    def _condition_is(self, node: Node, *, wanted: bool) -> nw.Expr:
        methods = {"true": self.true, "false": self.false, "null": self.null}
        result = methods[str(node.value)](node.args[0])
        return result if wanted else ~result

    def _condition_column(self, node: Node, *, wanted: bool) -> nw.Expr:
        if node.source == "null":
            return nw.lit(value=False)
        column = nw.col(str(node.value))
        return (column if wanted else ~column) & ~column.is_null()

    def _condition_flag(self, node: Node, *, wanted: bool) -> nw.Expr:
        return self._known(self.value(node.args[0]) == float(wanted), node.args[0])

    def _condition_compare(self, node: Node, *, wanted: bool) -> nw.Expr:
        left, right = node.args
        op = str(node.value) if wanted else _OPPOSITE[str(node.value)]
        if left.kind == "bool":
            same = op == "="
            return (self.true(left) & self._either(right, wanted=same)) | (
                self.false(left) & self._either(right, wanted=not same)
            )
        if all(arg.kind == "int" and arg.op in {"column", "lit"} for arg in node.args):
            values = [
                nw.lit(arg.value) if arg.is_literal else nw.col(str(arg.value)) for arg in node.args
            ]
        else:
            values = [self.value(arg) for arg in node.args]
        return self._known(_COMPARE[op](*values), left, right)

    def _condition_case(self, node: Node, *, wanted: bool) -> nw.Expr:
        return self._by_branch(node, lambda arg: self._either(arg, wanted=wanted))

    def _condition_coalesce(self, node: Node, *, wanted: bool) -> nw.Expr:
        result = self._either(node.args[-1], wanted=wanted)
        for arg in reversed(node.args[:-1]):
            result = self._either(arg, wanted=wanted) | (self.null(arg) & result)
        return result

    def _by_branch(self, node: Node, compute: Callable[[Node], nw.Expr]) -> nw.Expr:
        """Return a condition on the branch of CASE that applies to each row."""
        result = compute(node.args[-1])
        for index in range(len(node.args) - 3, -1, -2):
            condition = self.true(node.args[index])
            result = (condition & compute(node.args[index + 1])) | (~condition & result)
        return result

    def _known(self, test: nw.Expr, *args: Node) -> nw.Expr:
        """Return where a test is true and none of its operands is NULL."""
        for arg in args:
            if not arg.is_literal or arg.value is None:
                test = test & ~self.null(arg)
        return test

    def _test(self, node: Node) -> nw.Expr:
        if node.op == "in":
            return self._in(node)
        value = self.value(node.args[0])
        if node.op == "in_range":
            low, high = COLUMN_RANGE
            size = value.abs()
            return (value == 0) | ((size >= 10.0**low) & (size <= 10.0**high))
        if node.op == "is_number":
            return value.str.contains(NUMBER_PATTERNS[str(node.value)]) & ~value.str.contains(
                "\n", literal=True
            )
        if node.op == "like":
            return LikePattern.parse(str(node.value)).matches(value)
        raise NotImplementedError(node.op)

    def _in(self, node: Node) -> nw.Expr:
        tested, options = node.args[0], [option.value for option in node.args[1:]]
        if tested.op == "column" and all(arg.kind == "int" for arg in node.args):
            return nw.col(str(tested.value)).is_in(options)
        if tested.kind != "text":
            options = [float(option or 0) for option in options]
        return self.value(tested).is_in(options)

    # -- Values ------------------------------------------------------------------------------------

    def null(self, node: Node) -> nw.Expr:
        """Return where a value is NULL, also because its operation fails; never NULL itself."""
        return self._memo("null", node, self._null)

    def value(self, node: Node) -> nw.Expr:
        """Return a value; where :meth:`null` is true, it may be anything."""
        return self._memo("value", node, self._value)

    def _null(self, node: Node) -> nw.Expr:
        args = node.args
        if node.op == "lit" or node.op == "is":
            return nw.lit(node.op == "lit" and node.value is None)
        if node.op == "column":
            as_stored = nw.col(str(node.value))
            return (self.value(node) if node.kind == "float" else as_stored).is_null()
        if node.kind == "bool":
            return ~self.true(node) & ~self.false(node)
        if node.op == "case":
            return self._by_branch(node, self.null)
        if node.op in {"coalesce", "greatest", "least"}:
            return _joined(operator.and_, map(self.null, args))
        nulls = [self.null(arg) for arg in args if not arg.is_literal or arg.value is None]
        failed = self._failed(node)
        nulls += [] if failed is None else [failed]
        return _joined(operator.or_, nulls) if nulls else nw.lit(value=False)

    def _failed(self, node: Node) -> nw.Expr | None:
        """Return where an operation fails, of operands that are not NULL; never NULL."""
        divides = node.op == "div" and not (node.args[1].is_literal and node.args[1].value)
        if not divides and node.op not in _FAILING:
            return None
        operand = node.args[-1]
        if node.op == "guard":
            fails = ~self._test(Node("in_range", "bool", node.args))
        elif node.op == "parse_number":
            fails = ~self._test(Node("is_number", "bool", node.args, node.value))
        else:
            compare = {"div": operator.eq, "sqrt": operator.lt}.get(node.op, operator.le)
            fails = compare(self.value(operand), 0)
        return fails.fill_null(value=False)

    def _value(self, node: Node) -> nw.Expr:
        method: Callable[[Node], nw.Expr] | None = getattr(self, f"_value_{node.op}", None)
        if method is not None:
            return method(node)
        values = list(map(self.value, node.args))
        return _FUNCTIONS[node.op](*values)

    def _value_case(self, node: Node) -> nw.Expr:
        result = self.value(node.args[-1])
        for index in range(len(node.args) - 3, -1, -2):
            value = self.value(node.args[index + 1])
            result = nw.when(self.true(node.args[index])).then(value).otherwise(result)
        return result

    def _value_coalesce(self, node: Node) -> nw.Expr:
        result = self.value(node.args[-1])
        for arg in reversed(node.args[:-1]):
            result = nw.when(self.null(arg)).then(result).otherwise(self.value(arg))
        return result

    def _value_greatest(self, node: Node) -> nw.Expr:
        return self._extreme(node)

    def _value_least(self, node: Node) -> nw.Expr:
        return self._extreme(node)

    def _extreme(self, node: Node) -> nw.Expr:
        """Return the greatest or least value; NULL counts only if all values are."""
        compare = operator.gt if node.op == "greatest" else operator.lt
        result, null = self.value(node.args[0]), self.null(node.args[0])
        for arg in node.args[1:]:
            value, value_null = self.value(arg), self.null(arg)
            better = (compare(value, result) & ~null & ~value_null) | (null & ~value_null)
            result = nw.when(better).then(value).otherwise(result)
            null = null & value_null
        return result

    def _safe(self, node: Node) -> nw.Expr:
        """Return the last operand, with a harmless value where the operation would fail."""
        value, failed = self.value(node.args[-1]), self._failed(node)
        if failed is None:
            return value
        harmless = "0" if node.op == "parse_number" else 1.0
        return nw.when(failed).then(nw.lit(harmless)).otherwise(value)

    def _value_div(self, node: Node) -> nw.Expr:
        dividend, divisor = self.value(node.args[0]), node.args[1]
        if divisor.is_literal and divisor.value:
            return self._divide(dividend, float(divisor.value))
        return dividend / self._safe(node)

    def _value_guard(self, node: Node) -> nw.Expr:
        return self._safe(node)

    def _value_sqrt(self, node: Node) -> nw.Expr:
        return self._safe(node).sqrt()

    def _value_ln(self, node: Node) -> nw.Expr:
        return self._safe(node).log()

    def _value_log10(self, node: Node) -> nw.Expr:
        return self._safe(node).log(10)

    def _value_parse_number(self, node: Node) -> nw.Expr:
        return self._safe(node).cast(nw.Float64)

    def _value_round(self, node: Node) -> nw.Expr:
        return self._rounded(self.value(node.args[0]), int(node.value or 0))

    def _value_substring(self, node: Node) -> nw.Expr:
        start, length = str(node.value).split()
        text = self.value(node.args[0]).str
        return text.slice(int(start) - 1, None if length == "-" else int(length))

    def _value_lit(self, node: Node) -> nw.Expr:
        if node.value is None:
            return nw.lit(None, nw.String if node.kind == "text" else nw.Float64)
        return nw.lit(str(node.value) if node.kind == "text" else float(node.value))

    def _value_column(self, node: Node) -> nw.Expr:
        name = str(node.value)
        column, dtype = nw.col(name), self._schema[name]
        if node.kind == "text":
            return column if dtype == nw.String else column.cast(nw.String)
        if node.kind in MOMENTS:
            return self._microseconds(name)
        number = column.cast(nw.Float64)
        return number if node.kind == "int" else number.fill_nan(None)

    # -- Time --------------------------------------------------------------------------------------

    def _microseconds(self, name: str) -> nw.Expr:
        if self._schema[name] == nw.Unknown:
            return nw.col(name).cast(nw.Float64)
        moment = to_utc(self._frame, name)
        if not self._lazy_sql:
            return moment.dt.timestamp("us").cast(nw.Float64)
        parts = moment.dt
        days = days_since_epoch(
            *(part().cast(nw.Float64) for part in (parts.year, parts.month, parts.day))
        )
        seconds = parts.hour().cast(nw.Float64) * 3600 + parts.minute().cast(nw.Float64) * 60
        seconds = seconds + parts.second().cast(nw.Float64)
        microseconds = parts.microsecond().cast(nw.Float64)
        return days * float(MICROSECONDS_PER_DAY) + seconds * 1e6 + microseconds

    def _value_extract(self, node: Node) -> nw.Expr:
        moment, part = node.args[0], str(node.value)
        microseconds = self.value(moment)
        if part == "epoch":
            return self._divide(microseconds, 1e6)
        if part == "second":
            return self._divide(self._modulo(microseconds, 60e6), 1e6)
        if part in _MICROSECONDS:
            units = self._whole(microseconds, _MICROSECONDS[part])
            return self._modulo(units, 24 if part == "hour" else 60)
        days = self._whole(microseconds, MICROSECONDS_PER_DAY)
        if part == "dow":
            return self._modulo(days + 4, 7)
        if part == "isodow":
            return self._modulo(days + 3, 7) + 1
        year, month, day = self._calendar(moment)
        if part == "doy":
            first = month * 0 + 1
            return days - days_since_epoch(year, first, first) + 1
        if part == "quarter":
            return self._whole(month + 2, 3)
        return {"year": year, "month": month, "day": day}[part]

    def _value_truncate(self, node: Node) -> nw.Expr:
        microseconds, unit = self.value(node.args[0]), str(node.value)
        if unit in _MICROSECONDS:
            return self._whole(microseconds, _MICROSECONDS[unit]) * float(_MICROSECONDS[unit])
        days = self._whole(microseconds, MICROSECONDS_PER_DAY)
        if unit == "week":
            days = days - self._modulo(days + 3, 7)
        elif unit != "day":
            year, month, _ = self._calendar(node.args[0])
            first = month * 0 + 1
            if unit == "year":
                month = first
            elif unit == "quarter":
                month = self._whole(month - 1, 3) * 3 + 1
            days = days_since_epoch(year, month, first)
        return days * float(MICROSECONDS_PER_DAY)

    def _calendar(self, node: Node) -> tuple[nw.Expr, nw.Expr, nw.Expr]:
        """Return year, month and day of a moment.

        Where it is computed: the calendar repeats every 146,097 days, and years begin in March, so
        that the leap day is the last (Hinnant, "chrono-compatible low-level date algorithms").
        """
        if node.op == "column" and node.source != "null":
            parts = to_utc(self._frame, str(node.value)).dt
            year, month, day = (
                part.cast(nw.Float64) for part in (parts.year(), parts.month(), parts.day())
            )
            return year, month, day
        whole = self._whole
        days = whole(self.value(node), MICROSECONDS_PER_DAY) + 719_468
        era = whole(days, 146_097)
        day = days - era * 146_097
        year = whole(day - whole(day, 1_460) + whole(day, 36_524) - whole(day, 146_096), 365)
        day = day - (year * 365 + whole(year, 4) - whole(year, 100))
        month = whole(day * 5 + 2, 153)
        day = day - whole(month * 153 + 2, 5) + 1
        next_year = whole(month, 10)  # January and February
        return year + era * 400 + next_year, month + 3 - next_year * 12, day

    # -- Arithmetic that is the same everywhere ----------------------------------------------------

    def _whole(self, value: nw.Expr, divisor: float) -> nw.Expr:
        return self._divide(value, divisor).floor()

    def _modulo(self, value: nw.Expr, divisor: float) -> nw.Expr:
        return value - self._whole(value, divisor) * float(divisor)

    def _divide(self, value: nw.Expr, divisor: float) -> nw.Expr:
        """Divide by a constant; polars would multiply by its reciprocal, which is not the same."""
        if not self._polars:
            return value / float(divisor)
        zeros = nw.col(self._schema.names()[0]).is_null().cast(nw.Float64) * 0.0
        return value / (zeros + float(divisor))

    def _rounded(self, value: nw.Expr, decimals: int) -> nw.Expr:
        """Round half away from zero, as PostgreSQL does with NUMERIC."""
        factor, size = 10.0 ** abs(decimals), value.abs()
        size = size * factor if decimals >= 0 else self._divide(size, factor)
        size = (size * NUDGE + 0.5).floor()
        size = self._divide(size, factor) if decimals >= 0 else size * factor
        return nw.when(value < 0).then(-size).otherwise(size)


def _trunc(value: nw.Expr) -> nw.Expr:
    return nw.when(value < 0).then(-((-value).floor())).otherwise(value.floor())


def _joined(join: Callable[[Any, Any], Any], expressions: Iterable[nw.Expr]) -> nw.Expr:
    """Join expressions in pairs, so that a hundred of them are seven deep."""
    parts = list(expressions)
    while len(parts) > 1:
        pairs = [parts[index : index + 2] for index in range(0, len(parts), 2)]
        parts = [pair[0] if len(pair) == 1 else join(*pair) for pair in pairs]
    return parts[0]


#: Operations on values that need nothing else.
_FUNCTIONS: dict[str, Callable[..., nw.Expr]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "floor": lambda value: value.floor(),
    "trunc": _trunc,
    "abs": lambda value: value.abs(),
    "lower": lambda value: value.str.to_lowercase(),
    "upper": lambda value: value.str.to_uppercase(),
    "length": lambda value: value.str.len_chars().cast(nw.Float64),
    "trim": lambda value: value.str.strip_chars(" "),
    "concat": nw.concat_str,
}
