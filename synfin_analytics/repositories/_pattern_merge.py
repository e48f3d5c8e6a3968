"""Match detected patterns with stored ones: which are new, and which are the same."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping

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


@dataclasses.dataclass(eq=False)
class _Pattern:
    """One pattern: its new values, and its stored ones if it is stored."""

    values: dict[str, Any]
    id: int | None = None
    stored: dict[str, Any] | None = None
    #: Whether it has become part of another pattern.
    merged: bool = False

    @property
    def changed(self) -> bool:
        return self.values != self.stored

    @property
    def first(self) -> dt.datetime:
        timestamp: dt.datetime = self.values["first_detected"]
        return timestamp

    @property
    def last(self) -> dt.datetime:
        timestamp: dt.datetime = self.values["last_detected"]
        return timestamp

    def match_keys(self) -> Iterator[tuple[str, str]]:
        """Pairs of its type and each of its subjects."""
        for subject in self.values["characteristics"]["subjects"]:
            yield self.values["pattern_type"], subject

    def overlaps(self, other: _Pattern) -> bool:
        """Whether the periods of both overlap."""
        return self.first <= other.last and other.first <= self.last

    def extend(self, other: _Pattern) -> None:
        """Add a later detection of the same pattern, whose texts and numbers replace these."""
        lists = {
            name: list(
                dict.fromkeys(
                    [*self.values["characteristics"][name], *other.values["characteristics"][name]]
                )
            )
            for name in _LISTS
        }
        self.values = other.values | {
            "characteristics": {**other.values["characteristics"], **lists},
            "detection_count": len(lists["transactions"]),
            "first_detected": min(self.first, other.first),
            "last_detected": max(self.last, other.last),
        }


class Merge:
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
        self._patterns: list[_Pattern] = []
        self._detected_again: set[int] = set()
        for row in stored:
            values = dict(row)
            number = values.pop("id")
            if _has_lists(values["characteristics"]):
                self._append(_Pattern(dict(values), number, values))

    def add(self, detected: Mapping[str, Any]) -> None:
        """Add one detected pattern."""
        new = _Pattern(dict(detected))
        same: list[_Pattern] = []
        for key in new.match_keys():
            for pattern in self._by_key[key]:
                if not pattern.merged and pattern.overlaps(new) and pattern not in same:
                    same.append(pattern)
        if not same:
            self._append(new)
            return
        first, *others = sorted(same, key=lambda pattern: (pattern.id is None, pattern.id or 0))
        for other in others:  # the new pattern connects them
            first.extend(other)
            other.merged = True
        first.extend(new)
        self._detected_again.add(id(first))
        for key in first.match_keys():
            if first not in self._by_key[key]:
                self._by_key[key].append(first)

    def _append(self, pattern: _Pattern) -> None:
        self._patterns.append(pattern)
        for key in pattern.match_keys():
            self._by_key[key].append(pattern)

    @property
    def added(self) -> list[dict[str, Any]]:
        """Rows to insert."""
        return [
            pattern.values
            for pattern in self._patterns
            if pattern.id is None and not pattern.merged
        ]

    @property
    def updated(self) -> list[dict[str, Any]]:
        """Rows to update, with their ``id``."""
        return [
            {"id": pattern.id, **pattern.values}
            for pattern in self._patterns
            if pattern.id is not None and pattern.changed and not pattern.merged
        ]

    @property
    def merged(self) -> list[int]:
        """Ids of the rows to delete, since they have become part of others."""
        return [
            pattern.id for pattern in self._patterns if pattern.id is not None and pattern.merged
        ]

    @property
    def n_unchanged(self) -> int:
        """Number of stored patterns that were detected again with the same values."""
        return sum(
            id(pattern) in self._detected_again
            and pattern.id is not None
            and not pattern.changed
            and not pattern.merged
            for pattern in self._patterns
        )


def read_patterns(detected: Any) -> list[dict[str, Any]]:
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


def to_rows(patterns: list[dict[str, Any]]) -> pl.DataFrame:
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
