"""What a rate is grouped by: columns, bands of a number, periods of time.

Engines give a row the number of its band (:meth:`Bands.number`) and of its period
(:meth:`Period.number`); :meth:`Groups.finish` replaces these, in the few rows of counts, by the
edges and moments that the caller sees.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics._core import arguments
from synfin_analytics._core.arguments import format_value
from synfin_analytics._core.dataframes import to_float, to_numpy_float, to_numpy_time, to_utc
from synfin_analytics._core.frequency import Period
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from synfin_analytics._core.dataframes import Frame

_NO_EDGES = (str, bool, np.bool_)


@dataclass(frozen=True, slots=True)
class Bins:
    """The bands that edges cut a column of numbers into: below the first, between two, above.

    A band holds its lower edge and not its upper. They are numbered from 0; what is missing has
    the last number.

    Examples
    --------
    >>> amounts = Bands.parse("amount", [20, 100])
    >>> amounts.missing, amounts.names
    (3, ('amount_from', 'amount_to'))
    """

    column: str
    edges: tuple[float, ...]

    @classmethod
    def parse(cls, column: str, edges: Any) -> Bins:
        """Check the edges: finite numbers, each above the one before."""
        try:
            given: list[Any] = [edges] if isinstance(edges, str) else list(edges)
            # Python would read texts and booleans as numbers.
            known = [math.nan if isinstance(one, _NO_EDGES) else float(one) for one in given]
        except (TypeError, ValueError):
            given, known = [edges], [math.nan]
        rising = all(low < high for low, high in itertools.pairwise(known))
        if not known or not rising or not all(map(math.isfinite, known)):
            raise ArgumentError(
                f"`bins` of {column!r} must be finite numbers, each greater than the one before, "
                f"such as [20, 100]; got {format_value(edges)}."
            )
        return cls(column, tuple(known))

    @property
    def key(self) -> str:
        """Column of counts that holds the number of the band."""
        return f"__band_{self.column}"

    @property
    def names(self) -> tuple[str, str]:
        """Columns of a result that hold the edges of the band."""
        return f"{self.column}_from", f"{self.column}_to"

    @property
    def missing(self) -> int:
        """Number of the band of what is NULL or NaN."""
        return len(self.edges) + 1

    def number(self, dtype: nw.dtypes.DType) -> nw.Expr:
        """Say into which band each row falls."""
        if dtype == nw.Boolean:
            raise ArgumentError(f"Column {self.column!r} must be a number to be cut into bins.")
        value = to_float(dtype, self.column, "a number to be cut into bins")
        number, value = value.is_null().cast(nw.Int64), value.fill_null(math.inf)
        for edge in self.edges:
            number = number + (value >= edge).cast(nw.Int64)
        return number

    def columns_of(self, counts: nw.DataFrame[Any]) -> list[nw.Series[Any]]:
        """Lower and upper edges of the bands of ``counts``; NULL where the number is missing."""
        band = to_numpy_float(counts[self.key]).astype(np.int64)
        ends = (-math.inf, *self.edges, math.nan), (*self.edges, math.inf, math.nan)
        return [
            nw.new_series(name, np.array(end)[band], nw.Float64, backend=counts.implementation)
            for name, end in zip(self.names, ends, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of a result, in the order in which they stand in it."""

    columns: tuple[str, ...] = ()
    bands: tuple[Bins, ...] = ()
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
        """Check what a caller asks for.

        Parameters
        ----------
        by, bins, every, timestamp
            As for :func:`synfin_analytics.fraud_rate`.
        measures
            Columns of the result that no group may hide.
        """
        none = by is None or (isinstance(by, list | tuple) and not by)
        columns = () if none else arguments.check_names(by, "by")
        if bins is not None and not isinstance(bins, Mapping):
            raise ArgumentError(
                "`bins` must be a dict of columns and their edges, such as "
                f"{{'amount': [20, 100]}}; got {format_value(bins)}."
            )
        bands = tuple(
            Bins.parse(arguments.check_column_name(name, "bins"), edges)
            for name, edges in (bins or {}).items()
        )
        period = None if every is None else Period.parse(every)
        groups = cls(columns, bands, period, timestamp)
        names = groups.names
        # DuckDB and Spark take names for equal that differ in their case only.
        taken = {name.casefold() for name in measures}
        for name in names:
            if name.casefold() in taken:
                raise ArgumentError(
                    f"A group column must not have the name of a column of the result; got "
                    f"{name!r}: rename it."
                )
            if names.count(name) > 1:
                raise ArgumentError(f"Groups must have each column once; got {name!r} repeatedly.")
        return groups

    @property
    def _time(self) -> list[str]:
        return [] if self.period is None else [self.timestamp]

    @property
    def needed(self) -> list[str]:
        """Columns of the rows that the groups are made of."""
        return [*self.columns, *(band.column for band in self.bands), *self._time]

    @property
    def keys(self) -> list[str]:
        """Columns of counts: numbers of bands and periods, or the moments of periods."""
        return [*self.columns, *(band.key for band in self.bands), *self._time]

    @property
    def names(self) -> list[str]:
        """Columns of a result."""
        edges = [name for band in self.bands for name in band.names]
        return [*self.columns, *edges, *self._time]

    def renamed(self, names: Mapping[str, str]) -> Groups:
        """Return the same groups of rows whose columns have other names."""
        return Groups(
            tuple(names[name] for name in self.columns),
            tuple(Bins(names[band.column], band.edges) for band in self.bands),
            self.period,
            names.get(self.timestamp, self.timestamp),
        )

    def expressions(self, frame: Frame) -> list[nw.Expr]:
        """Say what the groups of each row of a frame are, under the names of :attr:`keys`."""
        schema = frame.collect_schema()
        found = [group_key(schema[name], name) for name in self.columns]
        found += [band.number(schema[band.column]).alias(band.key) for band in self.bands]
        if self.period is not None:
            number = self.period.number(to_utc(frame, self.timestamp))
            found.append(number.alias(self.timestamp))
        return found

    def finish(self, counts: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
        """Name the periods and bands, and order the rows, NULL last."""
        if self.period is not None:
            found = counts[self.timestamp]
            if found.dtype.is_numeric():
                numbered = found.cast(nw.Float64).fill_null(math.nan).to_numpy()
                moments = self.period.starts(numbered.astype(np.float64))
            else:
                moments = to_numpy_time(found)
            starts = nw.new_series(self.timestamp, moments, backend=counts.implementation)
            starts = starts.cast(nw.Datetime("us")).dt.replace_time_zone("UTC")
            counts = counts.with_columns(starts)
        if self.keys:
            counts = counts.sort(*self.keys, nulls_last=True)
            counts = nw.maybe_reset_index(counts)  # that of pandas tells in what order groups came
        for band in self.bands:
            counts = counts.with_columns(*band.columns_of(counts))
            counts = counts.with_columns(nw.col(*band.names).fill_nan(None))
        measures = [name for name in counts.columns if name not in {*self.keys, *self.names}]
        return counts.select(*self.names, *measures)


def group_key(dtype: nw.dtypes.DType, name: str) -> nw.Expr:
    """Column to group by; NaN is missing, as it is in pandas, and so is one group with NULL."""
    column = nw.col(name)
    return column.fill_nan(None) if dtype.is_float() else column
