"""Moments, labels and cards of a frame's rows, as arrays: what a split by time looks at."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import narwhals as nw
import numpy as np
import pyarrow as pa

from synfin_analytics._core.arguments import check_column_name, format_value
from synfin_analytics._core.dataframes import coerce_object_columns, normalize_types, to_float
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.frequency import Period
from synfin_analytics.exceptions import ArgumentError, NotFoundError, refuse_repeated_columns

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    Moments = NDArray[np.datetime64]
    Mask = NDArray[np.bool_]

FrameT = TypeVar("FrameT", bound="IntoDataFrame")
_NEVER = np.datetime64(np.iinfo(np.int64).max, "us")


@dataclass(frozen=True, eq=False)
class Timeline(Generic[FrameT]):
    """The rows of a frame in memory, and one element for each in every array.

    Parameters
    ----------
    frame
        The rows.
    moments
        When they happened, in UTC.
    labels
        1.0 fraud, 0.0 genuine, NaN not labelled.
    available
        When the labels became known, NaT at once; None where the frame does not tell.
    cards
        Number of each row's card, -1 where it has none; None where cards do not matter.
    """

    frame: nw.DataFrame[Any]
    moments: Moments
    labels: NDArray[np.float64]
    available: Moments | None
    cards: NDArray[np.int64] | None

    @classmethod
    def of(
        cls, frame: FrameT, timestamp: str, label: str, available: str | None, card: str | None
    ) -> Timeline[FrameT]:
        """Read the columns of these names."""
        try:
            rows = nw.from_native(frame, eager_only=True)
        except nw.exceptions.DuplicateError:
            refuse_repeated_columns(frame)
            raise
        except TypeError:
            raise ArgumentError(
                "`df` must be a DataFrame of pandas, polars or pyarrow, in memory; got "
                f"{format_value(frame)}. Collect a lazy frame first."
            ) from None
        if rows.implementation.is_polars():
            require_thread_pool()
        columns = {
            "timestamp": timestamp,
            "label": label,
            "label_available_at": available,
            "entity": card,
        }
        for argument, name in columns.items():
            if name is None:
                continue
            if check_column_name(name, argument) not in rows.columns:
                raise NotFoundError("column", name, rows.columns, where="the frame")
        if not len(rows):
            raise ArgumentError("`df` must have rows to split; got none.")
        moments = _moments(rows, timestamp)
        missing = int(np.isnat(moments).sum())
        if missing:
            raise ArgumentError(
                f"Column {timestamp!r} must have a moment in each row; got none in {missing:,} of "
                f"{len(moments):,}. Drop these rows, or fill them in."
            )
        return cls(
            rows,
            moments,
            _labels(rows, label),
            None if available is None else _moments(rows, available),
            None if card is None else _numbered(rows, card),
        )

    def known_at(self, delay: np.timedelta64) -> Moments:
        """When each label was known: never before the row itself, which it is about."""
        if self.available is None:
            return self.moments + delay
        return np.fmax(self.moments, self.available)

    def compromised_at(self, known_at: Moments, frauds: Mask) -> Moments:
        """When the first of these frauds on each row's card was known; never, without one."""
        if self.cards is None:
            return np.full(len(self.moments), _NEVER)
        first = np.full(int(self.cards.max(initial=-1)) + 2, _NEVER)  # the last is of no card
        frauds = frauds & (self.cards >= 0)
        np.minimum.at(first, self.cards[frauds], known_at[frauds])
        return first[self.cards]

    def distinct(self, rows: Mask) -> int:
        """Count the cards among the rows."""
        return 0 if self.cards is None else len(np.unique(self.cards[rows]))

    def count(self, rows: Mask) -> tuple[int, int, int]:
        """Rows, those without a label, and frauds."""
        labels = self.labels[rows]
        return len(labels), int(np.isnan(labels).sum()), int((labels == 1).sum())

    def take(self, rows: Mask) -> FrameT:
        """Frame of these rows, as the caller's library makes it."""
        taken: FrameT = self.frame[np.flatnonzero(rows)].to_native()
        return taken


