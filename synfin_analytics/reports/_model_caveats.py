"""What a model report is computed from, and what its numbers cannot show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.formatting import (
    METRICS,
    format_amount,
    format_date,
    format_decimal,
    format_number,
    format_percent,
    format_threshold,
    join_words,
    pluralize,
)
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.reports._groups import has, is_, was
from synfin_analytics.reports._maturity import describe_immature_weeks
from synfin_analytics.reports._sources import currency_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from synfin_analytics.reports._results import ModelResults

#: Below these numbers, the report warns.
_FEW_FRAUDS, _FEW_CLUSTERS, _FEW_FRAUD_CLUSTERS, _FEW_WEEKS = 100, 250, 10, 4


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
    yield from describe_immature_weeks(results.nowcast, "fraud rates, recall and precision")
    yield from _sample_caveats(results)
    yield from _binning_caveats(results)
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


def _binning_caveats(results: ModelResults) -> Iterator[str]:
    """Yield how much intervals may be off because a lazy engine counted scores in bins."""
    errors: dict[str, float] = {}
    for metric, bootstrap in results.bootstraps.items():
        errors[metric] = bootstrap.binning_error
    differences: dict[str, float] = {}
    if isinstance(results.comparison, Comparison):
        for metric, by_model in results.comparison.bootstraps.items():
            bounds = [bootstrap.binning_error for bootstrap in by_model.values()]
            errors[metric] = max(errors.get(metric, 0.0), *bounds)
            differences[metric] = sum(bounds)
    if not any(errors.values()):
        return
    text = (
        "The engine of the frame counted scores in bins for the bootstrap. Ends of intervals are "
        f"off by at most {_list_errors(errors)}; values without resampling and all other intervals "
        "are exact."
    )
    if any(differences.values()):
        text += (
            f" Ends of intervals of differences between the models: {_list_errors(differences)}."
        )
    yield text


def _list_errors(errors: Mapping[str, float]) -> str:
    """Return bounds by metric, rounded up."""
    return join_words(
        [f"{_round_up(error)} ({METRICS[metric][0]})" for metric, error in errors.items() if error]
    )


def _round_up(error: float) -> str:
    """Return a bound with two significant digits that is not smaller.

    Examples
    --------
    >>> _round_up(0.00121)
    '0.0013'
    """
    rounded = f"{error:.1e}"
    if float(rounded) < error:
        digits, exponent = rounded.split("e")
        rounded = f"{float(digits) + 0.1:.1f}e{exponent}"
    return f"{float(rounded):.2g}"


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
