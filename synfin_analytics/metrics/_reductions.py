"""What a lazy engine leaves out of its counts before they travel to the client.

Every row is counted, and what is left out is summed: sums and checksums of all rows show whether
they are still those that were evaluated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import narwhals as nw

from synfin_analytics.metrics._aggregate import sum_by
from synfin_analytics.metrics._checksum import add_checksums
from synfin_analytics.metrics._score_counts import (
    BIN,
    CHECKSUMS,
    COUNTED,
    DAY,
    KEPT,
    LOSSES,
    OMITTED,
    SCORE,
    SQUARES,
)
from synfin_analytics.metrics.curve import EPSILON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.metrics._aggregate import Reduction
    from synfin_analytics.metrics._score_bins import ScoreBins

_ORDER, _KIND, _ONE, _BEFORE = "__order", "__kind", "__one", "__before"
#: What no score is, so that it ranks below all.
BELOW = -1.0


class _Checked(ABC):
    """A reduction with checksums of all rows; see :class:`._aggregate.Reduction`."""

    keys: tuple[str, ...] = (SCORE,)
    maxima: tuple[str, ...] = ()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Sums over all rows and over frauds, which weights of labels weight."""
        return [CHECKSUMS]

    def rename(self, names: Mapping[str, str]) -> Reduction:  # noqa: ARG002 - of most, no column
        """Return the same for a frame whose columns have other names."""
        return self

    def extend(self, rows: Frame) -> Frame:
        """Add what is summed, to rows with a score, transactions and frauds."""
        return add_checksums(rows, SCORE, COUNTED[:2])

    @abstractmethod
    def then(self, counts: Frame) -> Frame:
        """Reduce the counts."""


@dataclass(frozen=True)
class FirstScores(_Checked):
    """The highest scores of each day that have ``k`` transactions, and the sum of all others."""

    k: int

    def then(self, counts: Frame) -> Frame:
        """Give all other scores of a day the same, lowest one."""
        counts = counts.with_columns((-nw.col(SCORE)).alias(_ORDER))
        transactions = nw.col(COUNTED[0])
        until = transactions.cum_sum().over(DAY, order_by=_ORDER)
        counts = counts.with_columns((until - transactions).alias(_BEFORE))
        kept = nw.when(nw.col(_BEFORE) < self.k).then(nw.col(SCORE)).otherwise(BELOW)
        return sum_by(counts.with_columns(kept.alias(SCORE)).drop(_ORDER, _BEFORE), [DAY, SCORE])


@dataclass(frozen=True)
class FirstEntities(_Checked):
    """The entities of each day on which precision depends, with their highest score of the day.

    These are the entities that have fraud on any day, since their review blocks them later, and of
    all others the first ``k`` of each day: no more are reviewed. Others are summed by ``rest``.
    """

    entity: str
    k: int
    rest: Literal["day", "entity"] = "day"

    maxima = (SCORE,)
    keys = ()

    def rename(self, names: Mapping[str, str]) -> Reduction:
        """Return the same for a frame whose columns have other names."""
        return replace(self, entity=names[self.entity])

    def extend(self, rows: Frame) -> Frame:
        """Read categories as texts, by which entities of one score are ranked."""
        rows = super().extend(rows)
        if isinstance(rows.collect_schema()[self.entity], nw.Categorical | nw.Enum):
            rows = rows.with_columns(nw.col(self.entity).cast(nw.String))
        return rows

    def then(self, counts: Frame) -> Frame:
        """Rank the entities of each day, those of one score by number or name."""
        transactions, frauds = (nw.col(name) for name in COUNTED[:2])
        labelled, entity, day = transactions > 0, nw.col(self.entity), nw.col(DAY)
        ever = (frauds.sum().over(self.entity) > 0).cast(nw.Int64).fill_null(0)
        counts = counts.with_columns(
            (-nw.col(SCORE)).alias(_ORDER),
            nw.when(labelled).then(1 + ever).otherwise(0).alias(_KIND),
            labelled.cast(nw.Int64).alias(_ONE),
        )
        place = nw.col(_ONE).cum_sum().over(DAY, _KIND, order_by=[_ORDER, self.entity])
        counts = counts.with_columns(place.alias(_BEFORE))
        # A missing day or entity is kept, so that it is reported.
        chosen = (nw.col(_KIND) == 2) | (nw.col(_BEFORE).fill_null(0) <= self.k)
        kept = labelled & (chosen | entity.is_null() | day.is_null())
        counts = counts.with_columns(kept.cast(nw.Int64).alias(KEPT))
        counts = counts.with_columns((nw.col(_ONE) * (1 - nw.col(KEPT))).alias(OMITTED))
        of_day = nw.col(OMITTED).sum().over(DAY)
        is_kept = nw.col(KEPT) == 1
        omitted = nw.when(is_kept).then(of_day).otherwise(nw.col(OMITTED)).alias(OMITTED)
        left_out = DAY if self.rest == "entity" else self.entity
        counts = counts.with_columns(
            omitted, nw.when(is_kept).then(nw.col(left_out)).alias(left_out)
        )
        keys = [KEPT, self.entity, DAY]
        return sum_by(counts.drop(_ORDER, _KIND, _ONE, _BEFORE), keys, maxima=(SCORE,))