class Lengths(NamedTuple):
    """How long the periods of a split are, and the shortest unit in which they are named."""

    train: np.timedelta64
    delay: np.timedelta64
    test: np.timedelta64
    unit: str

    @classmethod
    def read(cls, train: str, delay: str, test: str) -> Lengths:
        """Read them as texts, such as ``"7d"``."""
        periods = (
            Period.fixed(train, "train"),
            Period.fixed(delay, "label_delay", least=0),
            Period.fixed(test, "test"),
        )
        units = {period.numpy_unit for period in periods}
        shortest = next(unit for unit in ("m", "h", "D") if unit in units)
        first, second, third = (np.timedelta64(period.duration, "us") for period in periods)
        return cls(first, second, third, shortest)

    def begin(self, moments: Moments, start: dt.date | str | None) -> np.datetime64:
        """Begin at ``start``, or so that the test ends with the last unit that has a moment."""
        if start is not None:
            return as_moment(start, "start")
        last = moments.astype(f"M8[{self.unit}]").max()
        end: np.datetime64 = (last + 1).astype("M8[us]")
        return end - self.test - self.delay - self.train

    def bounds(self, start: np.datetime64) -> tuple[np.datetime64, ...]:
        """Begin and end of the training, begin and end of the test."""
        test_start = start + self.train + self.delay
        return start, start + self.train, test_start, test_start + self.test


def as_moment(value: dt.date | str, name: str) -> np.datetime64:
    """Read a date or a moment, as text or object; without a zone it is UTC."""
    try:
        moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(moment, dt.datetime):
            moment = dt.datetime.combine(moment, dt.time())
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        read = np.datetime64(moment, "us")
        if not np.isnat(read):
            return read
    except (TypeError, ValueError, OverflowError):
        pass
    raise ArgumentError(
        f"`{name}` must be a date or a moment, such as '2018-07-25' or '2018-07-25T12:00Z'; got "
        f"{format_value(value)}."
    )


def as_datetime(moment: np.datetime64) -> dt.datetime:
    """Turn a moment into Python's, in UTC."""
    value = moment.astype("M8[us]").item()
    if not isinstance(value, dt.datetime):  # NumPy reaches further than the calendar
        raise ArgumentError("The periods must be within the years 1 to 9999; got later ones.")
    return value.replace(tzinfo=dt.UTC)


def told(begin: np.datetime64, end: np.datetime64) -> str:
    """Say from when to when, to the minute."""
    first, last = (str(one.astype("M8[m]")).replace("T", " ") for one in (begin, end))
    return f"{first} to {last} UTC"


def _column(rows: nw.DataFrame[Any], name: str) -> nw.Series[Any]:
    """Take a column, typed by its values where pandas has it as objects."""
    column: nw.Series[Any] = coerce_object_columns(normalize_types(rows.select(name)), [name])[name]
    return column


def _moments(rows: nw.DataFrame[Any], name: str) -> Moments:
    values = _column(rows, name).to_arrow()
    if pa.types.is_null(values.type):
        values = values.cast(pa.timestamp("us"))
    if not (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)):
        raise ArgumentError(f"Column {name!r} must hold timestamps; it is {values.type}.")
    # Arrow keeps a moment of any zone in UTC, and gives NumPy a missing one as NaT.
    moments: Moments = values.to_numpy(zero_copy_only=False).astype("M8[us]")
    return moments


def _labels(rows: nw.DataFrame[Any], name: str) -> NDArray[np.float64]:
    column = _column(rows, name)
    marked = to_float(column.dtype, name, "a label: true or false, 1 or 0")
    filled = column.to_frame().select(marked.fill_null(np.nan))[name]
    labels: NDArray[np.float64] = filled.to_numpy().astype(np.float64)
    wrong = int((~np.isnan(labels) & (labels != 0) & (labels != 1)).sum())
    if wrong:
        raise ArgumentError(
            f"Column {name!r} must be a label (true or false, 1 or 0, or missing): "
            f"{wrong:,} rows hold something else."
        )
    return labels


def _numbered(rows: nw.DataFrame[Any], name: str) -> NDArray[np.int64]:
    values = _column(rows, name).to_arrow()
    if isinstance(values, pa.ChunkedArray):  # of pandas, a text column that was read in pieces
        values = values.combine_chunks()
    codes = values.dictionary_encode().indices.cast(pa.int64())
    numbers: NDArray[np.int64] = codes.fill_null(-1).to_numpy(zero_copy_only=False)
    return numbers
