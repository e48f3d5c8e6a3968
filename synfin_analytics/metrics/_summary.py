"""Tables of metrics: every metric with its interval, its baseline and a note."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_string
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.metrics.confusion import SHARES
from synfin_analytics.metrics.proportions import proportion_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics.metrics.confusion import Confusion
    from synfin_analytics.metrics.curve import Curve
    from synfin_analytics.metrics.proportions import IntervalMethod

#: Metrics of a threshold, then those of the whole ranking, in the order of a summary.
AT_THRESHOLD = (
    "precision",
    "recall",
    "f1",
    "specificity",
    "accuracy",
    "balanced_accuracy",
    "mcc",
)
_OF_CURVE = ("roc_auc", "average_precision", "brier")
METRICS = (*AT_THRESHOLD, *_OF_CURVE, "prevalence")
#: Columns of a summary. A terminal of 80 columns shows the first ones, and the last ones: the
#: value with its interval.
COLUMNS = ("metric", "k", "n", "baseline", "note", "value", "value_low", "value_high")


@dataclass(frozen=True)
class MetricSource:
    """What the metrics of one model or group are read from.

    Parameters
    ----------
    confusion, curve
        Counts at the threshold, and at all thresholds.
    fitted_here
        Whether the threshold was chosen on the same rows.
    """

    confusion: Confusion
    curve: Curve
    fitted_here: bool

    def value(self, metric: str) -> float:
        """Return the value of a metric."""
        return float(getattr(self.curve if metric in _OF_CURVE else self.confusion, metric))

    def baseline(self, metric: str) -> float:
        """Return the value without a model: the same number of random alerts, a constant score."""
        prevalence = self.confusion.prevalence
        queue = float(ratio(self.confusion.alerts, self.confusion.n))
        baselines = {
            "precision": prevalence,
            "recall": queue,
            "f1": float(ratio(2 * prevalence * queue, prevalence + queue)),
            "specificity": 1 - queue,
            "accuracy": prevalence * queue + (1 - prevalence) * (1 - queue),
            "balanced_accuracy": 0.5,
            "mcc": 0.0,
            "roc_auc": 0.5,
            "average_precision": prevalence,
            "brier": prevalence * (1 - prevalence),
            "prevalence": prevalence,
        }
        if check_string(metric, "metric", example="recall") not in baselines:
            raise NotFoundError("metric", metric, baselines)
        return baselines[metric]

    def note(self, metric: str) -> str:
        """Return why the value of a metric is undefined or unreliable; otherwise empty."""
        if np.isnan(self.value(metric)):
            if not self.confusion.n:
                return "there is no labelled transaction"
            if metric in {"precision", "mcc"} and not self.confusion.alerts:
                return "no alerts at this threshold"
            fraud = self.curve.n_frauds
            return "every transaction was fraud" if fraud else "no transaction was fraud"
        if metric in AT_THRESHOLD and self.fitted_here:
            return "the threshold was chosen on these rows"
        return ""


def summarize(
    sources: Sequence[MetricSource], interval_method: IntervalMethod, confidence_level: float
) -> pd.DataFrame:
    """Return every metric of each source, one source below the other.

    The intervals of a metric are computed at once, so that thousands of groups take seconds.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`, see :meth:`Evaluation.summary`.
    """
    cells = [_cells(metric, sources, interval_method, confidence_level) for metric in METRICS]
    rows = [
        (metric, *row)
        for of_source in zip(*cells, strict=True)
        for metric, row in zip(METRICS, of_source, strict=True)
    ]
    types: dict[str, Any] = {"k": "Int64", "n": "Int64", "note": "str"}
    types |= dict.fromkeys(("baseline", "value", "value_low", "value_high"), float)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def _cells(
    metric: str,
    sources: Sequence[MetricSource],
    interval_method: IntervalMethod,
    confidence_level: float,
) -> list[tuple[Any, ...]]:
    """Return the row of a metric for each source."""
    if not sources:
        return []
    values = [source.value(metric) for source in sources]
    baselines = [source.baseline(metric) for source in sources]
    notes = [source.note(metric) for source in sources]
    k: Sequence[Any] = [None] * len(values)
    n, low, high = k, *(np.full(len(values), np.nan) for _ in range(2))
    if metric in SHARES:
        k, n = zip(*(source.confusion.counts(metric) for source in sources), strict=True)
        low, high = proportion_interval(
            k, n, interval_method=interval_method, confidence_level=confidence_level
        )
    return list(zip(k, n, baselines, notes, values, low, high, strict=True))
