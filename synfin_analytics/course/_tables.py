"""Graders of tables: a row for each group, and a value for each payment."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import join_words, pluralize
from synfin_analytics.course._answers import VALUES
from synfin_analytics.course.graders import CLOSE, ROUNDED, ROUNDED_WORDS, Grader
from synfin_analytics.exceptions import nearest_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_LEAST = 1e-9


@dataclass(frozen=True)
class Table(Grader):
    """A row for each group, found by its key; other columns and the order do not matter.

    Attributes
    ----------
    truth
        The right rows.
    key
        Column that tells the groups apart.
    values
        Columns of numbers that are asked for; ``shares`` of them lie from 0 to 1.
    mistakes
        Columns of ``values`` that typical mistakes give, by what is said about them: a table with
        the key and these columns.
    """

    truth: pl.DataFrame
    key: str
    values: tuple[str, ...]
    asks: str
    shares: tuple[str, ...] = ()
    mistakes: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def wanted(self) -> str:
        """Name the kind of answer that is expected."""
        return f"a table with the columns {join_words([self.key, *self.values])}"

    def fault(self, given: Any) -> str | None:
        """Say what is wrong with it."""
        table = self._framed(given)
        if table is None:
            return f"Expected {self.wanted()}, or a dict with one number for each {self.key}."
        for name in (self.key, *self.values):
            if name not in table.columns:
                near = nearest_names(name, table.columns, most=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                return f"The column {name!r} is missing.{hint} Expected {self.wanted()}."
        found = {key: row for row, key in enumerate(keys_of(table[self.key]))}
        if len(found) < len(table):
            return f"Each {self.key} must have one row; at least one occurs twice."
        wanted = keys_of(self.truth[self.key])
        if missing := [key for key in wanted if key not in found]:
            return (
                f"{pluralize(len(missing), 'row')} of {self.key} missing. Asked for: {self.asks}."
            )
        if len(found) > len(wanted):
            return f"The table has rows that do not belong to it. Asked for: {self.asks}."
        return self._values_fault(table[[found[key] for key in wanted]], wanted)

    def _framed(self, given: Any) -> pl.DataFrame | None:
        if isinstance(given, dict) and len(self.values) == 1:
            if not all(isinstance(one, int | float) for one in given.values()):
                return None
            numbers = [float(one) for one in given.values()]
            return pl.DataFrame({self.key: [*given], self.values[0]: numbers})
        if not isinstance(given, pl.DataFrame):
            return None
        others = [name for name in given.columns if name != self.key]
        if len(self.values) == 1 and len(others) == 1 and self.key in given.columns:
            return given.rename({others[0]: self.values[0]})  # a series with the key as its index
        return given

    def _values_fault(self, table: pl.DataFrame, wanted: list[str]) -> str | None:
        columns = {}
        for name in self.values:
            values = floats(table[name])
            if values is None:
                return f"The column {name!r} must contain numbers."
            columns[name] = values
        off = {name: ~same(columns[name], self._right(name)) for name in self.values}
        wrong = [name for name in self.values if off[name].any()]
        if not wrong:
            return None
        for words, mistake in self.mistakes.items():
            if self._is(columns, mistake, wanted):
                return words
        for name in wrong:
            if name in self.shares and same(columns[name], 100 * self._right(name)).all():
                return f"{name} is in percent. Expected a share: between 0 and 1."
            if same(columns[name], self._right(name), ROUNDED).all():
                return f"{name}: {ROUNDED_WORDS}"
        rows = np.flatnonzero(np.any([off[name] for name in wrong], axis=0))
        where = "in every row" if len(rows) == len(wanted) else f"in the row of {wanted[rows[0]]}"
        right = [name for name in self.values if name not in wrong]
        praise = f"{join_words(right)}: right. " if right else ""
        return f"{praise}{join_words(wrong)}: not right yet, as {where}. Asked for: {self.asks}."

    def _right(self, name: str) -> Floats:
        return self.truth[name].cast(pl.Float64).to_numpy()

    def _is(self, columns: dict[str, Floats], mistake: pl.DataFrame, wanted: list[str]) -> bool:
        rows = {key: row for row, key in enumerate(keys_of(mistake[self.key]))}
        if not set(wanted) <= set(rows):
            return False
        mistake = mistake[[rows[key] for key in wanted]]
        names = [name for name in self.values if name in mistake.columns]
        other = any(
            not same(mistake[name].cast(pl.Float64).to_numpy(), self._right(name)).all()
            for name in names
        )
        return other and all(
            same(columns[name], mistake[name].cast(pl.Float64).to_numpy()).all() for name in names
        )


def keys_of(column: pl.Series) -> list[str]:
    """Keys as texts; a moment at midnight is its day."""
    return [
        one.date().isoformat() if isinstance(one, dt.datetime) else str(one)
        for one in column.to_list()
    ]


def floats(column: pl.Series) -> Floats | None:
    """Column as numbers, missing ones as NaN; None if it holds no numbers."""
    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        return None
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def same(given: Floats, truth: Floats, tolerance: float = CLOSE) -> NDArray[np.bool_]:
    """Which numbers are the same, but for the order of adding up; NaN is NaN."""
    return np.isclose(given, truth, rtol=tolerance, atol=_LEAST, equal_nan=True)


@dataclass(frozen=True)
class PerPayment(Grader):
    """A number for each payment, in the order of the payments or with their ids.

    Attributes
    ----------
    ids
        Of the payments, in their order.
    truth
        The right numbers.
    mistakes
        What typical mistakes give, by what is said about them.
    """

    ids: Sequence[str]
    truth: Floats
    asks: str
    mistakes: Mapping[str, Floats] = field(default_factory=dict)

    def wanted(self) -> str:
        """Name the kind of answer that is expected."""
        return "one number for each payment, in their order"

    def fault(self, given: Any) -> str | None:
        """Say what is wrong with them."""
        values = self._values(given)
        if isinstance(values, str):
            return values
        right = same(values, self.truth)
        if right.all():
            return None
        for words, mistake in self.mistakes.items():
            if same(values, mistake).all():
                return words
        if np.isnan(values).any() and not np.isnan(self.truth).any():
            return f"Some values are NaN, and none should be. Asked for: {self.asks}."
        if same(values, self.truth, ROUNDED).all():
            return ROUNDED_WORDS
        first = self.ids[int(np.argmin(right))]
        if right.mean() < 0.5:
            return f"Most are not right yet, as that of {first}. Asked for: {self.asks}."
        return f"Most are right, but not all: look at payment {first}. Asked for: {self.asks}."

    def _values(self, given: Any) -> Floats | str:
        if isinstance(given, list):
            if not all(one is None or isinstance(one, int | float) for one in given):
                return f"Expected {self.wanted()}; these are not numbers."
            given = pl.DataFrame({VALUES: pl.Series([*given], dtype=pl.Float64, strict=False)})
        if not isinstance(given, pl.DataFrame):
            return f"Expected {self.wanted()}: a column of the payments, or a new one."
        column = given.columns[-1]
        if given.schema.get("transaction_id") == pl.String and (
            set(given["transaction_id"]) == set(self.ids)
        ):
            others = [name for name in given.columns if name != "transaction_id"]
            if len(others) != 1:
                return "Expected one column besides transaction_id: select it."
            column = others[0]
            place = {one: row for row, one in enumerate(given["transaction_id"])}
            given = given[[place[one] for one in self.ids]]
        elif given.width > 1:
            return f"Expected {self.wanted()}: select the one column."
        values = floats(given[column])
        if values is None:
            return f"Expected {self.wanted()}; the column {column!r} does not contain numbers."
        if len(values) != len(self.ids):
            return (
                f"Expected {self.wanted()}; got {pluralize(len(values), 'row')} for "
                f"{pluralize(len(self.ids), 'payment')}."
            )
        return values
