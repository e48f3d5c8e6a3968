"""Transactions and frauds counted by score: all that ranking and threshold metrics need.

No threshold separates rows that have the same score. A model is therefore evaluated from one count
for each distinct score, which NumPy, the engine of a frame or PostgreSQL computes.
"""

from __future__ import annotations

import functools
import math
import sys
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw
import numpy as np
import pandas as pd

from synfin_analytics._core.dataframes import (
    check_columns,
    check_n_invalid_labels,
    coerce_object_columns,
    is_invalid_label,
    label_to_float,
    rename_for_engine,
    to_float,
    to_numpy_float,
    truncate_time,
)
from synfin_analytics._core.dates import Period
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.formatting import pluralize
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._aggregate import aggregate_counts, check_amounts, group_keys
from synfin_analytics.metrics._weights import WEIGHT_RULE, LabelWeights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.metrics._aggregate import Reduction
    from synfin_analytics.metrics._known import KnownLabels

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    ScoreType = type[np.floating[Any]]

#: Values of the columns that make a group; None for a missing value.
GroupKey: TypeAlias = "tuple[Any, ...]"

# Columns of counts that an engine returns, besides the groups.
SCORE, DAY, UNLABELLED = "__score", "__day", "__unlabelled"
COUNTED = ("__transactions", "__frauds", "__amount", "__fraud_amount")
#: What these are in :class:`ScoreCounts`.
_FIELDS = ("transactions", "frauds", "amount", "fraud_amount")
#: Columns with the number of invalid values, by the kind of the column.
_INVALID = {kind: f"__invalid_{kind}" for kind in ("label", "score", "amount", "weight")}
# Columns of counts that a lazy engine has reduced.
#: Sums of the hashes of scores: of all transactions, and of frauds.
CHECKSUMS = ("__checksum", "__fraud_checksum")
#: Whether a count is one of those that were asked for (1), or a sum of what was left out (0).
KEPT = "__kept"
#: Of what was kept, how many others of its day were left out.
OMITTED = "__omitted"
#: Number of the bin of a score.
BIN = "__bin"
#: Sums of the squared errors and of the logarithmic losses: of all rows, and of frauds.
SQUARES, LOSSES = ("__squares", "__fraud_squares"), ("__losses", "__fraud_losses")
#: All of these: no group may have such a name.
INTERNAL = (
    *(DAY, UNLABELLED, SCORE, KEPT, OMITTED, BIN, *COUNTED, *_INVALID.values()),
    *(*CHECKSUMS, *SQUARES, *LOSSES),
)

