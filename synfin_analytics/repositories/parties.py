"""Customers and merchants: by risk and status, with statistics of their transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from sqlalchemy import and_, func, or_, select, update

from synfin_analytics._core.arguments import check_share
from synfin_analytics.database.models import RISK_CATEGORIES, Customer, Merchant, Transaction
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.repositories._validation import savepoint
from synfin_analytics.repositories.base import BaseRepository, ModelT, RowsT

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from sqlalchemy.orm import Session

    from synfin_analytics._core.output import Output

#: Status and type of transactions whose amount was not spent: no money moved, or it came back.
NOT_SPENT_STATUS = ("declined", "failed", "reversed", "refunded")
NOT_SPENT_TYPE = ("deposit", "refund")


class PartyRepository(BaseRepository[ModelT, RowsT]):
    """Repository of customers or merchants."""

    #: Columns of count, sum, mean and number of frauds.
    _statistics: ClassVar[tuple[str, str, str, str]]

    def _high_risk(self, risk_threshold: float, limit: int | None) -> RowsT:
        risk = self._column("risk_score")
        threshold = check_share(risk_threshold, "risk_threshold", "a score")
        return self._select(risk >= threshold, order=(risk.desc(),), limit=limit)

    def _update_transaction_stats(self, party_id: str | None) -> int:
        """Update the statistics of one party or all in one statement; return their number.

        The join begins with the parties, so that those without transactions get zeros too.
        """
        self._flush()
        table = self._table
        key = table.c[self._spec.primary_key]
        transaction_key = Transaction.__table__.c[key.name]
        spent = and_(
            or_(Transaction.status.is_(None), Transaction.status.not_in(NOT_SPENT_STATUS)),
            or_(
                Transaction.transaction_type.is_(None),
                Transaction.transaction_type.not_in(NOT_SPENT_TYPE),
            ),
        )
        totals = (
            select(
                transaction_key,
                func.count().filter(spent).label("count"),
                func.sum(Transaction.amount).filter(spent).label("sum"),
                func.avg(Transaction.amount).filter(spent).label("mean"),
                func.count().filter(Transaction.is_fraud.is_(True)).label("frauds"),
            )
            .group_by(transaction_key)
            .subquery("totals")
        )
        party = table.alias("party")
        statistics = (
            select(
                party.c[key.name],
                totals.c["mean"],
                *(
                    func.coalesce(totals.c[name], 0).label(name)
                    for name in ("count", "sum", "frauds")
                ),
            )
            .select_from(party.outerjoin(totals, party.c[key.name] == totals.c[key.name]))
            .subquery("statistics")
        )
        names = zip(self._statistics, ("count", "sum", "mean", "frauds"), strict=True)
        statement = (
            update(table)
            .where(key == statistics.c[key.name])
            .values({column: statistics.c[name] for column, name in names})
        )
        if party_id is not None:
            statement = statement.where(*self._equals(**{key.name: party_id}))
        with savepoint(self.session):
            result: Any = self.session.execute(statement)
        for entity in self.session.identity_map.values():
            if isinstance(entity, self.model):  # its values are outdated
                self.session.expire(entity, [*self._statistics, "updated_at"])
        return int(result.rowcount)


class CustomerRepository(PartyRepository[Customer, RowsT]):
    """Customers.

    See :class:`BaseRepository` for the parameters and the common methods.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager, get_db_session
    >>> get_db_manager().create_all_tables()
    >>> with get_db_session() as session:
    ...     customers = CustomerRepository(session)
    ...     customer = customers.create(customer_id="C9", risk_score=0.9)
    ...     risky = customers.get_high_risk_customers(0.8)
    >>> risky["customer_id"].tolist()
    ['C9']
    """

    model = Customer
    _statistics = (
        "transaction_count",
        "total_spent",
        "avg_transaction_amount",
        "fraud_history_count",
    )

    # fmt: off
    @overload
    def __init__(self: CustomerRepository[pd.DataFrame], session: Session,
                 output: Literal["pandas"] = ..., *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: CustomerRepository[pl.DataFrame], session: Session,
                 output: Literal["polars"], *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: CustomerRepository[pa.Table], session: Session,
                 output: Literal["arrow"], *, use_decimal: bool = ...) -> None: ...
    def __init__(self, session: Session, output: Output = "pandas", *,
                 use_decimal: bool = False) -> None:  # as in BaseRepository, but for the overloads
        super().__init__(session, output, use_decimal=use_decimal)
    # fmt: on

    def get_by_customer_id(self, customer_id: str) -> Customer | None:
        """Return the customer with this key.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     CustomerRepository(session).get_by_customer_id("no such id") is None
        True
        """
        return self.get_by_id(customer_id)

    def get_by_email(self, email: str) -> Customer | None:
        """Return the customer with this e-mail address, exactly as it is stored.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     CustomerRepository(session).get_by_email("ana@example.org") is None
        True
        """
        return self._find("email", email)

    def get_by_risk_category(
        self, risk_category: str, limit: int | None = None, offset: int = 0
    ) -> RowsT:
        """Return the customers in a risk category, highest score first.

        Parameters
        ----------
        risk_category
            ``"low"``, ``"medium"``, ``"high"`` or ``"critical"``.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(CustomerRepository(session).get_by_risk_category("critical", limit=10))
        0
        """
        if risk_category not in RISK_CATEGORIES:
            raise NotFoundError("risk category", risk_category, RISK_CATEGORIES)
        order = (Customer.risk_score.desc().nulls_last(),)
        where = self._equals(risk_category=risk_category)
        return self._select(*where, order=order, limit=limit, offset=offset)

    def get_high_risk_customers(
        self, risk_threshold: float = 0.7, limit: int | None = None
    ) -> RowsT:
        """Return the customers whose risk score is at least the threshold, highest first.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(CustomerRepository(session).get_high_risk_customers(0.99))
        0
        """
        return self._high_risk(risk_threshold, limit)

    def get_active_customers(self, limit: int | None = None, offset: int = 0) -> RowsT:
        """Return the customers whose account is active, by key.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(CustomerRepository(session).get_active_customers(limit=10))
        0
        """
        return self._select(*self._equals(account_status="active"), limit=limit, offset=offset)

    def update_transaction_stats(self, customer_id: str | None = None) -> int:
        """Update the statistics of customers from their transactions, in one statement.

        ``transaction_count``, ``total_spent`` and ``avg_transaction_amount`` include the
        transactions that were spent: all except those that were declined, failed, reversed or
        refunded, and except deposits and refunds; a missing status counts as spent.
        ``fraud_history_count`` includes all frauds, also declined ones. Without transactions the
        counts and the sum are 0, and the mean is NULL.

        Parameters
        ----------
        customer_id
            Key of one customer; all by default.

        Returns
        -------
        int
            Number of customers that were updated.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     CustomerRepository(session).update_transaction_stats("no such id")
        0
        """
        return self._update_transaction_stats(customer_id)


class MerchantRepository(PartyRepository[Merchant, RowsT]):
    """Merchants.

    See :class:`BaseRepository` for the parameters and the common methods.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager, get_db_session
    >>> get_db_manager().create_all_tables()
    >>> with get_db_session() as session:
    ...     merchants = MerchantRepository(session)
    ...     merchant = merchants.create(merchant_id="M9", category="travel")
    ...     travel = merchants.get_by_category("travel")
    >>> travel["merchant_id"].tolist()
    ['M9']
    """

    model = Merchant
    _statistics = (
        "total_transactions",
        "total_revenue",
        "avg_transaction_amount",
        "fraud_report_count",
    )

    # fmt: off
    @overload
    def __init__(self: MerchantRepository[pd.DataFrame], session: Session,
                 output: Literal["pandas"] = ..., *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: MerchantRepository[pl.DataFrame], session: Session,
                 output: Literal["polars"], *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: MerchantRepository[pa.Table], session: Session,
                 output: Literal["arrow"], *, use_decimal: bool = ...) -> None: ...
    def __init__(self, session: Session, output: Output = "pandas", *,
                 use_decimal: bool = False) -> None:  # as in BaseRepository, but for the overloads
        super().__init__(session, output, use_decimal=use_decimal)
    # fmt: on

    def get_by_merchant_id(self, merchant_id: str) -> Merchant | None:
        """Return the merchant with this key.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     MerchantRepository(session).get_by_merchant_id("no such id") is None
        True
        """
        return self.get_by_id(merchant_id)

    def get_by_category(self, category: str, limit: int | None = None, offset: int = 0) -> RowsT:
        """Return the merchants of a category, by key.

        Parameters
        ----------
        category
            Category, exactly as it is stored.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(MerchantRepository(session).get_by_category("no such category"))
        0
        """
        return self._select(*self._equals(category=category), limit=limit, offset=offset)

    def get_high_risk_merchants(
        self, risk_threshold: float = 0.7, limit: int | None = None
    ) -> RowsT:
        """Return the merchants whose risk score is at least the threshold, highest first.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(MerchantRepository(session).get_high_risk_merchants(0.99))
        0
        """
        return self._high_risk(risk_threshold, limit)

    def update_transaction_stats(self, merchant_id: str | None = None) -> int:
        """Update the statistics of merchants from their transactions, in one statement.

        The columns are ``total_transactions``, ``total_revenue``, ``avg_transaction_amount`` and
        ``fraud_report_count``; which transactions they include is documented in
        :meth:`CustomerRepository.update_transaction_stats`.

        Parameters
        ----------
        merchant_id
            Key of one merchant; all by default.

        Returns
        -------
        int
            Number of merchants that were updated.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     MerchantRepository(session).update_transaction_stats("no such id")
        0
        """
        return self._update_transaction_stats(merchant_id)
