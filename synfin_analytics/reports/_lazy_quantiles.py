"""Exact quantiles of values in any engine, from counts of bins that become narrower.

No engine has to sort all values, and few rows leave it: the first query counts bins of the whole
range by group, the next ones only narrower bins inside those that hold a wanted value, until these
hold so few values that they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals as nw
import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from synfin_analytics._core.dataframes import Frame

#: Columns that a caller selects: the number of the group, and the value; NULL is left out.
GROUP, VALUE = "__group", "__value"
_CODE, _PARENT, _COUNT, _LOW, _HIGH = "__code", "__parent", "__count", "__low", "__high"
#: Each bin is divided into so many; a power of 2, so that doubles divide exactly.
_BINS = 256
#: After so many divisions, bins are as narrow as doubles distinguish.
_MAX_LEVEL = 4
#: Values of the last bins that are read at most.
_MAX_VALUES = 5_000


class Quantile(NamedTuple):
    """The two values next to a quantile, and how far between them it is (0 to 1)."""

    below: float
    above: float
    fraction: float

    def interpolate(self) -> float:
        """Return the quantile, rounded as NumPy does."""
        return float(np.quantile(np.array([self.below, self.above]), self.fraction))


def read_quantiles(
    aggregate: Callable[..., pl.DataFrame],
    select: Callable[[Frame], Frame],
    shares: Sequence[float],
    *,
    n_values: int | None = None,
) -> dict[float, list[Quantile]]:
    """Return quantiles by group.

    Parameters
    ----------
    aggregate
        Sums by keys what a function selects, as ``LazyRows.aggregate``.
    select
        Selects :data:`GROUP`, a whole number, and :data:`VALUE`, a finite number, of each row;
        Dask's workers unpickle it.
    shares
        Of the values that are below, from 0 to 1.
    n_values
        How many values there are in all groups, if that is known: few are read by one query.

    Returns
    -------
    dict
        By group that has values, a quantile for each share.
    """
    if n_values is not None and n_values <= _MAX_VALUES:
        grid = _Grid(0.0, 0.0, 0.0)
        counts = aggregate([GROUP, _CODE, VALUE], _Values(select, grid, 0, None))
        sizes = _sizes(counts)
        values = _at_ranks(counts, {place: (0, place[1]) for place in _ranks(sizes, shares)})
    else:
        limits = aggregate([GROUP], _Limits(select), minima=[_LOW], maxima=[_HIGH])
        limits = limits.filter(pl.col(_COUNT) > 0)
        if not len(limits):
            return {}
        sizes = _sizes(limits)
        low, high = float(limits[_LOW].min()), float(limits[_HIGH].max())  # type: ignore[arg-type]
        grid = _Grid(low, _BINS / (high - low) if high > low else 0.0, min(sizes))
        values = _find(aggregate, select, grid, _ranks(sizes, shares), sum(sizes.values()))
    quantiles: dict[float, list[Quantile]] = {}
    for group, size in sizes.items():
        places = [_place(size, share) for share in shares]
        quantiles[group] = [
            Quantile(values[group, below], values[group, above], fraction)
            for below, above, fraction in places
        ]
    return quantiles


def _place(size: int, share: float) -> tuple[int, int, float]:
    """Return the ranks of the values next to a quantile, and how far between them it is."""
    position = (size - 1) * share
    below = int(position)
    return below, min(below + 1, size - 1), position - below


def _sizes(counts: pl.DataFrame) -> dict[float, int]:
    """Return the number of values of each group."""
    sizes = counts.group_by(GROUP).agg(pl.col(_COUNT).sum())
    return {float(group): int(size) for group, size in sizes.sort(GROUP).rows()}


def _ranks(sizes: Mapping[float, int], shares: Sequence[float]) -> set[tuple[float, int]]:
    """Return groups and the ranks, from 0, of the values that their quantiles need."""
    return {
        (group, rank)
        for group, size in sizes.items()
        for share in shares
        for rank in _place(size, share)[:2]
    }


def _find(
    aggregate: Callable[..., pl.DataFrame],
    select: Callable[[Frame], Frame],
    grid: _Grid,
    ranks: set[tuple[float, int]],
    n_values: int,
) -> dict[tuple[float, int], float]:
    """Return the values of groups at ranks."""
    # By group and rank: the bin that holds the value, and the rank among the values in it.
    places = {place: (0, place[1]) for place in ranks}
    level, cells = 0, None
    while n_values > _MAX_VALUES and level < _MAX_LEVEL:
        level += 1
        counts = aggregate([GROUP, _CODE], _Bins(select, grid, level, cells))
        code = pl.col(_CODE).cast(pl.Int64)
        bins = _by(
            counts.with_columns((code // _BINS * (level > 1)).alias(_PARENT)), _PARENT, _CODE
        )
        needed: dict[tuple[float, int], int] = {}
        for (group, rank), (parent, offset) in places.items():
            codes, ends = bins[group, parent]
            position = int(np.searchsorted(ends, offset, side="right"))
            before = int(ends[position - 1]) if position else 0
            places[group, rank] = int(codes[position]), offset - before
            needed[group, int(codes[position])] = int(ends[position]) - before
        n_values = sum(needed.values())
        cells = tuple(sorted(grid.cell(group, code, level) for group, code in needed))
    counts = aggregate([GROUP, _CODE, VALUE], _Values(select, grid, level, cells))
    return _at_ranks(counts, places)


def _at_ranks(
    counts: pl.DataFrame, places: Mapping[tuple[float, int], tuple[int, int]]
) -> dict[tuple[float, int], float]:
    """Return the value of each place, from counts of the values of bins."""
    values = _by(counts, _CODE, VALUE)
    found = {}
    for place, (code, offset) in places.items():
        numbers, ends = values[place[0], code]
        found[place] = numbers[int(np.searchsorted(ends, offset, side="right"))]
    return found


def _by(
    counts: pl.DataFrame, key: str, name: str
) -> dict[tuple[float, int], tuple[list[Any], Any]]:
    """Return by group and key the sorted values of a column, and the sums of counts up to each."""
    return {
        (float(group), int(part_key)): (part[name].to_list(), part[_COUNT].cum_sum().to_numpy())
        for (group, part_key), part in counts.sort(GROUP, key, name).group_by(
            GROUP, key, maintain_order=True
        )
    }


@dataclass(frozen=True)
class _Grid:
    """The bins of all levels: those of a level divide each of the level before.

    A code is a rounded product, so that equal values have equal codes, and larger ones no smaller
    code, whatever an engine rounds.
    """

    low: float
    scale: float
    first_group: float

    def code(self, level: int) -> nw.Expr:
        """Return an expression for the bin of each value; 0 for all at level 0."""
        if level == 0:
            return nw.col(VALUE).cast(nw.Float64) * 0
        position = (nw.col(VALUE).cast(nw.Float64) - self.low) * self.scale
        return (position * float(_BINS ** (level - 1))).floor()

    def cells(self, level: int) -> nw.Expr:
        """Return an expression for the number of each value's group and bin together."""
        group = nw.col(GROUP).cast(nw.Float64) - self.first_group
        return (group * self._n_codes(level) + self.code(level)).cast(nw.Int64)

    def cell(self, group: float, code: int, level: int) -> int:
        """Return that number of a group and a bin."""
        return int((group - self.first_group) * self._n_codes(level)) + code

    def _n_codes(self, level: int) -> float:
        return float(_BINS ** max(level - 1, 0) * (_BINS + 1))


