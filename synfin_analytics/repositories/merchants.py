"""Merchants: by category and risk, with statistics of their transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

from synfin_analytics.database.models import Merchant
from synfin_analytics.repositories._transaction_stats import PartyRepository
from synfin_analytics.repositories.base import RowsT

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from sqlalchemy.orm import Session

    from synfin_analytics._core.output import Output


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
