"""The result of :func:`suggest_columns`."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING, Any

import pandas as pd

from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synfin_analytics.exceptions import Problem
    from synfin_analytics.io.layouts._guess import Confidence

#: Names of columns that are not mapped, as many as the text shows.
_MAX_NAMES = 20


@dataclasses.dataclass(frozen=True)
class SuggestedColumn:
    """What a column of the data may be.

    Attributes
    ----------
    column
        Name of the column.
    target
        Column of the table ``transactions`` that it maps to, such as ``"is_fraud"``; None if it
        maps to none. Of a known layout, all columns of the three tables that use it.
    parameter
        Parameter of the reports that takes it, such as ``"label"``; None if none does.
    confidence
        ``"high"`` (the usual name, and cells that fit), ``"medium"``, ``"low"``, or None.
    reason
        Why, in words.

    Examples
    --------
    >>> import pandas as pd
    >>> from synfin_analytics import suggest_columns
    >>> column = suggest_columns(pd.DataFrame({"isFraud": [0, 1]})).columns[0]
    >>> column.target, column.parameter, column.confidence
    ('is_fraud', 'label', 'high')
    """

    column: str
    target: str | None
    parameter: str | None
    confidence: Confidence | None
    reason: str


@dataclasses.dataclass(frozen=True, repr=False)
class ColumnSuggestions(Result):
    """How the columns of a file or a frame map to the tables and to the reports.

    Printed, it shows everything; in a notebook, as tables. Nothing has been loaded.

    Attributes
    ----------
    source
        Path of the file, or ``"df"``.
    rows
        Number of rows, all of which were checked.
    columns
        What each column may be, in the order of the data.
    missing
        Columns that ``transactions`` requires and that no column maps to.
    problems
        Cells that ``load_df`` would reject, with their rows. A row of another key that the
        database has already, or whose customer does not exist, shows when it is loaded.
    rejected_rows
        Number of rows with such cells.
    options
        Options of :func:`load_df` and :func:`read_layout` that the cells need, such as
        ``{"decimal": ","}``.
    detected
        How the data are written, in words.
    layout
        Name of the known layout that the columns have, or None.
    notes
        What to decide or to correct.
    calls
        Python code and commands to paste, by function (``"load_df"``, ``"model_report"``, …) and
        command (``"synfin load"``, …).

    Examples
    --------
    >>> import polars as pl
    >>> from synfin_analytics import suggest_columns
    >>> df = pl.DataFrame({"Class": [0, 1], "p": [0.1, 0.8], "amt": [9.5, 70.0]})
    >>> suggestions = suggest_columns(df)
    >>> suggestions.to_frame()[["column", "target", "parameter"]].values.tolist()
    [['Class', 'is_fraud', 'label'], ['p', 'fraud_score', 'score'], ['amt', 'amount', 'amount']]
    >>> suggestions.missing
    ('transaction_id', 'customer_id', 'merchant_id', 'timestamp')
    """

    source: str
    rows: int
    columns: tuple[SuggestedColumn, ...]
    missing: tuple[str, ...]
    problems: tuple[Problem, ...]
    rejected_rows: int
    options: dict[str, str | bool]
    detected: tuple[str, ...]
    layout: str | None
    notes: tuple[str, ...]
    calls: dict[str, str]

    @property
    def mapping(self) -> dict[str, str | None]:
        """Column of the table for each column of the data: ``columns=`` of :func:`load_df`."""
        return {column.column: column.target for column in self.columns}

    @property
    def unmapped(self) -> tuple[str, ...]:
        """Columns that map to no column of the table."""
        return tuple(column.column for column in self.columns if column.target is None)

    def _table(self) -> pd.DataFrame:
        names = [field.name for field in dataclasses.fields(SuggestedColumn)]
        rows = [dataclasses.astuple(column) for column in self.columns]
        return pd.DataFrame(rows, columns=names, dtype="str")

    def _record(self) -> Mapping[str, Any]:
        return {
            "source": self.source,
            "rows": self.rows,
            "layout": self.layout,
            "columns": [dataclasses.asdict(column) for column in self.columns],
            "missing": self.missing,
            "problems": [problem.to_dict() for problem in self.problems],
            "rejected_rows": self.rejected_rows,
            "options": self.options,
            "detected": self.detected,
            "notes": self.notes,
            "calls": self.calls,
        }

    def _title(self) -> str:
        known = f"; the layout {self.layout!r}" if self.layout else ""
        rows, columns = pluralize(self.rows, "row"), pluralize(len(self.columns), "column")
        return f"{self.source}: {rows}, {columns}{known}"

    def _cells(self) -> list[tuple[str, str, str, str]]:
        return [
            (column.column, _with_parameter(column), column.confidence or "", column.reason)
            for column in self.columns
            if column.target is not None or column.parameter is not None
        ]

    def _sections(self) -> list[tuple[str, list[str]]]:
        """Return the lists below the table: title and items."""
        refused = pluralize(self.rejected_rows, "row")
        known = {column.column for column in self.columns if column.parameter is not None}
        unmapped = [name for name in self.unmapped if name not in known]
        shown = unmapped[:_MAX_NAMES]
        if len(unmapped) > _MAX_NAMES:
            shown.append(f"and {len(unmapped) - _MAX_NAMES:,} more")
        sections = [
            ("Not mapped", [", ".join(shown)] if shown else []),
            ("Required for transactions, but missing", [", ".join(self.missing)]),
            ("How the data are written", list(self.detected)),
            (f"Would be rejected: {refused}", [str(problem) for problem in self.problems]),
            ("To decide", list(self.notes)),
        ]
        return [(title, items) for title, items in sections if any(items)]

    def __repr__(self) -> str:
        head = ("column", "maps to", "confidence", "reason")
        rows = [head, *self._cells()]
        widths = [max(len(row[position]) for row in rows) for position in range(3)]
        lines = [self._title(), ""]
        for row in rows if len(rows) > 1 else ():
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            lines.append("  ".join([*cells, row[3]]).rstrip())
        for title, items in self._sections():
            lines += ["", f"{title}:", *(f"  {item}" for item in items if item)]
        for code in self.calls.values():
            lines += ["", code]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [
            table_html(
                ["column", "maps to", "confidence", "reason"],
                self._cells(),
                caption=self._title(),
                text_columns=(0, 1, 2, 3),
            )
        ]
        for title, items in self._sections():
            listed = "".join(f"<li>{html.escape(item)}</li>" for item in items if item)
            parts.append(f"<p>{html.escape(title)}</p><ul>{listed}</ul>")
        parts += [f"<pre>{html.escape(code)}</pre>" for code in self.calls.values()]
        return "".join(parts)


def _with_parameter(column: SuggestedColumn) -> str:
    names = [column.target, column.parameter and f"{column.parameter}="]
    return " · ".join(name for name in names if name)
