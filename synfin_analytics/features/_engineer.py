"""The 69 features of transactions: :func:`engineer_features`."""

from __future__ import annotations

import datetime as dt
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa

from synfin_analytics._core.dates import Bound, half_open
from synfin_analytics._core.frequency import read_delay
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import MLFeatures
from synfin_analytics.features._calendar import moment_features
from synfin_analytics.features._customer import customer_parts
from synfin_analytics.features._location import place_features
from synfin_analytics.features._merchant import merchant_features
from synfin_analytics.features.payments import OPTIONAL, REQUIRED, Payments
from synfin_analytics.io.coerce import collect_columns, make_frame_like

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame, IntoDataFrameT, IntoLazyFrame
    from numpy.typing import NDArray

    from synfin_analytics.features._calendar import Features

_TYPES = {"number": pa.float64(), "integer": pa.int32(), "boolean": pa.bool_()}
#: In the order of the table.
FEATURES = tuple(MLFeatures.feature_names())
#: More threads would hold more at a time, and wait for memory.
_MOST_THREADS = 4


@overload
def engineer_features(
    df: IntoDataFrameT,
    customers: Any = ...,
    merchants: Any = ...,
    label_delay: str | dt.timedelta = ...,
    *,
    start: Bound = ...,
    end: Bound = ...,
) -> IntoDataFrameT: ...
@overload
def engineer_features(
    df: IntoLazyFrame,
    customers: Any = ...,
    merchants: Any = ...,
    label_delay: str | dt.timedelta = ...,
    *,
    start: Bound = ...,
    end: Bound = ...,
) -> IntoDataFrame: ...
def engineer_features(
    df: Any,
    customers: Any = None,
    merchants: Any = None,
    label_delay: str | dt.timedelta = "7d",
    *,
    start: Bound = None,
    end: Bound = None,
) -> Any:
    """Compute the 69 features of ``ml_features``, each from what was known at its moment.

    A feature depends on the row itself, on rows before it (those of one moment in the order of
    their ids) and on labels that were known by then; on nothing else, to the last bit. So new days
    can be added: give their history too, and ``start``.

    Parameters
    ----------
    df
        Transactions: of pandas, polars (eager or lazy), pyarrow, DuckDB or Dask, in any order; with
        the columns ``transaction_id``, ``customer_id``, ``merchant_id``, ``amount`` and
        ``timestamp``, and as many others of our table as there are. Amounts must not be negative;
        they may be 0, and have up to six decimals (more are rounded). Of a column that is not there
        nothing is known, and the features that need it are NULL: ``is_fraud``,
        ``label_available_at``, ``latitude``, ``longitude``, ``is_online``, ``country``,
        ``device_id``, ``merchant_category``, ``is_holiday``, ``distance_from_home``,
        ``distance_from_last``.
    customers
        All of them, with ``customer_id``, and ``account_created``, ``latitude`` and ``longitude``
        of their homes where known.
    merchants
        All of them, with ``merchant_id``, and ``category`` for rows without their own.
    label_delay
        How long labels take if ``df`` has no column ``label_available_at``: a whole
        number and m, h, d or w, or a timedelta. With that column it is not used: a missing cell
        means that the label was known at once.
    start, end
        Compute features only of rows from ``start`` on and before ``end``: dates or moments, as
        objects or ISO 8601 strings, without a zone in UTC. A bare date is its midnight, so ``end``
        excludes that day. Rows before ``start`` are history.

    Returns
    -------
    DataFrame
        ``transaction_id`` and the features, which :func:`synfin_analytics.load_df` takes as they
        are: a row for each transaction of the period, in the order of ``df``; of the kind
        that came in (polars of a LazyFrame, pyarrow of DuckDB, pandas of Dask; pandas with its
        index). Formula, unit and window of each are in docs/features.md.

    Raises
    ------
    NotFoundError
        A required column is not there; the message names the nearest.
    ArgumentError
        Ids, moments or amounts are missing, an id is there twice, a cell is not what its column
        takes, a customer or merchant is not in its table: every such row is told. The delay is
        negative.

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
    >>> features["customer_prior_fraud_count"].to_list()  # the labels take 7 days
    [None, None, 1]
    """
    delay = read_delay(label_delay, "label_delay") // dt.timedelta(microseconds=1)
    first, after = (_microseconds(moment) for moment in half_open(start, end))
    rows = collect_columns(df, REQUIRED, OPTIONAL, "transactions", "engineer_features")
    payments = Payments.of(rows, customers, merchants, delay, first, after)
    kept = payments.row[payments.wanted]
    place = np.argsort(kept)
    columns = _computed(payments, place)
    ids = rows.select("transaction_id")[kept[place]]
    return make_frame_like(ids, {name: columns[name] for name in FEATURES}, keep=["transaction_id"])


def _computed(payments: Payments, place: NDArray[np.int64]) -> dict[str, pa.Array]:
    """Compute all features, several parts at a time: NumPy lets other threads run meanwhile."""
    parts = [
        *customer_parts(payments),
        lambda: merchant_features(payments),
        lambda: place_features(payments),
        lambda: moment_features(payments),
    ]
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        done = pool.map(lambda part: _typed(part(), place), parts)
        return {name: values for part in done for name, values in part.items()}


def _typed(features: Features, place: NDArray[np.int64]) -> dict[str, pa.Array]:
    """Give features the types of the table, NULL where they are not known, row after row."""
    of, found = spec_of(MLFeatures).columns, {}
    for name, values in features.items():
        ordered = values[place]
        missing = np.isnan(ordered) if of[name].kind == "number" else ordered < 0
        if of[name].kind == "boolean":
            ordered = ordered == 1
        found[name] = pa.array(ordered, _TYPES[of[name].kind], mask=missing)
    return found


def _microseconds(moment: dt.datetime | None) -> np.datetime64 | None:
    if moment is None:
        return None
    return np.datetime64(moment.astimezone(dt.UTC).replace(tzinfo=None), "us")