@dataclass(frozen=True)
class _Limits:
    select: Callable[[Frame], Frame]

    def __call__(self, frame: Frame) -> Frame:
        value = nw.col(VALUE)
        return self.select(frame).select(
            nw.col(GROUP),
            (~value.is_null()).cast(nw.Int64).alias(_COUNT),
            value.alias(_LOW),
            value.alias(_HIGH),
        )


@dataclass(frozen=True)
class _Bins:
    """Selects the bin of each value that lies in one of the cells of the level before."""

    select: Callable[[Frame], Frame]
    grid: _Grid
    level: int
    cells: tuple[int, ...] | None

    @property
    def _parents(self) -> int:
        return self.level - 1

    def __call__(self, frame: Frame) -> Frame:
        rows: Any = self.select(frame)
        rows = rows.filter(~nw.col(VALUE).is_null())
        if self.cells is not None:
            rows = rows.filter(self.grid.cells(self._parents).is_in(self.cells))
        selected: Frame = rows.select(*self._keys(), nw.lit(1, nw.Int64).alias(_COUNT))
        return selected

    def _keys(self) -> list[nw.Expr]:
        return [nw.col(GROUP), self.grid.code(self.level).alias(_CODE)]


@dataclass(frozen=True)
class _Values(_Bins):
    """Selects the values in cells of this level, with their bins."""

    @property
    def _parents(self) -> int:
        return self.level

    def _keys(self) -> list[nw.Expr]:
        return [*super()._keys(), nw.col(VALUE)]
