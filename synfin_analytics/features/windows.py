"""Counts and means over windows of your choice, and those of the Fraud Detection Handbook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from synfin_analytics._core.arguments import check_column_name, refuse_spelling
from synfin_analytics._core.dataframes import native_frame
from synfin_analytics._core.dates import Bound, Period, parse_duration, parse_time
from synfin_analytics._core.distributed import open_distributed
from synfin_analytics._core.grouped import check_closed
from synfin_analytics.database.models import Transaction
from synfin_analytics.features._destination import Destination
from synfin_analytics.features._windows import (
    HANDBOOK_FEATURES,
    HANDBOOK_WINDOWS,
    SELECTED,
    CountsAndMeans,
    CustomerColumns,
    TerminalColumns,
    WorkerColumns,
    check_summable,
    compute_in_memory,
    select_from,
)
from synfin_analytics.features._windows_on_disk import windows_to_folder
from synfin_analytics.io.coerce import coerce_columns, collect_columns, make_frame_like

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl
    from narwhals.typing import IntoDataFrameT, IntoFrame, IntoLazyFrame

    from synfin_analytics._core.grouped import Closed
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics.features._windows import WindowColumns


@overload
def window_features(
    df: IntoFrame | TransactionSource | str | Path,
    by: str = ...,
    value: str = ...,
    windows: str | Sequence[str] = ...,
    *,
    lag: str | dt.timedelta = ...,
    closed: Closed = ...,
    include_current: bool = ...,
    start: Bound = ...,
    output: str | Path,
    memory: str | int | None = ...,
) -> pl.LazyFrame: ...
@overload
def window_features(
    df: pl.LazyFrame | TransactionSource,
    by: str = ...,
    value: str = ...,
    windows: str | Sequence[str] = ...,
    *,
    lag: str | dt.timedelta = ...,
    closed: Closed = ...,
    include_current: bool = ...,
    start: Bound = ...,
    n_buckets: int | None = ...,
) -> pl.DataFrame: ...
@overload
def window_features(
    df: IntoDataFrameT,
    by: str = ...,
    value: str = ...,
    windows: str | Sequence[str] = ...,
    *,
    lag: str | dt.timedelta = ...,
    closed: Closed = ...,
    include_current: bool = ...,
    start: Bound = ...,
    n_buckets: int | None = ...,
) -> IntoDataFrameT: ...
@overload
def window_features(
    df: IntoLazyFrame,
    by: str = ...,
    value: str = ...,
    windows: str | Sequence[str] = ...,
    *,
    lag: str | dt.timedelta = ...,
    closed: Closed = ...,
    include_current: bool = ...,
    start: Bound = ...,
    n_buckets: int | None = ...,
) -> IntoFrame: ...
def window_features(
    df: IntoFrame | TransactionSource | str | Path,
    by: str = "customer_id",
    value: str = "amount",
    windows: str | Sequence[str] = HANDBOOK_WINDOWS,
    *,
    lag: str | dt.timedelta = "0d",
    closed: Closed = "right",
    include_current: bool = True,
    start: Bound = None,
    output: str | Path | None = None,
    memory: str | int | None = None,
    n_buckets: int | None = None,
) -> Any:
    """Count rows and average a value over time windows, by customer, merchant or card.

    Rows with the same timestamp count in the order of the frame: each sees only those before it,
    unlike in the rolling functions of pandas and polars.

    Parameters
    ----------
    df
        Transactions: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark, in any
        order; or with ``output`` the path of a Parquet file or of a folder of them.
    by
        Column to group by.
    value
        Column to average: ``amount``, an integer, or a boolean such as ``is_fraud``, whose mean is
        a share. Missing values are ignored.
    windows
        Length of the windows, or of one: a number and a unit (m, h, d or w), as ``"7d"``.
    lag
        How long before each row the windows end: as ``windows``, or a timedelta.
    closed
        Which ends belong to a window: ``"right"`` is (t - lag - length, t - lag]; ``"left"``,
        ``"both"`` or ``"neither"``.
    include_current
        Whether a window that is closed at t contains the row at t itself.
    start
        Compute features only of rows from this date or datetime on, as in
        :func:`engineer_features`; the rows before are history.
    output, memory
        A new or empty folder to write ``transaction_id`` and the features to, in bounded memory, as
        in :func:`engineer_features`. The ids must be unique. In memory and on Dask and PySpark, ids
        are optional and may repeat.
    n_buckets
        For Dask and PySpark, as in :func:`engineer_features`.

    Returns
    -------
    DataFrame
        ``count_1d``, ``mean_1d`` and so on for each row, in the order of ``df`` and of the same
        kind. A mean over no rows is NULL; so is everything where ``by`` is missing. For Dask and
        PySpark, whose rows have no order: a lazy frame of the columns of ``df`` and the new ones;
        rows with the same timestamp count in the order of ``transaction_id``, if there is one. With
        ``output``, a polars LazyFrame of its files, in no order.

    Raises
    ------
    NotFoundError
        A column is missing; the message suggests the closest name.
    ArgumentError
        A timestamp is missing, a window is not a duration, the value cannot be summed exactly,
        ``output`` contains files, or an id is repeated with ``output``.

    Examples
    --------
    >>> import polars as pl
    >>> transactions = pl.DataFrame(
    ...     {
    ...         "customer_id": ["C1", "C1", "C2"],
    ...         "timestamp": ["2026-03-01T10:00", "2026-03-01T10:30", "2026-03-01T11:00"],
    ...         "amount": [10.0, 30.0, 50.0],
    ...     }
    ... )
    >>> window_features(transactions, windows=["1h"]).rows()
    [(1, 10.0), (2, 20.0), (1, 50.0)]
    """
    check_column_name(by, "by")
    check_column_name(value, "value")
    several = isinstance(windows, Iterable) and not isinstance(windows, str)
    labels: list[Any] = list(windows) if several else [windows]
    columns = CountsAndMeans(
        key=by,
        value=value,
        lengths={label: Period.parse_fixed(label, "windows").duration for label in labels},
        lag=parse_duration(lag, "lag"),
        closed=closed,
        include_current=include_current,
    )
    check_closed(closed)
    destination = Destination("window_features", output, memory, n_buckets)
    return _compute(df, [columns], tuple(columns.types), start, destination, summed=value)


@overload
def handbook_features(
    df: IntoFrame | TransactionSource | str | Path,
    *,
    label_delay: str | dt.timedelta = ...,
    terminal: str = ...,
    start: Bound = ...,
    output: str | Path,
    memory: str | int | None = ...,
) -> pl.LazyFrame: ...
@overload
def handbook_features(
    df: pl.LazyFrame | TransactionSource,
    *,
    label_delay: str | dt.timedelta = ...,
    terminal: str = ...,
    start: Bound = ...,
    n_buckets: int | None = ...,
) -> pl.DataFrame: ...
@overload
def handbook_features(
    df: IntoDataFrameT,
    *,
    label_delay: str | dt.timedelta = ...,
    terminal: str = ...,
    start: Bound = ...,
    n_buckets: int | None = ...,
) -> IntoDataFrameT: ...
@overload
def handbook_features(
    df: IntoLazyFrame,
    *,
    label_delay: str | dt.timedelta = ...,
    terminal: str = ...,
    start: Bound = ...,
    n_buckets: int | None = ...,
) -> IntoFrame: ...
@refuse_spelling(delay="label_delay")
def handbook_features(
    df: IntoFrame | TransactionSource | str | Path,
    *,
    label_delay: str | dt.timedelta = "7d",
    terminal: str = "merchant_id",
    start: Bound = None,
    output: str | Path | None = None,
    memory: str | int | None = None,
    n_buckets: int | None = None,
) -> Any:
    """Compute the 14 features of the *Fraud Detection Handbook*.

    Rows with the same timestamp count in the order of the frame.

    Parameters
    ----------
    df
        Transactions, as for :func:`window_features`, with ``customer_id``, ``timestamp``,
        ``amount``, ``is_fraud`` and the column of the terminal.
    label_delay
        How long labels take: a number and a unit (m, h, d or w), or a timedelta.
    terminal
        Column of the terminal.
    start, output, memory
        As for :func:`window_features`.
    n_buckets
        For Dask and PySpark, as in :func:`engineer_features`.

    Returns
    -------
    DataFrame
        In the order of ``df`` and of the same kind (for Dask and PySpark, and with ``output``, as
        for :func:`window_features`): ``weekend``; ``night`` (hour <= 6); for windows
        w of 1, 7 and 30 days the ``customer_count`` and ``customer_mean_amount`` over (t - w, t],
        which includes the row itself, and the ``terminal_count`` and ``terminal_risk`` (the share
        of frauds, 0 over no rows) over (t - label_delay - w, t - label_delay], which are NULL
        without a terminal.

    Raises
    ------
    NotFoundError
        A column is missing; the message suggests the closest name.
    ArgumentError
        A timestamp is missing, ``label_delay`` is not a duration, ``output`` contains files, or an
        id is repeated with ``output``.

    References
    ----------
    Y.-A. Le Borgne, W. Siblini, B. Lebichot, G. Bontempi, *Reproducible Machine Learning for Credit
    Card Fraud Detection - Practical Handbook*, 2022, section 3.3, "Baseline feature
    transformation".

    Examples
    --------
    >>> import polars as pl
    >>> transactions = pl.DataFrame(
    ...     {
    ...         "customer_id": ["C1", "C1", "C2"],
    ...         "merchant_id": "M1",
    ...         "timestamp": ["2026-03-01T10:00", "2026-03-01T10:30", "2026-03-09T10:00"],
    ...         "amount": [10.0, 30.0, 50.0],
    ...         "is_fraud": [True, False, False],
    ...     }
    ... )
    >>> features = handbook_features(transactions)
    >>> features.select("customer_count_1d", "terminal_count_7d", "terminal_risk_7d").rows()
    [(1, 0, 0.0), (2, 0, 0.0), (1, 2, 0.5)]
    """
    check_column_name(terminal, "terminal")
    delay = parse_duration(label_delay, "label_delay")
    parts = [CustomerColumns(), TerminalColumns(terminal, delay)]
    destination = Destination("handbook_features", output, memory, n_buckets)
    return _compute(df, parts, HANDBOOK_FEATURES, start, destination)


def _compute(
    df: Any,
    parts: Sequence[WindowColumns],
    names: Sequence[str],
    start: Bound,
    destination: Destination,
    summed: str | None = None,
) -> Any:
    """Compute columns where the rows are, in memory or on disk.

    Parameters
    ----------
    df, start
        As for :func:`window_features`.
    parts
        The columns by key.
    names
        Their order.
    destination
        Where to.
    summed
        The column that must add up exactly, if the caller chose it.
    """
    first = parse_time(start, "start")
    inputs = tuple(dict.fromkeys(name for part in parts for name in part.inputs))
    distributed = open_distributed(native_frame(df), destination.caller, destination.n_buckets)
    destination.check(df, is_distributed=distributed is not None)
    if destination.output is not None:
        return windows_to_folder(df, parts, names, first, destination, summed)
    if distributed is not None:
        distributed.require(inputs, "the transactions")
        distributed.check_time("timestamp")
        if summed is not None:
            check_summable(summed)
        workers = [WorkerColumns(parts[0], first), *map(WorkerColumns, parts[1:])]
        for part in workers:
            distributed = distributed.append_columns(part.columns.key, part, part.types)
        return (distributed if first is None else distributed.where(SELECTED)).native
    rows = collect_columns(df, inputs, (), "transactions", destination.caller)
    if summed is not None:
        check_summable(summed)
    frame = coerce_columns(rows, Transaction, inputs, keys=[part.key for part in parts])
    selected = select_from(frame, first)
    columns = compute_in_memory(frame, parts, selected)
    rows = rows if selected is None else rows[np.flatnonzero(selected)]
    return make_frame_like(rows, {name: columns[name] for name in names})