_SCORE_RULE = "a score from 0 to 1"
#: How far computed probabilities may be beyond 0 and 1 by rounding.
_ROUNDING = 1e-3
#: Types of scores with fewer digits than double precision.
_SHORT_TYPES: dict[str, type[np.floating[Any]]] = {
    "float16": np.float16,
    "float32": np.float32,
}
_LARGEST = sys.float_info.max


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Transactions and frauds at each distinct score, the highest score first.

    Parameters
    ----------
    score
        Distinct scores, descending, float64.
    transactions, frauds
        Number of labelled transactions with each score, and of frauds among them; int64. With
        weights, sums of weights; float64.
    amount, fraud_amount
        Their value, if amounts are known; float64. With weights, each amount counts as often as its
        weight says.
    n_unlabelled
        Transactions that are not counted because they have no label.
    score_type
        Type of the original scores, in which thresholds are compared: see :meth:`cast_threshold`.
    weighted
        Whether rows have weights.

    Examples
    --------
    >>> counts = ScoreCounts.from_arrays([0.9, 0.2, 0.9], [True, False, False])
    >>> counts.score, counts.transactions, counts.frauds
    (array([0.9, 0.2]), array([2, 1]), array([1, 0]))
    """

    score: Floats
    transactions: Integers
    frauds: Integers
    amount: Floats | None = None
    fraud_amount: Floats | None = None
    n_unlabelled: int = 0
    score_type: ScoreType = np.float64
    weighted: bool = False

    @classmethod
    def from_arrays(
        cls,
        scores: ArrayLike,
        labels: ArrayLike,
        amounts: ArrayLike | None = None,
        *,
        weights: ArrayLike | None = None,
        n_unlabelled: int = 0,
        score_type: ScoreType | None = None,
    ) -> ScoreCounts:
        """Count arrays of scores from 0 to 1, labels and so on, all of the same length."""
        array = np.asarray(scores)
        score = array.astype(np.float64) + 0.0  # turns -0.0 into 0.0
        score_type = score_type or _SHORT_TYPES.get(array.dtype.name, np.float64)
        label = np.asarray(labels, dtype=np.bool_)
        if score.shape != label.shape or score.ndim != 1:
            raise ArgumentError(
                "Scores and labels must be arrays of the same length; got shapes "
                f"{score.shape} and {label.shape}."
            )
        _check_scores(score)
        if weights is not None:
            weight = np.asarray(weights, dtype=np.float64)
            measures = [weight]
            if amounts is not None:
                measures.append(weight * np.asarray(amounts, dtype=np.float64))
            return cls.sum_by_score(
                score,
                *(part for measure in measures for part in (measure, measure * label)),
                n_unlabelled=n_unlabelled,
                score_type=score_type,
                weighted=True,
            )
        # From 0 to 1, doubles sort as their bits do, and the two highest bits are unused. With the
        # label below the score, one sort of integers sorts both. Inverted, the highest comes first.
        keys = score.view(np.uint64)
        keys <<= np.uint64(1)
        keys |= label
        np.invert(keys, out=keys)
        sums: list[Floats] = []
        if amounts is None:
            keys.sort()
        else:
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            value = np.asarray(amounts, dtype=np.float64)[order]
            sums = [value, np.where(label[order], value, 0.0)]
        np.invert(keys, out=keys)
        first = np.ones(len(keys), np.bool_)
        spare = np.empty_like(keys)  # reused, since allocating memory is what takes the time
        np.greater(np.bitwise_xor(keys[1:], keys[:-1], out=spare[1:]), 1, out=first[1:])
        frauds = np.bitwise_and(keys, np.uint64(1), out=spare).view(np.int64)
        keys >>= np.uint64(1)
        if first.all():
            transactions = np.broadcast_to(np.int64(1), len(keys))  # needs no memory
        else:
            starts = np.flatnonzero(first)
            transactions = np.diff(starts, append=len(keys))
            keys = keys[starts]
            # Summed for each score: differences of running sums would have rounding errors.
            frauds, *sums = (np.add.reduceat(array, starts) for array in (frauds, *sums))
        amount, fraud_amount = sums or (None, None)
        score = keys.view(np.float64)
        return cls(score, transactions, frauds, amount, fraud_amount, n_unlabelled, score_type)

    @classmethod
    def from_frame(
        cls,
        counts: nw.DataFrame[Any],
        *,
        weighted: bool = False,
    ) -> ScoreCounts:
        """Sum by score the counts of an engine: columns :data:`SCORE` and :data:`COUNTED`."""
        score = to_numpy_float(counts[SCORE]) + 0.0
        sums = [to_numpy_float(counts[name]) for name in COUNTED if name in counts.columns]
        return cls.sum_by_score(score, *sums, weighted=weighted)

    @classmethod
    def merge(cls, parts: Sequence[ScoreCounts]) -> ScoreCounts:
        """Sum the counts of several groups."""
        has_amounts = bool(parts) and all(part.amount is not None for part in parts)
        names = ("transactions", "frauds", *(("amount", "fraud_amount") if has_amounts else ()))
        return cls.sum_by_score(
            *(
                np.concatenate([np.empty(0), *(getattr(part, name) for part in parts)])
                for name in ("score", *names)
            ),
            n_unlabelled=sum(part.n_unlabelled for part in parts),
            score_type=parts[0].score_type if parts else np.float64,
            weighted=any(part.weighted for part in parts),
        )

    @classmethod
    def sum_by_score(
        cls,
        score: Floats,
        *sums: Floats,
        n_unlabelled: int = 0,
        score_type: ScoreType = np.float64,
        weighted: bool = False,
    ) -> ScoreCounts:
        """Sum counts, in the order of :data:`COUNTED`, of which several may have the same score."""
        if weighted:  # rows without any weight are left out
            counted = sums[0] > 0
            score, *sums = (array[counted] for array in (score, *sums))  # type: ignore[assignment]
        order = np.argsort(-score, kind="stable")
        score = score[order]
        starts = np.flatnonzero(np.append(True, score[1:] != score[:-1])) if len(score) else order
        transactions, frauds, *amounts = (
            np.add.reduceat(array[order], starts) if len(starts) < len(order) else array[order]
            for array in sums
        )
        amount, fraud_amount = amounts or (None, None)
        dtype: Any = np.float64 if weighted else np.int64
        return cls(
            score[starts],
            transactions.astype(dtype),
            frauds.astype(dtype),
            amount,
            fraud_amount,
            n_unlabelled,
            score_type,
            weighted,
        )

    def weighted_by(self, weights: LabelWeights) -> ScoreCounts:
        """Return sums of the weights of labels in place of counts."""
        pairs = [(self.transactions, self.frauds), (self.amount, self.fraud_amount)]
        sums = [
            weights.apply(*columns)
            for total, fraud in pairs
            if total is not None and fraud is not None
            for columns in ((total, fraud), (fraud, fraud))
        ]
        return ScoreCounts.sum_by_score(
            self.score,
            *sums,
            n_unlabelled=self.n_unlabelled,
            score_type=self.score_type,
            weighted=True,
        )

    def cast_threshold(self, threshold: float) -> float:
        """Return the threshold in the type of the scores, as NumPy compares the two.

        A score of 0.7 in float32 is slightly less than 0.7 in double precision, and yet
        ``scores >= 0.7`` holds in NumPy.

        Examples
        --------
        >>> counts = ScoreCounts.from_arrays(np.array([0.7], np.float32), [True])
        >>> counts.score[0] >= 0.7, counts.score[0] >= counts.cast_threshold(0.7)
        (np.False_, np.True_)
        """
        return float(self.score_type(threshold))

    def same_as(self, counts: ScoreCounts) -> bool:
        """Whether the counts are the same, apart from rounding of amounts and weights."""
        if self.fingerprint != counts.fingerprint:
            return False
        return all(
            first is None or second is None or np.allclose(first, second, rtol=1e-9)
            for first, second in (
                (getattr(self, name), getattr(counts, name))
                for name in ("transactions", "frauds", "amount", "fraud_amount")
            )
        )

    @property
    def n(self) -> int:
        """Labelled transactions."""
        total: int = self.transactions.sum().item()
        return total

    @property
    def n_frauds(self) -> int:
        """Frauds among them."""
        total: int = self.frauds.sum().item()
        return total

    @property
    def size(self) -> str:
        """The number of transactions and frauds, or their weights, in words."""
        if self.weighted:
            return f"weights of {self.n:,.6g} for transactions, {self.n_frauds:,.6g} for frauds"
        return f"{pluralize(self.n, 'transaction')}, {pluralize(self.n_frauds, 'fraud')}"

    @property
    def fingerprint(self) -> int:
        """Checksum of the counts, which is the same for evaluations of the same rows.

        Sums of weights are not part of it, because engines round them differently.
        """
        checksum = 0
        counted = () if self.weighted else (self.transactions, self.frauds)
        for array in (self.score, *counted):
            checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
        return checksum


@dataclass(frozen=True, eq=False)
class RowCounts:
    """Counts of an engine by score and by something else, such as day or cluster, in arrays."""

    score: Floats
    transactions: Integers
    frauds: Integers
    fraud_amount: Floats | None = None
    squares: Floats | None = None
    losses: Floats | None = None

    @classmethod
    def from_frame(
        cls, counts: nw.DataFrame[Any], score: Floats | None = None, *, weighted: bool = False
    ) -> RowCounts:
        """Take the columns :data:`SCORE`, :data:`COUNTED` and other sums from a frame."""
        dtype: Any = np.float64 if weighted else np.int64
        transactions, frauds = (to_numpy_float(counts[name]).astype(dtype) for name in COUNTED[:2])
        sums = (
            to_numpy_float(counts[name]) if name in counts.columns else None
            for name in (COUNTED[3], SQUARES[0], LOSSES[0])
        )
        if score is None:
            score = to_numpy_float(counts[SCORE])
        return cls(score, transactions, frauds, *sums)

    def take(self, rows: NDArray[np.bool_]) -> RowCounts:
        """Return some of the counts."""
        sums = (
            None if part is None else part[rows]
            for part in (self.fraud_amount, self.squares, self.losses)
        )
        return RowCounts(self.score[rows], self.transactions[rows], self.frauds[rows], *sums)


def _check_scores(score: Floats) -> None:
    if not len(score) or (score.min() >= 0 and score.max() <= 1):  # false for NaN
        return
    invalid = ~((score >= 0) & (score <= 1))
    if invalid.any():
        raise ArgumentError(
            f"Scores must be from 0 to 1; {int(invalid.sum()):,} are not, or are missing (the "
            f"first at position {int(np.flatnonzero(invalid)[0])})."
        )


def score_remedy(scores: NDArray[np.floating[Any]]) -> str:
    """Return what finite scores beyond 0 to 1 probably are, and what to do; "" if none is.

    Examples
    --------
    >>> score_remedy(np.array([12.5, 80.0]))
    'They look like percentages: divide them by 100.'
    """
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 0.0)
    if low >= 0 and high <= 1:
        return ""
    if low > -_ROUNDING and high < 1 + _ROUNDING:
        return "The rest is a rounding error: clip them to 0 to 1."
    if low < 0:
        return (
            "They look like log-odds or a decision function: map them to 0 to 1 with "
            "1 / (1 + exp(-score)), as scipy.special.expit does."
        )
    if high <= 100:
        return "They look like percentages: divide them by 100."
    return f"Scale them, such as by dividing them by their largest possible value ({high:g})."


# -- Counting frames -------------------------------------------------------------------------------


def count_scores(
    df: Any,
    label: str,
    score: str,
    amount: str | None = None,
    weight: str | LabelWeights | None = None,
    known: KnownLabels | None = None,
    *,
    described: str = "Column {!r}",
) -> ScoreCounts:
    """Count the labelled rows of a frame by score.

    Parameters
    ----------
    df
        Of pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark. A lazy engine counts
        for itself and returns one row for each distinct score.
    label, score, amount, weight
        Column names; ``weight`` may be the weights of labels. Rows without a label are left out,
        and counted.
    known
        Count only what was known at a time.
    described
        How messages call a column.

    Raises
    ------
    NotFoundError
        A column is not in the frame.
    ArgumentError
        A label is neither 0 nor 1, a score is missing or not from 0 to 1, an amount is infinite, a
        weight is missing, negative or infinite.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame({"p": [0.5, 0.5, 0.1], "is_fraud": [1, 0, None]})
    >>> count_scores(df, "is_fraud", "p").n_unlabelled
    1
    """
    if isinstance(weight, LabelWeights):
        return count_scores(df, label, score, amount, None, known, described=described).weighted_by(
            weight
        )
    columns = _by_kind(label, score, amount, weight)
    eager = nw.from_native(df, eager_only=True, pass_through=True)
    if known is not None or not isinstance(eager, nw.DataFrame):
        ((_, counts),) = count_scores_by_group(df, [], label, score, amount, weight, known)
        return counts
    if eager.implementation.is_polars():
        require_thread_pool()
    # Rows in memory need no grouping: NumPy sorts them once.
    names = list(columns.values())
    check_columns(names, eager.columns)
    frame = coerce_object_columns(eager.select(*dict.fromkeys(names)), names)
    score_type = _score_type(frame, score)
    expressions = _to_floats(frame.collect_schema(), columns)
    values = {kind: _to_numpy(frame, columns[kind], expressions[kind]) for kind in columns}
    labels, scores = values["label"], values["score"]
    labelled = ~np.isnan(labels)
    invalid = {
        "label": labelled & (labels != 0) & (labels != 1),
        "score": labelled & ~((scores >= 0) & (scores <= 1)),
    }
    if "amount" in values:
        invalid["amount"] = np.isinf(values["amount"])
    if "weight" in values:
        weights = values["weight"]
        invalid["weight"] = labelled & ~((weights >= 0) & (weights < math.inf))
    remedy = score_remedy(scores[labelled & np.isfinite(scores)]) if invalid["score"].any() else ""
    _check_valid(
        columns,
        {kind: np.flatnonzero(rows) for kind, rows in invalid.items()},
        described,
        score_remedy=remedy,
    )
    n_unlabelled = len(labelled) - int(labelled.sum())
    if n_unlabelled:
        values = {kind: array[labelled] for kind, array in values.items()}
    with np.errstate(over="ignore"):  # checked below
        counts = ScoreCounts.from_arrays(
            values["score"],
            values["label"] == 1,
            np.nan_to_num(values["amount"]) if "amount" in values else None,
            weights=values.get("weight"),
            n_unlabelled=n_unlabelled,
            score_type=score_type,
        )
    if amount is not None and counts.amount is not None:
        check_amounts(amount, 0, counts.amount)
    return counts


def _by_kind(label: str, score: str, amount: str | None, weight: str | None) -> dict[str, str]:
    """Return the columns that are counted, by kind."""
    columns = {"label": label, "score": score, "amount": amount, "weight": weight}
    return {kind: name for kind, name in columns.items() if name is not None}


def count_scores_by_group(
    df: Any,
    by: Sequence[str],
    label: str,
    score: str,
    amount: str | None = None,
    weight: str | LabelWeights | None = None,
    known: KnownLabels | None = None,
) -> list[tuple[GroupKey, ScoreCounts]]:
    """Count the rows of each group by score, in the frame's engine; without groups, all rows."""
    counts = aggregate_scores(df, by, label, score, amount, weight, known)
    return split_counts(
        counts, by, score_type=_score_type_of(df, score), weighted=weight is not None
    )


