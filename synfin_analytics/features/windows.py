"""Counts and means over windows of your choice, and those of the Fraud Detection Handbook."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, overload

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.arguments import check_column_name, refuse_spelling
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dataframes import native_frame
from synfin_analytics._core.dates import Period, parse_duration
from synfin_analytics._core.distributed import open_distributed
from synfin_analytics._core.grouped import (
    Amounts,
    GroupedRolling,
    check_closed,
    factorize,
    order_by_time,
)
from synfin_analytics._core.threads import run_in_threads
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.features._compute import SATURDAY, day_of_week, hour_of_day
from synfin_analytics.io.coerce import coerce_columns, collect_columns, make_frame_like

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence

    from narwhals.typing import IntoDataFrameT, IntoFrame, IntoLazyFrame

    from synfin_analytics._core.grouped import Closed
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import Integers, Mask

_HANDBOOK_WINDOWS = ("1d", "7d", "30d")
_LAST_HOUR_OF_NIGHT = 6
_ID = "transaction_id"


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
    n_buckets: int | None = ...,
) -> IntoFrame: ...
def window_features(
    df: IntoFrame | TransactionSource,
    by: str = "customer_id",
    value: str = "amount",
    windows: str | Sequence[str] = _HANDBOOK_WINDOWS,
    *,
    lag: str | dt.timedelta = "0d",
    closed: Closed = "right",
    include_current: bool = True,
    n_buckets: int | None = None,
) -> Any:
    """Count rows and average a value over time windows, by customer, merchant or card.

    Rows with the same timestamp count in the order of the frame: each sees only those before it,
    unlike in the rolling functions of pandas and polars.

    Parameters
    ----------
    df
        Transactions: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark, in any
        order.
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
    n_buckets
        For Dask and PySpark, as in :func:`engineer_features`.

    Returns
    -------
    DataFrame
        ``count_1d``, ``mean_1d`` and so on for each row, in the order of ``df`` and of the same
        kind. A mean over no rows is NULL; so is everything where ``by`` is missing. For Dask and
        PySpark, whose rows have no order: a lazy frame of the columns of ``df`` and the new ones;
        rows with the same timestamp count in the order of ``transaction_id``, if there is one.

    Raises
    ------
    NotFoundError
        A column is missing; the message suggests the closest name.
    ArgumentError
        A timestamp is missing, a window is not a duration, or the value cannot be summed exactly.

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
    computation = _Windows(
        by=by,
        value=value,
        lengths={label: Period.parse_fixed(label, "windows").duration for label in labels},
        lag=parse_duration(lag, "lag"),
        closed=closed,
        include_current=include_current,
    )
    names = (by, value, "timestamp")
    distributed = open_distributed(native_frame(df), "window_features", n_buckets)
    if distributed is not None:
        distributed.require(names, "the transactions")
        distributed.check_time("timestamp")
        check_closed(closed)
        return distributed.append_columns(by, computation, computation.types).native
    rows = collect_columns(df, names, (), "transactions", "window_features")
    return make_frame_like(rows, computation.of_rows(rows))


