"""What a model's report says in sentences; each follows from numbers that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics import wording
from synfin_analytics.metrics.by_group import group_name, is_small
from synfin_analytics.metrics.compare import Comparison
from synfin_analytics.metrics.told import SHARES, apart, apart_ends, ends
from synfin_analytics.reports import model_tables as told
from synfin_analytics.reports.page import Finding
from synfin_analytics.wording import percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.reports.model_page import ModelReport


def findings(report: ModelReport) -> Iterator[Finding]:
    """Sentences of the summary, each with the number that it follows from."""
    if not report.evaluation.n:
        yield Finding(
            "labelled payments", 0.0, "0",
            f"Of none of the {plural(report.facts.predictions, 'prediction')} the truth is known: "
            "nothing can be said of how good this model is.", "data",
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
    """Write the interval of draws; where all draws agree, they are too few to know better."""
    one = report.bootstraps[metric]
    low, high = one.low, one.high
    if low == high and metric in SHARES:
        low, high = report.evaluation.interval(metric)
    if low == high or np.isnan(low):
        return "no interval: too few frauds"
    return f"{told.level(report)} interval {ends(metric, low, high)}"


def _at_threshold(report: ModelReport) -> Iterator[Finding]:
    of = report.evaluation.confusion
    frauds, alerts = of.tp + of.fn, of.tp + of.fp
    sentence = f"It found {of.tp:,} of {plural(frauds, 'fraud')}"
    if frauds:
        sentence += f" ({_interval(report, 'recall')})."
    else:
        sentence += ": no payment was fraud, so nothing could be found."
    yield Finding("recall", of.recall, percent(of.recall), sentence, "metrics")
    sentence = f"Of its {plural(alerts, 'alert')} {of.tp:,} {_were(of.tp)} fraud"
    if alerts:
        sentence += (
            f" ({_interval(report, 'precision')}); of alerts at random it would be "
            f"{percent(of.prevalence)}."
        )
    else:
        sentence = "It raised no alert at its threshold: its precision is not defined."
    yield Finding("precision", of.precision, percent(of.precision), sentence, "metrics")


def _ranking(report: ModelReport) -> Finding:
    one = report.evaluation
    value, chance = one.average_precision, one.baseline("average_precision")
    if np.isnan(value):
        sentence = "Without a fraud among the payments, no ranking of them is good or bad."
    else:
        sentence = (
            f"Over all thresholds, its average precision is {wording.decimal(value)} "
            f"({_interval(report, 'average_precision')}); without a model it would be "
            f"{wording.decimal(chance)}."
        )
    return Finding("average precision", value, wording.decimal(value), sentence, "metrics")


def _compared(report: ModelReport, comparison: Comparison) -> Finding:
    theirs, ours = comparison.evaluations
    found = comparison.frame().set_index(["metric", "model"])
    row: Any = found.loc[("average_precision", ours)]
    value = float(row["difference"])
    shown = apart("average_precision", value)
    if np.isnan(value):
        sentence = f"Nothing can be said of it beside {theirs}: no ranking is defined."
    else:
        ends = apart_ends(
            "average_precision", float(row["difference_low"]), float(row["difference_high"])
        )
        reading = {
            "better": f"it ranks better than {theirs}",
            "worse": f"it ranks worse than {theirs}",
        }.get(told.verdict(row), f"these payments do not tell it apart from {theirs}")
        sentence = (
            f"Its average precision differs from that of {theirs} by {shown} "
            f"({told.level(report)} interval {ends}): {reading}."
        )
    return Finding(f"beside {theirs}", value, shown, sentence, "comparison")


def _money(report: ModelReport) -> Iterator[Finding]:
    use = report.thresholds.iloc[0]
    currency = report.facts.currency
    saved, cost = float(use["saved"]), float(use["cost"])
    shown = told.money(saved, currency)
    each = f"{wording.number(report.settings.cost_per_alert, 2)} {currency}".rstrip()
    sentence = (
        f"At {each} per alert, its threshold in use costs {told.money(cost, currency)}, alerts and "
        f"missed fraud together; no alert at all would cost {told.money(cost + saved, currency)}."
    )
    yield Finding("saved", saved, shown, sentence, "thresholds")


def expected_frauds(report: ModelReport) -> float:
    """Sum of the scores: how many frauds they announce."""
    counts = report.evaluation.counts
    return float((counts.score * counts.transactions).sum())


def _calibrated(report: ModelReport) -> Finding:
    expected, frauds = expected_frauds(report), report.evaluation.frauds
    sentence = (
        f"As probabilities its scores announce {wording.number(expected, 1)} frauds; "
        f"there {_were(frauds)} {frauds:,}."
    )
    return Finding(
        "frauds announced", expected, wording.number(expected, 1), sentence, "calibration"
    )


def _cards(report: ModelReport) -> Finding:
    cards, interval = report.cards, report.cards_interval
    ends = f"{told.level(report)} interval {wording.between(interval.low, interval.high)}"
    if interval.low == interval.high:
        ends = "no interval: too few days"
    sentence = (
        f"Of the {cards.k:,} cards a day with the highest scores, {percent(cards.value)} were "
        f"compromised ({ends}); a perfect ranking would have reached "
        f"{percent(cards.ceiling)}."
    )
    return Finding(f"card precision@{cards.k}", cards.value, percent(cards.value), sentence, "days")


def weakest(report: ModelReport) -> dict[str, str]:
    """For each grouping, say where the model finds least, and how far groups are apart."""
    said = {}
    for what, grouped in report.groups.items():
        worst = grouped.worst("recall")
        small = sum(is_small(one) for _, one in grouped.groups)
        if worst is None:
            said[what] = "No group has enough frauds for its recall to say much."
            continue
        one = dict(grouped.groups)[worst]
        sentence = (
            f"The model finds least where {what} is {group_name(worst)}: "
            f"{one.confusion.tp:,} of {plural(one.frauds, 'fraud')}, "
            f"{percent(one.recall)} (interval {wording.between(*one.interval('recall'))})."
        )
        apart, low, high = grouped.difference("recall")
        if not np.isnan(low):
            sentence += (
                f" That is {wording.number(100 * apart, 1)} percentage points less than where it "
                f"finds most (interval {wording.number(100 * low, 1)} to "
                f"{wording.number(100 * high, 1)}, as if these two had not been picked)."
            )
        if small:
            sentence += (
                f" {plural(small, 'group')} with fewer than 10 frauds or genuine payments "
                f"{'is' if small == 1 else 'are'} left out of this."
            )
        said[what] = sentence
    return said


def _weak(report: ModelReport) -> Iterator[Finding]:
    of_all = percent(report.evaluation.recall)
    for what, grouped in report.groups.items():
        worst = grouped.worst("recall")
        if worst is None or len(grouped.groups) < 2:
            continue
        one = dict(grouped.groups)[worst]
        sentence = (
            f"It finds least where {what} is {group_name(worst)}: {one.confusion.tp:,} of "
            f"{plural(one.frauds, 'fraud')} (interval {wording.between(*one.interval('recall'))}), "
            f"against {of_all} in all."
        )
        name = f"recall, {group_name(worst)}"
        yield Finding(name, one.recall, percent(one.recall), sentence, "groups")


def _drift(report: ModelReport) -> Iterator[Finding]:
    weeks = report.weeks[report.weeks["labelled"] > 0]
    if len(weeks) < 2:
        return
    low = weeks.iloc[int(weeks["fraud_rate"].argmin())]
    high = weeks.iloc[int(weeks["fraud_rate"].argmax())]
    sentence = (
        f"By week, the fraud rate ran from {percent(low['fraud_rate'])} (from "
        f"{wording.day(low['timestamp'])}) to {percent(high['fraud_rate'])} (from "
        f"{wording.day(high['timestamp'])}); the mean score from "
        f"{wording.decimal(weeks['mean_score'].min(), 4)} to "
        f"{wording.decimal(weeks['mean_score'].max(), 4)}."
    )
    value = float(high["fraud_rate"])
    yield Finding("highest weekly fraud rate", value, percent(value), sentence, "drift")


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
