"""Which rows are learnt from and tested on, from the time, label and entity of each row.

The engine of a frame matters only where columns are read. Which row belongs to which set is decided
on arrays.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import narwhals as nw
import numpy as np
import pyarrow as pa

from synfin_analytics._core.arguments import check_column_name, format_value
from synfin_analytics._core.dataframes import (
    check_columns,
    check_labels,
    coerce_object_columns,
    label_to_float,
    normalize_types,
)
from synfin_analytics._core.dates import Period, parse_time
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.transaction_source import TransactionSource
from synfin_analytics.exceptions import ArgumentError, require_unique_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats, Integers, Mask

    Timestamps: TypeAlias = NDArray[np.datetime64]

_DAY = np.timedelta64(86_400_000_000, "us")
_NEVER = np.datetime64(np.iinfo(np.int64).max, "us")
#: What a row needs to be in a set, apart from the right time.
_CONDITIONS = {
    "training": "has a label that is known when the test begins",
    "test": "is of an entity not known to be compromised (drop_compromised=False keeps them)",
}


@dataclass(frozen=True, eq=False)
class Timeline:
    """Arrays with one element for each row.

    Parameters
    ----------
    timestamps
        In UTC.
    labels
        1.0 fraud, 0.0 genuine, NaN unlabelled.
    available
        When the labels became known, NaT for at once; None without such a column.
    entities
        Code of each row's entity, -1 for none; None if entities do not matter.
    """

    timestamps: Timestamps
    labels: Floats
    available: Timestamps | None
    entities: Integers | None

    @classmethod
    def from_frame(
        cls,
        frame: nw.DataFrame[Any],
        timestamp: str,
        label: str,
        available: str | None,
        entity: str | None,
    ) -> Timeline:
        """Read columns of a frame; an ArgumentError says what they hold instead."""
        columns = {
            "timestamp": timestamp,
            "label": label,
            "label_available_at": available,
            "entity": entity,
        }
        for argument, name in columns.items():
            if name is not None:
                check_columns([check_column_name(name, argument)], frame.columns)
        if not len(frame):
            raise ArgumentError("`df` must have rows to split; got none.")
        return cls(
            read_complete_timestamps(frame, timestamp),
            read_labels(frame, label),
            None if available is None else read_timestamps(frame, available),
            None if entity is None else read_codes(frame, entity),
        )

    def known_at(self, label_delay: np.timedelta64) -> Timestamps:
        """Return when each label was known: never before its row."""
        if self.available is None:
            return self.timestamps + label_delay
        return np.fmax(self.timestamps, self.available)

    def compromised_at(self, known_at: Timestamps, frauds: Mask) -> Timestamps:
        """Return when the first of these frauds of each row's entity was known, or never."""
        if self.entities is None:
            return np.full(len(self.timestamps), _NEVER)
        first = np.full(int(self.entities.max(initial=-1)) + 2, _NEVER)  # the last for no entity
        frauds = frauds & (self.entities >= 0)
        np.minimum.at(first, self.entities[frauds], known_at[frauds])
        return first[self.entities]

    def count_entities(self, rows: Mask) -> int:
        """Return the number of distinct entities among the rows."""
        return 0 if self.entities is None else len(np.unique(self.entities[rows]))

    def count(self, rows: Mask) -> tuple[int, int, int]:
        """Return the number of rows, of unlabelled ones, and of frauds."""
        labels = self.labels[rows]
        return len(labels), int(np.isnan(labels).sum()), int((labels == 1).sum())


class Lengths(NamedTuple):
    """Lengths of the periods of a split, and the shortest unit among them."""

    train: np.timedelta64
    label_delay: np.timedelta64
    test: np.timedelta64
    unit: str

    @classmethod
    def parse(
        cls, train: str, label_delay: str, test: str, delay_name: str = "label_delay"
    ) -> Lengths:
        """Parse three periods; ``delay_name`` is the name of the second one for messages."""
        periods = (
            Period.parse_fixed(train, "train"),
            Period.parse_fixed(label_delay, delay_name, minimum=0),
            Period.parse_fixed(test, "test"),
        )
        units = {period.numpy_unit for period in periods}
        shortest = next(unit for unit in ("m", "h", "D") if unit in units)
        first, second, third = (np.timedelta64(period.duration, "us") for period in periods)
        return cls(first, second, third, shortest)

    def find_start(self, timestamps: Timestamps, start: dt.date | str | None) -> np.datetime64:
        """Return ``start`` or, by default, one by which the test ends with the last row's unit."""
        if start is not None:
            moment = parse_time(start, "start")
            return np.datetime64(moment.astimezone(dt.UTC).replace(tzinfo=None), "us")
        last = timestamps.astype(f"M8[{self.unit}]").max()
        end: np.datetime64 = (last + 1).astype("M8[us]")
        return end - self.test - self.label_delay - self.train

    def bounds(self, start: np.datetime64) -> tuple[np.datetime64, ...]:
        """Return start and end of the training, then start and end of the test."""
        test_start = start + self.train + self.label_delay
        return start, start + self.train, test_start, test_start + self.test


