"""Correct and wrong predictions, and the rates that follow from these four counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_number, check_string, format_value
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_number
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result, draw
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.proportions import IntervalMethod, proportion_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from synfin_analytics._core.results import Display
    from synfin_analytics.metrics.proportions import Floats

#: Rates that are shares of transactions: the counts of the numerator and of the denominator, and
#: what it means if the denominator is 0.
SHARES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "precision": (("tp",), ("tp", "fp"), "no transaction was predicted to be fraud"),
    "recall": (("tp",), ("tp", "fn"), "no transaction was fraud"),
    "specificity": (("tn",), ("tn", "fp"), "every transaction was fraud"),
    "false_positive_rate": (("fp",), ("tn", "fp"), "every transaction was fraud"),
    "alert_rate": (("tp", "fp"), ("tp", "fp", "fn", "tn"), "there is no labelled prediction"),
    "accuracy": (("tp", "tn"), ("tp", "fp", "fn", "tn"), "there is no labelled prediction"),
    "prevalence": (("tp", "fn"), ("tp", "fp", "fn", "tn"), "there is no labelled prediction"),
}
_COUNTS = ("tp", "fp", "fn", "tn")


@dataclass(frozen=True, slots=True)
class Confusion(Result):
    """Confusion matrix of binary predictions; fraud is the positive class.

    A rate whose denominator is 0 is NaN, never 0; :meth:`undefined_reason` says why.
    :meth:`to_frame` has one row for each class: ``truth``, ``alert`` and ``no_alert``.

    Parameters
    ----------
    tp
        True positives: frauds that were predicted as such.
    fp
        False positives: genuine transactions that were predicted to be fraud.
    fn
        False negatives: frauds that were missed.
    tn
        True negatives: genuine transactions that were predicted as such.
    weighted
        Whether the counts are sums of weights, which need not be whole numbers; then rates have no
        interval here.

    Examples
    --------
    >>> confusion = Confusion(tp=3, fp=1, fn=2, tn=94)
    >>> confusion.precision, confusion.recall
    (0.75, 0.6)
    >>> low, high = confusion.confidence_interval("recall")
    >>> f"{low:.0%} to {high:.0%}"
    '23% to 88%'
    >>> confusion.to_frame()
         truth  alert  no_alert
    0    fraud      3         2
    1  genuine      1        94
    """

    tp: int
    fp: int
    fn: int
    tn: int
    weighted: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value: Any = getattr(self, name)
            if self.weighted:
                check_number(value, name, "a sum of weights", minimum=0)
                continue
            try:
                count = index(value)
            except TypeError:
                count = -1
            if count < 0:
                raise ArgumentError(
                    f"`{name}` must be a count (0, 1, 2, …); got {format_value(value)}."
                )
            # NumPy integers would overflow in the products of mcc.
            object.__setattr__(self, name, count)

    @property
    def n(self) -> int:
        """All labelled predictions."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def alerts(self) -> int:
        """Transactions that were predicted to be fraud."""
        return self.tp + self.fp

    @property
    def precision(self) -> float:
        """Share of the alerts that were fraud."""
        return self._share("precision")

    @property
    def recall(self) -> float:
        """Share of the frauds that were alerted."""
        return self._share("recall")

    @property
    def specificity(self) -> float:
        """Share of the genuine transactions that were not alerted."""
        return self._share("specificity")

    @property
    def false_positive_rate(self) -> float:
        """Share of the genuine transactions that were alerted."""
        return self._share("false_positive_rate")

    @property
    def false_positive_ratio(self) -> float:
        """False alerts per fraud that was alerted."""
        return float(ratio(self.fp, self.tp))

    @property
    def alert_rate(self) -> float:
        """Share of the transactions that were alerted."""
        return self._share("alert_rate")

    @property
    def accuracy(self) -> float:
        """Share of correct predictions; high for rare fraud even if no fraud is alerted."""
        return self._share("accuracy")

    @property
    def prevalence(self) -> float:
        """Share of the transactions that were fraud."""
        return self._share("prevalence")

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return float(ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn))

    @property
    def balanced_accuracy(self) -> float:
        """Mean of recall and specificity."""
        return (self.recall + self.specificity) / 2

    @property
    def mcc(self) -> float:
        """Matthews correlation coefficient (1975), from -1 over 0 (chance) to 1."""
        margins = [self.tp + self.fp, self.tp + self.fn, self.tn + self.fp, self.tn + self.fn]
        # Roots first: the product of four counts exceeds the exact range of a double.
        return float(
            ratio(self.tp * self.tn - self.fp * self.fn, np.prod(np.sqrt(np.array(margins, float))))
        )

    def counts(self, metric: str) -> tuple[int, int]:
        """Return the numerator and the denominator of a rate.

        Examples
        --------
        >>> Confusion(tp=3, fp=1, fn=2, tn=94).counts("recall")
        (3, 5)
        """
        if check_string(metric, "metric", example="recall") not in SHARES:
            raise NotFoundError("rate with an interval", metric, SHARES)
        numerator, denominator, _ = SHARES[metric]
        return (
            sum(getattr(self, name) for name in numerator),
            sum(getattr(self, name) for name in denominator),
        )

    def confidence_interval(
        self,
        metric: str,
        *,
        interval_method: IntervalMethod = "wilson",
        confidence_level: float = 0.95,
    ) -> tuple[float, float]:
        """Return the confidence interval of a rate, for independent transactions.

        With weights, which are not counts, there is none, and both ends are NaN.

        Parameters
        ----------
        metric
            ``"precision"``, ``"recall"``, ``"specificity"``, ``"false_positive_rate"``,
            ``"alert_rate"``, ``"accuracy"``, ``"prevalence"``, or ``"false_positive_ratio"``, whose
            interval follows from that of precision: 1 / precision - 1.
        interval_method, confidence_level
            See :func:`synfin_analytics.proportion_interval`.

        Returns
        -------
        tuple of float
            Lower and upper end.

        Examples
        --------
        >>> low, high = Confusion(tp=3, fp=1, fn=2, tn=94).confidence_interval("precision")
        >>> f"{low:.2f} to {high:.2f}"
        '0.30 to 0.95'
        """
        if self.weighted:
            return float("nan"), float("nan")
        share = "precision" if metric == "false_positive_ratio" else metric
        low, high = proportion_interval(
            *self.counts(share), interval_method=interval_method, confidence_level=confidence_level
        )
        if metric == "false_positive_ratio":
            low, high = false_positive_ratio(high), false_positive_ratio(low)
        return float(low), float(high)

    def undefined_reason(self, metric: str) -> str | None:
        """Return why a rate is NaN; None if it is a number.

        Examples
        --------
        >>> Confusion(tp=0, fp=0, fn=2, tn=98).undefined_reason("precision")
        'precision is not defined: no transaction was predicted to be fraud'
        """
        if self.counts(metric)[1] > 0:
            return None
        return f"{metric.replace('_', ' ')} is not defined: {SHARES[metric][2]}"

    def plot(self, ax: Axes | None = None, *, title: str | None = None) -> Display:
        """Draw this result; see :func:`synfin_analytics.plot_confusion`.

        Examples
        --------
        >>> Confusion(tp=3, fp=1, fn=1, tn=95).plot()
        Display('Confusion matrix', 4 rows)
        """
        return draw("plot_confusion", self, ax, title=title)

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "truth": ["fraud", "genuine"],
                "alert": [self.tp, self.fp],
                "no_alert": [self.fn, self.tn],
            }
        )

    def _record(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in _COUNTS}

    def _repr_html_(self) -> str:
        rows = [
            ("fraud", format_number(self.tp), format_number(self.fn)),
            ("genuine", format_number(self.fp), format_number(self.tn)),
        ]
        return table_html(("truth", "alert", "no alert"), rows, caption="Confusion")

    def _share(self, metric: str) -> float:
        return float(ratio(*self.counts(metric)))


def false_positive_ratio(precision: ArrayLike) -> Floats:
    """Return the false alerts per detected fraud of a precision: infinite for 0.

    Examples
    --------
    >>> false_positive_ratio([0.25, 1])
    array([3., 0.])
    """
    precision = np.asarray(precision, dtype=np.float64)
    ratios = ratio(1 - precision, precision)
    return np.where(precision == 0, np.inf, ratios)