def aggregate_scores(
    df: Any,
    keys: Sequence[str],
    label: str,
    score: str,
    amount: str | None = None,
    weight: str | LabelWeights | None = None,
    known: KnownLabels | None = None,
    *,
    day: str | None = None,
    reduction: Reduction | None = None,
) -> nw.DataFrame[Any]:
    """Count the rows of a frame by ``keys`` and score, in its own engine.

    Returns
    -------
    narwhals.DataFrame
        The keys; :data:`DAY`, if ``day`` names a column of timestamps; :data:`SCORE`;
        :data:`COUNTED`; and in :data:`UNLABELLED` the rows without a label, whose score is 0. A
        ``reduction`` has columns of its own.
    """
    if isinstance(weight, LabelWeights):
        counts = aggregate_scores(
            df, keys, label, score, amount, None, known, day=day, reduction=reduction
        )
        pairs = [COUNTED[:2], COUNTED[2:]]
        if reduction is not None:
            pairs += reduction.pairs
        return weight.apply_to_frame(counts, *pairs)
    by_kind = _by_kind(label, score, amount, weight)
    columns = [*keys, *by_kind.values(), *([] if day is None else [day])]
    if known is not None:
        columns += known.columns
    df, names = rename_for_engine(df, columns, "evaluate")
    renamed_keys = [names[name] for name in keys]
    if reduction is not None:
        reduction = reduction.rename(names)
    if known is not None:
        known = known.rename(names)
    select_counts = functools.partial(
        _select_counts,
        keys=tuple(renamed_keys),
        columns={kind: names[name] for kind, name in by_kind.items()},
        day=None if day is None else names[day],
        known=known,
        extend=None if reduction is None else reduction.extend,
    )
    of_score = (SCORE,) if reduction is None else reduction.keys
    counts = aggregate_counts(
        df,
        [names[name] for name in columns],
        [*renamed_keys, *([] if day is None else [DAY]), *of_score],
        select_counts,
        caller="evaluate",
        then=None if reduction is None else reduction.then,
        maxima=() if reduction is None else reduction.maxima,
        compact=True,
    ).rename(dict(zip(renamed_keys, keys, strict=True)))
    checks = {kind: _INVALID[kind] for kind in by_kind}
    invalid = {kind: int(to_numpy_float(counts[name]).sum()) for kind, name in checks.items()}
    remedy = _find_remedy(df, names[label], names[score], known) if invalid["score"] else ""
    _check_valid(by_kind, invalid, score_remedy=remedy)
    if amount is not None:
        check_amounts(amount, 0, to_numpy_float(counts[COUNTED[2]]))
    return counts.drop(*checks.values())


