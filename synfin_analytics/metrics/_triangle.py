"""Triangles of labels: frauds by the period of their transaction and the age of their label.

A *cohort* is the transactions of one period (``every``, in UTC). A label that became known in the
same period has age 0, in the next one age 1: the age is the number of the period in which the label
became known minus that of the transaction. At the end of age a, a + 1 periods have passed since the
cohort began, the same for every cohort, which makes the cells of one age comparable. A cell is
*observed* if its period had ended at ``as_of``; the counts of other cells are not complete.

The engine of the frame counts by group, cohort and period of the label; only these counts leave it.
:func:`triangles_from_counts` does the rest, also for counts of PostgreSQL.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw
import numpy as np

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics._core.dataframes import (
    check_n_invalid_labels,
    coerce_object_columns,
    column_names,
    is_empty_by_type,
    is_invalid_label,
    label_to_float,
    normalize_types,
    open_frame,
    rename_for_engine,
    time_literal,
    to_float,
    to_numpy_float,
    to_numpy_time,
    to_utc,
)
from synfin_analytics._core.dates import Bound, Period, parse_time
from synfin_analytics._core.formatting import is_missing, pluralize
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._aggregate import Groups, aggregate_counts, check_amounts
from synfin_analytics.metrics._known import check_label_times

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics._core.types import Floats, Integers, Mask

GroupKey: TypeAlias = "tuple[Any, ...]"

#: Columns of counts: the period of the transaction, that in which its label became known (NULL for
#: unknown labels), and the last moments of both.
COHORT, KNOWN = "__cohort", "__known"
LAST_TRANSACTION, LAST_LABEL = "__last_transaction", "__last_label"
LASTS = (LAST_TRANSACTION, LAST_LABEL)
#: Labels with a time, frauds without one, and labels that were known before their transaction.
TIMED, UNTIMED_FRAUDS, EARLY = "__timed", "__untimed_frauds", "__early"
COUNTS = ("transactions", "labelled", "frauds", TIMED, UNTIMED_FRAUDS)
_INVALID_LABEL, _INFINITE = "__invalid_label", "__infinite_amount"
_NO_TIME = "__no_time"
_RESOLUTION = np.timedelta64(1, "us")
#: Cells of all triangles; each takes 25 bytes.
_MAX_CELLS = 10_000_000


@dataclass(frozen=True, eq=False)
class Triangle:
    """What is known of the frauds of each cohort, by age of the label.

    Arrays have a row for each cohort and a column for each age, from 0.

    Attributes
    ----------
    cohorts
        First moment of each period that has transactions, in UTC, rising.
    known
        Frauds that became known during each age.
    amounts
        Their value; None without amounts.
    labelled
        Labels, fraud or genuine, that became known during each age.
    transactions, transaction_amount
        Transactions of each cohort, and their value (None without amounts), labelled or not.
    observed
        Whether the period of a cell had ended at ``as_of``. Counts of the period that had not are
        those until ``as_of``; later ones are 0.
    untimed_frauds
        Frauds whose label has no time: they count as known immediately.
    as_of
        Moment of which the triangle has the state.
    """

    cohorts: NDArray[np.datetime64]
    known: Integers
    amounts: Floats | None
    labelled: Integers
    transactions: Integers
    transaction_amount: Floats | None
    observed: Mask
    untimed_frauds: int
    as_of: np.datetime64

    @property
    def n_observed(self) -> Integers:
        """Number of observed ages of each cohort: 0 for one whose own period has not ended."""
        counts: Integers = self.observed.sum(axis=1)
        return counts

    @property
    def cumulative(self) -> Integers:
        """Frauds known by the end of each age."""
        return self.known.cumsum(axis=1)

    @property
    def cumulative_amounts(self) -> Floats | None:
        """Value of the frauds known by the end of each age."""
        return None if self.amounts is None else self.amounts.cumsum(axis=1)


def count_triangles(
    df: Any,
    *,
    timestamp: str = "timestamp",
    label: str = "is_fraud",
    label_available_at: str = "label_available_at",
    every: str = "1w",
    by: str | Sequence[str] | None = None,
    as_of: Bound = None,
    amount: str | None = "amount",
    measures: Sequence[str] = (),
    caller: str = "label_maturity",
) -> list[tuple[GroupKey, Triangle]]:
    """Count the triangle of each group in the engine of the frame.

    Parameters
    ----------
    df, timestamp, label, label_available_at, every, by, as_of, amount
        As for :func:`synfin_analytics.label_maturity`; ``amount=None`` leaves the values out.
    measures
        Columns of the caller's result, whose names no group may have.
    caller
        Name of the public function, for messages.

    Returns
    -------
    list
        Pairs of a group, a value for each column of ``by``, and its triangle, sorted with NULL
        last; one triangle of group ``()`` without ``by``, and no group for a frame without rows.

    Raises
    ------
    NotFoundError
        A column is not in the frame.
    ArgumentError
        A column holds something else; a transaction has no timestamp; a label became known before
        its transaction; no label has a time; or the periods are too short.
    """
    columns = {
        "timestamp": timestamp, "label": label, "label_available_at": label_available_at,
        "amount": amount,
    }  # fmt: skip
    for argument, name in columns.items():
        if name is not None:
            check_column_name(name, argument)
    groups = Groups.parse(by, measures=measures)
    period = Period.parse(every)
    moment = parse_time(as_of, "as_of")
    read = [*groups.columns, *(name for name in columns.values() if name is not None)]
    check_label_times(column_names(df, caller), label_available_at, f"`{caller}`")
    df, names = rename_for_engine(df, read, caller)
    renamed = groups.rename(names)
    select = functools.partial(
        _select_counts,
        groups=renamed,
        period=period,
        timestamp=names[timestamp],
        label=names[label],
        label_available_at=names[label_available_at],
        amount=None if amount is None else names[amount],
    )
    counts = aggregate_counts(
        df,
        [names[name] for name in read],
        [*renamed.keys, COHORT, KNOWN],
        functools.partial(select, as_of=moment),
        caller=caller,
        maxima=() if moment is not None else LASTS,
    )
    counts = counts.rename(dict(zip(renamed.keys, groups.keys, strict=True)))
    totals = {
        name: int(to_numpy_float(counts[name]).sum()) for name in (_INVALID_LABEL, _NO_TIME, EARLY)
    }
    check_n_invalid_labels(totals[_INVALID_LABEL], label)
    if totals[_NO_TIME]:
        raise ArgumentError(
            f"Column {timestamp!r} must have a timestamp in each row; "
            f"{pluralize(totals[_NO_TIME], 'row')} have none. Drop or fill these rows."
        )
    if totals[EARLY]:
        first = _first_row(df, [names[name] for name in read], select)
        raise early_label_error(timestamp, label_available_at, totals[EARLY], first)
    if amount is not None:
        infinite = int(to_numpy_float(counts[_INFINITE]).sum())
        check_amounts(amount, infinite, to_numpy_float(counts["amount"]))
    return triangles_from_counts(counts, groups, period, moment, label_available_at)


def early_label_error(timestamp: str, available: str, n_early: int, first: str) -> ArgumentError:
    """Return the error for labels that became known before their transaction."""
    return ArgumentError(
        f"Column {available!r} must not be earlier than {timestamp!r}; in "
        f"{pluralize(n_early, 'row')} it is{first}. Correct these times, or set them to NULL: "
        "known immediately."
    )


def _first_row(df: Any, columns: Sequence[str], select: Callable[..., Frame]) -> str:
    """Return where the first early label is, from 0, as part of a message.

    Rows of lazy and distributed engines have no order.
    """
    if nw.dependencies.is_dask_dataframe(df):
        return ""
    frame = open_frame(df, "label_maturity")
    if not isinstance(frame, nw.DataFrame):
        return ""
    rows: Any = select(normalize_types(frame.select(*dict.fromkeys(columns))), as_of=None)
    early = to_numpy_float(rows[EARLY])
    return f" (the first is row {int(np.flatnonzero(early)[0]):,})"


# -- What each row adds ----------------------------------------------------------------------------


def _select_counts(
    frame: Frame,
    *,
    groups: Groups,
    period: Period,
    as_of: dt.datetime | None,
    timestamp: str,
    label: str,
    label_available_at: str,
    amount: str | None,
) -> Frame:
    """Select for each row its group, its cohort, the period of its label, and what it counts."""
    values = [timestamp, label, label_available_at, amount]
    frame = coerce_object_columns(frame, [name for name in values if name is not None])
    schema = frame.collect_schema()
    moment = to_utc(frame, timestamp)
    is_date = schema[label_available_at] == nw.Date
    if is_empty_by_type(frame, label_available_at, "to be grouped into periods"):
        available = nw.col(label_available_at).cast(nw.Datetime("us"))
    else:
        available = to_utc(frame, label_available_at)
    labels = label_to_float(schema[label], label)
    invalid = is_invalid_label(labels)
    if as_of is not None:
        end = time_literal(frame, as_of)
        frame = frame.filter(moment.is_null() | (moment < end))
        labels = nw.when(available.is_null() | (available <= end)).then(labels)
    labelled, fraud = ~labels.is_null(), labels.fill_null(0) == 1
    cohort, known = period.number(moment), period.number(available)
    # A date is the whole day: midnight is no earlier than a transaction of that day.
    earliest = moment.dt.truncate("1d") if is_date else moment
    measures = {
        COHORT: cohort,
        KNOWN: nw.when(labelled).then(nw.when(known > cohort).then(known).otherwise(cohort)),
        "transactions": nw.lit(1, nw.Int64),
        "labelled": labelled.cast(nw.Int64),
        "frauds": fraud.cast(nw.Int64),
        TIMED: (labelled & ~available.is_null()).cast(nw.Int64),
        UNTIMED_FRAUDS: (fraud & available.is_null()).cast(nw.Int64),
        _INVALID_LABEL: invalid.cast(nw.Int64),
        _NO_TIME: moment.is_null().cast(nw.Int64),
        EARLY: (labelled & (available < earliest)).cast(nw.Int64),
    }
    if amount is not None:
        value = to_float(schema[amount], amount, "a number").fill_null(0)
        measures["amount"] = value
        measures["fraud_amount"] = value * fraud.cast(nw.Float64)
        measures[_INFINITE] = ((value == math.inf) | (value == -math.inf)).cast(nw.Int64)
    if as_of is None:
        lasts = (moment, nw.when(labelled).then(available))
        measures |= dict(zip(LASTS, lasts, strict=True))
    return frame.select(
        *groups.expressions(frame),
        *(expression.alias(name) for name, expression in measures.items()),
    )


# -- From counts to triangles ----------------------------------------------------------------------


def triangles_from_counts(
    counts: nw.DataFrame[Any],
    groups: Groups,
    period: Period,
    as_of: dt.datetime | None,
    label_available_at: str = "label_available_at",
) -> list[tuple[GroupKey, Triangle]]:
    """Build the triangle of each group from counts of any engine.

    Parameters
    ----------
    counts
        A row for each group, :data:`COHORT` and :data:`KNOWN`, both of which are numbers of periods
        or their first moments: :data:`COUNTS`, with values also ``amount`` and ``fraud_amount``,
        and without ``as_of`` :data:`LASTS`.
    groups, period
        The groups, and the length of cohorts and ages.
    as_of
        Moment of which the counts have the state, in UTC; None for the microsecond after the last
        one.
    label_available_at
        Name of the column, for messages.

    Raises
    ------
    ArgumentError
        No label has a time, or the periods are too short.
    """
    if not len(counts):
        return []
    if groups.keys:
        counts = counts.sort(*groups.keys, nulls_last=True)
    sums = {
        name: to_numpy_float(counts[name])
        for name in (*COUNTS, "amount", "fraud_amount")
        if name in counts.columns
    }
    if not sums["transactions"].sum():  # an aggregate of no rows
        return []
    if sums["labelled"].sum() and not sums[TIMED].sum():
        raise ArgumentError(
            f"Column {label_available_at!r} must hold the times at which labels became known; "
            f"none of the {pluralize(int(sums['labelled'].sum()), 'label')} has a time. "
            "Fill it in: for labels that take a week, the timestamp plus 7 days."
        )
    if as_of is None:
        lasts = np.concatenate([to_numpy_time(counts[name]) for name in LASTS])
        moment = lasts[~np.isnat(lasts)].max() + _RESOLUTION
    else:
        moment = np.datetime64(as_of.replace(tzinfo=None), "us")
    cohort, known = (_period_numbers(counts[name], period) for name in (COHORT, KNOWN))
    rows_by_group: dict[GroupKey, list[int]] = {}
    for row, key in enumerate(_group_keys(counts, groups)):
        rows_by_group.setdefault(key, []).append(row)
    end, last = period.numbers(np.array([moment, moment - _RESOLUTION]))
    triangles: list[tuple[GroupKey, Triangle]] = []
    n_cells = 0
    for key, positions in rows_by_group.items():
        rows = np.array(positions)
        starts, row_cohort = np.unique(cohort[rows], return_inverse=True)
        # A label that became known exactly at `as_of`, the end of a period, is in the next one.
        n_ages = int(max(last, np.nanmax(known[rows], initial=last)) - starts[0]) + 1
        n_cells += len(starts) * n_ages
        if n_cells > _MAX_CELLS:
            raise ArgumentError(
                "`every` must be a longer period: the cohorts and ages of these transactions are "
                f"more than {_MAX_CELLS:,} cells."
            )
        triangles.append(
            (
                key,
                _build(
                    {name: values[rows] for name, values in sums.items()},
                    row_cohort.ravel(),
                    known[rows] - cohort[rows],
                    starts,
                    n_ages,
                    end,
                    period,
                    moment,
                ),
            )
        )
    return triangles


def _build(
    sums: dict[str, Floats],
    cohort: NDArray[np.intp],
    age: Floats,
    starts: Floats,
    n_ages: int,
    end: float,
    period: Period,
    as_of: np.datetime64,
) -> Triangle:
    """Build one triangle: ``cohort`` is the index of each count, ``age`` NaN if not labelled."""
    shape = len(starts), n_ages
    is_known = ~np.isnan(age)
    cell = cohort[is_known] * n_ages + age[is_known].astype(np.int64)

    def by_cell(name: str) -> Floats:
        cells = np.bincount(cell, sums[name][is_known], minlength=shape[0] * shape[1])
        return cells.reshape(shape).astype(np.float64)

    def by_cohort(name: str) -> Floats:
        return np.bincount(cohort, sums[name], minlength=shape[0]).astype(np.float64)

    with_amounts = "amount" in sums
    return Triangle(
        cohorts=period.starts(starts),
        known=by_cell("frauds").astype(np.int64),
        amounts=by_cell("fraud_amount") if with_amounts else None,
        labelled=by_cell("labelled").astype(np.int64),
        transactions=by_cohort("transactions").astype(np.int64),
        transaction_amount=by_cohort("amount") if with_amounts else None,
        observed=starts[:, None] + np.arange(n_ages) < end,
        untimed_frauds=int(sums[UNTIMED_FRAUDS].sum()),
        as_of=as_of,
    )


def merge_triangles(triangles: Sequence[Triangle]) -> Triangle:
    """Add the triangles of all groups, at least one; all are of one ``as_of``."""
    starts = np.unique(np.concatenate([triangle.cohorts for triangle in triangles]))
    n_ages = max(triangle.known.shape[1] for triangle in triangles)
    shape = len(starts), n_ages

    def add(name: str, dtype: type) -> Any:
        parts = [getattr(triangle, name) for triangle in triangles]
        if parts[0] is None:
            return None
        total = np.zeros(shape[: parts[0].ndim], dtype)
        for triangle, part in zip(triangles, parts, strict=True):
            rows = np.searchsorted(starts, triangle.cohorts)
            total[(rows, slice(part.shape[1])) if part.ndim > 1 else rows] += part
        return total

    return Triangle(
        starts,
        add("known", np.int64),
        add("amounts", np.float64),
        add("labelled", np.int64),
        add("transactions", np.int64),
        add("transaction_amount", np.float64),
        add("observed", np.int64) > 0,
        sum(triangle.untimed_frauds for triangle in triangles),
        triangles[0].as_of,
    )


def _period_numbers(column: nw.Series[Any], period: Period) -> Floats:
    """Return numbers of periods from themselves or from their first moments; NaN for NULL."""
    if column.dtype.is_numeric():
        return column.cast(nw.Float64).fill_null(math.nan).to_numpy().astype(np.float64)
    return period.numbers(to_numpy_time(column))


def _group_keys(counts: nw.DataFrame[Any], groups: Groups) -> list[GroupKey]:
    """Return the group of each row, with None for a missing value."""
    columns = [
        [None if is_missing(value) else value for value in counts[name].to_list()]
        for name in groups.keys
    ]
    return list(zip(*columns, strict=True)) if columns else [()] * len(counts)
