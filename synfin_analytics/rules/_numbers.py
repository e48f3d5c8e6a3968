"""Arithmetic of typed trees on doubles, which neither overflows nor underflows in any row."""

from __future__ import annotations

import math

from synfin_analytics.rules._tree import (
    COLUMN_RANGE,
    DOUBLE_RANGE,
    MOMENTS,
    NUDGE,
    Kind,
    Node,
    Refusal,
    number,
)

#: Decimals to which a number can be rounded.
MAX_DECIMALS = 12
_MAX_CONSTANT = 1e100
#: The years 1 to 9999, in microseconds since 1970.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999


class Numbers:
    """Builds numeric nodes of one condition; equal guards are one node."""

    def __init__(self) -> None:
        self._guards: dict[int, Node] = {}

    def calculate(self, op: str, left: Node, right: Node, kind: Kind) -> Node:
        """Return an operation on doubles that neither overflows nor underflows."""
        if op == "div" and right.is_literal and right.value == 0:
            raise Refusal("the condition divides by zero in every row")
        if left.is_literal and right.is_literal:
            return self._constant(op, left, right, kind)
        low, high = _size(op, left, right)
        if low < DOUBLE_RANGE[0] or high > DOUBLE_RANGE[1]:
            left, right = self._guard(left), self._guard(right)
            low, high = _size(op, left, right)
        return Node(op, kind, (left, right), None, low, high)

    def _constant(self, op: str, left: Node, right: Node, kind: Kind) -> Node:
        first, second = float(left.value or 0), float(right.value or 0)
        value = {
            "add": first + second,
            "sub": first - second,
            "mul": first * second,
            "div": first / (second or 1),
        }[op]
        if not _is_moderate(value):
            raise Refusal("a constant in the condition is too large or too small")
        if kind in MOMENTS and not _FIRST <= value <= _LAST:
            raise Refusal("a date in the condition is not within the years 1 to 9999")
        if kind == "int" and op != "div":
            return number(int(value), kind)
        return number(value, "float" if kind == "int" else kind)

    def bounded(self, node: Node) -> Node:
        """Return a number of known size: one of unknown size fails outside of a range."""
        wide = node.low < DOUBLE_RANGE[0] or node.high > DOUBLE_RANGE[1]
        return self._guard(node) if wide else node

    def _guard(self, node: Node) -> Node:
        low, high = COLUMN_RANGE
        if node.is_literal or (node.low >= low and node.high <= high):
            return node
        guard = Node("guard", node.kind, (node,), None, low, high)
        return self._guards.setdefault(id(node), guard)

    def unary(self, op: str, node: Node, *, kind: Kind | None = None) -> Node:
        """Return a function of a number that does not grow by it."""
        if node.is_literal and op in {"trunc", "floor", "abs"}:
            value = float(node.value or 0)
            result = {"trunc": math.trunc(value), "floor": math.floor(value), "abs": abs(value)}[op]
            known_kind = kind or node.kind
            return number(int(result) if known_kind == "int" else float(result), known_kind)
        low = node.low if op == "abs" else 0
        return Node(op, kind or node.kind, (node,), None, low, node.high)

    def modulo(self, left: Node, right: Node, kind: Kind) -> Node:
        """Return the remainder, with the sign of ``left``; rounded to 9 decimals."""
        quotient = self.calculate("div", left, right, "float")
        if kind == "float":
            quotient = self.calculate("mul", quotient, number(NUDGE), "float")
        whole = self.unary("trunc", quotient)
        rest = self.calculate("sub", left, self.calculate("mul", right, whole, kind), kind)
        return rest if kind == "int" else self.rounded(rest, 9)

    def rounded(self, node: Node, decimals: int) -> Node:
        """Round half away from zero, as PostgreSQL does with NUMERIC."""
        return Node("round", "float", (node,), decimals, -MAX_DECIMALS, node.high + 1)


def _size(op: str, left: Node, right: Node) -> tuple[int, int]:
    if op == "mul":
        return left.low + right.low, left.high + right.high
    if op == "div":
        return left.low - right.high - 1, left.high - right.low + 1
    return min(left.low, right.low) - 17, max(left.high, right.high) + 1


def _is_moderate(value: float) -> bool:
    return value == 0 or 1 / _MAX_CONSTANT <= abs(value) <= _MAX_CONSTANT
