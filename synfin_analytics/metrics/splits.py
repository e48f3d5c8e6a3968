"""Training and test rows by time, as they can be known on the day: labels late, cards blocked.

The frame's kind matters only where its columns are read and its rows are taken; what belongs to
which set is decided here, once, on arrays of moments, labels and cards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

from synfin_analytics._core.arguments import check_integer
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._timeline import Lengths, Timeline, as_datetime, told

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    import pandas as pd
    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

FrameT = TypeVar("FrameT", bound="IntoDataFrame")
_DAY = np.timedelta64(86_400_000_000, "us")
#: What a row needs to be in a set, besides the right time.
_WANTED = {
    "training": "has a label that is known when the test begins",
    "test": "is of a card not known to be compromised (drop_compromised=False keeps such cards)",
}


class Part(NamedTuple):
    """Rows that a split treats alike: how many, and how many of them have which label."""

    name: str
    n: int
    n_unlabelled: int
    n_frauds: int


@dataclass(frozen=True, repr=False, eq=False)
class TimeSplit(Generic[FrameT]):
    """Training and test rows of :func:`time_split`; shows itself in words.

    Attributes
    ----------
    train, test
        The rows of the two sets: frames of the kind that came in, in the order of its rows.
    start, train_end, test_start, test_end
        When the training begins and ends, and when the test does; in UTC. A period includes its
        first moment and excludes its last.
    n_compromised
        Cards whose rows are left out of the test because they were known to be compromised.
    parts
        Every row of the frame, by what became of it: the training set, the test set, and those
        that are left out, by reason.
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
        """Why rows are in neither set, and how many they are."""
        return {part.name: part.n for part in self.parts[2:]}

    def summary(self) -> pd.DataFrame:
        """One row for each set and each reason to be in none, with rows, unlabelled and frauds."""
        import pandas as pd

        return pd.DataFrame(self.parts, columns=["part", "rows", "unlabelled", "frauds"])

    def __repr__(self) -> str:
        train, test, *others = self.parts
        reasons = [f"{part.n:,} {part.name}" for part in others if part.n]
        return "\n".join(
            [
                f"training, {_told(self.start, self.train_end)}: {_counted(train)}",
                f"test, {_told(self.test_start, self.test_end)}: {_counted(test)}",
                "left out: " + ("; ".join(reasons) if reasons else "nothing"),
            ]
        )


