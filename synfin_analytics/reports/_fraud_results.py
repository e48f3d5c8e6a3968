"""The numbers of a fraud report, computed from transactions."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.database.models import Merchant, Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.reports._groups import choose_grouping, describe_grouping
from synfin_analytics.reports._queries import (
    LabelDelays,
    read_amounts,
    read_label_maturity,
    read_losses,
    read_row,
    single_currency,
)
from synfin_analytics.repositories import TransactionRepository
from synfin_analytics.repositories.transactions import between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from synfin_analytics.repositories.transactions import TransactionStatistics

#: Bins of amounts that are compared by default.
_DEFAULT_BINS = {"amount": (10, 25, 50, 100, 200)}
#: Days from which on the periods of a report are months, and weeks.
_MONTHS_FROM, _WEEKS_FROM = 730, 60
#: Columns of the rows of a report: enough to compute each of its numbers again.
_COLUMNS = (
    Transaction.transaction_id,
    Transaction.timestamp,
    Transaction.customer_id,
    Transaction.merchant_id,
    Transaction.amount,
    Transaction.is_fraud,
    Transaction.fraud_type,
    Transaction.label_available_at,
)


@dataclass(frozen=True, eq=False, repr=False)
class FraudResults:
    """The numbers of a fraud report; see :class:`synfin_analytics.FraudReport`."""

    statistics: TransactionStatistics
    first: dt.datetime
    last: dt.datetime
    amounts: pd.DataFrame
    delays: LabelDelays
    overall: pd.DataFrame
    rates: Mapping[str, pd.DataFrame]
    every: str
    over_time: pd.DataFrame
    types: pd.DataFrame
    merchants: pd.DataFrame
    maturity: pd.DataFrame
    confidence_level: float

    @property
    def currency(self) -> str:
        """Currency of the amounts; "" where it is unknown or there are several."""
        return single_currency(self.amounts["currency"].tolist())

    @property
    def several_currencies(self) -> bool:
        """Whether amounts cannot be added; an unknown currency besides another is one."""
        return len(self.amounts) > 1


class FraudComputation:
    """Computes the numbers of a fraud report.

    Parameters
    ----------
    session
        Where to read.
    period
        Start and end of the transactions.
    confidence_level
        Of all intervals.
    """

    def __init__(
        self,
        session: Session,
        period: tuple[dt.datetime | None, dt.datetime | None],
        confidence_level: float,
    ) -> None:
        self._session, self._period = session, period
        self._confidence_level = confidence_level
        self._repository = TransactionRepository(session)

    @property
    def query(self) -> Select[Any]:
        """SELECT of the rows that the report is computed from."""
        query: Any = select(*_COLUMNS)
        return self._restrict(query).order_by(Transaction.timestamp)

    def compute(
        self,
        by: Sequence[str | tuple[str, ...]] | None,
        every: str | None,
        bins: Mapping[str, Sequence[float]] | None,
        n_merchants: int,
    ) -> dict[str, Any]:
        """Return the attributes of :class:`FraudResults`.

        Parameters
        ----------
        by
            Columns to group by; None for a choice by the data.
        every
            Length of the periods; None for a choice by the data.
        bins
            Columns of numbers and the edges of their bins; None for bins of the amount, if ``by``
            is None too.
        n_merchants
            How many merchants are listed.
        """
        # First, because it raises an error that explains what a database without tables lacks.
        overall = self._fraud_rate()
        extent = self._read_extent()
        every = every or _choose_period((extent["last"] - extent["first"]).days)
        amounts = read_amounts(self._session, self._restrict)
        if bins is None:  # a bin of several currencies mixes small and large amounts
            bins = _DEFAULT_BINS if by is None and len(amounts) == 1 else {}
        # Losses in several currencies cannot be compared; numbers of frauds can.
        criterion = "lost_amount" if len(amounts) == 1 else "frauds"
        return extent | {
            "statistics": self._read_statistics(),
            "overall": overall,
            "rates": self._rates(by, bins),
            "every": every,
            "over_time": self._fraud_rate(every=every),
            "amounts": amounts,
            "types": self._types(criterion),
            "merchants": self._merchants(n_merchants, criterion),
            "maturity": read_label_maturity(self._session, self._restrict),
            "confidence_level": self._confidence_level,
        }

    def _restrict(self, query: Select[Any]) -> Select[Any]:
        return query.where(*between(*self._period))

    def _fraud_rate(self, by: Any = None, **options: Any) -> pd.DataFrame:
        start, end = self._period
        rates: pd.DataFrame = self._repository.fraud_rate(
            by, start=start, end=end, confidence_level=self._confidence_level, **options
        )
        return rates

    def _read_statistics(self) -> TransactionStatistics:
        start, end = self._period
        # The end date of this method is included.
        return self._repository.get_statistics(start, end and end - dt.timedelta.resolution)

    def _read_extent(self) -> dict[str, Any]:
        """Return the times of the first and the last transaction, and the delays of labels."""
        query: Any = select(
            func.min(Transaction.timestamp).label("first"),
            func.max(Transaction.timestamp).label("last"),
            *LabelDelays.columns(Transaction.is_fraud.is_not(None)),
        )
        extent = read_row(self._session, self._restrict(query))
        if extent["first"] is None:
            raise ArgumentError(
                "There are no transactions to report on"
                + (" in this period." if any(self._period) else "; load some first.")
            )
        return extent

    def _rates(
        self,
        by: Sequence[str | tuple[str, ...]] | None,
        bins: Mapping[str, Sequence[float]],
    ) -> dict[str, pd.DataFrame]:
        if by is None:
            by = choose_grouping(self._session, self._restrict)
        rates = {describe_grouping(columns): self._fraud_rate(columns) for columns in by}
        return rates | {
            describe_grouping(column): self._fraud_rate(bins={column: edges})
            for column, edges in bins.items()
        }

    def _types(self, criterion: str) -> pd.DataFrame:
        types = read_losses(self._session, Transaction.__table__.c.fraud_type, self._restrict)
        return add_share(types, criterion)

    def _merchants(self, n_merchants: int, criterion: str) -> pd.DataFrame:
        losses = read_losses(self._session, Transaction.__table__.c.merchant_id, self._restrict)
        losses = add_share(losses, criterion)
        losses = losses[losses[criterion] > 0]
        losses = losses.sort_values(criterion, ascending=False, kind="stable").head(n_merchants)
        merchants = self._fraud_rate("merchant_id").merge(
            losses[["merchant_id", "lost_amount", "share"]], on="merchant_id"
        )
        order = losses["merchant_id"].tolist()
        merchants = merchants.set_index("merchant_id").loc[order].reset_index()
        query = select(Merchant.merchant_id, Merchant.name).where(Merchant.merchant_id.in_(order))
        names = {row.merchant_id: row.name for row in self._session.execute(query)}
        merchants.insert(1, "name", [names[merchant] or "" for merchant in order])
        return merchants


def add_share(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Add the ``share`` of the sum of a column that each row has."""
    return frame.assign(share=ratio(frame[column], float(frame[column].sum())))


def _choose_period(n_days: int) -> str:
    return "1mo" if n_days > _MONTHS_FROM else "1w" if n_days > _WEEKS_FROM else "1d"
