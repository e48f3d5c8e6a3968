"""What is wrong with the data, gathered cell by cell and told by column."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.validation.columns import python_objects
from synfin_analytics.exceptions import InvalidDataError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HIDDEN = "(personal data, not shown)"
MOST_SAMPLES = 3
#: Values outside a closed set that are named.
MOST_OF_A_SET = 10
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
    #: A few different ones as a message shows them, texts in quotes; none of personal data.
    samples: tuple[str, ...]
    #: The values are texts outside a closed set: a message names all of them, or many.
    closed: bool = False


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
        closed: bool = False,
    ) -> None:
        """Note that the ``cells`` of ``column`` at ``rows`` (of the source) are at fault."""
        if not len(rows):
            return
        rows = rows.cast(pl.Int64)
        if personal:
            hidden = pl.repeat(HIDDEN, len(rows), dtype=pl.String, eager=True)
            self._faults.append(Fault(column, reason, rows, hidden, ()))
        else:
            values = as_text(cells)
            if closed:
                samples = tuple(map(repr, values.unique(maintain_order=True)))
            else:
                samples = tuple(
                    _short(cell, quoted=True) for cell in _printable(cells[:MOST_SAMPLES])
                )
            self._faults.append(Fault(column, reason, rows, values, samples, closed))

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
            samples = tuple(dict.fromkeys(sample for fault in faults for sample in fault.samples))
            most = MOST_OF_A_SET if faults[0].closed else MOST_SAMPLES
            others = max(len(samples) - most, 0) if faults[0].closed else 0
            problems.append(Problem(column, reason, len(rows), tuple(rows), samples[:most], others))
        return problems

    def error(self, table: str) -> InvalidDataError:
        """Return the error that tells all of them."""
        return InvalidDataError(table, self.problems())


def as_text(cells: pl.Series | Sequence[Any]) -> pl.Series:
    """Cells as short texts that can be printed anywhere: no control signs, no surrogates."""
    if isinstance(cells, pl.Series) and cells.dtype.is_numeric():
        return cells.cast(pl.String).fill_null("NULL")
    return pl.Series([_short(cell) for cell in _printable(cells)], dtype=pl.String)


def _printable(cells: pl.Series | Sequence[Any]) -> Iterable[Any]:
    """Cells that Python can print: not every moment of polars is one of Python's."""
    if not isinstance(cells, pl.Series):
        return cells
    kind = cells.dtype
    if isinstance(kind, (pl.Date, pl.Datetime)):
        unit = "D" if isinstance(kind, pl.Date) else kind.time_unit
        moments = (
            cells.to_physical().cast(pl.Int64).fill_null(0).to_numpy().view(f"datetime64[{unit}]")
        )
        missing = cells.is_null()
        zone = "+00:00" if getattr(kind, "time_zone", None) else ""
        return [
            None if gap else _Shown(_moment(text) + zone)
            for text, gap in zip(np.datetime_as_string(moments), missing, strict=True)
        ]
    if kind.is_nested() or isinstance(kind, pl.Duration):
        return python_objects(cells.to_arrow())
    return cells


@dataclasses.dataclass(frozen=True)
class _Shown:
    """A cell that is shown by a text, and is none."""

    text: str

    def __str__(self) -> str:
        return self.text


def _moment(text: str) -> str:
    if text == "NaT":  # the lowest number of all
        return "-infinity"
    whole, point, fraction = text.replace("T", " ").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}{point}{fraction}" if fraction else whole


def _short(cell: Any, *, quoted: bool = False) -> str:
    if cell is None:
        return "NULL"
    try:
        text = repr(cell) if quoted and isinstance(cell, str) else str(cell)
    # Integers of thousands of digits, deep lists and classes of the user may raise anything.
    except Exception:  # noqa: BLE001  # the message names the type instead
        text = f"<{type(cell).__name__}>"
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return text if len(text) <= LONGEST_SAMPLE else text[: LONGEST_SAMPLE - 1] + "…"
