"""The 69 features in bounded memory: transactions on disk, by customer and by merchant.

Features of a transaction depend on payments of the same customer, or on those at the same merchant,
never on both. Merchants, whose features need few columns, come first.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.new_folder import check_new_folder, check_outside
from synfin_analytics.database.models import Transaction
from synfin_analytics.features._compute import (
    compute_parts,
    customer_parts,
    feature_types,
    merchant_features,
)
from synfin_analytics.features._passes import (
    ID,
    BucketedRows,
    IdTypes,
    Pass,
    batch_rows,
    open_rows,
    write_folder,
)
from synfin_analytics.features._payments import (
    MERCHANT_HISTORY,
    OPTIONAL,
    REQUIRED,
    ROW,
    History,
    MissingParents,
    Parties,
    Payments,
    Scope,
)
from synfin_analytics.features._unique_ids import UniqueIds
from synfin_analytics.io.coerce import coerce_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from narwhals.typing import IntoFrame

    from synfin_analytics._core.types import Integers
    from synfin_analytics.io.sources import SourceBatch

#: Bytes that a row needs while the features of its customer, or of its merchant, are computed.
_CUSTOMER_BYTES, _MERCHANT_BYTES = 1_500, 500


@dataclasses.dataclass(frozen=True)
class BucketOptions(Scope):
    """Which features are computed, and with how much memory.

    Parameters
    ----------
    memory
        Bytes to use.
    """

    memory: int

    @property
    def batch_rows(self) -> int:
        """Rows to read at a time."""
        return batch_rows(self.memory)


class BucketedTransactions:
    """Transactions on disk, by customer and by merchant.

    Parameters
    ----------
    parties
        Customers and merchants.
    options
        Period, labels and memory.
    scratch
        An empty folder for temporary files.
    n_rows
        About how many rows there will be, if that is known.
    """

    def __init__(
        self,
        parties: Parties,
        options: BucketOptions,
        scratch: Path,
        n_rows: int | None = None,
    ) -> None:
        self._parties, self._options = parties, options
        self._missing = [MissingParents(table) for table in (parties.customers, parties.merchants)]
        of_merchants = Pass("merchant_id", MERCHANT_HISTORY, self._of_merchants, _MERCHANT_BYTES)
        of_customers = Pass(
            "customer_id", (*REQUIRED, *OPTIONAL), self._of_customers, _CUSTOMER_BYTES
        )
        self._rows = BucketedRows([of_merchants, of_customers], scratch, options.memory, n_rows)
        self._ids, self._id_types = UniqueIds(scratch / "ids", ID), IdTypes()

    @classmethod
    def from_frames(
        cls,
        customers: IntoFrame | None,
        merchants: IntoFrame | None,
        options: BucketOptions,
        scratch: Path,
        n_rows: int | None = None,
    ) -> BucketedTransactions:
        """Read the tables of customers and merchants."""
        return cls(Parties.from_frames(customers, merchants), options, scratch, n_rows)

    def read(self, batches: Iterable[SourceBatch]) -> None:
        """Check all transactions and write them to their buckets.

        Raises
        ------
        ArgumentError
            Rows cannot be used; the message lists them.
        """
        start = 0
        with self._ids:
            columns = (*REQUIRED, *OPTIONAL)
            for frame in coerce_batches(self._id_types.watch(batches), Transaction, columns):
                n_rows = len(frame)
                self._divide(frame.with_row_index(ROW, start))
                start += n_rows
        self._ids.check(self._rows.frames, self._options.memory)
        for missing in self._missing:
            missing.check()

    def _divide(self, frame: pl.DataFrame) -> None:
        self._ids.note(frame)
        frame = frame.drop_nulls(REQUIRED)  # an error follows that lists all of them
        frame = frame.with_columns(pl.col(ROW).cast(pl.Int64))
        for missing in self._missing:
            missing.note(frame)
        if self._parties.merchants.values is not None:
            category = self._parties.merchants.find(frame)["category"]
            frame = frame.with_columns(pl.coalesce("merchant_category", category))
        self._rows.append(frame)

    def features(self) -> Iterator[pa.Table]:
        """Yield ``transaction_id`` and the features for groups of customers, or one empty table."""
        return self._rows.tables(pa.schema({ID: self._id_types.common, **feature_types()}))

    def _of_merchants(self, frame: pl.DataFrame) -> tuple[Integers, dict[str, pa.Array]]:
        history = History.from_columns(frame, self._options)
        rows, order = _in_row_order(frame, history)
        return rows, compute_parts([lambda: merchant_features(history)], order)

    def _of_customers(self, frame: pl.DataFrame) -> tuple[Integers, dict[str, pa.Array]]:
        parties = self._parties.without_merchants()
        payments = Payments.from_transactions(frame, parties, self._options)
        rows, order = _in_row_order(frame, payments)
        return rows, compute_parts(customer_parts(payments), order)


def _in_row_order(frame: pl.DataFrame, history: History) -> tuple[Integers, Integers]:
    """Return the positions of the selected rows in the frame and in the history."""
    rows = history.row[history.selected]
    order = np.argsort(frame[ROW].to_numpy()[rows])
    return rows[order], order


def engineer_to_folder(
    df: Any,
    customers: IntoFrame | None,
    merchants: IntoFrame | None,
    options: BucketOptions,
    output: str | Path,
) -> pl.LazyFrame:
    """Write ``transaction_id`` and the features to a new folder of Parquet files.

    Parameters
    ----------
    df
        Transactions: a frame, or the path of a Parquet file or folder.
    customers, merchants
        Frames, or None.
    options
        Period, labels and memory; ``label_delay`` counts only without ``label_available_at``.
    output
        The folder.

    Returns
    -------
    polars.LazyFrame
        A scan of the folder.
    """
    folder = check_new_folder(output, "output")
    check_outside(folder, df, "output")
    source = open_rows(df, REQUIRED, OPTIONAL, "engineer_features", options.memory)
    scope = options
    if "label_available_at" in source.names:
        scope = dataclasses.replace(options, label_delay=None)
    parties = Parties.from_frames(customers, merchants)

    def compute(scratch: Path) -> Iterator[pa.Table]:
        transactions = BucketedTransactions(parties, scope, scratch, source.height)
        transactions.read(source.batches)
        yield from transactions.features()

    return write_folder(folder, compute)
