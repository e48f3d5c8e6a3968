"""The rows of a frame, counted by score in the frame's own engine."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from synfin_analytics._core.dataframes import (
    check_columns,
    coerce_object_columns,
    rename_for_engine,
    to_float,
    to_numpy_float,
    truncate_time,
)
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.frequency import Period
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._aggregate import aggregate_counts
from synfin_analytics.metrics._grouping import group_key
from synfin_analytics.metrics._scores import COUNTED, SCORE, ScoreCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from synfin_analytics._core.dataframes import Frame

DAY, UNLABELLED = "__day", "__unlabelled"
_WRONG, _NO_SCORE, _INFINITE = "__wrong", "__no_score", "__infinite"
#: Names of the columns that counts have besides their groups.
INTERNAL = (DAY, UNLABELLED, SCORE, *COUNTED, _WRONG, _NO_SCORE, _INFINITE)
_MEANINGS = ("a label: true or false, 1 or 0", "a score from 0 to 1", "a number")
#: Types of scores with fewer digits than double precision.
_SHORT: dict[str, type[np.floating[Any]]] = {"Float32": np.float32, "Float16": np.float16}


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
        A label is neither 0 nor 1, a score is missing or not from 0 to 1, an amount is infinite.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"p": [0.5, 0.5, 0.1], "fraud": [1, 0, None]})
    >>> score_counts(frame, "fraud", "p").unlabelled
    1
    """
    columns = [label, score, *([] if amount is None else [amount])]
    opened = nw.from_native(frame, eager_only=True, pass_through=True)
    if not isinstance(opened, nw.DataFrame):
        ((_, counts),) = grouped_score_counts(frame, [], label, score, amount)
        return counts
    if opened.implementation.is_polars():
        require_thread_pool()
    # Rows in memory need no grouping: one sort by NumPy does.
    check_columns(columns, opened.columns)
    found = coerce_object_columns(opened.select(*dict.fromkeys(columns)), columns)
    score_type = _score_type(found, score)
    truth, said, *values = (
        _numbers(found, name, meaning) for name, meaning in zip(columns, _MEANINGS, strict=False)
    )
    known = ~np.isnan(truth)
    faults = {
        label: known & (truth != 0) & (truth != 1),
        score: known & ~((said >= 0) & (said <= 1)),
    }
    if amount is not None:
        faults[amount] = np.isinf(values[0])
    _refuse(label, score, amount, *(np.flatnonzero(one) for one in faults.values()))
    unlabelled = len(known) - int(known.sum())
    if unlabelled:
        truth, said, *values = (array[known] for array in (truth, said, *values))
    amounts = np.nan_to_num(values[0]) if values else None
    with np.errstate(over="ignore"):  # what follows refuses it
        counts = ScoreCounts.of(
            said, truth == 1, amounts, unlabelled=unlabelled, score_type=score_type
        )
    _refuse_overflow(amount, counts.amount)
    return counts


def grouped_score_counts(
    frame: Any, by: Sequence[str], label: str, score: str, amount: str | None = None
) -> list[tuple[tuple[Any, ...], ScoreCounts]]:
    """Count the rows of each group by score, in the frame's engine; without groups, all rows."""
    counts = aggregate_scores(frame, by, label, score, amount)
    return split_counts(counts, by, score_type=_type_in_frame(frame, score))


def aggregate_scores(
    frame: Any,
    keys: Sequence[str],
    label: str,
    score: str,
    amount: str | None = None,
    *,
    day: str | None = None,
) -> nw.DataFrame[Any]:
    """Add up a frame's rows by ``keys`` and score, in its own engine.

    Returns
    -------
    narwhals.DataFrame
        The keys, the day (:data:`DAY`) if a column of times is named, :data:`SCORE`,
        :data:`COUNTED`, and in :data:`UNLABELLED` the rows without a label, whose score is 0.
    """
    columns = [*keys, label, score, *(name for name in (amount, day) if name is not None)]
    frame, names = rename_for_engine(frame, columns, "evaluate")
    inside = [names[name] for name in keys]
    rows_of = functools.partial(
        _rows_of,
        keys=tuple(inside),
        label=names[label],
        score=names[score],
        amount=None if amount is None else names[amount],
        day=None if day is None else names[day],
    )
    wanted = [*inside, *([] if day is None else [DAY]), SCORE]
    counts = aggregate_counts(
        frame, [names[name] for name in columns], wanted, rows_of, caller="evaluate"
    ).rename(dict(zip(inside, keys, strict=True)))
    kinds = (_WRONG, _NO_SCORE, *([] if amount is None else [_INFINITE]))
    _refuse(label, score, amount, *(int(to_numpy_float(counts[name]).sum()) for name in kinds))
    if amount is not None:
        _refuse_overflow(amount, to_numpy_float(counts[COUNTED[2]]))
    return counts.drop(*kinds)


