"""Checks of what plots take, and the texts that plots of evaluations share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from synfin_analytics._core.formatting import format_confidence_level, format_threshold, pluralize
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.plots._style import MAX_LINES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from synfin_analytics.metrics.evaluation import Evaluation

ResultT = TypeVar("ResultT")


def check_evaluations(evaluations: Evaluation | Mapping[str, Evaluation]) -> dict[str, Evaluation]:
    """Return evaluations by name; a single one has the name ""."""
    if not isinstance(evaluations, Mapping):
        return {"": check_evaluation(evaluations)}
    if not 1 <= len(evaluations) <= MAX_LINES:
        raise ArgumentError(
            f"`evaluations` must be 1 to {MAX_LINES} models, as many as a plot can distinguish; "
            f"got {len(evaluations)}."
        )
    return {str(name): check_evaluation(evaluation) for name, evaluation in evaluations.items()}


def check_evaluation(evaluation: object) -> Evaluation:
    """Return the evaluation; raise an ArgumentError for anything else."""
    from synfin_analytics.metrics.evaluation import Evaluation

    source = "evaluate(...), or a dict of several results by name where a plot compares models"
    return check_result(evaluation, Evaluation, "evaluation", source)


def check_result(result: object, expected: type[ResultT], name: str, source: str) -> ResultT:
    """Return the result; raise an ArgumentError unless it comes from ``source``."""
    if not isinstance(result, expected):
        raise ArgumentError(
            f"`{name}` must be the result of {source}; got {type(result).__name__}."
        )
    return result


def check_frame(
    frame: pd.DataFrame, columns: Sequence[str], name: str, must_be: str, location: str
) -> None:
    """Raise unless ``frame`` is one with these columns.

    ``must_be`` and ``location`` complete the messages for something else and a missing column.
    """
    if not hasattr(frame, "columns"):
        raise ArgumentError(f"`{name}` must be {must_be}; got {type(frame).__name__}.")
    for column in columns:
        if column not in frame:
            raise NotFoundError("column", column, frame.columns, location=location)


def explain_no_curve(evaluation: Evaluation, *, needs_genuine: bool = False) -> str:
    """Return why a curve is not defined, or ""."""
    if not evaluation.n:
        return "no labelled transactions"
    if not evaluation.n_frauds:
        return f"no fraud among {pluralize(evaluation.n, 'transaction')}"
    if needs_genuine and evaluation.n_frauds == evaluation.n:
        return f"no genuine transaction among {pluralize(evaluation.n, 'transaction')}"
    return ""


def describe_threshold(evaluation: Evaluation) -> str:
    """Return the threshold as text, and whether it was fitted on the rows it is evaluated on."""
    threshold = evaluation.threshold
    in_sample = threshold.fitted_on == evaluation.counts.fingerprint
    return f"threshold {format_threshold(threshold.value)}" + ", fitted on this data" * in_sample


def describe_intervals(*evaluations: Evaluation) -> str:
    """Return the name of the intervals, with their confidence level if all have the same."""
    levels = {evaluation.confidence_level for evaluation in evaluations}
    return f"{format_confidence_level(levels.pop())} CI" if len(levels) == 1 else "CI"
