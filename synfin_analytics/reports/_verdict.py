"""The verdict of a model report: three numbers beside what they compare with, and the concerns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import (
    METRICS,
    format_amount,
    format_metric,
    format_number,
    format_percent,
    format_threshold,
    pluralize,
)
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.reports._model_caveats import ranking_caveats
from synfin_analytics.reports._model_findings import group_findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.reports._results import ModelResults

#: Below this number of frauds, and above this share without a label, a report warns.
_FEW_FRAUDS, _MANY_UNLABELLED = 100, 0.05
#: Standard deviations by which a sum of probabilities is off by chance in 5% of samples.
_BY_CHANCE = 1.96
#: A share by which expected frauds, or a cost, may be off.
_OFF = 0.1


@dataclass(frozen=True)
class Headline:
    """A number of the verdict.

    Attributes
    ----------
    name, definition
        The metric, and what it is.
    text
        Its value.
    comparisons
        What it compares with, and the value of that: as many random alerts, and another model.
    """

    name: str
    definition: str
    text: str
    comparisons: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Concern:
    """What to worry about, and the section that says more."""

    sentence: str
    section: str


def headlines(results: ModelResults) -> list[Headline]:
    """Return recall, precision and average precision, each beside its baseline and another model.

    The other model is evaluated on the transactions that both models scored. If these are not all
    of the report, the model is shown on them, too.
    """
    evaluations: dict[str, Evaluation] = {}
    if isinstance(results.comparison, Comparison):
        (reference, other), (_, common) = results.comparison.evaluations.items()
        if common.n == results.evaluation.n:
            evaluations[reference] = other
        else:
            evaluations[f"on the {common.n:,} that both scored"] = common
            evaluations[f"{reference} on these"] = other
    return [
        Headline(
            METRICS[metric][0],
            METRICS[metric][1],
            format_metric(metric, getattr(results.evaluation, metric)),
            (
                ("random alerts", format_metric(metric, results.evaluation.baseline(metric))),
                *((name, format_metric(metric, getattr(evaluation, metric)))
                  for name, evaluation in evaluations.items()),
            ),
        )
        for metric in ("recall", "precision", "average_precision")
    ]  # fmt: skip


def concerns(results: ModelResults) -> list[Concern]:
    """Return what to worry about, the most important first."""
    if not results.evaluation.n:
        return []
    return [
        *(Concern(sentence, "performance") for sentence in ranking_caveats(results)),
        *_comparison_concerns(results),
        *_data_concerns(results),
        *_threshold_concerns(results),
        *_calibration_concerns(results),
        *(
            Concern(finding.sentence.partition(" With fewer than ")[0], finding.section)
            for finding in group_findings(results, only_below=True)
        ),
    ]


def _comparison_concerns(results: ModelResults) -> Iterator[Concern]:
    if not isinstance(results.comparison, Comparison):
        return
    reference, model = results.comparison.evaluations
    rows = results.comparison.to_frame().set_index(["metric", "model"])
    row: Any = rows.loc[("average_precision", model)]
    low, high = float(row["difference_low"]), float(row["difference_high"])
    if high < 0:
        yield Concern(f"{reference} ranks better than this model.", "comparison")
    elif not low > 0:
        yield Concern(
            f"These transactions do not show that this model ranks better than {reference}.",
            "comparison",
        )


def _data_concerns(results: ModelResults) -> Iterator[Concern]:
    evaluation, data = results.evaluation, results.data
    if evaluation.n_frauds < _FEW_FRAUDS and not evaluation.counts.weighted:
        yield Concern(
            f"The results rest on {pluralize(evaluation.n_frauds, 'fraud')}, so all intervals are "
            "wide.",
            "performance",
        )
    unlabelled = 1 - data.n_labelled / data.n_predictions
    if unlabelled > _MANY_UNLABELLED:
        yield Concern(f"{format_percent(unlabelled)} of the predictions have no label.", "data")


def _threshold_concerns(results: ModelResults) -> Iterator[Concern]:
    rows: Any = results.thresholds.set_index("criterion")
    in_use, budget = rows.loc["in use"], results.settings.alerts_per_day
    if in_use["alerts_per_day"] > budget:
        yield Concern(
            f"The threshold in use raises {format_number(float(in_use['alerts_per_day']), 1)} "
            f"alerts per day; the budget is {budget:,}.",
            "thresholds",
        )
    if "lowest cost" not in rows.index:
        return
    best, currency = rows.loc["lowest cost"], results.data.currency
    excess = float(in_use["cost"] - best["cost"])
    if not np.isnan(excess) and excess > _OFF * float(best["cost"]):
        yield Concern(
            f"The threshold in use costs {format_amount(excess, currency)} more than the best one "
            f"on these transactions, {format_threshold(float(best['threshold']))}.",
            "thresholds",
        )


def _calibration_concerns(results: ModelResults) -> Iterator[Concern]:
    expected, frauds = results.expected_frauds, results.evaluation.n_frauds
    if "calibration" in results.omitted:
        return
    counts = results.evaluation.counts
    variance = float((counts.score * (1 - counts.score) * counts.transactions).sum())
    if abs(expected - frauds) > max(_OFF * frauds, _BY_CHANCE * variance**0.5):
        yield Concern(
            f"The scores are not probabilities: they sum to {format_number(expected, 1)} expected "
            f"frauds; {frauds:,} occurred.",
            "calibration",
        )
