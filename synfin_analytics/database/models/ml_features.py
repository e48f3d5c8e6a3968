"""Engineered features of transactions."""

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column, relationship

from synfin_analytics.database.models.base import (
    Base,
    Count,
    CreatedAt,
    Distance,
    Json,
    Key,
    Number,
    Score,
    Serial,
)

if TYPE_CHECKING:
    from synfin_analytics.database.models.transactions import Transaction


class MLFeatures(Base):
    """The 69 engineered features of one transaction, and a JSON object for further ones.

    Examples
    --------
    >>> len(MLFeatures.feature_names())
    69
    """

    __tablename__ = "ml_features"

    id: Mapped[Serial]
    transaction_id: Mapped[Key] = mapped_column(
        ForeignKey("transactions.transaction_id"), unique=True
    )

    # Amount
    amount_normalized: Mapped[Number | None]
    amount_log: Mapped[Number | None]
    amount_zscore: Mapped[Number | None]
    amount_deviation_from_mean: Mapped[Number | None]
    amount_percentile: Mapped[Number | None]
    amount_to_max_ratio: Mapped[Number | None]
    amount_to_merchant_avg_ratio: Mapped[Number | None]
    amount_is_round: Mapped[bool | None]

    # Temporal
    hour_sin: Mapped[Number | None]
    hour_cos: Mapped[Number | None]
    day_sin: Mapped[Number | None]
    day_cos: Mapped[Number | None]
    month_sin: Mapped[Number | None]
    month_cos: Mapped[Number | None]
    is_weekend: Mapped[bool | None]
    is_night: Mapped[bool | None]
    is_holiday: Mapped[bool | None]
    is_business_hours: Mapped[bool | None]

    # Velocity
    tx_velocity_1h: Mapped[Count | None]
    tx_velocity_6h: Mapped[Count | None]
    tx_velocity_24h: Mapped[Count | None]
    tx_velocity_7d: Mapped[Count | None]
    tx_velocity_30d: Mapped[Count | None]
    amount_velocity_1h: Mapped[Number | None]
    amount_velocity_6h: Mapped[Number | None]
    amount_velocity_24h: Mapped[Number | None]
    amount_velocity_7d: Mapped[Number | None]
    amount_velocity_30d: Mapped[Number | None]
    avg_amount_24h: Mapped[Number | None]
    avg_amount_7d: Mapped[Number | None]
    avg_amount_30d: Mapped[Number | None]
    distinct_merchants_24h: Mapped[Count | None]
    distinct_merchants_7d: Mapped[Count | None]
    distinct_countries_24h: Mapped[Count | None]

    # Pattern
    unusual_time: Mapped[bool | None]
    unusual_location: Mapped[bool | None]
    unusual_amount: Mapped[bool | None]
    unusual_merchant: Mapped[bool | None]
    is_new_merchant: Mapped[bool | None]
    is_new_country: Mapped[bool | None]
    is_new_device: Mapped[bool | None]
    is_burst: Mapped[bool | None]

    # Behaviour
    customer_lifetime_value: Mapped[Number | None]
    customer_avg_amount: Mapped[Number | None]
    customer_std_amount: Mapped[Number | None]
    customer_max_amount: Mapped[Number | None]
    customer_transaction_count: Mapped[Count | None]
    customer_transaction_frequency: Mapped[Number | None]
    customer_active_days: Mapped[Count | None]
    customer_merchant_diversity: Mapped[Number | None]
    customer_prior_fraud_count: Mapped[Count | None]

    # Merchant
    merchant_avg_amount: Mapped[Number | None]
    merchant_transaction_count: Mapped[Count | None]
    merchant_fraud_rate: Mapped[Score | None]
    merchant_tx_count_1d: Mapped[Count | None]
    merchant_tx_count_7d: Mapped[Count | None]
    merchant_tx_count_30d: Mapped[Count | None]
    merchant_fraud_rate_1d: Mapped[Score | None]
    merchant_fraud_rate_7d: Mapped[Score | None]
    merchant_fraud_rate_30d: Mapped[Score | None]

    # Distance
    distance_normalized: Mapped[Number | None]
    distance_from_last_normalized: Mapped[Number | None]
    travel_speed_kmh: Mapped[Distance | None]
    impossible_travel: Mapped[bool | None]
    distance_from_usual: Mapped[Distance | None]

    # Time
    time_since_last_normalized: Mapped[Number | None]
    time_since_signup: Mapped[Number | None]
    time_since_last_same_merchant: Mapped[Number | None]
    time_since_first_transaction: Mapped[Number | None]

    additional_features: Mapped[Json | None]
    created_at: Mapped[CreatedAt]

    transaction: Mapped["Transaction"] = relationship(back_populates="features")

    @classmethod
    def feature_names(cls) -> list[str]:
        """Return the names of the engineered features, in the order of the table.

        Examples
        --------
        >>> MLFeatures.feature_names()[:2]
        ['amount_normalized', 'amount_log']
        """
        others = {"id", "transaction_id", "additional_features", "created_at"}
        return [column.name for column in cls.__table__.columns if column.name not in others]