def _find_remedy(df: Any, label: str, score: str, known: KnownLabels | None) -> str:
    """Return :func:`score_remedy` of the labelled rows of a frame, for which its engine is asked.

    That is left to the case that scores are invalid, since valid ones need no such extremes.
    """
    extrema = aggregate_counts(
        df,
        [label, score, *(() if known is None else known.columns)],
        [],
        functools.partial(_select_extrema, label=label, score=score, known=known),
        caller="evaluate",
        maxima=["high"],
        minima=["low"],
    )
    return score_remedy(np.append(*(to_numpy_float(extrema[name]) for name in ("low", "high"))))


def _select_extrema(frame: Frame, *, label: str, score: str, known: KnownLabels | None) -> Frame:
    """Select the scores that are finite and have a label."""
    if known is not None:
        frame = known.select(frame)
    frame = coerce_object_columns(frame, [label, score])
    values = _to_floats(frame.collect_schema(), {"label": label, "score": score})
    counted = ~values["label"].is_null() & (values["score"].abs() <= _LARGEST)
    scores = nw.when(counted).then(values["score"])
    return frame.select(scores.alias("low"), scores.alias("high"))


def _select_counts(
    frame: Frame,
    *,
    keys: Sequence[str],
    columns: Mapping[str, str],
    day: str | None,
    known: KnownLabels | None,
    extend: Callable[[Frame], Frame] | None,
) -> Frame:
    """Select for each row its groups, and what it adds to the counts."""
    if known is not None:
        frame = known.select(frame)
    frame = coerce_object_columns(frame, [*columns.values(), *([] if day is None else [day])])
    days = [] if day is None else [truncate_time(frame, day, Period.parse("1d")).alias(DAY)]
    schema = frame.collect_schema()
    values = _to_floats(schema, columns)
    labels, scores = values["label"], values["score"]
    labelled, fraud = ~labels.is_null(), labels.fill_null(0)
    no_score = scores.is_null() | (scores.fill_null(0) < 0) | (scores.fill_null(0) > 1)
    transactions, frauds = labelled.cast(nw.Int64), (fraud == 1).cast(nw.Int64)
    invalid = {"label": is_invalid_label(labels), "score": labelled & no_score}
    if "weight" in values:
        weight = values["weight"].fill_null(-1)
        invalid["weight"] = labelled & ((weight < 0) | (weight > _LARGEST))
        transactions, frauds = (rows.cast(nw.Float64) * weight for rows in (transactions, frauds))
    measures = {
        # A score that does not count is set to 0, so that it makes no group of its own.
        SCORE: scores.fill_null(0) * labelled.cast(nw.Float64),
        COUNTED[0]: transactions,
        COUNTED[1]: frauds,
    }
    if "amount" in values:
        value = values["amount"].fill_null(0)
        invalid["amount"] = value.abs() > _LARGEST
        measures[COUNTED[2]] = value * transactions.cast(nw.Float64)
        measures[COUNTED[3]] = value * frauds.cast(nw.Float64)
    measures[UNLABELLED] = (~labelled).cast(nw.Int64)
    measures |= {_INVALID[kind]: rows.cast(nw.Int64) for kind, rows in invalid.items()}
    rows = frame.select(
        *group_keys(frame, keys),
        *days,
        *(expression.alias(name) for name, expression in measures.items()),
    )
    return rows if extend is None else extend(rows)


