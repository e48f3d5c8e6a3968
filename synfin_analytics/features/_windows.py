"""Windows over the rows of one key: of a frame in memory, of groups on disk, and by workers."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dates import Period
from synfin_analytics._core.grouped import (
    Amounts,
    GroupedRolling,
    factorize,
    order_by_time,
)
from synfin_analytics._core.threads import run_in_threads
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.features._compute import SATURDAY, day_of_week, hour_of_day
from synfin_analytics.io.coerce import coerce_columns

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from synfin_analytics._core.grouped import Closed
    from synfin_analytics._core.types import Integers, Mask

HANDBOOK_WINDOWS = ("1d", "7d", "30d")
_LAST_HOUR_OF_NIGHT = 6
_ID = "transaction_id"
#: Column of workers: whether a row is selected.
SELECTED = "__selected"
_SUMMABLE = ("decimal", "boolean", "integer")


@dataclasses.dataclass(frozen=True)
class WindowColumns(ABC):
    """Columns that are computed from the rows of one key.

    Parameters
    ----------
    key
        Column of the key.
    """

    key: str

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that they are computed from, with the key and the timestamp."""

    @property
    @abstractmethod
    def types(self) -> dict[str, pa.DataType]:
        """Names and types of the columns."""

    @abstractmethod
    def compute(self, frame: pl.DataFrame, selected: Mask | None) -> dict[str, pa.Array]:
        """Compute the columns; rows of one timestamp count in their order.

        Parameters
        ----------
        frame
            All rows of some keys.
        selected
            Which rows to compute the columns of; None for all. The others are history.
        """

    def rolling(self, frame: pl.DataFrame, selected: Mask | None) -> tuple[GroupedRolling, Mask]:
        """Return the rows grouped by the key, and which of the selected ones have a key."""
        codes = factorize(frame[self.key])
        timestamps = frame["timestamp"].to_physical().to_numpy()
        has_key: Mask = codes >= 0
        rolling = GroupedRolling(codes, timestamps, selected=selected)
        return rolling, has_key if selected is None else has_key[selected]


def select_from(frame: pl.DataFrame, start: dt.datetime | None) -> Mask | None:
    """Return which rows are from ``start`` on; None for all."""
    if start is None:
        return None
    selected: Mask = (frame["timestamp"] >= start).to_numpy()
    return selected


