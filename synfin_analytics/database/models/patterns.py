"""Patterns detected in transactions: fraud, and anomalies that need not be fraud."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from synfin_analytics.database.models.base import (
    Base,
    Code,
    Count,
    CreatedAt,
    Json,
    Score,
    Serial,
    ShortText,
    Timestamp,
    UpdatedAt,
    one_of,
)

SEVERITIES = ("low", "medium", "high", "critical")


class _Pattern(Base):
    """Columns of both pattern tables."""

    __abstract__ = True

    id: Mapped[Serial]
    pattern_type: Mapped[Code] = mapped_column(index=True)
    name: Mapped[ShortText | None]
    description: Mapped[str | None] = mapped_column(Text)
    characteristics: Mapped[Json | None]
    severity: Mapped[Code | None] = mapped_column(info=one_of(*SEVERITIES))
    detection_count: Mapped[Count | None]
    first_detected: Mapped[Timestamp | None]
    last_detected: Mapped[Timestamp | None]
    confidence_score: Mapped[Score | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class FraudPattern(_Pattern):
    """A detected fraud pattern, such as card testing.

    Examples
    --------
    >>> FraudPattern(id=1, pattern_type="card_testing")
    FraudPattern(id=1)
    """

    __tablename__ = "fraud_patterns"


class AnomalyPattern(_Pattern):
    """A detected anomaly that need not be fraud, such as holiday travel.

    Examples
    --------
    >>> AnomalyPattern(id=1, pattern_type="holiday_travel")
    AnomalyPattern(id=1)
    """

    __tablename__ = "anomaly_patterns"
