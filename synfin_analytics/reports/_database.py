"""Reports from the database: PostgreSQL aggregates, in few statements."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from typing import TYPE_CHECKING, Any, TypeVar

import narwhals as nw
import pandas as pd
from sqlalchemy import DateTime, Double, and_, cast, func, select, true
from sqlalchemy.dialects.postgresql import JSONB

from synfin_analytics._core.arguments import check_string, format_value
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dates import Period, parse_time
from synfin_analytics._core.formatting import format_threshold
from synfin_analytics.database.logging import logger
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.database.models import Merchant, ModelPrediction, Transaction, column_of
from synfin_analytics.database.schema import check_table_is_visible
from synfin_analytics.exceptions import ArgumentError, DatabaseConnectionError, QueryError
from synfin_analytics.io.read import read_df
from synfin_analytics.metrics._aggregate import Groups
from synfin_analytics.metrics._clusters import AUTO, Clusters
from synfin_analytics.metrics._triangle import (
    EARLY,
    early_label_error,
    triangles_from_counts,
)
from synfin_analytics.metrics.evaluation import Threshold
from synfin_analytics.metrics.fraud_rates import MEASURES, rates_from_counts
from synfin_analytics.metrics.nowcast import nowcast_from_triangles
from synfin_analytics.reports._frame import FramePredictions, FrameTransactions
from synfin_analytics.reports._groups import DEFAULT_COLUMNS, MAX_GROUPS, choose_first
from synfin_analytics.reports._loaded import (
    LoadedRows,
    as_read,
    describe_stored,
    fingerprint_of,
    group_columns,
    load_predictions,
    load_transactions,
)
from synfin_analytics.reports._sources import (
    QUANTILES,
    RETURNED,
    UNSUCCESSFUL,
    Knowledge,
    LabelDelays,
    PredictionData,
    cluster_noun,
    omit_for_weights,
)
from synfin_analytics.repositories import ModelPredictionRepository, TransactionRepository
from synfin_analytics.repositories._counting import (
    count_labels,
    count_rows,
    in_minor_units,
    label_columns,
    sum_money,
)
from synfin_analytics.repositories._prediction_counts import ScoredPredictions
from synfin_analytics.repositories.transactions import between, known_label

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from synfin_analytics.metrics._weights import Weight
    from synfin_analytics.metrics.drift import Drift
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.metrics.nowcast import FraudRateNowcast
    from synfin_analytics.reports._groups import Grouping
    from synfin_analytics.reports._rows import Rows
    from synfin_analytics.reports._sources import Span
    from synfin_analytics.repositories.transactions import TransactionStatistics

    #: Adds the conditions of a report's rows to a query of transactions.
    Restrict = Callable[[Select[Any]], Select[Any]]
    Range = tuple[dt.datetime | None, dt.datetime | None]

DEFAULT_THRESHOLD = 0.5
#: Columns of the rows of a report: enough to compute each of its numbers again.
_MODEL_COLUMNS = (
    ModelPrediction.transaction_id,
    ModelPrediction.fraud_probability,
    ModelPrediction.ground_truth,
    Transaction.timestamp,
    Transaction.customer_id,
    Transaction.merchant_id,
    Transaction.amount,
)
_FRAUD_COLUMNS = (
    Transaction.transaction_id,
    Transaction.timestamp,
    Transaction.customer_id,
    Transaction.merchant_id,
    Transaction.amount,
    Transaction.is_fraud,
    Transaction.fraud_type,
    Transaction.label_available_at,
)
Result = TypeVar("Result")

_SCORE = ModelPrediction.fraud_probability
_DELAY = Transaction.label_available_at - Transaction.timestamp


def compute_in_session(session: Session | None, compute: Callable[[Session], Result]) -> Result:
    """Compute in a session, or in a new one that sees a single snapshot of the database.

    If a read replica fails meanwhile, the primary computes again from the beginning.
    """
    if session is not None:
        return compute(session)
    try:
        return _compute(compute, on_primary=False)
    except (DatabaseConnectionError, QueryError) as error:
        if not error.on_replica:
            raise
        logger.info("%s Computing on the primary instead.", error)
    return _compute(compute, on_primary=True)


def _compute(compute: Callable[[Session], Result], *, on_primary: bool) -> Result:
    with get_db_manager()._read_scope(on_primary=on_primary) as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return compute(session)


# -- Models ----------------------------------------------------------------------------------------


def query_of_predictions(
    session: Session, model: tuple[str, str], period: Range, as_of: dt.datetime | None
) -> Select[Any]:
    """Return the SELECT of the stored rows that a report is computed from."""
    rows = ScoredPredictions(session, *model, *period, as_of=as_of)
    columns: Any = {column.key: column for column in _MODEL_COLUMNS}
    columns["ground_truth"] = rows.label.label("ground_truth")
    query: Any = select(*columns.values())
    return rows.filter(query).order_by(Transaction.timestamp)


class StoredPredictions:
    """The stored predictions of a model, with their transactions.

    Parameters
    ----------
    session
        Where to read.
    model
        Name and version.
    other
        Name and version of a model to compare with.
    period
        Start and end of the transactions.
    entity, cluster
        Columns of what is ranked by day, and of what the bootstrap resamples.
    confidence_level
        Of all intervals.
    weight
        Numeric column of the transactions, or the weights of labels.
    as_of
        Report only what was known at this time.
    groupings
        Columns that are grouped by; None for a choice by the data.
    """

    def __init__(
        self,
        session: Session,
        model: tuple[str, str],
        other: tuple[str, str] | None,
        period: Range,
        *,
        entity: str,
        cluster: str,
        confidence_level: float,
        weight: Weight | None = None,
        as_of: dt.datetime | None = None,
        groupings: Sequence[Grouping] | None = None,
    ) -> None:
        self._session, self._model, self._other = session, model, other
        self.day, self.cluster_noun = "timestamp", cluster_noun(cluster)
        self.missing: dict[str, str] = {}
        self.remarks: tuple[str, ...] = ()
        if weight is not None:
            self.missing, remark = omit_for_weights(weight)
            self.remarks = (remark,)
        self.name, self.version = model
        self.entity, self.cluster = entity, cluster
        self._options: dict[str, Any] = {
            "start": period[0], "end": period[1], "as_of": as_of, "weight": weight,
            "confidence_level": confidence_level, "cache": False,
        }  # fmt: skip
        self._repository = ModelPredictionRepository(session)
        self._rows = ScoredPredictions(session, *model, *period, as_of=as_of)
        self._loaded: FramePredictions | None = None
        self._counted: LoadedRows | None = None
        rows = None
        if weight is None:
            label = known_label(Transaction.is_fraud, as_of)
            names = (group_columns(groupings), entity, cluster)
            rows = load_predictions(self._rows, label, *names)
        if rows is None:
            self._count_in_statements()
        else:
            self._count_loaded(rows)
        later = self._rows.filter(_count_later(ModelPrediction.ground_truth, self._rows.label))
        self.knowledge = _read_knowledge(session, later, as_of)

    def _count_in_statements(self) -> None:
        # First, because it raises an error that names similar models if there is no such model.
        self._evaluation: Evaluation = self._repository.evaluate(
            *self._model, amount=True, **self._options
        )
        data = _read_prediction_data(self._rows, self.cluster)
        if data is None:
            raise ArgumentError(f"{' '.join(self._model)} has no predictions.")
        self.data = data

    def _count_loaded(self, rows: Rows) -> None:
        self._loaded = FramePredictions(
            rows, *self._model, confidence_level=self._options["confidence_level"], missing={}
        )
        evaluation = self._loaded.evaluate()
        stored = dataclasses.replace(self._rows, fingerprint=fingerprint_of(rows), amount=True)
        self._counted = LoadedRows(stored, evaluation.rows)
        self._evaluation = dataclasses.replace(evaluation, rows=self._counted)
        self.data = describe_stored(rows, self._loaded.data)

    def release(self) -> None:
        """Forget the rows that were read for the report."""
        if self._counted is not None:
            self._counted.release()
        self._loaded = None

    def infer_threshold(self) -> tuple[Threshold, str]:
        """Return the threshold that the predictions are consistent with, and its source."""
        return infer_threshold(self.data)

    def evaluate(self) -> Evaluation:
        """Evaluate the labelled predictions."""
        return self._evaluation

    def compare(self, threshold: Threshold) -> dict[str, Evaluation] | str | None:
        """Evaluate both models on the rows that both scored, each at its own threshold."""
        if self._other is None:
            return None
        # This raises an error that names similar models if there is no such model.
        self._repository.confusion(*self._other)
        rows = dataclasses.replace(
            self._rows, model_name=self._other[0], model_version=self._other[1]
        )
        data = _read_prediction_data(rows, self.cluster)
        if data is None:
            return f"{' '.join(self._other)} has no predictions in this period."
        models = (
            (self._other, self._model, infer_threshold(data)[0]),
            (self._model, self._other, threshold),
        )
        return {
            " ".join(model): self._repository.evaluate(
                *model,
                threshold=model_threshold,
                amount=True,
                common_with=[reference],
                **self._options,
            )
            for model, reference, model_threshold in models
        }

    def choose_groupings(self) -> list[Grouping]:
        """Return columns with several values, but few."""
        if self._loaded is not None:
            return self._loaded.choose_groupings()
        return _choose_groupings(self._session, self._rows.filter)

    def evaluate_groups(self, by: Grouping, threshold: Threshold) -> GroupedEvaluation:
        """Evaluate each group."""
        if self._loaded is not None:
            grouped = self._loaded.evaluate_groups(by, threshold)
            overall = dataclasses.replace(grouped.overall, rows=self._counted)
            return dataclasses.replace(grouped, overall=overall)
        return self._repository.evaluate(*self._model, threshold=threshold, by=by, **self._options)

    def measure_drift(self, reference: Span, current: Span) -> Drift:
        """Measure the drift of the scores between two periods."""
        if self._loaded is not None:
            return self._loaded.measure_drift(reference, current)
        return self._repository.measure_drift(
            *self._model,
            reference=reference,
            current=current,
            confidence_level=self._options["confidence_level"],
        )

    def read_weeks(self, threshold: float) -> pd.DataFrame:
        """Return scores and frauds of each week."""
        if self._loaded is not None:
            weeks = self._loaded.read_weeks(threshold)
            return as_read(weeks, ("transactions", "labelled", "frauds", "scored", "alerts"))
        return _read_weeks(self._rows, threshold, self._options["confidence_level"])

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week of the predictions."""
        return _nowcast(self._rows, self._options["confidence_level"])

    def read_importances(self) -> pd.DataFrame:
        """Return the mean of each stored importance over the predictions that have it."""
        return _read_importances(self._rows)


