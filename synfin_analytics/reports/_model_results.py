"""The numbers of a model report, computed from stored predictions."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy import select

from synfin_analytics._core.formatting import format_threshold
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.database.models import ModelPrediction, Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.bootstrap import METRICS
from synfin_analytics.metrics.comparison import Comparison, compare_evaluations
from synfin_analytics.metrics.evaluation import Threshold
from synfin_analytics.reports._groups import check_model, choose_grouping, describe_grouping
from synfin_analytics.reports._queries import (
    PredictionData,
    read_importances,
    read_prediction_data,
    read_weeks,
)
from synfin_analytics.repositories import ModelPredictionRepository
from synfin_analytics.repositories._prediction_counts import ScoredPredictions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.metrics.topk import TopK

DEFAULT_THRESHOLD = 0.5
#: Columns of the rows of a report: enough to compute each of its numbers again.
_COLUMNS = (
    ModelPrediction.transaction_id,
    ModelPrediction.fraud_probability,
    ModelPrediction.ground_truth,
    Transaction.timestamp,
    Transaction.customer_id,
    Transaction.merchant_id,
    Transaction.amount,
)
#: The cost of a threshold, and its components.
_COSTS = ("alert_cost", "missed_amount", "unrecovered_amount", "cost", "saved")


@dataclass(frozen=True)
class Settings:
    """The settings of a model report.

    Attributes
    ----------
    alerts_per_day
        Alerts, or cards, that can be reviewed in a day.
    cost_per_alert, recovery_rate
        As for :meth:`synfin_analytics.Evaluation.cost_curve`.
    entity, cluster
        Columns of what is ranked by day, and of what the bootstrap resamples.
    n_resamples, seed
        Of the bootstrap.
    threshold_source
        Where the threshold in use comes from, as text.
    """

    alerts_per_day: int
    cost_per_alert: float
    recovery_rate: float
    entity: str
    cluster: str
    n_resamples: int
    seed: int
    threshold_source: str


@dataclass(frozen=True, eq=False, repr=False)
class ModelResults:
    """The numbers of a model report; see :class:`synfin_analytics.ModelReport`."""

    name: str
    version: str
    data: PredictionData
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

    @property
    def several_currencies(self) -> bool:
        """Whether amounts cannot be added; an unknown currency besides another is one."""
        return len(self.data.currencies) > 1

    @property
    def costs(self) -> pd.DataFrame:
        """Cost of each threshold; see :meth:`synfin_analytics.Evaluation.cost_curve`."""
        return self.evaluation.cost_curve(self.settings.cost_per_alert, self.settings.recovery_rate)

    @property
    def expected_frauds(self) -> float:
        """Sum of the scores of the labelled transactions."""
        counts = self.evaluation.counts
        return float((counts.score * counts.transactions).sum())


@contextlib.contextmanager
def open_session(session: Session | None) -> Iterator[Session]:
    """Use a session, or one that sees a single snapshot of the database."""
    if session is not None:
        yield session
        return
    with get_db_manager().get_session() as new_session:
        new_session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield new_session


class ModelComputation:
    """Computes the numbers of a model report.

    Parameters
    ----------
    session
        Where to read.
    model
        Name and version.
    period
        Start and end of the transactions.
    confidence_level
        Of all intervals.
    cluster
        Column that the bootstrap resamples.
    """

    def __init__(
        self,
        session: Session,
        model: tuple[str, str],
        period: tuple[dt.datetime | None, dt.datetime | None],
        confidence_level: float,
        cluster: str,
    ) -> None:
        self.model = model
        self._session = session
        self._cluster = cluster
        self._options: dict[str, Any] = {
            "start": period[0], "end": period[1], "confidence_level": confidence_level,
        }  # fmt: skip
        self._repository = ModelPredictionRepository(session)
        self._rows = ScoredPredictions(session, *model, *period)
        # First, because it raises an error that names similar models if there is no such model.
        self._evaluation = self._repository.evaluate(*model, amount=True, **self._options)
        data = read_prediction_data(self._rows, cluster)
        if data is None:
            raise ArgumentError(f"{' '.join(model)} has no predictions.")
        self.data = data

    @property
    def query(self) -> Select[Any]:
        """SELECT of the rows that the report is computed from."""
        query: Any = select(*_COLUMNS)
        return self._rows.filter(query).order_by(Transaction.timestamp)

    def compute(
        self,
        threshold: Threshold,
        settings: Settings,
        compare_with: tuple[str, str] | None,
        by: Sequence[str | tuple[str, ...]] | None,
    ) -> dict[str, Any]:
        """Return the attributes of :class:`ModelResults`.

        Parameters
        ----------
        threshold
            The threshold in use.
        settings
            Further settings.
        compare_with
            Name and version of another model.
        by
            Columns to group by; None for a choice by the data.
        """
        evaluation = self._evaluation.at_threshold(threshold)
        resampling: Any = {"n_resamples": settings.n_resamples, "seed": settings.seed}
        comparison = self._compare(threshold, compare_with, resampling)
        k, entity = settings.alerts_per_day, settings.entity
        cards = evaluation.card_precision_at_k(k, entity=entity)
        return {
            "name": self.model[0],
            "version": self.model[1],
            "data": self.data,
            "evaluation": evaluation,
            "bootstraps": self._bootstrap(evaluation, comparison, resampling),
            "comparison": comparison,
            "thresholds": compare_thresholds(
                evaluation, settings, len(cards.daily), with_costs=len(self.data.currencies) < 2
            ),
            "cards": cards,
            "cards_interval": evaluation.bootstrap(
                "card_precision_at_k", entity, k=k, entity=entity, **resampling
            ),
            "groups": self._evaluate_groups(threshold, by),
            "weeks": read_weeks(self._rows, threshold.value, self._options["confidence_level"]),
            "importances": read_importances(self._rows),
            "settings": settings,
        }

    def _bootstrap(
        self,
        evaluation: Evaluation,
        comparison: Comparison | str | None,
        resampling: Mapping[str, Any],
    ) -> dict[str, Bootstrap]:
        """Resample clusters, unless the comparison has done so with the same rows."""
        name = " ".join(self.model)
        resampled = comparison if isinstance(comparison, Comparison) else None
        rows = evaluation.counts.fingerprint
        if resampled is None or resampled.evaluations[name].counts.fingerprint != rows:
            resampled = compare_evaluations(
                {name: evaluation}, cluster=self._cluster, metrics=METRICS, **resampling
            )
        return {metric: models[name] for metric, models in resampled.bootstraps.items()}

    def _compare(
        self,
        threshold: Threshold,
        other: tuple[str, str] | None,
        resampling: Mapping[str, Any],
    ) -> Comparison | str | None:
        """Compare with another model on the rows that both scored, each at its own threshold."""
        if other is None:
            return None
        other = check_model(other)
        if other == self.model:
            raise ArgumentError(
                f"`compare_with` must be another model than {' '.join(other)}; got the same."
            )
        # This raises an error that names similar models if there is no such model.
        self._repository.confusion(*other)
        other_rows = ScoredPredictions(self._session, *other, self._rows.start, self._rows.end)
        other_data = read_prediction_data(other_rows, self._cluster)
        if other_data is None:
            return f"{' '.join(other)} has no predictions in this period."
        models = (
            (other, self.model, infer_threshold(other_data)[0]),
            (self.model, other, threshold),
        )
        try:
            evaluations = {
                " ".join(model): self._repository.evaluate(
                    *model, threshold=model_threshold, common_with=[reference], **self._options
                )
                for model, reference, model_threshold in models
            }
            return compare_evaluations(
                evaluations, cluster=self._cluster, metrics=METRICS, **resampling
            )
        except ArgumentError as error:
            return str(error)

    def _evaluate_groups(
        self, threshold: Threshold, by: Sequence[str | tuple[str, ...]] | None
    ) -> dict[str, GroupedEvaluation]:
        if by is None:
            by = choose_grouping(self._session, self._rows.filter)
        return {
            describe_grouping(columns): self._repository.evaluate(
                *self.model, threshold=threshold, by=columns, **self._options
            )
            for columns in by
        }


def infer_threshold(data: PredictionData) -> tuple[Threshold, str]:
    """Return the threshold that stored predictions are consistent with, and its source as text."""
    default, low, high = DEFAULT_THRESHOLD, data.lowest_alert, data.highest_pass
    if (low is None or low >= default) and (high is None or high < default):
        return Threshold(default), "default; the stored predictions are consistent with it"
    if low is None:  # no alert, although scores are high
        return Threshold(default), "default; the stored predictions contain no alert"
    if high is None or high < low:
        source = "inferred from the stored predictions"
        return Threshold(low, source), source
    return (
        Threshold(default),
        "default; the stored predictions are not consistent with any threshold: a score of "
        f"{format_threshold(low)} is an alert, a score of {format_threshold(high)} is not",
    )


def compare_thresholds(
    evaluation: Evaluation, settings: Settings, n_days: int, *, with_costs: bool
) -> pd.DataFrame:
    """Return the results of each threshold of interest; see ``ModelReport.thresholds``.

    Parameters
    ----------
    evaluation, settings
        Of the report.
    n_days
        Days that the alerts are spread over.
    with_costs
        Whether amounts can be added: in several currencies, they cannot.
    """
    curve = evaluation.cost_curve(settings.cost_per_alert, settings.recovery_rate)
    curve["unrecovered_amount"] = (1 - settings.recovery_rate) * curve["caught_amount"]
    budget = settings.alerts_per_day * n_days
    thresholds: dict[str, Threshold] = {
        "in use": evaluation.threshold,
        "alert budget": evaluation.threshold_for_alerts(budget),
    }
    if with_costs:
        thresholds["lowest cost"] = evaluation.best_threshold(
            settings.cost_per_alert, settings.recovery_rate
        )
    rows = []
    for criterion, threshold in thresholds.items():
        result = evaluation.at_threshold(threshold)
        costs = curve[curve["threshold"] >= threshold.value].iloc[-1]
        known = result.n and with_costs
        rows.append(
            {
                "threshold": threshold.value,
                "criterion": criterion,
                "alerts": result.alerts,
                "alerts_per_day": result.alerts / n_days if n_days else np.nan,
                "precision": result.precision,
                "recall": result.recall,
                "false_positive_rate": result.confusion.false_positive_rate,
                **{name: costs[name] if known else np.nan for name in _COSTS},
                "in_sample": threshold.fitted_on == evaluation.counts.fingerprint,
            }
        )
    return pd.DataFrame(rows)