@dataclasses.dataclass(frozen=True)
class _Windows:
    """Counts and means over windows, of a frame that has all rows of some groups.

    Parameters
    ----------
    by, value, lag, closed, include_current
        As for :func:`window_features`.
    lengths
        Length of each window by its name.
    """

    by: str
    value: str
    lengths: Mapping[str, dt.timedelta]
    lag: dt.timedelta
    closed: Closed
    include_current: bool

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Names and types of the columns."""
        return _window_types(self.lengths, count=pa.int64(), mean=pa.float64())

    def __call__(self, rows: Any) -> dict[str, pa.Array]:
        """Compute the columns for rows in no order: those of one timestamp by their ids."""
        return _in_order(rows, self.of_rows)

    def of_rows(self, rows: nw.DataFrame[Any]) -> dict[str, pa.Array]:
        """Compute the columns; rows of one timestamp count in their order."""
        names = (self.by, self.value, "timestamp")
        frame = coerce_columns(rows, Transaction, names, keys=(self.by,))
        rolling, has_key = _rolling(frame, self.by)
        integers, units_per_one = _as_integers(frame[self.value])
        present = frame[self.value].is_not_null().to_numpy()
        all_present = bool(present.all())

        def compute(label: str) -> dict[str, pa.Array]:
            window = rolling.window(
                self.lengths[label],
                lag=self.lag,
                closed=self.closed,
                include_current=self.include_current,
            )
            count, total = window.count(), window.sum(integers)
            mean = ratio(total / units_per_one, count if all_present else window.sum(present))
            return {
                f"count_{label}": pa.array(count, mask=~has_key),
                f"mean_{label}": pa.array(mean, mask=~has_key | np.isnan(mean)),
            }

        results = run_in_threads([partial(compute, label) for label in self.lengths])
        return {name: column for result in results for name, column in result.items()}


@overload
def handbook_features(
    df: pl.LazyFrame | TransactionSource,
    *,
    label_delay: str | dt.timedelta = ...,
    terminal: str = ...,
    n_buckets: int | None = ...,
) -> pl.DataFrame: ...
@overload
def handbook_features(
    df: IntoDataFrameT,
    *,
    label_delay: str | dt.timedelta = ...,
    terminal: str = ...,
    n_buckets: int | None = ...,
) -> IntoDataFrameT: ...
@overload
def handbook_features(
    df: IntoLazyFrame,
    *,
    label_delay: str | dt.timedelta = ...,
    terminal: str = ...,
    n_buckets: int | None = ...,
) -> IntoFrame: ...
@refuse_spelling(delay="label_delay")
def handbook_features(
    df: IntoFrame | TransactionSource,
    *,
    label_delay: str | dt.timedelta = "7d",
    terminal: str = "merchant_id",
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
    n_buckets
        For Dask and PySpark, as in :func:`engineer_features`.

    Returns
    -------
    DataFrame
        In the order of ``df`` and of the same kind (for Dask and PySpark as for
        :func:`window_features`): ``weekend``; ``night`` (hour <= 6); for windows
        w of 1, 7 and 30 days the ``customer_count`` and ``customer_mean_amount`` over (t - w, t],
        which includes the row itself, and the ``terminal_count`` and ``terminal_risk`` (the share
        of frauds, 0 over no rows) over (t - label_delay - w, t - label_delay].

    Raises
    ------
    NotFoundError
        A column is missing; the message suggests the closest name.
    ArgumentError
        A timestamp is missing, or ``label_delay`` is not a duration.

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
    names = ("customer_id", terminal, "timestamp", "amount", "is_fraud")
    of_customers, of_terminals = _CustomerWindows(), _TerminalWindows(terminal, delay)
    distributed = open_distributed(native_frame(df), "handbook_features", n_buckets)
    if distributed is not None:
        distributed.require(names, "the transactions")
        distributed.check_time("timestamp")
        by_customer = distributed.append_columns("customer_id", of_customers, of_customers.types)
        return by_customer.append_columns(terminal, of_terminals, of_terminals.types).native
    rows = collect_columns(df, names, (), "transactions", "handbook_features")
    frame = coerce_columns(rows, Transaction, names, keys=("customer_id", terminal))
    parts = run_in_threads([partial(part.of_frame, frame) for part in (of_customers, of_terminals)])
    columns = {name: column for part in parts for name, column in part.items()}
    return make_frame_like(rows, {name: columns[name] for name in _HANDBOOK_FEATURES})


_HANDBOOK_FEATURES = (
    "weekend",
    "night",
    *(
        f"{name}_{window}"
        for window in _HANDBOOK_WINDOWS
        for name in ("customer_count", "customer_mean_amount", "terminal_count", "terminal_risk")
    ),
)


class _CustomerWindows:
    """The handbook's features that depend on the payment itself and the customer's earlier ones."""

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Names and types of the columns."""
        of_windows = _window_types(
            _HANDBOOK_WINDOWS, customer_count=pa.int64(), customer_mean_amount=pa.float64()
        )
        return {"weekend": pa.bool_(), "night": pa.bool_()} | of_windows

    def __call__(self, rows: Any) -> dict[str, pa.Array]:
        """Compute the columns for rows in no order."""
        names = ("customer_id", "timestamp", "amount")
        return _in_order(
            rows,
            lambda ordered: self.of_frame(
                coerce_columns(ordered, Transaction, names, keys=("customer_id",))
            ),
        )

    def of_frame(self, frame: pl.DataFrame) -> dict[str, pa.Array]:
        """Compute the columns; rows of one timestamp count in their order."""
        timestamps = frame["timestamp"].to_physical().to_numpy()
        units, units_per_one = _as_integers(frame["amount"])
        customers, _ = _rolling(frame, "customer_id")
        columns: dict[str, pa.Array] = {
            "weekend": pa.array(day_of_week(timestamps) >= SATURDAY),
            "night": pa.array(hour_of_day(timestamps) <= _LAST_HOUR_OF_NIGHT),
        }
        for label in _HANDBOOK_WINDOWS:
            own = customers.window(Period.parse_fixed(label, "windows").duration)
            columns[f"customer_count_{label}"] = pa.array(own.count())
            mean_amount = own.sum(units) / units_per_one / own.count()
            columns[f"customer_mean_amount_{label}"] = pa.array(mean_amount)
        return columns


