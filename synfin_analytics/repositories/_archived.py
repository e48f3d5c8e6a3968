"""Rows of the database and of an archive together, in memory: PostgreSQL counts only its own."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
from sqlalchemy import select

from synfin_analytics._core.dates import parse_known_range, parse_time
from synfin_analytics.database.models import ModelPrediction, Transaction, column_of
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.read import read_df
from synfin_analytics.repositories._rule_counts import describe_unscored

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound

#: What a label was before ``as_of`` hid it.
LATER = "__later_label"
_TIMES = ("timestamp", "label_available_at")
_MODEL = ("model_name", "model_version")
_PREDICTION = ("transaction_id", "fraud_probability", "prediction", "ground_truth", "predicted_at")


def read_transactions(
    session: Session,
    archive: str | Path,
    columns: Iterable[str],
    start: Bound = None,
    end: Bound = None,
    as_of: Bound = None,
    *,
    use_decimal: bool = False,
) -> pl.DataFrame:
    """Read the transactions of a period in both halves, with the labels that were known.

    Parameters
    ----------
    session
        Where to read.
    archive
        The archive.
    columns
        Columns of the transactions; those of times and labels come with them.
    start, end, as_of
        Only transactions at or after ``start``, and before ``end`` and ``as_of``.
    use_decimal
        Whether amounts are decimals.

    Raises
    ------
    NotFoundError
        ``transactions`` has no such column.
    """
    names = dict.fromkeys((*columns, "is_fraud", *_TIMES))
    query = select(*(column_of(Transaction, name) for name in names))
    frame = read_df(
        query, session=session, archive=archive, output="polars", use_decimal=use_decimal
    )
    return _hide(_within(frame, start, end, as_of), "is_fraud", as_of)


def read_predictions(
    session: Session,
    archive: str | Path,
    model: tuple[str, str],
    columns: Iterable[str] = (),
    start: Bound = None,
    end: Bound = None,
    as_of: Bound = None,
    *,
    common_with: Iterable[tuple[str, str]] = (),
    importances: bool = False,
) -> pl.DataFrame:
    """Read the predictions of a model in both halves, with their transactions.

    Parameters
    ----------
    session
        Where to read.
    archive
        The archive.
    model
        Name and version.
    columns
        Columns of the transactions; those of times and labels come with them.
    start, end, as_of
        Only transactions at or after ``start``, and before ``end`` and ``as_of``.
    common_with
        Only transactions that these models have scored too, with a label.
    importances
        Whether to read ``feature_importance``.

    Raises
    ------
    NotFoundError
        There is no prediction of a model, or no such column.
    ArgumentError
        There is no prediction in the period, or in common with the other models.
    """
    names = [*_PREDICTION, *_MODEL, *(["feature_importance"] if importances else [])]
    query = select(*(column_of(ModelPrediction, name) for name in names))
    stored = read_df(query, session=session, archive=archive, output="polars")
    known = ("transaction_id", *columns)
    transactions = read_transactions(session, archive, known, start, end, as_of)

    def predictions_of(name: tuple[str, str]) -> pl.DataFrame:
        chosen = _of_model(stored, name)
        joined = chosen.join(transactions, on="transaction_id", how="inner")
        return _hide(joined.drop(LATER), "ground_truth", as_of)

    rows = predictions_of(model)
    for other in common_with:
        scored = predictions_of(other).drop_nulls(["ground_truth", "fraud_probability"])
        rows = rows.join(scored, on="transaction_id", how="semi")
    if not rows.height:
        raise ArgumentError(
            f"There is no prediction of {' '.join(model)} within this range of dates (or, where "
            "models are compared, for the same labelled transactions)."
        )
    return rows.sort("timestamp", "transaction_id")


def read_scored(
    session: Session,
    archive: str | Path,
    columns: Iterable[str],
    models: Mapping[str, tuple[str, str]],
    start: Bound,
    end: Bound,
    as_of: Bound,
) -> tuple[pl.DataFrame, list[str]]:
    """Read the transactions of a period in both halves, with all labels and with models' scores.

    Parameters
    ----------
    session
        Where to read.
    archive
        The archive.
    columns
        Columns of the transactions, and of ``models``; those of times and labels come with them.
    models
        Names and versions of models, by the name of the column with their score.
    start, end, as_of
        Only transactions at or after ``start``, and before ``end`` and ``as_of``.

    Returns
    -------
    tuple
        The transactions, and a sentence for each model that has not scored all of them.

    Raises
    ------
    NotFoundError
        There is no prediction of a model, or ``transactions`` has no such column.
    """
    names = [name for name in columns if name not in models]
    frame = read_transactions(session, archive, ["transaction_id", *names], start, end)
    frame, notes = _within(frame, start, end, as_of).drop(LATER), []
    if models:
        scores = (ModelPrediction.transaction_id, ModelPrediction.fraud_probability)
        query = select(*scores, *(column_of(ModelPrediction, name) for name in _MODEL))
        stored = read_df(query, session=session, archive=archive, output="polars")
        for name, model in models.items():
            scored = _of_model(stored, model).rename({"fraud_probability": name})
            frame = frame.join(scored, on="transaction_id", how="left")
            if unscored := frame[name].null_count():
                notes.append(describe_unscored(name, model, unscored))
    return frame, notes


def _of_model(stored: pl.DataFrame, model: tuple[str, str]) -> pl.DataFrame:
    """Return the predictions of a model.

    Raises
    ------
    NotFoundError
        There are none.
    """
    chosen = stored.filter(pl.col("model_name") == model[0], pl.col("model_version") == model[1])
    if not chosen.height:
        models = stored.select(pl.concat_str(*_MODEL, separator=" ").unique(maintain_order=True))
        raise NotFoundError(
            "model", " ".join(model), models.to_series().to_list() or ["none"],
            location="'model_predictions' or the archive",
        )  # fmt: skip
    return chosen.drop(_MODEL)


def read_statistics(
    session: Session,
    archive: str | Path,
    start: dt.datetime | None,
    end: dt.datetime | None,
    as_of: Bound,
) -> dict[str, Any]:
    """Aggregate both halves, as ``TransactionRepository.get_statistics`` does; sums are exact."""
    names = ("amount", "is_anomaly")
    frame = read_transactions(session, archive, names, as_of=as_of, use_decimal=True)
    frame = _within(frame, start, end, None)
    amounts, labels, undefined = frame["amount"], frame["is_fraud"], Decimal("NaN")
    total = Decimal(amounts.sum() or 0)
    return {
        "total_count": len(frame),
        "total_amount": total,
        "avg_amount": total / len(frame) if len(frame) else undefined,
        "min_amount": amounts.min() if len(frame) else undefined,
        "max_amount": amounts.max() if len(frame) else undefined,
        "labelled_count": labels.count(),
        "fraud_count": int(labels.sum() or 0),
        "anomaly_count": int(frame["is_anomaly"].sum() or 0),
    }


def _within(frame: pl.DataFrame, start: Bound, end: Bound, as_of: Bound) -> pl.DataFrame:
    first, after = parse_known_range(start, end, as_of)
    if first is not None:
        frame = frame.filter(pl.col("timestamp") >= first)
    if after is not None:
        frame = frame.filter(pl.col("timestamp") < after)
    return frame


def _hide(frame: pl.DataFrame, label: str, as_of: Bound) -> pl.DataFrame:
    """Replace labels that became known after ``as_of`` by missing ones, and note them."""
    time = parse_time(as_of, "as_of")
    later: Any = pl.lit(value=False)
    if time is not None:
        later = (pl.col("label_available_at") > time).fill_null(value=False)
    return frame.with_columns(
        pl.when(later).then(pl.col(label)).alias(LATER),
        pl.when(~later).then(pl.col(label)).alias(label),
    )
