"""Models compared on the same rows, with the interval of their difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_names, format_value
from synfin_analytics._core.formatting import (
    NO_VALUE,
    format_confidence_level,
    format_decimal,
    format_difference,
    format_difference_interval,
    format_interval,
    format_metric,
    metric_name,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result, draw
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._evaluate import check_frame, evaluate
from synfin_analytics.metrics._resampling import check_same_rows, resample
from synfin_analytics.metrics.bootstrap import Bootstrap, MetricOptions, check_metric
from synfin_analytics.metrics.evaluation import METRICS as WITH_BASELINE
from synfin_analytics.metrics.evaluation import (
    Evaluation,
    Threshold,
    check_threshold,
    prepare_samples,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from narwhals.typing import IntoFrame

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.results import Display
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics.metrics._resampling import Sample
    from synfin_analytics.metrics._weights import Weight

DEFAULT_METRICS = ("roc_auc", "average_precision", "precision", "recall")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """Several models on the same rows; :func:`compare_models` returns it.

    :meth:`to_frame` has one row for each metric and model: ``metric``, ``model``, ``value``,
    ``value_low``, ``value_high``, ``difference`` to the reference and its paired interval
    ``difference_low`` to ``difference_high`` (of the differences in each resample), ``baseline``
    (without a model, if there is such a value), ``n_resamples``, ``n_undefined``, and ``note``: why
    an interval is missing or unreliable.

    Attributes
    ----------
    evaluations
        By model; the first is the reference.
    bootstraps
        By metric and model; all models have the same resamples.
    options
        Parameters of the metrics that have some.

    Examples
    --------
    >>> import polars as pl
    >>> from synfin_analytics import compare_models
    >>> df = pl.DataFrame(
    ...     {
    ...         "customer_id": [1, 1, 2, 2, 3, 3, 4, 4],
    ...         "is_fraud": [0, 1, 0, 1, 0, 1, 0, 1],
    ...         "good": [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6],
    ...         "poor": [0.6, 0.5, 0.4, 0.5, 0.6, 0.5, 0.4, 0.5],
    ...     }
    ... )
    >>> comparison = compare_models(df, ["poor", "good"], metrics=["roc_auc"], n_resamples=100)
    >>> comparison.reference, comparison.evaluations["good"].roc_auc
    ('poor', 1.0)
    """

    evaluations: dict[str, Evaluation]
    bootstraps: dict[str, dict[str, Bootstrap]]
    options: MetricOptions = field(default_factory=MetricOptions)

    @property
    def reference(self) -> str:
        """Model with which the others are compared."""
        return next(iter(self.evaluations))

    def plot(self, ax: Axes | None = None, *, title: str | None = None) -> Display:
        """Draw this result; see :func:`synfin_analytics.plot_comparison`.

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
        >>> comparison.plot()
        Display('good compared with poor', 1 row)
        """
        return draw("plot_comparison", self, ax, title=title)

    def _table(self) -> pd.DataFrame:
        rows = []
        for metric, by_model in self.bootstraps.items():
            reference = by_model[self.reference]
            for model, bootstrap in by_model.items():
                difference = bootstrap.difference(reference)
                is_reference = model == self.reference
                rows.append(
                    {
                        "metric": metric,
                        "model": model,
                        "value": bootstrap.value,
                        "value_low": bootstrap.low,
                        "value_high": bootstrap.high,
                        "difference": np.nan if is_reference else difference.value,
                        "difference_low": np.nan if is_reference else difference.low,
                        "difference_high": np.nan if is_reference else difference.high,
                        "baseline": self._baseline(metric, model),
                        "n_resamples": bootstrap.n_resamples,
                        "n_undefined": (
                            bootstrap.n_undefined if is_reference else difference.n_undefined
                        ),
                        "note": (
                            bootstrap.note if is_reference else difference.note or bootstrap.note
                        ),
                    }
                )
        return pd.DataFrame(rows)

    def _baseline(self, metric: str, model: str) -> float:
        if metric == "recall_at_fpr":
            return self.options.max_fpr
        return self.evaluations[model].baseline(metric) if metric in WITH_BASELINE else np.nan

    def _record(self) -> Mapping[str, Any]:
        return {
            "reference": self.reference,
            "models": {name: model._record() for name, model in self.evaluations.items()},
            "metrics": self._table(),
        }

    def __repr__(self) -> str:
        parts = []
        for metric, by_model in self.bootstraps.items():
            values = ", ".join(
                f"{model} {format_decimal(bootstrap.value)}"
                for model, bootstrap in by_model.items()
            )
            parts.append(f"{metric}: {values}")
        return f"Comparison({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        level = self.evaluations[self.reference].confidence_level
        interval = f"{format_confidence_level(level)} interval"
        head = (
            *("metric", "model", "value", interval, "without a model"),
            *("difference", f"{interval} of the difference"),
        )
        rows = []
        for row in self._table().to_dict("records"):
            metric, model, baseline = row["metric"], row["model"], row["baseline"]
            difference = ("", "")
            if model != self.reference:
                ends = row["difference_low"], row["difference_high"]
                difference = (
                    format_difference(metric, row["difference"]),
                    format_difference_interval(metric, *ends),
                )
            rows.append(
                (
                    metric_name(metric, k=self.options.k, max_fpr=self.options.max_fpr),
                    model,
                    format_metric(metric, row["value"]),
                    format_interval(metric, row["value_low"], row["value_high"]),
                    NO_VALUE if np.isnan(baseline) else format_metric(metric, baseline),
                    *difference,
                )
            )
        return table_html(
            head, rows, caption=f"Compared with {self.reference}", text_columns=(0, 1)
        )


def compare_models(
    df: IntoFrame | TransactionSource,
    scores: str | Sequence[str] | Mapping[str, str],
    *,
    label: str = "is_fraud",
    threshold: float | Threshold | Mapping[str, float | Threshold] = 0.5,
    cluster: str | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence_level: float = 0.95,
    k: int = 100,
    day: str = "timestamp",
    entity: str = "customer_id",
    max_fpr: float = 0.01,
    amount: str | None = None,
    weight: Weight | None = None,
    cost_per_alert: float | None = None,
    recovery_rate: float = 1.0,
    score_bins: int | None = 1000,
    as_of: Bound = None,
    timestamp: str = "timestamp",
    label_available_at: str = "label_available_at",
) -> Comparison:
    """Compare the scores of several models for the same rows.

    Differences are paired: each resample of the clusters is the same for all models.

    Parameters
    ----------
    df
        A row for each transaction, with a column for each model's score; of any engine.
    scores
        Columns of the scores, such as ``["p_forest", "p_logit"]``, or a dict of them by model, such
        as ``{"forest": "p_forest", "logit": "p_logit"}``. The first model is the reference.
    label
        Column of the labels. Rows without a label are left out.
    threshold
        The same for all models, or a dict with one for each.
    cluster
        Column whose values are resampled, the same for all models: rows of one customer are not
        independent. Of timestamps, days are resampled. The default is ``customer_id`` and, for card
        precision@k, its entities.
    metrics
        Metrics with a bootstrap, see :meth:`Evaluation.bootstrap`.
    n_resamples, seed, confidence_level
        Number of resamples, seed of the generator, confidence of the intervals.
    k, day, entity, max_fpr
        Parameters of the metrics that have some, as for :meth:`Evaluation.bootstrap`.
    amount
        Column of the transactions' value, for ``cost`` and ``value_detection_rate``.
    weight
        Column of weights or weights of the labels, as for :func:`evaluate`.
    cost_per_alert, recovery_rate
        Parameters of ``cost``, as for :meth:`Evaluation.cost`.
    score_bins
        Number of bins in which a lazy frame counts scores, as for :meth:`Evaluation.bootstrap`.
    as_of, timestamp, label_available_at
        Compare as was known at a date or time, as for :func:`evaluate`.

    Returns
    -------
    Comparison

    Raises
    ------
    NotFoundError
        A column is not in the frame, or a metric has no bootstrap.
    ArgumentError
        ``scores`` names no model, a threshold is missing, or an argument is out of range.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "customer_id": [1, 1, 2, 2, 3, 3, 4, 4],
    ...         "is_fraud": [0, 1, 0, 1, 0, 1, 0, 1],
    ...         "good": [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6],
    ...         "poor": [0.6, 0.5, 0.4, 0.5, 0.6, 0.5, 0.4, 0.5],
    ...     }
    ... )
    >>> comparison = compare_models(df, ["poor", "good"], metrics=["roc_auc"], n_resamples=100)
    >>> comparison.to_frame()[["model", "value", "difference"]]
      model  value  difference
    0  poor    0.5         NaN
    1  good    1.0         0.5
    """
    columns = _check_scores(scores)
    frame = check_frame(df, "compare_models")
    if isinstance(threshold, Mapping):
        if missing := [model for model in columns if model not in threshold]:
            raise ArgumentError(
                "`threshold` must have a threshold for each model; got none for "
                f"{', '.join(map(str, missing))}."
            )
        thresholds = {model: check_threshold(threshold[model]) for model in columns}
    else:
        thresholds = dict.fromkeys(columns, check_threshold(threshold))
    evaluations = {
        model: evaluate(
            frame,
            label,
            column,
            threshold=thresholds[model],
            amount=amount,
            weight=weight,
            confidence_level=confidence_level,
            as_of=as_of,
            timestamp=timestamp,
            label_available_at=label_available_at,
        )
        for model, column in columns.items()
    }
    options = MetricOptions(k, day, entity, max_fpr, cost_per_alert, recovery_rate, score_bins)
    return compare_evaluations(
        evaluations,
        cluster=cluster,
        metrics=metrics,
        n_resamples=n_resamples,
        seed=seed,
        options=options,
    )


def _check_scores(scores: Any) -> dict[str, str]:
    """Return the column of each model's scores."""
    if isinstance(scores, Mapping):
        if not scores:
            raise ArgumentError(
                "`scores` must have the column of each model, such as {'forest': 'p_forest'}; got "
                f"{format_value(scores)}."
            )
        return dict(scores)
    names = check_names(scores, "scores", examples=("p_forest", "p_logit"))
    return {name: name for name in names}


