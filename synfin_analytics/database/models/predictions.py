"""Predictions of models."""

from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from synfin_analytics.database.models.base import (
    Base,
    Distance,
    Json,
    Key,
    Name,
    Score,
    Serial,
    Timestamp,
    derived,
)

if TYPE_CHECKING:
    from synfin_analytics.database.models.transactions import Transaction


class ModelPrediction(Base):
    """The prediction of one version of a model for one transaction.

    ``is_correct`` is derived from ``prediction`` and ``ground_truth`` unless it is given.

    Examples
    --------
    >>> ModelPrediction(id=1, transaction_id="TX1", model_name="rf", model_version="1.0")
    ModelPrediction(id=1)
    """

    __tablename__ = "model_predictions"

    id: Mapped[Serial]
    transaction_id: Mapped[Key] = mapped_column(ForeignKey("transactions.transaction_id"))
    model_name: Mapped[Name]
    model_version: Mapped[Key]
    prediction: Mapped[bool]
    confidence_score: Mapped[Score | None]
    fraud_probability: Mapped[Score | None]
    feature_importance: Mapped[Json | None]
    #: Milliseconds.
    prediction_time_ms: Mapped[Distance | None]
    ground_truth: Mapped[bool | None]
    is_correct: Mapped[bool | None] = mapped_column(**derived())
    predicted_at: Mapped[Timestamp] = mapped_column(server_default=func.now())

    transaction: Mapped["Transaction"] = relationship(back_populates="predictions")

    __table_args__ = (
        UniqueConstraint("transaction_id", "model_name", "model_version"),
        CheckConstraint(
            "is_correct = (prediction = ground_truth) OR ground_truth IS NULL", name="is_correct"
        ),
        # Queries select a model, the unique key begins with the transaction: hence both orders.
        Index(None, "model_name", "model_version", "predicted_at"),
    )
