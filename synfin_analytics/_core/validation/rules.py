"""What a column accepts beyond its type, declared once for the database and for the loader.

A rule is attached to a column (``info["rule"]``). The models turn it into a named CHECK constraint;
:mod:`synfin_analytics.io` applies the same rule to a whole column before the database sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Date, DateTime, Float, Numeric

#: The largest finite double, as PostgreSQL reads it back.
MAX_DOUBLE = "1.7976931348623157e308"


@dataclass(frozen=True, slots=True)
class OneOf:
    """A text from a closed set."""

    values: tuple[str, ...]

    def sql(self, column: Column[object]) -> str:
        """Return the CHECK expression of this rule for ``column``."""
        listed = ", ".join(f"'{value}'" for value in self.values)
        return f"{quoted(column)} IN ({listed})"

    def __str__(self) -> str:
        return f"one of {', '.join(self.values)}"


@dataclass(frozen=True, slots=True)
class Matches:
    """A text that matches a pattern, which means the same to PostgreSQL and to Rust's regex."""

    pattern: str
    meaning: str

    def sql(self, column: Column[object]) -> str:
        """Return the CHECK expression of this rule for ``column``."""
        return f"{quoted(column)} ~ '{self.pattern}'"

    def __str__(self) -> str:
        return self.meaning


@dataclass(frozen=True, slots=True)
class Range:
    """A number from ``low`` to ``high``, both included, or greater than ``above``.

    Without bounds it still excludes NaN and infinity.
    """

    low: float | None = None
    high: float | None = None
    above: float | None = None

    def sql(self, column: Column[object]) -> str:
        """Return the CHECK expression of this rule; PostgreSQL sorts NaN above all numbers."""
        name = quoted(column)
        terms = []
        if self.above is not None:
            terms.append(f"{name} > {self.above:g}")
        elif self.low is not None:
            terms.append(f"{name} >= {self.low:g}")
        elif isinstance(column.type, Float):
            terms.append(f"{name} >= '-{MAX_DOUBLE}'::double precision")
        if self.high is not None:
            terms.append(f"{name} <= {self.high:g}")
        elif isinstance(column.type, Float):
            terms.append(f"{name} <= '{MAX_DOUBLE}'::double precision")
        elif isinstance(column.type, Numeric):
            terms.append(f"{name} < 'NaN'::numeric")
        return " AND ".join(terms)

    def __str__(self) -> str:
        terms = []
        if self.above is not None:
            terms.append(f"above {self.above:g}")
        if self.low is not None and self.high is not None:
            return f"from {self.low:g} to {self.high:g}"
        if self.low is not None:
            terms.append(f"at least {self.low:g}")
        if self.high is not None:
            terms.append(f"at most {self.high:g}")
        return " and ".join(terms) or "a finite number"


@dataclass(frozen=True, slots=True)
class DateRange:
    """A timestamp or a date that Python can represent: years 1 to 9999, never ``infinity``."""

    def sql(self, column: Column[object]) -> str:
        """Return the CHECK expression of this rule for ``column``."""
        name = quoted(column)
        if isinstance(column.type, DateTime):
            return (
                f"{name} >= '0001-01-01 00:00:00+00'::timestamptz"
                f" AND {name} < '10000-01-01 00:00:00+00'::timestamptz"
            )
        return f"{name} >= '0001-01-01'::date AND {name} <= '9999-12-31'::date"

    def __str__(self) -> str:
        return "within the years 1 to 9999"


Rule = OneOf | Matches | Range | DateRange


def rule_of(column: Column[object]) -> Rule | None:
    """Return the rule of ``column``: the declared one, else the one that keeps its type finite.

    Examples
    --------
    >>> from synfin_analytics.database.models import Transaction
    >>> str(rule_of(Transaction.__table__.c.fraud_score))
    'from 0 to 1'
    """
    rule: Rule | None = column.info.get("rule")
    if rule is not None:
        return rule
    if isinstance(column.type, (Float, Numeric)):
        return Range()
    if isinstance(column.type, (DateTime, Date)):
        return DateRange()
    return None


def quoted(column: Column[object]) -> str:
    """Return the name of the column as SQL; the one reserved word among ours is quoted."""
    return '"timestamp"' if column.name == "timestamp" else column.name
