"""Models side by side on the same rows, with the interval of their difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_names, format_value
from synfin_analytics._core.formatting import NO_VALUE, format_confidence_level, format_decimal
from synfin_analytics._core.html import table_html
from synfin_analytics._core.metric_format import (
    format_difference,
    format_difference_interval,
    format_interval,
    format_metric,
    metric_name,
)
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._resampled import Options, check_metric
from synfin_analytics.metrics._summary import METRICS as BASELINES
from synfin_analytics.metrics.bootstrap import Bootstrap, resample
from synfin_analytics.metrics.evaluation import Evaluation, check_frame, evaluate
from synfin_analytics.metrics.threshold import as_threshold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics.metrics.threshold import Threshold

DEFAULT = ("roc_auc", "average_precision", "precision", "recall")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several models on the same rows.

    Attributes
    ----------
    evaluations
        By model; the first is what the others are compared with.
    bootstraps
        By metric and model; all models have the same draws.
    options
        Parameters of the metrics that have some.
    """

    evaluations: dict[str, Evaluation]
    bootstraps: dict[str, dict[str, Bootstrap]]
    options: Options = field(default_factory=Options)

    @property
    def reference(self) -> str:
        """Model that the others are compared with."""
        return next(iter(self.evaluations))

    def to_frame(self) -> pd.DataFrame:
        """Return every metric of every model.

        Returns
        -------
        pandas.DataFrame
            ``metric``, ``model``, ``value``, ``value_low``, ``value_high``, ``difference`` to the
            first model and its paired interval ``difference_low`` to ``difference_high`` (each
            draw's own difference), ``baseline`` (without a model, where there is such a
            value), ``n_resamples``, ``n_undefined``, and ``note``: why an interval is missing or
            unreliable.
        """
        lines = []
        for metric, by_model in self.bootstraps.items():
            first = by_model[self.reference]
            for model, one in by_model.items():
                apart = one.minus(first)
                own = model == self.reference
                lines.append(
                    {
                        "metric": metric,
                        "model": model,
                        "value": one.value,
                        "value_low": one.low,
                        "value_high": one.high,
                        "difference": np.nan if own else apart.value,
                        "difference_low": np.nan if own else apart.low,
                        "difference_high": np.nan if own else apart.high,
                        "baseline": self._baseline(metric, model),
                        "n_resamples": one.n_resamples,
                        "n_undefined": one.n_undefined if own else apart.n_undefined,
                        "note": one.note if own else apart.note or one.note,
                    }
                )
        return pd.DataFrame(lines)

    def _baseline(self, metric: str, model: str) -> float:
        if metric == "recall_at_fpr":
            return self.options.max_fpr
        return self.evaluations[model].baseline(metric) if metric in BASELINES else np.nan

    def __repr__(self) -> str:
        parts = []
        for metric, by_model in self.bootstraps.items():
            told = ", ".join(
                f"{model} {format_decimal(one.value)}" for model, one in by_model.items()
            )
            parts.append(f"{metric}: {told}")
        return f"Comparison({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        level = self.evaluations[self.reference].confidence_level
        sure = f"{format_confidence_level(level)} interval"
        head = ("metric", "model", "value", sure, "without a model", "difference", f"{sure} of it")
        rows = [
            (
                metric_name(one["metric"], k=self.options.k, max_fpr=self.options.max_fpr),
                one["model"],
                format_metric(one["metric"], one["value"]),
                format_interval(one["metric"], one["value_low"], one["value_high"]),
                NO_VALUE
                if np.isnan(one["baseline"])
                else format_metric(one["metric"], one["baseline"]),
                *(
                    ("", "")
                    if one["model"] == self.reference
                    else (
                        format_difference(one["metric"], one["difference"]),
                        format_difference_interval(
                            one["metric"], one["difference_low"], one["difference_high"]
                        ),
                    )
                ),
            )
            for one in self.to_frame().to_dict("records")
        ]
        return table_html(
            head, rows, caption=f"Compared with {self.reference}", text_columns=(0, 1)
        )


