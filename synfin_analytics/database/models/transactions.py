"""Card transactions: parties, amount, time, place, channel, and the labels that arrive later."""

from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, Index, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from synfin_analytics._core.validation.rules import Matches, OneOf, Range
from synfin_analytics.database.models.base import (
    Base,
    Code,
    Count,
    CreatedAt,
    Distance,
    Key,
    Latitude,
    Longitude,
    Money,
    MoneySum,
    Name,
    Score,
    ShortText,
    SmallInt,
    Timestamp,
    UpdatedAt,
    derived,
    one_of,
    personal,
)

if TYPE_CHECKING:
    from synfin_analytics.database.models.customers import Customer
    from synfin_analytics.database.models.merchants import Merchant
    from synfin_analytics.database.models.ml_features import MLFeatures
    from synfin_analytics.database.models.predictions import ModelPrediction

#: Six hours each, from midnight UTC.
TIME_OF_DAY = ("night", "morning", "afternoon", "evening")


class Transaction(Base):
    """One card transaction.

    ``hour_of_day``, ``day_of_week``, ``day_of_month``, ``month``, ``is_weekend`` and
    ``time_of_day_category`` are derived from ``timestamp`` (in UTC) unless they are given: by a
    trigger of the database for the ORM and plain SQL, by the loader for DataFrames. Required
    are transaction_id, customer_id, merchant_id, amount and timestamp.

    Examples
    --------
    >>> tx = Transaction(transaction_id="TX1", customer_id="C1", merchant_id="M1", amount=10)
    >>> tx
    Transaction(transaction_id='TX1')
    """

    __tablename__ = "transactions"

    transaction_id: Mapped[Key] = mapped_column(primary_key=True)
    customer_id: Mapped[Key] = mapped_column(ForeignKey("customers.customer_id"))
    merchant_id: Mapped[Key] = mapped_column(ForeignKey("merchants.merchant_id"))
    #: Token of the card, never its number: one customer may hold several cards.
    card_id: Mapped[Key | None] = mapped_column(info=personal())
    #: The merchant's terminal: stolen cards are often traced back to a compromised one.
    terminal_id: Mapped[Key | None]

    amount: Mapped[Money] = mapped_column(info={"rule": Range(above=0)})
    currency: Mapped[str | None] = mapped_column(
        String(3), info={"rule": Matches("^[A-Z]{3}$", "three capital letters, as EUR (ISO 4217)")}
    )
    exchange_rate: Mapped[Decimal | None] = mapped_column(
        Numeric(14, 6), info={"rule": Range(above=0)}
    )

    latitude: Mapped[Latitude | None] = mapped_column(info=personal(Range(-90, 90)))
    longitude: Mapped[Longitude | None] = mapped_column(info=personal(Range(-180, 180)))
    city: Mapped[Name | None]
    state: Mapped[Name | None]
    country: Mapped[Name | None]
    zip_code: Mapped[str | None] = mapped_column(String(20))

    timestamp: Mapped[Timestamp] = mapped_column(index=True)
    hour_of_day: Mapped[SmallInt | None] = mapped_column(**derived(Range(0, 23)))
    #: 0 is Monday.
    day_of_week: Mapped[SmallInt | None] = mapped_column(**derived(Range(0, 6)))
    day_of_month: Mapped[SmallInt | None] = mapped_column(**derived(Range(1, 31)))
    month: Mapped[SmallInt | None] = mapped_column(**derived(Range(1, 12)))
    is_weekend: Mapped[bool | None] = mapped_column(**derived())
    is_holiday: Mapped[bool | None]

    transaction_type: Mapped[Code | None] = mapped_column(
        info=one_of("purchase", "withdrawal", "transfer", "payment", "deposit", "refund", "fee")
    )
    category: Mapped[Name | None]
    payment_method: Mapped[Code | None] = mapped_column(
        info=one_of(
            "credit_card",
            "debit_card",
            "prepaid_card",
            "digital_wallet",
            "bank_transfer",
            "direct_debit",
            "cash",
            "cheque",
            "other",
        )
    )
    card_type: Mapped[Code | None] = mapped_column(
        info=one_of("credit", "debit", "prepaid", "charge", "virtual")
    )
    channel: Mapped[Code | None] = mapped_column(
        info=one_of("online", "mobile", "pos", "atm", "phone", "mail", "branch")
    )
    #: How the card was read; `card_present` alone does not identify the risky magnetic stripe.
    entry_mode: Mapped[Code | None] = mapped_column(
        info=one_of("chip", "contactless", "magstripe", "manual", "ecommerce", "stored")
    )
    is_online: Mapped[bool | None]
    card_present: Mapped[bool | None]
    is_international: Mapped[bool | None]
    status: Mapped[Code | None] = mapped_column(
        info=one_of(
            "pending", "approved", "completed", "declined", "failed", "reversed", "refunded"
        )
    )

    device_id: Mapped[Name | None] = mapped_column(info=personal())
    device_type: Mapped[Code | None] = mapped_column(
        info=one_of("mobile", "tablet", "desktop", "wearable", "terminal", "atm", "other")
    )
    ip_address: Mapped[str | None] = mapped_column(String(45), info=personal())
    merchant_category: Mapped[Name | None]
    merchant_city: Mapped[Name | None]

    #: NULL means not labelled. Rates count labelled rows only.
    is_fraud: Mapped[bool | None] = mapped_column(index=True)
    fraud_type: Mapped[Code | None] = mapped_column(index=True)
    fraud_score: Mapped[Score | None]
    fraud_reason: Mapped[ShortText | None] = mapped_column(index=True)
    #: When the bank learned the label; NULL means immediately.
    label_available_at: Mapped[Timestamp | None]

    is_anomaly: Mapped[bool | None]
    anomaly_type: Mapped[Code | None]
    anomaly_score: Mapped[Score | None]

    transactions_last_hour: Mapped[Count | None]
    transactions_last_day: Mapped[Count | None]
    amount_last_hour: Mapped[MoneySum | None] = mapped_column(info={"rule": Range(0)})
    amount_last_day: Mapped[MoneySum | None] = mapped_column(info={"rule": Range(0)})
    #: Kilometres.
    distance_from_home: Mapped[Distance | None]
    distance_from_last: Mapped[Distance | None]
    #: Seconds.
    time_since_last_transaction: Mapped[Distance | None]
    time_of_day_category: Mapped[Code | None] = mapped_column(**derived(OneOf(TIME_OF_DAY)))
    merchant_risk_score: Mapped[Score | None]
    customer_risk_score: Mapped[Score | None]

    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    customer: Mapped["Customer"] = relationship(back_populates="transactions")
    merchant: Mapped["Merchant"] = relationship(back_populates="transactions")
    features: Mapped["MLFeatures | None"] = relationship(back_populates="transaction")
    predictions: Mapped[list["ModelPrediction"]] = relationship(back_populates="transaction")

    __table_args__ = (
        Index(None, "customer_id", "timestamp"),
        Index(None, "merchant_id", "timestamp"),
        Index(None, "timestamp", "is_fraud"),
    )
