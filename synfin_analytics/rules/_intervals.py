"""Intervals of rules: precision, recall, and differences of two rules on the same rows.

Precision and recall are proportions of transactions that depend on each other, and have the
intervals of :mod:`synfin_analytics.metrics._clusters`: recall is a rate among frauds, precision a
rate among labelled alerts.

The difference of two rules is computed on the same rows, so that both its terms depend on each
other. Its variance is that of its linearisation (Woodruff, 1971; Binder, 1983): what each row adds
to the difference, z, is summed by cluster, and the squares of these sums are added. For a
difference of precisions p' - p, with alerts N and N',

    z = a' (y - p') / N' - a (y - p) / N,

where a is 1 for an alert and y for a fraud. For a difference of totals, such as alerts, z is the
difference in the row itself, and the mean of the clusters is subtracted from each sum. Clusters
without any alert or fraud are not counted, so that this mean is a little too large. Two ways of
clustering are combined as elsewhere: V = V_customer + V_merchant - V_both, at least each of the
first two, and at least that of independent rows, from which no mean is subtracted. With G clusters
that add anything, V is multiplied by G / (G - 1), and the quantile is that of Student's t with the
degrees of freedom of Satterthwaite (1946). Net benefit depends on few frauds among many alerts: G
is the number of clusters with a fraud that only one of the rules catches, and there are at most G -
1 degrees of freedom.

The difference of recalls is one of paired proportions: of F frauds, b are caught by the new rule
alone, c by the old one alone. Its interval is that of Bonett and Price (2012), computed on b, c and
F divided by the design effect. Unlike the linearised one, it does not have a width of 0 if both
rules catch the same frauds.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import narwhals as nw
import numpy as np
import polars as pl

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.grouped import pair_codes
from synfin_analytics.metrics._clusters import effective_sizes, sum_squares
from synfin_analytics.metrics.fraud_rates import effective_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from synfin_analytics._core.types import Floats, Integers
    from synfin_analytics.metrics._clusters import Clusters
    from synfin_analytics.metrics.proportions import IntervalMethod

_GROUP = "__group"


@dataclasses.dataclass(frozen=True)
class Shares:
    """Proportions by group: part / whole, with intervals, and the clusters that have a part."""

    value: Floats
    low: Floats
    high: Floats
    n_clusters: Floats


@dataclasses.dataclass(frozen=True, eq=False)
class ShareCells:
    """Cells of some groups: group, part, whole, and the number of the cluster by way."""

    group: Integers
    part: Floats
    whole: Floats
    codes: tuple[Integers, ...]


def share_intervals(
    n_groups: int,
    batches: Iterable[ShareCells],
    clusters: Clusters,
    *,
    interval_method: IntervalMethod,
    confidence_level: float,
) -> Shares:
    """Compute proportions and their intervals.

    Parameters
    ----------
    n_groups
        Number of groups, from 0.
    batches
        Cells; all cells of a group are in one batch. -1 is an unknown cluster.
    clusters
        The ways of clustering.
    interval_method, confidence_level
        See :func:`synfin_analytics.proportion_interval`.
    """
    sums = pl.concat([_sum_batch(batch, clusters) for batch in batches])
    groups = pl.DataFrame({_GROUP: np.arange(n_groups)})
    table = groups.join(sums, on=_GROUP, how="left", maintain_order="left")
    counts = {
        name: table[name].fill_null(0).to_numpy().astype(np.float64)
        for name in table.columns
        if name != _GROUP
    }
    sizes = effective_sizes(counts, clusters, confidence_level)
    value = ratio(counts["frauds"], counts["labelled"])
    low, high = effective_interval(value, sizes.labelled, interval_method, confidence_level)
    return Shares(value, low, high, sizes.fraud_clusters)


def _sum_batch(batch: ShareCells, clusters: Clusters) -> pl.DataFrame:
    """Sum the counts of each group, and their squares over clusters."""
    used = batch.whole > 0
    columns = {_GROUP: batch.group[used], "frauds": batch.part[used], "labelled": batch.whole[used]}
    columns |= {key: code[used] for key, code in zip(clusters.keys, batch.codes, strict=True)}
    cells = pl.LazyFrame(columns).with_columns(
        pl.when(pl.col(key) >= 0).then(pl.col(key)).alias(key) for key in clusters.keys
    )
    if not clusters.columns:
        return cells.group_by(_GROUP).agg(pl.col("frauds", "labelled").sum()).collect()
    sums: pl.LazyFrame = nw.to_native(
        sum_squares(nw.from_native(cells), keys=[_GROUP], clusters=clusters)
    )
    return sums.collect()


# -- Differences -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Spread:
    """Variance of a sum of contributions that depend on each other within clusters.

    Attributes
    ----------
    variance
        With clusters.
    independent
        Of independent rows.
    n_clusters
        Clusters that add anything, of the way with fewer.
    freedom
        Degrees of freedom of Student's t.
    """

    variance: float
    independent: float
    n_clusters: int
    freedom: float


def spread(
    contribution: Floats,
    squares: Floats,
    n_rows: Floats,
    codes: tuple[Integers, ...],
    sizes: Sequence[int] | None = None,
) -> Spread:
    """Return the variance of a sum.

    Parameters
    ----------
    contribution, squares
        Sum of what the rows of each cell add, and of its squares.
    n_rows
        Rows of each cell that add something.
    codes
        Number of the cluster of each cell by way, -1 for unknown: its rows are clusters.
    sizes
        For a total: number of clusters of each way, among which those that add nothing count, too.
    """
    used = n_rows > 0
    contribution, squares, n_rows = contribution[used], squares[used], n_rows[used]
    codes = tuple(_renumber(code[used]) for code in codes)
    both = (_renumber(pair_codes(*codes)),) if len(codes) > 1 else ()
    independent = float(squares.sum())
    variances: list[float] = []
    adding: list[int] = []
    for way, code in enumerate((*codes, *both)):
        unknown = code < 0
        sums = np.bincount(code[~unknown], contribution[~unknown])
        rows = np.bincount(code[~unknown], n_rows[~unknown])
        mean_square = 0.0
        if sizes is not None and len(sums):
            size = sizes[way] if way < len(sizes) else len(sums)
            mean_square = float(np.square(sums.sum())) / max(size, len(sums))
        variances.append(float((sums**2).sum()) - mean_square + float(squares[unknown].sum()))
        adding.append(int((rows > 0).sum() + n_rows[unknown].sum()))
    if not codes:
        n = int(n_rows.sum())
        return Spread(independent, independent, n, max(n - 1, 1))
    one_way, n_clusters = variances[: len(codes)], adding[: len(codes)]
    variance = max(independent, *one_way)
    if both:
        variance = max(variance, one_way[0] + one_way[1] - variances[-1])
    parts = sum(
        float(np.square(of_way)) / max(number - 1, 1)
        for of_way, number in zip(one_way, n_clusters, strict=True)
    )
    most = max(int(n_rows.sum()) - 1, 1)
    freedom = min(max(float(np.square(variance)) / parts, 1.0), most) if parts > 0 else float(most)
    return Spread(variance, independent, min(n_clusters), freedom)


def _renumber(codes: Integers) -> Integers:
    """Return codes from 0 without gaps; -1 stays."""
    known = codes >= 0
    numbers = np.full(len(codes), -1)
    numbers[known] = np.unique(codes[known], return_inverse=True)[1]
    return numbers


def linear_interval(value: float, spread: Spread, confidence_level: float) -> tuple[float, float]:
    """Return the interval of a difference; NaN without two clusters that add anything."""
    from scipy.stats import t

    if spread.n_clusters < 2 or not np.isfinite(value) or not 0 < spread.variance < np.inf:
        return np.nan, np.nan
    corrected = spread.variance * spread.n_clusters / (spread.n_clusters - 1)
    width = float(t.ppf((1 + confidence_level) / 2, spread.freedom)) * np.sqrt(corrected)
    return value - width, value + width


def paired_interval(
    gained: float, lost: float, total: float, design: float, spread: Spread, confidence_level: float
) -> tuple[float, float]:
    """Return the interval of Bonett and Price for a difference of paired proportions.

    Parameters
    ----------
    gained, lost, total
        Frauds that only the new rule catches, those that only the old one catches, and all.
    design
        Design effect, by which these are divided.
    spread
        Its degrees of freedom widen the interval; less than two clusters have none.
    confidence_level
        Confidence of the interval.

    Examples
    --------
    >>> low, high = paired_interval(0, 0, 100, 1, Spread(0, 0, 0, 1), 0.95)
    >>> round(low, 3), round(high, 3)
    (-0.027, 0.027)
    """
    from scipy.stats import norm, t

    if not total > 0:
        return np.nan, np.nan
    gained, lost, total = gained / design, lost / design, total / design
    more, less = (gained + 1) / (total + 2), (lost + 1) / (total + 2)
    quantile = (1 + confidence_level) / 2
    factor = t.ppf(quantile, spread.freedom) if spread.n_clusters > 1 else norm.ppf(quantile)
    width = float(factor) * np.sqrt((more + less - (more - less) ** 2) / (total + 2))
    return float(max(more - less - width, -1.0)), float(min(more - less + width, 1.0))
