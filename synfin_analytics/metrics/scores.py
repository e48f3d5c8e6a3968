"""Scores and labels, counted: all that a metric of ranking or of a threshold needs.

Rows with the same score are told apart by no threshold. So a model is evaluated from one count for
each distinct score, whoever counted: the engine of a frame, PostgreSQL, or NumPy.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.fraud import _missing_as_null, _numbers, _typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

SCORE = "__score"
COUNTED = ("__transactions", "__frauds", "__amount", "__fraud_amount")
_UNLABELLED, _WRONG, _NO_SCORE = "__unlabelled", "__wrong", "__no_score"


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Transactions and frauds at each distinct score, the highest score first.

    Parameters
    ----------
    score
        Distinct scores, descending, float64.
    transactions, frauds
        How many labelled transactions have it, and how many of these are fraud; int64.
    amount, fraud_amount
        Their value, where amounts are known; float64.
    unlabelled
        Transactions that are in none of these, for they have no label.

    Examples
    --------
    >>> counts = ScoreCounts.of([0.9, 0.2, 0.9], [True, False, False])
    >>> counts.score, counts.transactions, counts.frauds
    (array([0.9, 0.2]), array([2, 1]), array([1, 0]))
    """

    score: Floats
    transactions: Integers
    frauds: Integers
    amount: Floats | None = None
    fraud_amount: Floats | None = None
    unlabelled: int = 0

    @classmethod
    def of(
        cls,
        scores: ArrayLike,
        labels: ArrayLike,
        amounts: ArrayLike | None = None,
        *,
        unlabelled: int = 0,
    ) -> ScoreCounts:
        """Count arrays of scores from 0 to 1 and of labels, all of one length."""
        score = np.asarray(scores, dtype=np.float64) + 0.0  # -0.0 is 0.0
        label = np.asarray(labels, dtype=np.bool_)
        if score.shape != label.shape or score.ndim != 1:
            raise ArgumentError(
                f"Scores and labels must be as many: got {score.shape} and {label.shape}."
            )
        _check_scores(score)
        # From 0 to 1 doubles sort as their bits do, and the upper two are unused: with the label
        # below them, one sort of integers does for both.
        keys = (score.view(np.uint64) << np.uint64(1)) | label
        values: list[Floats] = []
        if amounts is None:
            keys.sort()
        else:
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            value = np.asarray(amounts, dtype=np.float64)[order]
            values = [value, np.where(keys & np.uint64(1), value, 0.0)]
        bits = keys >> np.uint64(1)
        last = np.append(bits[1:] != bits[:-1], np.ones(min(len(bits), 1), np.bool_))
        ends = np.flatnonzero(last)
        if len(ends):  # summed for each score: differences of running sums would round
            starts = np.append(0, ends[:-1] + 1)
            values = [np.add.reduceat(value, starts)[::-1] for value in values]
        amount, fraud_amount = values or (None, None)
        frauds = np.cumsum(keys & np.uint64(1), dtype=np.int64)[ends]
        return cls(
            bits[ends].view(np.float64)[::-1],
            np.diff(ends, prepend=-1)[::-1],
            np.diff(frauds, prepend=0)[::-1],
            amount,
            fraud_amount,
            unlabelled,
        )

    @classmethod
    def of_frame(cls, counts: nw.DataFrame[Any], *, unlabelled: int = 0) -> ScoreCounts:
        """Sort what an engine has counted: columns :data:`SCORE` and :data:`COUNTED`."""
        score = _numbers(counts[SCORE]) + 0.0
        order = np.argsort(-score, kind="stable")
        found = {name: _numbers(counts[name])[order] for name in COUNTED if name in counts.columns}
        transactions, frauds, *values = found.values()
        amount, fraud_amount = values or (None, None)
        return cls(
            score[order],
            transactions.astype(np.int64),
            frauds.astype(np.int64),
            amount,
            fraud_amount,
            unlabelled,
        )

    @property
    def n(self) -> int:
        """Labelled transactions."""
        return int(self.transactions.sum())

    @property
    def positives(self) -> int:
        """Frauds among them."""
        return int(self.frauds.sum())

    @property
    def fingerprint(self) -> int:
        """Number that is the same for the same counts: says whether two evaluations share rows."""
        whole = 0
        for array in (self.score, self.transactions, self.frauds):
            whole = zlib.crc32(np.ascontiguousarray(array).tobytes(), whole)
        return whole


def score_counts(frame: Any, label: str, score: str, amount: str | None = None) -> ScoreCounts:
    """Count a frame's labelled rows by score.

    Parameters
    ----------
    frame
        Of pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark. A lazy engine counts
        for itself: what leaves it has a row for each distinct score.
    label, score, amount
        Names of the columns; a row whose label is missing is left out, and counted.

    Raises
    ------
    NotFoundError
        A column is not in the frame.
    ArgumentError
        A label is neither 0 nor 1, a score is missing or not from 0 to 1.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"p": [0.5, 0.5, 0.1], "fraud": [1, 0, None]})
    >>> score_counts(frame, "fraud", "p")
    ScoreCounts(score=array([0.5]), transactions=array([2]), frauds=array([1]), amount=None,
        fraud_amount=None, unlabelled=1)
    """
    ((_, counts),) = grouped_score_counts(frame, [], label, score, amount)
    return counts


