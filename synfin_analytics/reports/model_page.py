"""The report of a model as an object: its numbers, its words and its page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from synfin_analytics.reports import _extremes as extremes
from synfin_analytics.reports import _model_caveats as model_limits
from synfin_analytics.reports import _model_figures as model_pictures
from synfin_analytics.reports import _model_narrative as model_words
from synfin_analytics.reports import _model_tables as model_tables
from synfin_analytics.reports._page import Finding, Page

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    import pandas as pd

    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.comparison import Comparison
    from synfin_analytics.metrics.evaluation import Evaluation, GroupedEvaluation
    from synfin_analytics.metrics.topk import TopK
    from synfin_analytics.reports._queries import Predictions
    from synfin_analytics.reports.provenance import Provenance


@dataclass(frozen=True, eq=False, repr=False)
class ModelReport(Page):
    """What a model is worth; :func:`model_report` makes it. It shows itself in a notebook.

    Attributes
    ----------
    name, version
        The model.
    facts
        What is known of its predictions: period, labels and their delay.
    evaluation
        All metrics, at the threshold in use.
    bootstraps
        Their intervals from draws of customers, by metric.
    comparison
        With another model, on the rows of both; why there is none, in words; or None.
    thresholds
        A row for each threshold that is talked of: ``threshold``, ``why``, ``alerts``,
        ``alerts_per_day``, ``precision``, ``recall``, ``false_positive_rate``, ``cost`` (the sum of
        ``alert_cost``, ``missed_amount`` and ``unrecovered_amount``), ``saved`` and whether it was
        ``chosen_here``, on the rows of this report. Costs are NaN where the amounts are in several
        currencies.
    cards, cards_interval
        Card precision@k, and its interval from draws of cards.
    groups
        The model on each group, by what makes the groups.
    weeks
        Scores and frauds by week.
    importances
        Mean of the stored feature importances.
    settings
        Costs, budget and draws that were asked for.
    notes
        Sentences of the caller, as of how the model came about.
    provenance, created_at
        How to compute it again, and when it was made.
    """

    name: str
    version: str
    facts: Predictions
    evaluation: Evaluation
    bootstraps: Mapping[str, Bootstrap]
    comparison: Comparison | str | None
    thresholds: pd.DataFrame
    cards: TopK
    cards_interval: Bootstrap
    groups: Mapping[str, GroupedEvaluation]
    weeks: pd.DataFrame
    importances: pd.DataFrame
    settings: Settings
    notes: tuple[str, ...]
    provenance: Provenance
    created_at: dt.datetime

    _template: ClassVar[str] = "model.html.j2"

    @property
    def title(self) -> str:
        """What the report is about."""
        return f"Model report: {self.name} {self.version}"

    @property
    def several_currencies(self) -> bool:
        """Whether amounts cannot be added up; an unknown currency beside another is one."""
        return len(self.facts.currencies) > 1

    @property
    def costs(self) -> pd.DataFrame:
        """Cost of each threshold, see :meth:`Evaluation.cost_curve`."""
        return self.evaluation.cost_curve(self.settings.cost_per_alert, self.settings.recovery_rate)

    @property
    def findings(self) -> list[Finding]:
        """Say it in words, each sentence with the number that it follows from."""
        return list(model_words.findings(self))

    @property
    def caveats(self) -> list[str]:
        """Say what its numbers cannot tell."""
        return list(model_limits.caveats(self))

    def _sections(self) -> dict[str, Any]:
        return {
            "tables": model_tables.tables(self),
            "pictures": model_pictures.pictures(self),
            "data": model_limits.data(self),
            "weakest": model_words.weakest(self),
            "cards_interval": model_words.cards_interval(self),
            "few": extremes.FEW,
            "without": model_words.cost_without_alerts(self),
            "expected": model_words.expected_frauds(self),
        }

    def __repr__(self) -> str:
        words = "\n".join(f"- {sentence}" for sentence in self.summary_text())
        return f"{self.title}\n{words.replace(chr(160), ' ')}"


@dataclass(frozen=True)
class Settings:
    """What was asked for.

    Attributes
    ----------
    alerts_per_day
        Alerts, or cards, that can be looked at in a day.
    cost_per_alert, recovery_rate
        As for :meth:`Evaluation.cost_curve`.
    card, cluster
        Columns of what is a card, and of what belongs together in the draws.
    draws, seed
        Of the bootstrap.
    inferred
        How the threshold in use was found, in words.
    """

    alerts_per_day: int
    cost_per_alert: float
    recovery_rate: float
    card: str
    cluster: str
    draws: int
    seed: int
    inferred: str
