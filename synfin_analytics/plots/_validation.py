"""Evaluations by name: what the pictures of one or several models take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from synfin_analytics._core.formatting import format_confidence_level, format_threshold, pluralize
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.plots._thinning import thinned
from synfin_analytics.plots.style import MOST_LINES

if TYPE_CHECKING:
    import pandas as pd

    from synfin_analytics.metrics.evaluation import Evaluation


def named(evaluations: Evaluation | Mapping[str, Evaluation]) -> dict[str, Evaluation]:
    """Give each evaluation its name; one alone has none."""
    if not isinstance(evaluations, Mapping):
        return {"": one_evaluation(evaluations)}
    if not 1 <= len(evaluations) <= MOST_LINES:
        raise ArgumentError(
            f"`evaluations` must be 1 to {MOST_LINES} models, as many as a picture can tell apart; "
            f"got {len(evaluations)}."
        )
    return {str(name): one_evaluation(one) for name, one in evaluations.items()}


def one_evaluation(given: object) -> Evaluation:
    """Refuse what is no evaluation of one model."""
    from synfin_analytics.metrics.evaluation import Evaluation

    if not isinstance(given, Evaluation):
        raise ArgumentError(
            "A picture of a model must be given what evaluate returned (several of them in a dict, "
            f"by name); got {type(given).__name__}."
        )
    return given


def curves(evaluations: Mapping[str, Evaluation]) -> pd.DataFrame:
    """Put their curves one below the other; those of several say of which model they are."""
    import pandas as pd

    found = []
    for name, one in evaluations.items():
        curve = one.curve()
        names = ("precision", "recall", "false_positive_rate")
        rates = [curve[rate].to_numpy() for rate in names]
        in_use = int((curve["threshold"] >= float(one.threshold)).sum()) - 1
        points = thinned(rates, [1.0, 1.0, 1.0], keep=[in_use])
        curve = curve.loc[points].reset_index(drop=True)
        if name or len(evaluations) > 1:
            curve.insert(0, "model", name)
        found.append(curve)
    return pd.concat(found, ignore_index=True)


def missing_class(evaluation: Evaluation, *, genuine: bool = False) -> str:
    """Say why there is no curve: no rows, no fraud or, where it matters, nothing genuine."""
    if not evaluation.n:
        return "no labelled transactions"
    if not evaluation.n_frauds:
        return f"no fraud among {pluralize(evaluation.n, 'transaction')}"
    if genuine and evaluation.n_frauds == evaluation.n:
        return f"nothing but fraud: {pluralize(evaluation.n, 'transaction')}"
    return ""


def at_threshold(evaluation: Evaluation) -> str:
    """Name its threshold; one that was chosen on the same rows flatters, and says so."""
    threshold = evaluation.threshold
    flatters = threshold.fitted_on == evaluation.counts.fingerprint
    return f"at threshold {format_threshold(threshold.value)}" + ", chosen on these rows" * flatters


def interval_words(evaluations: Mapping[str, Evaluation]) -> str:
    """Name the intervals by their confidence, where it is the same for all."""
    levels = {one.confidence_level for one in evaluations.values()}
    return f"{format_confidence_level(levels.pop())} intervals" if len(levels) == 1 else "intervals"
