"""What a call has archived, or would archive."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ArchiveReport:
    """Result of :func:`archive_transactions`.

    Attributes
    ----------
    folder
        The archive.
    months
        Transactions of each month that was archived, or that would be with ``dry_run``.
    rows
        Rows by table: those that were deleted from the database, or would be with ``dry_run``.
    size
        Bytes of the files that were written; with ``dry_run`` those of the rows in the database.
    seconds
        Duration of the call, and of its longest transaction that deletes.
    longest_transaction
        Seconds of the longest transaction that deleted rows.
    remaining
        Transactions that other sessions changed again and again, by month: they are still in the
        database. Archive again to go on.
    dry_run
        Whether nothing was changed.
    vacuumed
        Whether the tables were vacuumed; otherwise the user may not, and autovacuum will.

    Examples
    --------
    >>> print(ArchiveReport("archive"))
    There is nothing to archive.
    """

    folder: Path
    months: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    size: int = 0
    seconds: float = 0.0
    longest_transaction: float = 0.0
    remaining: dict[str, int] = field(default_factory=dict)
    dry_run: bool = False
    vacuumed: bool = False

    def __str__(self) -> str:
        if not self.months:
            return "There is nothing to archive."
        rows = ", ".join(f"{count:,} rows of {table}" for table, count in self.rows.items())
        verb = "Would archive" if self.dry_run else "Archived"
        months = f"{len(self.months)} month{'s' if len(self.months) > 1 else ''}"
        lines = [
            f"{verb} {months} ({min(self.months)} to {max(self.months)}) to {str(self.folder)!r}: "
            f"{rows}; {self.size / 1e6:,.1f} MB."
        ]
        if not self.dry_run:
            lines.append(
                f"It took {self.seconds:.1f} s; the longest transaction took "
                f"{self.longest_transaction:.1f} s."
            )
        for month, count in self.remaining.items():
            lines.append(
                f"{count:,} transactions of {month} changed meanwhile and are still in the "
                "database; archive again."
            )
        if not self.dry_run and not self.vacuumed:
            lines.append("This user may not vacuum the tables; autovacuum will.")
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Return the transactions of each month.

        Examples
        --------
        >>> ArchiveReport("archive", {"2025-01": 3}).to_frame()
             month  transactions
        0  2025-01             3
        """
        return pd.DataFrame(
            {"month": list(self.months), "transactions": list(self.months.values())}
        )
