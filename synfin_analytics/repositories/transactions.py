"""Transactions: selections, statistics, and fraud rates computed inside PostgreSQL."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast, overload

import narwhals as nw
from sqlalchemy import and_, case, func, or_, select, union_all

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dataframes import to_numpy_float
from synfin_analytics._core.dates import (
    Bound,
    Period,
    parse_closed_range,
    parse_known_range,
    parse_time,
)
from synfin_analytics._core.output import from_polars
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._aggregate import Groups
from synfin_analytics.metrics._clusters import AUTO, Clusters
from synfin_analytics.metrics._triangle import (
    EARLY,
    early_label_error,
    triangles_from_counts,
)
from synfin_analytics.metrics.curve import check_costs
from synfin_analytics.metrics.fraud_rates import MEASURES, fraud_rate, rates_from_counts
from synfin_analytics.metrics.maturity import MEASURES as MATURITY_MEASURES
from synfin_analytics.metrics.maturity import (
    LabelMaturity,
    check_maturity,
    label_maturity,
    maturity_from_triangles,
)
from synfin_analytics.metrics.nowcast import MEASURES as NOWCAST_MEASURES
from synfin_analytics.metrics.nowcast import (
    FraudRateNowcast,
    check_nowcast,
    nowcast_fraud_rate,
    nowcast_from_triangles,
)
from synfin_analytics.metrics.proportions import IntervalMethod, check_interval
from synfin_analytics.repositories._archived import (
    read_scored,
    read_statistics,
    read_transactions,
)
from synfin_analytics.repositories._counting import (
    BY_SLICE,
    bin_number,
    count_labels,
    count_rows,
    in_minor_units,
    label_columns,
    period_start,
    query_settings,
    time_slices,
)
from synfin_analytics.repositories._rule_counts import (
    StoredRules,
    check_models,
    check_timeout,
    parse_table_rules,
    table_types,
)
from synfin_analytics.repositories._validation import check_amount, check_model_exists
from synfin_analytics.repositories.base import BaseRepository, RowsT
from synfin_analytics.rules._counts import Columns, time_unit
from synfin_analytics.rules._sources import parse_rules
from synfin_analytics.rules._statistics import Settings
from synfin_analytics.rules.evaluate import (
    evaluate_rules,
    evaluation_from_counts,
    in_order,
    none_left,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal
    from pathlib import Path

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from synfin_analytics._core.output import Output
    from synfin_analytics.metrics._triangle import GroupKey, Triangle
    from synfin_analytics.rules.evaluate import Rules
    from synfin_analytics.rules.result import RuleEvaluation

_NEWEST_FIRST = (Transaction.timestamp.desc(),)
_LARGEST_FIRST = (Transaction.amount.desc(),)


class TransactionStatistics(TypedDict):
    """Aggregates of transactions; see :meth:`TransactionRepository.get_statistics`."""

    total_count: int
    total_amount: float | Decimal
    avg_amount: float | Decimal
    min_amount: float | Decimal
    max_amount: float | Decimal
    labelled_count: int
    fraud_count: int
    anomaly_count: int
    fraud_rate: float


class TransactionRepository(BaseRepository[Transaction, RowsT]):
    """Transactions.

    See :class:`BaseRepository` for the parameters and the common methods.

    ``start_date`` and ``end_date`` are both included: an ``end_date`` without a time includes that
    whole day, a datetime includes that moment. ``start`` and ``end`` of :meth:`fraud_rate` are
    half-open (``start <= timestamp < end``), and a date without a time is its midnight. Datetimes
    without a time zone are UTC; strings such as ``"2026-01-31"`` are dates.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager, get_db_session
    >>> get_db_manager().create_all_tables()
    >>> with get_db_session() as session:
    ...     statistics = TransactionRepository(session).get_statistics("1999-01-01", "1999-12-31")
    >>> statistics["total_count"], statistics["fraud_rate"]
    (0, nan)
    """

    model = Transaction

    # fmt: off
    @overload
    def __init__(self: TransactionRepository[pd.DataFrame], session: Session,
                 output: Literal["pandas"] = ..., *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: TransactionRepository[pl.DataFrame], session: Session,
                 output: Literal["polars"], *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: TransactionRepository[pa.Table], session: Session,
                 output: Literal["arrow"], *, use_decimal: bool = ...) -> None: ...
    def __init__(self, session: Session, output: Output = "pandas", *,
                 use_decimal: bool = False) -> None:  # as in BaseRepository, but for the overloads
        super().__init__(session, output, use_decimal=use_decimal)
    # fmt: on

    def get_by_transaction_id(self, transaction_id: str) -> Transaction | None:
        """Return the transaction with this key.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     TransactionRepository(session).get_by_transaction_id("no such id") is None
        True
        """
        return self.get_by_id(transaction_id)

    def get_by_customer(self, customer_id: str, limit: int | None = None, offset: int = 0) -> RowsT:
        """Return the transactions of a customer, newest first.

        Parameters
        ----------
        customer_id
            Key of the customer.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(TransactionRepository(session).get_by_customer("no such id", limit=100))
        0
        """
        where = self._equals(customer_id=customer_id)
        return self._select(*where, order=_NEWEST_FIRST, limit=limit, offset=offset)

    def get_by_merchant(self, merchant_id: str, limit: int | None = None, offset: int = 0) -> RowsT:
        """Return the transactions at a merchant, newest first.

        Parameters
        ----------
        merchant_id
            Key of the merchant.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(TransactionRepository(session).get_by_merchant("no such id", limit=100))
        0
        """
        where = self._equals(merchant_id=merchant_id)
        return self._select(*where, order=_NEWEST_FIRST, limit=limit, offset=offset)

    def get_by_date_range(
        self, start_date: Bound, end_date: Bound, limit: int | None = None, offset: int = 0
    ) -> RowsT:
        """Return the transactions in a range of dates, newest first.

        Parameters
        ----------
        start_date, end_date
            Range of dates, including both ends; an ``end_date`` without a time includes that whole
            day. None leaves a side open.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(TransactionRepository(session).get_by_date_range("1999-01-01", "1999-01-31"))
        0
        """
        return self._select(
            *within_dates(start_date, end_date), order=_NEWEST_FIRST, limit=limit, offset=offset
        )

    def get_fraud_transactions(
        self,
        start_date: Bound = None,
        end_date: Bound = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> RowsT:
        """Return the transactions that are labelled as fraud, newest first.

        Parameters
        ----------
        start_date, end_date
            Range of dates, including both ends; an ``end_date`` without a time includes that whole
            day. None leaves a side open.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(TransactionRepository(session).get_fraud_transactions("1999-01-01"))
        0
        """
        where = (Transaction.is_fraud.is_(True), *within_dates(start_date, end_date))
        return self._select(*where, order=_NEWEST_FIRST, limit=limit, offset=offset)

    def get_anomaly_transactions(
        self,
        start_date: Bound = None,
        end_date: Bound = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> RowsT:
        """Return the transactions that are marked as anomalies, newest first.

        Parameters
        ----------
        start_date, end_date
            Range of dates, including both ends; an ``end_date`` without a time includes that whole
            day. None leaves a side open.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(TransactionRepository(session).get_anomaly_transactions(end_date="1999-01-31"))
        0
        """
        where = (Transaction.is_anomaly.is_(True), *within_dates(start_date, end_date))
        return self._select(*where, order=_NEWEST_FIRST, limit=limit, offset=offset)

    def get_by_amount_range(
        self,
        min_amount: float | Decimal | None = None,
        max_amount: float | Decimal | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> RowsT:
        """Return the transactions in a range of amounts, both ends included, largest first.

        Parameters
        ----------
        min_amount, max_amount
            Range of amounts; None leaves a side open.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(TransactionRepository(session).get_by_amount_range(100_000, 200_000))
        0
        """
        low, high = check_amount(min_amount, "min_amount"), check_amount(max_amount, "max_amount")
        if low is not None and high is not None and low > high:
            raise ArgumentError(
                f"`min_amount` must not be greater than `max_amount`; got {low} and {high}."
            )
        where: list[ColumnElement[bool]] = []
        if low is not None:
            where.append(Transaction.amount >= low)
        if high is not None:
            where.append(Transaction.amount <= high)
        return self._select(*where, order=_LARGEST_FIRST, limit=limit, offset=offset)

    def get_high_value_transactions(
        self, threshold: float | Decimal, limit: int | None = None
    ) -> RowsT:
        """Return the transactions of at least ``threshold``, largest first.

        Parameters
        ----------
        threshold
            Smallest amount.
        limit
            Maximum number of rows.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(TransactionRepository(session).get_high_value_transactions(100_000))
        0
        """
        if threshold is None:
            raise ArgumentError("`threshold` must be an amount of at least 0; got None.")
        return self.get_by_amount_range(threshold, None, limit)

    def get_statistics(
        self,
        start_date: Bound = None,
        end_date: Bound = None,
        *,
        as_of: Bound = None,
        cache: bool = True,
        archive: str | Path | None = None,
    ) -> TransactionStatistics:
        """Aggregate the transactions in a range of dates, in one statement.

        Parameters
        ----------
        start_date, end_date
            Range of dates, including both ends; an ``end_date`` without a time includes that whole
            day. None leaves a side open.
        as_of
            Count only what was known at this date or time, as in :meth:`fraud_rate`.
        cache
            False to count in any case, although the answer may be in the cache (``DB_CACHE_URL``).
        archive
            Folder of :func:`archive_transactions` whose rows count too. The columns that are needed
            are read into memory then.

        Returns
        -------
        dict
            ``total_count``, ``total_amount``, ``avg_amount``, ``min_amount``, ``max_amount``,
            ``labelled_count``, ``fraud_count``, ``anomaly_count`` and ``fraud_rate`` (fraud_count /
            labelled_count). Values that are undefined without transactions or labels are NaN.
            Amounts are floats, or decimals with ``use_decimal``.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     TransactionRepository(session).get_statistics(end_date="1999-01-31")["total_count"]
        0
        """
        amount = Transaction.amount
        label = known_label(Transaction.is_fraud, as_of)
        query: Any = select(
            func.count().label("total_count"),
            func.coalesce(func.sum(amount), 0).label("total_amount"),
            func.coalesce(func.avg(amount), "NaN").label("avg_amount"),
            func.coalesce(func.min(amount), "NaN").label("min_amount"),
            func.coalesce(func.max(amount), "NaN").label("max_amount"),
            func.count(label).label("labelled_count"),
            func.count().filter(label.is_(True)).label("fraud_count"),
            func.count().filter(Transaction.is_anomaly.is_(True)).label("anomaly_count"),
        ).where(*within_dates(start_date, end_date), *between(None, None, as_of))
        statistics: dict[str, Any]
        if archive is not None:
            self._flush()
            period = parse_closed_range(start_date, end_date)
            statistics = read_statistics(self.session, archive, *period, as_of)
        else:
            statistics = self._cached(
                "get_statistics",
                query,
                lambda: dict(self.session.execute(query).mappings().one()),
                enabled=cache,
            )
        if not self.use_decimal:
            statistics |= {
                name: float(value) for name, value in statistics.items() if name.endswith("_amount")
            }
        rate = ratio(statistics["fraud_count"], statistics["labelled_count"])
        return cast("TransactionStatistics", statistics | {"fraud_rate": float(rate)})

    def fraud_rate(
        self,
        by: str | Sequence[str] | None = None,
        *,
        every: str | None = None,
        bins: Mapping[str, Sequence[float]] | None = None,
        interval_method: IntervalMethod = "wilson",
        confidence_level: float = 0.95,
        cluster: str | Sequence[str] | None = AUTO,
        start: Bound = None,
        end: Bound = None,
        as_of: Bound = None,
        cache: bool = True,
        archive: str | Path | None = None,
    ) -> RowsT:
        """Compute fraud rates with their intervals inside PostgreSQL.

        The result equals that of :func:`synfin_analytics.fraud_rate` for the same transactions, of
        which only counts leave the database.

        Parameters
        ----------
        by, every, bins, interval_method, confidence_level, cluster
            As in :func:`synfin_analytics.fraud_rate`; ``by``, ``bins`` and ``cluster`` name columns
            of ``transactions``.
        start, end
            Only transactions at or after ``start`` and before ``end``; a date without a time is its
            midnight UTC.
        as_of
            Compute the rates that were known at this date or time, as in
            :func:`synfin_analytics.fraud_rate`: only transactions before it, and a label whose
            ``label_available_at`` is later counts as missing.
        cache
            False to count in any case, although the answer may be in the cache (``DB_CACHE_URL``).
        archive
            Folder of :func:`archive_transactions` whose rows count too. The columns that are needed
            are read into memory then.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table
            The columns that :func:`synfin_analytics.fraud_rate` documents.

        Raises
        ------
        NotFoundError
            ``transactions`` has no such column; the message suggests the nearest one.
        ArgumentError
            ``end`` or ``as_of`` is not later than ``start``, or an option is invalid.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     rates = TransactionRepository(session).fraud_rate(end="1999-01-01")
        >>> rates["transactions"].tolist()
        [0]
        """
        check_interval(interval_method, confidence_level)
        groups = Groups.parse(by, bins, every, measures=MEASURES)
        clusters = Clusters.parse(cluster, groups.source_columns, self._table.c.keys())
        if archive is not None:
            self._flush()
            options: Any = {"every": every, "bins": bins, "interval_method": interval_method,
                       "confidence_level": confidence_level, "cluster": cluster}  # fmt: skip
            names = [*groups.source_columns, *clusters.columns, Transaction.amount.key]
            frame = read_transactions(self.session, archive, names, start, end, as_of)
            rates = fraud_rate(from_polars(frame, self.output), by, **options)
            return cast("RowsT", rates)
        where = between(start, end, as_of)
        columns = [
            *self._group_keys(groups),
            *(
                self._column(name).label(key)
                for name, key in zip(clusters.columns, clusters.keys, strict=True)
            ),
            known_label(Transaction.is_fraud, as_of).label("is_fraud"),
            in_minor_units(Transaction.amount).label("amount"),
        ]
        # A group by the label is one by the label that was known.
        query = select(*{column.key: column for column in columns}.values()).where(
            and_(True, *where)
        )
        count = functools.partial(count_rows, keys=groups.keys, clusters=clusters)
        counts = self._cached(
            "fraud_rate",
            count(query),
            lambda: self._count_in_slices(query, count, groups.period, where).to_native(),
            groups=groups.source_columns,
            enabled=cache,
        )
        rates = rates_from_counts(
            nw.from_native(counts, eager_only=True),
            groups,
            clusters,
            interval_method=interval_method,
            confidence_level=confidence_level,
        )
        return cast("RowsT", rates)

    def label_maturity(
        self,
        by: str | Sequence[str] | None = None,
        *,
        every: str = "1w",
        as_of: Bound = None,
        mature_age: int | None = None,
        confidence_level: float = 0.95,
        start: Bound = None,
        end: Bound = None,
        archive: str | Path | None = None,
    ) -> LabelMaturity:
        """Measure how much of the final number of frauds is known after each week.

        The result equals that of :func:`synfin_analytics.label_maturity` for the same transactions,
        of which only counts leave PostgreSQL.

        Parameters
        ----------
        by, every, as_of, mature_age, confidence_level
            As in :func:`synfin_analytics.label_maturity`; ``by`` names columns of ``transactions``.
        start, end
            Only transactions at or after ``start`` and before ``end``; a date without a time is its
            midnight UTC.
        archive
            Folder of :func:`archive_transactions` whose rows count too, as in :meth:`fraud_rate`.

        Returns
        -------
        LabelMaturity

        Raises
        ------
        NotFoundError
            ``transactions`` has no such column; the message suggests the nearest one.
        ArgumentError
            A label became known before its transaction, no label has a time, ``end`` is not later
            than ``start``, or an option is invalid.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     maturity = TransactionRepository(session).label_maturity(end="1999-01-01")
        >>> maturity
        LabelMaturity(no transactions)
        """
        check_maturity(mature_age, confidence_level)
        if archive is not None:
            frame = self._read_labels(archive, by, MATURITY_MEASURES, start, end, as_of)
            return label_maturity(
                frame,
                by=by,
                every=every,
                as_of=as_of,
                mature_age=mature_age,
                confidence_level=confidence_level,
            )
        triangles = self._count_triangles(by, MATURITY_MEASURES, every, as_of, start, end)
        return maturity_from_triangles(
            triangles, by, every, mature_age=mature_age, confidence_level=confidence_level
        )

    def nowcast_fraud_rate(
        self,
        by: str | Sequence[str] | None = None,
        *,
        every: str = "1w",
        as_of: Bound = None,
        mature_age: int | None = None,
        confidence_level: float = 0.9,
        n_resamples: int = 4000,
        seed: int = 0,
        start: Bound = None,
        end: Bound = None,
        archive: str | Path | None = None,
    ) -> FraudRateNowcast:
        """Estimate the final fraud rate of recent weeks, of which many frauds are not known yet.

        The result equals that of :func:`synfin_analytics.nowcast_fraud_rate` for the same
        transactions, of which only counts leave PostgreSQL.

        Parameters
        ----------
        by, every, as_of, mature_age, confidence_level, n_resamples, seed
            As in :func:`synfin_analytics.nowcast_fraud_rate`; ``by`` names columns of
            ``transactions``.
        start, end
            Only transactions at or after ``start`` and before ``end``; a date without a time is its
            midnight UTC.
        archive
            Folder of :func:`archive_transactions` whose rows count too, as in :meth:`fraud_rate`.

        Returns
        -------
        FraudRateNowcast

        Raises
        ------
        NotFoundError
            ``transactions`` has no such column; the message suggests the nearest one.
        ArgumentError
            A label became known before its transaction, no label has a time, ``end`` is not later
            than ``start``, or an option is invalid.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     nowcast = TransactionRepository(session).nowcast_fraud_rate(end="1999-01-01")
        >>> nowcast
        FraudRateNowcast(no transactions)
        """
        check_nowcast(mature_age, confidence_level, n_resamples, seed)
        if archive is not None:
            frame = self._read_labels(archive, by, NOWCAST_MEASURES, start, end, as_of)
            return nowcast_fraud_rate(
                frame,
                by=by,
                every=every,
                as_of=as_of,
                mature_age=mature_age,
                confidence_level=confidence_level,
                n_resamples=n_resamples,
                seed=seed,
            )
        triangles = self._count_triangles(by, NOWCAST_MEASURES, every, as_of, start, end)
        return nowcast_from_triangles(
            triangles,
            by,
            every,
            mature_age=mature_age,
            confidence_level=confidence_level,
            n_resamples=n_resamples,
            seed=seed,
        )

    def evaluate_rules(
        self,
        rules: Rules,
        *,
        cluster: str | Sequence[str] | None = AUTO,
        every: str = "1w",
        cost_per_alert: float = 5.0,
        recovery_rate: float = 1.0,
        interval_method: IntervalMethod = "wilson",
        confidence_level: float = 0.95,
        start: Bound = None,
        end: Bound = None,
        as_of: Bound = None,
        models: Mapping[str, tuple[str, str]] | None = None,
        timeout: float | None = 300.0,
        archive: str | Path | None = None,
    ) -> RuleEvaluation:
        """Evaluate rules inside PostgreSQL: what each catches, and what it adds to the others.

        The result equals that of :func:`synfin_analytics.evaluate_rules` for the same transactions,
        of which only counts leave PostgreSQL, in one statement.

        Parameters
        ----------
        rules
            A dict of SQL conditions by name, or pairs of name and condition, or names of boolean
            columns; see :func:`synfin_analytics.evaluate_rules`. Conditions are on columns of
            ``transactions``, and on those of ``models``.
        cluster, every, cost_per_alert, recovery_rate, interval_method, confidence_level
            As in :func:`synfin_analytics.evaluate_rules`.
        start, end
            Only transactions at or after ``start`` and before ``end``; a date without a time is its
            midnight UTC.
        as_of
            Evaluate the rules with what was known at this date or time, as in
            :meth:`fraud_rate`.
        models
            Names and versions of models whose ``fraud_probability`` conditions use, by a name for
            the column: with ``{"score": ("forest", "1.0")}``, ``"score >= 0.9"`` is a rule.
        timeout
            Maximum number of seconds of the statement; None for the server's own setting.
        archive
            Folder of :func:`archive_transactions` whose rows count too. The columns that are needed
            are read into memory then, and ``timeout`` has no effect.

        Returns
        -------
        RuleEvaluation
            A rule that cannot be evaluated is in ``failed``, with the reason; the others are
            evaluated. Its DataFrames are of the repository's ``output``.

        Raises
        ------
        NotFoundError
            ``transactions`` has no such column, or there is no such model.
        ArgumentError
            There are no rules, or none that can be evaluated; ``end`` or ``as_of`` is not later
            than ``start``; or an option is invalid.
        QueryError
            The statement takes longer than ``timeout``.

        Notes
        -----
        The statement runs in the session's transaction, behind a savepoint to which it returns: it
        sees what the session sees, including changes that are not committed, cannot write, and
        leaves no setting behind. A timeout or an interrupt leaves the session usable.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> rules = {"large": "amount > 500", "night": "hour_of_day < 5"}
        >>> with get_db_session() as session:
        ...     TransactionRepository(session).evaluate_rules(rules, end="1999-01-01")
        RuleEvaluation(2 rules, 0 alerts, 0 of 0 frauds)
        """
        check_interval(interval_method, confidence_level)
        costs = check_costs(cost_per_alert, recovery_rate)
        settings = Settings(*costs, Period.parse(every), interval_method, confidence_level)
        conditions, failed = parse_rules(rules)
        limit = check_timeout(timeout)
        scores = check_models(models, self._table.c.keys())
        clusters = Clusters.parse(cluster, [], self._table.c.keys())
        for name in clusters.columns:
            self._column(name)
        columns = Columns(
            Transaction.is_fraud.key,
            Transaction.amount.key,
            Transaction.timestamp.key,
            clusters,
            time_unit(settings.every),
        )
        known_at = parse_time(as_of, "as_of")
        where = between(start, end, as_of)
        sources, unparsed = parse_table_rules(conditions, table_types(list(scores)))
        failed = {**failed, **unparsed}
        if not sources:
            raise none_left(failed)
        self._flush()
        if archive is not None:
            names = [*clusters.columns, *(name for source in sources for name in source.columns)]
            frame, notes = read_scored(
                self.session, archive, [*names, Transaction.amount.key], scores, start, end, as_of
            )
            evaluation = evaluate_rules(
                frame,
                {source.name: conditions[source.name] for source in sources},
                cluster=cluster,
                every=every,
                cost_per_alert=cost_per_alert,
                recovery_rate=recovery_rate,
                interval_method=interval_method,
                confidence_level=confidence_level,
                as_of=as_of,
            )
            failed |= evaluation.failed
            return dataclasses.replace(
                evaluation,
                failed={name: failed[name] for name in in_order(rules, failed)},
                _output=self.output,
                _notes=(*notes, *evaluation._notes),
            )
        for model in scores.values():
            check_model_exists(self.session, *model)
        label = known_label(Transaction.is_fraud, as_of)
        stored = StoredRules(self.session, columns, where, label, scores, limit)
        cells, left, refused = stored.count(sources)
        return evaluation_from_counts(
            stored.rule_counts(cells, len(left)),
            left,
            {**failed, **refused},
            rules=rules,
            columns=columns,
            settings=settings,
            as_of=known_at,
            output=self.output,
            notes=stored.notes(cells),
        )

    def _read_labels(
        self,
        archive: str | Path,
        by: str | Sequence[str] | None,
        measures: Sequence[str],
        start: Bound,
        end: Bound,
        as_of: Bound,
    ) -> pl.DataFrame:
        """Read what labels are measured from, in both halves."""
        groups = Groups.parse(by, measures=measures)
        self._flush()
        names = [*groups.source_columns, Transaction.amount.key]
        return read_transactions(self.session, archive, names, start, end, as_of)

    def _count_triangles(
        self,
        by: str | Sequence[str] | None,
        measures: Sequence[str],
        every: str,
        as_of: Bound,
        start: Bound,
        end: Bound,
    ) -> list[tuple[GroupKey, Triangle]]:
        """Count the triangle of labels of each group."""
        groups = Groups.parse(by, measures=measures)
        period = Period.parse(every)
        timestamp, available = self._table.c.timestamp, self._table.c.label_available_at
        where = between(start, end, as_of)
        label = known_label(Transaction.is_fraud, as_of)
        columns = [*self._group_keys(groups), *label_columns(label, period)]
        query = select(*columns).where(and_(True, *where))
        count = functools.partial(count_labels, keys=groups.keys)
        counts = self._count_in_slices(query, count, period, where)
        if n_early := int(to_numpy_float(counts[EARLY]).sum()):
            early = and_(Transaction.is_fraud.is_not(None), available < timestamp, *where)
            first = self.session.scalar(
                select(Transaction.transaction_id).where(early).order_by(self._key).limit(1)
            )
            names = timestamp.key, available.key
            raise early_label_error(*names, n_early, f" (the first is transaction {first!r})")
        return triangles_from_counts(counts, groups, period, parse_time(as_of, "as_of"))

    def _count_in_slices(
        self,
        query: Select[Any],
        count: Callable[[Select[Any]], Select[Any]],
        period: Period | None,
        where: list[ColumnElement[bool]],
    ) -> nw.DataFrame[Any]:
        """Count the rows of a query, in slices of time if they are grouped by ``period``."""
        self._flush()
        if period is None:
            return nw.from_native(self._read(count(query)), eager_only=True)
        slices = time_slices(self.session, Transaction.timestamp, period, where)
        with query_settings(self.session, BY_SLICE):
            counts = self._read(union_all(*(count(query.where(*part)) for part in slices)))
        return nw.from_native(counts, eager_only=True)

    def _group_keys(self, groups: Groups) -> list[ColumnElement[Any]]:
        """Expressions of the groups of a row, labelled as in ``groups.keys``."""
        keys = [self._column(name) for name in groups.columns]
        keys += [bin_number(self._column(band.column), band) for band in groups.bins]
        if groups.period is not None:
            timestamp = self._column(groups.timestamp)
            keys.append(period_start(timestamp, groups.period).label(groups.timestamp))
        return keys


def within_dates(start_date: Bound, end_date: Bound) -> list[ColumnElement[bool]]:
    """Conditions that a transaction is within these dates, both included."""
    return between_times(*parse_closed_range(start_date, end_date))


def between(start: Bound, end: Bound, as_of: Bound = None) -> list[ColumnElement[bool]]:
    """Conditions that a transaction is at or after ``start``, and before ``end`` and ``as_of``."""
    return between_times(*parse_known_range(start, end, as_of))


def between_times(
    first: dt.datetime | None, after: dt.datetime | None
) -> list[ColumnElement[bool]]:
    """Conditions that a transaction is at or after one time and before another one."""
    conditions: list[ColumnElement[bool]] = []
    if first is not None:
        conditions.append(Transaction.timestamp >= first)
    if after is not None:
        conditions.append(Transaction.timestamp < after)
    return conditions


def known_label(label: InstrumentedAttribute[bool | None], as_of: Bound) -> ColumnElement[Any]:
    """Label of a transaction where it was known at a time, by default every one; otherwise NULL."""
    time = parse_time(as_of, "as_of")
    if time is None:
        return label.expression
    available_at = Transaction.label_available_at
    return case((or_(available_at.is_(None), available_at <= time), label))