@dataclasses.dataclass(frozen=True)
class WorkerColumns:
    """The columns of all rows, as workers compute them: of one timestamp in the order of ids.

    Parameters
    ----------
    columns
        The columns.
    start
        Also compute ``SELECTED``: which rows are from this time on.
    """

    columns: WindowColumns
    start: dt.datetime | None = None

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Names and types of the columns."""
        return self.columns.types | ({} if self.start is None else {SELECTED: pa.bool_()})

    def __call__(self, rows: Any) -> dict[str, pa.Array]:
        """Compute the columns for rows in no order."""
        frame: nw.DataFrame[Any] = nw.from_native(rows, eager_only=True)
        if _ID not in frame.columns:
            return self._of_ordered(frame)
        ids = pl.Series(frame[_ID].to_arrow()).cast(pl.String)
        order = order_by_time(np.zeros(len(ids), np.int64), ids)
        columns = self._of_ordered(frame[order.tolist()])
        positions = pa.array(np.argsort(order))
        return {name: values.take(positions) for name, values in columns.items()}

    def _of_ordered(self, rows: nw.DataFrame[Any]) -> dict[str, pa.Array]:
        inputs, key = self.columns.inputs, self.columns.key
        frame = coerce_columns(rows, Transaction, inputs, keys=(key,), numbered=False)
        columns = self.columns.compute(frame, None)
        if self.start is not None:
            columns[SELECTED] = pa.array(select_from(frame, self.start))
        return columns


@dataclasses.dataclass(frozen=True)
class CountsAndMeans(WindowColumns):
    """The columns of :func:`window_features`.

    Parameters
    ----------
    value, lag, closed, include_current
        As for :func:`window_features`.
    lengths
        Length of each window by its name.
    """

    value: str
    lengths: Mapping[str, dt.timedelta]
    lag: dt.timedelta
    closed: Closed
    include_current: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that they are computed from."""
        return tuple(dict.fromkeys((self.key, self.value, "timestamp")))

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Names and types of the columns."""
        return _window_types(self.lengths, count=pa.int64(), mean=pa.float64())

    def compute(self, frame: pl.DataFrame, selected: Mask | None) -> dict[str, pa.Array]:
        """Compute the columns; rows of one timestamp count in their order."""
        rolling, has_key = self.rolling(frame, selected)
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


@dataclasses.dataclass(frozen=True)
class CustomerColumns(WindowColumns):
    """The handbook's features that depend on the payment itself and the customer's earlier ones."""

    key: str = "customer_id"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that they are computed from."""
        return ("customer_id", "timestamp", "amount")

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Names and types of the columns."""
        of_windows = _window_types(
            HANDBOOK_WINDOWS, customer_count=pa.int64(), customer_mean_amount=pa.float64()
        )
        return {"weekend": pa.bool_(), "night": pa.bool_()} | of_windows

    def compute(self, frame: pl.DataFrame, selected: Mask | None) -> dict[str, pa.Array]:
        """Compute the columns; rows of one timestamp count in their order."""
        timestamps = frame["timestamp"].to_physical().to_numpy()
        timestamps = timestamps if selected is None else timestamps[selected]
        units, units_per_one = _as_integers(frame["amount"])
        customers, _ = self.rolling(frame, selected)
        columns: dict[str, pa.Array] = {
            "weekend": pa.array(day_of_week(timestamps) >= SATURDAY),
            "night": pa.array(hour_of_day(timestamps) <= _LAST_HOUR_OF_NIGHT),
        }
        for label in HANDBOOK_WINDOWS:
            own = customers.window(Period.parse_fixed(label, "windows").duration)
            count = own.count()
            columns[f"customer_count_{label}"] = pa.array(count)
            mean_amount = own.sum(units) / units_per_one / count
            columns[f"customer_mean_amount_{label}"] = pa.array(mean_amount)
        return columns


@dataclasses.dataclass(frozen=True)
class TerminalColumns(WindowColumns):
    """The handbook's features that depend on earlier labels of the terminal.

    Parameters
    ----------
    delay
        How long labels take.
    """

    delay: dt.timedelta

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that they are computed from."""
        return tuple(dict.fromkeys((self.key, "timestamp", "is_fraud")))

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Names and types of the columns."""
        return _window_types(
            HANDBOOK_WINDOWS, terminal_count=pa.int64(), terminal_risk=pa.float64()
        )

    def compute(self, frame: pl.DataFrame, selected: Mask | None) -> dict[str, pa.Array]:
        """Compute the columns; rows of one timestamp count in their order."""
        is_fraud, _ = _as_integers(frame["is_fraud"])
        terminals, has_key = self.rolling(frame, selected)
        columns: dict[str, pa.Array] = {}
        for label in HANDBOOK_WINDOWS:
            length = Period.parse_fixed(label, "windows").duration
            seen = terminals.window(length, lag=self.delay)
            count = seen.count()
            risk = seen.sum(is_fraud) / np.maximum(count, 1)
            columns[f"terminal_count_{label}"] = pa.array(count, mask=~has_key)
            columns[f"terminal_risk_{label}"] = pa.array(risk, mask=~has_key)
        return columns


HANDBOOK_FEATURES = (
    "weekend",
    "night",
    *(
        f"{name}_{window}"
        for window in HANDBOOK_WINDOWS
        for name in ("customer_count", "customer_mean_amount", "terminal_count", "terminal_risk")
    ),
)


def _window_types(labels: Iterable[str], **types: pa.DataType) -> dict[str, pa.DataType]:
    """Return the types of columns that each window has."""
    return {f"{name}_{label}": types[name] for label in labels for name in types}


def check_summable(value: str) -> None:
    """Raise an ArgumentError unless the values of a column add up exactly."""
    spec = spec_of(Transaction).columns.get(value)
    if spec is None or spec.kind not in _SUMMABLE:
        raise ArgumentError(
            "`value` must be a column of amounts, integers or booleans, which add up exactly; "
            f"got {value!r}."
        )


def _as_integers(values: pl.Series) -> tuple[Integers, int]:
    """Return values as integers of a unit, 0 where missing, and how many units make 1."""
    spec = spec_of(Transaction).columns[values.name]
    if values.dtype == pl.Float64:  # an amount, which may be finer than cents
        amounts = Amounts.from_floats(values.fill_null(0).to_numpy())
        return amounts.units, amounts.units_per_one
    units_per_one = 10**spec.scale
    if spec.kind == "decimal":
        values = (values.cast(pl.Float64) * units_per_one).round()
    return values.cast(pl.Int64).fill_null(0).to_numpy(), units_per_one


def compute_in_memory(
    frame: pl.DataFrame, parts: Sequence[WindowColumns], selected: Mask | None
) -> dict[str, pa.Array]:
    """Compute the columns of all parts, several at the same time."""
    results = run_in_threads([partial(part.compute, frame, selected) for part in parts])
    return {name: column for result in results for name, column in result.items()}
