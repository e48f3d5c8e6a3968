"""Training and test rows by time, with what was known then."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import pandas as pd

from synfin_analytics._core.arguments import refuse_spelling
from synfin_analytics._core.dataframes import is_lazy_frame
from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._lazy_timeline import LazyRows
from synfin_analytics.metrics._timeline import (
    Columns,
    EagerRows,
    Lengths,
    Timeline,
    open_in_memory,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from narwhals.typing import IntoFrame

    from synfin_analytics.metrics._timeline import Sets, SplitRows

FrameT = TypeVar("FrameT", bound="IntoFrame")


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
        Those of a lazy frame are lazy, and in no order.
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


@refuse_spelling(delay="label_delay")
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
        Transactions, one a row: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
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
    lengths = Lengths.parse(train, label_delay, test)
    columns = Columns(timestamp, label, label_available_at, entity if drop_compromised else None)
    split: TimeSplit[FrameT]
    (split,) = split_frame(df, columns, lengths, start, caller="time_split")
    return split


def split_frame(
    df: FrameT,
    columns: Columns,
    lengths: Lengths,
    start: dt.date | str | None,
    n_splits: int = 1,
    *,
    caller: str,
) -> Iterator[TimeSplit[FrameT]]:
    """Split a frame of any engine once or repeatedly; all splits are checked before the first.

    The last split begins at ``start``; see :meth:`Lengths.find_starts`.
    """
    rows: SplitRows
    if is_lazy_frame(df):
        rows = LazyRows.open(df, columns, caller)
    else:
        frame = open_in_memory(df, "df")
        rows = EagerRows(frame, Timeline.from_frame(frame, columns))
    starts = lengths.find_starts(rows.last, start, n_splits)
    return (_to_split(sets, lengths) for sets in rows.split(lengths, starts))


def _to_split(sets: Sets, lengths: Lengths) -> TimeSplit[Any]:
    train_start, train_end, test_start, test_end = map(_to_datetime, lengths.bounds(sets.start))
    return TimeSplit(
        train=sets.train,
        test=sets.test,
        start=train_start,
        train_end=train_end,
        test_start=test_start,
        test_end=test_end,
        n_compromised=sets.n_compromised,
        parts=tuple(Part(name, *count) for name, count in sets.parts.items()),
    )


def _to_datetime(moment: np.datetime64) -> dt.datetime:
    value = moment.astype("M8[us]").item()
    if not isinstance(value, dt.datetime):  # NumPy's range is larger than Python's
        raise ArgumentError("The periods must be within the years 1 to 9999; got later ones.")
    return value.replace(tzinfo=dt.UTC)


def _format_period(start: dt.datetime, end: dt.datetime) -> str:
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _format_part(part: Part) -> str:
    unlabelled = f", {part.n_unlabelled:,} unlabelled" if part.n_unlabelled else ""
    return f"{pluralize(part.n, 'row')}, {pluralize(part.n_frauds, 'fraud')}{unlabelled}"
