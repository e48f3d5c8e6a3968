"""Patterns that detectors found in transactions: fraud, and anomalies."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import polars as pl
from sqlalchemy import and_, delete, func, select, text

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.database.models import SEVERITIES, AnomalyPattern, FraudPattern
from synfin_analytics.database.schema import pattern_lock
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.repositories._validation import savepoint
from synfin_analytics.repositories.base import BaseRepository, ModelT, RowsT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pandas as pd
    import pyarrow as pa
    from narwhals.typing import IntoDataFrame
    from sqlalchemy.orm import Session

    from synfin_analytics._core.output import Output
    from synfin_analytics.detection.result import DetectedPatterns


#: Columns of a pattern that a later detection updates.
COLUMNS = (
    "pattern_type",
    "name",
    "description",
    "characteristics",
    "severity",
    "detection_count",
    "first_detected",
    "last_detected",
    "confidence_score",
)
#: Lists in the characteristics that grow with each detection.
_LISTS = ("subjects", "customers", "merchants", "transactions")


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
        patterns = _read_patterns(detected)
        if not patterns:
            return UpsertReport(0, 0, 0)
        self._flush()
        with savepoint(self.session):
            self._wait_for_other_sessions()
            merge = _Merge(self._candidates(patterns))
            for pattern in patterns:
                merge.add(pattern)
            if merge.merged:
                self.session.execute(delete(self.model).where(self._key.in_(merge.merged)))
            if merge.updated:
                self.bulk_create(
                    _to_frame(merge.updated), on_conflict="update", rebuild_indexes="never"
                )
            if merge.added:
                self.bulk_create(_to_frame(merge.added), rebuild_indexes="never")
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
        name = pattern_lock(self._table.name)
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


# -- Which patterns are new, and which are the same as stored ones ---------------------------------


@dataclass(eq=False)
class _Pattern:
    """One pattern: its new row, and its stored one if it is stored."""

    row: dict[str, Any]
    id: int | None = None
    stored: dict[str, Any] | None = None
    #: Whether it has been detected again.
    detected: bool = False
    #: Whether it has become part of another pattern.
    merged: bool = False

    def match_keys(self) -> Iterator[tuple[str, str]]:
        """Pairs of its type and each of its subjects."""
        for subject in self.row["characteristics"]["subjects"]:
            yield self.row["pattern_type"], subject

    def overlaps(self, other: _Pattern) -> bool:
        """Whether the periods of both overlap."""
        return bool(
            self.row["first_detected"] <= other.row["last_detected"]
            and other.row["first_detected"] <= self.row["last_detected"]
        )

    def extend(self, other: _Pattern) -> None:
        """Add a later detection of the same pattern, whose texts and numbers replace these."""
        old, new = self.row["characteristics"], other.row["characteristics"]
        lists = {name: list(dict.fromkeys([*old[name], *new[name]])) for name in _LISTS}
        self.row = other.row | {
            "characteristics": {**new, **lists},
            "detection_count": len(lists["transactions"]),
            "first_detected": min(self.row["first_detected"], other.row["first_detected"]),
            "last_detected": max(self.row["last_detected"], other.row["last_detected"]),
        }


class _Merge:
    """Merge detected patterns into stored ones.

    Two patterns are the same if they have the same type and a common subject, and their periods
    overlap.

    Parameters
    ----------
    stored
        Rows of the table, including ``id``; those without subjects are left unchanged.
    """

    def __init__(self, stored: Iterable[Mapping[str, Any]]) -> None:
        self._by_key: dict[tuple[str, str], list[_Pattern]] = defaultdict(list)
        self._stored: dict[int, _Pattern] = {}
        self._new: list[_Pattern] = []
        for values in stored:
            row = dict(values)
            number = row.pop("id")
            if _has_lists(row["characteristics"]):
                self._stored[number] = _Pattern(dict(row), number, row)
                self._index(self._stored[number])

    def add(self, detected: dict[str, Any]) -> None:
        """Add one detected pattern."""
        new = _Pattern(detected)
        matches: list[_Pattern] = []
        for key in new.match_keys():
            for pattern in self._by_key[key]:
                if not pattern.merged and pattern.overlaps(new) and pattern not in matches:
                    matches.append(pattern)
        if not matches:
            self._new.append(new)
            self._index(new)
            return
        first, *others = sorted(matches, key=lambda pattern: (pattern.id is None, pattern.id or 0))
        for other in others:  # the new pattern connects them
            first.extend(other)
            other.merged = True
        first.extend(new)
        first.detected = True
        self._index(first)

    def _index(self, pattern: _Pattern) -> None:
        for key in pattern.match_keys():
            if pattern not in self._by_key[key]:
                self._by_key[key].append(pattern)

    @property
    def added(self) -> list[dict[str, Any]]:
        """Rows to insert."""
        return [pattern.row for pattern in self._new if not pattern.merged]

    @property
    def updated(self) -> list[dict[str, Any]]:
        """Rows to update, with their ``id``."""
        return [
            {"id": number, **pattern.row}
            for number, pattern in self._stored.items()
            if pattern.row != pattern.stored and not pattern.merged
        ]

    @property
    def merged(self) -> list[int]:
        """Ids of the rows to delete, since they have become part of others."""
        return [number for number, pattern in self._stored.items() if pattern.merged]

    @property
    def n_unchanged(self) -> int:
        """Number of stored patterns that were detected again with the same values."""
        return sum(
            pattern.detected and pattern.row == pattern.stored and not pattern.merged
            for pattern in self._stored.values()
        )


def _read_patterns(detected: Any) -> list[dict[str, Any]]:
    """Read the patterns of a result of detectors, or of a DataFrame like its ``to_frame()``.

    Raises
    ------
    ArgumentError
        It is neither, or a pattern has no subjects or no period.
    """
    frame = detected.to_frame("polars") if hasattr(detected, "detectors") else detected
    try:
        rows = pl.DataFrame(frame).select(COLUMNS).rows(named=True)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        raise ArgumentError(
            "`detected` must be a result of detect_patterns or detect_anomalies, or a DataFrame "
            f"with the columns of its to_frame(): {', '.join(COLUMNS)}."
        ) from None
    for number, row in enumerate(rows):
        if isinstance(row["characteristics"], str):
            row["characteristics"] = _parse_json(row["characteristics"])
        has_period = row["first_detected"] and row["last_detected"]
        if not _has_lists(row["characteristics"]) or not has_period:
            raise ArgumentError(
                f"Pattern {number} must have subjects and a period: lists of "
                f"{', '.join(_LISTS)} in its characteristics, first_detected and last_detected."
            )
    return rows


def _to_frame(patterns: list[dict[str, Any]]) -> pl.DataFrame:
    """Convert patterns to a DataFrame for the loader."""
    rows = [
        pattern | {"characteristics": json.dumps(pattern["characteristics"], ensure_ascii=False)}
        for pattern in patterns
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _has_lists(characteristics: Any) -> bool:
    return isinstance(characteristics, dict) and all(
        isinstance(characteristics.get(name), list) and characteristics[name] for name in _LISTS
    )
