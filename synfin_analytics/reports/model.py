"""The report of a model: what it is worth, where it is weak, and how far one may trust that."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from synfin_analytics._core import arguments
from synfin_analytics._core.dates import parse_range
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.database.models import ModelPrediction, Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.bootstrap import METRICS
from synfin_analytics.metrics.comparison import Comparison, compare_evaluations
from synfin_analytics.metrics.evaluation import Threshold, check_threshold
from synfin_analytics.metrics.topk import check_k
from synfin_analytics.reports import _groups as groupings
from synfin_analytics.reports import _model_tables as model_tables
from synfin_analytics.reports import _queries as facts
from synfin_analytics.reports.model_page import ModelReport, Settings
from synfin_analytics.reports.provenance import Provenance, plain
from synfin_analytics.repositories import ModelPredictionRepository
from synfin_analytics.repositories._prediction_counts import ScoredPredictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound
    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.evaluation import Evaluation, GroupedEvaluation

    By = str | Sequence[str | tuple[str, ...]] | None

_AS_STORED = "as the stored predictions"


def model_report(
    model_name: str,
    model_version: str,
    compare_with: tuple[str, str] | None = None,
    by: By = None,
    *,
    session: Session | None = None,
    start: Bound = None,
    end: Bound = None,
    threshold: float | Threshold | None = None,
    alerts_per_day: int = 20,
    cost_per_alert: float = 5.0,
    recovery_rate: float = 1.0,
    card: str = "customer_id",
    cluster: str = "customer_id",
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    notes: Sequence[str] = (),
) -> ModelReport:
    """Report what a model is worth, from its stored predictions and what came true.

    Parameters
    ----------
    model_name, model_version
        Whose predictions.
    compare_with
        Name and version of another model, compared on the transactions that both know.
    by
        Columns of ``transactions`` to look for weak groups in, as ``["channel", "country"]``; a
        tuple of columns makes groups of both. By default two that have few values; ``[]`` is none.
    session
        Where to read; by default one of :func:`get_db_manager`, which sees one moment of the
        database.
    start, end
        Period of the transactions: from ``start`` on and before ``end``. A date without a time is
        its midnight UTC, so that ``end="2026-02-01"`` excludes the 1st of February.
    threshold
        A score at it or above is an alert. By default the one that the stored predictions follow,
        and 0.5 where they follow none.
    alerts_per_day
        How many alerts, or cards, can be looked at in a day.
    cost_per_alert, recovery_rate
        What it costs to look at one, in the currency of the amounts, and the share of a caught
        fraud's value that is saved.
    card, cluster
        Columns of what is ranked by day, and of what is drawn for the intervals.
    draws, seed, level
        Number of draws, seed of their generator, confidence of all intervals.
    notes
        Sentences to add, as of how the model came about.

    Returns
    -------
    ModelReport
        ``.save("report.html")`` writes the page; every number of it is in the attributes.

    Raises
    ------
    NotFoundError
        There is no prediction of that model, or no such column; the message names the nearest.
    ArgumentError
        No prediction is of these dates, predictions have no score, or a column of ``by`` tells
        who somebody is.

    Examples
    --------
    >>> report = model_report("rf", "1.0", compare_with=("logit", "1.0"), by=["channel"])
    ... # doctest: +SKIP
    >>> report.save("report.html")  # doctest: +SKIP
    """
    if hasattr(model_name, "columns"):
        raise ArgumentError(
            "`model_name` must be the name of a model whose predictions are in the database; got "
            f"{type(model_name).__name__}. Load the scores of a frame first, with "
            'load_df(frame, "model_predictions"), or evaluate the frame with evaluate(...).'
        )
    model_name = arguments.check_string(model_name, "model_name", example="rf")
    model_version = arguments.check_string(model_version, "model_version", example="1.0")
    check_k(alerts_per_day)
    period = parse_range(start, end)
    asked = {
        "compare_with": (compare_with, None),
        "by": (None if by is None else groupings.listed(by), None),
        "start": (plain(start), None),
        "end": (plain(end), None),
        "threshold": (None if threshold is None else check_threshold(threshold).value, None),
        "alerts_per_day": (alerts_per_day, 20),
        "cost_per_alert": (cost_per_alert, 5.0),
        "recovery_rate": (recovery_rate, 1.0),
        "card": (card, "customer_id"),
        "cluster": (cluster, "customer_id"),
        "draws": (draws, 1000),
        "seed": (seed, 0),
        "level": (level, 0.95),
    }
    given = {name: value for name, (value, usual) in asked.items() if value != usual}
    with opened(session) as session:
        maker = _Maker(session, (model_name, model_version), period, level, cluster)
        use, inferred = maker.threshold(threshold)
        settings = Settings(
            alerts_per_day, cost_per_alert, recovery_rate, card, cluster, draws, seed, inferred
        )
        return maker.report(use, settings, compare_with, by, given, tuple(notes))


@contextlib.contextmanager
def opened(session: Session | None) -> Iterator[Session]:
    """Use a session, or one that sees a single moment of the database."""
    if session is not None:
        yield session
        return
    with get_db_manager().get_session() as own:
        own.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        yield own


class _Maker:
    """What all parts of a report are computed from."""

    def __init__(
        self,
        session: Session,
        model: tuple[str, str],
        period: tuple[dt.datetime | None, dt.datetime | None],
        level: float,
        cluster: str,
    ) -> None:
        self.session, self.model, self.level = session, model, level
        self.period: dict[str, Any] = dict(zip(("start", "end"), period, strict=True))
        self.repository = ModelPredictionRepository(session)
        self.rows = ScoredPredictions(session, *model, *period)
        # First, for a model that is not there is told with the nearest.
        self.evaluation = self.repository.evaluate(
            *model, amount=True, confidence_level=level, **self.period
        )
        known = facts.of_predictions(self.rows, cluster)
        if known is None:
            raise ArgumentError(f"{' '.join(model)} has no predictions.")
        self.facts = known

    def threshold(self, given: float | Threshold | None) -> tuple[Threshold, str]:
        """Threshold in use, and how it was found."""
        if given is not None:
            return check_threshold(given), "It was given."
        return followed(self.facts)

    def report(
        self,
        threshold: Threshold,
        settings: Settings,
        compare_with: tuple[str, str] | None,
        by: By,
        given: Mapping[str, Any],
        notes: tuple[str, ...],
    ) -> ModelReport:
        name, version = self.model
        evaluation = self.evaluation.at_threshold(threshold)
        drawn: Any = {"n_resamples": settings.draws, "seed": settings.seed}
        comparison = self.compared(threshold, compare_with, settings.cluster, drawn)
        cards = evaluation.card_precision_at_k(settings.alerts_per_day, entity=settings.card)
        query: Any = select(*_ROW)
        where = self.rows.filter(query).order_by(Transaction.timestamp)
        words = _command(name, version)
        return ModelReport(
            name=name,
            version=version,
            facts=self.facts,
            evaluation=evaluation,
            bootstraps=self.drawn(evaluation, comparison, settings.cluster, drawn),
            comparison=comparison,
            thresholds=model_tables.choices(
                evaluation, settings, len(cards.daily), costs=len(self.facts.currencies) < 2
            ),
            cards=cards,
            cards_interval=evaluation.bootstrap(
                "card_precision_at_k", settings.card, k=settings.alerts_per_day,
                entity=settings.card, **drawn,
            ),
            groups=self.groups(threshold, by),
            weeks=facts.by_week(self.rows, threshold.value, "wilson", self.level),
            importances=facts.importances(self.rows),
            settings=settings,
            notes=notes,
            provenance=Provenance.of(
                self.session, where, "model_report", {"_name": name, "_version": version, **given},
                words,
            ),
            created_at=dt.datetime.now(dt.UTC),
        )  # fmt: skip

    def drawn(
        self,
        evaluation: Evaluation,
        comparison: Comparison | str | None,
        cluster: str,
        drawn: Mapping[str, Any],
    ) -> dict[str, Bootstrap]:
        """Draw clusters for intervals, unless the comparison has drawn them of the same rows."""
        name = " ".join(self.model)
        own = comparison if isinstance(comparison, Comparison) else None
        rows = evaluation.counts.fingerprint
        if own is None or own.evaluations[name].counts.fingerprint != rows:
            own = compare_evaluations({name: evaluation}, cluster=cluster, metrics=METRICS, **drawn)
        return {metric: one[name] for metric, one in own.bootstraps.items()}

    def compared(
        self,
        threshold: Threshold,
        other: tuple[str, str] | None,
        cluster: str,
        drawn: Mapping[str, Any],
    ) -> Comparison | str | None:
        """Compare with another model on the rows that both know, each at its own threshold."""
        if other is None:
            return None
        other = groupings.model(other)
        if other == self.model:
            raise ArgumentError(
                f"`compare_with` must be another model than {' '.join(other)}; got the same."
            )
        self.repository.confusion(*other)  # a model that is not there is told with the nearest
        theirs = facts.of_predictions(
            ScoredPredictions(self.session, *other, *self._dates), cluster
        )
        if theirs is None:
            return f"{' '.join(other)} has no prediction of these dates."
        try:
            evaluations = {
                " ".join(one): self.repository.evaluate(
                    *one,
                    threshold=at,
                    confidence_level=self.level,
                    common_with=[against],
                    **self.period,
                )
                for one, against, at in (
                    (other, self.model, followed(theirs)[0]),
                    (self.model, other, threshold),
                )
            }
            return compare_evaluations(evaluations, cluster=cluster, metrics=METRICS, **drawn)
        except ArgumentError as error:
            return str(error)

    @property
    def _dates(self) -> tuple[Bound, Bound]:
        return self.rows.start, self.rows.end

    def groups(self, threshold: Threshold, by: By) -> dict[str, GroupedEvaluation]:
        """Evaluate each group of each column, or columns."""
        if by is None:
            wanted = groupings.chosen(self.session, self.rows.filter)
        else:
            wanted = groupings.listed(by)
        return {
            groupings.named(one): self.repository.evaluate(
                *self.model,
                threshold=threshold,
                by=one,
                confidence_level=self.level,
                **self.period,
            )
            for one in wanted
        }


#: What the rows of a report hold: enough to compute each of its numbers again.
_ROW = (
    ModelPrediction.transaction_id,
    ModelPrediction.fraud_probability,
    ModelPrediction.ground_truth,
    Transaction.timestamp,
    Transaction.customer_id,
    Transaction.merchant_id,
    Transaction.amount,
)


def followed(known: facts.Predictions) -> tuple[Threshold, str]:
    """Threshold that stored predictions follow, and how it was found."""
    usual, low, high = 0.5, known.lowest_alarm, known.highest_pass
    at_usual = (low is None or low >= usual) and (high is None or high < usual)
    if at_usual:
        return Threshold(usual), "It is the usual one, and the stored predictions follow it."
    if low is None:  # no alarm, though scores are high
        return Threshold(usual), "It is the usual one: the stored predictions hold no alarm."
    if high is None or high < low:
        return Threshold(low, _AS_STORED), "It is the one that the stored predictions follow."
    return (
        Threshold(usual),
        "It is the usual one: the stored predictions follow no threshold of the score (one with "
        f"{low:.4g} is an alarm, one with {high:.4g} is none).",
    )


def _command(name: str, version: str) -> str:
    import shlex

    return f"model {shlex.join([name, version])}"
