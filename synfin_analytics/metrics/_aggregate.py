"""Aggregation in the engine that holds the rows: by columns, bins of a number, periods of time.

A metric defines what each row adds to the counts, with elementary expressions in a function of a
frame (``select``). :func:`aggregate_counts` sums that by group where the rows are, and only the
sums leave the engine. The arithmetic that follows is the same for all engines
(:func:`rates_from_counts` and others).

Engines give a row the number of its bin (:meth:`Bins.number`) and of its period
(:meth:`Period.number`); :meth:`Groups.finish` replaces these, in the few rows of counts, by the
edges and timestamps of the result.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import narwhals as nw
import numpy as np

from synfin_analytics._core.arguments import check_column_name, check_names, format_value
from synfin_analytics._core.compact import collect_compact
from synfin_analytics._core.dataframes import (
    TEXT_TIMES,
    check_columns,
    collect,
    is_lazy_frame,
    list_columns,
    normalize_types,
    open_frame,
    to_float,
    to_numpy_float,
    to_numpy_time,
    to_utc,
)
from synfin_analytics._core.dates import Period
from synfin_analytics._core.engine_errors import translate_dask_errors
from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.partitions import select_from_partitions
from synfin_analytics._core.worker_functions import DaskFunction
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from synfin_analytics._core.dataframes import Frame

    Floats = NDArray[np.float64]

Transform: TypeAlias = "Callable[[Frame], Frame]"

_NOT_NUMBERS = (str, bool, np.bool_)


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins of a numeric column: below the first edge, between two edges, above the last.

    A bin includes its lower edge and excludes its upper one. Bins are numbered from 0; missing
    values have the last number.

    Examples
    --------
    >>> amounts = Bins.parse("amount", [20, 100])
    >>> amounts.missing, amounts.names
    (3, ('amount_from', 'amount_to'))
    """

    column: str
    edges: tuple[float, ...]

    @classmethod
    def parse(cls, column: str, edges: Any) -> Bins:
        """Check the edges: finite numbers, each greater than the one before."""
        try:
            values: list[Any] = [edges] if isinstance(edges, str) else list(edges)
            # Python would convert strings and booleans to numbers.
            numbers = [
                math.nan if isinstance(value, _NOT_NUMBERS) else float(value) for value in values
            ]
        except (TypeError, ValueError):
            numbers = [math.nan]
        rising = all(low < high for low, high in itertools.pairwise(numbers))
        if not numbers or not rising or not all(map(math.isfinite, numbers)):
            raise ArgumentError(
                f"`bins` of {column!r} must be finite numbers, each greater than the one before, "
                f"such as [20, 100]; got {format_value(edges)}."
            )
        return cls(column, tuple(numbers))

    @property
    def key(self) -> str:
        """Column of counts with the number of the bin."""
        return f"__bin_{self.column}"

    @property
    def names(self) -> tuple[str, str]:
        """Columns of a result with the edges of the bin."""
        return f"{self.column}_from", f"{self.column}_to"

    @property
    def missing(self) -> int:
        """Number of the bin of NULL and NaN."""
        return len(self.edges) + 1

    def number(self, dtype: nw.dtypes.DType) -> nw.Expr:
        """Return an expression for the number of each row's bin."""
        must_be = "a number to be grouped into bins"
        if dtype == nw.Boolean:
            raise ArgumentError(f"Column {self.column!r} must be {must_be}; it is {dtype}.")
        value = to_float(dtype, self.column, must_be)
        number, value = value.is_null().cast(nw.Int64), value.fill_null(math.inf)
        for edge in self.edges:
            number = number + (value >= edge).cast(nw.Int64)
        return number

    def edge_columns(self, counts: nw.DataFrame[Any]) -> list[nw.Series[Any]]:
        """Return the lower and upper edges of the bins of ``counts``; NaN for missing values."""
        number = to_numpy_float(counts[self.key]).astype(np.int64)
        edges = (-math.inf, *self.edges, math.nan), (*self.edges, math.inf, math.nan)
        return [
            nw.new_series(name, np.array(ends)[number], nw.Float64, backend=counts.implementation)
            for name, ends in zip(self.names, edges, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a result, in the order of its columns."""

    columns: tuple[str, ...] = ()
    bins: tuple[Bins, ...] = ()
    period: Period | None = None
    timestamp: str = "timestamp"

    @classmethod
    def parse(
        cls,
        by: str | Sequence[str] | None,
        bins: Mapping[str, Sequence[float]] | None = None,
        every: str | None = None,
        timestamp: str = "timestamp",
        *,
        measures: Collection[str] = (),
    ) -> Groups:
        """Parse the arguments of a caller.

        Parameters
        ----------
        by, bins, every, timestamp
            As for :func:`synfin_analytics.fraud_rate`.
        measures
            Columns of the result, whose names no group may have.
        """
        ungrouped = by is None or (isinstance(by, list | tuple) and not by)
        columns = () if ungrouped else check_names(by, "by")
        if bins is not None and not isinstance(bins, Mapping):
            raise ArgumentError(
                "`bins` must be a dict of columns and their edges, such as "
                f"{{'amount': [20, 100]}}; got {format_value(bins)}."
            )
        parsed_bins = tuple(
            Bins.parse(check_column_name(name, "bins"), edges)
            for name, edges in (bins or {}).items()
        )
        period = None if every is None else Period.parse(every)
        groups = cls(columns, parsed_bins, period, timestamp)
        names = groups.names
        # DuckDB and Spark ignore the case of names.
        taken = {name.casefold() for name in measures}
        for name in names:
            if name.casefold() in taken:
                raise ArgumentError(
                    "A group column must not have the name of a column of the result; got "
                    f"{name!r}: rename it."
                )
            if names.count(name) > 1:
                raise ArgumentError(
                    f"Groups must contain each column once; got {name!r} more than once."
                )
        return groups

    @property
    def time(self) -> list[str]:
        """The column of timestamps, if they are grouped into periods."""
        return [] if self.period is None else [self.timestamp]

    @property
    def source_columns(self) -> list[str]:
        """Columns of the rows from which the groups are computed."""
        return [*self.columns, *(bins.column for bins in self.bins), *self.time]

    @property
    def keys(self) -> list[str]:
        """Columns of counts: group columns, numbers of bins, numbers or starts of periods."""
        return [*self.columns, *(bins.key for bins in self.bins), *self.time]

    @property
    def names(self) -> list[str]:
        """Columns of a result."""
        edges = [name for bins in self.bins for name in bins.names]
        return [*self.columns, *edges, *self.time]

    def rename(self, names: Mapping[str, str]) -> Groups:
        """Return the same groups for rows whose columns have other names."""
        return Groups(
            tuple(names[name] for name in self.columns),
            tuple(Bins(names[bins.column], bins.edges) for bins in self.bins),
            self.period,
            names.get(self.timestamp, self.timestamp),
        )

    def expressions(self, frame: Frame) -> list[nw.Expr]:
        """Return expressions for the groups of each row, named by :attr:`keys`."""
        schema = frame.collect_schema()
        expressions = group_keys(frame, self.columns)
        expressions += [bins.number(schema[bins.column]).alias(bins.key) for bins in self.bins]
        if self.period is not None:
            number = self.period.number(to_utc(frame, self.timestamp))
            expressions.append(number.alias(self.timestamp))
        return expressions

    def finish(self, counts: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
        """Replace the numbers of periods and bins, and sort the rows, NULL last."""
        if self.period is not None:
            column = counts[self.timestamp]
            if column.dtype.is_numeric():
                numbers = column.cast(nw.Float64).fill_null(math.nan).to_numpy()
                timestamps = self.period.starts(numbers.astype(np.float64))
            else:
                timestamps = to_numpy_time(column)
            starts = nw.new_series(self.timestamp, timestamps, backend=counts.implementation)
            starts = starts.cast(nw.Datetime("us")).dt.replace_time_zone("UTC")
            counts = counts.with_columns(starts)
        if self.keys:
            counts = counts.sort(*self.keys, nulls_last=True)
            counts = nw.maybe_reset_index(counts)  # pandas keeps the order of aggregation in it
        for bins in self.bins:
            counts = counts.with_columns(*bins.edge_columns(counts))
            counts = counts.with_columns(nw.col(*bins.names).fill_nan(None))
        measures = [name for name in counts.columns if name not in {*self.keys, *self.names}]
        return counts.select(*self.names, *measures)


def group_key(dtype: nw.dtypes.DType, name: str) -> nw.Expr:
    """Return an expression for a column to group by, in which NaN and NULL are one group."""
    column = nw.col(name)
    return column.fill_nan(None) if dtype.is_float() else column


def group_keys(frame: Frame, names: Sequence[str]) -> list[nw.Expr]:
    """Return expressions for columns to group by, as :func:`group_key`.

    Raises
    ------
    ArgumentError
        A column has DuckDB's type INTERVAL, whose values Arrow cannot sort: a month has no length.
    """
    schema = frame.collect_schema()
    for name in names if frame.implementation.is_duckdb() else ():
        if schema[name] == nw.Duration:
            raise ArgumentError(
                f"Column {name!r} has DuckDB's type INTERVAL, whose values have no order. Cast it "
                "to VARCHAR to group by it."
            )
    return [group_key(schema[name], name) for name in names]


class Reduction(Protocol):
    """How an engine reduces counts by score before they leave it; Dask's workers unpickle it."""

    @property
    def keys(self) -> tuple[str, ...]:
        """What is counted by, besides the columns of the caller."""

    @property
    def maxima(self) -> tuple[str, ...]:
        """Columns that are a maximum, not a sum."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Sums over all rows and over frauds, which weights of labels weight."""

    def rename(self, names: Mapping[str, str]) -> Reduction:
        """Return the same for a frame whose columns have other names."""

    def extend(self, rows: Frame) -> Frame:
        """Add what is summed, to rows with a score, transactions and frauds."""

    def then(self, counts: Frame) -> Frame:
        """Reduce the counts."""


# -- Aggregation -----------------------------------------------------------------------------------


def aggregate_counts(
    df: Any,
    columns: Sequence[str],
    keys: Sequence[str],
    select: Transform,
    *,
    caller: str,
    then: Transform | None = None,
    maxima: Collection[str] = (),
    minima: Collection[str] = (),
    compact: bool = False,
) -> nw.DataFrame[Any]:
    """Sum by group, in the frame's own engine, what each row adds to the counts.

    Parameters
    ----------
    df
        Of pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
    columns
        Columns that ``select`` reads; no other is read.
    keys
        Columns of the selection to group by, NULL a group of its own. Without any, all rows are one
        group.
    select
        Selects for each row its groups, and what it adds to the counts. Dask's workers receive it,
        so it must pickle.
    caller
        Name of the public function, for messages.
    then
        Reduces the sums further before they leave the engine; pickles like ``select``.
    maxima, minima
        Columns of the selection of which the maximum or minimum is returned instead of the sum.
    compact
        Whether the groups of a lazy frame may be as many as its rows, so that integers get the
        smallest type that holds them.

    Returns
    -------
    narwhals.DataFrame
        A row for each group; a pandas frame for Dask and PySpark. If it is compact, it is a polars
        frame for all lazy frames but those of Dask.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        ``df`` is not a DataFrame.
    """
    counts: Any = aggregate_lazily(
        df, columns, keys, select, caller=caller, then=then, maxima=maxima, minima=minima
    )
    if nw.dependencies.is_dask_dataframe(counts):
        with translate_dask_errors(columns):
            collected = counts.compute()  # type: ignore[no-untyped-call]
        groups = [name for name in keys if name in collected.columns]  # others are reduced
        return collect(nw.from_native(_order_categories(collected, counts._meta, groups)))
    frame: Frame = nw.from_native(counts)
    return collect_compact(frame) if compact and is_lazy_frame(df) else collect(frame)


def aggregate_lazily(
    df: Any,
    columns: Sequence[str],
    keys: Sequence[str],
    select: Transform,
    *,
    caller: str,
    then: Transform | None = None,
    maxima: Collection[str] = (),
    minima: Collection[str] = (),
) -> Any:
    """Aggregate as :func:`aggregate_counts`, but return a lazy frame of the engine.

    For pandas and pyarrow it is a frame in memory; for Dask it has one partition.
    """
    columns = list(dict.fromkeys(columns))
    extrema = _Extrema(frozenset(maxima), frozenset(minima))
    if nw.dependencies.is_dask_dataframe(df):
        check_columns(columns, list(df.columns))
        return _aggregate_partitions(
            select_from_partitions(df, columns), list(keys), select, then or _unchanged, extrema
        )
    frame = open_frame(df, caller)
    check_columns(columns, list_columns(frame))
    if frame.implementation.is_polars():
        frame = frame.lazy()  # plans all of it together, in half the time
    sums = sum_by(select(normalize_types(frame.select(*columns))), keys, *extrema)
    return (sums if then is None else then(sums)).to_native()


def check_amounts(
    amount: str, infinite: int, sums: Floats, described: str = "Column {!r}", *, first: str = ""
) -> None:
    """Raise an ArgumentError if amounts are infinite, or have an infinite sum.

    Parameters
    ----------
    amount, described
        Name of the amounts, and how messages call it.
    infinite, first
        Number of infinite amounts, and where the first is.
    sums
        Their sums by group.
    """
    if infinite:
        raise ArgumentError(
            f"{described.format(amount)} must be a finite number, or missing; in "
            f"{pluralize(infinite, 'row')} it is infinite{first}."
        )
    with np.errstate(over="ignore"):  # an overflow is what is looked for
        total = np.abs(sums).sum()
    if not np.isfinite(total):
        raise ArgumentError(
            f"{described.format(amount)} must have a finite sum; its values are too large."
        )


def sum_by(
    rows: Frame,
    keys: Sequence[str],
    maxima: Collection[str] = (),
    minima: Collection[str] = (),
) -> Frame:
    """Sum all other columns by ``keys``, NULL a group of its own; of some the extreme instead."""

    def aggregate(name: str) -> nw.Expr:
        column = nw.col(name)
        if name in maxima:
            return column.max()
        return column.min() if name in minima else column.sum()

    sums = [aggregate(name) for name in rows.collect_schema().names() if name not in keys]
    if keys:
        return rows.group_by(*keys, drop_null_keys=False).agg(*sums)
    return rows.select(*sums)


# -- Dask ------------------------------------------------------------------------------------------
# A partition is a pandas frame, and sums can be summed. Each partition is therefore counted as any
# pandas frame, and the counts are merged in a tree. narwhals' own support of Dask is moving to a
# package that is not released yet, and supports neither months nor decimals.


_DASK_TEXT_TIMES = (
    " Dask makes strings of Python's timestamps, too, unless its setting dataframe.convert-string "
    "is False when the frame is made: convert them with dask.dataframe.to_datetime()."
)


class _Extrema(NamedTuple):
    maxima: frozenset[str]
    minima: frozenset[str]


def _aggregate_partitions(
    df: Any, keys: list[str], select: Transform, then: Transform, extrema: _Extrema
) -> Any:
    import pandas as pd

    count = functools.partial(_count_partition, keys=keys, select=select, extrema=extrema)
    merge = functools.partial(_merge_partitions, keys=keys, then=_unchanged, extrema=extrema)
    finish = functools.partial(_merge_partitions, keys=keys, then=then, extrema=extrema)
    empty = pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in df.dtypes.items()})
    try:
        meta = finish(count(empty))
    except ArgumentError as error:
        if TEXT_TIMES not in str(error):
            raise
        raise ArgumentError(f"{error}{_DASK_TEXT_TIMES}") from None
    return df.reduction(
        DaskFunction(count),
        combine=DaskFunction(merge),
        aggregate=DaskFunction(finish),
        meta=meta,
    )