def compare_evaluations(
    evaluations: dict[str, Evaluation],
    *,
    cluster: str | None = None,
    metrics: Sequence[str] = DEFAULT_METRICS,
    n_resamples: int = 1000,
    seed: int = 0,
    options: MetricOptions | None = None,
) -> Comparison:
    """Compare evaluations of the same rows; see :func:`compare_models`.

    Raises
    ------
    NotFoundError, ArgumentError
        As for :func:`compare_models`, and if the evaluations are not of the same rows.
    """
    options = options or MetricOptions()
    samples = prepare_comparison(evaluations, cluster=cluster, metrics=metrics, options=options)
    confidence_level = next(iter(evaluations.values())).confidence_level
    bootstraps = resample(
        samples, n_resamples=n_resamples, seed=seed, confidence_level=confidence_level
    )
    return compare_bootstraps(evaluations, bootstraps, options)


def compare_bootstraps(
    evaluations: dict[str, Evaluation],
    bootstraps: Mapping[tuple[str, str], Bootstrap],
    options: MetricOptions,
) -> Comparison:
    """Compare models by their bootstraps, which are by metric and model."""
    by_metric: dict[str, dict[str, Bootstrap]] = {}
    for (metric, model), bootstrap in bootstraps.items():
        by_metric.setdefault(metric, {})[model] = bootstrap
    return Comparison(evaluations, by_metric, options)


def prepare_comparison(
    evaluations: Mapping[str, Evaluation],
    *,
    cluster: str | None,
    metrics: Sequence[str],
    options: MetricOptions,
) -> dict[tuple[str, str], Sample]:
    """Prepare metrics of evaluations of the same rows, by metric and model, for resampling."""
    names = [
        check_metric(metric)
        for metric in check_names(
            metrics, "metrics", must_be="a metric name", examples=("roc_auc", "recall")
        )
    ]
    samples = {
        model: prepare_samples(evaluation, names, cluster, options)
        for model, evaluation in evaluations.items()
    }
    for metric in names:
        check_same_rows({model: of_model[metric] for model, of_model in samples.items()})
    return {
        (metric, model): of_model[metric] for metric in names for model, of_model in samples.items()
    }
