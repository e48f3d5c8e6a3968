"""Customers: the card holders."""

from typing import TYPE_CHECKING

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from synfin_analytics._core.validation.rules import Range
from synfin_analytics.database.models.base import (
    RISK_CATEGORIES,
    Base,
    CalendarDate,
    Code,
    Count,
    CreatedAt,
    Key,
    Latitude,
    Longitude,
    MoneyMean,
    MoneySum,
    Name,
    Score,
    ShortText,
    SmallInt,
    Timestamp,
    UpdatedAt,
    one_of,
    personal,
)

if TYPE_CHECKING:
    from synfin_analytics.database.models.transactions import Transaction


class Customer(Base):
    """A card holder; every column that identifies a person may be NULL.

    Examples
    --------
    >>> Customer(customer_id="C1", email="someone@example.org")
    Customer(customer_id='C1')
    """

    __tablename__ = "customers"

    customer_id: Mapped[Key] = mapped_column(primary_key=True)
    first_name: Mapped[Name | None] = mapped_column(info=personal())
    last_name: Mapped[Name | None] = mapped_column(info=personal())
    #: Unique among the values that are given.
    email: Mapped[str | None] = mapped_column(String(254), unique=True, info=personal())
    phone: Mapped[str | None] = mapped_column(String(32), info=personal())

    date_of_birth: Mapped[CalendarDate | None] = mapped_column(info=personal())
    age: Mapped[SmallInt | None] = mapped_column(info={"rule": Range(0, 150)})
    gender: Mapped[Code | None] = mapped_column(info=one_of("female", "male", "other", "unknown"))
    occupation: Mapped[Name | None]
    income_level: Mapped[Code | None] = mapped_column(info=one_of("low", "medium", "high"))

    address: Mapped[ShortText | None] = mapped_column(info=personal())
    city: Mapped[Name | None]
    state: Mapped[Name | None]
    country: Mapped[Name | None]
    zip_code: Mapped[str | None] = mapped_column(String(20), info=personal())
    latitude: Mapped[Latitude | None] = mapped_column(info=personal(Range(-90, 90)))
    longitude: Mapped[Longitude | None] = mapped_column(info=personal(Range(-180, 180)))

    account_created: Mapped[Timestamp | None]
    account_status: Mapped[Code | None] = mapped_column(
        info=one_of("active", "inactive", "dormant", "suspended", "closed")
    )
    credit_score: Mapped[SmallInt | None] = mapped_column(info={"rule": Range(0, 1000)})

    avg_transaction_amount: Mapped[MoneyMean | None] = mapped_column(info={"rule": Range(0)})
    transaction_count: Mapped[Count | None]
    total_spent: Mapped[MoneySum | None] = mapped_column(info={"rule": Range(0)})
    fraud_history_count: Mapped[Count | None]

    risk_score: Mapped[Score | None] = mapped_column(index=True)
    risk_category: Mapped[Code | None] = mapped_column(info=one_of(*RISK_CATEGORIES))

    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    transactions: Mapped[list["Transaction"]] = relationship(back_populates="customer")
