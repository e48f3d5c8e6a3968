"""A line about each section of a model report, for a reader who has it folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics._core.formatting import format_decimal, pluralize
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.reports._model_caveats import caveats
from synfin_analytics.reports._model_findings import findings

if TYPE_CHECKING:
    from synfin_analytics.reports._results import ModelResults

#: What the name of a finding leaves to its sentence.
_PREFIXES = {"comparison": "average precision, ", "groups": "lowest "}
#: Features that are named.
_MAX_FEATURES = 3


def briefs(results: ModelResults) -> dict[str, str]:
    """Return a line about each section: its findings, or else what is in it.

    Parameters
    ----------
    results
        The numbers of the report.
    """
    evaluation = results.evaluation
    numbers: dict[str, list[str]] = {}
    summary = list(findings(results))
    for finding in summary:
        prefix = _PREFIXES.get(finding.section, "")
        numbers.setdefault(finding.section, []).append(f"{prefix}{finding.name}: {finding.text}")
    unlabelled = "" if evaluation.n else "no labelled transactions"
    frauds = pluralize(round(evaluation.n_frauds), "fraud")
    no_comparison = "" if isinstance(results.comparison, Comparison) else "not possible"
    return {
        "summary": pluralize(len(summary), "finding"),
        "data": f"{pluralize(round(evaluation.n), 'labelled transaction')}, {frauds}",
        "performance": unlabelled,
        "gains": unlabelled or f"KS: {format_decimal(evaluation.ks)}",
        "comparison": no_comparison,
        "thresholds": unlabelled or ", ".join(results.thresholds["criterion"]),
        "calibration": unlabelled,
        "cards": "",
        "groups": ", ".join(f"by {columns}" for columns in results.groups),
        "stability": "scores and frauds by week",
        "importances": ", ".join(results.importances["feature"].head(_MAX_FEATURES)),
        "limitations": pluralize(len(list(caveats(results))), "sentence"),
        "reproducibility": "command, Python, versions",
    } | {section: "; ".join(texts) for section, texts in numbers.items()}
