"""What is wrong with the data, gathered cell by cell and told by column."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics.exceptions import InvalidDataError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN = "(personal data, not shown)"
MOST_SAMPLES = 3
LONGEST_SAMPLE = 40


@dataclasses.dataclass(frozen=True)
class Fault:
    """Cells of one column in one batch that share a reason."""

    column: str
    reason: str
    #: Positions in the source, ascending.
    rows: pl.Series
    #: The cells as text, as long as ``rows``.
    values: pl.Series
    #: The first few as a message shows them, texts in quotes; none of personal data.
    samples: tuple[str, ...]


class Faults:
    """All faults of a load, in the order in which they were found."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(
        self,
        column: str,
        reason: str,
        rows: pl.Series,
        cells: pl.Series | Sequence[Any],
        *,
        personal: bool,
    ) -> None:
        """Note that the ``cells`` of ``column`` at ``rows`` (of the source) are at fault."""
        if not len(rows):
            return
        rows = rows.cast(pl.Int64)
        if personal:
            hidden = pl.repeat(HIDDEN, len(rows), dtype=pl.String, eager=True)
            self._faults.append(Fault(column, reason, rows, hidden, ()))
        else:
            samples = tuple(_short(cell, quoted=True) for cell in cells[:MOST_SAMPLES])
            self._faults.append(Fault(column, reason, rows, as_text(cells), samples))

    def rejected(self) -> pl.DataFrame:
        """One row per bad cell, by row number: row, column, value, reason."""
        frames = [
            pl.DataFrame({"row": fault.rows, "value": fault.values}).select(
                "row",
                pl.lit(fault.column).alias("column"),
                "value",
                pl.lit(fault.reason).alias("reason"),
            )
            for fault in self._faults
        ]
        schema = {"row": pl.Int64, "column": pl.String, "value": pl.String, "reason": pl.String}
        return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("row", maintain_order=True)

    def problems(self) -> list[Problem]:
        """Join the faults of all batches by column and reason."""
        joined: dict[tuple[str, str], list[Fault]] = {}
        for fault in self._faults:
            joined.setdefault((fault.column, fault.reason), []).append(fault)
        problems = []
        for (column, reason), faults in joined.items():
            rows = pl.concat([fault.rows for fault in faults])
            samples = dict.fromkeys(sample for fault in faults for sample in fault.samples)
            problems.append(
                Problem(column, reason, len(rows), tuple(rows), tuple(samples)[:MOST_SAMPLES])
            )
        return problems

    def error(self, table: str) -> InvalidDataError:
        """Return the error that tells all of them."""
        return InvalidDataError(table, self.problems())


def as_text(cells: pl.Series | Sequence[Any]) -> pl.Series:
    """Cells as short texts that can be printed anywhere: no control signs, no surrogates."""
    if isinstance(cells, pl.Series) and cells.dtype.is_numeric():
        return cells.cast(pl.String).fill_null("NULL")
    return pl.Series([_short(cell) for cell in cells], dtype=pl.String)


def _short(cell: Any, *, quoted: bool = False) -> str:
    if cell is None:
        return "NULL"
    text = repr(cell) if quoted and isinstance(cell, str) else str(cell)
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return text if len(text) <= LONGEST_SAMPLE else text[: LONGEST_SAMPLE - 1] + "…"