def check_model(model: object, other_than: tuple[str, str]) -> tuple[str, str]:
    """Return the name and version of the model to compare with, checked."""
    if not isinstance(model, (tuple, list)) or len(model) != 2:
        raise ArgumentError(
            "`compare_with` must be a name and a version, such as ('rf', '1.0'); got "
            f"{format_value(model)}."
        )
    name, version = model
    checked = (
        check_string(name, "compare_with name"),
        check_string(version, "compare_with version", example="1.0"),
    )
    if checked == other_than:
        raise ArgumentError(
            f"`compare_with` must be another model than {' '.join(checked)}; got the same."
        )
    return checked


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


# -- Transactions ----------------------------------------------------------------------------------


def query_of_transactions(period: Range, as_of: dt.datetime | None) -> Select[Any]:
    """Return the SELECT of the stored rows that a report is computed from."""
    columns: Any = {column.key: column for column in _FRAUD_COLUMNS}
    columns["is_fraud"] = known_label(Transaction.is_fraud, as_of).label("is_fraud")
    query: Any = select(*columns.values())
    ordered: Select[Any] = query.where(*between(*period, as_of)).order_by(Transaction.timestamp)
    return ordered


def name_merchants(
    session: Session, merchants: pd.DataFrame, archive: str | Path | None
) -> pd.DataFrame:
    """Return the merchants of a report with their names; "" where a name is not known."""
    ids = merchants["merchant_id"].tolist()
    if not ids:
        return merchants
    query = select(Merchant.merchant_id, Merchant.name)
    if archive is None:
        rows = session.execute(query.where(Merchant.merchant_id.in_(ids)))
        names = {row.merchant_id: row.name for row in rows}
    else:  # a merchant without other transactions may have been deleted from the database
        frame = read_df(query, session=session, archive=archive, output="polars")
        names = dict(frame.iter_rows())
    return merchants.assign(name=[names[merchant] or "" for merchant in ids])


