"""Tables of a model's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.formatting import NO_VALUE, format_amount, format_percent
from synfin_analytics._core.html import Table
from synfin_analytics._core.metric_format import (
    METRICS,
    SHARES,
    format_difference,
    format_difference_interval,
    format_interval,
    format_metric,
)
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.metrics.evaluation import format_group_key, is_small
from synfin_analytics.reports._extremes import Group, lowest
from synfin_analytics.reports._page import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.metrics.evaluation import Evaluation, GroupedEvaluation, Threshold
    from synfin_analytics.reports.model_page import ModelReport, Settings

#: Groups of one column that are listed at most, the weakest of them.
MOST_GROUPS = 15
#: What a threshold costs, and what that consists of.
_COSTS = ("alert_cost", "missed_amount", "unrecovered_amount", "cost", "saved")


def choices(evaluation: Evaluation, settings: Settings, days: int, *, costs: bool) -> pd.DataFrame:
    """Compute what each threshold brings that is talked of; see :class:`ModelReport`.

    Parameters
    ----------
    evaluation, settings
        Of the report.
    days
        Days that alerts are spread over.
    costs
        Whether amounts have a sum: they have none in several currencies.
    """
    curve = evaluation.cost_curve(settings.cost_per_alert, settings.recovery_rate)
    curve["unrecovered_amount"] = (1 - settings.recovery_rate) * curve["caught_amount"]
    budget = settings.alerts_per_day * days
    named: dict[str, Threshold] = {
        "in use": evaluation.threshold,
        "alert budget": evaluation.threshold_for_alerts(budget),
    }
    if costs:
        named["lowest cost"] = evaluation.best_threshold(
            settings.cost_per_alert, settings.recovery_rate
        )
    rows = []
    for why, threshold in named.items():
        one = evaluation.at_threshold(threshold)
        at = curve[curve["threshold"] >= threshold.value].iloc[-1]
        rows.append(
            {
                "threshold": threshold.value,
                "why": why,
                "alerts": one.alerts,
                "alerts_per_day": one.alerts / days if days else np.nan,
                "precision": one.precision,
                "recall": one.recall,
                "false_positive_rate": one.confusion.false_positive_rate,
                **{name: at[name] if one.n and costs else np.nan for name in _COSTS},
                "chosen_here": threshold.fitted_on == evaluation.counts.fingerprint,
            }
        )
    return pd.DataFrame(rows)


def tables(report: ModelReport) -> dict[str, Any]:
    """All tables of the page, by name."""
    return {
        "metrics": _metrics(report),
        "confusion": _confusion(report.evaluation),
        "comparison": _comparison(report),
        "thresholds": _thresholds(report),
        "calibration": _calibration(report.evaluation),
        "days": _days(report),
        "groups": {what: _groups(what, one) for what, one in report.groups.items()},
        "weeks": _weeks(report),
        "importances": _importances(report),
        "versions": Table(
            "Versions", ("what", "version"), list(report.provenance.versions.items())
        ),
    }


def level(report: ModelReport) -> str:
    """Write the confidence of the report's intervals."""
    return wording.format_confidence_level(report.evaluation.confidence_level)


#: What the draws are of, in words.
_CLUSTERS = {"customer_id": "customer", "card_id": "card", "merchant_id": "merchant",
             "timestamp": "day"}  # fmt: skip


def cluster_noun(column: str) -> str:
    """Say what one value of a column is that is drawn for intervals."""
    return _CLUSTERS.get(column, column.replace("_", " "))


def clusters(report: ModelReport) -> str:
    """Say what is drawn for the intervals."""
    return f"{cluster_noun(report.settings.cluster)}s"


