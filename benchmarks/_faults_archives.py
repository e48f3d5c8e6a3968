"""The work on archives that the campaign of faults interrupts: archive, restore, erase, replace.

None of it is one transaction. After a fault the rows may be on both sides; what counts is that both
together are complete, that every file is sound, and that a second call finishes the work.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from typing import TYPE_CHECKING, ClassVar

import polars as pl
from _faults_work import (
    BATCH,
    CUSTOMERS,
    State,
    Work,
    predictions,
    read_contents,
    transactions,
)

from synfin_analytics import (
    archive_transactions,
    erase_customer,
    load_df,
    pseudonymise_customer,
    read_df,
    verify_archive,
)

if TYPE_CHECKING:
    from pathlib import Path

    from synfin_analytics import DatabaseManager

ROWS = 1500
#: With this key, the worker and the campaign give the same pseudonyms.
os.environ.setdefault("SYNFIN_PSEUDONYM_KEY", "a key for the campaign of faults only")
#: Customers who are erased or replaced.
_LEAVING = ["C3", "C17"]
_TABLES = ("transactions", "model_predictions")
_VOLATILE = ["created_at", "updated_at", "predicted_at", "id"]


class ArchiveWork(Work):
    """A work on two months of transactions and a third that stays in the database."""

    knows_outcome = False
    writes_files = True
    resumes = 1.0
    #: Whether the folder has the two months before the work begins.
    is_archived: ClassVar[bool] = False

    @property
    def archive(self) -> Path:
        """Folder of the archive."""
        return self.folder / "archive"

    def prepare(self, manager: DatabaseManager) -> None:
        """Load three months, and archive two of them if the work needs that."""
        super().prepare(manager)
        shutil.rmtree(self.archive, ignore_errors=True)
        hours = dt.timedelta(minutes=80) * pl.int_range(ROWS, eager=True)
        frame = transactions(ROWS).with_columns(timestamp=pl.col("timestamp") + hours)
        load_df(frame, "transactions", manager=manager, progress=False)
        load_df(
            predictions(frame["transaction_id"]), "model_predictions", manager=manager,
            progress=False,
        )  # fmt: skip
        if self.is_archived:
            self.move(manager)

    def move(self, manager: DatabaseManager) -> None:
        """Archive the two months."""
        archive_transactions(self.archive, "2025-01", manager=manager, batch_size=BATCH)

    def learn(self, manager: DatabaseManager) -> None:
        """Remember the rows on both sides too."""
        self.prepare(manager)
        before, self.rows_before = read_contents(manager), self.rows(manager)
        self.run(manager)
        self.states = {"before": before, "after": read_contents(manager)}
        self.rows_after = self.rows(manager)

    def rows(self, manager: DatabaseManager) -> dict[str, pl.DataFrame]:
        """Rows of the database and of the archive together."""
        folder = self.archive if (self.archive / "manifest.json").exists() else None
        return {
            table: read_df(table, archive=folder, manager=manager, output="polars")
            .drop(_VOLATILE, strict=False)
            .sort("transaction_id")
            for table in _TABLES
        }

    def inspect(self, manager: DatabaseManager) -> tuple[State | None, str]:
        """Compare both sides together, and read every file of the archive."""
        problem = self.wrong_rows(self.rows(manager)) or self.damage()
        contents = read_contents(manager)
        states = self.states or {}
        state: State = next(
            (name for name, known in states.items() if contents == known), "between"
        )
        if state == "after" and not self.is_complete(manager):
            state = "between"
        return (None, problem) if problem else (state, "")

    def wrong_rows(self, rows: dict[str, pl.DataFrame]) -> str:
        """Return what is lost, or there twice."""
        for table, frame in rows.items():
            if not frame.equals(self.rows_before[table]):
                return (
                    f"{table} and its archive have {len(frame)} rows that differ from the "
                    f"{len(self.rows_before[table])} before"
                )
        return ""

    def is_complete(self, _manager: DatabaseManager) -> bool:
        """Whether the archive is in its final state, as the database is."""
        return True

    def damage(self) -> str:
        """Return what is wrong with the files."""
        if not (self.archive / "manifest.json").exists():
            return ""
        problems = verify_archive(self.archive)
        return f"the archive is damaged: {problems}" if len(problems) else ""

    def resume(self, manager: DatabaseManager, state: State) -> str:
        """Do the work again, unless it is finished."""
        if state != "after":
            self.run(manager)
        after, problem = self.inspect(manager)
        return problem if after == "after" else problem or "a second call did not finish the work"


class Archive(ArchiveWork):
    """Months that move to the archive."""

    name = "archive"

    def run(self, manager: DatabaseManager) -> None:
        """Archive the two months."""
        self.move(manager)


class Restore(ArchiveWork):
    """Months that return from the archive."""

    name = "archive, restored"
    is_archived = True

    def run(self, manager: DatabaseManager) -> None:
        """Load the folder."""
        load_df(self.archive, manager=manager, progress=False)


class Erase(ArchiveWork):
    """Customers who are erased from the database and from the archive."""

    name = "archive, customers erased"
    is_archived = True

    def run(self, manager: DatabaseManager) -> None:
        """Erase the customers; those who are gone already are erased from the archive."""
        erase_customer(_LEAVING, archive=self.archive, manager=manager)

    def wrong_rows(self, rows: dict[str, pl.DataFrame]) -> str:
        """Compare the rows of those who stay."""
        for table in _TABLES:
            if not _staying(rows, table).equals(_staying(self.rows_before, table)):
                return f"rows of {table} that belong to others differ"
        return ""

    def is_complete(self, manager: DatabaseManager) -> bool:
        """Whether neither side has the customers."""
        return not self.rows(manager)["transactions"]["customer_id"].is_in(_LEAVING).any()


class Pseudonymise(Erase):
    """Customers whose identifiers are replaced in the database and in the archive."""

    name = "archive, customers pseudonymised"

    def run(self, manager: DatabaseManager) -> None:
        """Replace the customers."""
        pseudonymise_customer(_LEAVING, archive=self.archive, manager=manager)


def _staying(rows: dict[str, pl.DataFrame], table: str) -> pl.DataFrame:
    """Rows of the customers who stay, by the number in the identifier of the transaction."""
    leaving = [int(name.removeprefix("C")) for name in _LEAVING]
    number = pl.col("transaction_id").str.slice(2).cast(pl.Int64)
    return rows[table].filter(~(number % CUSTOMERS).is_in(leaving))


ARCHIVES: tuple[type[Work], ...] = (Archive, Restore, Erase, Pseudonymise)
