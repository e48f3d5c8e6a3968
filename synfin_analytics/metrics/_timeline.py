"""Which rows are learnt from and tested on, from the time, label and entity of each row.

For rows in memory this is decided on arrays (:func:`assign_rows`), and the engine of a frame
matters only where columns are read. ``_lazy_timeline`` states the same rules as expressions.
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import narwhals as nw
import numpy as np
import pyarrow as pa

from synfin_analytics._core.arguments import check_column_name, format_value
from synfin_analytics._core.dataframes import (
    ENGINES,
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
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats, Integers, Mask

    Timestamps: TypeAlias = NDArray[np.datetime64]

_DAY = np.timedelta64(86_400_000_000, "us")
_NEVER = np.datetime64(np.iinfo(np.int64).max, "us")
TRAINING, TEST, BEFORE, UNLABELLED, LATE, DELAY, COMPROMISED, AFTER = PARTS = (
    "training",
    "test",
    "before the training period",
    "in the training period, without a label",
    "in the training period, labelled after the test began",
    "in the delay, between training and test",
    "in the test period, of entities known to be compromised",
    "after the test period",
)
#: Parts of each period, the set first.
_PERIODS = {TRAINING: (TRAINING, UNLABELLED, LATE), TEST: (TEST, COMPROMISED)}
#: What a row needs to be in a set, apart from the right time.
_CONDITIONS = {
    "training": "has a label that is known when the test begins",
    "test": "is of an entity not known to be compromised (drop_compromised=False keeps them)",
}


class Columns(NamedTuple):
    """Names of the columns that a split reads; None for those that it does without."""

    timestamp: str
    label: str
    label_available_at: str | None
    entity: str | None

    def check(self, available: Sequence[str]) -> None:
        """Raise an error unless each name is a text and a column of the frame."""
        for argument, name in self._asdict().items():
            if name is not None:
                check_columns([check_column_name(name, argument)], available)

    @property
    def names(self) -> list[str]:
        """The names, each once."""
        return list(dict.fromkeys(name for name in self if name is not None))

    @property
    def times(self) -> list[str]:
        """The names of the columns of times."""
        return self._replace(label=self.timestamp, entity=None).names

    def rename(self, names: Mapping[str, str]) -> Columns:
        """Return the same columns by other names."""
        available, entity = (
            None if name is None else names[name] for name in (self.label_available_at, self.entity)
        )
        return Columns(names[self.timestamp], names[self.label], available, entity)


class Count(NamedTuple):
    """Number of rows, of unlabelled ones, and of frauds."""

    n: int
    n_unlabelled: int
    n_frauds: int


class Sets(NamedTuple):
    """The two sets of a split, and what is in each part of the frame.

    ``parts`` has all :data:`PARTS` in their order, ``n_compromised`` is the number of entities.
    """

    start: np.datetime64
    train: Any
    test: Any
    parts: dict[str, Count]
    n_compromised: int


class SplitRows(Protocol):
    """Rows of a frame that can be split."""

    @property
    def last(self) -> np.datetime64:
        """The time of the last row."""

    def split(self, lengths: Lengths, starts: Sequence[np.datetime64]) -> Iterator[Sets]:
        """Split once for each start; all are checked before the first is returned."""


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
    def from_frame(cls, frame: nw.DataFrame[Any], columns: Columns) -> Timeline:
        """Read columns of a frame; an ArgumentError says what they hold instead."""
        columns.check(frame.columns)
        check_n_rows(len(frame))
        timestamp, label, available, entity = columns
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

    def count(self, rows: Mask) -> Count:
        """Count the rows."""
        labels = self.labels[rows]
        return Count(len(labels), int(np.isnan(labels).sum()), int((labels == 1).sum()))


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

    def find_starts(
        self, last: np.datetime64, start: dt.date | str | None, n_splits: int = 1
    ) -> list[np.datetime64]:
        """Return the starts of splits, each one test period after the one before.

        The last split begins at ``start`` or, by default, so that its test ends with the unit of
        the ``last`` row.
        """
        if start is not None:
            moment = parse_time(start, "start")
            latest: np.datetime64 = np.datetime64(
                moment.astimezone(dt.UTC).replace(tzinfo=None), "us"
            )
        else:
            end = (last.astype(f"M8[{self.unit}]") + 1).astype("M8[us]")
            latest = end - self.test - self.label_delay - self.train
        return [latest - split * self.test for split in reversed(range(n_splits))]

    def bounds(self, start: np.datetime64) -> tuple[np.datetime64, ...]:
        """Return start and end of the training, then start and end of the test."""
        test_start = start + self.train + self.label_delay
        return start, start + self.train, test_start, test_start + self.test


def assign_rows(
    timeline: Timeline, lengths: Lengths, start: np.datetime64
) -> tuple[dict[str, Mask], int]:
    """Assign every row to exactly one part; raise an ArgumentError for an empty set."""
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
    parts = {
        TRAINING: training & labelled & in_time,
        TEST: testing & ~compromised,
        BEFORE: time < train_start,
        UNLABELLED: training & ~labelled,
        LATE: training & labelled & ~in_time,
        DELAY: (train_end <= time) & (time < test_start),
        COMPROMISED: compromised,
        AFTER: test_end <= time,
    }
    sizes = {name: int(np.count_nonzero(rows)) for name, rows in parts.items()}
    check_sets(sizes, lengths.bounds(start), (time.min(), time.max()))
    return parts, timeline.count_entities(compromised)


def check_n_rows(n_rows: int) -> None:
    """Raise an ArgumentError for a frame without rows."""
    if not n_rows:
        raise ArgumentError("`df` must have rows to split; got none.")


def check_sets(
    sizes: Mapping[str, int],
    bounds: Sequence[np.datetime64],
    extent: tuple[np.datetime64, np.datetime64],
) -> None:
    """Raise an ArgumentError for an empty set, with the reason.

    Parameters
    ----------
    sizes
        Number of rows of each part.
    bounds
        As :meth:`Lengths.bounds` returns them.
    extent
        Times of the first and the last row.
    """
    for (name, parts), period_bounds in zip(
        _PERIODS.items(), (bounds[:2], bounds[2:]), strict=True
    ):
        period = f"the {name} period, {format_range(*period_bounds)}"
        n_rows = sum(sizes[part] for part in parts)
        if not n_rows:
            raise ArgumentError(
                f"There are no rows in {period}: the rows are from {format_range(*extent)}."
            )
        if not sizes[name]:
            raise ArgumentError(f"None of the {n_rows:,} rows in {period}, {_CONDITIONS[name]}.")


def format_range(start: np.datetime64, end: np.datetime64) -> str:
    """Format two moments to the minute."""
    first, last = (str(moment.astype("M8[m]")).replace("T", " ") for moment in (start, end))
    return f"{first} to {last} UTC"


# -- Columns ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class EagerRows:
    """Rows of a frame in memory."""

    frame: nw.DataFrame[Any]
    timeline: Timeline

    @property
    def last(self) -> np.datetime64:
        """The time of the last row."""
        last: np.datetime64 = self.timeline.timestamps.max()
        return last

    def split(self, lengths: Lengths, starts: Sequence[np.datetime64]) -> Iterator[Sets]:
        """Split once for each start; all are checked before the first is returned."""
        first = self._split(lengths, starts[0])
        for start in starts[1:]:
            assign_rows(self.timeline, lengths, start)
        return itertools.chain([first], (self._split(lengths, start) for start in starts[1:]))

    def _split(self, lengths: Lengths, start: np.datetime64) -> Sets:
        parts, n_compromised = assign_rows(self.timeline, lengths, start)
        train, test = (
            self.frame[np.flatnonzero(parts[name])].to_native() for name in (TRAINING, TEST)
        )
        counts = {name: self.timeline.count(rows) for name, rows in parts.items()}
        return Sets(start, train, test, counts, n_compromised)


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
            f"`{argument}` must be a DataFrame of {ENGINES}; got {format_value(df)}."
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
    check_n_missing(int(np.isnat(timestamps).sum()), len(timestamps), name)
    return timestamps


def check_n_missing(n_missing: int, n_rows: int, name: str) -> None:
    """Raise an ArgumentError if timestamps are missing."""
    if n_missing:
        raise ArgumentError(
            f"Column {name!r} must have a timestamp in each row; {n_missing:,} of {n_rows:,} are "
            "missing. Drop or fill these rows."
        )


def read_labels(frame: nw.DataFrame[Any], name: str) -> Floats:
    """Return a column of labels: 1.0 fraud, 0.0 genuine, NaN unlabelled."""
    column = _column(frame, name)
    filled = column.to_frame().select(label_to_float(column.dtype, name).fill_null(np.nan))[name]
    labels: Floats = filled.to_numpy().astype(np.float64)
    check_labels(labels, name)
    return labels


def read_codes(frame: nw.DataFrame[Any], name: str) -> Integers:
    """Return a code for each value of a column, -1 for a missing one, NaN included."""
    column = _column(frame, name)
    array = (column.fill_nan(None) if column.dtype.is_float() else column).to_arrow()
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    indices = array.dictionary_encode().indices.cast(pa.int64())
    codes: Integers = indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes
