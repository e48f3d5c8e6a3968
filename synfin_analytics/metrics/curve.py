"""What happens as the threshold falls: alerts, frauds among them, and the areas under curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_integer, check_number, check_share
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_decimal, pluralize
from synfin_analytics._core.output import from_pandas
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.confusion import Confusion
from synfin_analytics.metrics.proportions import proportion_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

    from synfin_analytics._core.output import Output
    from synfin_analytics.metrics._score_counts import Floats, Integers, ScoreCounts
    from synfin_analytics.metrics.proportions import IntervalMethod

#: Rows of a thinned curve at least, besides the first.
_MIN_POINTS = 8
#: Rows of a block of the frame of a curve.
_BLOCK_ROWS = 100_000
#: Rows that a notebook shows.
_MAX_ROWS = 20
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False, repr=False)
class Curve(Result):
    """Alerts at every threshold that separates rows; a score at the threshold is an alert.

    :meth:`synfin_analytics.Evaluation.curve` returns its frame.

    Parameters
    ----------
    counts
        Transactions and frauds by score.

    Examples
    --------
    >>> from synfin_analytics.metrics._score_counts import ScoreCounts
    >>> curve = Curve(ScoreCounts.from_arrays([0.9, 0.8, 0.8, 0.1], [1, 0, 1, 0]))
    >>> curve.roc_auc, curve.at_threshold(0.8)
    (0.875, Confusion(tp=2, fp=1, fn=0, tn=1))
    >>> curve.to_frame()[["threshold", "alerts", "recall"]].values.tolist()
    [[inf, 0.0, 0.0], [0.9, 1.0, 0.5], [0.8, 3.0, 1.0], [0.1, 4.0, 1.0]]
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
        """``alerts`` and ``tp`` after a leading 0, as columns.

        A frame of the whole curve shares them, since allocating memory is what takes the time.
        pandas copies a column that a user writes to, because these still refer to it.
        """
        columns = []
        for counted in (self.counts.transactions, self.counts.frauds):
            sums = np.empty(len(counted) + 1, counted.dtype)
            sums[0] = 0
            np.cumsum(counted, out=sums[1:])
            columns.append(pd.Series(sums, copy=False))
        return columns[0], columns[1]

    @cached_property
    def n(self) -> int:
        """All labelled transactions."""
        total: int = self._sums[0].iloc[-1].item()
        return total

    @cached_property
    def n_frauds(self) -> int:
        """All frauds."""
        total: int = self._sums[1].iloc[-1].item()
        return total

    @cached_property
    def _steps(self) -> tuple[NDArray[np.intp], Integers, Integers, Integers]:
        """Indices of the scores that frauds have, and frauds, ``tp`` and ``alerts`` there.

        Areas need no other scores, and these are few.
        """
        indices = np.flatnonzero(self.counts.frauds)
        return indices, self.counts.frauds[indices], self.tp[indices], self.alerts[indices]

    @cached_property
    def roc_auc(self) -> float:
        """Probability that a fraud scores higher than a genuine transaction; a tie counts half.

        Pairs are counted as integers and divided once (Mann and Whitney, 1947).
        """
        indices, frauds, tp, alerts = self._steps
        genuine = self.n - self.n_frauds
        ties = self.counts.transactions[indices] - frauds
        halves = np.sum(frauds * (2 * (genuine - (alerts - tp)) + ties)).item()
        pairs = 2 * self.n_frauds * genuine
        return halves / pairs if pairs else float("nan")

    @property
    def gini(self) -> float:
        """Gini coefficient of the ranking: 2 * ROC AUC - 1."""
        return 2 * self.roc_auc - 1

    @cached_property
    def ks(self) -> float:
        """Largest difference between the shares of frauds and of genuine transactions alerted.

        The two-sided statistic of Kolmogorov and Smirnov. Pairs are counted as integers and divided
        once; the difference is largest at a score that frauds have, or just above it.
        """
        indices, frauds, tp, alerts = self._steps
        genuine, fp = self.n - self.n_frauds, alerts - tp
        fp_above = fp - (self.counts.transactions[indices] - frauds)
        at = tp * genuine - fp * self.n_frauds
        above = (tp - frauds) * genuine - fp_above * self.n_frauds
        pairs = self.n_frauds * genuine
        largest = np.abs(np.concatenate([at, above])).max(initial=0)
        return float(ratio(largest, pairs))

    @cached_property
    def average_precision(self) -> float:
        """Mean precision over the frauds, each at its own score as the threshold.

        Without interpolation, as scikit-learn defines it: the sum of precision times the increase
        in recall. By chance it is the prevalence. NaN without frauds.
        """
        _, frauds, tp, alerts = self._steps
        return float(ratio(np.sum(ratio(tp, alerts) * frauds), self.n_frauds))

    @cached_property
    def brier(self) -> float:
        """Mean squared difference of score and label (Brier, 1950); 0 is best."""
        score, frauds = self.counts.score, self.counts.frauds
        squares = frauds * (1 - score) ** 2 + (self.counts.transactions - frauds) * score**2
        return float(ratio(squares.sum(), self.n))

    @cached_property
    def log_loss(self) -> float:
        """Mean negative log-likelihood of the labels; 0 is best. See ``log_losses``."""
        frauds, genuine = self.counts.frauds, self.counts.transactions - self.counts.frauds
        of_fraud, of_genuine = log_losses(self.counts.score)
        return float(ratio((frauds * of_fraud + genuine * of_genuine).sum(), self.n))

    def value_detection_rate(self, threshold: float) -> float:
        """Return the share of the fraud value at the threshold or above; NaN without amounts."""
        fraud_amount = self.counts.fraud_amount
        if fraud_amount is None:
            return float("nan")
        caught = fraud_amount[: self.count_scores(threshold)].sum()
        return float(ratio(caught, fraud_amount.sum()))

    def at_threshold(self, threshold: float) -> Confusion:
        """Return the confusion at a threshold."""
        count = self.count_scores(threshold)
        if not count:
            return self._confusion(0, 0)
        return self._confusion(self.alerts[count - 1].item(), self.tp[count - 1].item())

    def _confusion(self, alerts: int, tp: int) -> Confusion:
        fp = alerts - tp
        # Differences of sums of weights may be less than 0 by rounding.
        fn, tn = (max(rest, 0) for rest in (self.n_frauds - tp, self.n - self.n_frauds - fp))
        return Confusion(tp, fp, fn, tn, weighted=self.counts.weighted)

    def count_scores(self, threshold: float) -> int:
        """Return the number of distinct scores at the threshold or above."""
        ascending = self.counts.score[::-1]
        threshold = self.counts.cast_threshold(threshold)
        return len(ascending) - int(np.searchsorted(ascending, threshold, side="left"))

    def count_alerts(self, rows: NDArray[np.intp]) -> Integers:
        """Return the alerts of rows of the frame."""
        alerts: Integers = self._sums[0].to_numpy()[rows]
        return alerts

    @property
    def n_rows(self) -> int:
        """Rows of the frame: one for each distinct score, after one without alerts."""
        return len(self.counts.score) + 1

    def select_rows(self, points: int | None) -> NDArray[np.intp] | None:
        """Return the numbers of so few rows that the curve looks the same; None for all rows.

        They are spread evenly over recall, false positives and scores, and include both ends.
        """
        size = len(self.counts.score)
        if points is not None:
            points = check_integer(points, "points", minimum=_MIN_POINTS)
        if points is None or size <= points:
            return None
        share = (points - 2) // 3
        indices = [np.array([0, size - 1]), np.linspace(0, size - 1, share).astype(np.intp)]
        for sums in (self.tp, self.alerts - self.tp):
            if sums[-1]:
                levels = np.linspace(0, sums[-1], share)
                indices.append(np.searchsorted(sums, levels).astype(np.intp))
        return np.append(0, np.unique(np.concatenate(indices)) + 1)

    @overload
    def to_frame(
        self, output: Literal["pandas"] = ..., *, points: int | None = ...
    ) -> pd.DataFrame: ...
    @overload
    def to_frame(self, output: Literal["polars"], *, points: int | None = ...) -> pl.DataFrame: ...
    @overload
    def to_frame(self, output: Literal["arrow"], *, points: int | None = ...) -> pa.Table: ...
    @overload
    def to_frame(
        self, output: Output, *, points: int | None = ...
    ) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
    def to_frame(
        self, output: Output = "pandas", *, points: int | None = None
    ) -> pd.DataFrame | pl.DataFrame | pa.Table:
        """Return the curve, a row for each threshold, from no alerts to alerts for all.

        Parameters
        ----------
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.
        points
            Maximum number of rows besides the first, at least 8; by default one for each distinct
            score. Areas are always those of the whole curve.

        Returns
        -------
        DataFrame
            ``threshold`` (descending, first infinite), ``alerts``, ``queue_rate`` = alerts / n,
            ``tp``, ``fp``, ``fn``, ``tn``, ``precision``, ``recall``, ``false_positive_rate``.
        """
        # A new frame, which needs no copy.
        table = self.read_rows(self.select_rows(points))
        return table if output == "pandas" else from_pandas(table, output)

    def _table(self) -> pd.DataFrame:
        return self.read_rows()

    def read_rows(self, rows: NDArray[np.intp] | None = None) -> pd.DataFrame:
        """Return rows of :meth:`to_frame` by their numbers; None for all of them."""
        columns = list(self._sums)
        if rows is not None:
            columns = [pd.Series(column.to_numpy()[rows], copy=False) for column in columns]
        alerts, tp = (column.to_numpy() for column in columns)
        with np.errstate(invalid="ignore"):  # not defined without alerts
            precision = tp / alerts
        fp = alerts - tp
        genuine = self.n - self.n_frauds
        fn, tn = self.n_frauds - tp, genuine - fp
        if self.counts.weighted:  # by rounding
            fn, tn = np.maximum(fn, 0), np.maximum(tn, 0)
        table = {
            "threshold": self.thresholds(rows),
            "alerts": columns[0],
            "queue_rate": _divide(alerts, self.n),
            "tp": columns[1],
            "fp": fp,
            "fn": fn,
            "tn": tn,
            "precision": precision,
            "recall": _divide(tp, self.n_frauds),
            "false_positive_rate": _divide(fp, genuine),
        }
        return pd.DataFrame(table, copy=False)

    def thresholds(self, rows: NDArray[np.intp] | None = None) -> Floats:
        """Return the thresholds of rows: infinity, then the scores in descending order."""
        if rows is None:
            thresholds = np.empty(self.n_rows)
            thresholds[0], thresholds[1:] = np.inf, self.counts.score
            return thresholds
        scores = self.counts.score
        if not len(scores):
            return np.full(len(rows), np.inf)
        return np.where(rows > 0, scores[np.maximum(rows - 1, 0)], np.inf)

    def count_bins(self, edges: Floats) -> tuple[Integers, Integers, Floats]:
        """Count transactions and frauds, and sum scores, in each bin between ``edges``."""
        edges = edges.astype(self.counts.score_type).astype(np.float64)  # as thresholds are
        index = np.clip(
            np.searchsorted(edges, self.counts.score, side="right") - 1, 0, len(edges) - 2
        )
        size = len(edges) - 1

        def sum_by_bin(values: Floats | Integers) -> Floats:
            return np.bincount(index, weights=values, minlength=size).astype(np.float64)

        transactions, frauds = (
            sum_by_bin(values).astype(values.dtype)
            for values in (self.counts.transactions, self.counts.frauds)
        )
        return transactions, frauds, sum_by_bin(self.counts.score * self.counts.transactions)

    def fraud_rate_interval(
        self,
        frauds: NDArray[Any],
        transactions: NDArray[Any],
        interval_method: IntervalMethod,
        confidence_level: float,
    ) -> tuple[Floats, Floats]:
        """Return the intervals of fraud rates; NaN for weighted transactions."""
        if self.counts.weighted:
            return np.full(len(frauds), np.nan), np.full(len(frauds), np.nan)
        return proportion_interval(
            frauds, transactions, interval_method=interval_method, confidence_level=confidence_level
        )

    def _record(self) -> Mapping[str, Any]:
        return {
            "n": self.n,
            "n_frauds": self.n_frauds,
            "roc_auc": self.roc_auc,
            "average_precision": self.average_precision,
            "gini": self.gini,
            "ks": self.ks,
            "brier": self.brier,
            "log_loss": self.log_loss,
            "points": self.read_rows(),
        }

    def __repr__(self) -> str:
        return (
            f"Curve({pluralize(len(self.counts.score), 'distinct score')}, {self.counts.size}; "
            f"ROC AUC {format_decimal(self.roc_auc)}, average precision "
            f"{format_decimal(self.average_precision)})"
        )

    def _repr_html_(self) -> str:
        html: str = self.read_rows(self.select_rows(_MAX_ROWS)).to_html(index=False)
        return html


