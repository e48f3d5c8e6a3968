"""Names, values and intervals of metrics as text; the same in notebooks, plots and reports."""

from __future__ import annotations

import math

from synfin_analytics._core import formatting

#: The name of each metric, and its definition.
METRICS = {
    "precision": ("precision", "share of the alerts that were fraud"),
    "recall": ("recall", "share of the frauds that were detected"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "specificity": ("specificity", "share of the genuine transactions that were not alerted"),
    "accuracy": ("accuracy", "share of the transactions that were classified correctly"),
    "balanced_accuracy": ("balanced accuracy", "mean of recall and specificity"),
    "mcc": ("MCC", "correlation of alerts and frauds, from \u22121 to 1"),
    "roc_auc": ("ROC AUC", "probability that a fraud scores higher than a genuine transaction"),
    "average_precision": ("average precision", "mean precision over the frauds"),
    "brier": ("Brier score", "mean squared error of the score; 0 is best"),
    "prevalence": ("prevalence", "share of the transactions that were fraud"),
}
#: Metrics that have a parameter.
WITH_PARAMETERS = {
    "recall_at_fpr": ("recall at FPR", "recall at a given false positive rate"),
    "cost": ("cost", "alerts, missed fraud and detected fraud that is not recovered"),
    "precision_at_k": ("precision@k", "share of frauds among the first k transactions of a day"),
    "card_precision_at_k": ("card precision@k", "share of compromised cards among k of a day"),
}
#: Metrics that are written in percent.
SHARES = {"precision", "recall", "specificity", "accuracy", "prevalence", "recall_at_fpr"}


def metric_name(metric: str, *, k: int, max_fpr: float) -> str:
    """Return the name of a metric, with its parameter.

    Examples
    --------
    >>> metric_name("card_precision_at_k", k=100, max_fpr=0.01)
    'card precision@100'
    >>> metric_name("mcc", k=100, max_fpr=0.01)
    'MCC'
    """
    if metric == "recall_at_fpr":
        return f"recall at {100 * max_fpr:g}% FPR"
    return (METRICS | WITH_PARAMETERS)[metric][0].replace("@k", f"@{k}")


def format_metric(metric: str, value: float) -> str:
    """Format the value of a metric.

    Examples
    --------
    >>> format_metric("recall", 0.25), format_metric("roc_auc", 0.9)
    ('25.0%', '0.900')
    """
    if metric == "cost":
        return formatting.format_number(value, 2)
    return (
        formatting.format_percent(value) if metric in SHARES else formatting.format_decimal(value)
    )


def format_interval(metric: str, low: float, high: float) -> str:
    """Format the interval of a metric."""
    if metric == "cost" and not math.isnan(low):
        return f"{formatting.format_number(low, 2)} to {formatting.format_number(high, 2)}"
    return (
        formatting.format_percent_interval(low, high)
        if metric in SHARES
        else formatting.format_decimal_interval(low, high)
    )


def format_difference(metric: str, value: float) -> str:
    r"""Format the difference of a metric; a difference of shares is in percentage points.

    Examples
    --------
    >>> format_difference("recall", 0.25), format_difference("recall", 0.012)
    ('+25.0\xa0pp', '+1.20\xa0pp')
    >>> format_difference("roc_auc", 0.04)
    '+0.040'
    """
    if metric == "cost":
        return formatting.format_signed(value, 2)
    if metric not in SHARES or math.isnan(value):
        return formatting.format_signed(value)
    points = 100 * value
    return f"{formatting.format_signed(points, 1 if abs(points) >= 10 else 2)}\u00a0pp"


def format_difference_interval(metric: str, low: float, high: float) -> str:
    """Format the interval of a difference."""
    if math.isnan(low) or math.isnan(high):
        return formatting.UNDEFINED
    return f"{format_difference(metric, low)} to {format_difference(metric, high)}"
