"""Reports of the rows of the database and of an archive together, which are read into memory."""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING, Any

import pandas as pd

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics.nowcast import nowcast_fraud_rate
from synfin_analytics.reports._database import infer_threshold
from synfin_analytics.reports._frame import FramePredictions, FrameTransactions
from synfin_analytics.reports._loaded import (
    COLUMNS,
    IS_FRAUD,
    ROLES,
    as_read,
    describe_stored,
    to_rows,
)
from synfin_analytics.reports._rows import Roles
from synfin_analytics.reports._sources import Knowledge, omit_for_weights
from synfin_analytics.repositories._archived import LATER, read_predictions, read_transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable
    from pathlib import Path

    import polars as pl
    from sqlalchemy.orm import Session

    from synfin_analytics.metrics._weights import Weight
    from synfin_analytics.metrics.evaluation import Evaluation, Threshold
    from synfin_analytics.metrics.nowcast import FraudRateNowcast
    from synfin_analytics.reports._database import Range
    from synfin_analytics.reports._rows import Rows
    from synfin_analytics.reports._sources import PredictionData
    from synfin_analytics.repositories.transactions import TransactionStatistics

_COUNTS = ("transactions", "labelled", "frauds", "unsuccessful", "returned", "recorded")


def _knowledge(frame: pl.DataFrame, as_of: dt.datetime | None) -> Knowledge | None:
    if as_of is None:
        return None
    later = frame[LATER]
    return Knowledge(as_of, later.count(), int(later.sum() or 0))


def _integers(frame: pd.DataFrame) -> list[str]:
    return [name for name in _COUNTS if name in frame.columns]


# -- Transactions ----------------------------------------------------------------------------------


