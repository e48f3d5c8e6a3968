"""What a model's report says in sentences; each follows from numbers that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.formatting import format_amount, format_percent, pluralize
from synfin_analytics._core.metric_format import (
    SHARES,
    format_difference,
    format_difference_interval,
    format_interval,
)
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.reports import _model_tables as told
from synfin_analytics.reports._extremes import (
    FEW,
    Extreme,
    Group,
    caveat,
    highest,
    lowest,
    words,
)
from synfin_analytics.reports._page import Finding, lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.reports.model_page import ModelReport


def findings(report: ModelReport) -> Iterator[Finding]:
    """Sentences of the summary, each with the number that it follows from."""
    if not report.evaluation.n:
        yield Finding(
            "labelled payments", 0.0, "0",
            f"None of the {pluralize(report.facts.predictions, 'prediction')} has a label yet, so "
            "the "
            "model cannot be evaluated.", "data",
        )  # fmt: skip
    else:
        yield from _at_threshold(report)
        yield _ranking(report)
        if isinstance(report.comparison, Comparison):
            yield _compared(report, report.comparison)
        yield from _money(report)
        yield _calibrated(report)
        yield _cards(report)
        yield from _weak(report)
    yield from _drift(report)


def _interval(report: ModelReport, metric: str) -> str:
    """Write the interval of draws, or why there is none; shares have one without draws, too."""
    drawn, noun = report.bootstraps[metric], told.cluster_noun(report.settings.cluster)
    level, low, high = told.level(report), drawn.low, drawn.high
    if np.isnan(low) and metric in SHARES:
        low, high = report.evaluation.confidence_interval(metric)
        return (
            f"{level} interval {format_interval(metric, low, high)}, payments taken as independent"
        )
    if metric not in SHARES and report.facts.fraud_clusters < 2:
        return f"no interval: the frauds are of {pluralize(report.facts.fraud_clusters, noun)}"
    if np.isnan(low):
        return _no_interval(drawn, noun)
    rough = "" if drawn.reliable else ", rough"
    return f"{level} interval {format_interval(metric, low, high)}{rough}"


def _no_interval(drawn: Bootstrap, noun: str) -> str:
    if drawn.n_informative < 2:
        return f"no interval: fewer than 2 {noun}s {drawn.condition}"
    if not len(drawn.values):
        return f"no interval: it is not defined in any draw of {noun}s"
    return f"no interval: it is the same in all draws of {noun}s"


def _at_threshold(report: ModelReport) -> Iterator[Finding]:
    of = report.evaluation.confusion
    frauds, alerts = of.tp + of.fn, of.tp + of.fp
    sentence = f"It found {of.tp:,} of {pluralize(frauds, 'fraud')}"
    if frauds:
        sentence += f" ({_interval(report, 'recall')})."
    else:
        sentence += ": no payment was fraud, so nothing could be found."
    yield Finding("recall", of.recall, format_percent(of.recall), sentence, "metrics")
    sentence = f"Of its {pluralize(alerts, 'alert')} {of.tp:,} {_were(of.tp)} fraud"
    if alerts:
        sentence += (
            f" ({_interval(report, 'precision')}); of alerts at random it would be "
            f"{format_percent(of.prevalence)}."
        )
    else:
        sentence = "It raised no alert at its threshold: its precision is not defined."
    yield Finding("precision", of.precision, format_percent(of.precision), sentence, "metrics")


def _ranking(report: ModelReport) -> Finding:
    one = report.evaluation
    value, chance = one.average_precision, one.baseline("average_precision")
    if np.isnan(value):
        sentence = "Without a fraud among the payments, no ranking of them is good or bad."
    else:
        sentence = (
            f"Over all thresholds, its average precision is {wording.format_decimal(value)} "
            f"({_interval(report, 'average_precision')}); without a model it would be "
            f"{wording.format_decimal(chance)}."
        )
    return Finding("average precision", value, wording.format_decimal(value), sentence, "metrics")


def _compared(report: ModelReport, comparison: Comparison) -> Finding:
    theirs, ours = comparison.evaluations
    found = comparison.to_frame().set_index(["metric", "model"])
    row: Any = found.loc[("average_precision", ours)]
    value = float(row["difference"])
    shown = format_difference("average_precision", value)
    if np.isnan(value):
        sentence = f"It cannot be compared with {theirs}: no ranking is defined."
    else:
        ends = format_difference_interval(
            "average_precision", float(row["difference_low"]), float(row["difference_high"])
        )
        reading = {
            "better": f"it ranks better than {theirs}",
            "worse": f"it ranks worse than {theirs}",
        }.get(
            told.verdict(row),
            f"the difference from {theirs} is not significant on these payments",
        )
        sentence = (
            f"Its average precision differs from that of {theirs} by {shown} "
            f"({told.level(report)} interval {ends}): {reading}."
        )
    return Finding(f"beside {theirs}", value, shown, sentence, "comparison")


def cost_without_alerts(report: ModelReport) -> str:
    """Write what the fraud costs if there is no alert at all; "" where amounts have no sum."""
    use = report.thresholds.iloc[0]
    known = not report.several_currencies and report.evaluation.n
    return format_amount(float(use["cost"] + use["saved"]), report.facts.currency) if known else ""


def _money(report: ModelReport) -> Iterator[Finding]:
    if report.several_currencies:
        return
    use, currency = report.thresholds.iloc[0], report.facts.currency
    saved = float(use["saved"])

    def amount(name: str) -> str:
        return format_amount(float(use[name]), currency)

    parts = [
        f"{amount('alert_cost')} for {pluralize(int(use['alerts']), 'alert')}",
        f"{amount('missed_amount')} of missed fraud",
    ]
    if report.settings.recovery_rate < 1:
        parts.append(f"{amount('unrecovered_amount')} of fraud that was caught but not recovered")
    each = f"{wording.format_number(report.settings.cost_per_alert, 2)} {currency}".rstrip()
    sentence = (
        f"At {each} per alert, its threshold in use costs {amount('cost')}: "
        f"{wording.join_words(parts)}; no alert at all would cost {cost_without_alerts(report)}."
    )
    yield Finding("saved", saved, amount("saved"), sentence, "thresholds")


def expected_frauds(report: ModelReport) -> float:
    """Sum of the scores: how many frauds they expect."""
    counts = report.evaluation.counts
    return float((counts.score * counts.transactions).sum())


def _calibrated(report: ModelReport) -> Finding:
    expected, frauds = expected_frauds(report), report.evaluation.n_frauds
    sum_of_scores = wording.format_number(expected, 1)
    sentence = f"Its scores sum to {sum_of_scores} expected frauds; {frauds:,} occurred."
    return Finding("expected frauds", expected, sum_of_scores, sentence, "calibration")


def cards_interval(report: ModelReport) -> str:
    """Write the interval of card precision@k, or why there is none."""
    cards, drawn = report.cards, report.cards_interval
    if not cards.daily["compromised"].sum():
        return "no interval: no card was compromised"
    if np.isnan(drawn.low):
        return _no_interval(drawn, "card")
    rough = "" if drawn.reliable else ", rough"
    ends = wording.format_percent_interval(drawn.low, drawn.high)
    return f"{told.level(report)} interval {ends}{rough}"


def _cards(report: ModelReport) -> Finding:
    cards = report.cards
    sentence = (
        f"Of the {cards.k:,} cards a day with the highest scores, {format_percent(cards.value)} "
        f"were compromised ({cards_interval(report)}); a perfect ranking would have reached "
        f"{format_percent(cards.max_achievable)}."
    )
    return Finding(
        f"card precision@{cards.k}", cards.value, format_percent(cards.value), sentence, "days"
    )


def weakest(report: ModelReport) -> dict[str, str]:
    """For each grouping, say where the model finds least, and how far groups are apart."""
    said = {}
    for what, grouped in report.groups.items():
        groups = told.recalls(grouped)
        found = lowest(groups)
        if found is None:
            said[what] = "Fewer than two groups have frauds, so their recall cannot be compared."
            continue
        sentence = f"{_least(what, found, report)}."
        sentence += caveat(found, "recall is lowest in")
        apart, low, high = grouped.difference("recall")
        if not np.isnan(low):
            sentence += (
                f" Between groups with at least {FEW} frauds and {FEW} genuine payments, recall "
                f"differs by up to {wording.format_number(100 * apart, 1)} percentage points "
                f"(interval {wording.format_number(100 * low, 1)} to "
                f"{wording.format_number(100 * high, 1)}, not corrected for having picked these "
                "two)."
            )
        without = sum(not group.whole for group in groups)
        if without:
            sentence += f" {pluralize(without, 'group')} {_have(without)} no fraud."
        said[what] = sentence
    return said


def _least(what: str, found: Extreme, report: ModelReport) -> str:
    if found.alike:
        return (
            f"It finds the same share in all {pluralize(found.known, 'group')} of {what}: "
            f"{format_percent(report.evaluation.recall)}"
        )
    return f"It finds least where {what} is {words(found.first, ' frauds')}"


def _weak(report: ModelReport) -> Iterator[Finding]:
    of_all = format_percent(report.evaluation.recall)
    for what, grouped in report.groups.items():
        found = lowest(told.recalls(grouped))
        if found is None:
            continue
        sentence = f"{_least(what, found, report)}, against {of_all} in all."
        name = f"recall, {found.first[0].name}"
        if found.alike:
            sentence, name = f"{_least(what, found, report)}.", f"recall, any {what}"
        sentence += caveat(found, "recall is lowest in")
        recall = float(found.first[0].rate)
        yield Finding(name, recall, format_percent(recall), sentence, "groups")


def _drift(report: ModelReport) -> Iterator[Finding]:
    weeks = [
        Group(f"from {wording.format_date(week.timestamp)}", int(week.frauds), int(week.labelled),
              week.fraud_rate_low, week.fraud_rate_high, int(week.frauds), rough=not week.reliable)
        for week in lines(report.weeks)
    ]  # fmt: skip
    low, high = lowest(weeks), highest(weeks)
    if low is None or high is None:
        return
    value = float(high.first[0].rate)
    if high.alike:
        sentence = f"The fraud rate was the same in all {pluralize(high.known, 'week')}"
    else:
        sentence = f"By week, the fraud rate ran from {_week(low)} to {_week(high)}"
    if any(one.first[0].small for one in (low, high)):
        sentence += f", with fewer than {FEW} frauds in a week"
    scores = report.weeks.loc[report.weeks["scored"] > 0, "mean_score"]
    sentence += (
        f"; the mean score ran from {wording.format_decimal(scores.min(), 4)} to "
        f"{wording.format_decimal(scores.max(), 4)}."
    )
    yield Finding("highest weekly fraud rate", value, format_percent(value), sentence, "drift")


def _week(extreme: Extreme) -> str:
    """Write the rate of a week, or of several with the same rate."""
    first, *others = extreme.first
    alike = f" and {pluralize(len(others), 'other week')} alike" if others else ""
    return (
        f"{format_percent(float(first.rate))} ({first.part:,} of {first.whole:,} in the week "
        f"{first.name}{alike})"
    )


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
