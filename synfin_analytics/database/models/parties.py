"""Customers and merchants: the two sides of a transaction."""

from typing import TYPE_CHECKING

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from synfin_analytics._core.validation.rules import Matches, Range
from synfin_analytics.database.models.base import (
    Base,
    Code,
    Count,
    CreatedAt,
    Day,
    Key,
    Latitude,
    Line,
    Longitude,
    Moment,
    MoneyMean,
    MoneySum,
    Name,
    Score,
    Small,
    UpdatedAt,
    closed,
    personal,
)

if TYPE_CHECKING:
    from synfin_analytics.database.models.transactions import Transaction

RISK_CATEGORIES = ("low", "medium", "high", "critical")


class Customer(Base):
    """A card holder; everything that names a person may be NULL.

    Examples
    --------
    >>> Customer(customer_id="C1", email="someone@example.org")
    Customer(customer_id='C1')
    """

    __tablename__ = "customers"

    customer_id: Mapped[Key] = mapped_column(primary_key=True)
    first_name: Mapped[Name | None] = mapped_column(info=personal())
    last_name: Mapped[Name | None] = mapped_column(info=personal())
    #: Unique where it is given.
    email: Mapped[str | None] = mapped_column(String(254), unique=True, info=personal())
    phone: Mapped[str | None] = mapped_column(String(32), info=personal())

    date_of_birth: Mapped[Day | None] = mapped_column(info=personal())
    age: Mapped[Small | None] = mapped_column(info={"rule": Range(0, 150)})
    gender: Mapped[Code | None] = mapped_column(info=closed("female", "male", "other", "unknown"))
    occupation: Mapped[Name | None]
    income_level: Mapped[Code | None] = mapped_column(info=closed("low", "medium", "high"))

    address: Mapped[Line | None] = mapped_column(info=personal())
    city: Mapped[Name | None]
    state: Mapped[Name | None]
    country: Mapped[Name | None]
    zip_code: Mapped[str | None] = mapped_column(String(20), info=personal())
    latitude: Mapped[Latitude | None] = mapped_column(info=personal(Range(-90, 90)))
    longitude: Mapped[Longitude | None] = mapped_column(info=personal(Range(-180, 180)))

    account_created: Mapped[Moment | None]
    account_status: Mapped[Code | None] = mapped_column(
        info=closed("active", "inactive", "dormant", "suspended", "closed")
    )
    credit_score: Mapped[Small | None] = mapped_column(info={"rule": Range(0, 1000)})

    avg_transaction_amount: Mapped[MoneyMean | None] = mapped_column(info={"rule": Range(0)})
    transaction_count: Mapped[Count | None]
    total_spent: Mapped[MoneySum | None] = mapped_column(info={"rule": Range(0)})
    fraud_history_count: Mapped[Count | None]

    risk_score: Mapped[Score | None] = mapped_column(index=True)
    risk_category: Mapped[Code | None] = mapped_column(info=closed(*RISK_CATEGORIES))

    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    transactions: Mapped[list["Transaction"]] = relationship(back_populates="customer")


class Merchant(Base):
    """Who is paid.

    Examples
    --------
    >>> Merchant(merchant_id="M1", name="Corner shop", category="grocery")
    Merchant(merchant_id='M1')
    """

    __tablename__ = "merchants"

    merchant_id: Mapped[Key] = mapped_column(primary_key=True)
    name: Mapped[Line | None]
    category: Mapped[Name | None] = mapped_column(index=True)
    mcc_code: Mapped[str | None] = mapped_column(
        String(4), info={"rule": Matches("^[0-9]{4}$", "four digits (ISO 18245)")}
    )

    city: Mapped[Name | None]
    state: Mapped[Name | None]
    country: Mapped[Name | None]

    risk_score: Mapped[Score | None] = mapped_column(index=True)
    risk_category: Mapped[Code | None] = mapped_column(info=closed(*RISK_CATEGORIES))
    fraud_report_count: Mapped[Count | None]

    total_transactions: Mapped[Count | None]
    total_revenue: Mapped[MoneySum | None] = mapped_column(info={"rule": Range(0)})
    avg_transaction_amount: Mapped[MoneyMean | None] = mapped_column(info={"rule": Range(0)})

    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    transactions: Mapped[list["Transaction"]] = relationship(back_populates="merchant")
