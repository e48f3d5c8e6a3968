"""Training and test rows by time, with what was known then: labels late, compromised cards blocked.

The engine of the frame matters only where columns are read and rows are taken. Which row belongs to
which set is decided here, on arrays of timestamps, labels and entities.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from synfin_analytics._core.arguments import check_column_name, check_integer, format_value
from synfin_analytics._core.dataframes import (
    check_columns,
    check_labels,
    coerce_object_columns,
    label_to_float,
    normalize_types,
)
from synfin_analytics._core.dates import Period, parse_time
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError, require_unique_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    Timestamps = NDArray[np.datetime64]
    Mask = NDArray[np.bool_]

FrameT = TypeVar("FrameT", bound="IntoDataFrame")

_DAY = np.timedelta64(86_400_000_000, "us")
_NEVER = np.datetime64(np.iinfo(np.int64).max, "us")
#: What a row needs to be in a set, apart from the right time.
_CONDITIONS = {
    "training": "has a label that is known when the test begins",
    "test": "is of an entity not known to be compromised (drop_compromised=False keeps them)",
}


class Part(NamedTuple):
    """Rows that a split treats alike: their number, and how many are unlabelled and fraud."""

    name: str
    n: int
    n_unlabelled: int
    n_frauds: int


@dataclass(frozen=True, repr=False, eq=False)
class TimeSplit(Result, Generic[FrameT]):
    """Training and test rows; :func:`time_split` returns it.

    :meth:`to_frame` has one row for each set, and for each reason to be in none: ``part``,
    ``rows``, ``unlabelled`` and ``frauds``.

    Attributes
    ----------
    train, test
        The rows of the two sets: frames of the same kind as the input, in the order of its rows.
    start, train_end, test_start, test_end
        Start and end of training and test, in UTC. A period includes its first moment and excludes
        its last.
    n_compromised
        Entities whose rows are left out of the test because they were known to be compromised.
    parts
        All rows of the frame: the training set, the test set, and those that are left out, by
        reason.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame({"day": [1, 2, 3], "customer_id": ["a", "b", "c"], "is_fraud": [1, 0, 0]})
    >>> df = df.with_columns(pl.datetime(2026, 3, "day").alias("timestamp"))
    >>> split = time_split(df, train="1d", label_delay="1d", test="1d")
    >>> split.train["customer_id"].to_list(), split.test["customer_id"].to_list()
    (['a'], ['c'])
    >>> {reason: rows for reason, rows in split.left_out.items() if rows}
    {'in the delay, between training and test': 1}
    """

    train: FrameT
    test: FrameT
    start: dt.datetime
    train_end: dt.datetime
    test_start: dt.datetime
    test_end: dt.datetime
    n_compromised: int
    parts: tuple[Part, ...]

    @property
    def left_out(self) -> dict[str, int]:
        """Reasons to be in neither set, and the number of rows for each."""
        return {part.name: part.n for part in self.parts[2:]}

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame(self.parts, columns=["part", "rows", "unlabelled", "frauds"])

    def _record(self) -> Mapping[str, Any]:
        return {
            "start": self.start,
            "train_end": self.train_end,
            "test_start": self.test_start,
            "test_end": self.test_end,
            "n_compromised": self.n_compromised,
            "parts": self._table(),
        }

    def __repr__(self) -> str:
        train, test, *left_out = self.parts
        reasons = [f"{part.n:,} {part.name}" for part in left_out if part.n]
        return "\n".join(
            [
                f"training, {_format_period(self.start, self.train_end)}: {_format_part(train)}",
                f"test, {_format_period(self.test_start, self.test_end)}: {_format_part(test)}",
                "left out: " + ("; ".join(reasons) if reasons else "nothing"),
            ]
        )

    def _repr_html_(self) -> str:
        train, test = self.parts[:2]
        periods = {
            train.name: _format_period(self.start, self.train_end),
            test.name: _format_period(self.test_start, self.test_end),
        }
        rows = [
            (
                f"{part.name}, {periods[part.name]}" if part.name in periods else part.name,
                f"{part.n:,}",
                f"{part.n_unlabelled:,}",
                f"{part.n_frauds:,}",
            )
            for part in self.parts
            if part.n or part.name in periods
        ]
        return table_html(("part", "rows", "unlabelled", "frauds"), rows, caption="Split by time")


def time_split(
    df: FrameT,
    train: str = "7d",
    label_delay: str = "7d",
    test: str = "7d",
    *,
    start: dt.date | str | None = None,
    timestamp: str = "timestamp",
    label: str = "is_fraud",
    label_available_at: str | None = None,
    entity: str = "customer_id",
    drop_compromised: bool = True,
) -> TimeSplit[FrameT]:
    """Split transactions by time into a training and a test set, with what is known by then.

    A model learns from the period ``train``, waits ``label_delay`` for the labels, and is tested on
    the period ``test`` after it. The training set contains nothing that was unknown when the test
    begins, and the test set no rows of cards that would have been blocked by then.

    Parameters
    ----------
    df
        Transactions, one a row, in memory: pandas, polars or pyarrow. Collect a lazy frame first.
    train, label_delay, test
        Length of each period: a whole number and m, h, d or w. ``label_delay`` may be ``"0d"``.
    start
        Start of the training, such as ``"2018-07-25"``; without a time zone it is UTC. By default
        as late as the rows allow: the test ends with the last day (hour, minute: the shortest unit
        among the periods) that has a row.
    timestamp, label
        Columns of the time and the label. A timestamp without a time zone is taken as UTC.
    label_available_at
        Column of the time from which each label was known; a missing value means at once. Without
        this column, each label was known ``label_delay`` after its row.
    entity
        Column of what is blocked: cards or customers.
    drop_compromised
        Leave out of the test, from each of its days, the entities that were known to be compromised
        when the day began (days of 24 hours from the start of the test): those with a fraud since
        ``start`` whose label was known by then. A row without an entity is never left out.

    Returns
    -------
    TimeSplit
        ``.train`` and ``.test``, and how many rows are in neither, and why. Test rows without a
        label stay, and the evaluation counts them; training rows without one do not.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        A set would be empty (the message says which, and why), a timestamp is missing, a label is
        neither 0 nor 1, or a period is invalid.

    Notes
    -----
    With ``label_delay`` and days this is the split of the *Fraud Detection Handbook* (Le Borgne,
    Siblini, Lebichot and Bontempi, 2022, chapter 3). Cards that were compromised before ``start``
    stay, as they do there, since they have been replaced.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "timestamp": ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-03"],
    ...         "customer_id": ["a", "b", "a", "b"],
    ...         "is_fraud": [True, False, False, False],
    ...     }
    ... ).with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))
    >>> time_split(df, train="1d", label_delay="1d", test="1d")
    training, 2026-03-01 00:00 to 2026-03-02 00:00 UTC: 1 row, 1 fraud
    test, 2026-03-03 00:00 to 2026-03-04 00:00 UTC: 1 row, 0 frauds
    left out: 1 in the delay, between training and test; 1 in the test period, of entities known to
    be compromised
    """
    lengths = _Lengths.parse(train, label_delay, test)
    entities = entity if drop_compromised else None
    timeline = _Timeline.from_frame(df, timestamp, label, label_available_at, entities)
    return _split(timeline, lengths, lengths.find_start(timeline.timestamps, start))


def prequential_folds(
    df: FrameT,
    n_folds: int = 4,
    *,
    train: str = "7d",
    label_delay: str = "7d",
    test: str = "7d",
    start: dt.date | str | None = None,
    timestamp: str = "timestamp",
    label: str = "is_fraud",
    label_available_at: str | None = None,
    entity: str = "customer_id",
    drop_compromised: bool = True,
) -> Iterator[TimeSplit[FrameT]]:
    """Split repeatedly, the latest first, each time one test period earlier.

    No two folds test on the same rows, and each learns only from what was known when its own test
    began. The spread of a metric over the folds is its variation over time (prequential evaluation:
    Gama, Sebastião and Rodrigues, 2013).

    Parameters
    ----------
    df, train, label_delay, test, timestamp, label, label_available_at, entity, drop_compromised
        As for :func:`time_split`.
    n_folds
        Number of splits.
    start
        Start of the training of the first fold, the latest. By default as late as the rows allow.

    Yields
    ------
    TimeSplit
        One at a time; all are checked before the first is made.

    Raises
    ------
    NotFoundError, ArgumentError
        As for :func:`time_split`, and if the rows do not reach back far enough.

    Examples
    --------
    >>> import datetime as dt
    >>> import polars as pl
    >>> days = pl.datetime_range(dt.datetime(2026, 3, 1), dt.datetime(2026, 3, 8), "1d", eager=True)
    >>> df = pl.DataFrame({"timestamp": days, "customer_id": range(8), "is_fraud": False})
    >>> for fold in prequential_folds(df, 3, train="2d", label_delay="1d", test="1d"):
    ...     print(fold.start.date(), fold.test_start.date())
    2026-03-05 2026-03-08
    2026-03-04 2026-03-07
    2026-03-03 2026-03-06
    """
    n_folds = check_integer(n_folds, "n_folds", minimum=1)
    lengths = _Lengths.parse(train, label_delay, test)
    entities = entity if drop_compromised else None
    timeline = _Timeline.from_frame(df, timestamp, label, label_available_at, entities)
    latest = lengths.find_start(timeline.timestamps, start)
    starts = [latest - fold * lengths.test for fold in range(n_folds)]
    for fold_start in starts:
        _assign_rows(timeline, lengths, fold_start)
    return (_split(timeline, lengths, fold_start) for fold_start in starts)


def _split(
    timeline: _Timeline[FrameT], lengths: _Lengths, start: np.datetime64
) -> TimeSplit[FrameT]:
    sets, n_compromised = _assign_rows(timeline, lengths, start)
    train_start, train_end, test_start, test_end = map(_to_datetime, lengths.bounds(start))
    return TimeSplit(
        train=timeline.take(sets["training"]),
        test=timeline.take(sets["test"]),
        start=train_start,
        train_end=train_end,
        test_start=test_start,
        test_end=test_end,
        n_compromised=n_compromised,
        parts=tuple(Part(name, *timeline.count(rows)) for name, rows in sets.items()),
    )


def _assign_rows(
    timeline: _Timeline[FrameT], lengths: _Lengths, start: np.datetime64
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
        period = f"the {name} period, {_format_range(*bounds)}"
        if not in_period.any():
            raise ArgumentError(
                f"There are no rows in {period}: the frame has rows from "
                f"{_format_range(time.min(), time.max())}."
            )
        if not sets[name].any():
            raise ArgumentError(
                f"None of the {in_period.sum():,} rows in {period}, {_CONDITIONS[name]}."
            )
    return sets, timeline.count_entities(compromised)


# -- Time and labels of the rows -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Timeline(Generic[FrameT]):
    """The rows of a frame in memory, and arrays with one element for each.

    Parameters
    ----------
    frame
        The rows.
    timestamps
        In UTC.
    labels
        1.0 fraud, 0.0 genuine, NaN unlabelled.
    available
        When the labels became known, NaT for at once; None without such a column.
    entities
        Code of each row's entity, -1 for none; None if entities do not matter.
    """

    frame: nw.DataFrame[Any]
    timestamps: Timestamps
    labels: NDArray[np.float64]
    available: Timestamps | None
    entities: NDArray[np.int64] | None

    @classmethod
    def from_frame(
        cls, df: FrameT, timestamp: str, label: str, available: str | None, entity: str | None
    ) -> _Timeline[FrameT]:
        try:
            frame = nw.from_native(df, eager_only=True)
        except nw.exceptions.DuplicateError:
            require_unique_columns(df)
            raise
        except TypeError:
            raise ArgumentError(
                "`df` must be a DataFrame of pandas, polars or pyarrow, in memory; got "
                f"{format_value(df)}. Collect a lazy frame first."
            ) from None
        if frame.implementation.is_polars():
            require_thread_pool()
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
        timestamps = _read_timestamps(frame, timestamp)
        missing = int(np.isnat(timestamps).sum())
        if missing:
            raise ArgumentError(
                f"Column {timestamp!r} must have a timestamp in each row; {missing:,} of "
                f"{len(timestamps):,} are missing. Drop or fill these rows."
            )
        return cls(
            frame,
            timestamps,
            _read_labels(frame, label),
            None if available is None else _read_timestamps(frame, available),
            None if entity is None else _read_codes(frame, entity),
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

    def take(self, rows: Mask) -> FrameT:
        """Return a frame of these rows, of the same kind as the input."""
        taken: FrameT = self.frame[np.flatnonzero(rows)].to_native()
        return taken


class _Lengths(NamedTuple):
    """Lengths of the periods of a split, and the shortest unit among them."""

    train: np.timedelta64
    label_delay: np.timedelta64
    test: np.timedelta64
    unit: str

    @classmethod
    def parse(cls, train: str, label_delay: str, test: str) -> _Lengths:
        periods = (
            Period.parse_fixed(train, "train"),
            Period.parse_fixed(label_delay, "label_delay", minimum=0),
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


def _column(frame: nw.DataFrame[Any], name: str) -> nw.Series[Any]:
    """Return a column, with the type of its values if pandas holds objects."""
    column: nw.Series[Any] = coerce_object_columns(normalize_types(frame.select(name)), [name])[
        name
    ]
    return column


def _read_timestamps(frame: nw.DataFrame[Any], name: str) -> Timestamps:
    array = _column(frame, name).to_arrow()
    if pa.types.is_null(array.type):
        array = array.cast(pa.timestamp("us"))
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        raise ArgumentError(f"Column {name!r} must hold timestamps; it is {array.type}.")
    # Arrow stores timestamps of any zone in UTC, and gives NumPy missing ones as NaT.
    timestamps: Timestamps = array.to_numpy(zero_copy_only=False).astype("M8[us]")
    return timestamps


def _read_labels(frame: nw.DataFrame[Any], name: str) -> NDArray[np.float64]:
    column = _column(frame, name)
    filled = column.to_frame().select(label_to_float(column.dtype, name).fill_null(np.nan))[name]
    labels: NDArray[np.float64] = filled.to_numpy().astype(np.float64)
    check_labels(labels, name)
    return labels


def _read_codes(frame: nw.DataFrame[Any], name: str) -> NDArray[np.int64]:
    array = _column(frame, name).to_arrow()
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    indices = array.dictionary_encode().indices.cast(pa.int64())
    codes: NDArray[np.int64] = indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes


# -- Formatting ------------------------------------------------------------------------------------


def _to_datetime(moment: np.datetime64) -> dt.datetime:
    value = moment.astype("M8[us]").item()
    if not isinstance(value, dt.datetime):  # NumPy's range is larger than Python's
        raise ArgumentError("The periods must be within the years 1 to 9999; got later ones.")
    return value.replace(tzinfo=dt.UTC)


def _format_range(start: np.datetime64, end: np.datetime64) -> str:
    first, last = (str(moment.astype("M8[m]")).replace("T", " ") for moment in (start, end))
    return f"{first} to {last} UTC"


def _format_period(start: dt.datetime, end: dt.datetime) -> str:
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _format_part(part: Part) -> str:
    unlabelled = f", {part.n_unlabelled:,} unlabelled" if part.n_unlabelled else ""
    return f"{pluralize(part.n, 'row')}, {pluralize(part.n_frauds, 'fraud')}{unlabelled}"