def log_losses(score: Floats) -> tuple[Floats, Floats]:
    """Return the log loss of a fraud, and of a genuine transaction, with each score.

    Scores are clipped to the precision of a double, as scikit-learn does, so that a wrong 0 or 1
    costs 36.04 and not infinitely much.

    Examples
    --------
    >>> of_fraud, of_genuine = log_losses(np.array([0.5, 0.0]))
    >>> of_fraud.round(2), of_genuine.round(2)
    (array([ 0.69, 36.04]), array([0.69, 0.  ]))
    """
    of_fraud, of_genuine = (
        -np.log(np.clip(probability, EPSILON, 1 - EPSILON)) for probability in (score, 1 - score)
    )
    return of_fraud, of_genuine


def _divide(part: Integers, whole: int) -> Floats:
    return part / whole if whole else np.full(len(part), np.nan)


def row_blocks(n_rows: int) -> Iterator[NDArray[np.intp]]:
    """Yield the numbers of the rows of a long frame, so many at a time as take little memory.

    Examples
    --------
    >>> [len(rows) for rows in row_blocks(250_000)]
    [100000, 100000, 50000]
    """
    for start in range(0, n_rows, _BLOCK_ROWS):
        yield np.arange(start, min(start + _BLOCK_ROWS, n_rows))