def split_counts(
    counts: nw.DataFrame[Any],
    by: Sequence[str],
    *,
    score_type: ScoreType = np.float64,
    weighted: bool = False,
) -> list[tuple[GroupKey, ScoreCounts]]:
    """Split by group the counts of an engine or of PostgreSQL (see :func:`aggregate_scores`).

    All rows are sorted once, by group and score, however many groups there are.
    """
    keys, group = number_groups(counts, by)
    unlabelled = to_numpy_float(counts[UNLABELLED])
    n_unlabelled = np.bincount(group, unlabelled, len(keys)).astype(np.int64)
    del unlabelled
    # One column after the other, since a score may be that of one row only, of millions.
    rows = np.flatnonzero(to_numpy_float(counts[COUNTED[0]]) > 0)
    score, group = to_numpy_float(counts[SCORE])[rows], group[rows]
    order = np.lexsort((-score, group)) if by else np.argsort(-score, kind="stable")
    score, group, rows = score[order], group[order], rows[order]
    del order
    first = np.ones(len(score), np.bool_)
    first[1:] = (score[1:] != score[:-1]) | (group[1:] != group[:-1])
    starts = None if first.all() else np.flatnonzero(first)
    arrays: dict[str, Any] = {"score": score if starts is None else score[starts]}
    ends = np.cumsum(np.bincount(group[first], minlength=len(keys)))
    del score, group, first
    dtype: Any = np.float64 if weighted else np.int64
    for name, field in zip(COUNTED, _FIELDS, strict=True):
        if name not in counts.columns:
            continue
        sums: Any = to_numpy_float(counts[name])[rows]
        if starts is not None:
            sums = np.add.reduceat(sums, starts)
        if name in COUNTED[:2]:
            sums = sums.astype(dtype)
            if len(sums) and (sums == 1).all():
                sums = np.broadcast_to(dtype(1), len(sums))  # needs no memory
        arrays[field] = sums
    return [
        (
            key,
            ScoreCounts(
                **{field: array[start:end] for field, array in arrays.items()},
                n_unlabelled=int(missing),
                score_type=score_type,
                weighted=weighted,
            ),
        )
        for key, missing, start, end in zip(keys, n_unlabelled, [0, *ends], ends, strict=False)
    ]


