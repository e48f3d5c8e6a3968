"""Customers: by risk and status, with statistics of their transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from synfin_analytics.database.models import RISK_CATEGORIES, Customer
from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.repositories._transaction_stats import PartyRepository
from synfin_analytics.repositories.base import RowsT

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from sqlalchemy.orm import Session

    from synfin_analytics._core.output import Output


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
        return self._find(email=email)

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