def lowest_row(n_rows: int, read: Callable[[NDArray[np.intp]], Floats]) -> int:
    """Return the number of the row with the lowest value: of several, the first.

    Examples
    --------
    >>> lowest_row(5, lambda rows: np.array([3.0, 1.0, 2.0, 1.0, 4.0])[rows])
    1
    """
    lowest, row = np.inf, 0
    for rows in row_blocks(n_rows):
        values = read(rows)
        place = int(values.argmin())
        if values[place] < lowest:
            lowest, row = float(values[place]), int(rows[place])
    return row


# -- Cost ------------------------------------------------------------------------------------------

NO_AMOUNTS = (
    "Costs and the value detection rate need the amounts of the transactions, which were not "
    'counted. Pass the column, evaluate(..., amount="amount"), or amount=True to a repository.'
)


def check_costs(cost_per_alert: float, recovery_rate: float) -> tuple[float, float]:
    """Return both parameters of a cost as floats.

    Raises
    ------
    ArgumentError
        ``cost_per_alert`` is not an amount of at least 0, or ``recovery_rate`` not from 0 to 1.
    """
    return (
        check_number(cost_per_alert, "cost_per_alert", "an amount of at least 0", minimum=0),
        check_share(recovery_rate, "recovery_rate"),
    )


def cost_curve(
    curve: Curve, cost_per_alert: float, recovery_rate: float = 1.0, points: int | None = None
) -> pd.DataFrame:
    """Compute the cost of each threshold.

    cost = cost_per_alert · alerts + missed fraud value + (1 - recovery_rate) · caught fraud value,
    which without any alert is the value of all fraud (with full recovery, the cost matrix of Correa
    Bahnsen, Aouada, Stojanovic and Ottersten, 2016).

    Parameters
    ----------
    curve
        Of counts with amounts (``evaluate(..., amount="amount")``).
    cost_per_alert
        Cost of reviewing an alert, in the currency of the amounts.
    recovery_rate
        Share of the value of a caught fraud that is saved, from 0 to 1.
    points
        Maximum number of thresholds, as for :meth:`Curve.to_frame`.

    Returns
    -------
    pandas.DataFrame
        ``threshold`` (descending, first infinite), ``alerts``, ``queue_rate``, ``caught_amount``,
        ``missed_amount``, ``alert_cost``, ``cost`` and ``saved`` (relative to no alert at all).

    Raises
    ------
    ArgumentError
        The amounts were not counted, or a parameter is out of range.

    Examples
    --------
    >>> from synfin_analytics.metrics._score_counts import ScoreCounts
    >>> from synfin_analytics.metrics.curve import Curve
    >>> curve = Curve(ScoreCounts.from_arrays([0.9, 0.4], [True, False], [80.0, 20.0]))
    >>> cost_curve(curve, cost_per_alert=5)["cost"].tolist()
    [80.0, 5.0, 10.0]
    """
    costs = Costs(curve, cost_per_alert, recovery_rate)
    return costs.read_rows(curve.select_rows(points))


