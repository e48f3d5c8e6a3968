"""Summary of an evaluation: every metric with its interval, its baseline and a note."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.arguments import check_string
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.html import table_html
from synfin_analytics._core.metric_format import METRICS as NAMES
from synfin_analytics._core.metric_format import format_interval, format_metric
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.metrics.confusion import SHARES
from synfin_analytics.metrics.proportions import proportion_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

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
_FLOATS = ("baseline", "value", "value_low", "value_high")


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
    if check_string(metric, "metric", example="recall") not in known:
        raise NotFoundError("metric", metric, known)
    return known[metric]


def summary(evaluation: Evaluation) -> pd.DataFrame:
    """Return every metric, with its interval where it is a proportion.

    Returns
    -------
    pandas.DataFrame
        ``metric``, ``k`` and ``n`` of a proportion, ``baseline`` (without a model), ``note``: why
        a value is undefined or unreliable, and last, where a terminal of 80 columns still shows
        them, ``value``, ``value_low`` and ``value_high``.
    """
    return summaries([evaluation])


def summaries(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Return the summaries of several evaluations, one below the other.

    The intervals of a metric are computed at once: thousands of groups take seconds.
    """
    columns = {metric: _column(metric, evaluations) for metric in METRICS}
    names = ["metric", "k", "n", "baseline", "note", "value", "value_low", "value_high"]
    frame = pd.DataFrame(
        [
            (metric, *cells)
            for of in zip(*columns.values(), strict=True)
            for metric, cells in zip(METRICS, of, strict=True)
        ],
        columns=names,
    )
    return frame.astype({"k": "Int64", "n": "Int64", "note": "str"} | dict.fromkeys(_FLOATS, float))


def _column(metric: str, evaluations: Sequence[Evaluation]) -> list[tuple[Any, ...]]:
    """Return the cells of a metric for each evaluation."""
    if not evaluations:
        return []
    values = [float(getattr(one, metric)) for one in evaluations]
    baselines = [one.baseline(metric) for one in evaluations]
    notes = [_note(one, metric, value) for one, value in zip(evaluations, values, strict=True)]
    k: Sequence[Any] = [None] * len(values)
    n, low, high = k, *(np.full(len(values), np.nan) for _ in range(2))
    if metric in SHARES:
        k, n = zip(*(one.confusion.counts(metric) for one in evaluations), strict=True)
        first = evaluations[0]
        low, high = proportion_interval(k, n, first.interval_method, first.confidence_level)
    return list(zip(k, n, baselines, notes, values, low, high, strict=True))


def _note(evaluation: Evaluation, metric: str, value: float) -> str:
    if np.isnan(value):
        if not evaluation.n:
            return "there is no labelled transaction"
        if metric in AT_THRESHOLD and not evaluation.alerts and metric in {"precision", "mcc"}:
            return "no alerts at this threshold"
        return (
            "no transaction was fraud" if not evaluation.n_frauds else "every transaction was fraud"
        )
    if metric in AT_THRESHOLD and evaluation.threshold.fitted_on == evaluation.counts.fingerprint:
        return "the threshold was chosen on these rows"
    return ""


def html(evaluation: Evaluation) -> str:
    """Return an evaluation as a notebook shows it."""
    caption = (
        f"{wording.pluralize(evaluation.n, 'transaction')}, "
        f"{wording.pluralize(evaluation.n_frauds, 'fraud')}; alerts at {evaluation.threshold} or "
        "above"
    )
    if evaluation.n_unlabelled:
        caption += f"; {evaluation.n_unlabelled:,} without a label left out"
    level = wording.format_confidence_level(evaluation.confidence_level)
    head = ("metric", "value", f"{level} interval", "counts", "without a model", "note")
    rows = [
        (
            NAMES[one["metric"]][0],
            format_metric(one["metric"], one["value"]),
            ""
            if pd.isna(one["n"])
            else format_interval(one["metric"], one["value_low"], one["value_high"]),
            "" if pd.isna(one["n"]) else f"{one['k']:,} of {one['n']:,}",
            format_metric(one["metric"], one["baseline"]),
            one["note"],
        )
        for one in summary(evaluation).to_dict("records")
    ]
    return table_html(head, rows, caption=caption, text_columns=(0, 5))