class StoredTransactions:
    """The stored transactions of a period.

    Parameters
    ----------
    session
        Where to read.
    period
        Start and end of the transactions.
    confidence_level
        Of all intervals.
    as_of
        Report only what was known at this time.
    columns
        Columns that are grouped by, and those that may be.
    """

    def __init__(
        self,
        session: Session,
        period: Range,
        confidence_level: float,
        as_of: dt.datetime | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        self._session, self._period, self._as_of = session, period, as_of
        self._label = known_label(Transaction.is_fraud, as_of)
        self._confidence_level = confidence_level
        self.missing: dict[str, str] = {}
        self.remarks: tuple[str, ...] = ()
        self._repository = TransactionRepository(session)
        self._columns = columns
        later = self._restrict(_count_later(Transaction.is_fraud, self._label))
        self.knowledge = _read_knowledge(session, later, as_of)

    def _restrict(self, query: Select[Any]) -> Select[Any]:
        return query.where(*between(*self._period, self._as_of))

    @functools.cached_property
    def _loaded(self) -> FrameTransactions | None:
        """The rows in memory; None of no rows, or of too many."""
        check_table_is_visible(self._session.connection(), Transaction.__tablename__)
        rows = load_transactions(self._session, self._label, self._columns, self._restrict)
        return None if rows is None else FrameTransactions(rows, self._confidence_level)

    def fraud_rate(self, by: Any = None, **options: Any) -> pd.DataFrame:
        """Return the fraud rate by columns, periods or bins."""
        if self._loaded is not None:
            return as_read(self._loaded.fraud_rate(by, **options))
        start, end = self._period
        rates: pd.DataFrame = self._repository.fraud_rate(
            by,
            start=start,
            end=end,
            as_of=self._as_of,
            confidence_level=self._confidence_level,
            cache=False,  # the report is stored as a whole
            **options,
        )
        return rates

    def read_extent(self) -> dict[str, Any]:
        """Return the times of the first and the last transaction, and the delays of labels."""
        query: Any = select(
            func.min(Transaction.timestamp).label("first"),
            func.max(Transaction.timestamp).label("last"),
            *_delay_columns(self._label.is_not(None)),
        )
        extent = _read_row(self._session, self._restrict(query))
        if extent["first"] is None:
            raise ArgumentError(
                "There are no transactions to report on"
                + (
                    " in this period."
                    if any((*self._period, self._as_of))
                    else "; load some first."
                )
            )
        return extent

    def read_statistics(self) -> TransactionStatistics:
        """Return counts and amounts of all transactions."""
        start, end = self._period
        # The end date of this method is included.
        return self._repository.get_statistics(
            start, end and end - dt.timedelta.resolution, as_of=self._as_of, cache=False
        )

    def read_amounts(self) -> pd.DataFrame:
        """Return sums of amounts by currency."""
        return _read_amounts(self._session, self._label, self._restrict)

    def choose_groupings(self) -> list[Grouping]:
        """Return columns with several values, but few."""
        if self._loaded is not None:
            return self._loaded.choose_groupings()
        return _choose_groupings(self._session, self._restrict)

    def read_losses(self, column: str) -> pd.DataFrame:
        """Return frauds and their losses by a column."""
        return _read_losses(
            self._session, Transaction.__table__.c[column], self._label, self._restrict
        )

    def rate_merchants(self) -> pd.DataFrame:
        """Return the fraud rate by merchant."""
        return self.fraud_rate("merchant_id")

    def read_label_maturity(self) -> pd.DataFrame:
        """Return how many transactions of each week are labelled."""
        return _read_label_maturity(self._session, self._label, self._restrict)

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week."""
        start, end = self._period
        return self._repository.nowcast_fraud_rate(
            start=start, end=end, as_of=self._as_of, confidence_level=self._confidence_level
        )


# -- Queries ---------------------------------------------------------------------------------------


def _count_later(
    label: InstrumentedAttribute[bool | None], known: ColumnElement[Any]
) -> Select[Any]:
    """Count the labels that were not known yet, and the frauds among them."""
    later = known.is_(None)
    counts: list[ColumnElement[Any]] = [
        func.count(label).filter(later),
        func.count().filter(and_(label.is_(True), later)),
    ]
    return select(*counts)


def _read_knowledge(
    session: Session, later: Select[Any], as_of: dt.datetime | None
) -> Knowledge | None:
    return None if as_of is None else Knowledge(as_of, *session.execute(later).one())


def _choose_groupings(session: Session, restrict: Restrict) -> list[Grouping]:
    """Return the first default columns that have several values, but few; NULL is a value."""

    def count_values(name: str) -> int:
        values = restrict(select(Transaction.__table__.c[name])).distinct().limit(MAX_GROUPS + 1)
        count = select(func.count()).select_from(values.subquery())
        return session.execute(count).scalar_one()

    return choose_first(DEFAULT_COLUMNS, count_values)


def _read_prediction_data(rows: ScoredPredictions, cluster: str) -> PredictionData | None:
    """Describe the predictions of a model; None where there is none.

    Parameters
    ----------
    rows
        The predictions.
    cluster
        Column of the transactions that the bootstrap resamples.
    """
    truth, clusters = rows.label, _cluster_column(cluster)
    labelled, label = truth.is_not(None), known_label(Transaction.is_fraud, rows.as_of)
    unsuccessful = and_(truth.is_(True), ~_was_successful())
    label_time = func.coalesce(Transaction.label_available_at, Transaction.timestamp)
    stored_late = and_(labelled, ModelPrediction.predicted_at > label_time)
    day = func.date_trunc("day", Transaction.timestamp, "UTC")
    query: Any = select(
        func.count().label("n_predictions"),
        func.count(truth).label("n_labelled"),
        func.count().filter(truth.is_(True)).label("n_frauds"),
        func.count(Transaction.customer_id.distinct()).label("n_customers"),
        func.count(Transaction.merchant_id.distinct()).label("n_merchants"),
        func.count(day.distinct()).filter(labelled).label("n_days"),
        func.min(Transaction.timestamp).label("first"),
        func.max(Transaction.timestamp).label("last"),
        func.min(ModelPrediction.predicted_at).label("first_stored"),
        func.max(ModelPrediction.predicted_at).label("last_stored"),
        func.count().filter(stored_late).label("n_stored_after_label"),
        func.count().filter(label != truth).label("n_truth_outdated"),
        func.min(_SCORE).filter(ModelPrediction.prediction).label("lowest_alert"),
        func.max(_SCORE).filter(~ModelPrediction.prediction).label("highest_pass"),
        func.array_agg(Transaction.currency.distinct()).filter(labelled).label("currencies"),
        func.count().filter(unsuccessful).label("n_unsuccessful"),
        sum_money(Transaction.amount, unsuccessful).label("unsuccessful_amount"),
        func.count(clusters.distinct()).filter(labelled).label("n_clusters"),
        func.count(clusters.distinct()).filter(truth.is_(True)).label("n_fraud_clusters"),
        *_delay_columns(labelled),
    )
    row = _read_row(rows.session, rows.filter(query))
    row["currencies"] = tuple(row["currencies"] or ())
    return PredictionData(**row) if row["n_predictions"] else None


def _delay_columns(labelled: ColumnElement[bool]) -> list[ColumnElement[Any]]:
    """Return what :func:`_read_row` reads the delays of labels from."""
    delay = _DELAY.label("delay")
    return [
        func.count(_DELAY).filter(labelled).label("n_recorded"),
        func.percentile_cont(0.5).within_group(delay).filter(labelled).label("median"),
        func.percentile_cont(0.9).within_group(delay).filter(labelled).label("p90"),
        func.max(_DELAY).filter(labelled).label("longest"),
    ]


def _cluster_column(name: str) -> ColumnElement[Any]:
    """Return the column that the bootstrap resamples; of a column of times, its days."""
    column = column_of(Transaction, name)
    is_time = isinstance(column.type, DateTime)
    return func.date_trunc("day", column, "UTC") if is_time else column


def _read_row(session: Session, query: Select[Any]) -> dict[str, Any]:
    """Return the only row of a query that selects the delays of labels too, as ``delays``."""
    row = dict(session.execute(query).mappings().one())
    delays = {name: row.pop(name) for name in ("n_recorded", "median", "p90", "longest")}
    return row | {"delays": LabelDelays(**delays)}


def _read_weeks(rows: ScoredPredictions, threshold: float, confidence_level: float) -> pd.DataFrame:
    """Return scores and frauds of each week (from Monday, UTC).

    Returns
    -------
    pandas.DataFrame
        ``timestamp`` (start of the week), ``transactions``, ``labelled``, ``frauds``,
        ``fraud_rate``, ``fraud_rate_low``, ``fraud_rate_high`` and ``reliable`` as of
        :func:`synfin_analytics.fraud_rate`; ``scored``, ``mean_score``, ``median``, ``p90``,
        ``p99``, ``alerts`` and ``alert_rate`` of the predictions with a score, labelled or not.
    """
    week = func.date_trunc("week", Transaction.timestamp, "UTC").label("timestamp")
    query = select(
        week,
        func.count().label("transactions"),
        func.count(rows.label).label("labelled"),
        func.count().filter(rows.label.is_(True)).label("frauds"),
        func.count(_SCORE).label("scored"),
        func.avg(_SCORE).label("mean_score"),
        *(
            func.percentile_cont(share).within_group(_SCORE).label(name)
            for name, share in QUANTILES.items()
        ),
        func.count().filter(_SCORE.op(">=")(threshold)).label("alerts"),
    )
    weeks = _read(rows.session, rows.filter(query).group_by(week).order_by(week))
    weeks = weeks.astype(dict.fromkeys(("mean_score", *QUANTILES), "float64"))
    rates = _weekly_rates(rows, confidence_level)
    names = ("fraud_rate", "fraud_rate_low", "fraud_rate_high", "reliable")
    for position, name in enumerate(names, start=4):
        weeks.insert(position, name, rates[name].to_numpy())
    weeks["alert_rate"] = ratio(weeks["alerts"], weeks["scored"])
    return weeks


def _weekly_rates(rows: ScoredPredictions, confidence_level: float) -> pd.DataFrame:
    """Return the fraud rate of each week as ``fraud_rate`` computes it, in the order of weeks."""
    groups = Groups.parse(None, None, "1w", measures=MEASURES)
    clusters = Clusters.parse(AUTO, groups.source_columns, Transaction.__table__.c.keys())
    columns = zip(clusters.columns, clusters.keys, strict=True)
    query: Any = select(
        func.date_trunc("week", Transaction.timestamp, "UTC").label(groups.timestamp),
        *(Transaction.__table__.c[name].label(key) for name, key in columns),
        rows.label.label("is_fraud"),
        in_minor_units(Transaction.amount).label("amount"),
    )
    counts = _read(
        rows.session, count_rows(rows.filter(query), keys=groups.keys, clusters=clusters)
    )
    rates: pd.DataFrame = rates_from_counts(
        nw.from_native(counts, eager_only=True),
        groups,
        clusters,
        interval_method="wilson",
        confidence_level=confidence_level,
    )
    return rates


def _nowcast(rows: ScoredPredictions, confidence_level: float) -> FraudRateNowcast:
    """Nowcast the fraud rate of each week of predictions, with their ground truth as labels."""
    every = "1w"
    period = Period.parse(every)
    query: Any = select(*label_columns(rows.label, period))
    counts = nw.from_native(
        _read(rows.session, count_labels(rows.filter(query), keys=())), eager_only=True
    )
    if n_early := int(counts[EARLY].sum()):
        raise early_label_error("timestamp", "label_available_at", n_early, "")
    triangles = triangles_from_counts(
        counts, Groups.parse(None), period, parse_time(rows.as_of, "as_of")
    )
    return nowcast_from_triangles(triangles, None, every, confidence_level=confidence_level)


def _was_successful() -> ColumnElement[bool]:
    """Return the condition that a transaction was carried out; an unknown status counts."""
    return func.coalesce(Transaction.status, "").not_in(UNSUCCESSFUL)


def _read_amounts(session: Session, label: ColumnElement[Any], restrict: Restrict) -> pd.DataFrame:
    """Return sums of amounts by currency.

    Returns
    -------
    pandas.DataFrame
        ``currency`` (the one with the most transactions first; NULL is one), ``transactions``,
        ``amount``, ``labelled_amount``, ``fraud_amount``, ``lost_amount`` (without frauds that
        were declined or failed), ``unsuccessful`` (frauds that were declined or failed) and
        ``returned`` (frauds that were reversed or refunded).
    """
    fraud = label.is_(True)
    query: Any = select(
        Transaction.currency,
        func.count().label("transactions"),
        sum_money(Transaction.amount, true()).label("amount"),
        sum_money(Transaction.amount, label.is_not(None)).label("labelled_amount"),
        sum_money(Transaction.amount, fraud).label("fraud_amount"),
        sum_money(Transaction.amount, and_(fraud, _was_successful())).label("lost_amount"),
        func.count().filter(fraud, Transaction.status.in_(UNSUCCESSFUL)).label("unsuccessful"),
        func.count().filter(fraud, Transaction.status.in_(RETURNED)).label("returned"),
    ).group_by(Transaction.currency)
    order = (func.count().desc(), Transaction.currency)
    return _read(session, restrict(query).order_by(*order))


def _read_losses(
    session: Session, column: ColumnElement[Any], label: ColumnElement[Any], restrict: Restrict
) -> pd.DataFrame:
    """Return frauds by a column of the transactions, and their losses.

    Returns
    -------
    pandas.DataFrame
        The column, ``frauds``, ``fraud_amount`` and ``lost_amount``; those with the most frauds
        first.
    """
    query: Any = select(
        column,
        func.count().label("frauds"),
        sum_money(Transaction.amount, true()).label("fraud_amount"),
        sum_money(Transaction.amount, _was_successful()).label("lost_amount"),
    ).where(label.is_(True))
    return _read(session, restrict(query).group_by(column).order_by(func.count().desc(), column))


def _read_label_maturity(
    session: Session, label: ColumnElement[Any], restrict: Restrict
) -> pd.DataFrame:
    """Return how many transactions of each week (from Monday, UTC) are labelled.

    Returns
    -------
    pandas.DataFrame
        ``timestamp`` (start of the week), ``transactions``, ``labelled``, ``labelled_share``,
        ``recorded`` (labels whose time of arrival is recorded) and their ``median_delay``.
    """
    week = func.date_trunc("week", Transaction.timestamp, "UTC").label("timestamp")
    labelled = label.is_not(None)
    delay = func.percentile_cont(0.5).within_group(_DELAY).filter(labelled)
    query: Any = select(
        week,
        func.count().label("transactions"),
        func.count(label).label("labelled"),
        func.count(_DELAY).filter(labelled).label("recorded"),
        func.extract("epoch", delay).label("median_delay"),
    )
    weeks = _read(session, restrict(query).group_by(week).order_by(week))
    weeks["median_delay"] = pd.to_timedelta(weeks["median_delay"].astype("float64"), unit="s")
    weeks.insert(3, "labelled_share", ratio(weeks["labelled"], weeks["transactions"]))
    return weeks


def _read_importances(rows: ScoredPredictions) -> pd.DataFrame:
    """Return the mean of each stored feature importance over the predictions that have it.

    Returns
    -------
    pandas.DataFrame
        ``feature``, ``mean``, ``size`` (mean absolute value: the importance of one prediction may
        have a sign) and ``predictions``, the largest ``size`` first.
    """
    stored = ModelPrediction.feature_importance
    all_rows = rows.filter(select(stored.label("stored")), joined=False)
    objects = all_rows.where(func.jsonb_typeof(stored) == "object").subquery()
    entries = func.jsonb_each(objects.c.stored).table_valued("key", "value", name="entries")
    value = cast(entries.c.value, JSONB)
    importance = cast(value, Double)
    query = (
        select(
            entries.c.key.label("feature"),
            func.avg(importance).label("mean"),
            func.avg(func.abs(importance)).label("size"),
            func.count().label("predictions"),
        )
        .select_from(objects.join(entries, onclause=true()))
        .where(func.jsonb_typeof(value) == "number")
        .group_by(entries.c.key)
        .order_by(func.avg(func.abs(importance)).desc(), entries.c.key)
    )
    return _read(rows.session, query)


def _read(session: Session, query: Select[Any]) -> pd.DataFrame:
    return read_df(query, session=session, output="pandas")
