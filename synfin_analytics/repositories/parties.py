"""Customers and merchants, and what their transactions say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import and_, func, or_, select, update

from synfin_analytics._core.arguments import check_share
from synfin_analytics.database.models import Customer, Merchant, Transaction
from synfin_analytics.database.models.base import RISK_CATEGORIES
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.repositories._errors import savepoint
from synfin_analytics.repositories.base import BaseRepository, ModelT

if TYPE_CHECKING:
    from synfin_analytics.repositories.base import Rows

#: Money that did not move, or came back, is not spent.
NOT_SPENT_STATUS = ("declined", "failed", "reversed", "refunded")
NOT_SPENT_TYPE = ("deposit", "refund")


class _PartyRepository(BaseRepository[ModelT]):
    """What customers and merchants share: a risk, and statistics of their transactions."""

    #: Columns of count, sum, mean and frauds.
    _statistics: ClassVar[tuple[str, str, str, str]]

    def _high_risk(self, risk_threshold: float, limit: int | None) -> Rows:
        risk = self._column("risk_score")
        threshold = check_share(risk_threshold, "risk_threshold", "a score")
        return self._many(risk >= threshold, order=(risk.desc(),), limit=limit)

    def _update_transaction_stats(self, party_id: str | None) -> int:
        """Count, for one or all, in one UPDATE.

        Every party is joined from its own table, so that one without transactions gets 0, too.
        """
        self._flush()
        table = self._table
        key = table.c[self._spec.primary_key]
        spent = and_(
            or_(Transaction.status.is_(None), Transaction.status.not_in(NOT_SPENT_STATUS)),
            or_(
                Transaction.transaction_type.is_(None),
                Transaction.transaction_type.not_in(NOT_SPENT_TYPE),
            ),
        )
        counted = (
            select(
                Transaction.__table__.c[key.name],
                func.count().filter(spent).label("count"),
                func.coalesce(func.sum(Transaction.amount).filter(spent), 0).label("sum"),
                func.avg(Transaction.amount).filter(spent).label("mean"),
                func.count().filter(Transaction.is_fraud.is_(True)).label("frauds"),
            )
            .group_by(Transaction.__table__.c[key.name])
            .subquery("counted")
        )
        party = table.alias("party")
        values = (
            select(
                party.c[key.name],
                func.coalesce(counted.c["count"], 0).label("count"),
                func.coalesce(counted.c["sum"], 0).label("sum"),
                counted.c["mean"],
                func.coalesce(counted.c["frauds"], 0).label("frauds"),
            )
            .select_from(party.outerjoin(counted, party.c[key.name] == counted.c[key.name]))
            .subquery("stats")
        )
        names = ("count", "sum", "mean", "frauds")
        statement = (
            update(table)
            .where(key == values.c[key.name])
            .values(
                {
                    column: values.c[name]
                    for column, name in zip(self._statistics, names, strict=True)
                }
            )
        )
        if party_id is not None:
            statement = statement.where(*self._is(**{key.name: party_id}))
        with savepoint(self.session):
            updated: Any = self.session.execute(statement)
        for entity in self.session.identity_map.values():
            if isinstance(entity, self.model):  # what it was read with is no longer so
                self.session.expire(entity, [*self._statistics, "updated_at"])
        return int(updated.rowcount)


class CustomerRepository(_PartyRepository[Customer]):
    """Customers."""

    model = Customer
    _statistics = (
        "transaction_count",
        "total_spent",
        "avg_transaction_amount",
        "fraud_history_count",
    )

    def get_by_customer_id(self, customer_id: str) -> Customer | None:
        """Return the customer with this key."""
        return self.get_by_id(customer_id)

    def get_by_email(self, email: str) -> Customer | None:
        """Return the customer with this address, written as it is stored."""
        return self._one(email=email)

    def get_by_risk_category(
        self, risk_category: str, limit: int | None = None, offset: int = 0
    ) -> Rows:
        """Return customers of a category (low, medium, high, critical), the highest score first."""
        if risk_category not in RISK_CATEGORIES:
            raise NotFoundError("risk category", risk_category, RISK_CATEGORIES)
        order = (Customer.risk_score.desc().nulls_last(),)
        where = self._is(risk_category=risk_category)
        return self._many(*where, order=order, limit=limit, offset=offset)

    def get_high_risk_customers(
        self, risk_threshold: float = 0.7, limit: int | None = None
    ) -> Rows:
        """Return customers whose risk score is at least the threshold, the highest first."""
        return self._high_risk(risk_threshold, limit)

    def get_active_customers(self, limit: int | None = None, offset: int = 0) -> Rows:
        """Return customers whose account is active, by key."""
        return self._many(*self._is(account_status="active"), limit=limit, offset=offset)

    def update_transaction_stats(self, customer_id: str | None = None) -> int:
        """Count customers' transactions anew: for one, or for all in one statement.

        ``transaction_count``, ``total_spent`` and ``avg_transaction_amount`` are of money that was
        spent: all transactions but those declined, failed, reversed or refunded, and but deposits
        and refunds; a status that is not known counts. ``fraud_history_count`` is of all frauds,
        also of those that were declined. Without transactions the counts and the sum are 0, and
        the mean is NULL.

        Returns
        -------
        int
            Number of customers updated; 0 if there is none of that key.
        """
        return self._update_transaction_stats(customer_id)


class MerchantRepository(_PartyRepository[Merchant]):
    """Merchants."""

    model = Merchant
    _statistics = (
        "total_transactions",
        "total_revenue",
        "avg_transaction_amount",
        "fraud_report_count",
    )

    def get_by_merchant_id(self, merchant_id: str) -> Merchant | None:
        """Merchant with this key."""
        return self.get_by_id(merchant_id)

    def get_by_category(self, category: str, limit: int | None = None, offset: int = 0) -> Rows:
        """Merchants of a category, by key."""
        return self._many(*self._is(category=category), limit=limit, offset=offset)

    def get_high_risk_merchants(
        self, risk_threshold: float = 0.7, limit: int | None = None
    ) -> Rows:
        """Merchants whose risk score is at least the threshold, the highest first."""
        return self._high_risk(risk_threshold, limit)

    def update_transaction_stats(self, merchant_id: str | None = None) -> int:
        """Count merchants' transactions anew: for one, or for all in one statement.

        ``total_transactions``, ``total_revenue``, ``avg_transaction_amount`` and
        ``fraud_report_count``, by the rules of :meth:`CustomerRepository.update_transaction_stats`.

        Returns
        -------
        int
            Number of merchants updated; 0 if there is none of that key.
        """
        return self._update_transaction_stats(merchant_id)