def number_groups(
    counts: nw.DataFrame[Any], by: Sequence[str]
) -> tuple[list[GroupKey], NDArray[np.intp]]:
    """Return the groups in the engine's order, missing values last, and the group of each row."""
    if not by:
        return [()], np.zeros(len(counts), np.intp)
    number = np.zeros(len(counts), np.intp)
    for name in by:
        code, n_values = _number_values(counts[name])
        # Missing values of all kinds have the code -1.
        number = number * (n_values + 1) + code + 1
        _, number = np.unique(number, return_inverse=True)
    _, first, number = np.unique(number, return_index=True, return_inverse=True)
    rows = counts.select(*by)[first.tolist()]
    keys = [_missing_as_none(row) for row in rows.iter_rows()]
    ordered = rows.sort(*by, nulls_last=True)
    place = {_missing_as_none(row): index for index, row in enumerate(ordered.iter_rows())}
    sorted_keys = sorted(keys, key=place.__getitem__)
    rank = {key: index for index, key in enumerate(sorted_keys)}
    return sorted_keys, np.array([rank[key] for key in keys], np.intp)[number]


def _number_values(column: nw.Series[Any]) -> tuple[NDArray[np.intp], int]:
    """Return the number of the value of each row, -1 for a missing one, and how many there are."""
    import pyarrow as pa

    if column.dtype.is_float() or column.dtype == nw.Object:
        code, values = pd.factorize(pd.Series(column.to_list(), dtype=object))
        return code, len(values)
    # Numbered by Arrow, since Python's objects of millions of rows need gigabytes.
    encoded: Any = pa.chunked_array([column.to_arrow()]).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    indices: Any = encoded.indices.cast(pa.int64()).fill_null(-1)
    return indices.to_numpy(zero_copy_only=False).astype(np.intp), len(encoded.dictionary)


