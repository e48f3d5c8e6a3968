"""Scores in bins that an engine counts by cluster, and how far this moves a metric.

Bins begin and end at scores of frauds: each bin has about the same number of frauds, and the scores
between two bins are a bin as well. If each bin of frauds has one score only, nothing is lost, since
a metric of ranks does not depend on the order of genuine transactions between two frauds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics._core.arguments import check_integer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.metrics._score_counts import Floats, ScoreCounts

#: Fewest bins: of alerts, of frauds, and what is above and below.
_MIN_BINS = 4


def check_score_bins(score_bins: int | None) -> int | None:
    """Return the number of bins; None for none.

    Raises
    ------
    ArgumentError
        It is not a whole number of at least 4.
    """
    if score_bins is None:
        return None
    return check_integer(score_bins, "score_bins", minimum=_MIN_BINS)


@dataclass(frozen=True)
class ScoreBins:
    """Bins of scores, numbered from the lowest; each includes its lower edge.

    Attributes
    ----------
    edges
        Where all bins but the first begin, in ascending order.

    Examples
    --------
    >>> ScoreBins((0.5,)).numbers(np.array([0.4, 0.5])).tolist()
    [0, 1]
    """

    edges: tuple[float, ...]

    @classmethod
    def at_threshold(cls, threshold: float) -> ScoreBins:
        """Return one bin of alerts and one of all others."""
        return cls((threshold,) if np.isfinite(threshold) else ())

    @classmethod
    def of_frauds(cls, counts: ScoreCounts, n_bins: int, threshold: float) -> ScoreBins:
        """Return at most ``n_bins`` bins of the same number of frauds, cut at a threshold, too.

        Examples
        --------
        >>> from synfin_analytics.metrics._score_counts import ScoreCounts
        >>> counts = ScoreCounts.from_arrays([0.9, 0.8, 0.7, 0.1], [True, True, True, False])
        >>> [round(edge, 6) for edge in ScoreBins.of_frauds(counts, 4, 0.5).edges]
        [0.5, 0.7, 0.9]
        """
        has_fraud = counts.frauds > 0
        marks, frauds = counts.score[has_fraud][::-1], counts.frauds[has_fraud][::-1]
        edges = [] if not np.isfinite(threshold) else [threshold]
        if len(marks):
            # Bins of frauds and of what is between them alternate; one more is cut in two.
            n_groups = max(1, (n_bins - 2) // 2)
            group = np.arange(len(marks))
            if len(marks) > n_groups:
                before = np.cumsum(frauds) - frauds
                group = np.floor(before * (n_groups / frauds.sum())).astype(np.intp)
            first = np.append(True, group[1:] != group[:-1])
            last = np.append(first[1:], True)
            edges += [*marks[first], *np.nextafter(marks[last], np.inf)]
        return cls(tuple(float(edge) for edge in np.unique(edges)))

    @property
    def lowest(self) -> Floats:
        """Lower edge of each bin."""
        return np.array([-np.inf, *self.edges])

    def numbers(self, scores: Floats) -> NDArray[np.intp]:
        """Return the number of the bin of each score."""
        return np.searchsorted(np.array(self.edges), scores, side="right")

    def number(self, rows: Frame, score: str, name: str) -> Frame:
        """Add the numbers of the bins of a column, as engines search fastest.

        polars, Dask and Spark search an array; DuckDB has nested conditions.
        """
        native: Any = nw.to_native(rows)
        numbered: Frame
        if rows.implementation.is_polars():
            import polars as pl

            edges = pl.lit(pl.Series(list(self.edges), dtype=pl.Float64))
            number = edges.search_sorted(pl.col(score), side="right").cast(pl.Int64)
            numbered = nw.from_native(native.with_columns(number.alias(name)))
            return numbered
        if rows.implementation.is_pandas():
            scores = native[score].to_numpy(dtype=np.float64)
            numbered = nw.from_native(native.assign(**{name: self.numbers(scores)}))
            return numbered
        if rows.implementation.is_pyspark() and self.edges:
            from pyspark.ml.feature import Bucketizer

            splits = [-np.inf, *self.edges, np.inf]
            bucketizer = Bucketizer(splits=splits, inputCol=score, outputCol=name)
            numbered = nw.from_native(bucketizer.transform(native))
            return numbered
        return rows.with_columns(self._search(nw.col(score), 0, len(self.edges)).alias(name))

    def _search(self, score: nw.Expr, low: int, high: int) -> nw.Expr:
        if low == high:
            return nw.lit(low)
        middle = (low + high) // 2
        above, below = self._search(score, middle + 1, high), self._search(score, low, middle)
        return nw.when(score >= self.edges[middle]).then(above).otherwise(below)


@dataclass(frozen=True, eq=False)
class Binning:
    """Bins of counts.

    Attributes
    ----------
    numbers
        Number of the bin of each count.
    bins
        All bins.
    total
        Counts of all rows by score, which say how the transactions of a bin are spread.
    """

    numbers: NDArray[np.intp]
    bins: ScoreBins
    total: ScoreCounts
