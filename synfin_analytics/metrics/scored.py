"""The rows of a frame, counted by score in the frame's own engine."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.counting import (
    add_up,
    check_columns,
    missing_as_null,
    numbers,
    start_of_unit,
    typed,
)
from synfin_analytics.metrics.periods import Period
from synfin_analytics.metrics.scores import COUNTED, SCORE, ScoreCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics.metrics.counting import Frame

DAY, UNLABELLED = "__day", "__unlabelled"
_WRONG, _NO_SCORE = "__wrong", "__no_score"
_MEANINGS = ("a label: true or false, 1 or 0", "a score from 0 to 1", "a number")


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
    >>> score_counts(frame, "fraud", "p").unlabelled
    1
    """
    columns = [label, score, *([] if amount is None else [amount])]
    opened = nw.from_native(frame, eager_only=True, pass_through=True)
    if not isinstance(opened, nw.DataFrame):
        ((_, counts),) = grouped_score_counts(frame, [], label, score, amount)
        return counts
    # Rows in memory need no grouping: one sort by NumPy does.
    check_columns(columns, opened.columns)
    found = typed(opened.select(*dict.fromkeys(columns)), columns)
    truth, said, *values = (
        _numbers(found, name, meaning) for name, meaning in zip(columns, _MEANINGS, strict=False)
    )
    known = ~np.isnan(truth)
    wrong = known & (truth != 0) & (truth != 1)
    no_score = known & ~((said >= 0) & (said <= 1))
    at = np.flatnonzero(wrong | no_score)
    if len(at):
        _refuse(label, score, int(wrong.sum()), int(no_score.sum()), int(at[0]))
    unlabelled = len(known) - int(known.sum())
    if unlabelled:
        truth, said, *values = (array[known] for array in (truth, said, *values))
    amounts = np.nan_to_num(values[0]) if values else None
    return ScoreCounts.of(said, truth == 1, amounts, unlabelled=unlabelled)


def grouped_score_counts(
    frame: Any, by: Sequence[str], label: str, score: str, amount: str | None = None
) -> list[tuple[tuple[Any, ...], ScoreCounts]]:
    """Count the rows of each group by score, in the frame's engine; without groups, all rows."""
    return split_counts(scored(frame, by, label, score, amount), by)


def scored(
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
    rows_of = functools.partial(
        _rows_of, keys=tuple(keys), label=label, score=score, amount=amount, day=day
    )
    wanted = [*keys, *([] if day is None else [DAY]), SCORE]
    counts = add_up(frame, columns, wanted, rows_of, caller="evaluate")
    wrong, no_score = (int(numbers(counts[name]).sum()) for name in (_WRONG, _NO_SCORE))
    _refuse(label, score, wrong, no_score)
    return counts.drop(_WRONG, _NO_SCORE)


def _rows_of(
    frame: Frame,
    *,
    keys: Sequence[str],
    label: str,
    score: str,
    amount: str | None,
    day: str | None,
) -> Frame:
    days = [] if day is None else [start_of_unit(frame, day, Period.parse("1d")).alias(DAY)]
    found = typed(frame, [name for name in (label, score, amount) if name is not None])
    schema = found.collect_schema()
    truth = missing_as_null(schema[label], label, _MEANINGS[0])
    said = missing_as_null(schema[score], score, _MEANINGS[1])
    known, fraud = ~truth.is_null(), truth.fill_null(0)
    no_score = said.is_null() | (said.fill_null(0) < 0) | (said.fill_null(0) > 1)
    counted = {
        # A score that counts for nothing is 0, so that it is no group of its own.
        SCORE: said.fill_null(0) * known.cast(nw.Float64),
        COUNTED[0]: known.cast(nw.Int64),
        COUNTED[1]: (fraud == 1).cast(nw.Int64),
    }
    if amount is not None:
        value = missing_as_null(schema[amount], amount, _MEANINGS[2]).fill_null(0)
        counted[COUNTED[2]] = value * known.cast(nw.Float64)
        counted[COUNTED[3]] = value * (fraud == 1).cast(nw.Float64)
    counted[UNLABELLED] = (~known).cast(nw.Int64)
    counted[_WRONG] = ((fraud != 0) & (fraud != 1)).cast(nw.Int64)
    counted[_NO_SCORE] = (known & no_score).cast(nw.Int64)
    return found.select(
        *(nw.col(name) for name in keys),
        *days,
        *(each.alias(name) for name, each in counted.items()),
    )


def split_counts(
    counts: nw.DataFrame[Any], by: Sequence[str]
) -> list[tuple[tuple[Any, ...], ScoreCounts]]:
    """Take apart by group what an engine or PostgreSQL has counted (see :func:`scored`)."""
    groups: list[tuple[tuple[Any, ...], nw.DataFrame[Any]]] = [((), counts)]
    if by:
        rows = [_plain(row) for row in zip(*(counts[name].to_list() for name in by), strict=True)]
        order = counts.select(*by).unique().sort(*by, nulls_last=True)
        names = [_plain(row) for row in zip(*(order[name].to_list() for name in by), strict=True)]
        place = {name: at for at, name in enumerate(dict.fromkeys(names))}
        of = np.array([place[row] for row in rows], np.int64)
        groups = [(name, counts.filter((of == at).tolist())) for name, at in place.items()]
    found = []
    for key, part in groups:
        labelled = part.filter(nw.col(COUNTED[0]) > 0)
        unlabelled = int(numbers(part[UNLABELLED]).sum())
        found.append((key, ScoreCounts.of_frame(labelled, unlabelled=unlabelled)))
    return found


def _plain(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Make None of each engine's own way to say that a value is missing."""
    return tuple(None if pd.isna(value) else value for value in key)


def _numbers(frame: Frame, name: str, meaning: str) -> Any:
    """Column of a frame in memory as doubles, NaN where it is missing.

    What can be as it is, is not copied: fresh memory is what takes the time.
    """
    column = frame[name]
    if column.dtype == nw.Boolean and not column.is_null().any():
        return column.to_numpy().astype(np.bool_, copy=False)
    if column.dtype != nw.Float64:
        column = frame.select(missing_as_null(column.dtype, name, meaning))[name]
    return column.to_numpy().astype(np.float64, copy=False)


def _refuse(label: str, score: str, wrong: int, no_score: int, first: int | None = None) -> None:
    place = "" if first is None else f" (the first is row {first})"
    if wrong:
        raise ArgumentError(
            f"Column {label!r} must be {_MEANINGS[0]}, or missing: {wrong:,} rows hold something "
            f"else{place}."
        )
    if no_score:
        raise ArgumentError(
            f"Column {score!r} must be {_MEANINGS[1]}: in {no_score:,} labelled rows it is "
            f"missing, NaN or beyond{place}."
        )
