"""Bootstrap intervals that keep the transactions of a customer, a card or a day together.

The ends are quantiles of the resamples, moved outwards as Hesterberg (2015, section 4.3) proposes:
the expanded percentile interval, which has the width of Student's t where the plain one is too
narrow. Its degrees of freedom are those of the informative clusters, for most metrics the clusters
with fraud. With 8 defrauded customers of 2,000, the plain percentiles of a 95% interval covered the
true value in 86 to 91 of 100 samples and the expanded ones in 92 to 96
(tests/metrics/test_bootstrap.py simulates both few and many defrauded customers).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import special

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics._core.formatting import (
    format_confidence_level,
    format_interval,
    format_metric,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synfin_analytics.metrics._score_counts import Floats

#: Metrics that need neither days nor parameters; reports show them together.
METRICS = ("roc_auc", "average_precision", "precision", "recall", "specificity")
TOP, CARDS = "precision_at_k", "card_precision_at_k"
#: All metrics with a bootstrap.
ALL_METRICS = (
    *METRICS,
    "gini",
    "ks",
    "brier",
    "log_loss",
    "false_positive_rate",
    "false_positive_ratio",
    "alert_rate",
    "value_detection_rate",
    "recall_at_fpr",
    "cost",
    TOP,
    CARDS,
)
#: How a metric of several groups is compared.
Comparison = Literal["difference", "ratio"]
#: Metrics that need the amounts.
OF_VALUE = {"cost", "value_detection_rate"}
#: Fewer informative clusters than this make an interval unreliable.
MIN_RELIABLE = 10
#: Fewer informative clusters than this give no interval.
_MIN_INFORMATIVE = 2


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Result):
    """Bootstrap distribution of a metric over resampled clusters, and its interval.

    :meth:`Evaluation.bootstrap` returns it. :meth:`to_frame` has one row: ``metric``, ``cluster``,
    ``n_clusters``, ``value``, ``value_low``, ``value_high``, ``n_resamples``, ``n_undefined`` and
    ``note``.

    Attributes
    ----------
    metric, cluster
        Name of the metric, and the column whose values are resampled; of timestamps, their days.
    value
        The metric on the rows themselves.
    distribution
        The metric in each resample; NaN where it is undefined.
    confidence_level
        Confidence of :attr:`low` and :attr:`high`.
    n_clusters, n_fraud_clusters
        Number of clusters, and of those with a fraud.
    n_informative, condition
        Number of the clusters on which the metric depends most, and the condition that they meet:
        most metrics vary with the clusters that have fraud, however many others there are.
    by_day
        Whether days were resampled.
    binning_error
        How much a value of ``distribution`` may be off at most, and so do :attr:`low` and
        :attr:`high`, because a lazy engine counted the scores in bins; 0 if it is exact. It was
        computed for each of the resamples.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> from synfin_analytics import evaluate
    >>> generator = np.random.default_rng(1)
    >>> fraud = generator.random(2000) < 0.1
    >>> df = pl.DataFrame(
    ...     {
    ...         "customer_id": generator.integers(300, size=2000),
    ...         "is_fraud": fraud,
    ...         "fraud_probability": 0.6 * generator.random(2000) + 0.2 * fraud,
    ...     }
    ... )
    >>> bootstrap = evaluate(df).bootstrap("roc_auc", n_resamples=200)
    >>> bootstrap.low < bootstrap.value < bootstrap.high
    True
    """

    metric: str
    cluster: str
    value: float
    distribution: Floats
    confidence_level: float
    n_clusters: int
    n_fraud_clusters: int
    n_informative: int
    condition: str = "have fraud"
    by_day: bool = False
    binning_error: float = 0.0

    @cached_property
    def values(self) -> Floats:
        """The resamples in which the metric is defined."""
        return self.distribution[np.isfinite(self.distribution)]

    @property
    def n_resamples(self) -> int:
        """Number of resamples."""
        return len(self.distribution)

    @property
    def n_undefined(self) -> int:
        """Resamples in which the metric is undefined: no fraud, no genuine row or no alert."""
        return self.n_resamples - len(self.values)

    @property
    def low(self) -> float:
        """Lower end of the interval; NaN if there is none, see :attr:`note`."""
        return self._quantile((1 - self.confidence_level) / 2)

    @property
    def high(self) -> float:
        """Upper end of the interval; NaN if there is none, see :attr:`note`."""
        return self._quantile((1 + self.confidence_level) / 2)

    @property
    def reliable(self) -> bool:
        """Whether at least 10 clusters are informative; if not, the interval is rough."""
        return self.n_informative >= MIN_RELIABLE

    @property
    def note(self) -> str:
        """Why there is no interval, or why it is unreliable or rounded; otherwise empty."""
        if not self.n_clusters:
            return "there is no labelled transaction"
        if np.isnan(self.value):
            return "the metric is not defined on these rows"
        clusters = "days" if self.by_day else f"values of {self.cluster}"
        few = f"only {self.n_informative:,} of {self.n_clusters:,} {clusters} {self.condition}"
        notes = []
        if self.n_informative < _MIN_INFORMATIVE:
            notes.append(f"{few}, but an interval needs {_MIN_INFORMATIVE}")
        elif self._constant:
            notes.append("all resamples have the same value, which gives no interval")
        elif not self.reliable:
            notes.append(f"{few}, so the interval is rough")
        if self.n_undefined:
            notes.append(
                f"{self.n_undefined:,} of {self.n_resamples:,} resamples, in which the metric is "
                "not defined, were dropped"
            )
        if self.binning_error:
            notes.append(
                "scores were counted in bins, so the resamples are off by at most "
                f"{self.binning_error:.2g}"
            )
        return "; ".join(notes)

    @property
    def _constant(self) -> bool:
        return not len(self.values) or bool(np.all(self.values == self.values[0]))

    def _quantile(self, share: float) -> float:
        if np.isnan(self.value) or self.n_informative < _MIN_INFORMATIVE or self._constant:
            return float("nan")
        freedom = self.n_informative - 1
        expanded = np.sqrt(self.n_informative / freedom) * special.stdtrit(freedom, share)
        return float(np.quantile(self.values, special.ndtr(expanded)))

    def difference(self, reference: Bootstrap) -> Bootstrap:
        """Return the paired difference to the metric of another model in the same resamples.

        Examples
        --------
        >>> import pandas as pd
        >>> from synfin_analytics import compare_models
        >>> df = pd.DataFrame(
        ...     {
        ...         "is_fraud": [True, True, False, False] * 20,
        ...         "poor": [0.6, 0.2, 0.5, 0.3] * 20,
        ...         "good": [0.9, 0.7, 0.6, 0.1] * 20,
        ...         "customer_id": range(80),
        ...     }
        ... )
        >>> comparison = compare_models(df, ["poor", "good"], metrics=["roc_auc"], n_resamples=50)
        >>> poor, good = comparison.bootstraps["roc_auc"].values()
        >>> good.difference(poor).value
        0.5
        """
        limiting = self if self.n_informative <= reference.n_informative else reference
        return _Difference(
            self.metric,
            self.cluster,
            self.value - reference.value,
            self.distribution - reference.distribution,
            self.confidence_level,
            self.n_clusters,
            self.n_fraud_clusters,
            limiting.n_informative,
            limiting.condition,
            self.by_day,
            self.binning_error + reference.binning_error,
            minuend=self,
        )

    def _record(self) -> Mapping[str, Any]:
        return {
            "metric": self.metric,
            "cluster": self.cluster,
            "n_clusters": self.n_clusters,
            "value": self.value,
            "value_low": self.low,
            "value_high": self.high,
            "n_resamples": self.n_resamples,
            "n_undefined": self.n_undefined,
            "note": self.note,
        }

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame([self._record()])

    def __repr__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        return (
            f"{self.metric} = {self.value:.4f}, {format_confidence_level(self.confidence_level)} "
            f"interval {self.low:.4f} to {self.high:.4f} ({self.n_resamples:,} resamples of "
            f"{self.cluster}{note})"
        )

    def _repr_html_(self) -> str:
        interval = f"{format_confidence_level(self.confidence_level)} interval"
        head = ("metric", "value", interval, "resamples", "note")
        row = (
            self.metric,
            format_metric(self.metric, self.value),
            format_interval(self.metric, self.low, self.high),
            f"{self.n_resamples:,} of {self.cluster}",
            self.note,
        )
        return table_html(head, [row], text_columns=(0, 4))


@dataclass(frozen=True, eq=False, repr=False)
class _Difference(Bootstrap):
    """Difference of two models.

    It has an interval also where the models vary, but always together, so that it is always 0.
    """

    minuend: Bootstrap | None = None

    @property
    def _constant(self) -> bool:
        return super()._constant and (self.minuend is None or self.minuend._constant)


# -- Metrics and their parameters ------------------------------------------------------------------


@dataclass(frozen=True)
class MetricOptions:
    """Parameters of the metrics that have some.

    Parameters
    ----------
    k, day, entity
        Of precision@k and card precision@k: how many are reviewed in a day, and the columns of
        timestamps and of what is blocked.
    max_fpr
        Of ``recall_at_fpr``: the highest false-positive rate.
    cost_per_alert, recovery_rate
        Of ``cost``, as for :meth:`Evaluation.cost`.
    score_bins
        Number of bins in which lazy frames count scores, as for :meth:`Evaluation.bootstrap`.
    """

    k: int = 100
    day: str = "timestamp"
    entity: str = "customer_id"
    max_fpr: float = 0.01
    cost_per_alert: float | None = None
    recovery_rate: float = 1.0
    score_bins: int | None = 1000

    def __post_init__(self) -> None:
        check_column_name(self.day, "day")
        check_column_name(self.entity, "entity")

    def cluster_column(self, metric: str, cluster: str | None) -> str:
        """Return the column whose values are resampled: by default entities or customers.

        Raises
        ------
        ArgumentError
            ``cluster`` is not a column name; or the metric is card precision@k, and ``cluster`` is
            neither its entities nor its days.
        """
        if cluster is None:
            return self.entity if metric == CARDS else "customer_id"
        check_column_name(cluster, "cluster")
        if metric == CARDS and cluster not in (self.entity, self.day):
            raise ArgumentError(
                f"`cluster` of {CARDS} must be its entities ({self.entity!r}) or its days "
                f"({self.day!r}); got {cluster!r}."
            )
        return cluster


def check_metric(metric: Any) -> str:
    """Return the name of a metric that has a bootstrap.

    Raises
    ------
    NotFoundError
        There is no bootstrap of it; the message lists the metrics that have one.
    """
    if metric not in ALL_METRICS:
        raise NotFoundError("metric with a bootstrap", metric, ALL_METRICS)
    return str(metric)
