"""Patterns that detectors found in transactions: fraud, and anomalies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from sqlalchemy import and_, delete, func, select, text

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.database.models import SEVERITIES, AnomalyPattern, FraudPattern
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.repositories._errors import savepoint
from synfin_analytics.repositories._pattern_merge import COLUMNS, Merge, read_patterns, to_rows
from synfin_analytics.repositories.base import BaseRepository, ModelT, RowsT

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from narwhals.typing import IntoDataFrame
    from sqlalchemy.orm import Session

    from synfin_analytics._core.output import Output
    from synfin_analytics.detection.result import DetectedPatterns


@dataclass(frozen=True)
class UpsertReport:
    """Result of storing patterns.

    Attributes
    ----------
    added, updated, unchanged
        Numbers of new patterns, of stored patterns that changed, and of those that did not.
    merged
        Number of stored patterns that became part of another one.

    Examples
    --------
    >>> print(UpsertReport(added=2, updated=1, unchanged=0))
    2 patterns added, 1 updated, 0 unchanged
    """

    added: int
    updated: int
    unchanged: int
    merged: int = 0

    def __str__(self) -> str:
        merged = f", {self.merged:,} merged into others" if self.merged else ""
        return (
            f"{pluralize(self.added, 'pattern')} added, {self.updated:,} updated, "
            f"{self.unchanged:,} unchanged{merged}"
        )


class PatternRepository(BaseRepository[ModelT, RowsT]):
    """Patterns by type and severity."""

    def get_by_type(self, pattern_type: str, limit: int | None = None, offset: int = 0) -> RowsT:
        """Return the patterns of a type, last detected first.

        Parameters
        ----------
        pattern_type
            Type, such as ``"card_testing"``.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(FraudPatternRepository(session).get_by_type("no such type"))
        0
        """
        return self._last_detected("pattern_type", pattern_type, limit, offset)

    def get_by_severity(self, severity: str, limit: int | None = None, offset: int = 0) -> RowsT:
        """Return the patterns of a severity, last detected first.

        Parameters
        ----------
        severity
            ``"low"``, ``"medium"``, ``"high"`` or ``"critical"``.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(FraudPatternRepository(session).get_by_severity("critical", limit=10))
        0
        """
        if severity not in SEVERITIES:
            raise NotFoundError("severity", severity, SEVERITIES)
        return self._last_detected("severity", severity, limit, offset)

    def upsert(self, detected: DetectedPatterns | IntoDataFrame) -> UpsertReport:
        """Insert detected patterns; update those that are stored already.

        A pattern is the same as a stored one if both have the same type and a common subject
        (``characteristics["subjects"]``: customers or merchants), and their periods from
        ``first_detected`` to ``last_detected`` overlap. The stored one then has the transactions of
        both, whose number is ``detection_count``, and a period that spans both; its texts, numbers,
        severity and confidence are those of the latest detection. Stored patterns that it connects
        become one. Upserting the same patterns again changes nothing.

        All of it is one savepoint of the session's transaction, which the owner of the session
        commits. Until then other sessions that upsert into this table wait, so that two at the same
        time store nothing twice.

        Parameters
        ----------
        detected
            Result of :func:`synfin_analytics.detect_patterns` or ``detect_anomalies``, or its
            ``to_frame()``.

        Returns
        -------
        UpsertReport
            Numbers of patterns that were added, updated, unchanged and merged.

        Raises
        ------
        ArgumentError
            ``detected`` is something else or belongs to the other table; or the isolation level of
            the session's transaction is above "read committed", so that it does not see what others
            commit meanwhile.

        Examples
        --------
        >>> from synfin_analytics import detect_patterns, get_db_session, simulate
        >>> transactions = simulate(customers=20, merchants=10, days=5, seed=1).transactions
        >>> with get_db_session() as session:
        ...     report = FraudPatternRepository(session).upsert(detect_patterns(transactions))
        >>> report.updated
        0
        """
        table = self._table.name
        detected_table = getattr(detected, "table", table)
        if detected_table != table:
            raise ArgumentError(
                f"`detected` must be patterns of {table!r}; got patterns of {detected_table!r}. "
                "Use the repository of that table."
            )
        patterns = read_patterns(detected)
        if not patterns:
            return UpsertReport(0, 0, 0)
        self._flush()
        with savepoint(self.session):
            self._wait_for_other_sessions()
            merge = Merge(self._candidates(patterns))
            for pattern in patterns:
                merge.add(pattern)
            if merge.merged:
                self.session.execute(delete(self.model).where(self._key.in_(merge.merged)))
            if merge.updated:
                self.bulk_create(
                    to_rows(merge.updated), on_conflict="update", rebuild_indexes="never"
                )
            if merge.added:
                self.bulk_create(to_rows(merge.added), rebuild_indexes="never")
        return UpsertReport(
            len(merge.added), len(merge.updated), merge.n_unchanged, len(merge.merged)
        )

    def _wait_for_other_sessions(self) -> None:
        isolation = self.session.scalar(text("SELECT current_setting('transaction_isolation')"))
        if isolation != "read committed":
            raise ArgumentError(
                "The session's isolation level must be 'read committed', the default of this "
                f"package's sessions; got {isolation!r}, which does not see what others commit "
                "meanwhile."
            )
        name = f"synfin_analytics.{self._table.name}"
        self.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def _candidates(self, patterns: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Read the stored rows that may be the same as one of these patterns."""
        start = min(pattern["first_detected"] for pattern in patterns)
        end = max(pattern["last_detected"] for pattern in patterns)
        columns = [self._key, *(self._column(name) for name in COLUMNS)]
        condition = and_(
            self._column("pattern_type").in_({pattern["pattern_type"] for pattern in patterns}),
            self._column("first_detected") <= end,
            self._column("last_detected") >= start,
        )
        rows = self.session.execute(select(*columns).where(condition).order_by(self._key))
        return [dict(row) for row in rows.mappings()]

    def _last_detected(self, column: str, value: str, limit: int | None, offset: int) -> RowsT:
        order = (self._column("last_detected").desc().nulls_last(),)
        return self._select(
            *self._equals(**{column: value}), order=order, limit=limit, offset=offset
        )


