"""Features in bounded memory: transactions in buckets of customers and of merchants, on disk.

Features of a transaction depend on payments of the same customer, or on those at the same merchant,
never on both. So rows are divided twice. Buckets of merchants, which need few columns, are computed
first; their features come back in the buckets of customers, row by row.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from synfin_analytics._core.dataframes import list_columns, native_frame, open_frame
from synfin_analytics._core.new_folder import check_new_folder, new_folder
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.features._compute import (
    FEATURES,
    compute_parts,
    customer_parts,
    feature_types,
    merchant_features,
)
from synfin_analytics.features._payments import (
    MERCHANT_HISTORY,
    OPTIONAL,
    REQUIRED,
    ROW,
    History,
    Parties,
    Payments,
    Scope,
    raise_repeated,
)
from synfin_analytics.features._spill import Spill
from synfin_analytics.io.coerce import coerce_batches
from synfin_analytics.io.sources import open_source, read_column_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from narwhals.typing import IntoFrame
    from numpy.typing import NDArray

    from synfin_analytics.io.sources import Source, SourceBatch

_BUCKET = "__bucket"
_SCHEMA = pa.schema({"transaction_id": pa.large_string(), **feature_types()})
#: What merchants' features are computed from, and where their results belong.
_MERCHANT_COLUMNS = (*MERCHANT_HISTORY, _BUCKET, ROW)
#: Bytes that a row needs while the features of its customer, or of its merchant, are computed.
_CUSTOMER_BYTES, _MERCHANT_BYTES = 3_000, 1_000
#: Bytes of a row while it is read, checked and divided.
_READ_BYTES = 2_000
_MIN_BATCH = 10_000
_MIN_BUCKETS, _BUCKETS_OF_A_GROUP = 256, 4
#: Hashes of ids to read at a time.
_HASHES = 1_000_000


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
        return max(self.memory // 4 // _READ_BYTES, _MIN_BATCH)


class BucketedTransactions:
    """Transactions on disk, by customer and by merchant.

    Parameters
    ----------
    customers, merchants
        Frames, or None.
    options
        Period, labels and memory.
    scratch
        An empty folder for temporary files.
    n_rows
        About how many rows there will be, if that is known.
    """

    def __init__(
        self,
        customers: IntoFrame | None,
        merchants: IntoFrame | None,
        options: BucketOptions,
        scratch: Path,
        n_rows: int | None = None,
    ) -> None:
        self._parties = Parties.from_frames(customers, merchants)
        self._options = options
        self._group_rows = options.memory // 2 // _CUSTOMER_BYTES
        n_groups = -(-(n_rows or 0) // self._group_rows)
        n_buckets = min(max(_MIN_BUCKETS, _BUCKETS_OF_A_GROUP * n_groups), np.iinfo(np.uint16).max)
        self._customers, self._merchants, self._results = (
            Spill(scratch / name, n_buckets) for name in ("customers", "merchants", "results")
        )
        self._ids = scratch / "ids"

    def read(self, batches: Iterable[SourceBatch]) -> None:
        """Check all transactions and write them to their buckets.

        Raises
        ------
        ArgumentError
            Rows cannot be used; the message lists them.
        """
        start = 0
        with self._ids.open("wb") as ids:
            for frame in coerce_batches(batches, Transaction, (*REQUIRED, *OPTIONAL)):
                n_rows = len(frame)
                self._divide(frame.with_row_index(ROW, start), ids)
                start += n_rows
        self._check_unique()

    def _divide(self, frame: pl.DataFrame, ids: BinaryIO) -> None:
        ids.write(frame["transaction_id"].hash().to_numpy().tobytes())
        frame = frame.drop_nulls(REQUIRED)  # an error follows that lists all of them
        if self._options.end is not None:
            frame = frame.filter(pl.col("timestamp") < self._options.end)
        category = self._parties.merchants.look_up(frame)["category"]
        frame = frame.with_columns(
            pl.col(ROW).cast(pl.Int64), pl.coalesce("merchant_category", category)
        )
        by_customer, by_merchant = (
            (frame[key].hash() % self._customers.n_buckets).cast(pl.UInt16)
            for key in ("customer_id", "merchant_id")
        )
        self._customers.append(frame, by_customer.to_numpy())
        with_bucket = frame.with_columns(by_customer.alias(_BUCKET))
        self._merchants.append(with_bucket.select(_MERCHANT_COLUMNS), by_merchant.to_numpy())

    def _check_unique(self) -> None:
        """Raise if an id occurs twice: look for equal hashes, some of them at a time."""
        n_passes = 1 + self._ids.stat().st_size * 2 // (self._options.memory // 4)
        repeated = []
        for number in range(n_passes):
            parts = [part[part % n_passes == number] for part in self._read_hashes()]
            hashes = np.sort(np.concatenate([np.zeros(0, np.uint64), *parts]))
            repeated.append(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
        self._ids.unlink()
        if any(map(len, repeated)):
            self._raise_repeated(pl.Series(np.concatenate(repeated)))

    def _read_hashes(self) -> Iterator[NDArray[np.uint64]]:
        with self._ids.open("rb") as file:
            while len(hashes := np.fromfile(file, np.uint64, _HASHES)):
                yield hashes

    def _raise_repeated(self, hashes: pl.Series) -> None:
        """Raise unless different ids have these hashes."""
        frames = (
            self._customers.read(first, last).select(ROW, "transaction_id")
            for first, last in self._customers.groups(self._group_rows)
        )
        same_hash = pl.col("transaction_id").hash().is_in(hashes.implode())
        ids = pl.concat([frame.filter(same_hash) for frame in frames]).sort(ROW)
        repeated = ~ids["transaction_id"].is_first_distinct()
        if repeated.any():
            raise_repeated("transactions", "transaction_id", repeated, ids[ROW])

    def features(self) -> Iterator[pa.Table]:
        """Yield ``transaction_id`` and the features for groups of customers, or one empty table."""
        for first, last in self._merchants.groups(self._options.memory // 2 // _MERCHANT_BYTES):
            results = _merchant_results(self._merchants.read(first, last), self._options)
            self._results.append(results.drop(_BUCKET), results[_BUCKET].to_numpy())
        self._merchants.remove()
        for first, last in self._customers.groups(self._group_rows):
            if not self._results.counts[first:last].any():
                continue
            frame = self._customers.read(first, last)
            of_merchants = self._results.read(first, last).sort(ROW).drop(ROW)
            table = _customer_results(frame, of_merchants, self._parties, self._options)
            yield table.cast(_SCHEMA)
        if not self._results.counts.any():
            yield _SCHEMA.empty_table()


def _merchant_results(frame: pl.DataFrame, options: BucketOptions) -> pl.DataFrame:
    history = History.from_columns(frame, options)
    rows = history.row[history.selected]
    columns = compute_parts([lambda: merchant_features(history)], np.arange(len(rows)))
    return frame.select(ROW, _BUCKET)[rows].with_columns(
        pl.Series(name, values) for name, values in columns.items()
    )


def _customer_results(
    frame: pl.DataFrame, of_merchants: pl.DataFrame, parties: Parties, options: BucketOptions
) -> pa.Table:
    payments = Payments.from_transactions(frame, parties.without_merchants(), options)
    rows = payments.row[payments.selected]
    order = np.argsort(frame[ROW].to_numpy()[rows])  # that of the input, and of the merchants' rows
    ids = frame["transaction_id"][rows[order]].to_arrow()
    del frame
    columns = compute_parts(customer_parts(payments), order)
    columns |= {name: of_merchants[name].to_arrow() for name in of_merchants.columns}
    return pa.table({"transaction_id": ids, **{name: columns[name] for name in FEATURES}})


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
    source = _open_transactions(df, options.batch_rows)
    if "label_available_at" in source.names:
        options = dataclasses.replace(options, label_delay=None)
    with new_folder(folder) as partial, tempfile.TemporaryDirectory(dir=partial) as scratch:
        transactions = BucketedTransactions(
            customers, merchants, options, Path(scratch), source.height
        )
        transactions.read(source.batches)
        for number, table in enumerate(transactions.features()):
            path = partial / f"part-{number:05}.parquet"
            pq.write_table(table, path, compression="zstd")
    return pl.scan_parquet(sorted(folder.glob("*.parquet")), glob=False)  # names may have brackets


def _open_transactions(df: Any, batch_rows: int) -> Source:
    columns = (*REQUIRED, *OPTIONAL)
    data = native_frame(df)
    is_path = isinstance(data, str | Path)
    frame = None if is_path else open_frame(data, "engineer_features")
    names = read_column_names(data) if frame is None else list_columns(frame)
    for name in REQUIRED:
        if name not in names:
            raise NotFoundError("column", name, names, location="the transactions")
    if frame is None:
        return open_source(data, batch_rows, columns=columns)
    return open_source(frame.select(*(set(names) & set(columns))).to_native(), batch_rows)