def _missing_as_none(key: GroupKey) -> GroupKey:
    """Replace the missing values of each engine with None."""
    return tuple(None if pd.isna(value) else value for value in key)


def _score_type_of(df: Any, score: str) -> ScoreType:
    """Return the type of the scores in a frame of any engine."""
    if nw.dependencies.is_dask_dataframe(df):
        df = df._meta  # a pandas frame without rows, for its types
    return _score_type(coerce_object_columns(nw.from_native(df), [score]), score)


def _score_type(frame: Frame, score: str) -> ScoreType:
    return _SHORT_TYPES.get(str(frame.collect_schema()[score]).lower(), np.float64)


def _to_floats(schema: nw.Schema, columns: Mapping[str, str]) -> dict[str, nw.Expr]:
    """Return expressions for the columns that are counted, by kind."""
    rules = {"score": _SCORE_RULE, "amount": "a number", "weight": WEIGHT_RULE}
    return {
        kind: (
            label_to_float(schema[name], name)
            if kind == "label"
            else to_float(schema[name], name, rules[kind])
        )
        for kind, name in columns.items()
    }


def _to_numpy(frame: Frame, name: str, expression: nw.Expr) -> Any:
    """Return a column of a frame in memory as doubles or booleans, with NaN where it is missing.

    Nothing is copied that need not be: allocating memory is what takes the time.
    """
    column = frame[name]
    if column.dtype == nw.Boolean and not column.is_null().any():
        return column.to_numpy().astype(np.bool_, copy=False)
    if column.dtype != nw.Float64:
        column = frame.select(expression)[name]
    return column.to_numpy().astype(np.float64, copy=False)


