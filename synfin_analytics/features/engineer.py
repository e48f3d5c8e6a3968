"""The 69 features of transactions: :func:`engineer_features`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from synfin_analytics._core.arguments import refuse_spelling
from synfin_analytics._core.dataframes import native_frame
from synfin_analytics._core.dates import Bound, parse_duration, parse_range
from synfin_analytics._core.distributed import open_distributed
from synfin_analytics.database.models import Transaction
from synfin_analytics.features._compute import FEATURES, compute_features
from synfin_analytics.features._destination import Destination
from synfin_analytics.features._distributed import engineer_distributed
from synfin_analytics.features._payments import (
    CUSTOMER_COLUMNS,
    MERCHANT_COLUMNS,
    OPTIONAL,
    REQUIRED,
    Parties,
    Payments,
    Scope,
    check_unique,
)
from synfin_analytics.features.buckets import BucketOptions, engineer_to_folder
from synfin_analytics.io.coerce import coerce_columns, collect_columns, make_frame_like

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from narwhals.typing import IntoDataFrameT, IntoFrame, IntoLazyFrame

    from synfin_analytics._core.transaction_source import TransactionSource

#: Columns that the features of a transaction are computed from, by table.
INPUT_COLUMNS = {
    "transactions": (*REQUIRED, *OPTIONAL),
    "customers": ("customer_id", *CUSTOMER_COLUMNS),
    "merchants": ("merchant_id", *MERCHANT_COLUMNS),
}


@overload
def engineer_features(
    df: IntoFrame | TransactionSource | str | Path,
    customers: IntoFrame | None = ...,
    merchants: IntoFrame | None = ...,
    *,
    label_delay: str | dt.timedelta = ...,
    start: Bound = ...,
    end: Bound = ...,
    output: str | Path,
    memory: str | int | None = ...,
) -> pl.LazyFrame: ...
@overload
def engineer_features(
    df: pl.LazyFrame | TransactionSource,
    customers: IntoFrame | None = ...,
    merchants: IntoFrame | None = ...,
    *,
    label_delay: str | dt.timedelta = ...,
    start: Bound = ...,
    end: Bound = ...,
    n_buckets: int | None = ...,
) -> pl.DataFrame: ...
@overload
def engineer_features(
    df: IntoDataFrameT,
    customers: IntoFrame | None = ...,
    merchants: IntoFrame | None = ...,
    *,
    label_delay: str | dt.timedelta = ...,
    start: Bound = ...,
    end: Bound = ...,
    n_buckets: int | None = ...,
) -> IntoDataFrameT: ...
@overload
def engineer_features(
    df: IntoLazyFrame,
    customers: IntoFrame | None = ...,
    merchants: IntoFrame | None = ...,
    *,
    label_delay: str | dt.timedelta = ...,
    start: Bound = ...,
    end: Bound = ...,
    n_buckets: int | None = ...,
) -> IntoFrame: ...
@refuse_spelling(delay="label_delay")
def engineer_features(
    df: IntoFrame | TransactionSource | str | Path,
    customers: IntoFrame | None = None,
    merchants: IntoFrame | None = None,
    *,
    label_delay: str | dt.timedelta = "7d",
    start: Bound = None,
    end: Bound = None,
    output: str | Path | None = None,
    memory: str | int | None = None,
    n_buckets: int | None = None,
) -> Any:
    """Compute the 69 features of ``ml_features``, each from what was known at the time.

    A feature depends on the row itself, on earlier rows (those with the same timestamp in the order
    of their ids) and on labels that were known by then; on nothing else, to the last bit. So you
    can add new days: pass their history too, and ``start``.

    Parameters
    ----------
    df
        Transactions: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark, in any
        order; or with ``output`` the path of a Parquet file or of a folder of them. They have the
        columns ``transaction_id``, ``customer_id``, ``merchant_id``, ``amount`` and
        ``timestamp``. Amounts must not be negative; they may be 0, and have up to six decimals
        (more are rounded). Optional columns, without which the features that need them are NULL:
        ``is_fraud``, ``label_available_at``, ``latitude``, ``longitude``, ``is_online``,
        ``country``, ``device_id``, ``merchant_category``, ``is_holiday``, ``distance_from_home``,
        ``distance_from_last``.
    customers
        All customers, with ``customer_id`` and, where known, ``account_created`` and the
        ``latitude`` and ``longitude`` of their homes.
    merchants
        All merchants, with ``merchant_id`` and the ``category`` for rows without their own.
    label_delay
        How long labels take if ``df`` has no column ``label_available_at``: a number and a unit (m,
        h, d or w), or a timedelta. With that column, ``label_delay`` is ignored, and a missing cell
        means that the label was known immediately.
    start, end
        Compute features only of rows from ``start`` on and before ``end``: dates or datetimes, as
        objects or ISO 8601 strings, in UTC by default. A date without a time is its midnight, so
        ``end`` excludes that day. Rows before ``start`` are history.
    output
        A new or empty folder to write the features to, as Parquet files, instead of holding them in
        memory; not inside the folder of ``df``. It exists when all of them are written, and not at
        all after an error. The temporary files, of about 300 bytes a row, are beside it until then,
        in a folder whose name begins with a dot: you may remove one that a killed process left. Not
        for Dask and PySpark.
    memory
        How much memory to use with ``output``, in addition to 200 to 300 MB of the interpreter and
        its libraries: bytes, or a size such as ``"500MB"``, by default ``"2GB"``. Not in it are
        what polars reads ahead of a LazyFrame, and a customer or a merchant that needs more: all
        rows of one are in memory at a time, however many they are.
    n_buckets
        For Dask and PySpark, how many groups of customers, and of merchants, to compute; a worker
        has one group in memory, at about 3 kB a row. Default: partitions of Dask's frame, or
        ``spark.sql.shuffle.partitions``.

    Returns
    -------
    DataFrame
        ``transaction_id`` and the features, ready for :func:`synfin_analytics.load_df`: one row for
        each transaction of the period, in the order of ``df``; of the same kind as ``df`` (polars
        for a LazyFrame, pyarrow for DuckDB; pandas keeps its index). For Dask and PySpark, a lazy
        frame of the engine in no order: nothing is computed or collected yet. With ``output``, a
        polars LazyFrame of its files, in no order. Formula, unit and window of
        each feature are in the guide, and in ``synfin_analytics.features.DEFINITIONS``.

    Raises
    ------
    NotFoundError
        A required column is missing; the message suggests the closest name.
    ArgumentError
        Ids, timestamps or amounts are missing, an id is repeated, a cell is invalid, or a customer
        or merchant is not in its table: the message lists these rows. ``label_delay`` is negative,
        ``end`` is not later than ``start``, or ``output`` contains files. On Dask and PySpark the
        rows are checked when the features are computed, and ids within each group.

    Examples
    --------
    >>> import polars as pl
    >>> transactions = pl.DataFrame(
    ...     {
    ...         "transaction_id": ["T1", "T2", "T3"],
    ...         "customer_id": "C1",
    ...         "merchant_id": ["M1", "M1", "M2"],
    ...         "timestamp": ["2026-03-01T10:00", "2026-03-01T10:30", "2026-03-09T10:00"],
    ...         "amount": [10.0, 30.0, 50.0],
    ...         "is_fraud": [True, False, False],
    ...     }
    ... )
    >>> features = engineer_features(transactions)
    >>> features.select("transaction_id", "tx_velocity_1h", "amount_normalized").rows()
    [('T1', 1, None), ('T2', 2, 3.0), ('T3', 1, 2.5)]
    >>> features["customer_prior_fraud_count"].to_list()  # labels take 7 days
    [None, None, 1]
    """
    delay = parse_duration(label_delay, "label_delay") // dt.timedelta(microseconds=1)
    first, after = parse_range(start, end)
    data: Any = native_frame(df)
    distributed = open_distributed(data, "engineer_features", n_buckets)
    destination = Destination("engineer_features", output, memory, n_buckets)
    destination.check(df, is_distributed=distributed is not None)
    if output is not None:
        options = BucketOptions(delay, first, after, destination.bytes)
        return engineer_to_folder(df, customers, merchants, options, output)
    if distributed is not None:
        return engineer_distributed(distributed, customers, merchants, Scope(delay, first, after))
    parties = Parties.from_frames(customers, merchants)
    rows = collect_columns(data, REQUIRED, OPTIONAL, "transactions", "engineer_features")
    keys = {"transaction_id", "device_id"}
    keys |= {"customer_id"} if customers is None else set()
    keys |= {"merchant_id"} if merchants is None else set()
    frame = coerce_columns(rows, Transaction, (*REQUIRED, *OPTIONAL), keys=keys)
    check_unique(frame["transaction_id"], "transactions")
    scope = Scope(None if "label_available_at" in rows.columns else delay, first, after)
    payments = Payments.from_transactions(frame, parties, scope)
    selected_rows = payments.row[payments.selected]
    order = np.argsort(selected_rows)
    columns = compute_features(payments, order)
    ids = rows.select("transaction_id")[selected_rows[order]]
    return make_frame_like(ids, {name: columns[name] for name in FEATURES}, keep=["transaction_id"])