def _metrics(report: ModelReport) -> Table:
    rows, notes = [], []
    for one in lines(report.evaluation.summary()):
        name, meaning = METRICS[one.metric]
        drawn = report.bootstraps.get(one.metric)
        rows.append(
            (
                name,
                format_metric(one.metric, one.value),
                format_interval(one.metric, drawn.low, drawn.high) if drawn else NO_VALUE,
                format_interval(one.metric, one.value_low, one.value_high)
                if one.metric in SHARES
                else NO_VALUE,
                format_metric(one.metric, one.baseline),
                NO_VALUE if pd.isna(one.k) else f"{one.k:,} of {one.n:,}",
            )
        )
        notes.append(f"{meaning}; {one.note}" if one.note else meaning)
    sure = f"{level(report)} interval"
    head = ("metric", "value", f"{sure}, {clusters(report)} drawn", f"{sure}, payments independent",
            "without a model", "counts")  # fmt: skip
    return Table(f"Metrics of {report.name} {report.version}", head, rows, notes)


def _confusion(one: Evaluation) -> Table:
    count, of = wording.format_number, one.confusion
    rows = [("fraud", count(of.tp), count(of.fn)), ("genuine", count(of.fp), count(of.tn))]
    return Table("Confusion: payments by truth and by alert", ("truth", "alert", "no alert"), rows)


def _comparison(report: ModelReport) -> Table | None:
    if not isinstance(report.comparison, Comparison):
        return None
    compared, found = report.comparison, report.comparison.to_frame()
    theirs, ours = compared.evaluations
    rows = []
    for name in found["metric"].unique():
        of = found[found["metric"] == name].set_index("model")
        rows.append(
            (
                METRICS[name][0],
                format_metric(name, of.loc[ours, "value"]),
                format_metric(name, of.loc[theirs, "value"]),
                format_metric(name, of.loc[ours, "baseline"]),
                format_difference(name, of.loc[ours, "difference"]),
                format_difference_interval(
                    name, *of.loc[ours, ["difference_low", "difference_high"]]
                ),
                verdict(of.loc[ours]),
            )
        )
    head = ("metric", ours, theirs, "without a model", "difference",
            f"{level(report)} interval of it", "reading")  # fmt: skip
    return Table(f"{ours} beside {theirs}, on the same payments", head, rows, text_columns=(0, 6))


def verdict(row: Any) -> str:
    """Say whether the rows tell two models apart."""
    low, high = float(row["difference_low"]), float(row["difference_high"])
    if np.isnan(low) or np.isnan(high):
        return "not defined"
    return "better" if low > 0 else "worse" if high < 0 else "no clear difference"


def _thresholds(report: ModelReport) -> Table:
    costs = {
        "alert_cost": "cost of alerts",
        "missed_amount": "missed fraud",
        "unrecovered_amount": "caught, not recovered",
        "cost": "cost",
        "saved": "saved",
    }
    if report.settings.recovery_rate == 1:
        del costs["unrecovered_amount"]
    if report.several_currencies:
        costs = {}
    rows = [
        (
            f"{one.why}*" if one.chosen_here else one.why,
            wording.format_threshold(one.threshold),
            wording.format_number(one.alerts),
            wording.format_number(one.alerts_per_day, 1),
            format_percent(one.precision),
            format_percent(one.recall),
            *(format_amount(getattr(one, name), report.facts.currency) for name in costs),
        )
        for one in lines(report.thresholds)
    ]
    head = ("choice", "threshold", "alerts", "alerts a day", "precision", "recall",
            *costs.values())  # fmt: skip
    return Table("Thresholds, and what they bring", head, rows)


def _calibration(one: Evaluation) -> Table:
    rows = [
        (
            f"{part.score_from:.1f} to {part.score_to:.1f}",
            wording.format_number(part.transactions),
            wording.format_number(part.frauds),
            wording.format_decimal(part.mean_score),
            format_percent(part.fraud_rate),
            wording.format_percent_interval(part.fraud_rate_low, part.fraud_rate_high),
        )
        for part in lines(one.calibration())
        if part.transactions
    ]
    head = ("score", "payments", "frauds", "mean score", "fraud rate", "interval")
    return Table("Fraud rate by score", head, rows)


