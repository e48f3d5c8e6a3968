"""An evaluation told: every metric beside its interval, its baseline, and what is to be said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from synfin_analytics import wording
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.metrics import told
from synfin_analytics.metrics.confusion import SHARES
from synfin_analytics.metrics.proportions import ratio

if TYPE_CHECKING:
    from synfin_analytics.metrics.evaluation import Evaluation

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
OVERALL = ("roc_auc", "average_precision", "brier", "prevalence")
METRICS = (*AT_THRESHOLD, *OVERALL)


def baseline(evaluation: Evaluation, metric: str) -> float:
    """Value of ``metric`` without a model: as many alerts at random, the same score for all."""
    p, queue = evaluation.prevalence, float(ratio(evaluation.alerts, evaluation.n))
    known = {
        "precision": p,
        "recall": queue,
        "f1": float(ratio(2 * p * queue, p + queue)),
        "specificity": 1 - queue,
        "accuracy": p * queue + (1 - p) * (1 - queue),
        "balanced_accuracy": 0.5,
        "mcc": 0.0,
        "roc_auc": 0.5,
        "average_precision": p,
        "brier": p * (1 - p),
        "prevalence": p,
    }
    if metric not in known:
        raise NotFoundError("metric", metric, known)
    return known[metric]


def summary(evaluation: Evaluation) -> pd.DataFrame:
    """Draw up every metric, with its interval where it is a proportion.

    Returns
    -------
    pandas.DataFrame
        ``metric``, ``value``, ``low``, ``high``, ``k`` and ``n`` of a proportion, ``baseline``
        (without a model) and ``note``: why a value is not defined, or not to be trusted.
    """
    lines = []
    for metric in METRICS:
        value = float(getattr(evaluation, metric))
        low = high = np.nan
        k: int | None = None
        n: int | None = None
        if metric in SHARES:
            (low, high), (k, n) = evaluation.interval(metric), evaluation.confusion.counts(metric)
        note = _note(evaluation, metric, value)
        lines.append(
            (
                metric,
                value,
                low,
                high,
                k,
                n,
                evaluation.baseline(metric),
                note,
            )
        )
    names = ["metric", "value", "low", "high", "k", "n", "baseline", "note"]
    return pd.DataFrame(lines, columns=names).astype({"k": "Int64", "n": "Int64"})


def _note(evaluation: Evaluation, metric: str, value: float) -> str:
    if np.isnan(value):
        if not evaluation.n:
            return "there is no labelled transaction"
        if metric in AT_THRESHOLD and not evaluation.alerts and metric in {"precision", "mcc"}:
            return "no alerts at this threshold"
        return (
            "no transaction was fraud" if not evaluation.frauds else "every transaction was fraud"
        )
    if metric in AT_THRESHOLD and evaluation.threshold.chosen_on == evaluation.counts.fingerprint:
        return "the threshold was chosen on these rows"
    return ""


def html(evaluation: Evaluation) -> str:
    """Draw up an evaluation for a notebook."""
    caption = (
        f"{wording.plural(evaluation.n, 'transaction')}, "
        f"{wording.plural(evaluation.frauds, 'fraud')}; alerts at {evaluation.threshold} or above"
    )
    if evaluation.unlabelled:
        caption += f"; {evaluation.unlabelled:,} without a label left out"
    head = ("metric", "value", f"{100 * evaluation.level:g}\u00a0% interval", "counts",
            "without a model", "note")  # fmt: skip
    rows = [
        (
            told.METRICS[one["metric"]][0],
            told.metric(one["metric"], one["value"]),
            "" if pd.isna(one["n"]) else told.ends(one["metric"], one["low"], one["high"]),
            "" if pd.isna(one["n"]) else f"{one['k']:,} of {one['n']:,}",
            told.metric(one["metric"], one["baseline"]),
            one["note"],
        )
        for one in summary(evaluation).to_dict("records")
    ]
    return told.html_table(caption, head, rows)
