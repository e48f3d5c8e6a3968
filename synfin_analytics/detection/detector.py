"""The interface of all detectors, the episodes that they find, and the evidence for these.

A detector is a rule with thresholds. An episode is rows of one key that are close in time.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.grouped import GroupedRolling, to_microseconds
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from synfin_analytics._core.grouped import Duration
    from synfin_analytics._core.types import Integers, Mask
    from synfin_analytics.detection._context import DetectionContext

#: Code of rows that are in no episode.
NO_EPISODE = -1
#: Instead of the number of a row: there is none.
NO_ROW = -1
#: Columns of the rows that a detector finds which are not figures of the episode.
EPISODE_COLUMNS = ("row", "episode", "evidence", "subject")


@dataclasses.dataclass(frozen=True)
class Detector(ABC):
    """A rule that finds one pattern in transactions; its fields are its thresholds.

    Raises
    ------
    ArgumentError
        A threshold is not greater than 0.

    Examples
    --------
    >>> from synfin_analytics.detection import RefundAbuse
    >>> RefundAbuse(min_count=5)
    RefundAbuse(min_count=5, window=datetime.timedelta(days=30))
    """

    #: Value of ``pattern_type``, and title.
    name: ClassVar[str]
    title: ClassVar[str]
    #: Whom an episode is about: all of its "customers", or all of its "merchants", unless its rows
    #: have a column ``subject``.
    subject_type: ClassVar[str] = "customers"
    #: Optional columns that the detector requires.
    required_columns: ClassVar[tuple[str, ...]] = ()
    #: By which columns rows must be together: for each step, all rows of a value are in one context
    #: (which may have rows of other values too), and no other row changes what it finds there.
    keys: ClassVar[tuple[str, ...]] = ("customer_id",)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            for threshold in value if isinstance(value, tuple) else (value,):
                zero = dt.timedelta(0) if isinstance(threshold, dt.timedelta) else 0
                if not threshold > zero:
                    raise ArgumentError(
                        f"{type(self).__name__}: `{field.name}` must be greater than 0; "
                        f"got {value!r}."
                    )

    @abstractmethod
    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern.

        Returns
        -------
        polars.DataFrame
            One row for each transaction of an episode: ``row``, its number in the context;
            ``episode``, the number of the episode; ``evidence`` for the episode, from 0 to 1;
            optionally ``subject``, whom it is about; and figures of the episode, the same in all of
            its rows.
        """

    @abstractmethod
    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence, from its figures."""


class CrossCustomerDetector(Detector):
    """A detector of episodes that involve several customers, which takes three steps.

    Candidates are selected from the history of each customer, and reduced at each merchant to the
    few that may belong to an episode; these are combined. A candidate is a row, ``row``, which may
    be connected with another row of the customer, ``other``; otherwise that is ``NO_ROW``. The
    steps after the first use nothing of a row that depends on the customer's other rows.
    """

    keys: ClassVar[tuple[str, ...]] = ("customer_id", "merchant_id")
    #: Optional columns of rows that the steps after the first use.
    later_columns: ClassVar[tuple[str, ...]] = ()
    #: Whether :meth:`reduce` uses the totals.
    has_totals: ClassVar[bool] = False

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        candidates = self.select(context)
        reduced = self.reduce(context, candidates, self.count(candidates))
        return self.combine(context, reduced)

    @abstractmethod
    def select(self, context: DetectionContext) -> pl.DataFrame:
        """Select the candidates among all rows of some customers."""

    def count(self, candidates: pl.DataFrame) -> dict[str, int]:  # noqa: ARG002 - none by default
        """Count candidates of some customers; the totals are the sums over all customers."""
        return {}

    @abstractmethod
    def reduce(
        self, context: DetectionContext, candidates: pl.DataFrame, totals: dict[str, int]
    ) -> pl.DataFrame:
        """Reduce all candidates at some merchants, where the ``row`` of each is; add columns."""

    @abstractmethod
    def combine(self, context: DetectionContext, candidates: pl.DataFrame) -> pl.DataFrame:
        """Form the episodes of all reduced candidates, in any order; see :meth:`Detector.find`."""


def make_candidates(rows: Integers, others: Integers | None = None) -> pl.DataFrame:
    """Make candidates of row numbers.

    Examples
    --------
    >>> make_candidates(np.array([3, 5])).rows()
    [(3, -1), (5, -1)]
    """
    if others is None:
        others = np.full(len(rows), NO_ROW)
    return pl.DataFrame({"row": rows, "other": others}, {"row": pl.Int64, "other": pl.Int64})


# -- Episodes --------------------------------------------------------------------------------------


def find_bursts(
    keys: Integers, timestamps: Integers, mask: Mask, window: Duration, min_count: int
) -> Integers:
    """Find the bursts of each key: at least ``min_count`` rows within ``window``.

    Windows that share a row are one burst, which may thus be longer than one window.

    Parameters
    ----------
    keys, timestamps
        Key and time of each row, in the order of time.
    mask
        Rows that count; the others are in no burst.
    window, min_count
        Length of a window, which includes both ends, and the smallest number of rows in it.

    Returns
    -------
    array
        Number of the burst of each row, -1 where it is in none.

    Examples
    --------
    >>> times = np.array([0, 1, 2, 9, 10])
    >>> find_bursts(np.zeros(5, int), times, np.ones(5, bool), window=2, min_count=3)
    array([ 0,  0,  0, -1, -1])
    """
    episodes = np.full(len(keys), NO_EPISODE)
    rows = np.flatnonzero(mask)
    if not len(rows):
        return episodes
    rolling = GroupedRolling(keys[rows], timestamps[rows])
    counts = rolling.window(window, closed="both").count()
    # By key and time, a window is a range of positions.
    order = np.argsort(keys[rows], kind="stable")
    last = np.flatnonzero(counts[order] >= min_count)
    first = last - counts[order][last] + 1
    inside = _is_covered(first, last + 1, len(rows))
    continues = _is_covered(first + 1, last + 1, len(rows))  # with the position before
    numbers = np.cumsum(inside & ~continues) - 1
    episodes[rows[order[inside]]] = numbers[inside]
    return episodes


def find_runs(keys: Integers, timestamps: Integers, mask: Mask, max_gap: Duration) -> Integers:
    """Find the runs of each key: rows that follow one another within ``max_gap``.

    Returns
    -------
    array
        Number of the run of each row, -1 where ``mask`` is False.

    Examples
    --------
    >>> find_runs(np.zeros(4, int), np.array([0, 2, 9, 10]), np.ones(4, bool), max_gap=3)
    array([0, 0, 1, 1])
    """
    episodes = np.full(len(keys), NO_EPISODE)
    rows = np.flatnonzero(mask)
    rows = rows[np.argsort(keys[rows], kind="stable")]
    starts = np.ones(len(rows), np.bool_)
    is_late = np.diff(timestamps[rows]) > to_microseconds(max_gap)
    starts[1:] = (np.diff(keys[rows]) != 0) | is_late
    episodes[rows] = np.cumsum(starts) - 1
    return episodes


def _is_covered(starts: Integers, ends: Integers, size: int) -> Mask:
    """Whether each position is in at least one of the ranges."""
    changes = np.bincount(starts, minlength=size + 1) - np.bincount(ends, minlength=size + 1)
    covered: Mask = np.cumsum(changes)[:size] > 0
    return covered


def episode_rows(episodes: Integers, **columns: ArrayLike) -> pl.DataFrame:
    """Return the rows that are in an episode, with values of other columns.

    Examples
    --------
    >>> episode_rows(np.array([-1, 0, 0]), amount=np.array([5.0, 7.0, 9.0])).rows()
    [(1, 0, 7.0), (2, 0, 9.0)]
    """
    rows = np.flatnonzero(episodes != NO_EPISODE)
    values = {name: np.asarray(array)[rows] for name, array in columns.items()}
    return pl.DataFrame({"row": rows, "episode": episodes[rows], **values})


def evidence_of(figure: pl.Expr, threshold: float, conclusive: float) -> pl.Expr:
    """Return the evidence of a figure: 0.5 at the threshold, 1 from ``conclusive``, linear between.

    Examples
    --------
    >>> figures = pl.DataFrame({"n": [4, 6, 20]})
    >>> figures.select(evidence_of(pl.col("n"), 4, 8)).to_series().to_list()
    [0.5, 0.75, 1.0]
    """
    return (0.5 + 0.5 * (figure - threshold) / (conclusive - threshold)).clip(0.0, 1.0)


def evidence_of_count(min_count: int) -> pl.Expr:
    """Return the evidence of the number of rows in each row's episode: 1 from twice the minimum."""
    return evidence_of(pl.len().over("episode"), min_count, 2 * min_count)
