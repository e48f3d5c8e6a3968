"""The typed tree of a condition, from which PostgreSQL's text and narwhals expressions are made.

All numbers are double precision, and moments are microseconds since 1970 in UTC, so that every
engine computes the same value. An operation that PostgreSQL would refuse for a row, such as a
division by zero, gives NULL in the tree; :func:`errors` returns a second tree, true for these rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind: TypeAlias = Literal[
    "int", "float", "bool", "text", "time", "date", "interval", "null", "other"
]
#: A column in arithmetic must be 0 or within these powers of ten, so that no product overflows.
COLUMN_RANGE = (-50, 50)
#: Within these powers of ten, a double is neither rounded to 0 nor to infinity.
DOUBLE_RANGE = (-290, 290)
NUMBERS: tuple[Kind, ...] = ("int", "float")
MOMENTS: tuple[Kind, ...] = ("time", "date")
#: Half a unit is rounded up even if its binary form is slightly smaller, as for 1.005.
NUDGE = 1 + 2.0**-51
MICROSECONDS_PER_DAY = 86_400_000_000


class Refusal(Exception):  # noqa: N818 - never leaves the package
    """Why a text is not a condition: a clause without a period, which follows the rule's name."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """An operation with its operands.

    Attributes
    ----------
    op
        Name of the operation; the emitters have a method for each.
    kind
        Type of the value.
    args
        Operands; of "case" the conditions and values in turn, and the value of ELSE.
    value
        Of a literal its value, of a column its name, else a parameter of the operation.
    low, high
        Powers of ten between which the absolute value lies, unless it is 0.
    source
        Of a column, what it holds: "decimal", "aware" (timestamps with a time zone), "naive", ...
    """

    op: str
    kind: Kind
    args: tuple[Node, ...] = ()
    value: str | float | bool | int | None = None
    low: int = 0
    high: int = 0
    source: str = ""

    @property
    def is_literal(self) -> bool:
        """Whether the value is known without a row."""
        return self.op == "lit"


def number(value: float, kind: Kind | None = None) -> Node:
    """Return a literal number, of kind "int" if Python's type is ``int``."""
    digits = len(f"{abs(int(value))}") if abs(value) >= 1 else 0
    low = -len(f"{1 / abs(value):.0f}") if 0 < abs(value) < 1 else 0
    known_kind: Kind = kind or ("int" if isinstance(value, int) else "float")
    return Node("lit", known_kind, value=value, low=low, high=digits)


def conjunction(op: Literal["and", "or"], nodes: Sequence[Node]) -> Node:
    """Return the conditions joined by AND or OR, those of the same operation in one node."""
    flat: list[Node] = []
    for node in nodes:
        flat += node.args if node.op == op else [node]
    return flat[0] if len(flat) == 1 else Node(op, "bool", tuple(flat))


def negation(node: Node) -> Node:
    """Return NOT ``node``."""
    return Node("not", "bool", (node,))


def test(node: Node, value: Literal["true", "false", "null"]) -> Node:
    """Return ``node`` IS TRUE, FALSE or NULL, which is never NULL."""
    return Node("is", "bool", (node,), value)


def comparison(op: str, left: Node, right: Node) -> Node:
    """Return a comparison: "=", "<>", "<", "<=", ">" or ">="."""
    return Node("compare", "bool", (left, right), op)


FALSE, TRUE = Node("lit", "bool", value=False), Node("lit", "bool", value=True)


def errors(node: Node, known: dict[int, Node | None] | None = None) -> Node | None:
    """Return a condition that is true for the rows on which ``node`` fails, or None if none can.

    A part that fails does not matter where another part decides: ``b <> 0 AND a / b > 2`` never
    fails, in either order, nor does a branch of CASE or COALESCE that is not reached.
    """
    known = {} if known is None else known
    if id(node) not in known:
        known[id(node)] = _errors(node, known)
    return known[id(node)]


def _errors(node: Node, known: dict[int, Node | None]) -> Node | None:
    parts = [errors(arg, known) for arg in node.args]
    own = _own_error(node)
    if own is None and not any(parts):
        return None
    if node.op in {"and", "or"}:
        decided: Literal["true", "false"] = "false" if node.op == "and" else "true"
        return _any(
            [
                conjunction(
                    "and",
                    [part]
                    + [
                        negation(test(other, decided))
                        for position, other in enumerate(node.args)
                        if position != index
                    ],
                )
                for index, part in enumerate(parts)
                if part is not None
            ]
        )
    if node.op == "case":
        branches: list[Node] = []
        for index in range(0, len(node.args) - 1, 2):
            condition_error, value_error = parts[index], parts[index + 1]
            if condition_error is not None:
                branches += [condition_error, TRUE]
            branches += [node.args[index], value_error or FALSE]
        return Node("case", "bool", (*branches, parts[-1] or FALSE))
    if node.op == "coalesce":
        branches = []
        for arg, part in zip(node.args[:-1], parts[:-1], strict=True):
            if part is not None:
                branches += [part, TRUE]
            branches += [negation(test(arg, "null")), FALSE]
        return Node("case", "bool", (*branches, parts[-1] or FALSE))
    return _any([part for part in [*parts, own] if part is not None])


def _any(nodes: Sequence[Node]) -> Node:
    flat = [part for node in nodes for part in (node.args if node.op == "or" else [node])]
    return conjunction("or", list({id(node): node for node in flat}.values()))


def _own_error(node: Node) -> Node | None:
    """Return the rows for which the operation itself fails."""
    if node.op == "div" and not (node.args[1].is_literal and node.args[1].value):
        return test(comparison("=", node.args[1], number(0.0)), "true")
    if node.op == "guard":
        return test(Node("in_range", "bool", node.args), "false")
    if node.op == "flag":
        neither = [negation(test(comparison("=", node.args[0], number(n)), "true")) for n in (0, 1)]
        return conjunction("and", [negation(test(node.args[0], "null")), *neither])
    if node.op == "sqrt":
        return test(comparison("<", node.args[0], number(0.0)), "true")
    if node.op in {"ln", "log10"}:
        return test(comparison("<=", node.args[0], number(0.0)), "true")
    if node.op == "parse_number":
        return test(Node("is_number", "bool", node.args, node.value), "false")
    return None


def weight(node: Node) -> int:
    """Return the size of what is written for a node, in which shared parts are written again."""
    return _weight(node, {})


def _weight(node: Node, known: dict[int, int]) -> int:
    if id(node) not in known:
        total = sum(_weight(arg, known) for arg in node.args)
        known[id(node)] = 1 + total * _REPEATS.get(node.op, 1)
    return known[id(node)]


#: How often the operands of an operation are written.
_REPEATS = {
    "guard": 3,
    "sqrt": 2,
    "ln": 2,
    "log10": 2,
    "round": 2,
    "parse_number": 2,
    "in_range": 2,
}