def _rows_of(
    frame: Frame,
    *,
    keys: Sequence[str],
    label: str,
    score: str,
    amount: str | None,
    day: str | None,
) -> Frame:
    found = coerce_object_columns(
        frame, [name for name in (label, score, amount, day) if name is not None]
    )
    days = [] if day is None else [truncate_time(found, day, Period.parse("1d")).alias(DAY)]
    schema = found.collect_schema()
    truth = to_float(schema[label], label, _MEANINGS[0])
    said = to_float(schema[score], score, _MEANINGS[1])
    known, fraud = ~truth.is_null(), truth.fill_null(0)
    no_score = said.is_null() | (said.fill_null(0) < 0) | (said.fill_null(0) > 1)
    counted = {
        # A score that counts for nothing is 0, so that it is no group of its own.
        SCORE: said.fill_null(0) * known.cast(nw.Float64),
        COUNTED[0]: known.cast(nw.Int64),
        COUNTED[1]: (fraud == 1).cast(nw.Int64),
    }
    if amount is not None:
        value = to_float(schema[amount], amount, _MEANINGS[2]).fill_null(0)
        counted[_INFINITE] = (value.abs() > _LARGEST).cast(nw.Int64)
        counted[COUNTED[2]] = value * known.cast(nw.Float64)
        counted[COUNTED[3]] = value * (fraud == 1).cast(nw.Float64)
    counted[UNLABELLED] = (~known).cast(nw.Int64)
    counted[_WRONG] = ((fraud != 0) & (fraud != 1)).cast(nw.Int64)
    counted[_NO_SCORE] = (known & no_score).cast(nw.Int64)
    return found.select(
        *(group_key(schema[name], name) for name in keys),
        *days,
        *(each.alias(name) for name, each in counted.items()),
    )


def split_counts(
    counts: nw.DataFrame[Any],
    by: Sequence[str],
    *,
    score_type: type[np.floating[Any]] = np.float64,
) -> list[tuple[tuple[Any, ...], ScoreCounts]]:
    """Split by group what an engine or PostgreSQL has counted (see :func:`scored`).

    All rows are sorted once, by group and score: the number of groups does not matter.
    """
    names, group = _groups(counts, by)
    order = np.argsort(group, kind="stable")
    measures = [name for name in COUNTED if name in counts.columns]
    arrays = [to_numpy_float(counts[name])[order] for name in (SCORE, *measures)]
    unlabelled = np.bincount(group, to_numpy_float(counts[UNLABELLED]), len(names)).astype(np.int64)
    ends = np.cumsum(np.bincount(group, minlength=len(names)))
    found = []
    for name, few, begin, end in zip(names, unlabelled, [0, *ends], ends, strict=False):
        part = [array[begin:end] for array in arrays]
        labelled = part[1] > 0
        of = (array[labelled] for array in part)
        counted = ScoreCounts.summed(*of, unlabelled=int(few), score_type=score_type)
        found.append((name, counted))
    return found


def _groups(
    counts: nw.DataFrame[Any], by: Sequence[str]
) -> tuple[list[tuple[Any, ...]], NDArray[np.intp]]:
    """Return the groups in the order of the engine, missing values last, and each row's number."""
    if not by:
        return [()], np.zeros(len(counts), np.intp)
    number = np.zeros(len(counts), np.intp)
    for name in by:
        code, known = pd.factorize(pd.Series(counts[name].to_list(), dtype=object))
        # Missing values of all kinds have the code -1.
        number = number * (len(known) + 1) + code + 1
        _, number = np.unique(number, return_inverse=True)
    _, first, number = np.unique(number, return_index=True, return_inverse=True)
    rows = counts.select(*by)[first.tolist()]
    keys = [_plain(row) for row in rows.iter_rows()]
    ordered = rows.sort(*by, nulls_last=True)
    place = {_plain(row): at for at, row in enumerate(ordered.iter_rows())}
    names = sorted(keys, key=place.__getitem__)
    rank = {key: at for at, key in enumerate(names)}
    return names, np.array([rank[key] for key in keys], np.intp)[number]


def _plain(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a group with None for each engine's own missing value."""
    return tuple(None if pd.isna(value) else value for value in key)


def _type_in_frame(frame: Any, score: str) -> type[np.floating[Any]]:
    """Return the type of the scores of a frame of any engine."""
    if nw.dependencies.is_dask_dataframe(frame):
        frame = frame._meta  # the types alone, as a frame of pandas without rows
    return _score_type(coerce_object_columns(nw.from_native(frame), [score]), score)


def _score_type(frame: Frame, score: str) -> type[np.floating[Any]]:
    return _SHORT.get(str(frame.collect_schema()[score]), np.float64)


def _numbers(frame: Frame, name: str, meaning: str) -> Any:
    """Column of a frame in memory as doubles, NaN where it is missing.

    What can be as it is, is not copied: fresh memory is what takes the time.
    """
    column = frame[name]
    if column.dtype == nw.Boolean and not column.is_null().any():
        return column.to_numpy().astype(np.bool_, copy=False)
    if column.dtype != nw.Float64:
        column = frame.select(to_float(column.dtype, name, meaning))[name]
    return column.to_numpy().astype(np.float64, copy=False)


def _refuse(
    label: str,
    score: str,
    amount: str | None,
    *found: int | NDArray[np.intp],
) -> None:
    """Refuse wrong values: their rows where these are known, otherwise how many there are."""
    sentences = (
        (label, f"{_MEANINGS[0]}, or missing", "{} hold something else"),
        (score, _MEANINGS[1], "in {} with a label it is missing, NaN or out of this range"),
        (amount, "a finite number, or missing", "{} are infinite"),
    )
    for (name, rule, fault), rows in zip(sentences, found, strict=False):
        count = rows if isinstance(rows, int) else len(rows)
        if count:
            first = "" if isinstance(rows, int) else f" (the first is row {rows[0]:,})"
            number = f"{count:,} row{'' if count == 1 else 's'}"
            if count == 1:
                fault = fault.replace("hold", "holds").replace("are", "is")
            raise ArgumentError(f"Column {name!r} must be {rule}; {fault.format(number)}{first}.")


def _refuse_overflow(amount: str | None, sums: Any) -> None:
    with np.errstate(over="ignore"):
        finite = sums is None or np.isfinite(np.abs(sums).sum())
    if not finite:
        raise ArgumentError(f"Column {amount!r} must have a finite sum; its values are too large.")


_LARGEST = sys.float_info.max
