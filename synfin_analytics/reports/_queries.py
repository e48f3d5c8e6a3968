"""What a report tells of its rows: asked of PostgreSQL, in few statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw
import pandas as pd
from sqlalchemy import DateTime, Double, and_, cast, func, select, true
from sqlalchemy.dialects.postgresql import JSONB

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.database.models import ModelPrediction, Transaction
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.io.read import read_df
from synfin_analytics.metrics._clusters import AUTO, Clusters
from synfin_analytics.metrics._grouping import Groups
from synfin_analytics.metrics.fraud_rates import MEASURES, rates_from_counts
from synfin_analytics.repositories._arguments import in_minor_units, sum_money
from synfin_analytics.repositories._fraud_rate import count_rows

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from synfin_analytics.metrics.proportions import IntervalMethod
    from synfin_analytics.repositories._prediction_counts import ScoredPredictions

    Columns: TypeAlias = list[ColumnElement[Any]]

#: Shares of the predictions that lie below the scores which a week is told by.
QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99}
_TRUTH, _SAID = ModelPrediction.ground_truth, ModelPrediction.fraud_probability
#: Statuses of payments that did not go through: a fraud among them is no loss.
NOT_PAID = ("declined", "failed")
#: Statuses of payments whose money came back, or may have.
RETURNED = ("reversed", "refunded")
_LATE = Transaction.label_available_at - Transaction.timestamp


@dataclass(frozen=True)
class Labels:
    """How labels were delayed.

    Attributes
    ----------
    delayed
        Labelled transactions of which it is known when the label came; the others are taken to
        have had it at once.
    median, most, longest
        Delay of half of them, of nine in ten, and of all; None where none was delayed.
    """

    delayed: int
    median: dt.timedelta | None
    most: dt.timedelta | None
    longest: dt.timedelta | None

    @staticmethod
    def columns(labelled: ColumnElement[bool]) -> Columns:
        """Name what must be selected for it."""
        late = _LATE.label("late")
        return [
            func.count(_LATE).filter(labelled).label("delayed"),
            func.percentile_cont(0.5).within_group(late).filter(labelled).label("median"),
            func.percentile_cont(0.9).within_group(late).filter(labelled).label("most"),
            func.max(_LATE).filter(labelled).label("longest"),
        ]

    def sentence(self, labelled: int) -> str:
        """Say it, of so many labelled transactions."""
        if not labelled:
            return "No label has arrived."
        if self.median is None or self.most is None or self.longest is None:
            return (
                "When labels became known is not recorded (label_available_at is empty): each "
                "counts as known at once."
            )
        said = (
            f"For {wording.pluralize(self.delayed, 'label')} it is recorded when the bank knew: "
            f"half of them within {wording.format_duration(self.median)} of the payment, nine in "
            f"ten within {wording.format_duration(self.most)}, all within "
            f"{wording.format_duration(self.longest)}"
        )
        rest = labelled - self.delayed
        return f"{said}; the other {rest:,} count as known at once." if rest else f"{said}."


@dataclass(frozen=True)
class Predictions:
    """What is known of a model's predictions.

    Attributes
    ----------
    predictions, labelled, frauds
        How many there are, of how many the truth is known, and how many of these are fraud.
    customers, merchants, days
        How many different ones they are of; a day is one with a labelled transaction, in UTC.
    first, last
        Moments of the first and the last transaction.
    predicted_first, predicted_last
        When the predictions were stored.
    labels
        How labels were delayed.
    after_label
        Labelled predictions that were stored after the label was known.
    relabelled
        Predictions whose ground truth is no longer what the transaction says.
    lowest_alarm, highest_pass
        Lowest score that was predicted to be fraud, and highest that was not.
    currencies
        Of the labelled payments; None is one that is not recorded.
    not_paid, not_paid_amount
        Frauds that were declined or failed, and their value.
    clusters, fraud_clusters
        Different values of the column that is drawn for intervals, among labelled payments and
        among frauds.
    """

    predictions: int
    labelled: int
    frauds: int
    customers: int
    merchants: int
    days: int
    first: dt.datetime
    last: dt.datetime
    predicted_first: dt.datetime
    predicted_last: dt.datetime
    labels: Labels
    after_label: int
    relabelled: int
    lowest_alarm: float | None
    highest_pass: float | None
    currencies: tuple[str | None, ...]
    not_paid: int
    not_paid_amount: float
    clusters: int
    fraud_clusters: int

    @property
    def currency(self) -> str:
        """Currency of the amounts; "" where it is not recorded, or not only one."""
        return only_currency(self.currencies)


def of_predictions(rows: ScoredPredictions, cluster: str) -> Predictions | None:
    """Ask what is known of a model's predictions; None where there is none.

    Parameters
    ----------
    rows
        The predictions.
    cluster
        Column of the transactions that is drawn for intervals.
    """
    labelled, clusters = _TRUTH.is_not(None), _cluster(cluster)
    not_paid = and_(_TRUTH.is_(True), ~went_through())
    known = func.coalesce(Transaction.label_available_at, Transaction.timestamp)
    day = func.date_trunc("day", Transaction.timestamp, "UTC")
    query: Any = select(
        func.count().label("predictions"),
        func.count(_TRUTH).label("labelled"),
        func.count().filter(_TRUTH.is_(True)).label("frauds"),
        func.count(Transaction.customer_id.distinct()).label("customers"),
        func.count(Transaction.merchant_id.distinct()).label("merchants"),
        func.count(day.distinct()).filter(labelled).label("days"),
        func.min(Transaction.timestamp).label("first"),
        func.max(Transaction.timestamp).label("last"),
        func.min(ModelPrediction.predicted_at).label("predicted_first"),
        func.max(ModelPrediction.predicted_at).label("predicted_last"),
        func.count()
        .filter(and_(labelled, ModelPrediction.predicted_at > known))
        .label("after_label"),
        func.count().filter(Transaction.is_fraud != _TRUTH).label("relabelled"),
        func.min(_SAID).filter(ModelPrediction.prediction).label("lowest_alarm"),
        func.max(_SAID).filter(~ModelPrediction.prediction).label("highest_pass"),
        func.array_agg(Transaction.currency.distinct()).filter(labelled).label("currencies"),
        func.count().filter(not_paid).label("not_paid"),
        sum_money(Transaction.amount, not_paid).label("not_paid_amount"),
        func.count(clusters.distinct()).filter(labelled).label("clusters"),
        func.count(clusters.distinct()).filter(_TRUTH.is_(True)).label("fraud_clusters"),
        *Labels.columns(labelled),
    )
    found = one(rows.session, rows.filter(query))
    found["currencies"] = tuple(found["currencies"] or ())
    return Predictions(**found) if found["predictions"] else None


def _cluster(name: str) -> ColumnElement[Any]:
    """Column of what is drawn for intervals; of a time its day is drawn."""
    columns = Transaction.__table__.c
    if name not in columns:
        raise NotFoundError("column", name, columns.keys(), location="'transactions'")
    column = columns[name]
    is_time = isinstance(column.type, DateTime)
    return func.date_trunc("day", column, "UTC") if is_time else column


def only_currency(currencies: Sequence[str | None]) -> str:
    """Return the currency, if it is known and the only one; else ""."""
    first = currencies[0] if len(currencies) == 1 else None
    return "" if pd.isna(first) else str(first)


def currency_names(
    currencies: Sequence[str | None], unknown: str = "of an unknown currency"
) -> list[str]:
    """Name currencies, for a sentence by default; some payments may have none."""
    return [unknown if pd.isna(name) else str(name) for name in currencies]


def one(session: Session, query: Select[Any]) -> dict[str, Any]:
    """Read one row that was asked for the delay of labels, too."""
    found = dict(session.execute(query).mappings().one())
    delays = {name: found.pop(name) for name in ("delayed", "median", "most", "longest")}
    return found | {"labels": Labels(**delays)}


def by_week(
    rows: ScoredPredictions, threshold: float, interval: IntervalMethod, level: float
) -> pd.DataFrame:
    """Scores and frauds of each week (from Monday, UTC).

    Returns
    -------
    pandas.DataFrame
        ``timestamp`` (the week's first moment), ``transactions``, ``labelled``, ``frauds``,
        ``fraud_rate`` and its interval ``fraud_rate_low`` to ``fraud_rate_high``, which allows for
        payments of one customer or merchant having their fraud in common and is rough where it is
        not ``reliable``, ``scored``, ``mean_score``,
        ``median``, ``p90``, ``p99`` (scores that a half, nine tenths and 99
        hundredths do not pass), ``alerts`` and ``alert_rate``: of the predictions with a score,
        labelled or not.
    """
    week = func.date_trunc("week", Transaction.timestamp, "UTC").label("timestamp")
    query = select(
        week,
        func.count().label("transactions"),
        func.count(_TRUTH).label("labelled"),
        func.count().filter(_TRUTH.is_(True)).label("frauds"),
        func.count(_SAID).label("scored"),
        func.avg(_SAID).label("mean_score"),
        *(
            func.percentile_cont(share).within_group(_SAID).label(name)
            for name, share in QUANTILES.items()
        ),
        func.count().filter(_SAID.op(">=")(threshold)).label("alerts"),
    )
    weeks = _frame(rows.session, rows.filter(query).group_by(week).order_by(week))
    weeks = weeks.astype(dict.fromkeys(("mean_score", *QUANTILES), "float64"))
    rates = _weekly_rates(rows, interval, level)
    for place, name in enumerate(("fraud_rate", "fraud_rate_low", "fraud_rate_high", "reliable")):
        weeks.insert(4 + place, name, rates[name].to_numpy())
    weeks["alert_rate"] = ratio(weeks["alerts"], weeks["scored"])
    return weeks


def _weekly_rates(rows: ScoredPredictions, interval: IntervalMethod, level: float) -> pd.DataFrame:
    """Fraud rate of each week as ``fraud_rate`` computes it, in the order of the weeks."""
    groups = Groups.parse(None, None, "1w", measures=MEASURES)
    clusters = Clusters.parse(AUTO, groups.source_columns, Transaction.__table__.c.keys())
    columns = zip(clusters.columns, clusters.keys, strict=True)
    query: Any = select(
        func.date_trunc("week", Transaction.timestamp, "UTC").label(groups.timestamp),
        *(Transaction.__table__.c[name].label(key) for name, key in columns),
        _TRUTH.label("is_fraud"),
        in_minor_units(Transaction.amount).label("amount"),
    )
    counts = _frame(
        rows.session, count_rows(rows.filter(query), keys=groups.keys, clusters=clusters)
    )
    found: pd.DataFrame = rates_from_counts(
        nw.from_native(counts, eager_only=True),
        groups,
        clusters,
        interval_method=interval,
        confidence_level=level,
    )
    return found


def went_through() -> ColumnElement[bool]:
    """Condition that a payment was not declined and did not fail; an unknown status is paid."""
    return func.coalesce(Transaction.status, "").not_in(NOT_PAID)


def amounts(session: Session, restrict: Callable[[Select[Any]], Select[Any]]) -> pd.DataFrame:
    """Add up amounts by currency: those of several have no sum.

    Returns
    -------
    pandas.DataFrame
        The currency with the most transactions first, NULL is one: ``currency``, ``transactions``,
        ``amount``, ``labelled_amount``, ``fraud_amount``, ``lost_amount`` (of frauds that were not
        declined and did not fail), ``not_paid`` (frauds that were declined or failed) and
        ``returned`` (frauds that were reversed or refunded).
    """
    fraud = Transaction.is_fraud.is_(True)
    query: Any = select(
        Transaction.currency,
        func.count().label("transactions"),
        sum_money(Transaction.amount, true()).label("amount"),
        sum_money(Transaction.amount, Transaction.is_fraud.is_not(None)).label("labelled_amount"),
        sum_money(Transaction.amount, fraud).label("fraud_amount"),
        sum_money(Transaction.amount, and_(fraud, went_through())).label("lost_amount"),
        func.count().filter(fraud, Transaction.status.in_(NOT_PAID)).label("not_paid"),
        func.count().filter(fraud, Transaction.status.in_(RETURNED)).label("returned"),
    ).group_by(Transaction.currency)
    order = (func.count().desc(), Transaction.currency)
    return _frame(session, restrict(query).order_by(*order))


def losses(
    session: Session,
    column: ColumnElement[Any],
    restrict: Callable[[Select[Any]], Select[Any]],
) -> pd.DataFrame:
    """Count frauds by a column of the transactions, and add up what was lost by them.

    Returns
    -------
    pandas.DataFrame
        The column, ``frauds``, ``fraud_amount`` and ``lost_amount``; those with the most frauds
        first.
    """
    fraud = Transaction.is_fraud.is_(True)
    query: Any = select(
        column,
        func.count().label("frauds"),
        sum_money(Transaction.amount, true()).label("fraud_amount"),
        sum_money(Transaction.amount, went_through()).label("lost_amount"),
    ).where(fraud)
    return _frame(session, restrict(query).group_by(column).order_by(func.count().desc(), column))


def maturity(session: Session, restrict: Callable[[Select[Any]], Select[Any]]) -> pd.DataFrame:
    """Count labels of transactions by week (from Monday, UTC).

    Returns
    -------
    pandas.DataFrame
        ``timestamp`` (the week's first moment), ``transactions``, ``labelled``, ``share``,
        ``delayed`` (labels of which it is known when they came) and their ``median`` delay.
    """
    week = func.date_trunc("week", Transaction.timestamp, "UTC").label("timestamp")
    delay = func.percentile_cont(0.5).within_group(_LATE)
    query: Any = select(
        week,
        func.count().label("transactions"),
        func.count(Transaction.is_fraud).label("labelled"),
        func.count(_LATE).filter(Transaction.is_fraud.is_not(None)).label("delayed"),
        func.extract("epoch", delay.filter(Transaction.is_fraud.is_not(None))).label("median"),
    )
    weeks = _frame(session, restrict(query).group_by(week).order_by(week))
    weeks["median"] = pd.to_timedelta(weeks["median"].astype("float64"), unit="s")
    weeks.insert(3, "share", ratio(weeks["labelled"], weeks["transactions"]))
    return weeks


def importances(rows: ScoredPredictions) -> pd.DataFrame:
    """Mean of each stored feature importance over the predictions that have it.

    Returns
    -------
    pandas.DataFrame
        ``feature``, ``mean``, ``size`` (mean of the absolute values: an importance of one
        prediction may have a sign) and ``predictions``, the largest ``size`` first.
    """
    stored = ModelPrediction.feature_importance
    whole = rows.filter(select(stored.label("stored")), joined=False)
    objects = whole.where(func.jsonb_typeof(stored) == "object").subquery()
    each = func.jsonb_each(objects.c.stored).table_valued("key", "value", name="each")
    value = cast(each.c.value, JSONB)
    number = cast(value, Double)
    query = (
        select(
            each.c.key.label("feature"),
            func.avg(number).label("mean"),
            func.avg(func.abs(number)).label("size"),
            func.count().label("predictions"),
        )
        .select_from(objects.join(each, onclause=true()))
        .where(func.jsonb_typeof(value) == "number")
        .group_by(each.c.key)
        .order_by(func.avg(func.abs(number)).desc(), each.c.key)
    )
    return _frame(rows.session, query)


def _frame(session: Session, query: Select[Any]) -> pd.DataFrame:
    read: Any = read_df(query, session=session, output="pandas")
    frame: pd.DataFrame = read
    return frame
