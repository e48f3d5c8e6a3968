"""Evaluate the scores of a model, in a frame or in arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import narwhals as nw
import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_column_name, format_value
from synfin_analytics._core.dataframes import ENGINES, is_frame, native_frame, open_frame
from synfin_analytics.exceptions import ArgumentError, require_unique_columns
from synfin_analytics.metrics._known import KnownLabels
from synfin_analytics.metrics._row_metrics import FrameRows, snapshot
from synfin_analytics.metrics._score_counts import count_scores, count_scores_by_group
from synfin_analytics.metrics._weights import LabelWeights, parse_weight
from synfin_analytics.metrics.evaluation import Evaluation, Threshold, check_threshold
from synfin_analytics.metrics.grouped import (
    GroupedEvaluation,
    check_group_columns,
    group_evaluations,
)
from synfin_analytics.metrics.proportions import IntervalMethod, check_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import ArrayLike
    from synfin_analytics.metrics._score_counts import ScoreCounts
    from synfin_analytics.metrics._weights import Weight

_DEFAULT_SCORE = "fraud_probability"


@overload
def evaluate(
    df: IntoFrame | TransactionSource,
    label: str = ...,
    score: str = ...,
    *,
    threshold: float | Threshold = ...,
    by: None = ...,
    amount: str | None = ...,
    weight: Weight | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
    as_of: Bound = ...,
    timestamp: str = ...,
    label_available_at: str = ...,
) -> Evaluation: ...
@overload
def evaluate(
    df: IntoFrame | TransactionSource,
    label: str = ...,
    score: str = ...,
    *,
    threshold: float | Threshold = ...,
    by: str | Sequence[str],
    amount: str | None = ...,
    weight: Weight | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
    as_of: Bound = ...,
    timestamp: str = ...,
    label_available_at: str = ...,
) -> GroupedEvaluation: ...
@overload
def evaluate(
    y_true: ArrayLike,
    y_score: ArrayLike,
    /,
    *,
    threshold: float | Threshold = ...,
    by: None = ...,
    amount: ArrayLike | None = ...,
    weight: ArrayLike | Mapping[bool, float] | Mapping[int, float] | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> Evaluation: ...
@overload
def evaluate(
    y_true: ArrayLike,
    y_score: ArrayLike,
    /,
    *,
    threshold: float | Threshold = ...,
    by: ArrayLike | Mapping[str, ArrayLike],
    amount: ArrayLike | None = ...,
    weight: ArrayLike | Mapping[bool, float] | Mapping[int, float] | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> GroupedEvaluation: ...
@overload
def evaluate(
    *,
    y_true: ArrayLike,
    y_score: ArrayLike,
    threshold: float | Threshold = ...,
    by: None = ...,
    amount: ArrayLike | None = ...,
    weight: ArrayLike | Mapping[bool, float] | Mapping[int, float] | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> Evaluation: ...
@overload
def evaluate(
    *,
    y_true: ArrayLike,
    y_score: ArrayLike,
    threshold: float | Threshold = ...,
    by: ArrayLike | Mapping[str, ArrayLike],
    amount: ArrayLike | None = ...,
    weight: ArrayLike | Mapping[bool, float] | Mapping[int, float] | None = ...,
    interval_method: IntervalMethod = ...,
    confidence_level: float = ...,
) -> GroupedEvaluation: ...
def evaluate(
    df: Any = None,
    label: Any = "is_fraud",
    score: str = _DEFAULT_SCORE,
    *,
    threshold: float | Threshold = 0.5,
    by: Any = None,
    amount: Any = None,
    weight: Any = None,
    interval_method: IntervalMethod = "wilson",
    confidence_level: float = 0.95,
    as_of: Bound = None,
    timestamp: str = "timestamp",
    label_available_at: str = "label_available_at",
    y_true: Any = None,
    y_score: Any = None,
) -> Evaluation | GroupedEvaluation:
    """Evaluate the scores of a model against the labels.

    Call it with a frame, ``evaluate(df, label="is_fraud", score="p")``, or with arrays as in
    scikit-learn, ``evaluate(y_true, y_score)``. Metrics that need days, entities or clusters, such
    as :meth:`Evaluation.bootstrap`, need a frame.

    Parameters
    ----------
    df
        A row for each transaction: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or
        PySpark. A lazy engine counts for itself. Later assignments to the frame do not change the
        evaluation; if files or tables behind it change, metrics that read the rows again raise an
        error.
    label
        Column that is true or 1 for fraud. Rows without a label are left out and counted.
    score
        Column of scores from 0 to 1, higher for likely fraud. Scores in float32 are compared with
        thresholds in float32, as in NumPy: 0.7 is an alert at 0.7.
    threshold
        A score at the threshold or above is an alert.
    by
        Column or columns to group by; of arrays, an array or a dict of arrays. The result is then a
        :class:`GroupedEvaluation`. Missing values and NaN are one group, the last.
    amount
        Column (of arrays, an array) of the transactions' value, for costs. A missing amount counts
        as 0, as in :func:`fraud_rate`; an infinite one raises an error.
    weight
        Column (of arrays, an array) of how many transactions each row stands for, at least 0; or a
        dict with the weight of both labels. For a test set in which one in fifty genuine
        transactions was kept, ``{False: 50.0, True: 1.0}``. All metrics are then those of
        scikit-learn with ``sample_weight``. Proportions have no interval, since weights are not
        counts; :meth:`Evaluation.bootstrap` resamples customers with their weights. Precision@k
        needs all transactions of a day and raises an error.
    interval_method, confidence_level
        Interval of proportions, see :func:`proportion_interval`.
    as_of
        Evaluate as was known at this date (its midnight) or time, in UTC by default: rows whose
        ``timestamp`` is later, or missing, are left out, and a label that became known later counts
        as missing, as in :func:`fraud_rate`. All metrics of the result follow it. Needs a frame.
    timestamp, label_available_at
        Columns of the times of the rows and of their labels, read only with ``as_of``. A missing
        ``label_available_at``, or one before the row's own time, means: known immediately.
    y_true, y_score
        Labels and scores as arrays: NumPy, lists, Series of pandas or polars. They may be passed by
        position in place of ``df`` and ``label``.

    Returns
    -------
    Evaluation or GroupedEvaluation

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        ``df`` is not a DataFrame; arrays differ in length; a label is neither 0 nor 1, a score is
        missing, NaN or not from 0 to 1, an amount is infinite, a weight is missing, negative or
        infinite; with ``as_of``, a column of times is missing; or another argument is out of range.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> model = evaluate(df, "fraud", "p", threshold=0.7)
    >>> model.precision, model.roc_auc
    (0.5, 0.75)
    >>> evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).roc_auc
    0.75

    One in ten genuine transactions was kept:

    >>> evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], weight={False: 10, True: 1}).prevalence
    0.09090909090909091
    """
    check_interval(interval_method, confidence_level)
    threshold = check_threshold(threshold)
    settings = (threshold, interval_method, confidence_level)
    if as_of is not None and not is_frame(df):
        raise ArgumentError(
            "`as_of` needs a frame with the times of rows and labels; got arrays. Call "
            "evaluate(df, label='is_fraud', score='p', as_of='2026-03-01')."
        )
    if df is None:
        return _evaluate_arrays(y_true, y_score, by, amount, weight, settings)
    if y_true is not None or y_score is not None:
        raise ArgumentError("`df` must not be passed together with `y_true` and `y_score`.")
    if not is_frame(df):
        _check_positions(df, label, score)
        return _evaluate_arrays(df, label, by, amount, weight, settings)
    df = check_frame(df, "evaluate")
    for name, value in (("label", label), ("score", score)):
        check_column_name(value, name)
    if amount is not None:
        check_column_name(amount, "amount")
    columns = (label, score, amount, parse_weight(weight))
    known = KnownLabels.parse(as_of, df, label, timestamp, label_available_at, "evaluate")
    if by is not None:
        return evaluate_groups(df, by, columns, known, settings)
    counts = count_scores(df, *columns, known)
    return Evaluation(counts, *settings, FrameRows(df, *columns, counts, known))


_Settings: TypeAlias = "tuple[Threshold, IntervalMethod, float]"
_Columns: TypeAlias = "tuple[str, str, str | None, str | LabelWeights | None]"


def evaluate_groups(
    df: Any,
    by: str | Sequence[str],
    columns: _Columns,
    known: KnownLabels | None,
    settings: _Settings,
    overall: ScoreCounts | None = None,
) -> GroupedEvaluation:
    """Evaluate each group of a checked frame; ``overall`` are the counts of all, if known."""
    names = check_group_columns(by)
    if taken := [name for name in columns[:2] if name in names]:
        raise ArgumentError(
            f"`by` must be columns other than the label and the score; got {taken[0]!r}."
        )
    groups = count_scores_by_group(df, names, *columns, known)
    grouped = group_evaluations(names, groups, *settings, overall=overall)
    rows = FrameRows(df, *columns, grouped.overall.counts, known)
    return replace(grouped, overall=replace(grouped.overall, rows=rows))


def _check_positions(y_true: Any, y_score: Any, third: Any) -> None:
    """Raise an ArgumentError unless the positional arguments are two arrays."""
    if isinstance(y_score, str):
        raise ArgumentError(
            f"`df` must be a DataFrame of {ENGINES}, or an array of labels that is followed by an "
            "array of scores: evaluate(df, label='is_fraud', score='p') or evaluate(y_true, "
            f"y_score); got {format_value(y_true)}."
        )
    if third != _DEFAULT_SCORE:
        raise ArgumentError(
            "evaluate(y_true, y_score) takes two arrays by position; pass others by name, such as "
            f"threshold=0.5; got a third, {format_value(third)}."
        )


def _evaluate_arrays(
    y_true: Any, y_score: Any, by: Any, amount: Any, weight: Any, settings: _Settings
) -> Evaluation | GroupedEvaluation:
    label_weights = LabelWeights.parse(weight) if isinstance(weight, Mapping) else None
    if label_weights is not None:
        weight = None
    frame, names = frame_of_arrays(y_true, y_score, amount, weight, by)
    columns = (
        LABEL, SCORE, None if amount is None else AMOUNT,
        label_weights if weight is None else WEIGHT,
    )  # fmt: skip
    try:
        counts = count_scores(frame, *columns, described="`{}`")
    except ArgumentError:
        check_order(frame)
        raise
    if by is None:
        return Evaluation(counts, *settings)
    groups = count_scores_by_group(frame, check_group_columns(names), *columns)
    return group_evaluations(names, groups, *settings)


def check_frame(df: Any, caller: str) -> Any:
    """Return a snapshot of a frame of any engine.

    Raises
    ------
    ArgumentError
        It is not a DataFrame, or has a column name twice.
    """
    df = native_frame(df)
    if not is_frame(df):
        raise ArgumentError(f"`df` must be a DataFrame of {ENGINES}; got {format_value(df)}.")
    if nw.dependencies.is_dask_dataframe(df):
        require_unique_columns(df)
    else:
        open_frame(df, caller)
    return snapshot(df)


# -- Arrays ----------------------------------------------------------------------------------------


#: Columns of the frame that :func:`frame_of_arrays` makes.
LABEL, SCORE, AMOUNT, WEIGHT = "y_true", "y_score", "amount", "weight"
_GROUP = "group"
_CALLS = "evaluate(y_true, y_score) or evaluate(df, label='is_fraud', score='p')"


def frame_of_arrays(
    y_true: Any, y_score: Any, amount: Any = None, weight: Any = None, by: Any = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Put arrays into one frame, by position.

    Parameters
    ----------
    y_true, y_score, amount, weight
        Array-likes; the last two may be None.
    by
        Groups: an array-like, a dict of array-likes by name, or None.

    Returns
    -------
    tuple
        The frame, with columns :data:`LABEL`, :data:`SCORE`, :data:`AMOUNT` and :data:`WEIGHT`, and
        the names of the groups' columns.

    Raises
    ------
    ArgumentError
        An argument is not one-dimensional, or they differ in length.

    Examples
    --------
    >>> frame, by = frame_of_arrays([0, 1], [0.2, 0.9], by=["online", "atm"])
    >>> frame.columns.tolist(), by
    (['y_true', 'y_score', 'group'], ('group',))
    """
    groups = {}
    if isinstance(by, Mapping):
        groups = {str(name): to_series(values, f"by[{name!r}]") for name, values in by.items()}
    elif by is not None:
        groups = {str(getattr(by, "name", None) or _GROUP): to_series(by, "by")}
    columns = {LABEL: to_series(y_true, LABEL), SCORE: to_series(y_score, SCORE)}
    for name, values in ((AMOUNT, amount), (WEIGHT, weight)):
        if values is not None:
            columns[name] = to_series(values, name)
    if taken := [name for name in groups if name in columns]:
        raise ArgumentError(f"`by` must have other names than {taken[0]!r}.")
    n = len(columns[LABEL])
    for name, column in (columns | groups).items():
        if len(column) != n:
            raise ArgumentError(
                f"`{LABEL}` and `{'by' if name in groups else name}` must have the same length; "
                f"got {n:,} and {len(column):,}."
            )
    return pd.DataFrame(columns | groups), tuple(groups)


def check_order(frame: pd.DataFrame) -> None:
    """Raise an ArgumentError if labels and scores look swapped."""
    try:
        labels, scores = (
            frame[name].dropna().to_numpy(dtype=np.float64) for name in (LABEL, SCORE)
        )
    except (TypeError, ValueError):
        return
    if np.isin(scores, (0, 1)).all() and not np.isin(labels, (0, 1)).all():
        raise ArgumentError(
            f"`{LABEL}` must be labels (0 or 1) and come before `{SCORE}`; got scores first. Call "
            "evaluate(y_true, y_score)."
        )


def to_series(values: Any, name: str, hint: str = f"Call {_CALLS}.") -> pd.Series[Any]:
    """Convert an array-like to a pandas Series with a new index.

    Parameters
    ----------
    values
        One-dimensional.
    name
        Name of the argument, for messages.
    hint
        What to do about a value that is no array, as a sentence.

    Raises
    ------
    ArgumentError
        ``values`` is not a one-dimensional array-like.

    Examples
    --------
    >>> to_series(np.array([[0.2], [0.9]]), "y_score").tolist()
    [0.2, 0.9]
    """
    if isinstance(values, pd.Index):
        return values.to_series().reset_index(drop=True)
    if nw.dependencies.is_into_series(values):
        series: pd.Series[Any] = nw.from_native(values, series_only=True).to_pandas()
        return series.reset_index(drop=True)
    if hasattr(values, "to_pandas"):  # Arrow's arrays
        return pd.Series(values.to_pandas()).reset_index(drop=True)
    try:
        array = np.asarray(None if isinstance(values, Mapping) else values)
    except ValueError:  # lists of different lengths
        array = np.empty((0, 0))
    if array.ndim == 0:
        raise ArgumentError(
            f"`{name}` must be an array, a list or a Series; got {format_value(values)}. {hint}"
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = ""
        if name == SCORE and array.ndim == 2:
            hint = " Pass the column of the frauds, predict_proba(X)[:, 1]."
        raise ArgumentError(
            f"`{name}` must be one-dimensional; got an array of shape {array.shape}.{hint}"
        )
    return pd.Series(array)