class FraudPatternRepository(PatternRepository[FraudPattern, RowsT]):
    """Detected fraud patterns, such as card testing.

    See :class:`BaseRepository` for the parameters and the common methods.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager, get_db_session
    >>> get_db_manager().create_all_tables()
    >>> with get_db_session() as session:
    ...     len(FraudPatternRepository(session).get_by_type("card_testing"))
    0
    """

    model = FraudPattern

    # fmt: off
    @overload
    def __init__(self: FraudPatternRepository[pd.DataFrame], session: Session,
                 output: Literal["pandas"] = ..., *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: FraudPatternRepository[pl.DataFrame], session: Session,
                 output: Literal["polars"], *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: FraudPatternRepository[pa.Table], session: Session,
                 output: Literal["arrow"], *, use_decimal: bool = ...) -> None: ...
    def __init__(self, session: Session, output: Output = "pandas", *,
                 use_decimal: bool = False) -> None:  # as in BaseRepository, but for the overloads
        super().__init__(session, output, use_decimal=use_decimal)
    # fmt: on


class AnomalyPatternRepository(PatternRepository[AnomalyPattern, RowsT]):
    """Detected anomalies that need not be fraud, such as holiday travel.

    See :class:`BaseRepository` for the parameters and the common methods.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager, get_db_session
    >>> get_db_manager().create_all_tables()
    >>> with get_db_session() as session:
    ...     len(AnomalyPatternRepository(session).get_by_type("holiday_travel"))
    0
    """

    model = AnomalyPattern

    # fmt: off
    @overload
    def __init__(self: AnomalyPatternRepository[pd.DataFrame], session: Session,
                 output: Literal["pandas"] = ..., *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: AnomalyPatternRepository[pl.DataFrame], session: Session,
                 output: Literal["polars"], *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: AnomalyPatternRepository[pa.Table], session: Session,
                 output: Literal["arrow"], *, use_decimal: bool = ...) -> None: ...
    def __init__(self, session: Session, output: Output = "pandas", *,
                 use_decimal: bool = False) -> None:  # as in BaseRepository, but for the overloads
        super().__init__(session, output, use_decimal=use_decimal)
    # fmt: on
