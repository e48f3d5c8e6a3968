"""Patterns that were found in transactions: fraud, and what is only unusual."""

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from synfin_analytics.database.models.base import (
    Base,
    Code,
    Count,
    CreatedAt,
    Json,
    Line,
    Moment,
    Score,
    Serial,
    UpdatedAt,
    closed,
)

SEVERITIES = ("low", "medium", "high", "critical")


class _Pattern(Base):
    """Columns that both pattern tables have."""

    __abstract__ = True

    id: Mapped[Serial]
    pattern_type: Mapped[Code] = mapped_column(index=True)
    name: Mapped[Line | None]
    description: Mapped[str | None] = mapped_column(Text)
    characteristics: Mapped[Json | None]
    severity: Mapped[Code | None] = mapped_column(info=closed(*SEVERITIES))
    detection_count: Mapped[Count | None]
    first_detected: Mapped[Moment | None]
    last_detected: Mapped[Moment | None]
    confidence_score: Mapped[Score | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class FraudPattern(_Pattern):
    """A fraud pattern that was detected, as card testing.

    Examples
    --------
    >>> FraudPattern(id=1, pattern_type="card_testing")
    FraudPattern(id=1)
    """

    __tablename__ = "fraud_patterns"


class AnomalyPattern(_Pattern):
    """A pattern that is unusual and need not be fraud, as holiday travel.

    Examples
    --------
    >>> AnomalyPattern(id=1, pattern_type="holiday_travel")
    AnomalyPattern(id=1)
    """

    __tablename__ = "anomaly_patterns"
