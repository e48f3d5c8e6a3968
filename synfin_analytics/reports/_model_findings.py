"""The findings of a model report: sentences, each with the number that supports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import (
    SHARES,
    format_amount,
    format_confidence_level,
    format_date,
    format_decimal,
    format_difference,
    format_difference_interval,
    format_interval,
    format_number,
    format_percent,
    format_percent_interval,
    join_words,
    pluralize,
)
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.metrics.grouped import format_group_key
from synfin_analytics.reports._groups import (
    MIN_FRAUDS,
    Extreme,
    Group,
    describe_groups,
    describe_uncertainty,
    find_highest,
    find_lowest,
    has,
    was,
)
from synfin_analytics.reports._maturity import describe_not_compared, select_mature
from synfin_analytics.reports._page import Finding, iterate_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.drift import Drift
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.metrics.topk import TopK
    from synfin_analytics.reports._results import ModelResults

#: Below and above these, a PSI is usually called small and large.
_SMALL_PSI, _LARGE_PSI = 0.1, 0.25


# -- Findings -------------------------------------------------------------------------------------


def findings(results: ModelResults) -> Iterator[Finding]:
    """Yield the sentences of the summary, each with the number that supports it."""
    if not results.evaluation.n:
        predictions = pluralize(results.data.n_predictions, "prediction")
        sentence = f"None of the {predictions} has a label yet, so the model cannot be evaluated."
        if results.data.n_predictions == 1:
            sentence = "The only prediction has no label yet, so the model cannot be evaluated."
        yield Finding("labelled transactions", 0.0, "0", sentence, "data")
    else:
        yield _recall(results)
        yield _precision(results)
        yield _average_precision(results)
        yield from _gains(results)
        if isinstance(results.comparison, Comparison):
            yield _comparison(results, results.comparison)
        if results.has_costs:
            yield _costs(results)
        if "calibration" not in results.omitted:
            yield _calibration(results)
        if results.cards is not None:
            yield _cards(results, results.cards)
        yield from group_findings(results)
    yield from _stability(results)
    if results.drift is not None:
        yield _drift(results.drift)


def _recall(results: ModelResults) -> Finding:
    confusion = results.evaluation.confusion
    frauds = confusion.tp + confusion.fn
    sentence = "No transaction was fraud, so there was nothing to detect."
    if frauds:
        detected = f"{round(confusion.tp):,} of {pluralize(round(frauds), 'fraud')}"
        sentence = f"The model detected {detected} ({_describe_interval(results, 'recall')})."
    value = confusion.recall
    return Finding("recall", value, format_percent(value), sentence, "performance")


def _precision(results: ModelResults) -> Finding:
    confusion = results.evaluation.confusion
    alerts, hits = confusion.tp + confusion.fp, round(confusion.tp)
    sentence = "The model raised no alert at this threshold, so its precision is not defined."
    if alerts:
        sentence = (
            f"{hits:,} of {pluralize(round(alerts), 'alert')} {was(hits)} fraud "
            f"({_describe_interval(results, 'precision')}); the expected precision of random "
            f"alerts is {format_percent(confusion.prevalence)}."
        )
    value = confusion.precision
    return Finding("precision", value, format_percent(value), sentence, "performance")


def _average_precision(results: ModelResults) -> Finding:
    value = results.evaluation.average_precision
    sentence = "No transaction was fraud, so average precision is not defined."
    if not np.isnan(value):
        baseline = results.evaluation.baseline("average_precision")
        sentence = (
            f"Average precision over all thresholds is {format_decimal(value)} "
            f"({_describe_interval(results, 'average_precision')}); the baseline without a model "
            f"is {format_decimal(baseline)}."
        )
    return Finding("average precision", value, format_decimal(value), sentence, "performance")


def _gains(results: ModelResults) -> Iterator[Finding]:
    """Yield how much fraud is in the first band, unless it is all the rows or has no fraud."""
    bands = results.gains.to_frame()
    if len(bands) < 2 or not results.evaluation.n_frauds:
        return
    first: Any = bands.iloc[0]
    value = float(first["cumulative_fraud_share"])
    sentence = (
        f"The {format_percent(first['cumulative_share'])} of the transactions with the highest "
        f"scores contain {format_percent(value)} of the frauds, "
        f"{format_decimal(first['lift'], 1)} times the share of random transactions."
    )
    yield Finding("frauds in the first band", value, format_percent(value), sentence, "gains")


def _comparison(results: ModelResults, comparison: Comparison) -> Finding:
    reference, model = comparison.evaluations
    rows = comparison.to_frame().set_index(["metric", "model"])
    row: Any = rows.loc[("average_precision", model)]
    value = float(row["difference"])
    text = format_difference("average_precision", value)
    if np.isnan(value):
        sentence = f"The comparison with {reference} is not defined, as average precision is not."
    else:
        interval = format_difference_interval(
            "average_precision", float(row["difference_low"]), float(row["difference_high"])
        )
        conclusion = {
            "better": f"the model ranks better than {reference}",
            "worse": f"the model ranks worse than {reference}",
            "not significant": f"the difference from {reference} is not significant on these "
            "transactions",
            "not defined": "its significance cannot be determined",
        }[read_difference(row)]
        sentence = (
            f"Average precision differs from that of {reference} by {text} "
            f"({confidence_interval_name(results)} {interval}): {conclusion}."
        )
    return Finding(f"difference from {reference}", value, text, sentence, "comparison")


def read_difference(row: Any) -> str:
    """Return what the interval of a difference says about the model."""
    low, high = float(row["difference_low"]), float(row["difference_high"])
    if np.isnan(low) or np.isnan(high):
        return "not defined"
    return "better" if low > 0 else "worse" if high < 0 else "not significant"


def _costs(results: ModelResults) -> Finding:
    row, currency = results.thresholds.iloc[0], results.data.currency

    def amount(name: str) -> str:
        return format_amount(float(row[name]), currency)

    parts = [
        f"{amount('alert_cost')} for {pluralize(round(row['alerts']), 'alert')}",
        f"{amount('missed_amount')} of missed fraud",
    ]
    if results.settings.recovery_rate < 1:
        parts.append(f"{amount('unrecovered_amount')} of detected fraud that was not recovered")
    per_alert = f"{format_number(results.settings.cost_per_alert, 2)} {currency}".rstrip()
    sentence = (
        f"At {per_alert} per alert, the threshold in use costs {amount('cost')}: "
        f"{join_words(parts)}; raising no alerts would cost {cost_without_alerts(results)}."
    )
    return Finding("saved", float(row["saved"]), amount("saved"), sentence, "thresholds")


def cost_without_alerts(results: ModelResults) -> str:
    """Return the cost of the fraud if no alert is raised; "" where it is not known."""
    if not results.has_costs or not results.evaluation.n:
        return ""
    row = results.thresholds.iloc[0]
    return format_amount(float(row["cost"] + row["saved"]), results.data.currency)


def _calibration(results: ModelResults) -> Finding:
    expected, frauds = results.expected_frauds, results.evaluation.n_frauds
    text = format_number(expected, 1)
    sentence = f"The scores sum to {text} expected frauds; {format_number(frauds)} occurred."
    return Finding("expected frauds", expected, text, sentence, "calibration")


def _cards(results: ModelResults, cards: TopK) -> Finding:
    sentence = (
        f"On average, {format_percent(cards.value)} of the {cards.k:,} highest-scoring cards of a "
        f"day were compromised ({describe_cards_interval(results)}); the maximum achievable is "
        f"{format_percent(cards.max_achievable)}."
    )
    name = f"card precision@{cards.k}"
    return Finding(name, cards.value, format_percent(cards.value), sentence, "cards")


def group_findings(results: ModelResults, *, only_below: bool = False) -> Iterator[Finding]:
    """Yield the lowest recall of each grouping.

    With ``only_below``, of those where the interval of a group is below the recall of all.
    """
    for columns, grouped in results.groups.items():
        groups = recalls(grouped)
        lowest = find_lowest(groups)
        below = any(group.total and group.high < results.evaluation.recall for group in groups)
        if lowest is None or (only_below and not below):
            continue
        recall = float(lowest.groups[0].rate)
        name, end = f"recall, {lowest.groups[0].name}", "."
        if lowest.all_equal:
            name = f"recall, any {columns}"
        else:
            end = f", compared with {format_percent(results.evaluation.recall)} overall."
        sentence = f"{_describe_lowest(columns, lowest, results)}{end}"
        sentence += describe_uncertainty(lowest, "recall is lowest in")
        yield Finding(name, recall, format_percent(recall), sentence, "groups")


def _stability(results: ModelResults) -> Iterator[Finding]:
    mature, n_immature = select_mature(results.weeks, results.nowcast)
    weeks = [
        Group(f"from {format_date(week.timestamp)}", int(week.frauds), int(week.labelled),
              week.fraud_rate_low, week.fraud_rate_high, int(week.frauds),
              confidence_interval_name(results), bool(week.reliable))
        for week in iterate_rows(mature)
    ]  # fmt: skip
    lowest, highest = find_lowest(weeks), find_highest(weeks)
    if lowest is None or highest is None:
        return
    value = float(highest.groups[0].rate)
    if highest.all_equal:
        sentence = f"The fraud rate was the same in all {pluralize(highest.n_groups, 'week')}"
    else:
        sentence = (
            f"The weekly fraud rate ranged from {_describe_week(lowest)} to "
            f"{_describe_week(highest)}"
        )
    if any(extreme.groups[0].small for extreme in (lowest, highest)):
        sentence += f", with fewer than {MIN_FRAUDS} frauds in a week"
    scores = results.weeks.loc[results.weeks["scored"] > 0, "mean_score"]
    low, high = format_decimal(scores.min(), 4), format_decimal(scores.max(), 4)
    sentence += f"; the weekly mean score ranged from {low} to {high}."
    if low == high:
        sentence = sentence.replace(f"ranged from {low} to {high}.", f"was {low} throughout.")
    sentence += describe_not_compared(n_immature, "week")
    yield Finding("highest weekly fraud rate", value, format_percent(value), sentence, "stability")


def _drift(drift: Drift) -> Finding:
    row: Any = drift.to_frame().iloc[0]
    value, critical = float(row["psi"]), float(row["psi_critical"])
    rule = f"less than {_SMALL_PSI} is little, and more than {_LARGE_PSI} much."
    share = format_confidence_level(1 - drift.confidence_level)
    conclusion = "strongly"
    if value <= critical:
        conclusion = "no more than by chance"
    elif value < _LARGE_PSI:
        conclusion = "little" if value < _SMALL_PSI else "moderately"
    sentence = (
        f"From the first to the second half of the period, the scores changed {conclusion}: PSI "
        f"{format_decimal(value, 4)}. Without drift, {share} of samples exceed "
        f"{format_decimal(critical, 4)}; by a rule of thumb, {rule}"
    )
    if np.isnan(critical):
        reason = "all scores are the same, or half of the period has none"
        sentence = (
            f"The drift of the scores from the first to the second half of the period cannot be "
            f"tested: {reason}."
        )
    return Finding("PSI of the scores", value, format_decimal(value, 4), sentence, "stability")


def _describe_week(extreme: Extreme) -> str:
    first, *others = extreme.groups
    tied = f" and {pluralize(len(others), 'other week')}, tied" if others else ""
    return (
        f"{format_percent(float(first.rate))} ({first.count:,} of {first.total:,} in the week "
        f"{first.name}{tied})"
    )


def describe_drift(results: ModelResults) -> str:
    """Return the sentence about the drift of the scores; "" if it is not known."""
    return "" if results.drift is None else _drift(results.drift).sentence


# -- Intervals and groups -------------------------------------------------------------------------


def confidence_interval_name(results: ModelResults) -> str:
    """Return the name of the report's confidence intervals, as ``"95% CI"``."""
    return f"{format_confidence_level(results.evaluation.confidence_level)} CI"


