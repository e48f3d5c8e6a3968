"""Patterns that were found, beside those that are stored: what is new, and what is the same."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping

#: What a pattern is known by, and what a later detection of it brings up to date.
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


@dataclasses.dataclass(frozen=True)
class UpsertReport:
    """What storing patterns did: how many are new, have changed, and were there as they are.

    ``merged`` are stored patterns that went up in another, which turned out to be the same.
    """

    added: int
    updated: int
    unchanged: int
    merged: int = 0

    def __str__(self) -> str:
        joined = f", {self.merged:,} merged into others" if self.merged else ""
        return (
            f"{pluralize(self.added, 'pattern')} added, {self.updated:,} updated, "
            f"{self.unchanged:,} as before{joined}"
        )


@dataclasses.dataclass(eq=False)
class _Pattern:
    """One pattern: as it is stored, if it is, and as it shall be."""

    values: dict[str, Any]
    id: int | None = None
    before: dict[str, Any] | None = None
    gone: bool = False

    @property
    def changed(self) -> bool:
        """Whether it is stored otherwise."""
        return self.values != self.before

    @property
    def first(self) -> dt.datetime:
        moment: dt.datetime = self.values["first_detected"]
        return moment

    @property
    def last(self) -> dt.datetime:
        moment: dt.datetime = self.values["last_detected"]
        return moment

    def subjects(self) -> Iterator[tuple[str, str]]:
        """Whom it is about, with its type."""
        for one in self.values["characteristics"]["subjects"]:
            yield self.values["pattern_type"], one

    def overlaps(self, other: _Pattern) -> bool:
        """Whether the two have a moment in common."""
        return self.first <= other.last and other.first <= self.last

    def take(self, other: _Pattern) -> None:
        """Grow by another detection of the same, whose words and figures are newer."""
        told = self.values["characteristics"]
        lists = {
            name: list(dict.fromkeys([*told[name], *other.values["characteristics"][name]]))
            for name in _LISTS
        }
        self.values = other.values | {
            "characteristics": {**other.values["characteristics"], **lists},
            "detection_count": len(lists["transactions"]),
            "first_detected": min(self.first, other.first),
            "last_detected": max(self.last, other.last),
        }


class Merge:
    """Put found patterns beside stored ones.

    Two are the same pattern if they have the same type and a subject in common, and their periods
    share a moment.

    Parameters
    ----------
    stored
        Rows of the table, with their ``id``; those that tell nobody they are about stay as they
        are.
    """

    def __init__(self, stored: Iterable[Mapping[str, Any]]) -> None:
        self._known: dict[tuple[str, str], list[_Pattern]] = defaultdict(list)
        self._all: list[_Pattern] = []
        self._met: set[int] = set()
        for row in stored:
            values = dict(row)
            number = values.pop("id")
            if _told(values["characteristics"]):
                self._keep(_Pattern(dict(values), number, values))

    def add(self, found: Mapping[str, Any]) -> None:
        """Take one found pattern in."""
        new = _Pattern(dict(found))
        same: list[_Pattern] = []
        for subject in new.subjects():
            for one in self._known[subject]:
                if not one.gone and one.overlaps(new) and one not in same:
                    same.append(one)
        if not same:
            self._keep(new)
            return
        first, *others = sorted(same, key=lambda one: (one.id is None, one.id or 0))
        for other in others:  # what it connects is one pattern
            first.take(other)
            other.gone = True
        first.take(new)
        self._met.add(id(first))
        for subject in first.subjects():
            if first not in self._known[subject]:
                self._known[subject].append(first)

    def _keep(self, pattern: _Pattern) -> None:
        self._all.append(pattern)
        for subject in pattern.subjects():
            self._known[subject].append(pattern)

    @property
    def added(self) -> list[dict[str, Any]]:
        """Rows to insert."""
        return [one.values for one in self._all if one.id is None and not one.gone]

    @property
    def updated(self) -> list[dict[str, Any]]:
        """Rows to update, with their ``id``."""
        return [
            {"id": one.id, **one.values}
            for one in self._all
            if one.id is not None and one.changed and not one.gone
        ]

    @property
    def gone(self) -> list[int]:
        """Rows to delete, by their ``id``: they are now part of others."""
        return [one.id for one in self._all if one.id is not None and one.gone]

    @property
    def unchanged(self) -> int:
        """How many stored patterns were found again just as they are."""
        met = (one for one in self._all if id(one) in self._met and one.id is not None)
        return sum(not one.changed and not one.gone for one in met)


def rows_of(detected: Any) -> list[dict[str, Any]]:
    """Patterns of a result of detectors, or of a frame of its form.

    Raises
    ------
    ArgumentError
        It is neither, or a pattern does not tell whom it is about and when.
    """
    frame = detected.to_frame("polars") if hasattr(detected, "detectors") else detected
    try:
        rows = pl.DataFrame(frame).select(COLUMNS).rows(named=True)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        raise ArgumentError(
            "Patterns to record must be the result of detect_patterns or detect_anomalies, or its "
            f"to_frame() with the columns {', '.join(COLUMNS)}."
        ) from None
    for number, row in enumerate(rows):
        told = row["characteristics"]
        row["characteristics"] = _read(told) if isinstance(told, str) else told
        if not _told(row["characteristics"]) or not (
            row["first_detected"] and row["last_detected"]
        ):
            raise ArgumentError(
                f"Pattern {number} does not state its subjects or its period: its characteristics "
                f"must have lists of {', '.join(_LISTS)}, and first_detected and last_detected "
                "must not be missing."
            )
    return rows


def frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a frame that the loader takes."""
    texts = [
        row | {"characteristics": json.dumps(row["characteristics"], ensure_ascii=False)}
        for row in rows
    ]
    return pl.DataFrame(texts, infer_schema_length=None)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _told(characteristics: Any) -> bool:
    return isinstance(characteristics, dict) and all(
        isinstance(characteristics.get(name), list) and characteristics[name] for name in _LISTS
    )
