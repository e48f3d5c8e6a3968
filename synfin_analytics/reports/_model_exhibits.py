"""The tables and figures of a model report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics import plots
from synfin_analytics._core.formatting import (
    METRICS,
    NO_VALUE,
    format_amount,
    format_date,
    format_decimal,
    format_decimal_interval,
    format_difference,
    format_difference_interval,
    format_interval,
    format_metric,
    format_number,
    format_percent,
    format_percent_interval,
    format_signed,
    format_threshold,
    pluralize,
)
from synfin_analytics._core.html import Table
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.metrics.grouped import format_group_key, is_small
from synfin_analytics.reports._extremes import find_lowest
from synfin_analytics.reports._figures import Figure, draw_figure
from synfin_analytics.reports._model_text import (
    cluster_noun,
    confidence_interval_name,
    read_difference,
    recalls,
)
from synfin_analytics.reports._page import iterate_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.reports._model_results import ModelResults

#: Groups of one grouping that are listed at most, those with the lowest recall.
MAX_GROUPS = 15


# -- Tables ---------------------------------------------------------------------------------------


def tables(results: ModelResults) -> dict[str, Any]:
    """Return all tables of the page, by name."""
    return {
        "metrics": _metrics_table(results),
        "confusion": _confusion_table(results.evaluation),
        "comparison": _comparison_table(results),
        "thresholds": _thresholds_table(results),
        "calibration": _calibration_table(results),
        "cards": _cards_table(results),
        "groups": {
            columns: _groups_table(results, columns, grouped)
            for columns, grouped in results.groups.items()
        },
        "weeks": _weeks_table(results),
        "importances": _importances_table(results),
    }


def _metrics_table(results: ModelResults) -> Table:
    rows, notes = [], []
    for row in iterate_rows(results.evaluation.summary()):
        name, definition = METRICS[row.metric]
        bootstrap = results.bootstraps.get(row.metric)
        intervals = [NO_VALUE, NO_VALUE]
        if bootstrap:
            intervals[0] = format_interval(row.metric, bootstrap.low, bootstrap.high)
        if not pd.isna(row.n) or np.isfinite(row.value_low):
            intervals[1] = format_interval(row.metric, row.value_low, row.value_high)
        rows.append(
            (
                name,
                format_metric(row.metric, row.value),
                *intervals,
                format_metric(row.metric, row.baseline),
                NO_VALUE if pd.isna(row.k) else f"{row.k:,} of {row.n:,}",
            )
        )
        notes.append(f"{definition}; {row.note}" if row.note else definition)
    interval = confidence_interval_name(results)
    head = ("metric", "value", f"{interval} ({cluster_noun(results)} bootstrap)",
            f"{interval} (Wilson)", "baseline", "counts")  # fmt: skip
    return Table(f"Metrics of {results.name} {results.version}", head, rows, notes)


def _confusion_table(evaluation: Evaluation) -> Table:
    confusion = evaluation.confusion
    rows = [
        ("fraud", format_number(confusion.tp), format_number(confusion.fn)),
        ("genuine", format_number(confusion.fp), format_number(confusion.tn)),
    ]
    return Table("Confusion matrix", ("label", "alert", "no alert"), rows)


def _comparison_table(results: ModelResults) -> Table | None:
    if not isinstance(results.comparison, Comparison):
        return None
    frame = results.comparison.to_frame()
    reference, model = results.comparison.evaluations
    rows = []
    for metric in frame["metric"].unique():
        models = frame[frame["metric"] == metric].set_index("model")
        row = models.loc[model]
        rows.append(
            (
                METRICS[metric][0],
                format_metric(metric, row["value"]),
                format_metric(metric, models.loc[reference, "value"]),
                format_metric(metric, row["baseline"]),
                format_difference(metric, row["difference"]),
                format_difference_interval(metric, row["difference_low"], row["difference_high"]),
                read_difference(row),
            )
        )
    head = ("metric", model, reference, "baseline", "difference",
            f"{confidence_interval_name(results)} of the difference", "conclusion")  # fmt: skip
    caption = f"{model} compared with {reference} on the same transactions"
    return Table(caption, head, rows, text_columns=(0, 6))


def _thresholds_table(results: ModelResults) -> Table:
    costs = {
        "alert_cost": "cost of alerts",
        "missed_amount": "missed fraud",
        "unrecovered_amount": "detected, not recovered",
        "cost": "total cost",
        "saved": "saved",
    }
    if results.settings.recovery_rate == 1:
        del costs["unrecovered_amount"]
    if results.several_currencies:
        costs = {}
    rows = [
        (
            f"{row.criterion}*" if row.in_sample else row.criterion,
            format_threshold(row.threshold),
            format_number(row.alerts),
            format_number(row.alerts_per_day, 1),
            format_percent(row.precision),
            format_percent(row.recall),
            *(format_amount(getattr(row, name), results.data.currency) for name in costs),
        )
        for row in iterate_rows(results.thresholds)
    ]
    head = ("criterion", "threshold", "alerts", "alerts per day", "precision", "recall",
            *costs.values())  # fmt: skip
    return Table("Results by threshold", head, rows)


def _calibration_table(results: ModelResults) -> Table:
    rows = [
        (
            f"{row.score_from:.1f} to {row.score_to:.1f}",
            format_number(row.transactions),
            format_number(row.frauds),
            format_decimal(row.mean_score),
            format_percent(row.fraud_rate),
            format_percent_interval(row.fraud_rate_low, row.fraud_rate_high),
        )
        for row in iterate_rows(results.evaluation.calibration())
        if row.transactions
    ]
    interval = confidence_interval_name(results)
    head = ("score", "transactions", "frauds", "mean score", "fraud rate", interval)
    return Table("Fraud rate by score", head, rows)


def _cards_table(results: ModelResults) -> Table:
    rows = [
        (
            format_date(day.day),
            format_number(day.candidates),
            format_number(day.compromised),
            format_number(day.hits),
            format_percent(day.precision),
            format_percent(day.max_achievable),
        )
        for day in iterate_rows(results.cards.daily)
    ]
    head = ("day", "cards", "compromised", "detected", "precision", "maximum achievable")
    return Table(f"The {results.cards.k:,} highest-scoring cards of each day", head, rows)


def _groups_table(results: ModelResults, columns: str, grouped: GroupedEvaluation) -> Table:
    interval = confidence_interval_name(results)
    weakest = _weakest_names(grouped)
    groups = list(_sort_groups(grouped, weakest))
    shown = groups[:MAX_GROUPS]
    rows = [
        _group_row(format_group_key(key) + (" (small)" if is_small(evaluation) else ""), evaluation)
        for key, evaluation in shown
    ]
    marked = [
        position for position, (key, _) in enumerate(shown) if format_group_key(key) in weakest
    ]
    rows.append(_group_row("all", grouped.overall))
    head = ("group", "transactions", "frauds", "recall", f"{interval} of recall", "precision",
            f"{interval} of precision", "average precision")  # fmt: skip
    selection = f" ({MAX_GROUPS} of {len(groups):,} groups)" if len(groups) > MAX_GROUPS else ""
    return Table(f"Recall and precision by {columns}{selection}", head, rows, marked=marked)


def _weakest_names(grouped: GroupedEvaluation) -> set[str]:
    """Return the names of the groups with the lowest recall, unless all have the same."""
    lowest = find_lowest(recalls(grouped))
    return {group.name for group in lowest.groups} if lowest and not lowest.all_equal else set()


def _sort_groups(
    grouped: GroupedEvaluation, weakest: set[str]
) -> Iterator[tuple[tuple[Any, ...], Evaluation]]:
    """Yield the groups with the lowest recall first, and other small groups last."""

    def position(
        group: tuple[tuple[Any, ...], Evaluation],
    ) -> tuple[bool, bool, float, int]:
        key, evaluation = group
        is_weakest = format_group_key(key) in weakest
        recall = 2.0 if np.isnan(evaluation.recall) else evaluation.recall
        small = is_small(evaluation) and not is_weakest
        return not is_weakest, small, recall, -evaluation.n

    yield from sorted(grouped.groups, key=position)


def _group_row(name: str, evaluation: Evaluation) -> tuple[str, ...]:
    return (
        name,
        format_number(evaluation.n),
        format_number(evaluation.n_frauds),
        format_percent(evaluation.recall),
        format_percent_interval(*evaluation.confidence_interval("recall")),
        format_percent(evaluation.precision),
        format_percent_interval(*evaluation.confidence_interval("precision")),
        format_decimal(evaluation.average_precision),
    )


def _weeks_table(results: ModelResults) -> Table:
    rows = [
        (
            format_date(week.timestamp),
            format_number(week.transactions),
            format_number(week.labelled),
            format_number(week.frauds),
            format_percent(week.fraud_rate),
            format_percent_interval(week.fraud_rate_low, week.fraud_rate_high)
            + ("" if week.reliable else ", unreliable"),
            format_decimal(week.mean_score, 4),
            format_decimal(week.p99, 4),
            format_percent(week.alert_rate),
        )
        for week in iterate_rows(results.weeks)
    ]
    head = ("week from", "transactions", "labelled", "frauds", "fraud rate",
            confidence_interval_name(results), "mean score",
            "99th percentile of scores", "alert rate")  # fmt: skip
    return Table("Scores and frauds by week", head, rows)


def _importances_table(results: ModelResults) -> Table | None:
    if not len(results.importances):
        return None
    rows = [
        (
            row.feature,
            format_decimal(row.size, 4),
            format_signed(row.mean, 4),
            format_number(row.predictions),
        )
        for row in iterate_rows(results.importances)
    ]
    head = ("feature", "mean absolute value", "mean", "predictions")
    return Table("Feature importances", head, rows)


# -- Figures --------------------------------------------------------------------------------------


def figures(results: ModelResults) -> dict[str, Figure]:
    """Return all figures of the page, by name."""
    drawn = {
        "precision_recall": _precision_recall_figure(results.evaluation),
        "roc": _roc_figure(results.evaluation),
        "thresholds": _thresholds_figure(results.evaluation),
        "calibration": _calibration_figure(results.evaluation),
        "cards": _cards_figure(results),
        "scores": _scores_figure(results),
        "rates": _rates_figure(results),
    }
    if not results.several_currencies:
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
        f"{pluralize(evaluation.alerts, 'alert')}.",
        caption="Precision, recall and alerts by threshold.",
    )


def _cost_figure(results: ModelResults) -> Figure:
    rows: Any = results.thresholds.set_index("criterion")
    best, in_use = rows.loc["lowest cost"], rows.loc["in use"]
    return draw_figure(
        lambda: plots.plot_cost(results.costs, title=""),
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


def _cards_figure(results: ModelResults) -> Figure:
    cards = results.cards
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
        caption="Mean importance over the predictions that have importances.",
    )