def grouped_score_counts(
    frame: Any, by: Sequence[str], label: str, score: str, amount: str | None = None
) -> Iterator[tuple[tuple[Any, ...], ScoreCounts]]:
    """Count the rows of each group by score; without groups, all rows once."""
    rows = scored_rows(frame, [*by], label, score, amount)
    if not by and isinstance(rows, nw.DataFrame):
        known = rows.filter(nw.col(_UNLABELLED) == 0)
        yield (
            (),
            ScoreCounts.of(
                _numbers(known[SCORE]),
                _numbers(known[COUNTED[1]]) == 1,
                _numbers(known[COUNTED[2]]) if amount is not None else None,
                unlabelled=len(rows) - len(known),
            ),
        )
        return
    measures = [name for name in (*COUNTED, _UNLABELLED) if name in rows.collect_schema()]
    counted = rows.group_by(*by, SCORE, drop_null_keys=False).agg(
        *(nw.col(name).sum() for name in measures)
    )
    counts = counted.collect() if isinstance(counted, nw.LazyFrame) else counted
    yield from split_counts(counts, by)


def split_counts(
    counts: nw.DataFrame[Any], by: Sequence[str]
) -> Iterator[tuple[tuple[Any, ...], ScoreCounts]]:
    """Take apart by group what an engine or PostgreSQL has counted.

    Rows that are not labelled stand in it with their number as ``__unlabelled``.
    """
    if by:
        groups = list(counts.sort(*by, nulls_last=True).group_by(*by, drop_null_keys=False))
    else:
        groups = [((), counts)]
    for key, part in groups:
        labelled = part.filter(nw.col(COUNTED[0]) > 0)
        unlabelled = int(_numbers(part[_UNLABELLED]).sum())
        yield tuple(key), ScoreCounts.of_frame(labelled, unlabelled=unlabelled)


def scored_rows(
    frame: Any, others: Sequence[str], label: str, score: str, amount: str | None = None
) -> nw.DataFrame[Any] | nw.LazyFrame[Any]:
    """Each row with its checked score and label as numbers, and the columns ``others``."""
    try:
        native = nw.from_native(frame)
    except TypeError:
        raise ArgumentError(
            "evaluate takes a DataFrame of pandas, polars, pyarrow, DuckDB, Dask or PySpark; "
            f"got {type(frame).__name__}."
        ) from None
    names = native.collect_schema().names()
    values = [label, score, *([] if amount is None else [amount])]
    for name in (*others, *values):
        if name not in names:
            raise NotFoundError("column", name, names, where="the frame")
    typed = _typed(native.select(*dict.fromkeys([*others, *values])), values)
    schema = typed.collect_schema()
    truth = _missing_as_null(schema[label], label, "a label: true or false, 1 or 0")
    said = _missing_as_null(schema[score], score, "a score from 0 to 1")
    known = ~truth.is_null()
    fraud = truth.fill_null(0)
    valid = ((said >= 0) & (said <= 1)).fill_null(value=False)
    columns = {
        SCORE: nw.when(known).then(said).otherwise(0.0),
        COUNTED[0]: known.cast(nw.Int64),
        COUNTED[1]: (fraud == 1).cast(nw.Int64),
    }
    if amount is not None:
        value = _missing_as_null(schema[amount], amount, "a number").fill_null(0)
        columns[COUNTED[2]] = value * known.cast(nw.Float64)
        columns[COUNTED[3]] = value * (fraud == 1).cast(nw.Float64)
    columns[_UNLABELLED] = (~known).cast(nw.Int64)
    problems = {
        _WRONG: ((fraud != 0) & (fraud != 1)).cast(nw.Int64),
        _NO_SCORE: (known & ~valid).cast(nw.Int64),
    }
    rows = typed.select(
        *(nw.col(name) for name in dict.fromkeys(others)),
        *(each.alias(name) for name, each in (columns | problems).items()),
    )
    _refuse(rows, label, score)
    return rows.drop(_WRONG, _NO_SCORE)


def _refuse(rows: nw.DataFrame[Any] | nw.LazyFrame[Any], label: str, score: str) -> None:
    summed = rows.select(nw.col(_WRONG).sum(), nw.col(_NO_SCORE).sum())
    problems = summed.collect() if isinstance(summed, nw.LazyFrame) else summed
    wrong, no_score = (int(_numbers(problems[name])[0]) for name in (_WRONG, _NO_SCORE))
    if wrong:
        raise ArgumentError(
            f"Column {label!r} must be a label (true or false, 1 or 0, or missing): "
            f"{wrong:,} rows hold something else{_first(rows, _WRONG)}."
        )
    if no_score:
        raise ArgumentError(
            f"Column {score!r} must be a score from 0 to 1: in {no_score:,} labelled rows it is "
            f"missing, NaN or beyond{_first(rows, _NO_SCORE)}."
        )


def _first(rows: nw.DataFrame[Any] | nw.LazyFrame[Any], problem: str) -> str:
    if isinstance(rows, nw.LazyFrame):
        return ""
    return f" (the first is row {int(np.flatnonzero(_numbers(rows[problem]))[0])})"


def _check_scores(score: Floats) -> None:
    wrong = ~((score >= 0) & (score <= 1))
    if wrong.any():
        raise ArgumentError(
            f"A score is from 0 to 1: {int(wrong.sum()):,} are not, or are missing (the first is "
            f"number {int(np.flatnonzero(wrong)[0])})."
        )
