"""What a model's report is computed from, and what its numbers cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.formatting import format_amount, format_percent, join_words, pluralize
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.reports import _model_tables as told
from synfin_analytics.reports._queries import currency_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.reports.model_page import ModelReport

#: Below these, the report warns.
FEW_FRAUDS, FEW_CUSTOMERS, FEW_DEFRAUDED, FEW_WEEKS = 100, 250, 10, 4


def data(report: ModelReport) -> list[str]:
    """Say what the report is computed from."""
    of = report.facts
    return [
        f"{pluralize(of.predictions, 'prediction')} of payments from "
        f"{wording.format_date(of.first)} to {wording.format_date(of.last)}, of "
        f"{pluralize(of.customers, 'customer')} at {pluralize(of.merchants, 'merchant')}.",
        f"{of.labelled:,} of them are labelled, {of.frauds:,} as fraud; "
        f"{of.predictions - of.labelled:,} are not, and are left out of every metric.",
        of.labels.sentence(of.labelled),
        f"The predictions were stored from {of.predicted_first:%Y-%m-%d %H:%M} to "
        f"{of.predicted_last:%Y-%m-%d %H:%M} UTC.",
        *report.notes,
    ]


def caveats(report: ModelReport) -> Iterator[str]:
    """Say what the numbers cannot tell."""
    yield from _labels(report)
    yield from _few(report)
    yield from _thresholds(report)
    yield from _comparison(report)
    yield from _amounts(report)
    if report.groups:
        yield (
            "Intervals of groups take payments as independent, and are too narrow where those of "
            "one customer are alike; the weakest of many groups is partly so by chance."
        )
    yield (
        "A payment that was declined has no outcome, and what an alert prevented is not seen: the "
        "report knows only what was let through or labelled."
    )


def _labels(report: ModelReport) -> Iterator[str]:
    of = report.facts
    unlabelled = of.predictions - of.labelled
    if unlabelled:
        yield (
            f"{unlabelled:,} of {pluralize(of.predictions, 'prediction')} "
            f"({format_percent(unlabelled / of.predictions)}) {_have(unlabelled)} no label. If "
            "frauds are labelled sooner or later than genuine payments, every rate here is off."
        )
    if of.after_label:
        yield (
            f"{of.after_label:,} of {pluralize(of.labelled, 'labelled prediction')} were stored "
            "after the label was known: nothing in the database proves that the model had not seen "
            "it."
        )
    if of.relabelled:
        yield (
            f"The ground truth of {pluralize(of.relabelled, 'prediction')} is not what the "
            "transaction says now: bring it up to date."
        )


def _few(report: ModelReport) -> Iterator[str]:
    of, one, settings = report.facts, report.evaluation, report.settings
    if one.n and one.n_frauds in (0, one.n):
        yield (
            "Only one class is among the labelled payments: what compares frauds with genuine "
            "payments is not defined."
        )
    elif 0 < one.n_frauds < FEW_FRAUDS:
        yield (
            f"With no more than {pluralize(one.n_frauds, 'fraud')}, a single one found or missed "
            f"moves recall by {wording.format_number(100 / one.n_frauds, 1)} percentage points."
        )
    noun = told.cluster_noun(settings.cluster)
    if one.n and of.clusters < FEW_CUSTOMERS:
        yield (
            f"The labelled payments are of {pluralize(of.clusters, noun)}: with so few, intervals "
            f"from draws of {noun}s are somewhat too narrow."
        )
    if 0 < of.fraud_clusters < FEW_DEFRAUDED:
        yield (
            f"The frauds are of {pluralize(of.fraud_clusters, noun)}: with so few, intervals of "
            f"what depends on frauds, as recall, are rough."
        )
    days = len(report.cards.daily)
    if days:
        yield (
            f"The interval of card precision@{report.cards.k} is from draws of cards: it covers "
            f"other cards on the same {pluralize(days, 'day')}, and says nothing of other days."
        )
    dropped = max(each.n_undefined for each in report.bootstraps.values())
    if one.n and 0 < dropped < settings.draws:
        yield (
            f"In {dropped:,} of {settings.draws:,} draws a metric was not defined; its interval is "
            "of the others."
        )
    if len(report.weeks) < FEW_WEEKS:
        yield f"The payments are of {pluralize(len(report.weeks), 'week')}: too few to see a drift."


def _thresholds(report: ModelReport) -> Iterator[str]:
    chosen = report.thresholds.loc[report.thresholds["chosen_here"], "why"].tolist()
    if report.evaluation.n and chosen:
        yield (
            f"The thresholds for {join_words(chosen)} were chosen on the very payments that they "
            "are reported on, and flatter."
        )
    if "no threshold" in report.settings.inferred:
        yield report.settings.inferred


def _comparison(report: ModelReport) -> Iterator[str]:
    if not isinstance(report.comparison, Comparison):
        return
    theirs, ours = report.comparison.evaluations
    shared, all_of_it = report.comparison.evaluations[ours].n, report.evaluation.n
    if shared != all_of_it:
        yield (
            f"{ours} and {theirs} are compared on the {shared:,} labelled payments that both "
            f"scored, and not on all {all_of_it:,}."
        )


def _amounts(report: ModelReport) -> Iterator[str]:
    of = report.facts
    if report.several_currencies:
        yield (
            f"Amounts are in {join_words(currency_names(of.currencies))}: they cannot be added up, "
            "so no costs are computed."
        )
    elif of.not_paid:
        yield (
            f"{pluralize(of.not_paid, 'fraud')}, worth "
            f"{format_amount(of.not_paid_amount, of.currency)}, "
            f"{'was' if of.not_paid == 1 else 'were'} declined or failed. This is no loss, though "
            "missed and caught fraud include it."
        )
    if of.currencies == (None,):
        yield "The currency of the amounts is not recorded; they are taken to be in the same one."


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