def _check_valid(
    columns: Mapping[str, str],
    invalid: Mapping[str, int | NDArray[np.intp]],
    described: str = "Column {!r}",
    score_remedy: str = "",
) -> None:
    """Raise an ArgumentError for the first column with invalid values.

    ``invalid`` has the rows of these values or, if the rows are unknown, their number; both
    arguments are by kind of column. ``score_remedy`` is added to the message on scores.
    """
    for kind, name in columns.items():
        rows = invalid[kind]
        count = rows if isinstance(rows, int) else len(rows)
        if not count:
            continue
        first_row = None if isinstance(rows, int) else int(rows[0])
        first = "" if first_row is None else f" (the first is row {first_row:,})"
        if kind == "label":
            check_n_invalid_labels(count, name, first_row=first_row, described=described)
        elif kind == "amount":
            check_amounts(name, count, np.zeros(0), described, first=first)
        else:
            rule, problem = (
                (_SCORE_RULE, "missing, NaN or out of this range")
                if kind == "score"
                else (WEIGHT_RULE, "missing, NaN, negative or infinite")
            )
            raise ArgumentError(
                f"{described.format(name)} must be {rule}; in {pluralize(count, 'row')} with a "
                f"label it is {problem}{first}."
                + (f" {score_remedy}" if kind == "score" and score_remedy else "")
            )