def _days(report: ModelReport) -> Table:
    rows = [
        (
            wording.format_date(day.day),
            wording.format_number(day.candidates),
            wording.format_number(day.compromised),
            wording.format_number(day.hits),
            format_percent(day.precision),
            format_percent(day.max_achievable),
        )
        for day in lines(report.cards.daily)
    ]
    head = ("day", "cards", "compromised", "found", "precision", "ceiling")
    return Table(f"The first {report.cards.k:,} cards of each day", head, rows)


def recalls(grouped: GroupedEvaluation) -> list[Group]:
    """Recall of each group: frauds that were found."""
    return [
        Group(
            format_group_key(key),
            one.confusion.tp,
            one.n_frauds,
            *one.confidence_interval("recall"),
            one.n_frauds,
        )
        for key, one in grouped.groups
    ]


def weakest_names(grouped: GroupedEvaluation) -> set[str]:
    """Names of the groups with the lowest recall."""
    found = lowest(recalls(grouped))
    return {group.name for group in found.first} if found and not found.alike else set()


def weakest_first(grouped: GroupedEvaluation) -> Iterator[tuple[tuple[Any, ...], Evaluation]]:
    """Put the groups with the lowest recall first, and other small groups last."""
    first = weakest_names(grouped)

    def place(one: tuple[tuple[Any, ...], Evaluation]) -> tuple[bool, bool, float, int]:
        recall, weakest = one[1].recall, format_group_key(one[0]) in first
        small = is_small(one[1]) and not weakest
        return not weakest, small, 2.0 if np.isnan(recall) else recall, -one[1].n

    yield from sorted(grouped.groups, key=place)


def _groups(what: str, grouped: GroupedEvaluation) -> Table:
    groups = list(weakest_first(grouped))
    rows = [
        _group(format_group_key(key) + (" (small)" if is_small(one) else ""), one)
        for key, one in groups[:MOST_GROUPS]
    ]
    shown = f", the {MOST_GROUPS} weakest of {len(groups):,}" if len(groups) > MOST_GROUPS else ""
    head = ("group", "payments", "frauds", "recall", "its interval", "precision",
            "interval of that", "average precision")  # fmt: skip
    worst = weakest_names(grouped)
    marked = frozenset(
        at for at, (key, _) in enumerate(groups[:MOST_GROUPS]) if format_group_key(key) in worst
    )
    rows.append(_group("all", grouped.overall))
    return Table(f"Recall and precision by {what}{shown}", head, rows, marked=marked)


def _group(name: str, one: Evaluation) -> tuple[str, ...]:
    return (
        name,
        wording.format_number(one.n),
        wording.format_number(one.n_frauds),
        format_percent(one.recall),
        wording.format_percent_interval(*one.confidence_interval("recall")),
        format_percent(one.precision),
        wording.format_percent_interval(*one.confidence_interval("precision")),
        wording.format_decimal(one.average_precision),
    )


def _weeks(report: ModelReport) -> Table:
    rows = [
        (
            wording.format_date(week.timestamp),
            wording.format_number(week.transactions),
            wording.format_number(week.labelled),
            wording.format_number(week.frauds),
            format_percent(week.fraud_rate),
            wording.format_percent_interval(week.fraud_rate_low, week.fraud_rate_high)
            + (", rough" if not week.reliable else ""),
            wording.format_decimal(week.mean_score, 4),
            wording.format_decimal(week.p99, 4),
            format_percent(week.alert_rate),
        )
        for week in lines(report.weeks)
    ]
    head = ("week from", "payments", "labelled", "frauds", "fraud rate", "interval", "mean score",
            "99% score below", "alerts")  # fmt: skip
    return Table("Scores and frauds by week", head, rows)


def _importances(report: ModelReport) -> Table | None:
    if not len(report.importances):
        return None
    rows = [
        (one.feature, wording.format_decimal(one.size, 4), wording.format_signed(one.mean, 4),
         wording.format_number(one.predictions))
        for one in lines(report.importances)
    ]  # fmt: skip
    head = ("feature", "mean of absolute values", "mean", "predictions")
    return Table("Feature importances", head, rows)
