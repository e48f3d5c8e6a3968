"""Names and values of metrics as people read them, and tables for a notebook."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from synfin_analytics._core import formatting as wording

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What each metric is called, and what it means.
METRICS = {
    "precision": ("precision", "share of the alerts that were fraud"),
    "recall": ("recall", "share of the frauds that were found"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "specificity": ("specificity", "share of the genuine payments that were left alone"),
    "accuracy": ("accuracy", "share of the payments that were judged right"),
    "balanced_accuracy": ("balanced accuracy", "mean of recall and specificity"),
    "mcc": ("MCC", "correlation of alerts and frauds, from \u22121 to 1"),
    "roc_auc": ("ROC AUC", "chance that a fraud scores higher than a genuine payment"),
    "average_precision": ("average precision", "mean precision over the frauds"),
    "brier": ("Brier score", "mean squared error of the score; 0 is best"),
    "prevalence": ("prevalence", "share of the payments that were fraud"),
}
#: Metrics with a parameter of their own.
WITH_PARAMETERS = {
    "recall_at_fpr": ("recall at FPR", "recall at a given false-positive rate"),
    "cost": ("cost", "reviews, missed fraud and caught fraud that is not recovered"),
    "precision_at_k": ("precision@k", "share of frauds among the first k payments of a day"),
    "card_precision_at_k": ("card precision@k", "share of compromised cards among k of a day"),
}
#: Those that are written in percent.
SHARES = {"precision", "recall", "specificity", "accuracy", "prevalence", "recall_at_fpr"}
#: What stands where a metric has none.
NONE = "\u2013"


def name(metric: str, *, k: int, max_fpr: float) -> str:
    """Write the name of a metric, with its parameter.

    Examples
    --------
    >>> name("card_precision_at_k", k=100, max_fpr=0.01), name("mcc", k=100, max_fpr=0.01)
    ('card precision@100', 'MCC')
    """
    if metric == "recall_at_fpr":
        return f"recall at {100 * max_fpr:g}\u00a0% FPR"
    return (METRICS | WITH_PARAMETERS)[metric][0].replace("@k", f"@{k}")


def metric(name: str, value: float) -> str:
    r"""Write the value of a metric.

    Examples
    --------
    >>> metric("recall", 0.25), metric("roc_auc", 0.9)
    ('25.0\xa0%', '0.900')
    """
    if name == "cost":
        return wording.number(value, 2)
    return wording.percent(value) if name in SHARES else wording.decimal(value)


def ends(name: str, low: float, high: float) -> str:
    """Write the interval of a metric."""
    if name == "cost" and not math.isnan(low):
        return f"{wording.number(low, 2)} to {wording.number(high, 2)}"
    return wording.between(low, high) if name in SHARES else wording.span(low, high)


def apart(name: str, value: float) -> str:
    r"""Write the difference of a metric: of shares, in percentage points.

    Examples
    --------
    >>> apart("recall", 0.25), apart("recall", 0.012), apart("roc_auc", 0.04)
    ('+25.0\xa0pp', '+1.20\xa0pp', '+0.040')
    """
    if name == "cost":
        return wording.signed(value, 2)
    if name not in SHARES or math.isnan(value):
        return wording.signed(value)
    points = 100 * value
    return f"{wording.signed(points, 1 if abs(points) >= 10 else 2)}\u00a0pp"


def apart_ends(name: str, low: float, high: float) -> str:
    """Write the interval of a difference."""
    if math.isnan(low) or math.isnan(high):
        return wording.UNDEFINED
    return f"{apart(name, low)} to {apart(name, high)}"


def html_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table for a notebook: texts are escaped, the first cell of a row names it.

    Examples
    --------
    >>> html_table("A & B", ["name", "n"], [["<b>", "1"]]).count("&lt;b&gt;")
    1
    """
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    return (
        f'<table {wording.NO_FORMULAS}><caption style="text-align:left">{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )
