"""Transactions: lists, statistics, and fraud rates that PostgreSQL counts."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import narwhals as nw
from sqlalchemy import and_, func, select, union_all

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dates import Bound, closed, half_open
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics._clusters import AUTO, Clusters
from synfin_analytics.metrics._grouping import Groups
from synfin_analytics.metrics.fraud_rates import MEASURES, rates_from_counts
from synfin_analytics.metrics.proportions import IntervalMethod, check_interval
from synfin_analytics.repositories._arguments import money, units
from synfin_analytics.repositories._fraud_rate import band_of, counted, period_of
from synfin_analytics.repositories._query_settings import BY_SLICE, planned, slices
from synfin_analytics.repositories.base import BaseRepository

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from sqlalchemy import ColumnElement, Select

    from synfin_analytics._core.frequency import Period
    from synfin_analytics.repositories.base import Rows

_NEWEST = (Transaction.timestamp.desc(),)
_DEAREST = (Transaction.amount.desc(),)


class TransactionRepository(BaseRepository[Transaction]):
    """Transactions.

    ``start_date`` and ``end_date`` are both included: an ``end_date`` without a time includes that
    whole day, a datetime includes that moment. ``start`` and ``end`` of :meth:`fraud_rate` are
    half-open (``start <= timestamp < end``), and a date without a time is its midnight. Datetimes
    without a time zone are UTC; strings such as ``"2026-01-31"`` are dates.

    Examples
    --------
    >>> from synfin_analytics.database.manager import DatabaseManager
    >>> manager = DatabaseManager()
    >>> manager.create_all_tables()
    >>> with manager.get_session() as session:
    ...     stats = TransactionRepository(session).get_statistics("1999-01-01", "1999-12-31")
    >>> stats["total_count"], stats["fraud_rate"]
    (0, nan)
    >>> manager.close()
    """

    model = Transaction

    def get_by_transaction_id(self, transaction_id: str) -> Transaction | None:
        """Transaction with this key."""
        return self.get_by_id(transaction_id)

    def get_by_customer(self, customer_id: str, limit: int | None = None, offset: int = 0) -> Rows:
        """Transactions of a customer, newest first."""
        where = self._is(customer_id=customer_id)
        return self._many(*where, order=_NEWEST, limit=limit, offset=offset)

    def get_by_merchant(self, merchant_id: str, limit: int | None = None, offset: int = 0) -> Rows:
        """Transactions at a merchant, newest first."""
        where = self._is(merchant_id=merchant_id)
        return self._many(*where, order=_NEWEST, limit=limit, offset=offset)

    def get_by_date_range(
        self, start_date: Bound, end_date: Bound, limit: int | None = None, offset: int = 0
    ) -> Rows:
        """Transactions within a range of dates, newest first."""
        return self._many(*within(start_date, end_date), order=_NEWEST, limit=limit, offset=offset)

    def get_fraud_transactions(
        self,
        start_date: Bound = None,
        end_date: Bound = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Rows:
        """Transactions that are labelled as fraud, newest first."""
        where = (Transaction.is_fraud.is_(True), *within(start_date, end_date))
        return self._many(*where, order=_NEWEST, limit=limit, offset=offset)

    def get_anomaly_transactions(
        self,
        start_date: Bound = None,
        end_date: Bound = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Rows:
        """Transactions that are marked as anomalies, newest first."""
        where = (Transaction.is_anomaly.is_(True), *within(start_date, end_date))
        return self._many(*where, order=_NEWEST, limit=limit, offset=offset)

    def get_by_amount_range(
        self,
        min_amount: float | Decimal | None = None,
        max_amount: float | Decimal | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Rows:
        """Transactions of ``min_amount`` to ``max_amount``, both included, largest first."""
        low, high = money(min_amount, "min_amount"), money(max_amount, "max_amount")
        if low is not None and high is not None and low > high:
            raise ArgumentError(
                f"`min_amount` must not be greater than `max_amount`; got {low} and {high}."
            )
        where: list[ColumnElement[bool]] = []
        if low is not None:
            where.append(Transaction.amount >= low)
        if high is not None:
            where.append(Transaction.amount <= high)
        return self._many(*where, order=_DEAREST, limit=limit, offset=offset)

    def get_high_value_transactions(
        self, threshold: float | Decimal, limit: int | None = None
    ) -> Rows:
        """Transactions of at least ``threshold``, largest first."""
        if threshold is None:
            raise ArgumentError("`threshold` must be an amount of at least 0; got None.")
        return self.get_by_amount_range(threshold, None, limit)

    def get_statistics(self, start_date: Bound = None, end_date: Bound = None) -> dict[str, Any]:
        """Count and add up the transactions, in one statement.

        Returns
        -------
        dict
            ``total_count``, ``total_amount``, ``avg_amount``, ``min_amount``, ``max_amount``,
            ``labelled_count`` (how many are known to be fraud or not), ``fraud_count``,
            ``anomaly_count`` and ``fraud_rate`` = fraud_count / labelled_count. What is not defined
            without transactions or labels is NaN. Amounts are floats, decimals if ``exact``.
        """
        self._flush()
        amount = Transaction.amount
        fraud = Transaction.is_fraud.is_(True)
        query = select(
            func.count().label("total_count"),
            func.coalesce(func.sum(amount), 0).label("total_amount"),
            func.coalesce(func.avg(amount), "NaN").label("avg_amount"),
            func.coalesce(func.min(amount), "NaN").label("min_amount"),
            func.coalesce(func.max(amount), "NaN").label("max_amount"),
            func.count(Transaction.is_fraud).label("labelled_count"),
            func.count().filter(fraud).label("fraud_count"),
            func.count().filter(Transaction.is_anomaly.is_(True)).label("anomaly_count"),
        ).where(*within(start_date, end_date))
        statistics: dict[str, Any] = dict(self.session.execute(query).mappings().one())
        if not self.use_decimal:
            statistics |= {k: float(v) for k, v in statistics.items() if k.endswith("_amount")}
        rate = ratio(statistics["fraud_count"], statistics["labelled_count"])
        return statistics | {"fraud_rate": float(rate)}

    def fraud_rate(
        self,
        by: str | Sequence[str] | None = None,
        every: str | None = None,
        interval_method: IntervalMethod = "wilson",
        *,
        bins: Mapping[str, Sequence[float]] | None = None,
        confidence_level: float = 0.95,
        cluster: str | Sequence[str] | None = AUTO,
        start: Bound = None,
        end: Bound = None,
    ) -> Any:
        """Fraud rate with its interval, counted inside PostgreSQL.

        The numbers are those of :func:`synfin_analytics.fraud_rate` over the same transactions,
        which describes the parameters and the result; no transaction leaves the database.

        Raises
        ------
        NotFoundError
            ``transactions`` has no such column; the message names the nearest.
        """
        check_interval(interval_method, confidence_level)
        groups = Groups.parse(by, bins, every, measures=MEASURES)
        clusters = Clusters.parse(cluster, groups.needed, self._table.c.keys())
        cuts, where = self._cuts(groups), between(start, end)
        query = select(
            *cuts,
            *(
                self._known(name).label(key)
                for name, key in zip(clusters.columns, clusters.keys, strict=True)
            ),
            Transaction.is_fraud,
            units(Transaction.amount).label("amount"),
        ).where(and_(True, *where))
        count = functools.partial(counted, keys=groups.keys, clusters=clusters)
        counts = self._by_slices(query, count, groups.period, where)
        return rates_from_counts(
            counts,
            groups,
            clusters,
            interval_method=interval_method,
            confidence_level=confidence_level,
        )

    def _by_slices(
        self,
        query: Select[Any],
        count: Callable[[Select[Any]], Select[Any]],
        period: Period | None,
        where: list[ColumnElement[bool]],
    ) -> nw.DataFrame[Any]:
        """Count the rows of a query, by slices of time if it counts by ``period``."""
        self._flush()
        if period is None:
            return nw.from_native(self._read(count(query)), eager_only=True)
        parts = slices(self.session, Transaction.timestamp, period, where)
        with planned(self.session, BY_SLICE):
            found = self._read(union_all(*(count(query.where(*part)) for part in parts)))
        return nw.from_native(found, eager_only=True)

    def _cuts(self, groups: Groups) -> list[ColumnElement[Any]]:
        """Say what the groups of a row are, under the names of ``groups.keys``."""
        cuts = [self._known(name) for name in groups.columns]
        cuts += [band_of(self._known(band.column), band) for band in groups.bands]
        if groups.period is not None:
            moment = self._known(groups.timestamp)
            cuts.append(period_of(moment, groups.period).label(groups.timestamp))
        return cuts

    def _known(self, name: str) -> ColumnElement[Any]:
        """Column of this name, which a caller has given."""
        if name not in self._table.c:
            raise NotFoundError("column", name, self._table.c.keys(), where="'transactions'")
        return self._column(name)


def within(start_date: Bound, end_date: Bound) -> list[ColumnElement[bool]]:
    """Conditions that a transaction is within these dates, both included."""
    return _between(*closed(start_date, end_date))


def between(start: Bound, end: Bound) -> list[ColumnElement[bool]]:
    """Conditions that a transaction is at or after ``start`` and before ``end``."""
    return _between(*half_open(start, end))


def _between(first: dt.datetime | None, after: dt.datetime | None) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if first is not None:
        conditions.append(Transaction.timestamp >= first)
    if after is not None:
        conditions.append(Transaction.timestamp < after)
    return conditions
