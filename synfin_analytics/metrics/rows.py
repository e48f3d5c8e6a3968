"""The rows behind an evaluation, for the questions that counts by score cannot answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import narwhals as nw
import numpy as np

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.counting import numbers, utc
from synfin_analytics.metrics.scored import DAY, scored
from synfin_analytics.metrics.scores import COUNTED, SCORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.metrics.scores import Floats, Integers


class Rows(Protocol):
    """Labelled rows of a model, wherever they live."""

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:
        """Count by day (:data:`DAY`) and score; of each day at least the ``k`` highest rows."""

    def by_card(self, day: str, card: str) -> nw.DataFrame[Any]:
        """Count by day, ``card`` and score."""

    def by_cluster(self, cluster: str) -> nw.DataFrame[Any]:
        """Count by ``cluster`` and score; by day where ``cluster`` is a time."""


@dataclass(frozen=True, eq=False)
class FrameRows:
    """Rows of a frame, of any engine."""

    frame: Any
    label: str
    score: str

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:  # noqa: ARG002 - all are at hand
        """Count by day and score."""
        return self._counted([], day)

    def by_card(self, day: str, card: str) -> nw.DataFrame[Any]:
        """Count by day, card and score."""
        return self._counted([card], day)

    def by_cluster(self, cluster: str) -> nw.DataFrame[Any]:
        """Count by cluster and score, or by day and score."""
        return self._counted([], cluster) if self._is_time(cluster) else self._counted([cluster])

    def _counted(self, keys: list[str], day: str | None = None) -> nw.DataFrame[Any]:
        counts = scored(self.frame, keys, self.label, self.score, day=day)
        return counts.filter(nw.col(COUNTED[0]) > 0)

    def _is_time(self, name: str) -> bool:
        if nw.dependencies.is_dask_dataframe(self.frame):
            return name in self.frame and self.frame[name].dtype.kind == "M"
        schema = nw.from_native(self.frame).collect_schema()
        if name not in schema:
            raise NotFoundError("column", name, schema.names(), where="the frame")
        return isinstance(schema[name], nw.Datetime) or schema[name] == nw.Date


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts as NumPy has them."""

    score: Floats
    transactions: Integers
    frauds: Integers

    @classmethod
    def of(cls, counts: nw.DataFrame[Any]) -> Counts:
        """Take them out of a frame."""
        transactions, frauds = (numbers(counts[name]).astype(np.int64) for name in COUNTED[:2])
        return cls(numbers(counts[SCORE]), transactions, frauds)


def days_of(counts: nw.DataFrame[Any]) -> NDArray[np.datetime64]:
    """Days of counts."""
    if counts[DAY].is_null().any():
        raise ArgumentError("Some labelled rows have no time, and so belong to no day.")
    return utc(counts[DAY]).astype("datetime64[D]")


def codes(counts: nw.DataFrame[Any], name: str) -> NDArray[Any]:
    """Names of cards or clusters, as NumPy can sort them."""
    values = counts[name]
    if values.is_null().any():
        raise ArgumentError(f"Some labelled rows have no {name!r}: fill or drop them.")
    if values.dtype.is_numeric():
        found: NDArray[Any] = values.to_numpy()
        return found
    return np.array([str(one) for one in values.to_list()], dtype=np.str_)


def highest_by_card(
    counts: nw.DataFrame[Any], card: str
) -> tuple[NDArray[np.datetime64], NDArray[Any], Floats, NDArray[np.bool_]]:
    """Day, card, highest score and whether there was fraud, of each card on each day."""
    days, cards, found = days_of(counts), codes(counts, card), Counts.of(counts)
    _, code = np.unique(cards, return_inverse=True)
    order = np.lexsort((-found.score, code, days))
    days, cards, code = days[order], cards[order], code[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (code[1:] != code[:-1]) | (days[1:] != days[:-1])
    starts = np.flatnonzero(first)
    frauds = np.add.reduceat(found.frauds[order], starts) if len(starts) else found.frauds
    return days[first], cards[first], found.score[order][first], frauds > 0
