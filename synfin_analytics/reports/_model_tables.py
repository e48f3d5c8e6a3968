"""The tables of a model report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

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
)
from synfin_analytics._core.html import Table
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.metrics.grouped import format_group_key, is_small
from synfin_analytics.reports._groups import find_lowest
from synfin_analytics.reports._model_findings import (
    confidence_interval_name,
    read_difference,
    recalls,
)
from synfin_analytics.reports._page import iterate_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.metrics.drift import Drift
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.metrics.topk import TopK
    from synfin_analytics.reports._results import ModelResults

#: Groups of one grouping that are listed at most, those with the lowest recall.
_MAX_ROWS = 15


def tables(results: ModelResults) -> dict[str, Any]:
    """Return all tables of the page, by name."""
    return {
        "metrics": _metrics_table(results),
        "confusion": _confusion_table(results.evaluation),
        "comparison": _comparison_table(results),
        "thresholds": _thresholds_table(results),
        "calibration": _calibration_table(results),
        "cards": None if results.cards is None else _cards_table(results.cards),
        "groups": {
            columns: _groups_table(results, columns, grouped)
            for columns, grouped in results.groups.items()
        },
        "gaps": {
            columns: _gaps_table(results, columns, gaps)
            for columns, gaps in results.gaps.items()
            if len(gaps)
        },
        "weeks": _weeks_table(results),
        "gains": _gains_table(results),
        "drift": None if results.drift is None else _drift_table(results.drift),
        "importances": _importances_table(results),
    }


def _metrics_table(results: ModelResults) -> Table:
    rows, notes = [], []
    for row in iterate_rows(results.evaluation.summary()):
        if row.metric == "value_detection_rate" and not results.has_costs:
            continue  # the value of several currencies
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
    head = ("metric", "value", f"{interval} ({results.settings.cluster_noun} bootstrap)",
            f"{interval} (Wilson)", "baseline", "counts")  # fmt: skip
    return Table(f"Metrics of {results.name} {results.version}", head, rows, notes)


def _confusion_table(evaluation: Evaluation) -> Table:
    confusion = evaluation.confusion
    rows = [
        ("fraud", format_number(confusion.tp), format_number(confusion.fn)),
        ("genuine", format_number(confusion.fp), format_number(confusion.tn)),
    ]
    return Table("Confusion matrix", ("label", "alert", "no alert"), rows)


def _gains_table(results: ModelResults) -> Table:
    rows = [
        (
            format_number(row.band),
            f"{format_threshold(row.score_from)} to {format_threshold(row.score_to)}",
            format_number(row.transactions),
            format_number(row.frauds),
            format_percent(row.fraud_rate),
            format_percent_interval(row.fraud_rate_low, row.fraud_rate_high),
            format_decimal(row.lift, 1),
            format_percent(row.cumulative_share),
            format_percent(row.cumulative_fraud_share),
            format_decimal(row.ks),
        )
        for row in iterate_rows(results.gains.to_frame())
    ]
    head = ("band", "score", "transactions", "frauds", "fraud rate",
            confidence_interval_name(results), "lift", "cumulative transactions",
            "cumulative frauds", "KS")  # fmt: skip
    return Table("Gains and lift by band of the score", head, rows)


def _drift_table(drift: Drift) -> Table:
    rows = [
        (
            row.bin,
            format_number(row.reference),
            format_number(row.current),
            format_percent(row.reference_share),
            format_percent(row.current_share),
            format_decimal(row.psi),
        )
        for row in iterate_rows(drift.bins)
    ]
    head = ("score", "first half", "second half", "share of first half", "share of second half",
            "part of the PSI")  # fmt: skip
    return Table("Scores of the first and the second half of the period", head, rows)


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
    if not results.has_costs:
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


def _cards_table(cards: TopK) -> Table:
    rows = [
        (
            format_date(day.day),
            format_number(day.candidates),
            format_number(day.compromised),
            format_number(day.hits),
            format_percent(day.precision),
            format_percent(day.max_achievable),
        )
        for day in iterate_rows(cards.daily)
    ]
    head = ("day", "cards", "compromised", "detected", "precision", "maximum achievable")
    return Table(f"The {cards.k:,} highest-scoring cards of each day", head, rows)


def _groups_table(results: ModelResults, columns: str, grouped: GroupedEvaluation) -> Table:
    interval = confidence_interval_name(results)
    weakest = _weakest_names(grouped)
    groups = list(_sort_groups(grouped, weakest))
    shown = groups[:_MAX_ROWS]
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
    selection = f" ({_MAX_ROWS} of {len(groups):,} groups)" if len(groups) > _MAX_ROWS else ""
    return Table(f"Recall and precision by {columns}{selection}", head, rows, marked=marked)


def _gaps_table(results: ModelResults, columns: str, gaps: pd.DataFrame) -> Table:
    interval = confidence_interval_name(results)
    rows = [
        (
            METRICS[row.metric][0],
            f"{row.lowest_group}: {format_percent(row.lowest)}",
            f"{row.highest_group}: {format_percent(row.highest)}",
            f"{format_number(100 * row.difference, 1)} pp",
            f"{format_number(100 * row.difference_low, 1)} to "
            f"{format_number(100 * row.difference_high, 1)}",
            format_decimal(row.ratio, 2),
            format_decimal_interval(row.ratio_low, row.ratio_high, 2),
        )
        for row in iterate_rows(gaps)
    ]
    head = ("metric", "lowest", "highest", "difference", f"{interval} of the difference", "ratio",
            f"{interval} of the ratio")  # fmt: skip
    return Table(f"Gaps between groups by {columns}", head, rows, text_columns=(0, 1, 2))


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
