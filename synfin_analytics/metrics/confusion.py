"""What a model got right and wrong, and the rates that follow from these four counts."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index

import numpy as np

from synfin_analytics._core.arguments import check_string, format_value
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.html import table_html
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.proportions import IntervalMethod, proportion_interval

#: Each rate that is a share of some transactions: the counts of its numerator, those of its
#: denominator, and what it means when the denominator is empty.
SHARES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "precision": (("tp",), ("tp", "fp"), "no transaction was predicted to be fraud"),
    "recall": (("tp",), ("tp", "fn"), "no transaction was fraud"),
    "specificity": (("tn",), ("tn", "fp"), "every transaction was fraud"),
    "false_positive_rate": (("fp",), ("tn", "fp"), "every transaction was fraud"),
    "accuracy": (("tp", "tn"), ("tp", "fp", "fn", "tn"), "there is no labelled prediction"),
    "prevalence": (("tp", "fn"), ("tp", "fp", "fn", "tn"), "there is no labelled prediction"),
}


@dataclass(frozen=True, slots=True)
class Confusion:
    """Confusion of binary predictions with what came true; fraud is the positive class.

    A rate whose denominator is empty is NaN, never 0; :meth:`why_undefined` says it in words.

    Parameters
    ----------
    tp
        Frauds that were predicted as such.
    fp
        False alarms.
    fn
        Frauds that were missed.
    tn
        Genuine transactions that were left alone.

    Examples
    --------
    >>> confusion = Confusion(tp=3, fp=1, fn=2, tn=94)
    >>> confusion.precision, confusion.recall
    (0.75, 0.6)
    >>> low, high = confusion.confidence_interval("recall")
    >>> f"{low:.0%} to {high:.0%}"
    '23% to 88%'
    """

    tp: int
    fp: int
    fn: int
    tn: int

    def __post_init__(self) -> None:
        for name in ("tp", "fp", "fn", "tn"):
            try:
                count = index(getattr(self, name))
            except TypeError:
                count = -1
            if count < 0:
                raise ArgumentError(
                    f"`{name}` must be a count (0, 1, 2, …); got "
                    f"{format_value(getattr(self, name))}."
                )
            # numpy integers would overflow in the products of mcc
            object.__setattr__(self, name, count)

    @property
    def n(self) -> int:
        """All labelled predictions."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def precision(self) -> float:
        """Share of the alarms that were fraud."""
        return self._share("precision")

    @property
    def recall(self) -> float:
        """Share of the frauds that were found."""
        return self._share("recall")

    @property
    def specificity(self) -> float:
        """Share of the genuine transactions that were left alone."""
        return self._share("specificity")

    @property
    def false_positive_rate(self) -> float:
        """Share of the genuine transactions that raised an alarm."""
        return self._share("false_positive_rate")

    @property
    def accuracy(self) -> float:
        """Share of the predictions that were right: high for rare fraud even if none is found."""
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
        """Matthews' correlation of prediction and truth: from -1 over 0 (chance) to 1."""
        margins = [self.tp + self.fp, self.tp + self.fn, self.tn + self.fp, self.tn + self.fn]
        # Roots first: the product of four counts leaves the exact range of a double.
        return float(
            ratio(self.tp * self.tn - self.fp * self.fn, np.prod(np.sqrt(np.array(margins, float))))
        )

    def counts(self, metric: str) -> tuple[int, int]:
        """Numerator and denominator of ``rate``, as ``"precision"``."""
        if check_string(metric, "metric", example="recall") not in SHARES:
            raise NotFoundError("rate with an interval", metric, SHARES)
        part, whole, _ = SHARES[metric]
        return (
            sum(getattr(self, name) for name in part),
            sum(getattr(self, name) for name in whole),
        )

    def confidence_interval(
        self,
        metric: str,
        interval_method: IntervalMethod = "wilson",
        confidence_level: float = 0.95,
    ) -> tuple[float, float]:
        """Confidence interval of ``rate``, as if transactions were independent.

        See Also
        --------
        synfin_analytics.metrics.proportion_interval : what the intervals are.
        """
        low, high = proportion_interval(
            *self.counts(metric), interval_method=interval_method, confidence_level=confidence_level
        )
        return float(low), float(high)

    def undefined_reason(self, metric: str) -> str | None:
        """Why ``rate`` is NaN, in words; None where it is a number."""
        if self.counts(metric)[1] > 0:
            return None
        return f"{metric.replace('_', ' ')} is not defined: {SHARES[metric][2]}"

    def _repr_html_(self) -> str:
        rows = [("fraud", f"{self.tp:,}", f"{self.fn:,}"),
                ("genuine", f"{self.fp:,}", f"{self.tn:,}")]  # fmt: skip
        return table_html(("truth", "alert", "no alert"), rows, caption="Confusion")

    def _share(self, metric: str) -> float:
        return float(ratio(*self.counts(metric)))
