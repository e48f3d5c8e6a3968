"""Models side by side on the same rows, with the interval of their difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import told
from synfin_analytics.metrics.bootstrap import Bootstrap, bootstrap_counts
from synfin_analytics.metrics.evaluation import Evaluation, evaluate
from synfin_analytics.metrics.threshold import as_threshold
from synfin_analytics.wording import decimal

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
    """

    evaluations: dict[str, Evaluation]
    bootstraps: dict[str, dict[str, Bootstrap]]

    @property
    def reference(self) -> str:
        """Model that the others are compared with."""
        return next(iter(self.evaluations))

    def frame(self) -> pd.DataFrame:
        """Draw up every metric of every model.

        Returns
        -------
        pandas.DataFrame
            ``metric``, ``model``, ``value``, ``low``, ``high``, ``difference`` to the first model
            and its paired interval ``difference_low`` to ``difference_high`` (each draw's own
            difference), ``baseline`` (without a model), ``draws`` and ``dropped``.
        """
        lines = []
        for metric, by_model in self.bootstraps.items():
            first = by_model[self.reference]
            for model, one in by_model.items():
                apart = Bootstrap(
                    metric, one.cluster, one.value - first.value, one.drawn - first.drawn, one.level
                )
                own = model == self.reference
                lines.append(
                    {
                        "metric": metric,
                        "model": model,
                        "value": one.value,
                        "low": one.low,
                        "high": one.high,
                        "difference": np.nan if own else apart.value,
                        "difference_low": np.nan if own else apart.low,
                        "difference_high": np.nan if own else apart.high,
                        "baseline": self.evaluations[model].baseline(metric),
                        "draws": one.draws,
                        "dropped": one.dropped if own else apart.dropped,
                    }
                )
        return pd.DataFrame(lines)

    def __repr__(self) -> str:
        parts = []
        for metric, by_model in self.bootstraps.items():
            told = ", ".join(f"{model} {decimal(one.value)}" for model, one in by_model.items())
            parts.append(f"{metric}: {told}")
        return f"Comparison({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        level = self.evaluations[self.reference].level
        sure = f"{100 * level:g}\u00a0% interval"
        head = ("metric", "model", "value", sure, "without a model", "difference", f"{sure} of it")
        rows = [
            (
                told.METRICS[one["metric"]][0],
                one["model"],
                told.metric(one["metric"], one["value"]),
                told.ends(one["metric"], one["low"], one["high"]),
                told.metric(one["metric"], one["baseline"]),
                *(
                    ("", "")
                    if one["model"] == self.reference
                    else (
                        told.apart(one["metric"], one["difference"]),
                        told.apart_ends(
                            one["metric"], one["difference_low"], one["difference_high"]
                        ),
                    )
                ),
            )
            for one in self.frame().to_dict("records")
        ]
        return told.html_table(f"Compared with {self.reference}", head, rows)


def compare_models(
    frame: Any,
    scores: Mapping[str, str],
    label: str = "is_fraud",
    threshold: float | Threshold | Mapping[str, float | Threshold] = 0.5,
    *,
    cluster: str = "customer_id",
    metrics: Sequence[str] = DEFAULT,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Compare the scores of several models for the same rows.

    Parameters
    ----------
    frame
        A row for each transaction, with a column for each model's score; of any engine.
    scores
        Column by model, as ``{"forest": "p_forest", "logit": "p_logit"}``. The first is what the
        others are compared with.
    label
        Column of the truth; a row without is left out.
    threshold
        One for all models, or one for each.
    cluster
        Column of what is drawn: rows of one customer are not independent. A column of times means
        days.
    metrics
        Of those with a bootstrap: roc_auc, average_precision, precision, recall, specificity.
    draws, seed, level
        Number of draws, seed of the generator, confidence.

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
    >>> comparison = compare_models(frame, models, metrics=["roc_auc"], draws=100)
    >>> comparison.frame()[["model", "value", "difference"]]
      model  value  difference
    0  poor    0.5         NaN
    1  good    1.0         0.5
    """
    if not scores:
        raise ArgumentError("Name the models: scores={'forest': 'p_forest', …}.")
    if isinstance(threshold, Mapping):
        if missing := [model for model in scores if model not in threshold]:
            raise ArgumentError(f"There is no threshold of {', '.join(missing)}.")
        thresholds = {model: as_threshold(threshold[model]) for model in scores}
    else:
        thresholds = dict.fromkeys(scores, as_threshold(threshold))
    evaluations = {
        model: evaluate(frame, label, column, thresholds[model], level=level)
        for model, column in scores.items()
    }
    return compare(evaluations, cluster=cluster, metrics=metrics, draws=draws, seed=seed)


def compare(
    evaluations: dict[str, Evaluation],
    *,
    cluster: str,
    metrics: Sequence[str] = DEFAULT,
    draws: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare evaluations of the same rows; see :func:`compare_models`."""
    counted = {model: one.clustered(cluster) for model, one in evaluations.items()}
    first, *others = evaluations.values()
    for one in others:
        if (one.n, one.frauds) != (first.n, first.frauds):
            raise ArgumentError(
                "The models are not of the same rows: one is of "
                f"{first.n:,} labelled transactions with {first.frauds:,} frauds, another of "
                f"{one.n:,} with {one.frauds:,}."
            )
    bootstraps = {
        metric: bootstrap_counts(
            metric, counted, cluster=cluster, draws=draws, seed=seed, level=first.level
        )
        for metric in metrics
    }
    return Comparison(evaluations, bootstraps)
