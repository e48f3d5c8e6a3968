"""The curve of all thresholds by cluster, from scores or from bins of scores.

It needs the frauds' scores and the number of genuine transactions between them, by cluster; a block
of resamples is then a product of sparse matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from synfin_analytics._core.arithmetic import ratio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.metrics._score_bins import Binning
    from synfin_analytics.metrics._score_counts import Floats, RowCounts, ScoreCounts


@dataclass(frozen=True, eq=False)
class WeighedCurve:
    """A curve in each resample, by mark and resample.

    Attributes
    ----------
    frauds, ties
        Frauds and genuine transactions whose score is the mark.
    tp, above
        Both at the mark or above.
    positives, negatives
        All of them, by resample.
    bins
        The bins of scores, if there are some.
    """

    frauds: Floats
    ties: Floats
    tp: Floats
    above: Floats
    positives: Floats
    negatives: Floats
    bins: WeighedBins | None = None

    @classmethod
    def from_sums(
        cls, frauds: Floats, genuine: Floats, bins: WeighedBins | None = None
    ) -> WeighedCurve:
        """Sum frauds at the marks, and genuine transactions at and between them."""
        ties = genuine[1::2].copy()
        negatives = genuine.sum(axis=0)
        above = np.cumsum(genuine, axis=0, out=genuine)[1::2]
        if bins is not None:  # shares that were multiplied and added up: whole numbers again
            whole = np.rint(above)
            above = np.where(np.abs(above - whole) <= 1e-12 * whole, whole, above)
        return cls(
            frauds, ties, np.cumsum(frauds, axis=0), above, frauds.sum(axis=0), negatives, bins
        )


@dataclass(frozen=True, eq=False)
class Curve:
    """Frauds at each of their distinct scores, and genuine transactions at and between these.

    These scores are the marks, the highest first: between them the curve has no corner.
    """

    frauds: sparse.csr_array
    genuine: sparse.csr_array

    @classmethod
    def from_counts(cls, codes: NDArray[np.intp], n_clusters: int, counts: RowCounts) -> Curve:
        """Place the counts by cluster and score between the marks."""
        marks, place, slot = _place_scores(counts)
        genuine = counts.transactions - counts.frauds
        bad = counts.frauds > 0
        return cls(
            sparse.csr_array(
                (counts.frauds[bad].astype(float), (place[bad], codes[bad])),
                shape=(len(marks), n_clusters),
            ),
            sparse.csr_array(
                (genuine.astype(float), (slot, codes)), shape=(2 * len(marks) + 1, n_clusters)
            ),
        )

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""
        return int(self.genuine.shape[0])

    def weigh(self, weights: Floats) -> WeighedCurve:
        """Return the curve in each resample."""
        return WeighedCurve.from_sums(self.frauds @ weights, self.genuine @ weights)


def _place_scores(
    counts: RowCounts | ScoreCounts,
) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """Return the distinct scores of frauds, the highest first, and where each score is.

    These scores are the marks. The second array has the first mark at or below each score, the
    third its slot: slots at a mark have odd numbers, those between marks even ones.
    """
    marks = np.unique(counts.score[counts.frauds > 0])[::-1]
    place = np.searchsorted(-marks, -counts.score)
    padded = np.append(marks, -np.inf)
    return marks, place, 2 * place + (padded[place] == counts.score)


# -- Bins ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class WeighedBins:
    """Frauds and genuine transactions of each bin in each resample, by bin and resample.

    Within a bin, it is not known which cluster has which score.

    Attributes
    ----------
    frauds, genuine
        Sums by bin, the highest scores first.
    mixed
        Which bins have a fraud and more than one score.
    uncertainty
        Of pairs of a fraud and a genuine transaction in a bin, the share that may be ordered in
        another way than was assumed, by bin.
    """

    frauds: Floats
    genuine: Floats
    mixed: NDArray[np.bool_]
    uncertainty: Floats

    def error(self, metric: str, max_fpr: float) -> float:
        """Return how much a metric of a resample may be off at most."""
        if not self.mixed.any():
            return 0.0
        errors = self._errors(metric, max_fpr)
        return float(np.max(errors[np.isfinite(errors)], initial=0))

    def _errors(self, metric: str, max_fpr: float) -> Floats:
        frauds, genuine = self.frauds[self.mixed], self.genuine[self.mixed]
        positives, negatives = self.frauds.sum(axis=0), self.genuine.sum(axis=0)
        if metric in {"roc_auc", "gini"}:
            pairs = (frauds * genuine * self.uncertainty[self.mixed, None]).sum(axis=0)
            of_area = ratio(pairs, positives * negatives)
            return of_area if metric == "roc_auc" else 2 * of_area
        if metric == "ks":  # both ends of a bin are exact, and within it one rate rises at most
            rises = np.minimum(ratio(frauds, positives), ratio(genuine, negatives))
            steepest: Floats = rises.max(axis=0)
            return steepest
        tp_above = (np.cumsum(self.frauds, axis=0) - self.frauds)[self.mixed]
        above = (np.cumsum(self.genuine, axis=0) - self.genuine)[self.mixed]
        if metric == "recall_at_fpr":  # only of the bin in which the rate is reached
            limit = max_fpr * negatives
            reached = (above <= limit) & (above + genuine > limit)
            return ratio(np.where(reached, frauds, 0).max(axis=0), positives)
        # The precision at a fraud of the bin is between these.
        lowest = np.nan_to_num(ratio(tp_above, tp_above + above + genuine))
        highest = np.nan_to_num(ratio(tp_above + frauds, tp_above + frauds + above))
        return ratio((frauds * (highest - lowest)).sum(axis=0), positives)


@dataclass(frozen=True, eq=False)
class BinnedCurve:
    """The curve of counts by bin of the score.

    Within a bin, the transactions of each cluster are spread over the scores as those of all
    clusters together are. On the rows themselves the curve is therefore exact; in a resample it may
    be off within bins, which :class:`WeighedBins` bounds.

    Attributes
    ----------
    frauds, genuine
        Transactions by bin and cluster.
    to_marks, to_slots
        Share of a bin's frauds at each mark, and of its genuine transactions in each slot.
    mixed, uncertainty
        Of each bin, as in :class:`WeighedBins`, but in ascending order.
    """

    frauds: sparse.csr_array
    genuine: sparse.csr_array
    to_marks: sparse.csr_array
    to_slots: sparse.csr_array
    mixed: NDArray[np.bool_]
    uncertainty: Floats

    @classmethod
    def from_counts(
        cls, codes: NDArray[np.intp], n_clusters: int, counts: RowCounts, binning: Binning
    ) -> BinnedCurve:
        """Arrange counts by cluster and bin."""
        total, n_bins = binning.total, len(binning.bins.edges) + 1
        bins = binning.bins.numbers(total.score)
        marks, place, slot = _place_scores(total)

        def by_cluster(values: NDArray[Any]) -> sparse.csr_array:
            cells = (values.astype(float), (binning.numbers, codes))
            return sparse.csr_array(cells, shape=(n_bins, n_clusters))

        def shares(values: NDArray[Any], rows: NDArray[np.intp], n_rows: int) -> sparse.csr_array:
            some = values > 0
            in_cell = sparse.csr_array(
                (values[some].astype(float), (rows[some], bins[some])), shape=(n_rows, n_bins)
            )
            in_cell.sum_duplicates()
            cells = in_cell.tocoo()
            of_bin = np.asarray(in_cell.sum(axis=0))
            data = cells.data / of_bin[cells.col]
            return sparse.csr_array((data, (cells.row, cells.col)), shape=in_cell.shape)

        genuine = total.transactions - total.frauds
        return cls(
            by_cluster(counts.frauds),
            by_cluster(counts.transactions - counts.frauds),
            shares(total.frauds, place, len(marks)),
            shares(genuine, slot, 2 * len(marks) + 1),
            (np.bincount(bins, minlength=n_bins) > 1)
            & (np.bincount(bins, total.frauds, n_bins) > 0),
            _uncertainty(bins, n_bins, total.frauds, genuine),
        )

    @property
    def width(self) -> int:
        """Numbers that a resample holds in memory."""
        return int(self.to_slots.shape[0]) + int(self.genuine.shape[0])

    def weigh(self, weights: Floats) -> WeighedCurve:
        """Return the curve in each resample."""
        frauds, genuine = self.frauds @ weights, self.genuine @ weights
        bins = WeighedBins(frauds[::-1], genuine[::-1], self.mixed[::-1], self.uncertainty[::-1])
        return WeighedCurve.from_sums(self.to_marks @ frauds, self.to_slots @ genuine, bins)


def _uncertainty(
    bins: NDArray[np.intp], n_bins: int, frauds: NDArray[Any], genuine: NDArray[Any]
) -> Floats:
    """Return the share of pairs in each bin that may be ordered in another way than is assumed.

    Counts are by score, the highest first. A share p of pairs is assumed to be in order, with ties
    as half; if all or none are, p or 1 - p are wrong.
    """
    of_bin = np.bincount(bins, genuine, n_bins)
    higher = np.cumsum(genuine) - genuine
    # Genuine transactions of the same bin with a higher score: bins are contiguous.
    above_bin = (np.cumsum(of_bin[::-1]) - of_bin[::-1])[::-1]
    below = of_bin[bins] - (higher - above_bin[bins]) - genuine
    in_order = np.bincount(bins, frauds * (below + genuine / 2), n_bins)
    share = np.nan_to_num(ratio(in_order, np.bincount(bins, frauds, n_bins) * of_bin))
    return np.maximum(share, 1 - share)
