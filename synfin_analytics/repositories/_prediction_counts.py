"""Predictions of a model, counted by score inside PostgreSQL: no row of them leaves it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
from sqlalchemy import BigInteger, DateTime, Double, and_, cast, func, literal, select
from sqlalchemy.orm import aliased

from synfin_analytics.database.models import ModelPrediction, Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.read import read_df
from synfin_analytics.metrics._rows import LEFT_BEHIND
from synfin_analytics.metrics._scored import DAY, UNLABELLED
from synfin_analytics.metrics._scores import COUNTED, SCORE
from synfin_analytics.repositories._arguments import total
from synfin_analytics.repositories._query_settings import HASHED, planned
from synfin_analytics.repositories.transactions import between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound

_TRUTH, _SAID = ModelPrediction.ground_truth, ModelPrediction.fraud_probability


@dataclass(frozen=True, eq=False)
class ScoredPredictions:
    """Predictions of one version of a model, with the transactions they are of.

    Parameters
    ----------
    session
        Session to count in: uncommitted predictions count too.
    model_name, model_version
        Which model.
    start, end
        Only transactions at or after ``start`` and before ``end``.
    common_with
        Names and versions of other models: only transactions whose truth and score these know too.
    fingerprint
        What :meth:`by_score` returned for the predictions that were evaluated; the other methods
        compare it with the predictions that are stored by then.
    amount
        Whether the fingerprint is of the amounts too.
    left_behind
        Whether the session was left behind when this was pickled.
    """

    session: Session
    model_name: str
    model_version: str
    start: Bound = None
    end: Bound = None
    common_with: Sequence[tuple[str, str]] = ()
    fingerprint: int | None = None
    amount: bool = False
    left_behind: bool = False

    def by_score(
        self, by: Sequence[str] = (), *, amount: bool = False
    ) -> tuple[nw.DataFrame[Any], ScoredPredictions]:
        """Count by score, or by columns of the transaction and score.

        Returns
        -------
        tuple
            The counts, and these rows with the fingerprint of what was counted.

        Raises
        ------
        NotFoundError
            ``transactions`` has no such column.
        ArgumentError
            Predictions of which the truth is known have no score.
        """
        groups = [self._column(name).label(name) for name in by]
        labelled, fraud = _TRUTH.is_not(None), _TRUTH.is_(True)
        score = func.coalesce(_SAID, 0.0).label(SCORE)
        measures: list[ColumnElement[Any]] = [
            func.count(_TRUTH).label(COUNTED[0]),
            func.count().filter(fraud).label(COUNTED[1]),
        ]
        if amount:
            measures += [
                total(Transaction.amount, labelled).label(COUNTED[2]),
                total(Transaction.amount, fraud).label(COUNTED[3]),
            ]
        measures += [
            func.count().filter(_TRUTH.is_(None)).label(UNLABELLED),
            func.count().filter(and_(labelled, _SAID.is_(None))).label(_NO_SCORE),
            self._hash(amount=amount).label(_HASH),
        ]
        query = select(*groups, score, *measures).group_by(*groups, score)
        counts = self._read(query, joined=bool(by) or amount)
        missing = int(counts[_NO_SCORE].sum() or 0)
        if missing:
            raise ArgumentError(
                f"{missing:,} predictions of {self.model_name} {self.model_version} with a ground "
                "truth have no fraud_probability: a model is evaluated by its scores. Its "
                "predictions alone are judged by confusion()."
            )
        seen = int(np.bitwise_xor.reduce(counts[_HASH].to_numpy().astype(np.int64), initial=0))
        rows = replace(self, fingerprint=seen, amount=amount)
        return counts.drop(_NO_SCORE, _HASH), rows

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:
        """Count by day and score; of each day the ``k`` highest rows, and those that tie."""
        moment = self._day(day)
        ranked = (
            self.where(
                select(
                    moment.label(DAY),
                    _SAID.label(SCORE),
                    _TRUTH.label("truth"),
                    func.rank().over(partition_by=moment, order_by=_SAID.desc()).label("place"),
                ).where(_TRUTH.is_not(None)),
                joined=True,
            )
        ).subquery()
        totals = select(
            ranked.c[DAY],
            ranked.c[SCORE],
            func.count().label(COUNTED[0]),
            func.count().filter(ranked.c.truth).label(COUNTED[1]),
            func.min(ranked.c.place).label("place"),
        ).group_by(ranked.c[DAY], ranked.c[SCORE])
        grouped = totals.subquery()
        # What is below the first k counts too, as one score: a day's frauds are its ceiling.
        low = (grouped.c.place > k).label("low")
        query = select(
            grouped.c[DAY],
            func.max(grouped.c[SCORE]).label(SCORE),
            cast(func.sum(grouped.c[COUNTED[0]]), Double).label(COUNTED[0]),
            cast(func.sum(grouped.c[COUNTED[1]]), Double).label(COUNTED[1]),
        ).group_by(grouped.c[DAY], low, func.least(grouped.c.place, k + 1))
        return self._unchanged(self._frame(query))

    def by_entity(self, day: str, entity: str) -> nw.DataFrame[Any]:
        """Count by day and entity, with the entity's highest score of the day."""
        moment, column = self._day(day), self._column(entity)
        query = select(
            moment.label(DAY), column.label(entity), func.max(_SAID).label(SCORE), *self._counts()
        ).where(_TRUTH.is_not(None))
        return self._unchanged(self._read(query.group_by(moment, column), joined=True))

    def by_cluster(
        self, cluster: str, day: str | None = None, *, amount: bool = False
    ) -> nw.DataFrame[Any]:
        """Count by cluster and score, and by day if one is named.

        Without ``day``, a ``cluster`` of times is counted by its days.
        """
        keys = {cluster: self._column(cluster)}
        if day is not None:
            keys[DAY] = self._day(day)
        elif isinstance(keys[cluster].type, DateTime):
            keys = {DAY: self._day(cluster)}
        measures = self._counts()
        if amount:
            measures.append(total(Transaction.amount, _TRUTH.is_(True)).label(COUNTED[3]))
        query = select(
            *(column.label(name) for name, column in keys.items()), _SAID.label(SCORE), *measures
        )
        query = query.where(_TRUTH.is_not(None)).group_by(*keys.values(), _SAID)
        return self._unchanged(self._read(query, joined=True))

    def _hash(self, *, amount: bool) -> ColumnElement[int]:
        """Fingerprint of predictions in any order: a transaction has one of each model."""
        values = [ModelPrediction.transaction_id, _SAID, _TRUTH]
        of = func.row(*values, *([Transaction.amount] if amount else []))
        return func.bit_xor(func.hash_record_extended(of, literal(0, BigInteger)))

    def _unchanged(self, counts: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
        """Refuse counts of other predictions than those that were evaluated.

        Called after the counts were read, so that a change between both is seen too.
        """
        if self.fingerprint is not None:
            query = select(func.coalesce(self._hash(amount=self.amount), 0).label(_HASH))
            if self._read(query, joined=self.amount)[_HASH].item() != self.fingerprint:
                raise ArgumentError(
                    f"The stored predictions of {self.model_name} {self.model_version} must still "
                    "be those that were evaluated; got other scores or labels. Call evaluate again."
                )
        return counts

    def __deepcopy__(self, memo: dict[int, Any]) -> ScoredPredictions:
        return self  # the session is shared

    def __getstate__(self) -> dict[str, Any]:
        """Leave the session behind: a connection does not pickle."""
        return {**self.__dict__, "session": None, "left_behind": True}

    @staticmethod
    def _counts() -> list[ColumnElement[Any]]:
        return [
            func.count().label(COUNTED[0]),
            func.count().filter(_TRUTH.is_(True)).label(COUNTED[1]),
        ]

    def _column(self, name: str) -> ColumnElement[Any]:
        columns = Transaction.__table__.c
        if name not in columns:
            raise NotFoundError("column", name, columns.keys(), where="'transactions'")
        column: ColumnElement[Any] = columns[name]
        return column

    def _day(self, name: str) -> ColumnElement[Any]:
        column = self._column(name)
        if not isinstance(column.type, DateTime):
            raise ArgumentError(
                f"Column {name!r} of 'transactions' must hold times to be counted by day."
            )
        return func.date_trunc("day", column, "UTC")

    def where(self, query: Select[Any], *, joined: bool = True) -> Select[Any]:
        """Let a query be of these predictions; ``joined``: and of their transactions."""
        source = ModelPrediction.__table__
        period = between(self.start, self.end)
        if joined or period:
            source = source.join(Transaction.__table__)
        return query.select_from(source).where(
            ModelPrediction.model_name == self.model_name,
            ModelPrediction.model_version == self.model_version,
            *period,
            *(self._known_to(*other) for other in self.common_with),
        )

    @staticmethod
    def _known_to(model_name: str, model_version: str) -> ColumnElement[bool]:
        other = aliased(ModelPrediction)
        return (
            select(other.id)
            .where(
                other.transaction_id == ModelPrediction.transaction_id,
                other.model_name == model_name,
                other.model_version == model_version,
                other.ground_truth.is_not(None),
                other.fraud_probability.is_not(None),
            )
            .exists()
        )

    def _read(self, query: Select[Any], *, joined: bool) -> nw.DataFrame[Any]:
        return self._frame(self.where(query, joined=joined))

    def _frame(self, query: Select[Any]) -> nw.DataFrame[Any]:
        if self.left_behind:
            raise ArgumentError(LEFT_BEHIND)
        with planned(self.session, HASHED) if self.common_with else contextlib.nullcontext():
            read = read_df(query, session=self.session, output="polars")
        frame: nw.DataFrame[Any] = nw.from_native(read, eager_only=True)
        return frame


_NO_SCORE, _HASH = "__no_score", "__hash"
