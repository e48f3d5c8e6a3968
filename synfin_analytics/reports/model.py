"""The model report: performance, comparison, thresholds, calibration, groups and stability."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from synfin_analytics._core.arguments import check_string
from synfin_analytics._core.dates import parse_range
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._clusters import MIN_RELIABLE as MIN_CLUSTERS
from synfin_analytics.metrics.evaluation import Threshold, check_threshold
from synfin_analytics.metrics.topk import check_k
from synfin_analytics.reports import _model_exhibits as exhibits
from synfin_analytics.reports import _model_text as text
from synfin_analytics.reports._extremes import MIN_FRAUDS
from synfin_analytics.reports._groups import By, check_grouping
from synfin_analytics.reports._model_results import (
    ModelComputation,
    ModelResults,
    Settings,
    infer_threshold,
    open_session,
)
from synfin_analytics.reports._page import Finding, Report, versions_table
from synfin_analytics.reports.provenance import Provenance, format_bound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound


@dataclass(frozen=True, eq=False, repr=False)
class ModelReport(ModelResults, Report):
    """Report on a model, created by :func:`model_report`; it displays itself in a notebook.

    Attributes
    ----------
    name, version
        The model.
    data
        What the report is computed from: period, counts, labels and their delay.
    evaluation
        All metrics, at the threshold in use.
    bootstraps
        Their bootstrap intervals, by metric.
    comparison
        Comparison with another model on the transactions that both scored; or the reason why
        there is none; or None.
    thresholds
        A row for each threshold of interest: ``threshold``, ``criterion``, ``alerts``,
        ``alerts_per_day``, ``precision``, ``recall``, ``false_positive_rate``, ``cost`` (the sum of
        ``alert_cost``, ``missed_amount`` and ``unrecovered_amount``), ``saved``, and whether it was
        chosen ``in_sample``: on the transactions of this report. Costs are NaN where the amounts
        are in several currencies.
    cards, cards_interval
        Card precision@k, and its interval from resampling cards.
    groups
        Evaluation by group, for each grouping.
    weeks
        Scores and frauds by week.
    importances
        Means of the stored feature importances.
    settings
        Costs, alert budget and resampling.
    notes
        Sentences of the caller, as on how the model was trained.
    provenance, created_at
        How to reproduce the report, and when it was created.
    """

    notes: tuple[str, ...]
    provenance: Provenance
    created_at: dt.datetime

    _template: ClassVar[str] = "model.html.j2"

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Model report: {self.name} {self.version}"

    @property
    def findings(self) -> list[Finding]:
        """Sentences of the summary, each with the number that supports it."""
        return list(text.findings(self))

    @property
    def caveats(self) -> list[str]:
        """What the numbers cannot show."""
        return list(text.caveats(self))

    def _context(self) -> Mapping[str, object]:
        return {
            "tables": exhibits.tables(self) | {"versions": versions_table(self.provenance)},
            "figures": exhibits.figures(self),
            "data": text.describe_data(self, self.notes),
            "recall_by_group": text.describe_recall_by_group(self),
            "cards_interval": text.describe_cards_interval(self),
            "cost_without_alerts": text.cost_without_alerts(self),
            "min_frauds": MIN_FRAUDS,
            "min_clusters": MIN_CLUSTERS,
        }


def model_report(
    model_name: str,
    model_version: str,
    *,
    compare_with: tuple[str, str] | None = None,
    by: By = None,
    start: Bound = None,
    end: Bound = None,
    session: Session | None = None,
    threshold: float | Threshold | None = None,
    alerts_per_day: int = 20,
    cost_per_alert: float = 5.0,
    recovery_rate: float = 1.0,
    entity: str = "customer_id",
    cluster: str = "customer_id",
    n_resamples: int = 1000,
    seed: int = 0,
    confidence_level: float = 0.95,
    notes: Sequence[str] = (),
) -> ModelReport:
    """Report on a model, from its stored predictions and their labels.

    Parameters
    ----------
    model_name, model_version
        The model.
    compare_with
        Name and version of another model, compared on the transactions that both scored.
    by
        Columns of ``transactions`` to compare groups of, as ``["channel", "country"]``; a tuple of
        columns forms groups of both. By default two columns with few values; ``[]`` for none.
    start, end
        Period of the transactions: from ``start`` on and before ``end``. A date without a time is
        its midnight UTC, so that ``end="2026-02-01"`` excludes the 1st of February.
    session
        Where to read; by default a session of :func:`get_db_manager` that sees one snapshot of the
        database.
    threshold
        A score at the threshold or above is an alert. By default the threshold that the stored
        predictions are consistent with, and 0.5 if there is none.
    alerts_per_day
        How many alerts, or cards, can be reviewed in a day.
    cost_per_alert, recovery_rate
        Cost of reviewing an alert, in the currency of the amounts, and the share of a detected
        fraud's value that is recovered.
    entity, cluster
        Columns of what is ranked by day, and of what the bootstrap resamples.
    n_resamples, seed, confidence_level
        Number of resamples, seed of their generator, confidence level of all intervals.
    notes
        Sentences to add, as on how the model was trained.

    Returns
    -------
    ModelReport
        ``.save("report.html")`` writes the page; its numbers are attributes.

    Raises
    ------
    NotFoundError
        The model has no predictions, or a column does not exist; the message names similar ones.
    ArgumentError
        No prediction is in the period, no prediction has a score, or a column of ``by`` identifies
        a person.

    Examples
    --------
    >>> import datetime as dt
    >>> from synfin_analytics import get_db_manager, get_db_session, load_df, simulate
    >>> get_db_manager().create_all_tables()
    >>> world = simulate(30, 20, days=30, start=dt.date(1998, 1, 1))
    >>> df = world.transactions
    >>> predictions = df[["transaction_id"]].assign(
    ...     model_name="amount",
    ...     model_version="1.0",
    ...     fraud_probability=(df["amount"] / 500).clip(upper=1),
    ...     prediction=df["amount"] >= 100,
    ...     ground_truth=df["is_fraud"],
    ... )
    >>> with get_db_session() as session:
    ...     for table, df in [*world.to_dict().items(), ("model_predictions", predictions)]:
    ...         _ = load_df(df, table, session=session)
    ...     report = model_report("amount", "1.0", by=[], n_resamples=50, session=session)
    ...     session.rollback()
    >>> report.evaluation.threshold.value  # inferred from the stored predictions
    0.2
    >>> report.summary_text()[4]
    'The scores sum to 79.5 expected frauds; 6 occurred.'
    """
    if hasattr(model_name, "columns"):
        raise ArgumentError(
            "`model_name` must be the name of a model whose predictions are in the database; got "
            f"{type(model_name).__name__}. Load the scores of a frame first, with "
            'load_df(df, "model_predictions"), or evaluate the frame with evaluate(df, ...).'
        )
    model_name = check_string(model_name, "model_name", example="rf")
    model_version = check_string(model_version, "model_version", example="1.0")
    check_k(alerts_per_day)
    period = parse_range(start, end)
    groupings = None if by is None else check_grouping(by)
    fixed_threshold = None if threshold is None else check_threshold(threshold)
    values: dict[str, tuple[Any, Any]] = {
        "compare_with": (compare_with, None),
        "by": (groupings, None),
        "start": (format_bound(start), None),
        "end": (format_bound(end), None),
        "threshold": (None if fixed_threshold is None else fixed_threshold.value, None),
        "alerts_per_day": (alerts_per_day, 20),
        "cost_per_alert": (cost_per_alert, 5.0),
        "recovery_rate": (recovery_rate, 1.0),
        "entity": (entity, "customer_id"),
        "cluster": (cluster, "customer_id"),
        "n_resamples": (n_resamples, 1000),
        "seed": (seed, 0),
        "confidence_level": (confidence_level, 0.95),
    }
    options = {name: value for name, (value, default) in values.items() if value != default}
    model = (model_name, model_version)
    with open_session(session) as session:
        computation = ModelComputation(session, model, period, confidence_level, cluster)
        if fixed_threshold is None:
            used_threshold, source = infer_threshold(computation.data)
        else:
            used_threshold, source = fixed_threshold, "specified for this report"
        settings = Settings(
            alerts_per_day, cost_per_alert, recovery_rate, entity, cluster, n_resamples, seed,
            source,
        )  # fmt: skip
        return ModelReport(
            **computation.compute(used_threshold, settings, compare_with, groupings),
            notes=tuple(notes),
            provenance=Provenance.from_call(
                session, computation.query, "model_report", model, options
            ),
            created_at=dt.datetime.now(dt.UTC),
        )
