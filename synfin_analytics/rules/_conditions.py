"""A rule's SQL condition: parsed, checked, and written anew for PostgreSQL and for DataFrames.

The text of the user never reaches a database. It is parsed by sqlglot, everything but a boolean
expression over known columns is refused, and the typed tree of what remains is written out again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import narwhals as nw

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.rules._expressions import Expressions
from synfin_analytics.rules._postgresql import PostgreSQL
from synfin_analytics.rules._tree import Kind, Node, Refusal, errors, weight

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from synfin_analytics._core.dataframes import Frame

#: Size of the text or expression that is written for a condition, in operations.
_MAX_WEIGHT = 20_000


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that is safe to run, of columns whose types are known or not yet.

    Attributes
    ----------
    name, text
        Name of the rule, and the condition as it was written.
    columns
        Columns that it uses, in the order of their appearance.
    tree
        The typed tree; None until the types of the columns are known.
    error_tree
        A condition that is true for the rows on which the rule fails; None if it cannot fail.
    """

    name: str
    text: str
    columns: tuple[str, ...]
    tree: Node | None = field(default=None, repr=False)
    error_tree: Node | None = field(default=None, repr=False)

    @classmethod
    def parse(
        cls,
        name: str,
        text: str,
        columns: Mapping[str, Any] | Sequence[str],
        *,
        flags: bool = False,
    ) -> Condition:
        """Parse a condition.

        Parameters
        ----------
        name
            Name of the rule, for messages.
        text
            A boolean expression in PostgreSQL's SQL.
        columns
            Columns that it may use, with their types in narwhals if these are known.
        flags
            Whether a double may stand for a boolean, as in pandas: 1, 0 or missing. The rule fails
            for a row with another number.

        Raises
        ------
        ArgumentError
            The text is not a condition of these columns; one sentence says why.

        Examples
        --------
        >>> import narwhals as nw
        >>> columns = {"amount": nw.Float64(), "is_online": nw.Boolean()}
        >>> condition = Condition.parse("online", "amount > 500 AND is_online", columns)
        >>> condition.columns
        ('amount', 'is_online')
        >>> Condition.parse("online", "amount > 500; DELETE FROM transactions", columns)
        Traceback (most recent call last):
        synfin_analytics.exceptions.ArgumentError: Rule 'online': the condition contains a \
semicolon; write one condition.
        """
        from synfin_analytics.rules._lowering import Lowering, allowed_columns
        from synfin_analytics.rules._parsing import parse_sql

        try:
            if not isinstance(columns, Mapping):
                used = allowed_columns(parse_sql(text), columns)
                return cls(name, text, tuple(used))
            kinds = {column: kind_of(dtype) for column, dtype in columns.items()}
            lowering = Lowering(kinds, flags=flags)
            tree = lowering.condition(parse_sql(text))
            error_tree = errors(tree)
            if not lowering.used:
                raise Refusal("the condition uses no column, so it is the same for every row")
            if weight(tree) + (0 if error_tree is None else weight(error_tree)) > _MAX_WEIGHT:
                raise RecursionError
        except RecursionError:
            problem = "the condition is too deeply nested; compute a column before"
        except Refusal as refusal:
            problem = str(refusal)
        else:
            return cls(name, text, tuple(lowering.used), tree, error_tree)
        raise ArgumentError(f"Rule {name!r}: {problem}.")

    def with_types(self, schema: Mapping[str, Any]) -> Condition:
        """Return the condition for columns of known types, in narwhals."""
        return Condition.parse(self.name, self.text, dict(schema))

    def sql(
        self,
        columns: Mapping[str, str] | None = None,
        *,
        without_nan: Collection[str] = (),
        shared: dict[str, str] | None = None,
    ) -> str:
        r"""Return PostgreSQL's text of where the rule fires, which no row can make fail.

        A row for which it is NULL does not fire. The text has no percent signs and no colons but
        those of ``columns``, so that no layer takes a part of it for a parameter.

        Parameters
        ----------
        columns
            SQL text of each column, such as ``{"amount": "t.amount"}``; a column that is not in it
            is its quoted name.
        without_nan
            Columns that hold no NaN, which otherwise counts as NULL.
        shared
            If given, such parts as the hour of a column are written as names; the names by the
            texts of these parts are added here, to be computed once for all conditions.

        Examples
        --------
        >>> import narwhals as nw
        >>> columns = {"amount": nw.Decimal(), "n": nw.Int64()}
        >>> condition = Condition.parse("big", "amount > 500 OR n = 3", columns)
        >>> print(condition.sql({"n": "t.n"}, without_nan=["amount"]))
        (("amount" > CAST('500' AS numeric)) OR (t.n = 3))
        """
        writer = PostgreSQL(columns or {}, without_nan, shared)
        fires = writer.condition(self._typed())
        if self.error_tree is None:
            return fires
        return f"({fires} AND NOT {writer.condition(self.error_tree)})"

    def error_sql(
        self,
        columns: Mapping[str, str] | None = None,
        *,
        without_nan: Collection[str] = (),
        shared: dict[str, str] | None = None,
    ) -> str | None:
        """Return PostgreSQL's text of where the rule fails, or None if it cannot."""
        self._typed()
        if self.error_tree is None:
            return None
        return PostgreSQL(columns or {}, without_nan, shared).condition(self.error_tree)

    def expression(self, frame: Frame) -> tuple[nw.Expr, nw.Expr | None]:
        """Return where the rule fires, and where it fails (None if it cannot); never NULL.

        Parameters
        ----------
        frame
            The frame to evaluate on, normalized (``normalize_types``, ``coerce_object_columns``).
        """
        condition = Condition.parse(
            self.name,
            self.text,
            dict(frame.collect_schema()),
            flags=frame.implementation.is_pandas(),
        )
        expressions = Expressions(frame)
        fires = expressions.true(condition._typed())
        if condition.error_tree is None:
            return fires, None
        failed = expressions.true(condition.error_tree)
        return fires & ~failed, failed

    def _typed(self) -> Node:
        if self.tree is None:
            raise ArgumentError(
                f"Rule {self.name!r}: the types of its columns are needed; call `with_types`."
            )
        return self.tree


def kind_of(dtype: Any) -> tuple[Kind, str]:
    """Return the kind of a column of narwhals' type, and what it holds."""
    if dtype == nw.Boolean:
        return "bool", "bool"
    if dtype == nw.Decimal:
        return "float", "decimal"
    if dtype in {nw.UInt64(), nw.Int128(), nw.UInt128()}:
        return "float", "float"
    if dtype.is_integer():
        return "int", "int"
    if dtype.is_float():
        return "float", "float"
    if dtype == nw.Date:
        return "date", "date"
    if dtype == nw.Datetime:
        return "time", "aware" if getattr(dtype, "time_zone", None) else "naive"
    if dtype in {nw.String(), nw.Categorical()} or dtype == nw.Enum:
        return "text", "text"
    return ("null", "null") if dtype == nw.Unknown else ("other", str(dtype))