@dataclass(frozen=True)
class FirstOfClusters(_Checked):
    """By day, score and cluster, the highest scores of a day that have ``k`` transactions.

    Other transactions are summed by cluster.
    """

    cluster: str
    k: int

    def rename(self, names: Mapping[str, str]) -> Reduction:
        """Return the same for a frame whose columns have other names."""
        return replace(self, cluster=names[self.cluster])

    def then(self, counts: Frame) -> Frame:
        """Keep or leave out all transactions of a day that have the same score."""
        transactions = nw.col(COUNTED[0])
        counts = counts.with_columns((-nw.col(SCORE)).alias(_ORDER))
        until = transactions.cum_sum().over(DAY, order_by=[_ORDER, self.cluster])
        counts = counts.with_columns((until - transactions).alias(_BEFORE))
        before = nw.col(_BEFORE).min().over(DAY, SCORE)
        counts = counts.with_columns(before.alias(_BEFORE))
        chosen = nw.col(_BEFORE).fill_null(0) < self.k
        kept = (transactions > 0) & (
            chosen | nw.col(self.cluster).is_null() | nw.col(DAY).is_null()
        )
        counts = counts.with_columns(kept.cast(nw.Int64).alias(KEPT))
        counts = counts.with_columns((transactions * (1 - nw.col(KEPT))).alias(OMITTED))
        of_day, is_kept = nw.col(OMITTED).sum().over(DAY), nw.col(KEPT) == 1
        # Counts that are kept are not summed any more, so that each has what its day left out.
        counts = counts.with_columns(
            nw.when(is_kept).then(of_day).otherwise(nw.col(OMITTED)).alias(OMITTED),
            nw.when(is_kept).then(nw.col(SCORE)).otherwise(BELOW).alias(SCORE),
            nw.when(is_kept).then(nw.col(DAY)).alias(DAY),
        )
        return sum_by(counts.drop(_ORDER, _BEFORE), [KEPT, self.cluster, DAY, SCORE])


@dataclass(frozen=True)
class BinnedScores(_Checked):
    """Counts by bin of the score, with the sums that metrics of single scores need."""

    bins: ScoreBins
    losses: bool = False

    keys = (BIN,)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Sums over all rows and over frauds, which weights of labels weight."""
        return [*super().pairs, *([SQUARES, LOSSES] if self.losses else [])]

    def extend(self, rows: Frame) -> Frame:
        """Add the number of the bin and, if they are needed, errors and losses."""
        rows = super().extend(rows)
        if self.losses:
            score = nw.col(SCORE)
            transactions, frauds = (nw.col(name).cast(nw.Float64) for name in COUNTED[:2])
            genuine = transactions - frauds
            of_fraud, of_genuine = (
                -probability.clip(EPSILON, 1 - EPSILON).log() for probability in (score, 1 - score)
            )
            of_frauds = frauds * (1 - score) * (1 - score), frauds * of_fraud
            rows = rows.with_columns(
                (genuine * score * score + of_frauds[0]).alias(SQUARES[0]),
                of_frauds[0].alias(SQUARES[1]),
                (genuine * of_genuine + of_frauds[1]).alias(LOSSES[0]),
                of_frauds[1].alias(LOSSES[1]),
            )
        return self.bins.number(rows, SCORE, BIN).drop(SCORE)

    def then(self, counts: Frame) -> Frame:
        """Leave nothing out."""
        return counts
