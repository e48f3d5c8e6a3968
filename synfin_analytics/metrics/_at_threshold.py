"""Metrics of a threshold, read off its four counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synfin_analytics.metrics.confusion import Confusion


class AtThreshold:
    """Whatever has a confusion has its rates."""

    if TYPE_CHECKING:

        @property
        def confusion(self) -> Confusion:
            """The four counts at the threshold."""

    @property
    def alerts(self) -> int:
        """Transactions at the threshold or above."""
        return self.confusion.tp + self.confusion.fp

    @property
    def precision(self) -> float:
        """Share of the alerts that were fraud."""
        return self.confusion.precision

    @property
    def recall(self) -> float:
        """Share of the frauds that were found."""
        return self.confusion.recall

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return self.confusion.f1

    @property
    def specificity(self) -> float:
        """Share of the genuine transactions that were left alone."""
        return self.confusion.specificity

    @property
    def accuracy(self) -> float:
        """Share of the transactions that were judged right."""
        return self.confusion.accuracy

    @property
    def balanced_accuracy(self) -> float:
        """Mean of recall and specificity."""
        return self.confusion.balanced_accuracy

    @property
    def mcc(self) -> float:
        """Matthews' correlation of alerts and frauds."""
        return self.confusion.mcc

    @property
    def prevalence(self) -> float:
        """Share of the transactions that were fraud: the precision of alerts at random."""
        return self.confusion.prevalence