def _describe_interval(results: ModelResults, metric: str) -> str:
    """Return the bootstrap interval of a metric, or why there is none.

    A share has an interval without a bootstrap, too.
    """
    bootstrap, noun = results.bootstraps[metric], results.settings.cluster_noun
    name = confidence_interval_name(results)
    weighted = results.evaluation.counts.weighted
    if np.isnan(bootstrap.low) and metric in SHARES and not weighted:
        low, high = results.evaluation.confidence_interval(metric)
        return f"{name} {format_interval(metric, low, high)}, assuming independent transactions"
    if metric not in SHARES and results.data.n_fraud_clusters < 2:
        clusters = pluralize(results.data.n_fraud_clusters, noun)
        return f"no CI, as the frauds belong to {clusters}"
    if np.isnan(bootstrap.low):
        return _explain_no_interval(bootstrap, noun)
    unreliable = "" if bootstrap.reliable else ", unreliable"
    return f"{name} {format_interval(metric, bootstrap.low, bootstrap.high)}{unreliable}"


def _explain_no_interval(bootstrap: Bootstrap, noun: str) -> str:
    if bootstrap.n_informative < 2:
        return f"no CI, as fewer than 2 {noun}s {bootstrap.condition}"
    if not len(bootstrap.values):
        return "no CI, as the metric is not defined in any resample"
    return "no CI, as the metric is the same in all resamples"


