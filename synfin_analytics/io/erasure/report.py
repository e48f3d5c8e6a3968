"""What an erasure or a pseudonymisation did: :class:`ErasureReport`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import polars as pl

from synfin_analytics._core.formatting import join_words, pluralize
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Action: TypeAlias = Literal["erase", "pseudonymise"]

#: Where the rows of the database are, in :attr:`Changed.place`.
DATABASE = "database"
_NOT_REACHED = (
    "Old versions of the rows stay in the files of the tables until VACUUM FULL rewrites these or "
    "other rows overwrite them",
    "Backups, the write-ahead log and its archive, and replicas until they have replayed it",
    "The log of the server, if it logs statements or rejected rows",
    "Exports, snapshots, reports and archives that were not named",
    "DataFrames in memory: patterns detected in them before would store the identifiers again",
    "Texts that other rows contain, such as a fraud_reason that mentions the customer",
)


@dataclasses.dataclass(frozen=True)
class Changed:
    """Rows of one table that were deleted or updated, in the database or in one file.

    Attributes
    ----------
    place
        ``"database"``, or the path of a file.
    table
        Name of the table.
    deleted, updated
        Numbers of rows.

    Examples
    --------
    >>> Changed("database", "customers", deleted=1).updated
    0
    """

    place: str
    table: str
    deleted: int = 0
    updated: int = 0


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class ErasureReport(Result):
    """Result of :func:`erase_customer` and :func:`pseudonymise_customer`: counts, never data.

    ``to_frame()`` returns one row for each table of the database and each file of an archive with
    rows of the customers: ``place``, ``table``, and the numbers ``deleted`` and ``updated``.

    Attributes
    ----------
    action
        ``"erase"`` or ``"pseudonymise"``.
    dry_run
        Whether the rows were only counted.
    customers, unknown
        Number of customers who have rows, and of those given who have none.
    changed
        Rows by place and table.
    shared
        Number of card, device and IP identifiers of the customers that rows of other customers
        have too; an erasure leaves these rows as they are.
    leftovers
        Number of files that an earlier call, which was interrupted, had left in the folders, and
        that were removed.
    not_reached
        What the call does not change, as sentences.
    key_id
        Short name of the key of the pseudonyms, which shows whether two calls used the same one.

    Examples
    --------
    >>> changed = (Changed("database", "transactions", deleted=12),)
    >>> ErasureReport("erase", dry_run=False, customers=1, unknown=0, changed=changed)
    ErasureReport(erased 1 customer: 12 rows of transactions deleted)
    """

    action: Action
    dry_run: bool
    customers: int
    unknown: int
    changed: tuple[Changed, ...]
    shared: int = 0
    leftovers: int = 0
    not_reached: tuple[str, ...] = _NOT_REACHED
    key_id: str | None = None

    def _table(self) -> pl.DataFrame:
        schema = {"place": pl.String, "table": pl.String, "deleted": pl.Int64, "updated": pl.Int64}
        return pl.DataFrame([dataclasses.asdict(item) for item in self.changed], schema)

    def _record(self) -> Mapping[str, Any]:
        return dataclasses.asdict(self)

    def __repr__(self) -> str:
        return f"ErasureReport({self._summary()})"

    def __str__(self) -> str:
        lines = [f"{self._summary()}.".capitalize()]
        for item in self.changed:
            counts = [
                f"{count:,} {verb}"
                for verb, count in (("deleted", item.deleted), ("updated", item.updated))
                if count
            ]
            lines.append(f"  {item.place}: {item.table}: {', '.join(counts)}")
        if self.unknown:
            lines.append(f"{pluralize(self.unknown, 'other id')} belong to nobody.")
        if self.leftovers:
            lines.append(f"{pluralize(self.leftovers, 'file')} of an interrupted call removed.")
        if self.shared:
            fate = "stay there" if self.action == "erase" else "are replaced there too"
            lines.append(
                f"{pluralize(self.shared, 'card, device or IP identifier')} also occur in rows of "
                f"other customers and {fate}."
            )
        lines.append("Not reached:")
        lines += [f"  {sentence}." for sentence in self.not_reached]
        return "\n".join(lines)

    def _summary(self) -> str:
        verb = "erased" if self.action == "erase" else "pseudonymised"
        verb = f"would be {verb}:" if self.dry_run else verb
        deleted: dict[str, int] = {}
        updated: dict[str, int] = {}
        for item in self.changed:
            deleted[item.table] = deleted.get(item.table, 0) + item.deleted
            updated[item.table] = updated.get(item.table, 0) + item.updated
        parts = [*_phrases(deleted, "deleted"), *_phrases(updated, "updated")]
        rows = join_words(parts) if parts else "no row changed"
        return f"{verb} {pluralize(self.customers, 'customer')}: {rows}"

    def _repr_html_(self) -> str:
        rows = [
            (item.place, item.table, f"{item.deleted:,}", f"{item.updated:,}")
            for item in self.changed
        ]
        head = ["place", "table", "deleted", "updated"]
        sentences = "".join(f"<li>{sentence}.</li>" for sentence in self.not_reached)
        return (
            table_html(head, rows, caption=self._summary().capitalize(), text_columns=(0, 1))
            + f"<p>Not reached:</p><ul>{sentences}</ul>"
        )


def _phrases(counts: Mapping[str, int], verb: str) -> Sequence[str]:
    return [
        f"{pluralize(count, 'row')} of {table} {verb}" for table, count in counts.items() if count
    ]