class Costs:
    """The costs of all thresholds, of which some rows can be read without the others.

    Parameters
    ----------
    curve, cost_per_alert, recovery_rate
        As for :func:`cost_curve`, and with its errors.

    Examples
    --------
    >>> from synfin_analytics.metrics._score_counts import ScoreCounts
    >>> curve = Curve(ScoreCounts.from_arrays([0.9, 0.4], [True, False], [80.0, 20.0]))
    >>> costs = Costs(curve, cost_per_alert=5)
    >>> costs.read_rows(np.array([0, 2]))["cost"].tolist()
    [80.0, 10.0]
    >>> costs.at([np.inf, 0.5])["cost"].tolist(), costs.lowest_row()
    ([80.0, 5.0], 1)
    """

    def __init__(self, curve: Curve, cost_per_alert: float, recovery_rate: float = 1.0) -> None:
        fraud_amount = _fraud_amount(curve)
        self._parameters = check_costs(cost_per_alert, recovery_rate)
        self._curve, self._total = curve, float(fraud_amount.sum())
        self._caught = np.empty(curve.n_rows)
        self._caught[0] = 0.0
        np.cumsum(fraud_amount, out=self._caught[1:])

    @property
    def n_rows(self) -> int:
        """Rows of the frame: one for each distinct score, after one without alerts."""
        return self._curve.n_rows

    def read_rows(self, rows: NDArray[np.intp] | None = None) -> pd.DataFrame:
        """Return rows of :func:`cost_curve` by their numbers; None for all of them."""
        if rows is None:
            rows = np.arange(self.n_rows)
        cost_per_alert, recovery_rate = self._parameters
        alerts, caught = self._curve.count_alerts(rows), self._caught[rows]
        missed = self._total - caught
        missed[(rows > 0) & (rows == self.n_rows - 1)] = 0.0  # all are alerts: no rounding is left
        alert_cost = cost_per_alert * alerts
        cost = alert_cost + missed + (1 - recovery_rate) * caught
        return pd.DataFrame(
            {
                "threshold": self._curve.thresholds(rows),
                "alerts": alerts,
                "queue_rate": _divide(alerts, self._curve.n),
                "caught_amount": caught,
                "missed_amount": missed,
                "alert_cost": alert_cost,
                "cost": cost,
                "saved": self._total - cost,
            }
        )

    def at(self, thresholds: Sequence[float]) -> pd.DataFrame:
        """Return a row for each threshold: that of the lowest score that is an alert."""
        rows = [self._curve.count_scores(threshold) for threshold in thresholds]
        return self.read_rows(np.array(rows, np.intp))

    def lowest_row(self) -> int:
        """Return the number of the row with the lowest cost: of several, the first."""
        return lowest_row(self.n_rows, lambda rows: self.read_rows(rows)["cost"].to_numpy())


def cheapest_threshold(curve: Curve, cost_per_alert: float, recovery_rate: float = 1.0) -> float:
    """Return the threshold of the lowest cost: of several, the highest.

    Examples
    --------
    >>> from synfin_analytics.metrics._score_counts import ScoreCounts
    >>> curve = Curve(ScoreCounts.from_arrays([0.9, 0.4], [True, False], [80.0, 20.0]))
    >>> cheapest_threshold(curve, cost_per_alert=5)
    0.9
    """
    costs = Costs(curve, cost_per_alert, recovery_rate)
    lowest = costs.lowest_row()
    return float(curve.counts.score[lowest - 1]) if lowest else np.inf


def cost_at_threshold(
    curve: Curve, threshold: float, cost_per_alert: float, recovery_rate: float = 1.0
) -> float:
    """Compute the cost of one threshold, see :func:`cost_curve`.

    Raises
    ------
    ArgumentError
        The amounts were not counted, or a parameter is out of range.
    """
    fraud_amount = _fraud_amount(curve)
    cost_per_alert, recovery_rate = check_costs(cost_per_alert, recovery_rate)
    count = curve.count_scores(threshold)
    caught, missed = float(fraud_amount[:count].sum()), float(fraud_amount[count:].sum())
    alerts = int(curve.alerts[count - 1]) if count else 0
    return cost_per_alert * alerts + missed + (1 - recovery_rate) * caught


def _fraud_amount(curve: Curve) -> Floats:
    if curve.counts.fraud_amount is None:
        raise ArgumentError(NO_AMOUNTS)
    return curve.counts.fraud_amount
