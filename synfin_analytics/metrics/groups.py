"""What a rate is grouped by: columns, bands of a number, periods of time.

Engines give a row the number of its band (:meth:`Bands.number`) and cut its timestamp to a whole
unit; :meth:`Groups.finish` makes of these, for the few rows of counts, what the caller sees.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.counting import missing_as_null, numbers, start_of_unit, together, utc
from synfin_analytics.metrics.periods import Period

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from synfin_analytics.metrics.counting import Frame


@dataclass(frozen=True, slots=True)
class Bands:
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
    def parse(cls, column: str, edges: Any) -> Bands:
        """Check the edges: finite numbers, each above the one before."""
        try:
            given: list[Any] = [edges] if isinstance(edges, str) else list(edges)
            # Python makes numbers of texts and of True, which nobody means as an edge.
            known = [math.nan if isinstance(one, str | bool) else float(one) for one in given]
        except (TypeError, ValueError):
            given, known = [edges], [math.nan]
        rising = all(low < high for low, high in itertools.pairwise(known))
        if not known or not rising or not all(map(math.isfinite, known)):
            raise ArgumentError(
                f"bins of {column!r} are finite numbers, each above the one before, as [20, 100]; "
                f"got {given if len(given) != 1 else given[0]!r}."
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
        value = missing_as_null(dtype, self.column, "a number to be cut into bins")
        number, value = value.is_null().cast(nw.Int64), value.fill_null(math.inf)
        for edge in self.edges:
            number = number + (value >= edge).cast(nw.Int64)
        return number

    def columns_of(self, counts: nw.DataFrame[Any]) -> list[nw.Series[Any]]:
        """Lower and upper edges of the bands of ``counts``; NULL where the number is missing."""
        band = numbers(counts[self.key]).astype(np.int64)
        ends = (-math.inf, *self.edges, math.nan), (*self.edges, math.inf, math.nan)
        return [
            nw.new_series(name, np.array(end)[band], nw.Float64, backend=counts.implementation)
            for name, end in zip(self.names, ends, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of a result, in the order in which they stand in it."""

    columns: tuple[str, ...] = ()
    bands: tuple[Bands, ...] = ()
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
        columns = () if by is None else (by,) if isinstance(by, str) else tuple(by)
        for name in columns:
            if not isinstance(name, str):
                raise ArgumentError(f"by names columns by texts; got {type(name).__name__}.")
        if bins is not None and not isinstance(bins, Mapping):
            raise ArgumentError(
                f"bins gives each column its edges, as {{'amount': [20, 100]}}; got {bins!r}."
            )
        bands = tuple(Bands.parse(name, edges) for name, edges in (bins or {}).items())
        period = None if every is None else Period.parse(every)
        groups = cls(columns, bands, period, timestamp)
        names = groups.names
        for name in names:
            if name in measures:
                raise ArgumentError(
                    f"The result has a measure called {name!r}: rename the group column."
                )
            if names.count(name) > 1:
                raise ArgumentError(f"{name!r} stands twice among the groups.")
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
        """Columns of counts: a number for a band, a whole unit for a period."""
        return [*self.columns, *(band.key for band in self.bands), *self._time]

    @property
    def names(self) -> list[str]:
        """Columns of a result."""
        edges = [name for band in self.bands for name in band.names]
        return [*self.columns, *edges, *self._time]

    def expressions(self, frame: Frame) -> list[nw.Expr]:
        """Say what the groups of each row of a frame are, under the names of :attr:`keys`."""
        schema = frame.collect_schema()
        found = [nw.col(name) for name in self.columns]
        found += [band.number(schema[band.column]).alias(band.key) for band in self.bands]
        if self.period is not None:
            found.append(start_of_unit(frame, self.timestamp, self.period).alias(self.timestamp))
        return found

    def finish(self, counts: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
        """Put units together to periods, name the bands, and order the rows, NULL last."""
        if self.period is not None:
            starts = nw.new_series(
                self.timestamp,
                self.period.start(utc(counts[self.timestamp])),
                backend=counts.implementation,
            )
            starts = starts.cast(nw.Datetime("us")).dt.replace_time_zone("UTC")
            counts = counts.with_columns(starts)
            if self.period.length > 1:
                counts = together(counts, self.keys)
        if self.keys:
            counts = counts.sort(*self.keys, nulls_last=True)
            counts = nw.maybe_reset_index(counts)  # that of pandas tells in what order groups came
        for band in self.bands:
            counts = counts.with_columns(*band.columns_of(counts))
            counts = counts.with_columns(nw.col(*band.names).fill_nan(None))
        measures = [name for name in counts.columns if name not in {*self.keys, *self.names}]
        return counts.select(*self.names, *measures)