@dataclasses.dataclass(frozen=True)
class _TerminalWindows:
    """The handbook's features that depend on earlier labels of the terminal.

    Parameters
    ----------
    terminal
        Column of the terminal.
    delay
        How long labels take.
    """

    terminal: str
    delay: dt.timedelta

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Names and types of the columns."""
        return _window_types(
            _HANDBOOK_WINDOWS, terminal_count=pa.int64(), terminal_risk=pa.float64()
        )

    def __call__(self, rows: Any) -> dict[str, pa.Array]:
        """Compute the columns for rows in no order."""
        names = (self.terminal, "timestamp", "is_fraud")
        return _in_order(
            rows,
            lambda ordered: self.of_frame(
                coerce_columns(ordered, Transaction, names, keys=(self.terminal,))
            ),
        )

    def of_frame(self, frame: pl.DataFrame) -> dict[str, pa.Array]:
        """Compute the columns; rows of one timestamp count in their order."""
        is_fraud, _ = _as_integers(frame["is_fraud"])
        terminals, _ = _rolling(frame, self.terminal)
        columns: dict[str, pa.Array] = {}
        for label in _HANDBOOK_WINDOWS:
            length = Period.parse_fixed(label, "windows").duration
            seen = terminals.window(length, lag=self.delay)
            count = seen.count()
            columns[f"terminal_count_{label}"] = pa.array(count)
            columns[f"terminal_risk_{label}"] = pa.array(seen.sum(is_fraud) / np.maximum(count, 1))
        return columns


def _window_types(labels: Iterable[str], **types: pa.DataType) -> dict[str, pa.DataType]:
    """Return the types of columns that each window has."""
    return {f"{name}_{label}": types[name] for label in labels for name in types}


def _in_order(
    rows: Any, compute: Callable[[nw.DataFrame[Any]], dict[str, pa.Array]]
) -> dict[str, pa.Array]:
    """Compute columns of rows in the order of their ids, and return them in that of the rows."""
    frame: nw.DataFrame[Any] = nw.from_native(rows, eager_only=True)
    if _ID not in frame.columns:
        return compute(frame)
    ids = pl.Series(frame[_ID].to_arrow()).cast(pl.String)
    order = order_by_time(np.zeros(len(ids), np.int64), ids)
    columns = compute(frame[order.tolist()])
    positions = pa.array(np.argsort(order))
    return {name: values.take(positions) for name, values in columns.items()}


def _rolling(frame: pl.DataFrame, by: str) -> tuple[GroupedRolling, Mask]:
    """Return the rows grouped by a column, and which of them have a key."""
    codes = factorize(frame[by])
    return GroupedRolling(codes, frame["timestamp"].to_physical().to_numpy()), codes >= 0


def _as_integers(values: pl.Series) -> tuple[Integers, int]:
    """Return values as integers of a unit, 0 where missing, and how many units make 1."""
    spec = spec_of(Transaction).columns[values.name]
    if spec.kind not in ("decimal", "boolean", "integer"):
        raise ArgumentError(
            "`value` must be a column of amounts, integers or booleans, which add up exactly; "
            f"got {values.name!r}."
        )
    if values.dtype == pl.Float64:  # an amount, which may be finer than cents
        amounts = Amounts.from_floats(values.fill_null(0).to_numpy())
        return amounts.units, amounts.units_per_one
    units_per_one = 10**spec.scale
    if spec.kind == "decimal":
        values = (values.cast(pl.Float64) * units_per_one).round()
    return values.cast(pl.Int64).fill_null(0).to_numpy(), units_per_one
