"""What a load did."""

from __future__ import annotations

import dataclasses
import html
import math
from collections import Counter
from typing import TYPE_CHECKING

from synfin_analytics._core.html import table_html

if TYPE_CHECKING:
    import pandas as pd


#: Relative change of a fraud rate that a sentence is worth.
_SMALL = 0.001


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """How many transactions of a source were labelled, and of those that were refused.

    Examples
    --------
    >>> labels = LabelCounts(100, 13, 13, 13)
    >>> labels.fraud_rate_changed
    True
    """

    n_labelled: int
    n_frauds: int
    n_rejected: int
    n_rejected_frauds: int

    @property
    def fraud_rate(self) -> float:
        """Fraud rate of all rows of the source."""
        return self.n_frauds / self.n_labelled if self.n_labelled else math.nan

    @property
    def fraud_rate_without_rejected(self) -> float:
        """Fraud rate of the rows that were not refused."""
        left = self.n_labelled - self.n_rejected
        return (self.n_frauds - self.n_rejected_frauds) / left if left else math.nan

    @property
    def fraud_rate_changed(self) -> bool:
        """Whether leaving the rows out has changed the fraud rate, by more than a thousandth."""
        change = abs(self.fraud_rate_without_rejected - self.fraud_rate)
        return bool(self.n_rejected) and not change <= _SMALL * self.fraud_rate

    def __str__(self) -> str:
        left = self.n_labelled - self.n_rejected
        after = (
            f"{self.fraud_rate_without_rejected:.3%}"
            if left
            else "undefined: no labelled row is left"
        )
        return (
            f"{self.n_rejected_frauds:,} of the {self.n_rejected:,} labelled rows that were "
            f"rejected are fraud. The fraud rate of all rows is {self.fraud_rate:.3%}; without the "
            f"rejected ones it is {after}. Correct the rejected rows (see .rejected), or report "
            "the difference wherever you use the rate."
        )


@dataclasses.dataclass(frozen=True, repr=False)
class LoadReport:
    """Outcome of :func:`load_df`; shows itself in a notebook.

    Attributes
    ----------
    table
        Name of the table.
    inserted, updated, skipped
        Numbers of rows.
    rejected
        One row per cell that was refused: ``row`` (its position in the data, from 0), ``column``,
        ``value`` (as text; personal data are not shown) and ``reason``.
    seconds
        Duration of the load.
    labels
        Of transactions loaded with ``on_invalid="reject"``: how many of all rows, and of the
        refused ones, are labelled, and how many are fraud. None if there are no labels.
    """

    table: str
    inserted: int
    updated: int
    skipped: int
    rejected: pd.DataFrame
    seconds: float
    labels: LabelCounts | None = None

    @property
    def rejected_rows(self) -> int:
        """Number of rows that were refused; one row may have several bad cells."""
        return int(self.rejected["row"].nunique())

    @property
    def rows_per_second(self) -> float:
        """Rows that reached the table, per second."""
        return (self.inserted + self.updated) / self.seconds if self.seconds else float("nan")

    def _facts(self) -> list[tuple[str, str]]:
        facts = [
            ("inserted", f"{self.inserted:,}"),
            ("updated", f"{self.updated:,}"),
            ("skipped", f"{self.skipped:,}"),
            ("rejected", f"{self.rejected_rows:,}"),
            ("seconds", f"{self.seconds:,.2f}"),
            ("rows per second", f"{self.rows_per_second:,.0f}"),
        ]
        return [fact for fact in facts if fact[0] != "updated" or self.updated]

    def __repr__(self) -> str:
        return (
            f"LoadReport({self.table}: {', '.join(f'{v} {k}' for k, v in self._facts()[:-2])}"
            f"{self._rejected_frauds()}"
            + (f"; {self.seconds:,.2f} s, {self.rows_per_second:,.0f} rows/s)")
        )

    def _rejected_frauds(self) -> str:
        if self.labels is None or not self.rejected_rows:
            return ""
        return f" ({self.labels.n_rejected_frauds:,} of them labelled fraud)"

    def _repr_html_(self) -> str:
        head, row = zip(*self._facts(), strict=True)
        text = table_html(
            head, [row], caption=f"Loaded into {self.table}", text_columns=(), row_headers=False
        )
        if len(self.rejected):
            cells = zip(self.rejected["column"], self.rejected["reason"], strict=True)
            listed = "".join(
                f"<li>{html.escape(column)} {html.escape(reason)}: {count:,}</li>"
                for (column, reason), count in Counter(cells).items()
            )
            text += (
                f"<p>Rejected{self._rejected_frauds()}, see <code>.rejected</code>:</p>"
                f"<ul>{listed}</ul>"
            )
        return text