def _count_partition(
    partition: pd.DataFrame, keys: list[str], select: Transform, extrema: _Extrema
) -> pd.DataFrame:
    rows = select(normalize_types(nw.from_native(partition)))
    counts: pd.DataFrame = sum_by(rows, keys, *extrema).to_native()
    return counts


def _merge_partitions(
    counts: pd.DataFrame, keys: list[str], then: Transform, extrema: _Extrema
) -> pd.DataFrame:
    merged: pd.DataFrame = then(sum_by(nw.from_native(counts), keys, *extrema)).to_native()
    return merged


def _unchanged(counts: Frame) -> Frame:
    return counts


def _order_categories(
    counts: pd.DataFrame, meta: pd.DataFrame, groups: Sequence[str]
) -> pd.DataFrame:
    """Return counts whose groups can be sorted; categories by value where partitions differ.

    Dask appends the categories of one partition to those of another.

    Raises
    ------
    ArgumentError
        A group has values of several types, which its partitions have.
    """
    import pandas as pd

    for name in groups:
        values = counts[name]
        try:
            if values.dtype == object:
                values.sort_values()
            elif isinstance(values.dtype, pd.CategoricalDtype) and (
                not values.dtype.ordered and values.dtype != meta[name].dtype
            ):
                ordered = values.dtype.categories.sort_values()
                counts = counts.assign(**{name: values.cat.reorder_categories(ordered)})
        except TypeError:
            raise ArgumentError(
                f"The partitions of the Dask DataFrame have values of different types in column "
                f"{name!r}, such as times with and without a time zone. Give all its partitions "
                "the types of the frame."
            ) from None
    return counts
