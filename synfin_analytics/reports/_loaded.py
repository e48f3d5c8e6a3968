"""Stored rows that a report reads once, because it counts them in many ways.

Each grouping, interval and bootstrap counts other cells of the same rows. In statements, PostgreSQL
would read, join and sort the rows for each of them. Of more rows than :data:`MAX_ROWS`, which would
take too much memory here, only counts are read.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from sqlalchemy import func, literal, select

from synfin_analytics.database.models import ModelPrediction, Transaction, column_of
from synfin_analytics.io.read import read_df
from synfin_analytics.reports._groups import DEFAULT_COLUMNS
from synfin_analytics.reports._rows import Roles, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    import narwhals as nw
    import pandas as pd
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from synfin_analytics.metrics._row_metrics import Rows as CountedRows
    from synfin_analytics.reports._groups import Grouping
    from synfin_analytics.reports._sources import PredictionData
    from synfin_analytics.repositories._prediction_counts import ScoredPredictions

#: Rows that are read into memory: a model report of 1.1 million took half a gigabyte
#: (benchmarks/report_database.py).
MAX_ROWS = 2_500_000
COLUMNS = ("timestamp", "customer_id", "merchant_id", "amount", "currency", "status",
            "label_available_at")  # fmt: skip
ROLES: dict[str, Any] = {
    "timestamp": "timestamp", "customer": "customer_id", "merchant": "merchant_id",
    "amount": "amount", "currency": "currency", "status": "status",
    "label_available_at": "label_available_at",
}  # fmt: skip
IS_FRAUD = "__is_fraud"
_HASH = "__hash"


def group_columns(groupings: Sequence[Grouping] | None) -> list[str]:
    """Return the columns that a report groups by; those it chooses from, if none were named."""
    if groupings is None:
        return list(DEFAULT_COLUMNS)
    columns = [[by] if isinstance(by, str) else list(by) for by in groupings]
    return [name for names in columns for name in names]


def load_transactions(
    session: Session,
    label: ColumnElement[Any],
    columns: Iterable[str],
    restrict: Callable[[Select[Any]], Select[Any]],
) -> Rows | None:
    """Read what a report of transactions counts; None of no rows, or of too many.

    Parameters
    ----------
    session
        Where to read.
    label
        Label of a transaction, as it was known.
    columns
        Columns that are grouped by.
    restrict
        Adds the conditions of the report's rows.
    """
    names = [*dict.fromkeys((*COLUMNS, *columns))]
    names = [name for name in names if name != Transaction.is_fraud.key]
    query: Any = select(
        *(column_of(Transaction, name) for name in names), label.label(Transaction.is_fraud.key)
    )
    few = restrict(select(literal(1)).select_from(Transaction))
    frame = _read(session, restrict(query), few)
    if frame is None:
        return None
    roles = Roles(Transaction.is_fraud.key, **ROLES)
    return to_rows(frame, roles)


def load_predictions(
    rows: ScoredPredictions,
    label_of_transaction: ColumnElement[Any],
    columns: Iterable[str],
    entity: str,
    cluster: str,
) -> Rows | None:
    """Read what a report of a model counts; None of no rows, of too many, or without scores.

    Parameters
    ----------
    rows
        The predictions.
    label_of_transaction
        Label of the transaction, as it was known.
    columns
        Columns that are grouped by.
    entity, cluster
        Columns of what is ranked by day, and of what the bootstrap resamples.
    """
    names = [*dict.fromkeys((*COLUMNS, entity, cluster, *columns))]
    query: Any = select(
        *(column_of(Transaction, name) for name in names),
        ModelPrediction.fraud_probability,
        ModelPrediction.prediction,
        ModelPrediction.predicted_at,
        rows.label.label("ground_truth"),
        label_of_transaction.label(IS_FRAUD),
        rows.row_hash(amount=True).label(_HASH),
    )
    few = rows.filter(select(literal(1)), joined=False)
    frame = _read(rows.session, rows.filter(query), few)
    if frame is None:
        return None
    labelled = frame.filter(pl.col("ground_truth").is_not_null())
    if frame["fraud_probability"].null_count() or labelled[cluster].null_count():
        return None
    if labelled[entity].null_count():
        return None
    roles = Roles(
        "ground_truth", score="fraud_probability", entity=entity, cluster=cluster, **ROLES
    )
    return to_rows(frame, roles)


def to_rows(frame: pl.DataFrame, roles: Roles) -> Rows:
    """Return stored rows as those of a report."""
    # Comparing numbers is faster than comparing texts, and their order is the same.
    texts = [name for name in ("customer_id", "merchant_id") if name in frame.columns]
    frame = frame.with_columns(pl.col(name).cast(pl.Categorical) for name in texts)
    candidates = tuple(name for name in DEFAULT_COLUMNS if name in frame.columns)
    return Rows(frame, roles, None, candidates, None, ())


def _read(session: Session, query: Select[Any], few: Select[Any]) -> pl.DataFrame | None:
    counted = select(func.count().label("n")).select_from(few.limit(MAX_ROWS + 1).subquery())
    if not 0 < read_df(counted, session=session, output="polars").item() <= MAX_ROWS:
        return None
    return read_df(query, session=session, output="polars")


def fingerprint_of(rows: Rows) -> int:
    """Return the fingerprint of predictions that ``ScoredPredictions`` compares with the stored."""
    return int(np.bitwise_xor.reduce(rows.frame[_HASH].to_numpy(), initial=0))


def describe_stored(rows: Rows, data: PredictionData) -> PredictionData:
    """Complete the description of predictions with what only stored ones have."""
    frame = rows.frame
    truth, label = pl.col("ground_truth"), pl.col(IS_FRAUD)
    known_at = pl.coalesce("label_available_at", "timestamp")
    score, alert = pl.col("fraud_probability"), pl.col("prediction")
    values = frame.select(
        first_stored=pl.col("predicted_at").min(),
        last_stored=pl.col("predicted_at").max(),
        n_stored_after_label=(truth.is_not_null() & (pl.col("predicted_at") > known_at)).sum(),
        n_truth_outdated=(label != truth).sum(),
        lowest_alert=score.filter(alert).min(),
        highest_pass=score.filter(~alert).max(),
    ).row(0, named=True)
    known = sorted(currency for currency in data.currencies if currency is not None)
    currencies = (*known, *(None for currency in data.currencies if currency is None))
    return dataclasses.replace(data, **values, currencies=currencies)


def as_read(frame: pd.DataFrame, integers: Collection[str] = ()) -> pd.DataFrame:
    """Convert a frame of polars' types to the types of the frames that the database returns."""
    texts = {name for name, dtype in frame.dtypes.items() if str(dtype) in {"str", "category"}}
    types: Any = dict.fromkeys(texts, "string")
    return frame.astype(types | dict.fromkeys(integers, "Int64"))


@dataclass(eq=False)
class LoadedRows:
    """Rows of an evaluation: in memory as long as a report is computed, and stored ones after.

    Parameters
    ----------
    stored
        The stored rows.
    loaded
        The same rows in memory.
    """

    stored: ScoredPredictions
    loaded: CountedRows | None

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:
        """Count by day and score."""
        return (self.loaded or self.stored).by_day(day, k)

    def by_entity(self, day: str, entity: str) -> nw.DataFrame[Any]:
        """Count by day, entity and score."""
        return (self.loaded or self.stored).by_entity(day, entity)

    def by_cluster(
        self,
        cluster: str,
        day: str | None = None,
        *,
        by: Sequence[str] = (),
        amount: bool = False,
    ) -> nw.DataFrame[Any]:
        """Count by cluster and score."""
        return (self.loaded or self.stored).by_cluster(cluster, day, by=by, amount=amount)

    def release(self) -> None:
        """Forget the rows in memory."""
        self.loaded = None
