"""The figures of a model report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from synfin_analytics import plots
from synfin_analytics._core.formatting import (
    format_amount,
    format_decimal,
    format_decimal_interval,
    format_percent,
    format_signed,
    format_threshold,
    pluralize,
)
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.metrics.curve import Costs, Curve
from synfin_analytics.plots.thresholds import thin_costs
from synfin_analytics.reports._figures import Figure, draw_figure
from synfin_analytics.reports._page import iterate_rows

if TYPE_CHECKING:
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.topk import TopK
    from synfin_analytics.reports._results import ModelResults


def figures(results: ModelResults) -> dict[str, Figure]:
    """Return all figures of the page, by name."""
    drawn = {
        "precision_recall": _precision_recall_figure(results.evaluation),
        "roc": _roc_figure(results.evaluation),
        "thresholds": _thresholds_figure(results.evaluation),
        "calibration": _calibration_figure(results.evaluation),
    }
    if results.cards is not None:
        drawn["cards"] = _cards_figure(results.cards)
    if "stability" not in results.omitted:
        drawn |= {"scores": _scores_figure(results), "rates": _rates_figure(results)}
    if results.has_costs:
        drawn["cost"] = _cost_figure(results)
    if isinstance(results.comparison, Comparison):
        drawn["comparison"] = _comparison_figure(results.comparison)
    if len(results.importances):
        drawn["importances"] = _importances_figure(results)
    return drawn


def _precision_recall_figure(evaluation: Evaluation) -> Figure:
    return draw_figure(
        lambda: plots.plot_precision_recall(evaluation, title=""),
        name="pr",
        alt=f"Precision-recall curve. Average precision "
        f"{format_decimal(evaluation.average_precision)}. At the threshold in use: recall "
        f"{format_percent(evaluation.recall)}, precision {format_percent(evaluation.precision)}. "
        f"Random alerts: {format_percent(evaluation.prevalence)}.",
        caption="Precision-recall curve.",
    )


def _roc_figure(evaluation: Evaluation) -> Figure:
    rate = evaluation.confusion.false_positive_rate
    return draw_figure(
        lambda: plots.plot_roc(evaluation, title=""),
        name="roc",
        alt=f"ROC curve. Area {format_decimal(evaluation.roc_auc)}. At the threshold in use: "
        f"recall {format_percent(evaluation.recall)}, false positive rate {format_percent(rate)}.",
        caption="ROC curve.",
    )


def _thresholds_figure(evaluation: Evaluation) -> Figure:
    threshold = format_threshold(evaluation.threshold.value)
    return draw_figure(
        lambda: plots.plot_thresholds(evaluation, title=""),
        name="th",
        alt=f"Precision and recall by threshold. At {threshold}: precision "
        f"{format_percent(evaluation.precision)}, recall {format_percent(evaluation.recall)}, "
        f"{pluralize(round(evaluation.alerts), 'alert')}.",
        caption="Precision, recall and alerts by threshold.",
    )


def _cost_figure(results: ModelResults) -> Figure:
    rows: Any = results.thresholds.set_index("criterion")
    best, in_use = rows.loc["lowest cost"], rows.loc["in use"]
    settings = results.settings
    # Not the costs of all thresholds, which may be millions.
    curve = Curve(results.evaluation.counts)
    costs = Costs(curve, settings.cost_per_alert, settings.recovery_rate)
    return draw_figure(
        lambda: plots.plot_cost(thin_costs(costs), title=""),
        name="cost",
        alt=f"Cost by threshold. Lowest at {format_threshold(best['threshold'])}: "
        f"{format_amount(best['cost'])}. Threshold in use: {format_amount(in_use['cost'])}. "
        f"No alerts: {format_amount(in_use['cost'] + in_use['saved'])}.",
        caption="Cost of alerts, and losses from fraud, by threshold.",
    )


def _calibration_figure(evaluation: Evaluation) -> Figure:
    bins = "; ".join(
        f"score {row.score_from:.1f} to {row.score_to:.1f}: {format_percent(row.fraud_rate)} of "
        f"{row.transactions:,}"
        for row in iterate_rows(evaluation.calibration())
        if row.transactions
    )
    return draw_figure(
        lambda: plots.plot_calibration(evaluation, title=""),
        name="cal",
        alt=f"Fraud rate by score. {bins or 'No labelled transactions'}.",
        caption="Fraud rate by score; scores on the dashed line are calibrated.",
    )


def _cards_figure(cards: TopK) -> Figure:
    return draw_figure(
        lambda: plots.plot_topk(cards, title=""),
        name="cards",
        alt=f"Card precision@{cards.k} of {pluralize(len(cards.daily), 'day')}. Mean "
        f"{format_percent(cards.value)}, maximum achievable "
        f"{format_percent(cards.max_achievable)}.",
        caption=f"Card precision@{cards.k} by day. The hatched area is not achievable, as fewer "
        "cards were compromised on that day.",
    )


def _scores_figure(results: ModelResults) -> Figure:
    means = ", ".join(format_decimal(score, 4) for score in results.weeks["mean_score"])
    return draw_figure(
        lambda: plots.plot_score_drift(results.weeks, title=""),
        name="scores",
        alt=f"Scores by week. Mean scores in order: {means}.",
        caption="Scores of each week, of labelled and unlabelled transactions.",
    )


def _rates_figure(results: ModelResults) -> Figure:
    rates = ", ".join(format_percent(rate) for rate in results.weeks["fraud_rate"])
    columns = ["timestamp", "transactions", "labelled", "frauds", "fraud_rate", "fraud_rate_low",
               "fraud_rate_high", "reliable"]  # fmt: skip
    return draw_figure(
        lambda: plots.plot_fraud_rate(results.weeks[columns], title=""),
        name="rates",
        alt=f"Fraud rate by week, in order: {rates}.",
        caption="Fraud rate of each week, of labelled transactions.",
    )


def _comparison_figure(comparison: Comparison) -> Figure:
    reference, model = comparison.evaluations
    frame = comparison.to_frame()
    differences = "; ".join(
        f"{row.metric.replace('_', ' ')} {format_signed(row.difference)} "
        f"({format_decimal_interval(row.difference_low, row.difference_high, sign=True)})"
        for row in iterate_rows(frame[frame["model"] == model])
    )
    return draw_figure(
        lambda: plots.plot_comparison(comparison, title=""),
        name="cmp",
        alt=f"{model} compared with {reference}. {differences}.",
        caption=f"Differences from {reference}; {model} is better where they are positive.",
    )


def _importances_figure(results: ModelResults) -> Figure:
    top = results.importances.head(5)
    largest = "; ".join(
        f"{name} {format_decimal(size)}"
        for name, size in zip(top["feature"], top["size"], strict=True)
    )
    return draw_figure(
        lambda: plots.plot_importances(results.importances, title=""),
        name="imp",
        alt=f"Feature importances, the largest: {largest}.",
        caption="Importance of the features: means over the predictions that have importances.",
    )
