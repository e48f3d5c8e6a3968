"""Counts of a model's predictions, aggregated inside PostgreSQL."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
from sqlalchemy import (
    BigInteger,
    DateTime,
    Double,
    Integer,
    Numeric,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.orm import aliased

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.database.models import ModelPrediction, Transaction, column_of
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.read import read_df
from synfin_analytics.metrics._row_metrics import LEFT_BEHIND
from synfin_analytics.metrics._score_counts import COUNTED, DAY, SCORE, UNLABELLED
from synfin_analytics.metrics._weights import WEIGHT_RULE, LabelWeights
from synfin_analytics.metrics.drift import CURRENT, REFERENCE, VALUE
from synfin_analytics.repositories._cached import PERSONAL_COLUMNS, cached_query
from synfin_analytics.repositories._counting import HASH_JOINS, query_settings, sum_money, sum_where
from synfin_analytics.repositories.transactions import between, known_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound

_SCORE = ModelPrediction.fraud_probability


@dataclass(frozen=True, eq=False)
class ScoredPredictions:
    """Predictions of one version of a model, with their transactions.

    Parameters
    ----------
    session
        Session to count in, including its uncommitted predictions.
    model_name, model_version
        Name and version of the model.
    start, end
        Only transactions at or after ``start`` and before ``end``.
    common_with
        Names and versions of other models: only transactions that these have scored too, with a
        label.
    as_of
        Only transactions before this time, with the labels that were known then.
    weight
        Numeric column of the transactions, or the weights of labels.
    fingerprint
        Fingerprint of the predictions that :meth:`by_score` counted; the other methods compare it
        with the predictions that are stored when they are called.
    amount
        Whether the fingerprint includes the amounts.
    detached
        Whether this object was pickled, which drops its session.
    """

    session: Session
    model_name: str
    model_version: str
    start: Bound = None
    end: Bound = None
    common_with: Sequence[tuple[str, str]] = ()
    as_of: Bound = None
    weight: str | LabelWeights | None = None
    fingerprint: int | None = None
    amount: bool = False
    detached: bool = False

    def by_score(
        self, by: Sequence[str] = (), *, amount: bool = False, cache: bool = True
    ) -> tuple[nw.DataFrame[Any], ScoredPredictions]:
        """Count by score, or by columns of the transaction and score; with weights, sum them.

        Returns
        -------
        tuple
            The counts, and these predictions with their fingerprint.

        Raises
        ------
        NotFoundError
            ``transactions`` has no such column.
        ArgumentError
            Labelled predictions have no score, or no valid weight.
        """
        groups = [column_of(Transaction, name).label(name) for name in by]
        labelled = self.label.is_not(None)
        score = func.coalesce(_SCORE, 0.0).label(SCORE)
        measures = self._counts()
        if amount:
            measures += self._amounts()
        measures += [
            func.count().filter(self.label.is_(None)).label(UNLABELLED),
            func.count().filter(and_(labelled, _SCORE.is_(None))).label(_NO_SCORE),
            self._hash(amount=amount).label(_HASH),
        ]
        if self._weight is not None:
            # NaN is larger than any other number.
            valid = and_(self._weight >= 0, self._weight <= literal(sys.float_info.max, Double))
            invalid = and_(labelled, func.coalesce(~valid, true()))
            measures.append(func.count().filter(invalid).label(_NO_WEIGHT))
        query: Select[Any] = select(*groups, score, *measures).group_by(*groups, score)
        query = self.filter(query, joined=bool(by) or amount or self._weight is not None)
        counts: nw.DataFrame[Any] = nw.from_native(
            cached_query(
                self.session,
                "evaluate",
                query,
                lambda: self._frame(query).to_native(),
                enabled=cache and not PERSONAL_COLUMNS.intersection(by),
            ),
            eager_only=True,
        )
        missing = int(counts[_NO_SCORE].sum() or 0)
        if missing:
            raise ArgumentError(
                f"{missing:,} labelled predictions of {self.model_name} {self.model_version} have "
                "no fraud_probability, which evaluate() needs. Use confusion() to evaluate the "
                "column prediction alone."
            )
        if self._weight is not None and (invalid_rows := int(counts[_NO_WEIGHT].sum() or 0)):
            raise ArgumentError(
                f"Column {self.weight!r} of 'transactions' must be {WEIGHT_RULE}; in "
                f"{pluralize(invalid_rows, 'row')} with a label it is missing, NaN, negative or "
                "infinite."
            )
        fingerprint = int(
            np.bitwise_xor.reduce(counts[_HASH].to_numpy().astype(np.int64), initial=0)
        )
        rows = replace(self, fingerprint=fingerprint, amount=amount)
        return self._weighted(counts.drop(_NO_SCORE, _NO_WEIGHT, _HASH, strict=False)), rows

    def by_period(
        self, reference: tuple[Bound, Bound], current: tuple[Bound, Bound]
    ) -> nw.DataFrame[Any]:
        """Count the predictions of two periods by score, also those without a label."""
        inside = [and_(true(), *between(*period)) for period in (reference, current)]
        columns: list[ColumnElement[Any]] = [_SCORE.label(VALUE)]
        for rows, name in zip(inside, (REFERENCE, CURRENT), strict=True):
            columns.append(func.count().filter(rows).label(name))
        return self._read(select(*columns).where(or_(*inside)).group_by(_SCORE), joined=True)

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:
        """Count by day and score: the ``k`` highest rows of each day, and those tied with them."""
        date = self._day(day)
        ranked = (
            self.filter(
                select(
                    date.label(DAY),
                    _SCORE.label(SCORE),
                    self.label.label("label"),
                    func.rank().over(partition_by=date, order_by=_SCORE.desc()).label("rank"),
                ).where(self.label.is_not(None)),
                joined=True,
            )
        ).subquery()
        totals = select(
            ranked.c[DAY],
            ranked.c[SCORE],
            func.count().label(COUNTED[0]),
            func.count().filter(ranked.c.label).label(COUNTED[1]),
            func.min(ranked.c.rank).label("rank"),
        ).group_by(ranked.c[DAY], ranked.c[SCORE])
        grouped = totals.subquery()
        # Rows below the first k count too, as one score: the maximum recall of a day needs them.
        is_below_k = (grouped.c.rank > k).label("rest")
        query = select(
            grouped.c[DAY],
            func.max(grouped.c[SCORE]).label(SCORE),
            cast(func.sum(grouped.c[COUNTED[0]]), Double).label(COUNTED[0]),
            cast(func.sum(grouped.c[COUNTED[1]]), Double).label(COUNTED[1]),
        ).group_by(grouped.c[DAY], is_below_k, func.least(grouped.c.rank, k + 1))
        return self._check_unchanged(self._frame(query))

    def by_entity(self, day: str, entity: str) -> nw.DataFrame[Any]:
        """Count by day and entity, with the entity's highest score of the day."""
        date, column = self._day(day), column_of(Transaction, entity)
        query = select(
            date.label(DAY), column.label(entity), func.max(_SCORE).label(SCORE), *self._counts()
        ).where(self.label.is_not(None))
        return self._check_unchanged(self._read(query.group_by(date, column), joined=True))

    def by_cluster(
        self,
        cluster: str,
        day: str | None = None,
        *,
        by: Sequence[str] = (),
        amount: bool = False,
    ) -> nw.DataFrame[Any]:
        """Count by cluster and score, and by day or groups if some are named.

        Without ``day``, a ``cluster`` of times is counted by its days.
        """
        keys = {cluster: column_of(Transaction, cluster)}
        if day is not None:
            keys[DAY] = self._day(day)
        elif isinstance(keys[cluster].type, DateTime):
            keys = {DAY: self._day(cluster)}
        keys |= {name: column_of(Transaction, name) for name in by}
        measures = self._counts()
        if amount:
            measures.append(self._amounts()[1])
        query = select(
            *(column.label(name) for name, column in keys.items()), _SCORE.label(SCORE), *measures
        )
        query = query.where(self.label.is_not(None)).group_by(*keys.values(), _SCORE)
        return self._weighted(self._check_unchanged(self._read(query, joined=True)))

    def _hash(self, *, amount: bool) -> ColumnElement[int]:
        """Fingerprint of predictions, whatever their order: each transaction has one per model."""
        return func.bit_xor(self.row_hash(amount=amount))

    def row_hash(self, *, amount: bool) -> ColumnElement[int]:
        """Hash of a prediction; the fingerprint of several is the XOR of theirs."""
        values: list[Any] = [ModelPrediction.transaction_id, _SCORE, self.label]
        if amount:
            values.append(Transaction.amount)
        if isinstance(self.weight, str):
            values.append(column_of(Transaction, self.weight))
        hashed: ColumnElement[int] = func.hash_record_extended(
            func.row(*values), literal(0, BigInteger)
        )
        return hashed

    def _check_unchanged(self, counts: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
        """Check that the counts are of the predictions that were evaluated.

        Call it after the counts have been read, so that a change in between is detected too.
        """
        if self.fingerprint is not None:
            query = select(func.coalesce(self._hash(amount=self.amount), 0).label(_HASH))
            joined = self.amount or self._weight is not None
            if self._read(query, joined=joined)[_HASH].item() != self.fingerprint:
                raise ArgumentError(
                    f"The stored predictions of {self.model_name} {self.model_version} must still "
                    "be those that were evaluated; got other scores or labels. Call evaluate again."
                )
        return counts

    def __deepcopy__(self, memo: dict[int, Any]) -> ScoredPredictions:
        return self  # the session is shared

    def __getstate__(self) -> dict[str, Any]:
        """Drop the session, whose connection cannot be pickled."""
        return {**self.__dict__, "session": None, "detached": True}

    @property
    def label(self) -> ColumnElement[Any]:
        """Label of a prediction, as it was known."""
        return known_label(ModelPrediction.ground_truth, self.as_of)

    @property
    def _pair(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        """Labelled rows, and the frauds among them."""
        return self.label.is_not(None), self.label.is_(True)

    @property
    def _weight(self) -> ColumnElement[float] | None:
        """The column of weights, as doubles."""
        if not isinstance(self.weight, str):
            return None
        column = column_of(Transaction, self.weight)
        if not isinstance(column.type, Numeric | Integer):
            raise ArgumentError(
                f"Column {self.weight!r} of 'transactions' must be a number to be a weight; got "
                f"{column.type}."
            )
        return cast(column, Double)

    def _counts(self) -> list[ColumnElement[Any]]:
        """Labelled rows and frauds, or sums of a column of weights."""
        if self._weight is None:
            counts: list[ColumnElement[Any]] = [
                func.count(self.label),
                func.count().filter(self.label.is_(True)),
            ]
        else:
            counts = [sum_where(self._weight, where) for where in self._pair]
        return [count.label(name) for count, name in zip(counts, COUNTED[:2], strict=True)]

    def _amounts(self) -> list[ColumnElement[Any]]:
        """Amounts of labelled rows and of frauds, each times a column of weights."""
        if self._weight is None:
            sums = [sum_money(Transaction.amount, where) for where in self._pair]
        else:
            sums = [
                sum_where(cast(Transaction.amount, Double) * self._weight, row)
                for row in self._pair
            ]
        return [total.label(name) for total, name in zip(sums, COUNTED[2:], strict=True)]

    def _weighted(self, counts: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
        """Weight counts by label."""
        if isinstance(self.weight, LabelWeights):
            return self.weight.apply_to_frame(counts, COUNTED[:2], COUNTED[2:])
        return counts

    def _day(self, name: str) -> ColumnElement[Any]:
        column = column_of(Transaction, name)
        if not isinstance(column.type, DateTime):
            raise ArgumentError(
                f"Column {name!r} of 'transactions' must contain timestamps to count by day; got "
                f"{column.type}."
            )
        return func.date_trunc("day", column, "UTC")

    def filter(self, query: Select[Any], *, joined: bool = True) -> Select[Any]:
        """Restrict a query to these predictions, joined with their transactions if asked for."""
        source = ModelPrediction.__table__
        period = between(self.start, self.end, self.as_of)
        if joined or period:
            source = source.join(Transaction.__table__)
        return query.select_from(source).where(
            ModelPrediction.model_name == self.model_name,
            ModelPrediction.model_version == self.model_version,
            *period,
            *(self._scored_by(*model) for model in self.common_with),
        )

    def _scored_by(self, model_name: str, model_version: str) -> ColumnElement[bool]:
        other_prediction = aliased(ModelPrediction)
        return (
            select(other_prediction.id)
            .where(
                other_prediction.transaction_id == ModelPrediction.transaction_id,
                other_prediction.model_name == model_name,
                other_prediction.model_version == model_version,
                known_label(other_prediction.ground_truth, self.as_of).is_not(None),
                other_prediction.fraud_probability.is_not(None),
            )
            .exists()
        )

    def _read(self, query: Select[Any], *, joined: bool) -> nw.DataFrame[Any]:
        return self._frame(self.filter(query, joined=joined))

    def _frame(self, query: Select[Any]) -> nw.DataFrame[Any]:
        if self.detached:
            raise ArgumentError(LEFT_BEHIND)
        with (
            query_settings(self.session, HASH_JOINS)
            if self.common_with
            else contextlib.nullcontext()
        ):
            read = read_df(query, session=self.session, output="polars")
        frame: nw.DataFrame[Any] = nw.from_native(read, eager_only=True)
        return frame


_NO_SCORE, _NO_WEIGHT, _HASH = "__no_score", "__no_weight", "__hash"
