"""One repository per table: entities as objects, lists as DataFrames, counting in PostgreSQL."""

from synfin_analytics.repositories.base import BaseRepository
from synfin_analytics.repositories.ml import MLFeaturesRepository, ModelPredictionRepository
from synfin_analytics.repositories.parties import CustomerRepository, MerchantRepository
from synfin_analytics.repositories.patterns import (
    AnomalyPatternRepository,
    FraudPatternRepository,
)
from synfin_analytics.repositories.transactions import TransactionRepository

__all__ = [
    "AnomalyPatternRepository",
    "BaseRepository",
    "CustomerRepository",
    "FraudPatternRepository",
    "MLFeaturesRepository",
    "MerchantRepository",
    "ModelPredictionRepository",
    "TransactionRepository",
]
