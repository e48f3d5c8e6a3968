"""Patterns that were found in transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.models import AnomalyPattern, FraudPattern
from synfin_analytics.models.patterns import SEVERITIES
from synfin_analytics.repositories.base import BaseRepository, ModelT

if TYPE_CHECKING:
    from synfin_analytics.repositories.base import Rows


class _PatternRepository(BaseRepository[ModelT]):
    """Patterns by type and severity."""

    def get_by_type(self, pattern_type: str, limit: int | None = None, offset: int = 0) -> Rows:
        """Patterns of a type, the last detected first."""
        return self._latest("pattern_type", pattern_type, limit, offset)

    def get_by_severity(self, severity: str, limit: int | None = None, offset: int = 0) -> Rows:
        """Patterns of a severity (low, medium, high, critical), the last detected first."""
        if severity not in SEVERITIES:
            raise NotFoundError("severity", severity, SEVERITIES)
        return self._latest("severity", severity, limit, offset)

    def _latest(self, column: str, value: str, limit: int | None, offset: int) -> Rows:
        order = (self._column("last_detected").desc().nulls_last(),)
        return self._many(*self._is(**{column: value}), order=order, limit=limit, offset=offset)


class FraudPatternRepository(_PatternRepository[FraudPattern]):
    """Fraud patterns, as card testing."""

    model = FraudPattern


class AnomalyPatternRepository(_PatternRepository[AnomalyPattern]):
    """Patterns that are unusual and need not be fraud, as holiday travel."""

    model = AnomalyPattern
