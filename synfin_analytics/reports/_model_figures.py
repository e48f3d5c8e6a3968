"""Pictures of a model's report, each with what it shows in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synfin_analytics import plots
from synfin_analytics._core import formatting as wording
from synfin_analytics._core.formatting import format_decimal, format_percent
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.reports._figures import Picture, picture
from synfin_analytics.reports._page import lines

if TYPE_CHECKING:
    from synfin_analytics.reports.model_page import ModelReport


def pictures(report: ModelReport) -> dict[str, Picture | dict[str, Picture]]:
    """All pictures of the page, by name."""
    one = report.evaluation
    found: dict[str, Picture | dict[str, Picture]] = {
        "precision_recall": picture(
            lambda: plots.plot_precision_recall(one, title=""),
            name="pr",
            alt="Precision-recall curve. Average precision "
            f"{format_decimal(one.average_precision)}; at the threshold in use, recall "
            f"{format_percent(one.recall)} and precision {format_percent(one.precision)}; at "
            f"random {format_percent(one.prevalence)}.",
            caption="Precision and recall over all thresholds.",
        ),
        "roc": picture(
            lambda: plots.plot_roc(one, title=""),
            name="roc",
            alt=f"ROC curve. Area {format_decimal(one.roc_auc)}; at the threshold in use, recall "
            f"{format_percent(one.recall)} at {format_percent(one.confusion.false_positive_rate)} "
            "false alarms.",
            caption="Recall against the share of false alarms.",
        ),
        "thresholds": picture(
            lambda: plots.plot_thresholds(one, title=""),
            name="th",
            alt="Precision and recall by threshold. At "
            f"{wording.format_threshold(one.threshold.value)}: precision "
            f"{format_percent(one.precision)}, recall {format_percent(one.recall)}, "
            f"{wording.pluralize(one.alerts, 'alert')}.",
            caption="What each threshold brings.",
        ),
        "calibration": _calibration(report),
        "days": _days(report),
        "scores": _scores(report),
        "rates": _rates(report),
    }
    if not report.several_currencies:
        found["cost"] = _cost(report)
    if isinstance(report.comparison, Comparison):
        found["comparison"] = _comparison(report.comparison)
    if len(report.importances):
        found["importances"] = _importances(report)
    return found


def _cost(report: ModelReport) -> Picture:
    choices: Any = report.thresholds.set_index("why")
    best, use = choices.loc["lowest cost"], choices.loc["in use"]
    return picture(
        lambda: plots.plot_cost(report.costs, title=""),
        name="cost",
        alt="Cost by threshold. Lowest at "
        f"{wording.format_threshold(best['threshold'])}: {wording.format_amount(best['cost'])}; at "
        f"the threshold in use {wording.format_amount(use['cost'])}; without any alert "
        f"{wording.format_amount(use['cost'] + use['saved'])}.",
        caption="Cost of alerts and of the fraud that is lost in spite of them.",
    )


def _calibration(report: ModelReport) -> Picture:
    parts = report.evaluation.calibration()
    told = "; ".join(
        f"score {part.score_from:.1f} to {part.score_to:.1f}: {format_percent(part.fraud_rate)} of "
        f"{part.transactions:,}"
        for part in lines(parts)
        if part.transactions
    )
    return picture(
        lambda: plots.plot_calibration(report.evaluation, title=""),
        name="cal",
        alt=f"Share of fraud by score. {told or 'No labelled payments'}.",
        caption="On the dashed line, scores are right as probabilities.",
    )


def _days(report: ModelReport) -> Picture:
    cards = report.cards
    return picture(
        lambda: plots.plot_topk(cards, title=""),
        name="days",
        alt=f"Card precision@{cards.k} of {wording.pluralize(len(cards.daily), 'day')}. Mean "
        f"{format_percent(cards.value)}, ceiling {format_percent(cards.max_achievable)}.",
        caption="What lies above the ceiling no ranking can reach: there were not as many "
        "compromised cards that day.",
    )


def _scores(report: ModelReport) -> Picture:
    weeks = report.weeks
    told = ", ".join(format_decimal(one, 4) for one in weeks["mean_score"])
    return picture(
        lambda: plots.plot_score_drift(weeks, title=""),
        name="scores",
        alt=f"Scores by week. Mean scores, in order: {told}.",
        caption="Scores of each week, labelled or not.",
    )


def _rates(report: ModelReport) -> Picture:
    weeks = report.weeks
    told = ", ".join(format_percent(one) for one in weeks["fraud_rate"])
    columns = ["timestamp", "transactions", "labelled", "frauds", "fraud_rate",
               "fraud_rate_low", "fraud_rate_high", "reliable"]  # fmt: skip
    return picture(
        lambda: plots.plot_fraud_rate(weeks[columns], title=""),
        name="rates",
        alt=f"Fraud rate by week, in order: {told}.",
        caption="Fraud rate of each week among labelled payments, with its interval.",
    )


def _comparison(comparison: Comparison) -> Picture:
    theirs, ours = comparison.evaluations
    found = comparison.to_frame()
    told = "; ".join(
        f"{row.metric.replace('_', ' ')} {wording.format_signed(row.difference)} "
        f"({wording.format_decimal_interval(row.difference_low, row.difference_high, sign=True)})"
        for row in lines(found[found["model"] == ours])
    )
    return picture(
        lambda: plots.plot_comparison(comparison, title=""),
        name="cmp",
        alt=f"{ours} compared with {theirs}. {told}.",
        caption=f"Right of 0, {ours} is better.",
    )


def _importances(report: ModelReport) -> Picture:
    top = report.importances.head(5)
    told = "; ".join(
        f"{name} {format_decimal(size)}"
        for name, size in zip(top["feature"], top["size"], strict=True)
    )
    return picture(
        lambda: plots.plot_importances(report.importances, title=""),
        name="imp",
        alt=f"Feature importances, the largest: {told}.",
        caption="Means over the predictions that hold importances.",
    )
