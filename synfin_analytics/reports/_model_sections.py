"""The sentences, tables and figures of a model report; each follows from its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics import plots
from synfin_analytics._core.formatting import (
    METRICS,
    NO_VALUE,
    SHARES,
    format_amount,
    format_confidence_level,
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
    join_words,
    pluralize,
)
from synfin_analytics._core.html import Table
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.metrics.grouped import format_group_key, is_small
from synfin_analytics.reports._figures import Figure, draw_figure
from synfin_analytics.reports._groups import (
    MIN_FRAUDS,
    Extreme,
    Group,
    describe_groups,
    describe_uncertainty,
    find_highest,
    find_lowest,
    has,
    is_,
    was,
)
from synfin_analytics.reports._page import Finding, iterate_rows
from synfin_analytics.reports._sources import currency_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.drift import Drift
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.metrics.topk import TopK
    from synfin_analytics.reports._results import ModelResults

#: Below and above these, a PSI is usually called small and large.
_SMALL_PSI, _LARGE_PSI = 0.1, 0.25
#: Groups of one grouping that are listed at most, those with the lowest recall.
_MAX_ROWS = 15
#: Below these numbers, the report warns.
_FEW_FRAUDS, _FEW_CLUSTERS, _FEW_FRAUD_CLUSTERS, _FEW_WEEKS = 100, 250, 10, 4


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
    weeks = [
        Group(f"from {format_date(week.timestamp)}", int(week.frauds), int(week.labelled),
              week.fraud_rate_low, week.fraud_rate_high, int(week.frauds),
              confidence_interval_name(results), bool(week.reliable))
        for week in iterate_rows(results.weeks)
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


# -- Data -----------------------------------------------------------------------------------------


def describe_data(results: ModelResults, notes: tuple[str, ...]) -> list[str]:
    """Return sentences about what the report is computed from."""
    data = results.data
    n_unlabelled = data.n_predictions - data.n_labelled
    parties = [
        pluralize(count, noun)
        for count, noun in ((data.n_customers, "customer"), (data.n_merchants, "merchant"))
        if count is not None
    ]
    sentences = [
        f"{describe_period(results)}{', of ' if parties else ''}{' at '.join(parties)}.",
        f"{data.n_labelled:,} {is_(data.n_labelled)} labelled, {data.n_frauds:,} of them as fraud. "
        f"{n_unlabelled:,} {is_(n_unlabelled)} not labelled and {is_(n_unlabelled)} excluded from "
        "all metrics.",
        data.delays.describe(data.n_labelled),
    ]
    if data.first_stored is not None:
        sentences.append(
            f"The predictions were stored between {data.first_stored:%Y-%m-%d %H:%M} and "
            f"{data.last_stored:%Y-%m-%d %H:%M} UTC."
        )
    return [*sentences, *notes]


def describe_period(results: ModelResults) -> str:
    """Return how many predictions there are, and of which days."""
    data = results.data
    text = pluralize(data.n_predictions, "prediction")
    if data.first is None or data.last is None:
        return text
    return f"{text} for transactions from {format_date(data.first)} to {format_date(data.last)}"


def describe_drift(results: ModelResults) -> str:
    """Return the sentence about the drift of the scores; "" if it is not known."""
    return "" if results.drift is None else _drift(results.drift).sentence


def describe_importances(results: ModelResults) -> str:
    """Return a sentence about where the importances of the features come from."""
    if results.data.first_stored is None:
        return "Importances of the features as the model itself has them."
    return "Means of the importances that are stored with the predictions (feature_importance)."


# -- Caveats --------------------------------------------------------------------------------------


def caveats(results: ModelResults) -> Iterator[str]:
    """Yield what the numbers cannot show."""
    yield from results.remarks
    yield from _label_caveats(results)
    yield from _sample_caveats(results)
    yield from ranking_caveats(results)
    yield from _threshold_caveats(results)
    yield from _comparison_caveats(results)
    yield from _amount_caveats(results)
    if results.groups:
        yield (
            "Intervals of groups assume independent transactions, and are too narrow where "
            "transactions of a customer are correlated. The weakest of many groups is in part a "
            "chance finding."
        )
    yield (
        "Declined transactions have no outcome, and losses prevented by an alert are not observed: "
        "the report covers only transactions that were let through or labelled."
    )


def _label_caveats(results: ModelResults) -> Iterator[str]:
    data = results.data
    n_unlabelled = data.n_predictions - data.n_labelled
    if n_unlabelled:
        yield (
            f"{n_unlabelled:,} of {pluralize(data.n_predictions, 'prediction')} "
            f"({format_percent(n_unlabelled / data.n_predictions)}) {has(n_unlabelled)} no label. "
            "If fraud is labelled sooner or later than genuine transactions, all rates in this "
            "report are biased."
        )
    if data.n_stored_after_label:
        yield (
            f"{data.n_stored_after_label:,} of {pluralize(data.n_labelled, 'labelled prediction')} "
            f"{was(data.n_stored_after_label)} stored after the label was available, so the "
            "database cannot prove that the model had not seen it."
        )
    if data.n_truth_outdated:
        yield (
            f"The ground truth of {pluralize(data.n_truth_outdated, 'prediction')} differs from "
            "the current label of the transaction; update the ground truth."
        )


def _sample_caveats(results: ModelResults) -> Iterator[str]:
    data, evaluation, settings = results.data, results.evaluation, results.settings
    if evaluation.n and evaluation.n_frauds in (0, evaluation.n):
        yield (
            "All labelled transactions have the same label, so metrics that compare fraud with "
            "genuine transactions are not defined."
        )
    elif 0 < data.n_frauds < _FEW_FRAUDS and not evaluation.counts.weighted:
        yield (
            f"The data contain {pluralize(data.n_frauds, 'fraud')}: each one that is "
            f"detected or missed changes recall by "
            f"{format_number(100 / data.n_frauds, 1)} percentage points."
        )
    noun = results.settings.cluster_noun
    if evaluation.n and data.n_clusters < _FEW_CLUSTERS:
        yield (
            f"{_count_clusters('labelled transactions', data.n_clusters, noun)}: with so few, "
            f"bootstrap intervals over {noun}s are somewhat too narrow."
        )
    if 0 < data.n_fraud_clusters < _FEW_FRAUD_CLUSTERS:
        yield (
            f"{_count_clusters('frauds', data.n_fraud_clusters, noun)}: with so few, intervals of "
            "metrics that depend on fraud, such as recall, are unreliable."
        )
    n_days = 0 if results.cards is None else len(results.cards.daily)
    if results.cards is not None and n_days:
        yield (
            f"The interval of card precision@{results.cards.k} comes from resampling cards: it "
            f"covers other cards on the same {pluralize(n_days, 'day')}, not other days."
        )
    n_undefined = max(bootstrap.n_undefined for bootstrap in results.bootstraps.values())
    if evaluation.n and 0 < n_undefined < settings.n_resamples:
        yield (
            f"In {n_undefined:,} of {settings.n_resamples:,} resamples a metric was not defined; "
            "its interval is based on the others."
        )
    n_weeks = len(results.weeks)
    if "stability" not in results.omitted and n_weeks < _FEW_WEEKS:
        yield f"The transactions cover {pluralize(n_weeks, 'week')}, too few to detect drift."


def _count_clusters(what: str, count: int, noun: str) -> str:
    """Return to how many customers transactions belong; without customers, how many there are."""
    if noun == "transaction":
        return f"There {is_(count)} {pluralize(count, what.removesuffix('s'))}"
    return f"The {what} belong to {pluralize(count, noun)}"


def _threshold_caveats(results: ModelResults) -> Iterator[str]:
    in_sample = results.thresholds.loc[results.thresholds["in_sample"], "criterion"].tolist()
    if results.evaluation.n and in_sample:
        yield (
            f"The thresholds for {join_words(in_sample)} were chosen on the transactions that they "
            "are evaluated on, so their results are optimistic."
        )
    if "not consistent" in results.settings.threshold_source:
        threshold = format_threshold(results.evaluation.threshold.value)
        yield f"The threshold {threshold} is the {results.settings.threshold_source}."


def ranking_caveats(results: ModelResults) -> Iterator[str]:
    """Yield a sentence if the ranking is worse than by chance."""
    high = results.bootstraps["roc_auc"].high
    if np.isnan(high) and results.data.n_fraud_clusters >= _FEW_FRAUD_CLUSTERS:
        high = results.evaluation.roc_auc  # the same in all resamples
    if high < 0.5:
        roc_auc = format_decimal(results.evaluation.roc_auc)
        yield (
            f"Frauds have lower scores than genuine transactions (ROC AUC {roc_auc}): check which "
            "label means fraud, and whether a high score does."
        )


def _comparison_caveats(results: ModelResults) -> Iterator[str]:
    if isinstance(results.comparison, str):
        yield f"The models are not compared: {results.comparison}"
    if not isinstance(results.comparison, Comparison):
        return
    reference, model = results.comparison.evaluations
    n_common, n_all = (
        round(evaluation.n)
        for evaluation in (results.comparison.evaluations[model], results.evaluation)
    )
    if n_common != n_all:
        yield (
            f"{model} and {reference} are compared on the {n_common:,} labelled transactions that "
            f"both scored, not on all {n_all:,}."
        )


def _amount_caveats(results: ModelResults) -> Iterator[str]:
    data = results.data
    if results.several_currencies:
        yield (
            f"Amounts are in {join_words(currency_names(data.currencies))} and cannot be added, so "
            "no costs are computed."
        )
    elif data.n_unsuccessful:
        amount = format_amount(data.unsuccessful_amount, data.currency)
        yield (
            f"{pluralize(data.n_unsuccessful, 'fraud')} worth {amount} {was(data.n_unsuccessful)} "
            "declined or failed. This is not a loss, but is included in missed and detected fraud."
        )
    if data.currencies == (None,) and results.has_costs:
        yield "The currency of the amounts is not recorded; a single currency is assumed."


# -- Tables ---------------------------------------------------------------------------------------


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


# -- Figures --------------------------------------------------------------------------------------


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