def describe_cards_interval(results: ModelResults) -> str:
    """Return the interval of card precision@k, or why there is none."""
    bootstrap = results.cards_interval
    if results.cards is None or bootstrap is None:
        return ""
    if not results.cards.daily["compromised"].sum():
        return "no CI, as no card was compromised"
    if np.isnan(bootstrap.low):
        return _explain_no_interval(bootstrap, "card")
    interval = format_percent_interval(bootstrap.low, bootstrap.high)
    unreliable = "" if bootstrap.reliable else ", unreliable"
    return f"{confidence_interval_name(results)} {interval}{unreliable}"


def recalls(grouped: GroupedEvaluation) -> list[Group]:
    """Return the recall of each group."""
    interval = f"{format_confidence_level(grouped.overall.confidence_level)} CI"
    return [
        Group(
            format_group_key(key),
            round(evaluation.confusion.tp),
            round(evaluation.n_frauds),
            *evaluation.confidence_interval("recall"),
            round(evaluation.n_frauds),
            interval,
        )
        for key, evaluation in grouped.groups
    ]


def describe_recall_by_group(results: ModelResults) -> dict[str, str]:
    """For each grouping, describe the lowest recall, and how much recall differs."""
    sentences = {}
    for columns, grouped in results.groups.items():
        groups = recalls(grouped)
        lowest = find_lowest(groups)
        if lowest is None:
            sentences[columns] = "Fewer than two groups have fraud, so recall cannot be compared."
            continue
        sentence = f"{_describe_lowest(columns, lowest, results)}."
        sentence += describe_uncertainty(lowest, "recall is lowest in")
        difference, low, high = grouped.difference("recall")
        if not np.isnan(low):
            interval = f"{format_number(100 * low, 1)} to {format_number(100 * high, 1)}"
            sentence += (
                f" Among groups with at least {MIN_FRAUDS} frauds and {MIN_FRAUDS} genuine "
                f"transactions, recall differs by up to {format_number(100 * difference, 1)} "
                f"percentage points ({confidence_interval_name(results)} {interval}, not adjusted "
                "for selecting these two groups)."
            )
        n_without = sum(not group.total for group in groups)
        if n_without:
            sentence += f" {pluralize(n_without, 'group')} {has(n_without)} no fraud."
        sentences[columns] = sentence
    return sentences


def _describe_lowest(columns: str, lowest: Extreme, results: ModelResults) -> str:
    if lowest.all_equal:
        groups = pluralize(lowest.n_groups, "group")
        return (
            f"By {columns}, recall is {format_percent(results.evaluation.recall)} in all {groups}"
        )
    groups = describe_groups(lowest.groups, " frauds", label="group")
    return f"By {columns}, recall is lowest in {groups}"
