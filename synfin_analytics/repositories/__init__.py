"""One repository per table: one entity as an object, many as a DataFrame."""

from synfin_analytics.repositories.base import BaseRepository
from synfin_analytics.repositories.ml_features import MLFeaturesRepository
from synfin_analytics.repositories.parties import CustomerRepository, MerchantRepository
from synfin_analytics.repositories.patterns import (
    AnomalyPatternRepository,
    FraudPatternRepository,
)
from synfin_analytics.repositories.predictions import ModelPredictionRepository
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