def compare_models(
    df: Any,
    scores: Mapping[str, str],
    label: str = "is_fraud",
    threshold: float | Threshold | Mapping[str, float | Threshold] = 0.5,
    *,
    cluster: str | None = None,
    metrics: Sequence[str] = DEFAULT,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence_level: float = 0.95,
    k: int = 100,
    day: str = "timestamp",
    entity: str = "customer_id",
    max_fpr: float = 0.01,
    amount: str | None = None,
    cost_per_alert: float | None = None,
    recovery_rate: float = 1.0,
) -> Comparison:
    """Compare the scores of several models for the same rows.

    Parameters
    ----------
    df
        A row for each transaction, with a column for each model's score; of any engine.
    scores
        Column by model, as ``{"forest": "p_forest", "logit": "p_logit"}``. The first is what the
        others are compared with.
    label
        Column of the truth; a row without is left out.
    threshold
        The same for all models, or one for each.
    cluster
        Column whose values are drawn, the same ones for all models: rows of one customer are not
        independent. Of a column of times, days are drawn. By default ``customer_id``, and for card
        precision@k its cards.
    metrics
        Of those with a bootstrap: ``roc_auc``, ``average_precision``, ``precision``, ``recall``,
        ``specificity``, ``brier``, ``recall_at_fpr``, ``cost``, ``precision_at_k`` and
        ``card_precision_at_k``.
    n_resamples, seed, confidence_level
        Number of draws, seed of the generator, confidence.
    k, day, entity, max_fpr, cost_per_alert, recovery_rate
        Parameters of the metrics that have some, as for :meth:`Evaluation.bootstrap`.
    amount
        Column of the transactions' value, for ``cost``.

    Raises
    ------
    NotFoundError
        A column is not in the frame, or a metric has no bootstrap.
    ArgumentError
        ``scores`` names no model, a threshold is missing, or an argument is out of range.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame(
    ...     {
    ...         "customer_id": [1, 1, 2, 2, 3, 3, 4, 4],
    ...         "is_fraud": [0, 1, 0, 1, 0, 1, 0, 1],
    ...         "good": [0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6],
    ...         "poor": [0.6, 0.5, 0.4, 0.5, 0.6, 0.5, 0.4, 0.5],
    ...     }
    ... )
    >>> models = {"poor": "poor", "good": "good"}
    >>> comparison = compare_models(frame, models, metrics=["roc_auc"], n_resamples=100)
    >>> comparison.to_frame()[["model", "value", "difference"]]
      model  value  difference
    0  poor    0.5         NaN
    1  good    1.0         0.5
    """
    df = check_frame(df, "compare_models(df, {'forest': 'p_forest', 'logit': 'p_logit'})")
    if not isinstance(scores, Mapping) or not scores:
        raise ArgumentError(
            "`scores` must be the column of each model's scores, by name, such as "
            f"{{'forest': 'p_forest', 'logit': 'p_logit'}}; got {format_value(scores)}."
        )
    if isinstance(threshold, Mapping):
        if missing := [model for model in scores if model not in threshold]:
            raise ArgumentError(
                f"`threshold` must have a threshold for each model; got none for "
                f"{', '.join(map(str, missing))}."
            )
        thresholds = {model: as_threshold(threshold[model]) for model in scores}
    else:
        thresholds = dict.fromkeys(scores, as_threshold(threshold))
    evaluations = {
        model: evaluate(
            df, label, name, thresholds[model], amount=amount, confidence_level=confidence_level
        )
        for model, name in scores.items()
    }
    options = Options(k, day, entity, max_fpr, cost_per_alert, recovery_rate)
    return compare(
        evaluations,
        cluster=cluster,
        metrics=metrics,
        n_resamples=n_resamples,
        seed=seed,
        options=options,
    )


def compare(
    evaluations: dict[str, Evaluation],
    *,
    cluster: str | None = None,
    metrics: Sequence[str] = DEFAULT,
    n_resamples: int = 1000,
    seed: int = 0,
    options: Options | None = None,
) -> Comparison:
    """Compare evaluations of the same rows; see :func:`compare_models`.

    Raises
    ------
    NotFoundError, ArgumentError
        As for :func:`compare_models`, and where the evaluations are not of the same rows.
    """
    options = options or Options()
    wanted = [
        check_metric(one)
        for one in check_names(
            metrics, "metrics", must_be="a metric name", examples=("roc_auc", "recall")
        )
    ]
    confidence_level = next(iter(evaluations.values())).confidence_level
    samples = {model: one.samples(wanted, cluster, options) for model, one in evaluations.items()}
    bootstraps = {
        metric: resample(
            metric,
            {model: of[metric] for model, of in samples.items()},
            cluster=options.cluster(metric, cluster),
            n_resamples=n_resamples,
            seed=seed,
            confidence_level=confidence_level,
        )
        for metric in wanted
    }
    return Comparison(evaluations, bootstraps, options)
