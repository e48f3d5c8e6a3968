"""The queries of reports: PostgreSQL aggregates, in few statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw
import pandas as pd
from sqlalchemy import DateTime, Double, and_, cast, func, select, true
from sqlalchemy.dialects.postgresql import JSONB

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_duration, pluralize
from synfin_analytics.database.models import ModelPrediction, Transaction
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.io.read import read_df
from synfin_analytics.metrics._aggregate import Groups
from synfin_analytics.metrics._clusters import AUTO, Clusters
from synfin_analytics.metrics.fraud_rates import MEASURES, rates_from_counts
from synfin_analytics.repositories._counting import count_rows, in_minor_units, sum_money

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from synfin_analytics.reports._groups import Restrict
    from synfin_analytics.repositories._prediction_counts import ScoredPredictions

    Columns: TypeAlias = list[ColumnElement[Any]]

#: Quantiles of the scores of a week.
QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99}
#: Statuses of transactions that were not carried out: a fraud among them is not a loss.
UNSUCCESSFUL = ("declined", "failed")
#: Statuses of transactions whose money came back, or may have.
RETURNED = ("reversed", "refunded")
_TRUTH, _SCORE = ModelPrediction.ground_truth, ModelPrediction.fraud_probability
_DELAY = Transaction.label_available_at - Transaction.timestamp


@dataclass(frozen=True)
class LabelDelays:
    """The delays of labels.

    Attributes
    ----------
    n_recorded
        Labels whose time of arrival is recorded; the others are assumed to be available at once.
    median, p90, longest
        Quantiles and maximum of the delay; None where no time is recorded.
    """

    n_recorded: int
    median: dt.timedelta | None
    p90: dt.timedelta | None
    longest: dt.timedelta | None

    @staticmethod
    def columns(labelled: ColumnElement[bool]) -> Columns:
        """Return what a query must select for :meth:`from_row`."""
        delay = _DELAY.label("delay")
        return [
            func.count(_DELAY).filter(labelled).label("n_recorded"),
            func.percentile_cont(0.5).within_group(delay).filter(labelled).label("median"),
            func.percentile_cont(0.9).within_group(delay).filter(labelled).label("p90"),
            func.max(_DELAY).filter(labelled).label("longest"),
        ]

    def describe(self, n_labelled: int) -> str:
        """Return a sentence about the delays of so many labels."""
        if not n_labelled:
            return "No label has arrived yet."
        if self.median is None or self.p90 is None or self.longest is None:
            return (
                "The time at which labels arrived is not recorded (label_available_at is NULL); "
                "labels are assumed to be available immediately."
            )
        text = (
            f"The arrival of {pluralize(self.n_recorded, 'label')} is recorded: half of them "
            f"arrived within {format_duration(self.median)} of the transaction, 90% within "
            f"{format_duration(self.p90)}, and all within {format_duration(self.longest)}"
        )
        n_other = n_labelled - self.n_recorded
        if n_other:
            text += f"; the other {n_other:,} are assumed to be available immediately"
        return f"{text}."


@dataclass(frozen=True)
class PredictionData:
    """What a model report is computed from.

    Attributes
    ----------
    n_predictions, n_labelled, n_frauds
        Number of predictions, of those with a label, and of those labelled as fraud.
    n_customers, n_merchants, n_days
        Distinct customers and merchants, and days (UTC) with a labelled transaction.
    first, last
        Times of the first and the last transaction.
    first_stored, last_stored
        When the first and the last prediction was stored.
    delays
        The delays of labels.
    n_stored_after_label
        Labelled predictions that were stored after their label had arrived.
    n_truth_outdated
        Predictions whose ground truth differs from the label that the transaction has now.
    lowest_alert, highest_pass
        Lowest score that was predicted to be fraud, and highest that was not.
    currencies
        Currencies of the labelled transactions; None is an unknown one.
    n_unsuccessful, unsuccessful_amount
        Frauds that were declined or failed, and their value.
    n_clusters, n_fraud_clusters
        Distinct values of the column that the bootstrap resamples, among labelled transactions and
        among frauds.
    """

    n_predictions: int
    n_labelled: int
    n_frauds: int
    n_customers: int
    n_merchants: int
    n_days: int
    first: dt.datetime
    last: dt.datetime
    first_stored: dt.datetime
    last_stored: dt.datetime
    delays: LabelDelays
    n_stored_after_label: int
    n_truth_outdated: int
    lowest_alert: float | None
    highest_pass: float | None
    currencies: tuple[str | None, ...]
    n_unsuccessful: int
    unsuccessful_amount: float
    n_clusters: int
    n_fraud_clusters: int

    @property
    def currency(self) -> str:
        """Currency of the amounts; "" where it is unknown or there are several."""
        return single_currency(self.currencies)


def read_prediction_data(rows: ScoredPredictions, cluster: str) -> PredictionData | None:
    """Describe the predictions of a model; None where there is none.

    Parameters
    ----------
    rows
        The predictions.
    cluster
        Column of the transactions that the bootstrap resamples.
    """
    labelled, clusters = _TRUTH.is_not(None), _cluster_column(cluster)
    unsuccessful = and_(_TRUTH.is_(True), ~was_successful())
    label_time = func.coalesce(Transaction.label_available_at, Transaction.timestamp)
    stored_late = and_(labelled, ModelPrediction.predicted_at > label_time)
    day = func.date_trunc("day", Transaction.timestamp, "UTC")
    query: Any = select(
        func.count().label("n_predictions"),
        func.count(_TRUTH).label("n_labelled"),
        func.count().filter(_TRUTH.is_(True)).label("n_frauds"),
        func.count(Transaction.customer_id.distinct()).label("n_customers"),
        func.count(Transaction.merchant_id.distinct()).label("n_merchants"),
        func.count(day.distinct()).filter(labelled).label("n_days"),
        func.min(Transaction.timestamp).label("first"),
        func.max(Transaction.timestamp).label("last"),
        func.min(ModelPrediction.predicted_at).label("first_stored"),
        func.max(ModelPrediction.predicted_at).label("last_stored"),
        func.count().filter(stored_late).label("n_stored_after_label"),
        func.count().filter(Transaction.is_fraud != _TRUTH).label("n_truth_outdated"),
        func.min(_SCORE).filter(ModelPrediction.prediction).label("lowest_alert"),
        func.max(_SCORE).filter(~ModelPrediction.prediction).label("highest_pass"),
        func.array_agg(Transaction.currency.distinct()).filter(labelled).label("currencies"),
        func.count().filter(unsuccessful).label("n_unsuccessful"),
        sum_money(Transaction.amount, unsuccessful).label("unsuccessful_amount"),
        func.count(clusters.distinct()).filter(labelled).label("n_clusters"),
        func.count(clusters.distinct()).filter(_TRUTH.is_(True)).label("n_fraud_clusters"),
        *LabelDelays.columns(labelled),
    )
    row = read_row(rows.session, rows.filter(query))
    row["currencies"] = tuple(row["currencies"] or ())
    return PredictionData(**row) if row["n_predictions"] else None


def _cluster_column(name: str) -> ColumnElement[Any]:
    """Return the column that the bootstrap resamples; of a column of times, its days."""
    columns = Transaction.__table__.c
    if name not in columns:
        raise NotFoundError("column", name, columns.keys(), location="'transactions'")
    column = columns[name]
    is_time = isinstance(column.type, DateTime)
    return func.date_trunc("day", column, "UTC") if is_time else column


def read_row(session: Session, query: Select[Any]) -> dict[str, Any]:
    """Return the only row of a query that selects the delays of labels too, as ``delays``."""
    row = dict(session.execute(query).mappings().one())
    delays = {name: row.pop(name) for name in ("n_recorded", "median", "p90", "longest")}
    return row | {"delays": LabelDelays(**delays)}


def single_currency(currencies: Sequence[str | None]) -> str:
    """Return the currency if it is known and the only one; else ""."""
    first = currencies[0] if len(currencies) == 1 else None
    return "" if pd.isna(first) else str(first)


def currency_names(
    currencies: Sequence[str | None], unknown: str = "an unknown currency"
) -> list[str]:
    """Return the names of currencies; None is an unknown one."""
    return [unknown if pd.isna(name) else str(name) for name in currencies]


def read_weeks(rows: ScoredPredictions, threshold: float, confidence_level: float) -> pd.DataFrame:
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
        func.count(_TRUTH).label("labelled"),
        func.count().filter(_TRUTH.is_(True)).label("frauds"),
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
        _TRUTH.label("is_fraud"),
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


def was_successful() -> ColumnElement[bool]:
    """Return the condition that a transaction was carried out; an unknown status counts."""
    return func.coalesce(Transaction.status, "").not_in(UNSUCCESSFUL)


def read_amounts(session: Session, restrict: Restrict) -> pd.DataFrame:
    """Return sums of amounts by currency.

    Returns
    -------
    pandas.DataFrame
        ``currency`` (the one with the most transactions first; NULL is one), ``transactions``,
        ``amount``, ``labelled_amount``, ``fraud_amount``, ``lost_amount`` (without frauds that
        were declined or failed), ``unsuccessful`` (frauds that were declined or failed) and
        ``returned`` (frauds that were reversed or refunded).
    """
    fraud = Transaction.is_fraud.is_(True)
    query: Any = select(
        Transaction.currency,
        func.count().label("transactions"),
        sum_money(Transaction.amount, true()).label("amount"),
        sum_money(Transaction.amount, Transaction.is_fraud.is_not(None)).label("labelled_amount"),
        sum_money(Transaction.amount, fraud).label("fraud_amount"),
        sum_money(Transaction.amount, and_(fraud, was_successful())).label("lost_amount"),
        func.count().filter(fraud, Transaction.status.in_(UNSUCCESSFUL)).label("unsuccessful"),
        func.count().filter(fraud, Transaction.status.in_(RETURNED)).label("returned"),
    ).group_by(Transaction.currency)
    order = (func.count().desc(), Transaction.currency)
    return _read(session, restrict(query).order_by(*order))


def read_losses(session: Session, column: ColumnElement[Any], restrict: Restrict) -> pd.DataFrame:
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
        sum_money(Transaction.amount, was_successful()).label("lost_amount"),
    ).where(Transaction.is_fraud.is_(True))
    return _read(session, restrict(query).group_by(column).order_by(func.count().desc(), column))


def read_label_maturity(session: Session, restrict: Restrict) -> pd.DataFrame:
    """Return how many transactions of each week (from Monday, UTC) are labelled.

    Returns
    -------
    pandas.DataFrame
        ``timestamp`` (start of the week), ``transactions``, ``labelled``, ``labelled_share``,
        ``recorded`` (labels whose time of arrival is recorded) and their ``median_delay``.
    """
    week = func.date_trunc("week", Transaction.timestamp, "UTC").label("timestamp")
    labelled = Transaction.is_fraud.is_not(None)
    delay = func.percentile_cont(0.5).within_group(_DELAY).filter(labelled)
    query: Any = select(
        week,
        func.count().label("transactions"),
        func.count(Transaction.is_fraud).label("labelled"),
        func.count(_DELAY).filter(labelled).label("recorded"),
        func.extract("epoch", delay).label("median_delay"),
    )
    weeks = _read(session, restrict(query).group_by(week).order_by(week))
    weeks["median_delay"] = pd.to_timedelta(weeks["median_delay"].astype("float64"), unit="s")
    weeks.insert(3, "labelled_share", ratio(weeks["labelled"], weeks["transactions"]))
    return weeks


def read_importances(rows: ScoredPredictions) -> pd.DataFrame:
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