def assign_rows(
    timeline: Timeline, lengths: Lengths, start: np.datetime64
) -> tuple[dict[str, Mask], int]:
    """Assign every row to exactly one set; raise an ArgumentError for an empty one."""
    train_start, train_end, test_start, test_end = lengths.bounds(start)
    time = timeline.timestamps
    training = (train_start <= time) & (time < train_end)
    testing = (test_start <= time) & (time < test_end)
    known_at = timeline.known_at(lengths.label_delay)
    labelled = ~np.isnan(timeline.labels)
    in_time = known_at <= test_start
    day = test_start + (time - test_start) // _DAY * _DAY
    frauds = (timeline.labels == 1) & (time >= train_start)
    compromised = testing & (timeline.compromised_at(known_at, frauds) <= day)
    sets = {
        "training": training & labelled & in_time,
        "test": testing & ~compromised,
        "before the training period": time < train_start,
        "in the training period, without a label": training & ~labelled,
        "in the training period, labelled after the test began": training & labelled & ~in_time,
        "in the delay, between training and test": (train_end <= time) & (time < test_start),
        "in the test period, of entities known to be compromised": compromised,
        "after the test period": test_end <= time,
    }
    for name, in_period, bounds in (
        ("training", training, (train_start, train_end)),
        ("test", testing, (test_start, test_end)),
    ):
        period = f"the {name} period, {format_range(*bounds)}"
        if not in_period.any():
            raise ArgumentError(
                f"There are no rows in {period}: the rows are from "
                f"{format_range(time.min(), time.max())}."
            )
        if not sets[name].any():
            raise ArgumentError(
                f"None of the {in_period.sum():,} rows in {period}, {_CONDITIONS[name]}."
            )
    return sets, timeline.count_entities(compromised)


def format_range(start: np.datetime64, end: np.datetime64) -> str:
    """Format two moments to the minute."""
    first, last = (str(moment.astype("M8[m]")).replace("T", " ") for moment in (start, end))
    return f"{first} to {last} UTC"


# -- Columns ---------------------------------------------------------------------------------------


def open_in_memory(df: Any, argument: str) -> nw.DataFrame[Any]:
    """Wrap a frame in memory."""
    if isinstance(df, TransactionSource):
        df = df.transactions.collect()
    try:
        frame: nw.DataFrame[Any] = nw.from_native(df, eager_only=True)
    except nw.exceptions.DuplicateError:
        require_unique_columns(df)
        raise
    except TypeError:
        raise ArgumentError(
            f"`{argument}` must be a DataFrame of pandas, polars or pyarrow, in memory; got "
            f"{format_value(df)}. Collect a lazy frame first."
        ) from None
    if frame.implementation.is_polars():
        require_thread_pool()
    return frame


def _column(frame: nw.DataFrame[Any], name: str) -> nw.Series[Any]:
    """Return a column, with the type of its values if pandas holds objects."""
    column: nw.Series[Any] = coerce_object_columns(normalize_types(frame.select(name)), [name])[
        name
    ]
    return column


def read_timestamps(frame: nw.DataFrame[Any], name: str) -> Timestamps:
    """Return a column of times in UTC; a missing one is NaT."""
    array = _column(frame, name).to_arrow()
    if pa.types.is_null(array.type):
        array = array.cast(pa.timestamp("us"))
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        raise ArgumentError(f"Column {name!r} must hold timestamps; it is {array.type}.")
    # Arrow stores timestamps of any zone in UTC, and gives NumPy missing ones as NaT.
    timestamps: Timestamps = array.to_numpy(zero_copy_only=False).astype("M8[us]")
    return timestamps


def read_complete_timestamps(frame: nw.DataFrame[Any], name: str) -> Timestamps:
    """Return a column of times in UTC; raise an ArgumentError if one is missing."""
    timestamps = read_timestamps(frame, name)
    missing = int(np.isnat(timestamps).sum())
    if missing:
        raise ArgumentError(
            f"Column {name!r} must have a timestamp in each row; {missing:,} of "
            f"{len(timestamps):,} are missing. Drop or fill these rows."
        )
    return timestamps


def read_labels(frame: nw.DataFrame[Any], name: str) -> Floats:
    """Return a column of labels: 1.0 fraud, 0.0 genuine, NaN unlabelled."""
    column = _column(frame, name)
    filled = column.to_frame().select(label_to_float(column.dtype, name).fill_null(np.nan))[name]
    labels: Floats = filled.to_numpy().astype(np.float64)
    check_labels(labels, name)
    return labels


def read_codes(frame: nw.DataFrame[Any], name: str) -> Integers:
    """Return a code for each value of a column, -1 for a missing one."""
    array = _column(frame, name).to_arrow()
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    indices = array.dictionary_encode().indices.cast(pa.int64())
    codes: Integers = indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes
