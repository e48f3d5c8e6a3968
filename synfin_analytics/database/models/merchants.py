"""Merchants: the recipients of payments."""

from typing import TYPE_CHECKING

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from synfin_analytics._core.validation.rules import Matches, Range
from synfin_analytics.database.models.base import (
    RISK_CATEGORIES,
    Base,
    Code,
    Count,
    CreatedAt,
    Key,
    MoneyMean,
    MoneySum,
    Name,
    Score,
    ShortText,
    UpdatedAt,
    one_of,
)

if TYPE_CHECKING:
    from synfin_analytics.database.models.transactions import Transaction


class Merchant(Base):
    """A merchant, who receives payments.

    Examples
    --------
    >>> Merchant(merchant_id="M1", name="Corner shop", category="grocery")
    Merchant(merchant_id='M1')
    """

    __tablename__ = "merchants"

    merchant_id: Mapped[Key] = mapped_column(primary_key=True)
    name: Mapped[ShortText | None]
    category: Mapped[Name | None] = mapped_column(index=True)
    mcc_code: Mapped[str | None] = mapped_column(
        String(4), info={"rule": Matches("^[0-9]{4}$", "four digits (ISO 18245)")}
    )

    city: Mapped[Name | None]
    state: Mapped[Name | None]
    country: Mapped[Name | None]

    risk_score: Mapped[Score | None] = mapped_column(index=True)
    risk_category: Mapped[Code | None] = mapped_column(info=one_of(*RISK_CATEGORIES))
    fraud_report_count: Mapped[Count | None]

    total_transactions: Mapped[Count | None]
    total_revenue: Mapped[MoneySum | None] = mapped_column(info={"rule": Range(0)})
    avg_transaction_amount: Mapped[MoneyMean | None] = mapped_column(info={"rule": Range(0)})

    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    transactions: Mapped[list["Transaction"]] = relationship(back_populates="merchant")