class ArchivedTransactions(FrameTransactions):
    """Transactions of a period in the database and in an archive.

    Parameters
    ----------
    session, archive
        Where to read.
    period
        Start and end of the transactions.
    confidence_level
        Of all intervals.
    as_of
        Report only what was known at this time.
    columns
        Columns that are grouped by, and those that may be.

    Raises
    ------
    ArgumentError
        There are no transactions.
    """

    def __init__(
        self,
        session: Session,
        archive: str | Path,
        period: Range,
        confidence_level: float,
        as_of: dt.datetime | None,
        columns: Iterable[str],
    ) -> None:
        names = dict.fromkeys((*COLUMNS, "fraud_type", "is_anomaly", *columns))
        frame = read_transactions(session, archive, names, *period, as_of)
        if not frame.height:
            raise ArgumentError(
                "There are no transactions to report on in the database and the archive"
                + (" in this period." if any((*period, as_of)) else ".")
            )
        self._n_anomalies = int(frame["is_anomaly"].sum() or 0)
        self._as_of = as_of
        roles = Roles("is_fraud", fraud_type="fraud_type", **ROLES)
        super().__init__(to_rows(frame, roles), confidence_level)
        self.missing, self.remarks = {}, []
        self.knowledge = _knowledge(frame, as_of)

    def fraud_rate(self, by: Any = None, **options: Any) -> pd.DataFrame:
        """Return the fraud rate by columns, periods or bins."""
        return as_read(super().fraud_rate(by, **options))

    def read_statistics(self) -> TransactionStatistics:
        """Return counts and amounts of all transactions."""
        return {**super().read_statistics(), "anomaly_count": self._n_anomalies}

    def read_amounts(self) -> pd.DataFrame:
        """Return sums of amounts by currency."""
        amounts = super().read_amounts()
        return as_read(amounts, _integers(amounts))

    def read_losses(self, column: str) -> pd.DataFrame:
        """Return frauds and their losses by a column."""
        losses = super().read_losses(column)
        return as_read(losses, _integers(losses))

    def read_label_maturity(self) -> pd.DataFrame:
        """Return how many transactions of each week are labelled."""
        weeks = super().read_label_maturity()
        return as_read(weeks, _integers(weeks))

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week."""
        return _nowcast(self._rows, self._as_of, self._confidence_level)


def _nowcast(rows: Rows, as_of: dt.datetime | None, confidence_level: float) -> FraudRateNowcast:
    roles = rows.roles
    return nowcast_fraud_rate(
        rows.frame,
        "timestamp",
        roles.label,
        "label_available_at",
        as_of=as_of,
        amount=roles.amount,
        confidence_level=confidence_level,
    )


# -- Models ----------------------------------------------------------------------------------------


class ArchivedPredictions(FramePredictions):
    """Predictions of a model in the database and in an archive, with their transactions.

    Parameters
    ----------
    session, archive
        Where to read.
    model, other
        Name and version of the model, and of one to compare with.
    period
        Start and end of the transactions.
    entity, cluster
        Columns of what is ranked by day, and of what the bootstrap resamples.
    confidence_level
        Of all intervals.
    weight
        Numeric column of the transactions, or the weights of labels.
    as_of
        Report only what was known at this time.
    columns
        Columns that are grouped by, and those that may be.

    Raises
    ------
    NotFoundError, ArgumentError
        There is no such model, or no prediction in the period.
    """

    def __init__(
        self,
        session: Session,
        archive: str | Path,
        model: tuple[str, str],
        other: tuple[str, str] | None,
        period: Range,
        *,
        entity: str,
        cluster: str,
        confidence_level: float,
        weight: Weight | None,
        as_of: dt.datetime | None,
        columns: Iterable[str],
    ) -> None:
        self._session, self._archive, self._model, self._other = session, archive, model, other
        self._period, self._as_of = (*period, as_of), as_of
        numbers = [weight] if isinstance(weight, str) else []
        self._columns = dict.fromkeys((*COLUMNS, entity, cluster, *columns, *numbers))
        self._roles = Roles(
            "ground_truth", score="fraud_probability", entity=entity, cluster=cluster, **ROLES
        )
        self._given_weight = weight
        frame = self._read(model, importances=True)
        importances = _average_importances(frame["feature_importance"])
        super().__init__(
            to_rows(frame.drop("feature_importance"), self._roles),
            *model,
            confidence_level=confidence_level,
            missing={},
            label_weights=weight,
            importances=importances,
        )
        self._notes.clear()
        self.missing = {}
        if weight is not None:
            self.missing, remark = omit_for_weights(weight)
            self._notes.append(remark)
        self.knowledge = _knowledge(frame, as_of)
        self.data = describe_stored(self._rows, self.data)

    def _read(self, model: tuple[str, str], **options: Any) -> pl.DataFrame:
        frame = read_predictions(
            self._session, self._archive, model, self._columns, *self._period, **options
        )
        return frame.rename({"is_fraud": IS_FRAUD})

    def infer_threshold(self) -> tuple[Threshold, str]:
        """Return the threshold that the predictions are consistent with, and its source."""
        return infer_threshold(self.data)

    def compare(self, threshold: Threshold) -> dict[str, Evaluation] | str | None:
        """Evaluate both models on the rows that both scored, each at its own threshold."""
        if self._other is None:
            return None
        thresholds = {
            self._other: infer_threshold(self._describe_other(self._other))[0],
            self._model: threshold,
        }
        pairs = ((self._other, self._model), (self._model, self._other))
        return {
            " ".join(model): evaluate(
                to_rows(self._read(model, common_with=[reference]), self._roles).frame,
                "ground_truth",
                "fraud_probability",
                threshold=thresholds[model],
                amount="amount",
                weight=self._given_weight,
                **self._options,
            )
            for model, reference in pairs
        }

    def _describe_other(self, model: tuple[str, str]) -> PredictionData:
        rows = to_rows(self._read(model), self._roles)
        frame = FramePredictions(rows, *model, missing={}, **self._options)
        return describe_stored(rows, frame.data)

    def read_weeks(self, threshold: float) -> pd.DataFrame:
        """Return scores and frauds of each week."""
        weeks = super().read_weeks(threshold)
        return as_read(weeks, ("transactions", "labelled", "frauds", "scored", "alerts"))

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week of the predictions."""
        return _nowcast(self._rows, self._as_of, self._options["confidence_level"])


def _average_importances(stored: pl.Series) -> pd.DataFrame:
    """Return the mean of each stored importance over the predictions that have it."""
    values: dict[str, list[float]] = collections.defaultdict(list)
    for document in stored.drop_nulls():
        content = json.loads(document)
        for feature, value in content.items() if isinstance(content, dict) else ():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values[feature].append(value)
    rows = [
        (feature, sum(numbers) / len(numbers), sum(map(abs, numbers)) / len(numbers), len(numbers))
        for feature, numbers in values.items()
    ]
    rows.sort(key=lambda row: (-row[2], row[0]))
    return pd.DataFrame(rows, columns=["feature", "mean", "size", "predictions"])
