"""From sqlglot's tree of a condition to the typed tree: what is allowed, and what it means."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal

from sqlglot import exp

from synfin_analytics.exceptions import nearest_names
from synfin_analytics.rules._like import LikePattern
from synfin_analytics.rules._moments import parse_interval, parse_moment
from synfin_analytics.rules._numbers import MAX_DECIMALS, Numbers
from synfin_analytics.rules._parsing import refusal
from synfin_analytics.rules._tree import (
    MICROSECONDS_PER_DAY,
    MOMENTS,
    NUMBERS,
    Kind,
    Node,
    Refusal,
    comparison,
    conjunction,
    negation,
    number,
    test,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Unknown size of a number.
_ANY_SIZE = (-400, 400)
_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_KIND_NAMES: dict[Kind, str] = {
    "int": "a whole number", "float": "a number", "bool": "a boolean", "text": "a text",
    "time": "a timestamp", "date": "a date", "interval": "an interval", "null": "NULL",
    "other": "of a type that conditions do not support",
}  # fmt: skip
_FIELDS = (
    "second", "minute", "hour", "day", "dow", "isodow", "doy", "month", "quarter", "year", "epoch",
)  # fmt: skip
_UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
_MAX_INT = 2**63 - 1


class Lowering:
    """Lowers the tree of one condition.

    Parameters
    ----------
    columns
        Kind and source of each column.
    flags
        Whether a double in place of a boolean is one: 1, 0 or NULL, as pandas stores it.
    """

    def __init__(self, columns: Mapping[str, tuple[Kind, str]], *, flags: bool = False) -> None:
        self._flags = flags
        self._columns = columns
        self.used: dict[str, Node] = {}
        self._numbers = Numbers()

    # -- Conditions --------------------------------------------------------------------------------

    def condition(self, tree: exp.Expr) -> Node:
        """Lower an expression that must be a condition."""
        node = self.lower(tree)
        if node.kind == "null":
            return Node(node.op, "bool", node.args, node.value, source="null")
        if node.kind == "float" and self._flags and not node.is_literal:
            return Node("flag", "bool", (node,))
        if node.kind != "bool":
            raise Refusal(
                f"the condition must be true or false; {_describe(node)} is "
                f"{_KIND_NAMES[node.kind]}, so compare it"
            )
        return node

    def lower(self, tree: exp.Expr) -> Node:
        """Lower an expression of any type."""
        if type(tree) in _COMPARISONS:
            return self._comparison(_COMPARISONS[type(tree)], tree.this, tree.expression)
        method = _METHODS.get(type(tree))
        if method is None:
            raise refusal(tree)
        return method(self, tree)

    def _paren(self, tree: exp.Paren) -> Node:
        return self.lower(tree.this)

    def _column(self, tree: exp.Column) -> Node:
        if tree.args.get("table") is not None:
            raise Refusal(f"write the column without its table: {tree.name!r}")
        if not isinstance(tree.this, exp.Identifier):
            raise refusal(tree.this)
        written = tree.this.name
        name = self.column_name(written, quoted=bool(tree.this.args.get("quoted")))
        if name not in self.used:
            kind, source = self._columns[name]
            size = (0, 19)
            if kind == "float":
                size = (-38, 38) if source == "decimal" else _ANY_SIZE
            self.used[name] = Node("column", kind, (), name, *size, source)
        return self.used[name]

    def column_name(self, written: str, *, quoted: bool) -> str:
        """Return the column that is meant: without quotes, the case of letters is ignored."""
        if written in self._columns:
            return written
        if not quoted:
            same = [name for name in self._columns if name.casefold() == written.casefold()]
            if len(same) == 1:
                return same[0]
        near = nearest_names(written, self._columns)
        hint = (
            f"did you mean {' or '.join(map(repr, near))}?"
            if near
            else f"available: {', '.join(sorted(self._columns))}"
        )
        raise Refusal(f"there is no column {written!r} ({hint})")

    def _boolean(self, tree: exp.Boolean) -> Node:
        return Node("lit", "bool", value=bool(tree.this))

    def _null(self, _: exp.Null) -> Node:
        return Node("lit", "null")

    def _and(self, tree: exp.And | exp.Or) -> Node:
        op: Literal["and", "or"] = "and" if isinstance(tree, exp.And) else "or"
        return conjunction(op, [self.condition(tree.this), self.condition(tree.expression)])

    def _not(self, tree: exp.Not) -> Node:
        return negation(self.condition(tree.this))

    def _is(self, tree: exp.Is) -> Node:
        node = self._operand(tree.this)
        negate = bool(tree.args.get("negate"))
        if isinstance(tree.expression, exp.Null):
            result = test(node, "null")
        elif isinstance(tree.expression, exp.Boolean):
            result = test(self.condition(tree.this), "true" if tree.expression.this else "false")
        else:
            raise Refusal("IS is followed by NULL, TRUE, FALSE or DISTINCT FROM")
        return negation(result) if negate else result

    def _comparison(self, op: str, left: exp.Expr, right: exp.Expr) -> Node:
        for side in (left, right):
            if isinstance(side, exp.Null):
                remedy = "IS NULL" if op == "=" else "IS NOT NULL" if op == "<>" else "a value"
                raise Refusal(f"a comparison with NULL is never true; write {remedy}")
        return self._compare(op, self._operand(left), self._operand(right))

    def _operand(self, tree: exp.Expr) -> Node:
        """Lower what is compared; a comparison there needs parentheses, as in PostgreSQL."""
        if isinstance(
            tree, (*_COMPARISONS, exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Escape,
                   exp.Not, exp.And, exp.Or, exp.NullSafeEQ, exp.NullSafeNEQ)
        ):  # fmt: skip
            raise Refusal("put a comparison that is compared again in parentheses")
        return self.lower(tree)

    def _compare(self, op: str, left: Node, right: Node) -> Node:
        left, right = self._unify("compares", left, right)
        if left.is_literal and right.is_literal:
            raise Refusal("the condition compares two constants, which are the same for every row")
        if left.kind == "bool" and op not in {"=", "<>"}:
            raise Refusal("booleans have no order; compare them with = or <>")
        return comparison(op, left, right)

    def _distinct(self, tree: exp.NullSafeEQ | exp.NullSafeNEQ) -> Node:
        left, right = self._operand(tree.this), self._operand(tree.expression)
        left, right = self._unify("compares", left, right)
        if left.kind == "null" and right.kind == "null":
            raise Refusal("the condition compares two constants, which are the same for every row")
        same = conjunction(
            "or",
            [
                test(comparison("=", left, right), "true"),
                conjunction("and", [test(left, "null"), test(right, "null")]),
            ],
        )
        return same if isinstance(tree, exp.NullSafeEQ) else negation(same)

    def _in(self, tree: exp.In) -> Node:
        if any(tree.args.get(key) is not None for key in ("query", "unnest", "field")):
            raise Refusal("the condition contains a subquery; compute a column before")
        if not tree.expressions:
            raise Refusal("IN needs a list of values")
        value = self._operand(tree.this)
        tests = []
        for entry in tree.expressions:
            if isinstance(entry, exp.Null):
                raise Refusal("a NULL in the list of IN never matches; add OR … IS NULL")
            tests.append(self._compare("=", value, self._operand(entry)))
        result = conjunction("or", tests)
        options = [entry.args[1] for entry in tests if entry.op == "compare"]
        first = tests[0].args[0]
        if len(options) > 1 and all(
            option.is_literal and (option.kind == first.kind or option.kind in NUMBERS)
            for option in options
        ):
            result = Node("in", "bool", (first, *options))
        return negation(result) if tree.args.get("negate") else result

    def _between(self, tree: exp.Between) -> Node:
        low = self._comparison(">=", tree.this, tree.args["low"])
        high = self._comparison("<=", tree.this, tree.args["high"])
        if tree.args.get("symmetric"):
            raise Refusal("BETWEEN SYMMETRIC is not supported; write the smaller value first")
        result = conjunction("and", [low, high])
        return negation(result) if tree.args.get("negate") else result

    def _like(self, tree: exp.Like | exp.ILike | exp.Escape) -> Node:
        escape = "\\"
        like: Any = tree
        if isinstance(tree, exp.Escape):
            like = tree.this
            escape = tree.expression.name if _is_text(tree.expression) else ""
            if not isinstance(like, exp.Like | exp.ILike) or len(escape) != 1:
                raise Refusal("ESCAPE follows LIKE, and is one character")
        if not _is_text(like.expression):
            raise Refusal("the pattern of LIKE must be a text in quotes")
        pattern = like.expression.name
        text = self._kind(self._operand(like.this), "text", "LIKE")
        if isinstance(like, exp.ILike):
            text, pattern = Node("lower", "text", (text,)), pattern.lower()
        try:
            parsed = LikePattern.parse(pattern, escape)
        except ValueError:
            raise Refusal("the pattern of LIKE ends with its escape") from None
        if text.is_literal:
            raise Refusal("the condition compares two constants, which are the same for every row")
        result = Node("like", "bool", (text,), parsed.text)
        return negation(result) if like.args.get("negate") else result

    # -- Numbers -----------------------------------------------------------------------------------

    def _literal(self, tree: exp.Literal) -> Node:
        if tree.is_string:
            return Node("lit", "text", value=tree.name)
        try:
            exact = Decimal(tree.name)
        except InvalidOperation:
            raise Refusal(f"{tree.name!r} is not a number") from None
        if re.fullmatch(r"\d+", tree.name) and exact <= _MAX_INT:
            return number(int(exact))
        value = float(exact)
        if not math.isfinite(value) or (exact and abs(math.log10(abs(value or 1e-300))) > 100):
            raise Refusal(f"the number {tree.name} is too large or too small")
        return number(value)

    def _arithmetic(self, tree: exp.Binary) -> Node:
        op = _ARITHMETIC[type(tree)]
        left, right = self._operand(tree.this), self._operand(tree.expression)
        if left.kind in NUMBERS and right.kind in NUMBERS:
            return self._numeric(op, left, right)
        for node in (left, right):
            if _is_empty(node):
                return node
        return self._time_arithmetic(op, left, right)

    def _numeric(self, op: str, left: Node, right: Node) -> Node:
        kind: Kind = "int" if left.kind == right.kind == "int" else "float"
        left, right = self._numbers.bounded(left), self._numbers.bounded(right)
        if op == "mod":
            return self._numbers.modulo(left, right, kind)
        quotient = self._numbers.calculate(op, left, right, kind)
        if op == "div" and kind == "int":
            return self._numbers.unary("trunc", quotient, kind="int")
        return quotient

    def _negative(self, tree: exp.Neg) -> Node:
        node = self._operand(tree.this)
        if node.kind == "interval":
            return self._numbers.calculate("sub", number(0, "interval"), node, "interval")
        node = self._number(node, "-")
        if node.is_literal:
            return number(-node.value, node.kind)  # type: ignore[operator]
        return self._numeric("sub", number(0), node)

    def _number(self, node: Node, where: str) -> Node:
        if _is_empty(node):
            return _retyped(node, "float")
        if node.kind not in NUMBERS:
            raise Refusal(f"{where} needs a number; {_describe(node)} is {_KIND_NAMES[node.kind]}")
        return node

    def _kind(self, node: Node, kind: Kind, where: str) -> Node:
        if _is_empty(node):
            return _retyped(node, kind)
        if node.kind != kind:
            raise Refusal(
                f"{where} needs {_KIND_NAMES[kind]}; {_describe(node)} is {_KIND_NAMES[node.kind]}"
            )
        return node

    def _whole(self, tree: exp.Expr | None, where: str, minimum: int, maximum: int) -> int:
        node = None if tree is None else self.lower(tree)
        if (
            node is None
            or not node.is_literal
            or node.kind != "int"
            or not minimum <= int(node.value or 0) <= maximum
        ):
            raise Refusal(f"{where} must be a whole number from {minimum} to {maximum}")
        return int(node.value or 0)

    def _math(self, tree: exp.Func) -> Node:
        if isinstance(tree, exp.Log) and tree.args.get("expression") is not None:
            raise Refusal("log with a base is not supported; divide two logarithms")
        name = type(tree).__name__.lower()
        node = self._variable(self._number(self.lower(tree.this), name))
        if name == "sign":
            return Node(
                "case", "float",
                (comparison(">", node, number(0.0)), number(1.0),
                 comparison("<", node, number(0.0)), number(-1.0),
                 test(node, "null"), Node("lit", "float"), number(0.0)),
            )  # fmt: skip
        if name == "abs":
            return self._numbers.unary("abs", node)
        if name in {"ceil", "floor"}:
            if node.kind == "int":
                return node
            if name == "floor":
                return self._numbers.unary("floor", node)
            minus = self._numeric("sub", number(0.0), node)
            return self._numeric("sub", number(0.0), self._numbers.unary("floor", minus))
        node = self._numbers.bounded(node)
        if name == "sqrt":
            return Node("sqrt", "float", (node,), None, node.low, node.high)
        op = "ln" if name == "ln" else "log10"
        return self._numbers.rounded(Node(op, "float", (node,), None, -20, 3), 9)

    def _round(self, tree: exp.Round | exp.Trunc) -> Node:
        name = type(tree).__name__.lower()
        node = self._numbers.bounded(self._variable(self._number(self.lower(tree.this), name)))
        decimals = 0
        if tree.args.get("decimals") is not None:
            decimals = self._whole(
                tree.args["decimals"], f"the decimals of {name}", -MAX_DECIMALS, MAX_DECIMALS
            )
        if isinstance(tree, exp.Round):
            return self._numbers.rounded(node, decimals)
        if decimals:
            raise Refusal("trunc takes one number; use round for decimals")
        return self._numbers.unary("trunc", node)

    def _variable(self, node: Node) -> Node:
        if node.is_literal:
            raise Refusal("a function of a constant is the same for every row; write its value")
        return node

    # -- Choices -----------------------------------------------------------------------------------

    def _case(self, tree: exp.Case) -> Node:
        branches: list[Node] = []
        values: list[Node] = []
        for branch in tree.args["ifs"]:
            if tree.this is not None:
                branches.append(self._comparison("=", tree.this, branch.this))
            else:
                branches.append(self.condition(branch.this))
            values.append(self._operand_value(branch.args["true"]))
        default = tree.args.get("default")
        values.append(Node("lit", "null") if default is None else self._operand_value(default))
        values = self._common("CASE", values)
        args = [node for pair in zip(branches, values[:-1], strict=True) for node in pair]
        return _choice("case", values, (*args, values[-1]))

    def _operand_value(self, tree: exp.Expr) -> Node:
        return self.lower(tree)

    def _choose(self, tree: exp.Coalesce | exp.Greatest | exp.Least) -> Node:
        name = type(tree).__name__.lower()
        values = self._common(name, [self.lower(part) for part in (tree.this, *tree.expressions)])
        if values[0].kind == "bool" and name != "coalesce":
            raise Refusal(f"{name} needs numbers, texts or timestamps, not booleans")
        if all(node.is_literal for node in values):
            raise Refusal("a function of a constant is the same for every row; write its value")
        return values[0] if len(values) == 1 else _choice(name, values, tuple(values))

    def _nullif(self, tree: exp.Nullif) -> Node:
        value = self._variable(self.lower(tree.this))
        left, right = self._unify("compares", value, self.lower(tree.expression))
        nothing = Node("lit", left.kind)
        return _choice("case", [left], (comparison("=", left, right), nothing, left))

    def _common(self, name: str, values: list[Node]) -> list[Node]:
        """Return values of one type; NULL takes that of the others."""
        typed = [node for node in values if node.kind != "null"]
        if not typed and any(map(_is_empty, values)):
            return [next(filter(_is_empty, values))] * len(values)
        if not typed:
            raise Refusal(f"{name} has no value but NULL")
        first = next(
            (node for node in typed if node.kind != "text" or not node.is_literal), typed[0]
        )
        common: Kind = first.kind
        result = []
        for node in values:
            if node.kind == "null":
                result.append(_retyped(node, common))
                continue
            _, other = self._unify(f"{name} mixes", first, node, joined="and")
            result.append(other)
        if common in NUMBERS and any(node.kind == "float" for node in result):
            result = [_retyped(node, "float") for node in result]
        if common in MOMENTS and any(node.kind == "time" for node in result):
            result = [_retyped(node, "time") for node in result]
        return result

    def _unify(
        self, verb: str, left: Node, right: Node, *, joined: str = "with"
    ) -> tuple[Node, Node]:
        """Return two values that can be compared."""
        if _is_empty(left):
            left = _retyped(left, right.kind)
        if _is_empty(right):
            right = _retyped(right, left.kind)
        if left.kind == right.kind or (left.kind in NUMBERS and right.kind in NUMBERS):
            return left, right
        if left.kind in MOMENTS and right.kind in MOMENTS:
            return left, right
        if self._flags and {left.kind, right.kind} == {"bool", "float"}:
            left, right = (
                Node("flag", "bool", (node,))
                if node.kind == "float" and not node.is_literal
                else node
                for node in (left, right)
            )
            if left.kind == right.kind:
                return left, right
        for text, other in ((left, right), (right, left)):
            if text.is_literal and text.kind == "text" and other.kind in {*MOMENTS, "interval"}:
                written = str(text.value)
                if other.kind == "interval":
                    parsed = parse_interval(written)
                else:
                    parsed = parse_moment(written, "time")
                return (parsed, other) if text is left else (other, parsed)
        raise Refusal(
            f"{'the condition ' if verb == 'compares' else ''}{verb} {_described(left)} {joined} "
            f"{_described(right)}"
        )

    # -- Texts -------------------------------------------------------------------------------------

    def _text(self, tree: exp.Func) -> Node:
        name = type(tree).__name__.lower()
        node = self._variable(self._kind(self.lower(tree.this), "text", name))
        if isinstance(tree, exp.Length):
            return Node("length", "int", (node,), None, 0, 10)
        if isinstance(tree, exp.Trim):
            characters = tree.args.get("expression")
            if tree.args.get("position") not in {None, "BOTH"} or (
                characters is not None and characters.name != " "
            ):
                raise Refusal("trim only removes spaces at both ends; use trim(column)")
        return Node(name, "text", (node,))

    def _substring(self, tree: exp.Substring | exp.Left) -> Node:
        name = type(tree).__name__.lower()
        node = self._variable(self._kind(self.lower(tree.this), "text", name))
        if isinstance(tree, exp.Left):
            length = self._whole(tree.expression, "the length of left", 0, 10_000)
            return Node("substring", "text", (node,), f"1 {length}")
        start = self._whole(tree.args.get("start"), "the start of substring", 1, 10_000)
        if tree.args.get("length") is None:
            return Node("substring", "text", (node,), f"{start} -")
        length = self._whole(tree.args["length"], "the length of substring", 0, 10_000)
        return Node("substring", "text", (node,), f"{start} {length}")

    def _concat(self, tree: exp.DPipe) -> Node:
        parts = [self._operand(tree.this), self._operand(tree.expression)]
        parts = [self._kind(part, "text", "||") for part in parts]
        if all(part.is_literal for part in parts):
            return Node("lit", "text", value="".join(str(part.value) for part in parts))
        return Node("concat", "text", tuple(parts))

    # -- Time --------------------------------------------------------------------------------------

    def _time_arithmetic(self, op: str, left: Node, right: Node) -> Node:
        kinds = (
            "moment" if left.kind in MOMENTS else left.kind,
            "moment" if right.kind in MOMENTS else right.kind,
        )
        if op == "sub" and kinds == ("moment", "moment"):
            difference = self._numbers.calculate("sub", left, right, "interval")
            if left.kind == right.kind == "date":
                day = number(float(MICROSECONDS_PER_DAY))
                return self._numbers.calculate("div", difference, day, "int")
            return difference
        if op in {"add", "sub"} and kinds == ("moment", "interval"):
            return self._numbers.calculate(op, left, right, "time")
        if op == "add" and kinds == ("interval", "moment"):
            return self._numbers.calculate("add", right, left, "time")
        if op in {"add", "sub"} and kinds == ("interval", "interval"):
            return self._numbers.calculate(op, left, right, "interval")
        if op in {"add", "sub"} and left.kind == "date" and right.kind == "int":
            days = self._numbers.calculate("mul", right, number(MICROSECONDS_PER_DAY), "int")
            return self._numbers.calculate(op, left, days, "date")
        if op in {"mul", "div"} and left.kind == "interval" and right.kind in NUMBERS:
            return self._numbers.calculate(op, left, self._numbers.bounded(right), "interval")
        if op == "mul" and right.kind == "interval" and left.kind in NUMBERS:
            return self._numbers.calculate("mul", self._numbers.bounded(left), right, "interval")
        sign = {"add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%"}[op]
        raise Refusal(f"{sign} cannot be applied to {_described(left)} and {_described(right)}")

    def _interval(self, tree: exp.Interval) -> Node:
        if not _is_text(tree.this):
            raise Refusal("an interval is a text in quotes, such as INTERVAL '2 hours'")
        unit = "" if tree.unit is None else f" {tree.unit.name}"
        return parse_interval(f"{tree.this.name}{unit}")

    def _extract(self, tree: exp.Extract) -> Node:
        field = tree.this.name.lower()
        node = self._variable(self.lower(tree.expression))
        if _is_empty(node):
            return _retyped(node, "float")
        if field == "epoch" and node.kind == "interval":
            return self._numbers.calculate("div", node, number(1e6), "float")
        if node.kind not in MOMENTS:
            raise Refusal(
                f"extract needs a timestamp; {_describe(node)} is {_KIND_NAMES[node.kind]}"
            )
        if field not in _FIELDS:
            raise Refusal(f"extract knows {', '.join(_FIELDS)}; got {field!r}")
        if node.kind == "date" and field in {"second", "minute", "hour"}:
            raise Refusal(f"a date has no {field}; use the timestamp")
        return Node("extract", "float", (node,), field, -6, 19)

    def _truncate(self, tree: exp.TimestampTrunc | exp.DateTrunc) -> Node:
        unit = tree.args["unit"].name.lower()
        node = self._variable(self.lower(tree.this))
        if _is_empty(node):
            return _retyped(node, "time")
        if node.kind not in MOMENTS:
            raise Refusal(
                f"date_trunc needs a timestamp; {_describe(node)} is {_KIND_NAMES[node.kind]}"
            )
        if unit not in _UNITS or tree.args.get("zone") is not None:
            raise Refusal(f"date_trunc knows {', '.join(_UNITS)} in UTC; got {unit!r}")
        return Node("truncate", "time", (node,), unit, 0, 19)

    # -- Casts -------------------------------------------------------------------------------------

    def _cast(self, tree: exp.Cast) -> Node:
        target = tree.to.this
        wanted = _TYPES.get(getattr(target, "name", ""))
        if wanted is None or tree.args.get("format") is not None:
            written = str(getattr(target, "name", target)).lower()
            raise Refusal(
                f"a cast to {written} is not supported; use integer, numeric, double precision, "
                "boolean, text, date, timestamp or timestamptz"
            )
        node = self.lower(tree.this)
        if _is_empty(node):
            return _retyped(node, wanted)
        if node.is_literal and node.kind == "text":
            if wanted in MOMENTS:
                return parse_moment(str(node.value), wanted)
            if wanted == "interval":
                return parse_interval(str(node.value))
            if wanted in NUMBERS and re.fullmatch(r"\d{1,15}(\.\d{1,15})?", str(node.value)):
                value = float(str(node.value))
                return number(
                    int(value) if wanted == "int" and value.is_integer() else value, wanted
                )
        return self._converted(tree, node, wanted)

    def _converted(self, tree: exp.Cast, node: Node, wanted: Kind) -> Node:
        if node.kind == wanted == "float" and tree.to.expressions:
            return self._decimal(tree, node)
        if node.kind == wanted:
            return node
        if wanted == "int" and node.kind == "float":
            return _retyped(self._numbers.rounded(self._numbers.bounded(node), 0), "int")
        if wanted == "float" and node.kind == "int":
            return _retyped(node, "float")
        if wanted == "int" and node.kind == "bool":
            branches = test(node, "null"), Node("lit", "int"), node, number(1), number(0)
            return Node("case", "int", branches, None, 0, 1)
        if wanted == "bool" and node.kind == "int":
            return comparison("<>", node, number(0))
        if wanted in NUMBERS and node.kind == "text" and not node.is_literal:
            return Node("parse_number", wanted, (node,), wanted, -31, 31)
        if wanted == "date" and node.kind == "time":
            return Node("truncate", "date", (node,), "day", 0, 19)
        if wanted == "time" and node.kind == "date":
            return _retyped(node, "time")
        raise Refusal(
            f"{_described(node)} cannot be cast to {_KIND_NAMES[wanted].split(' ', 1)[1]}"
        )

    def _decimal(self, tree: exp.Cast, node: Node) -> Node:
        parameters = [int(entry.this.name) for entry in tree.to.expressions]
        decimals = parameters[1] if len(parameters) > 1 else 0
        if not 0 <= decimals <= MAX_DECIMALS:
            raise Refusal(f"numeric may have up to {MAX_DECIMALS} decimals")
        return self._numbers.rounded(self._numbers.bounded(node), decimals)


def allowed_columns(tree: exp.Expr, columns: Sequence[str]) -> list[str]:
    """Return the columns of a tree whose types are unknown; refuse what no type could allow."""
    lowering = Lowering(dict.fromkeys(columns, ("null", "")))
    for node in tree.walk(bfs=False):
        allowed = isinstance(node, _PARTS) or type(node) in {*_METHODS, *_COMPARISONS}
        if isinstance(node, exp.Column) or not allowed:
            lowering.lower(node)
    if not lowering.used:
        raise Refusal("the condition uses no column, so it is the same for every row")
    return list(lowering.used)


def _choice(op: str, values: Sequence[Node], args: tuple[Node, ...]) -> Node:
    """Return a node that has the value of one of ``values``."""
    low, high = min(node.low for node in values), max(node.high for node in values)
    return Node(op, values[0].kind, args, None, low, high)


def _is_empty(node: Node) -> bool:
    """Whether a column has no type, because it holds nothing but NULL."""
    return node.op == "column" and node.kind == "null"


def _retyped(node: Node, kind: Kind) -> Node:
    """Return a value under another kind that has the same representation."""
    source = "null" if _is_empty(node) else node.source
    return Node(node.op, kind, node.args, node.value, node.low, node.high, source)


def _is_text(tree: Any) -> bool:
    return isinstance(tree, exp.Literal) and bool(tree.is_string)


def _describe(node: Node) -> str:
    if node.op == "column":
        return f"column {node.value!r}"
    if node.is_literal:
        return "NULL" if node.value is None else repr(node.value)
    return "the expression"


def _described(node: Node) -> str:
    """Return a value with its type, for messages about two of them."""
    if node.kind == "null":
        return "NULL"
    if node.is_literal or node.op == "column":
        return f"{_describe(node)} ({_KIND_NAMES[node.kind]})"
    return _KIND_NAMES[node.kind]


_ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "add", exp.Sub: "sub", exp.Mul: "mul", exp.Div: "div", exp.Mod: "mod",
}  # fmt: skip
_TYPES: dict[str, Kind] = {
    "INT": "int", "BIGINT": "int", "SMALLINT": "int",
    "DOUBLE": "float", "FLOAT": "float", "DECIMAL": "float",
    "TEXT": "text", "VARCHAR": "text", "BOOLEAN": "bool", "DATE": "date",
    "TIMESTAMP": "time", "TIMESTAMPTZ": "time", "INTERVAL": "interval",
}  # fmt: skip
#: Parts of expressions.
_PARTS = (exp.Identifier, exp.Var, exp.DataType, exp.DataTypeParam, exp.If)
_METHODS: dict[type[exp.Expr], Callable[[Lowering, Any], Node]] = {
    exp.Paren: Lowering._paren,
    exp.Column: Lowering._column,
    exp.Boolean: Lowering._boolean,
    exp.Null: Lowering._null,
    exp.And: Lowering._and,
    exp.Or: Lowering._and,
    exp.Not: Lowering._not,
    exp.Is: Lowering._is,
    exp.NullSafeEQ: Lowering._distinct,
    exp.NullSafeNEQ: Lowering._distinct,
    exp.In: Lowering._in,
    exp.Between: Lowering._between,
    exp.Like: Lowering._like,
    exp.ILike: Lowering._like,
    exp.Escape: Lowering._like,
    exp.Literal: Lowering._literal,
    exp.Add: Lowering._arithmetic,
    exp.Sub: Lowering._arithmetic,
    exp.Mul: Lowering._arithmetic,
    exp.Div: Lowering._arithmetic,
    exp.Mod: Lowering._arithmetic,
    exp.Neg: Lowering._negative,
    exp.Abs: Lowering._math,
    exp.Ceil: Lowering._math,
    exp.Floor: Lowering._math,
    exp.Sqrt: Lowering._math,
    exp.Ln: Lowering._math,
    exp.Log: Lowering._math,
    exp.Sign: Lowering._math,
    exp.Round: Lowering._round,
    exp.Trunc: Lowering._round,
    exp.Case: Lowering._case,
    exp.Coalesce: Lowering._choose,
    exp.Greatest: Lowering._choose,
    exp.Least: Lowering._choose,
    exp.Nullif: Lowering._nullif,
    exp.Lower: Lowering._text,
    exp.Upper: Lowering._text,
    exp.Length: Lowering._text,
    exp.Trim: Lowering._text,
    exp.Substring: Lowering._substring,
    exp.Left: Lowering._substring,
    exp.DPipe: Lowering._concat,
    exp.Interval: Lowering._interval,
    exp.Extract: Lowering._extract,
    exp.TimestampTrunc: Lowering._truncate,
    exp.DateTrunc: Lowering._truncate,
    exp.Cast: Lowering._cast,
}
