"""Patterns that were found in transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, select, text

from synfin_analytics.database.models import AnomalyPattern, FraudPattern
from synfin_analytics.database.models.patterns import SEVERITIES
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.repositories._errors import savepoint
from synfin_analytics.repositories._pattern_merge import (
    COLUMNS,
    Merge,
    UpsertReport,
    frame_of,
    rows_of,
)
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

    def upsert(self, detected: Any) -> UpsertReport:
        """Store patterns that were found; one that is stored already is brought up to date.

        A pattern is the same as a stored one if both have the same type and are about somebody in
        common (``characteristics["subjects"]``: customers or merchants), and their periods from
        ``first_detected`` to ``last_detected`` share a moment. The stored one
        then names the transactions of both: ``detection_count`` is how many these are, the period
        reaches over both, and words, figures, severity and confidence are those of the latest
        detection. Stored patterns that it connects become one. So recording the same again changes
        nothing.

        It is all or nothing, in the session's transaction, which its owner commits. Until then
        others who record into this table wait, so that two at once store nothing twice.

        Parameters
        ----------
        detected
            What :func:`synfin_analytics.detect_patterns` or ``detect_anomalies`` returned, or its
            ``frame()``.

        Raises
        ------
        ArgumentError
            It is something else, or belongs to the other table; the session's transaction does not
            see what others have committed meanwhile (its isolation is above "read committed").
        """
        table = self._table.name
        if getattr(detected, "table", table) != table:
            raise ArgumentError(
                f"These patterns belong in {detected.table!r}, not {table!r}: record them with "
                "the other repository."
            )
        found = rows_of(detected)
        if not found:
            return UpsertReport(0, 0, 0)
        self._flush()
        with savepoint(self.session):
            self._wait_for_others()
            merge = Merge(self._stored(found))
            for row in found:
                merge.add(row)
            if merge.gone:
                self.session.execute(delete(self.model).where(self._key.in_(merge.gone)))
            if merge.updated:
                self.bulk_create(
                    frame_of(merge.updated), on_conflict="update", rebuild_indexes="never"
                )
            if merge.added:
                self.bulk_create(frame_of(merge.added), rebuild_indexes="never")
        return UpsertReport(len(merge.added), len(merge.updated), merge.unchanged, len(merge.gone))

    def _wait_for_others(self) -> None:
        isolation = self.session.scalar(text("SELECT current_setting('transaction_isolation')"))
        if isolation != "read committed":
            raise ArgumentError(
                "The session's isolation level must be 'read committed', as that of this package's "
                f"sessions is; got {isolation!r}, which does not see what others record meanwhile."
            )
        name = f"synfin_analytics.{self._table.name}"
        self.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def _stored(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows that one of these may be the same as."""
        begin = min(row["first_detected"] for row in found)
        end = max(row["last_detected"] for row in found)
        columns = [self._key, *(self._column(name) for name in COLUMNS)]
        may_be = and_(
            self._column("pattern_type").in_({row["pattern_type"] for row in found}),
            self._column("first_detected") <= end,
            self._column("last_detected") >= begin,
        )
        rows = self.session.execute(select(*columns).where(may_be).order_by(self._key))
        return [dict(row) for row in rows.mappings()]

    def _latest(self, column: str, value: str, limit: int | None, offset: int) -> Rows:
        order = (self._column("last_detected").desc().nulls_last(),)
        return self._many(*self._is(**{column: value}), order=order, limit=limit, offset=offset)


class FraudPatternRepository(_PatternRepository[FraudPattern]):
    """Fraud patterns, as card testing."""

    model = FraudPattern


class AnomalyPatternRepository(_PatternRepository[AnomalyPattern]):
    """Patterns that are unusual and need not be fraud, as holiday travel."""

    model = AnomalyPattern