def _told(begin: dt.datetime, end: dt.datetime) -> str:
    return f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def _counted(part: Part) -> str:
    unlabelled = f", {part.n_unlabelled:,} not labelled" if part.n_unlabelled else ""
    rows, frauds = (
        f"{number:,} {word}{'' if number == 1 else 's'}"
        for number, word in ((part.n, "row"), (part.n_frauds, "fraud"))
    )
    return f"{rows}, {frauds}{unlabelled}"


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

    A model learns from the period ``train``, waits ``label_delay`` for the labels to come in, and
    is tested on the period ``test`` after it. Nothing enters the training that was not known when
    the test begins, and the test has no rows of cards that would have been blocked by then.

    Parameters
    ----------
    df
        Transactions, one a row, in memory: pandas, polars or pyarrow. Collect a lazy frame first.
    train, label_delay, test
        How long each period is: a whole number and m, h, d or w. ``label_delay`` may be ``"0d"``.
    start
        When the training begins, as ``"2018-07-25"``; without a zone it is UTC. By default as
        late as the rows allow: the test ends with the last day (hour, minute: the shortest unit
        among the periods) in which there is a row.
    timestamp, label, entity
        Names of the columns. A timestamp without a zone is read as UTC.
    label_available_at
        Column with the moment from which each label was known; where it is missing, the label
        was known at once. Without this column, each label was known ``label_delay`` after its row.
    drop_compromised
        Leave out of the test, from each of its days, the cards that were known to be compromised
        when the day began (days of 24 hours from the beginning of the test): those with a fraud
        since ``start`` whose label was known by then. A row without a card is never left out.

    Returns
    -------
    TimeSplit
        ``.train`` and ``.test``, and how many rows are in neither, and why. Test rows without a
        label stay, and the evaluation counts them; training rows without one do not.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message names the nearest.
    ArgumentError
        A set would be empty (the message says which, and why), a timestamp is missing, a label is
        neither 0 nor 1, a period is not one.

    Notes
    -----
    With ``label_delay`` and days this is the split of the *Fraud Detection Handbook* (Le Borgne et
    al., 2022, chapter 3). Cards that were compromised before ``start`` stay, as they do there: they
    have been replaced since.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame(
    ...     {
    ...         "timestamp": ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-03"],
    ...         "customer_id": ["a", "b", "a", "b"],
    ...         "is_fraud": [True, False, False, False],
    ...     }
    ... ).with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))
    >>> time_split(rows, train="1d", label_delay="1d", test="1d")
    training, 2026-03-01 00:00 to 2026-03-02 00:00 UTC: 1 row, 1 fraud
    test, 2026-03-03 00:00 to 2026-03-04 00:00 UTC: 1 row, 0 frauds
    left out: 1 in the delay, between training and test; 1 in the test period, of cards known to
    be compromised
    """
    lengths = Lengths.read(train, label_delay, test)
    cards = entity if drop_compromised else None
    line = Timeline.of(df, timestamp, label, label_available_at, cards)
    return _split(line, lengths, lengths.begin(line.moments, start))


def prequential_folds(
    df: FrameT,
    folds: int = 4,
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
) -> Iterator[TimeSplit[FrameT]]:
    """Split again and again, the latest first, each time one test period earlier.

    No two folds test on the same rows, and each learns only from what was known when its own test
    began: the spread of a metric over the folds says how much it varies with time.

    Parameters
    ----------
    df, train, label_delay, test, timestamp, label, label_available_at, entity, drop_compromised
        As for :func:`time_split`.
    folds
        How many splits.
    start
        When the training of the first fold, the latest, begins. By default as late as the rows
        allow.

    Yields
    ------
    TimeSplit
        One at a time; all are checked before the first is made.

    Raises
    ------
    NotFoundError, ArgumentError
        As for :func:`time_split`, and when the rows do not reach back far enough.

    Examples
    --------
    >>> import datetime as dt
    >>> import polars as pl
    >>> days = pl.datetime_range(dt.datetime(2026, 3, 1), dt.datetime(2026, 3, 8), "1d", eager=True)
    >>> rows = pl.DataFrame({"timestamp": days, "customer_id": range(8), "is_fraud": False})
    >>> for fold in prequential_folds(rows, 3, train="2d", label_delay="1d", test="1d"):
    ...     print(fold.start.date(), fold.test_start.date())
    2026-03-05 2026-03-08
    2026-03-04 2026-03-07
    2026-03-03 2026-03-06
    """
    folds = check_integer(folds, "folds", minimum=1)
    lengths = Lengths.read(train, label_delay, test)
    cards = entity if drop_compromised else None
    line = Timeline.of(df, timestamp, label, label_available_at, cards)
    begin = lengths.begin(line.moments, start)
    starts = [begin - fold * lengths.test for fold in range(folds)]
    for each in starts:
        _which(line, lengths, each)
    return (_split(line, lengths, each) for each in starts)


def _split(line: Timeline[FrameT], lengths: Lengths, start: np.datetime64) -> TimeSplit[FrameT]:
    sets, n_compromised = _which(line, lengths, start)
    begin, train_end, test_start, test_end = map(as_datetime, lengths.bounds(start))
    return TimeSplit(
        train=line.take(sets["training"]),
        test=line.take(sets["test"]),
        start=begin,
        train_end=train_end,
        test_start=test_start,
        test_end=test_end,
        n_compromised=n_compromised,
        parts=tuple(Part(what, *line.count(rows)) for what, rows in sets.items()),
    )


def _which(
    line: Timeline[FrameT], lengths: Lengths, start: np.datetime64
) -> tuple[dict[str, NDArray[np.bool_]], int]:
    """Sort every row into exactly one set, and refuse empty sets."""
    begin, train_end, test_start, test_end = lengths.bounds(start)
    at = line.moments
    training = (begin <= at) & (at < train_end)
    testing = (test_start <= at) & (at < test_end)
    known_at = line.known_at(lengths.delay)
    labelled = ~np.isnan(line.labels)
    known = known_at <= test_start
    day = test_start + (at - test_start) // _DAY * _DAY
    frauds = (line.labels == 1) & (at >= begin)
    compromised = testing & (line.compromised_at(known_at, frauds) <= day)
    sets = {
        "training": training & labelled & known,
        "test": testing & ~compromised,
        "before the training period": at < begin,
        "in the training period, without a label": training & ~labelled,
        "in the training period, labelled after the test began": training & labelled & ~known,
        "in the delay, between training and test": (train_end <= at) & (at < test_start),
        "in the test period, of cards known to be compromised": compromised,
        "after the test period": test_end <= at,
    }
    for name, within, period in (
        ("training", training, (begin, train_end)),
        ("test", testing, (test_start, test_end)),
    ):
        where = f"the {name} period, {told(*period)}"
        if not within.any():
            rows = told(at.min(), at.max())
            raise ArgumentError(f"There are no rows in {where}: the frame's are from {rows}.")
        if not sets[name].any():
            raise ArgumentError(f"None of the {within.sum():,} rows in {where}, {_WANTED[name]}.")
    return sets, line.distinct(compromised)
