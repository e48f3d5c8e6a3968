"""What happens as the threshold falls: alerts, frauds among them, and the areas under curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.metrics.confusion import Confusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.metrics._scores import Floats, Integers, ScoreCounts


@dataclass(frozen=True, eq=False)
class Curve:
    """Alerts at every threshold that tells rows apart; a score at the threshold is an alert.

    Parameters
    ----------
    counts
        Transactions and frauds by score.

    Examples
    --------
    >>> from synfin_analytics.metrics._scores import ScoreCounts
    >>> curve = Curve(ScoreCounts.of([0.9, 0.8, 0.8, 0.1], [1, 0, 1, 0]))
    >>> curve.roc_auc, curve.at(0.8)
    (0.875, Confusion(tp=2, fp=1, fn=0, tn=1))
    """

    counts: ScoreCounts

    @cached_property
    def alerts(self) -> Integers:
        """Transactions with this score or a higher one."""
        return self._sums[0].to_numpy()[1:]

    @cached_property
    def tp(self) -> Integers:
        """Frauds among the alerts."""
        return self._sums[1].to_numpy()[1:]

    @cached_property
    def _sums(self) -> tuple[pd.Series, pd.Series]:
        """``alerts`` and ``tp`` behind a 0, as columns.

        A frame of the whole curve shares them, since allocating memory is what takes the time.
        pandas copies a column that a user writes to, because these still refer to it.
        """
        found = []
        for counted in (self.counts.transactions, self.counts.frauds):
            sums = np.empty(len(counted) + 1, np.int64)
            sums[0] = 0
            np.cumsum(counted, out=sums[1:])
            found.append(pd.Series(sums, copy=False))
        return found[0], found[1]

    @cached_property
    def n(self) -> int:
        """All labelled transactions."""
        return self.counts.n

    @cached_property
    def positives(self) -> int:
        """All frauds."""
        return self.counts.positives

    @cached_property
    def _steps(self) -> tuple[NDArray[np.intp], Integers, Integers, Integers]:
        """Places of the scores that frauds have, and frauds, ``tp`` and ``alerts`` there.

        Areas need no others, and they are few.
        """
        places = np.flatnonzero(self.counts.frauds)
        return places, self.counts.frauds[places], self.tp[places], self.alerts[places]

    @cached_property
    def roc_auc(self) -> float:
        """Chance that a fraud scores higher than a genuine transaction; a tie counts half.

        It is counted in whole numbers, and divided once (Mann and Whitney, 1947).
        """
        steps, frauds, tp, alerts = self._steps
        genuine = self.n - self.positives
        ties = self.counts.transactions[steps] - frauds
        halves = int(np.sum(frauds * (2 * (genuine - (alerts - tp)) + ties)))
        pairs = 2 * self.positives * genuine
        return halves / pairs if pairs else float("nan")

    @cached_property
    def average_precision(self) -> float:
        """Mean precision over the frauds, each at its own score as the threshold.

        Without interpolation, as scikit-learn defines it: the sum of precision times the step in
        recall. By chance it is the prevalence. NaN without frauds.
        """
        _, frauds, tp, alerts = self._steps
        return float(ratio(np.sum(ratio(tp, alerts) * frauds), self.positives))

    @cached_property
    def brier(self) -> float:
        """Mean squared difference of score and truth (Brier, 1950); 0 is best."""
        score, frauds = self.counts.score, self.counts.frauds
        squares = frauds * (1 - score) ** 2 + (self.counts.transactions - frauds) * score**2
        return float(ratio(squares.sum(), self.n))

    def confusion(self, alerts: int, tp: int) -> Confusion:
        """Confusion where so many alerts hold so many frauds."""
        fp = alerts - tp
        return Confusion(tp, fp, self.positives - tp, self.n - self.positives - fp)

    def at(self, threshold: float) -> Confusion:
        """Confusion at a threshold."""
        above = self.place(threshold)
        if not above:
            return self.confusion(0, 0)
        return self.confusion(int(self.alerts[above - 1]), int(self.tp[above - 1]))

    def place(self, threshold: float) -> int:
        """Return how many distinct scores are at the threshold or above."""
        threshold = self.counts.cut(threshold)
        return int(np.searchsorted(-self.counts.score, -threshold, side="right"))

    def chosen(self, points: int | None) -> NDArray[np.intp] | slice:
        """Places of the scores to show: all, or so many that the curve looks the same.

        They are spread evenly over recall, over the false positives and over the scores, and
        hold both ends.
        """
        size = len(self.counts.score)
        if points is not None:
            points = check_integer(points, "points", minimum=_FEWEST)
        if points is None or size <= points:
            return slice(None)  # which copies nothing
        each = (points - 2) // 3
        found = [np.array([0, size - 1]), np.linspace(0, size - 1, each).astype(np.intp)]
        for run in (self.tp, self.alerts - self.tp):
            if run[-1]:
                wanted = np.linspace(0, run[-1], each)
                found.append(np.searchsorted(run, wanted).astype(np.intp))
        return np.unique(np.concatenate(found))

    def to_frame(self, points: int | None = None) -> pd.DataFrame:
        """Return the curve, a row for each threshold, from no alerts to alerts for all.

        Parameters
        ----------
        points
            Maximum number of rows besides the first, at least 8; by default one for each distinct
            score. Areas are always those of the whole curve.

        Returns
        -------
        pandas.DataFrame
            ``threshold`` (descending, first infinite), ``alerts``, ``queue_rate`` = alerts / n,
            ``tp``, ``fp``, ``fn``, ``tn``, ``precision``, ``recall``, ``false_positive_rate``.
        """
        chosen = self.chosen(points)
        alerts, tp = (one.to_numpy() for one in self._sums)
        shown: list[pd.Series | Integers] = [*self._sums]
        if not isinstance(chosen, slice):
            places = np.append(0, chosen + 1)
            shown = alerts, tp = [alerts[places], tp[places]]
        threshold = np.empty(len(alerts))
        threshold[0], threshold[1:] = np.inf, self.counts.score[chosen]
        precision = np.empty(len(alerts))
        precision[0] = np.nan
        np.divide(tp[1:], alerts[1:], out=precision[1:])
        fp = alerts - tp
        genuine = self.n - self.positives
        columns = {
            "threshold": threshold,
            "alerts": shown[0],
            "queue_rate": _share(alerts, self.n),
            "tp": shown[1],
            "fp": fp,
            "fn": self.positives - tp,
            "tn": genuine - fp,
            "precision": precision,
            "recall": _share(tp, self.positives),
            "false_positive_rate": _share(fp, genuine),
        }
        return pd.DataFrame(columns, copy=False)

    def calibration(self, edges: Floats) -> tuple[Integers, Integers, Floats]:
        """Count transactions and frauds, and add up scores, in each bin between ``edges``."""
        edges = edges.astype(self.counts.score_type).astype(np.float64)  # as thresholds are
        which = np.clip(
            np.searchsorted(edges, self.counts.score, side="right") - 1, 0, len(edges) - 2
        )
        size = len(edges) - 1

        def total(values: Floats | Integers) -> Floats:
            return np.bincount(which, weights=values, minlength=size).astype(np.float64)

        transactions, frauds = total(self.counts.transactions), total(self.counts.frauds)
        scores = total(self.counts.score * self.counts.transactions)
        return transactions.astype(np.int64), frauds.astype(np.int64), scores


def _share(part: Integers, whole: int) -> Floats:
    return part / whole if whole else np.full(len(part), np.nan)


_FEWEST = 8
