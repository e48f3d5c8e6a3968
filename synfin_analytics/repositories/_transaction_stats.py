"""What the repositories of customers and merchants share: risk, and statistics of transactions."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import and_, func, or_, select, update

from synfin_analytics._core.arguments import check_share
from synfin_analytics.database.models import Transaction
from synfin_analytics.repositories._errors import savepoint
from synfin_analytics.repositories.base import BaseRepository, ModelT, RowsT

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
                func.coalesce(func.sum(Transaction.amount).filter(spent), 0).label("sum"),
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
                func.coalesce(totals.c["count"], 0).label("count"),
                func.coalesce(totals.c["sum"], 0).label("sum"),
                totals.c["mean"],
                func.coalesce(totals.c["frauds"], 0).label("frauds"),
            )
            .select_from(party.outerjoin(totals, party.c[key.name] == totals.c[key.name]))
            .subquery("statistics")
        )
        values = dict(zip(self._statistics, ("count", "sum", "mean", "frauds"), strict=True))
        statement = (
            update(table)
            .where(key == statistics.c[key.name])
            .values({column: statistics.c[name] for column, name in values.items()})
        )
        if party_id is not None:
            statement = statement.where(*self._equals(**{key.name: party_id}))
        with savepoint(self.session):
            result: Any = self.session.execute(statement)
        for entity in self.session.identity_map.values():
            if isinstance(entity, self.model):  # its values are outdated
                self.session.expire(entity, [*self._statistics, "updated_at"])
        return int(result.rowcount)
