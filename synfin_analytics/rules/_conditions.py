"""A rule's SQL condition: parsed, checked, and written anew for PostgreSQL and for DataFrames.

The text of the user never reaches a database. It is parsed by sqlglot, everything but a boolean
expression over known columns is refused, and the typed tree of what remains is written out again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import narwhals as nw

from synfin_analytics._core.arguments import format_value
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.rules._expressions import Expressions
from synfin_analytics.rules._postgresql import PostgreSQL
from synfin_analytics.rules._tree import Kind, Node, errors, weight

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlglot import exp

    from synfin_analytics._core.dataframes import Frame

_MAX_LENGTH, _MAX_DEPTH, _MAX_WEIGHT = 20_000, 60, 20_000
_OPERATORS = {"(", ")", ",", ".", "+", "-", "*", "/", "%", "||", "::"}
_OPERATORS |= {"=", "<>", "!=", "<", "<=", ">", ">="}
_REMEDIES = {
    ";": "a semicolon; write one condition",
    "$": "a parameter; write the value",
    "?": "a parameter; write the value",
    ":": "a parameter; write the value",
    "==": "'=='; write =",
    "&&": "'&&'; write AND",
    "[": "an array; use IN (…)",
    "~": "a regular expression; use LIKE",
}


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

        kinds: dict[str, tuple[Kind, str]] = (
            {column: kind_of(dtype) for column, dtype in columns.items()}
            if isinstance(columns, Mapping)
            else {}
        )
        lowering = Lowering(name, kinds or dict.fromkeys(columns, ("null", "")), flags=flags)
        try:
            parsed = _parse(text, lowering)
            if not kinds:
                used = allowed_columns(parsed, lowering)
                return cls(name, text, tuple(used))
            tree = lowering.condition(parsed)
            if not lowering.used:
                lowering.fail("the condition uses no column, so it is the same for every row")
            error_tree = errors(tree)
            total = weight(tree) + (weight(error_tree) if error_tree is not None else 0)
        except RecursionError:
            total = _MAX_WEIGHT + 1
        if total > _MAX_WEIGHT:
            lowering.fail("the condition is too deeply nested; compute a column before")
        return cls(name, text, tuple(lowering.used), tree, error_tree)

    def with_types(self, schema: Mapping[str, Any]) -> Condition:
        """Return the condition for columns of known types, in narwhals."""
        return Condition.parse(self.name, self.text, dict(schema))

    def sql(
        self, columns: Mapping[str, str] | None = None, *, without_nan: Collection[str] = ()
    ) -> str:
        """Return PostgreSQL's text of where the rule fires, which no row can make fail.

        A row for which it is NULL does not fire. The text has no percent signs and no colons but
        those of ``columns``, so that no layer takes a part of it for a parameter.

        Parameters
        ----------
        columns
            SQL text of each column, such as ``{"amount": "t.amount"}``; a column that is not in it
            is its quoted name.
        without_nan
            Columns that hold no NaN, which otherwise counts as NULL.

        Examples
        --------
        >>> import narwhals as nw
        >>> columns = {"amount": nw.Decimal(), "n_items": nw.Int64()}
        >>> Condition.parse("big", "amount > 500 OR n_items = 3", columns).sql({"amount": "t.amount"})
        '((NULLIF(t.amount, \\'NaN\\') > CAST(\\'500\\' AS numeric)) OR ("n_items" = 3))'
        """
        writer = PostgreSQL(columns or {}, without_nan)
        fires = writer.condition(self._typed())
        if self.error_tree is None:
            return fires
        return f"({fires} AND NOT {writer.condition(self.error_tree)})"

    def error_sql(
        self, columns: Mapping[str, str] | None = None, *, without_nan: Collection[str] = ()
    ) -> str | None:
        """Return PostgreSQL's text of where the rule fails, or None if it cannot."""
        self._typed()
        if self.error_tree is None:
            return None
        return PostgreSQL(columns or {}, without_nan).condition(self.error_tree)

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


def _parse(text: Any, lowering: Any) -> exp.Expression:
    """Parse one expression; refuse what is not made of an expression's words and operators."""
    import sqlglot
    from sqlglot.errors import SqlglotError
    from sqlglot.tokens import TokenType

    if not isinstance(text, str):
        lowering.fail(f"the condition must be a text; got {format_value(text)}")
    if not text.strip():
        lowering.fail("the condition is empty; write for example amount > 500")
    if len(text) > _MAX_LENGTH:
        lowering.fail(
            f"the condition has {len(text):,} characters; at most {_MAX_LENGTH:,} are allowed"
        )
    for character in text:
        if not character.isprintable() and character not in "\n\r\t":
            lowering.fail(
                f"the condition contains the invisible character U+{ord(character):04X}; remove it"
            )
    try:
        tokens = sqlglot.tokenize(text, read="postgres")
    except SqlglotError:
        lowering.fail("the condition cannot be read; a quote or parenthesis may be open")
    values = {TokenType.STRING, TokenType.NUMBER, TokenType.IDENTIFIER}
    depth = 0
    for token in tokens:
        if token.comments:
            lowering.fail("the condition contains a comment; use the rule's description")
        written = token.text
        word = written.replace("_", "a").isalnum() or written.replace(" ", "").isalpha()
        special = token.token_type.name.endswith("STRING") or "HEREDOC" in token.token_type.name
        if token.token_type in values:
            continue
        if special:
            lowering.fail("the condition contains a special kind of quotes; use 'text'")
        if written not in _OPERATORS and not (word and not written[0].isdigit()):
            reason = _REMEDIES.get(written, _REMEDIES.get(written[:1], repr(written)))
            hint = f"; write {_LOOKALIKES[written]}" if written in _LOOKALIKES else ""
            lowering.fail(f"the condition contains {reason}{hint}")
        depth += {"(": 1, ")": -1}.get(written, 0)
        if depth > _MAX_DEPTH:
            raise RecursionError
    try:
        trees = [tree for tree in sqlglot.parse(text, read="postgres") if tree is not None]
    except SqlglotError as error:
        lowering.fail(_syntax_problem(error))
    if not trees:
        lowering.fail("the condition is empty; write for example amount > 500")
    if len(trees) > 1:
        lowering.fail("the condition contains a semicolon; write one condition")
    return trees[0]


_LOOKALIKES = {
    "＞": ">", "＜": "<", "＝": "=", "≥": ">=", "≤": "<=", "≠": "<>", "−": "-", "×": "*",
    "÷": "/", "∧": "AND", "∨": "OR", "¬": "NOT", "‘": "'", "’": "'", "“": "'", "”": "'",
}  # fmt: skip


def _syntax_problem(error: Any) -> str:
    details = (error.errors or [{}])[0] if hasattr(error, "errors") else {}
    near = str(details.get("highlight") or "").strip()
    return (
        f"the condition is not valid SQL near {near!r}"
        if near
        else "the condition is not valid SQL"
    )
