"""What a load did."""

from __future__ import annotations

import dataclasses
import html
from collections import Counter
from typing import TYPE_CHECKING

from synfin_analytics.wording import NO_FORMULAS

if TYPE_CHECKING:
    import pandas as pd


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
    """

    table: str
    inserted: int
    updated: int
    skipped: int
    rejected: pd.DataFrame
    seconds: float

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
            + (f"; {self.seconds:,.2f} s, {self.rows_per_second:,.0f} rows/s)")
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name, _ in self._facts())
        body = "".join(f"<td>{value}</td>" for _, value in self._facts())
        text = (
            f"<table {NO_FORMULAS}><caption>Loaded into <b>{html.escape(self.table)}</b></caption>"
            f"<thead><tr>{head}</tr></thead><tbody><tr>{body}</tr></tbody></table>"
        )
        if len(self.rejected):
            cells = zip(self.rejected["column"], self.rejected["reason"], strict=True)
            listed = "".join(
                f"<li>{html.escape(column)} {html.escape(reason)}: {count:,}</li>"
                for (column, reason), count in Counter(cells).items()
            )
            text += f"<p>Rejected, see <code>.rejected</code>:</p><ul>{listed}</ul>"
        return text
