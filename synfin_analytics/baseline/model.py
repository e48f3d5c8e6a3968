"""The baseline model: :func:`fit_baseline` and its result."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, overload

import numpy as np
import polars as pl

from synfin_analytics._core.arguments import argument_error, refuse_spelling
from synfin_analytics._core.dataframes import native_frame
from synfin_analytics._core.dates import parse_duration
from synfin_analytics._core.distributed import open_distributed
from synfin_analytics._core.formatting import format_date, format_decimal, pluralize
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics.baseline._distributed import DistributedRows, append_features, predict
from synfin_analytics.baseline._features import FEATURES, REQUIRED, compute_features
from synfin_analytics.baseline._regression import (
    Extent,
    Moments,
    Part,
    RowsInMemory,
    Split,
    Weights,
    find_threshold,
    fit_weights,
)
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.coerce import coerce_columns, collect_columns

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame, IntoLazyFrame
    from typing_extensions import TypeVar

    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import Floats
    from synfin_analytics.baseline._regression import Rows

    #: Frame of the predictions.
    FrameT = TypeVar("FrameT", default=pl.DataFrame)
else:
    from typing import TypeVar

    FrameT = TypeVar("FrameT")

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TOO_FEW = (
    "`df` must have labelled transactions in the first part of its period and transactions in the "
    "last; got too few to train on some and predict others."
)


@dataclass(frozen=True, repr=False, eq=False)
class BaselineModel(Result, Generic[FrameT]):
    """Baseline model, with its predictions of the last part of a period.

    ``to_frame()`` returns the coefficients, one feature a row: ``feature``, ``description`` and
    ``coefficient``. ``to_dict()`` returns all attributes but the predictions.

    Attributes
    ----------
    name, version
        Of the model, as in ``predictions``.
    predictions
        Rows for ``model_predictions``, ready for :func:`synfin_analytics.load_df`: a polars
        DataFrame, or a lazy frame of PySpark or Dask.
    n_predictions
        Number of predictions.
    threshold
        Payments with at least this score are predicted to be fraud: the threshold with the best F1
        on the training data; infinite if these have no known fraud.
    coefficients
        Of the standardised features, by name.
    train_end, test_start
        End of the training period, and start of the predicted one.
    n_train, n_train_frauds
        Number of labelled transactions, and of frauds among them, that the model was trained on.

    Examples
    --------
    >>> from synfin_analytics import fit_baseline, simulate
    >>> world = simulate(customers=100, merchants=20, days=60, seed=1)
    >>> model = fit_baseline(world.transactions)
    >>> model.to_frame()["feature"].tolist()[:2]
    ['log_amount', 'amount_ratio']
    """

    name: str
    version: str
    predictions: FrameT
    n_predictions: int
    threshold: float
    coefficients: dict[str, float]
    train_end: dt.datetime
    test_start: dt.datetime
    n_train: int
    n_train_frauds: int

    def _table(self) -> pl.DataFrame:
        features = {
            "feature": list(self.coefficients),
            "description": [FEATURES[name] for name in self.coefficients],
            "coefficient": list(self.coefficients.values()),
        }
        return pl.DataFrame(features)

    def _record(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "predictions"}

    def __repr__(self) -> str:
        trained_on = (
            f"{pluralize(self.n_train, 'transaction')} with "
            f"{pluralize(self.n_train_frauds, 'fraud')} before {format_date(self.train_end)}"
        )
        predictions = (
            f"{pluralize(self.n_predictions, 'prediction')} from {format_date(self.test_start)}"
        )
        return f"BaselineModel({self.name} {self.version}: trained on {trained_on}; {predictions})"

    def _repr_html_(self) -> str:
        rows = [
            (name, FEATURES[name], format_decimal(coefficient))
            for name, coefficient in self.coefficients.items()
        ]
        head = ["feature", "description", "coefficient"]
        return table_html(head, rows, caption=repr(self), text_columns=(0, 1))


@overload
def fit_baseline(
    df: IntoDataFrame | pl.LazyFrame | TransactionSource,
    *,
    name: str = ...,
    version: str = ...,
    train_fraction: float = ...,
    label_delay: str | dt.timedelta = ...,
) -> BaselineModel[pl.DataFrame]: ...
@overload
def fit_baseline(
    df: IntoLazyFrame,
    *,
    name: str = ...,
    version: str = ...,
    train_fraction: float = ...,
    label_delay: str | dt.timedelta = ...,
) -> BaselineModel[Any]: ...
@refuse_spelling(delay="label_delay")
def fit_baseline(
    df: Any,
    *,
    name: str = "baseline",
    version: str = "1.0",
    train_fraction: float = 0.7,
    label_delay: str | dt.timedelta = "7d",
) -> BaselineModel[Any]:
    """Train a logistic regression on the first part of a period, and predict the last.

    Parameters
    ----------
    df
        Transactions with ``transaction_id``, ``customer_id``, ``merchant_id``, ``timestamp``,
        ``amount`` and ``is_fraud``: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or
        PySpark.
    name, version
        Of the model, as stored with the predictions.
    train_fraction
        Fraction of the period to train on, between 0 and 1.
    label_delay
        How long labels take: a number and a unit (m, h, d or w), or a timedelta. Younger labels are
        not used, and the two parts are so far apart (less if the period is short).
        ``label_available_at`` is not read.

    Returns
    -------
    BaselineModel
        The coefficients, the threshold and the predictions: a polars DataFrame; for Dask and
        PySpark a lazy frame of the engine.

    Raises
    ------
    NotFoundError
        A column is missing.
    ArgumentError
        ``df`` is not a DataFrame, or has too few transactions to train on the first part and
        predict the last.

    Notes
    -----
    The features, all known at the time of the payment, are the logarithm of the amount, that of its
    ratio to the customer's mean so far and its absolute value, the logarithm of the customer's
    payments in 24 hours, whether it is night, and the logarithm of the smoothed fraud rate of the
    merchant. They are standardised; the regression has an L2 penalty and is fitted with Newton's
    method. The threshold has the best F1 on the training data.

    A frame of Dask or PySpark is shuffled by customer and by merchant, and its features stay with
    the workers during the fit. Each step of the method collects sums, and the threshold needs the
    scores of the frauds; no other rows are collected. Coefficients and scores differ from those in
    memory by rounding. Other lazy frames are collected, six columns of them.

    Examples
    --------
    >>> from synfin_analytics.simulation import simulate
    >>> world = simulate(customers=100, merchants=20, days=60, seed=1, output="polars")
    >>> model = fit_baseline(world.transactions)
    >>> model.predictions.columns[:4]
    ['transaction_id', 'model_name', 'model_version', 'prediction']
    """
    delay = parse_duration(label_delay, "label_delay")
    if not isinstance(train_fraction, float | int) or not 0 < train_fraction < 1:
        raise argument_error("train_fraction", "between 0 and 1", train_fraction)
    with contextlib.ExitStack() as stack:
        distributed = open_distributed(native_frame(df), "fit_baseline")
        rows: Rows
        if distributed is None:
            columns = collect_columns(df, REQUIRED, (), "transactions", "fit_baseline")
            frame = compute_features(coerce_columns(columns, Transaction, REQUIRED), delay)
            rows = RowsInMemory(_to_part(frame))
        else:
            featured = append_features(distributed, delay)
            rows = DistributedRows(stack.enter_context(featured.persisted()))
        split = _split(rows, train_fraction, delay)
        moments = rows.sum(Moments(split))
        n_train, n_train_frauds, n_predictions = map(int, moments[:3])
        if not n_train or not n_predictions:
            raise ArgumentError(_TOO_FEW)
        weights = fit_weights(rows, split, moments)
        threshold = find_threshold(rows, split, weights)
    predictions: Any
    if distributed is None:
        predictions = _predict(frame, split, weights, threshold, name, version)
    else:
        predictions = predict(featured, split, weights, threshold, name, version)
    return BaselineModel(
        name=name,
        version=version,
        predictions=predictions,
        n_predictions=n_predictions,
        threshold=threshold,
        coefficients=dict(zip(FEATURES, weights.values[1:].tolist(), strict=True)),
        train_end=_to_time(split.train_end),
        test_start=_to_time(split.test_start),
        n_train=n_train,
        n_train_frauds=n_train_frauds,
    )


def _split(rows: Rows, train_fraction: float, label_delay: dt.timedelta) -> Split:
    """Divide the period of the rows."""
    extent = rows.collect(Extent())
    if not len(extent) or extent[:, 0].min() == extent[:, 1].max():
        raise ArgumentError(_TOO_FEW)
    first, last = _to_time(extent[:, 0].min()), _to_time(extent[:, 1].max())
    train_end = first + train_fraction * (last - first)
    test_start = train_end + min(label_delay, (last - train_end) / 3)
    return Split(_to_epoch(train_end), _to_epoch(test_start))


def _to_time(epoch: float) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=float(epoch))


def _to_epoch(time: dt.datetime) -> float:
    return float((time - _EPOCH) // dt.timedelta(microseconds=1))


def _to_part(frame: pl.DataFrame) -> Part:
    label = frame["is_fraud"].cast(pl.Float64).fill_null(np.nan)
    features = frame.select(list(FEATURES)).to_numpy()
    return Part(frame["timestamp"].dt.epoch("us").to_numpy(), label.to_numpy(), features)


def _predict(
    frame: pl.DataFrame,
    split: Split,
    weights: Weights,
    threshold: float,
    name: str,
    version: str,
) -> pl.DataFrame:
    """Return the predictions for the last part, in the order of time."""
    part = _to_part(frame)
    is_test = split.in_test(part)
    scores = weights.score(part.features[is_test])
    return prediction_rows(frame.filter(pl.Series(is_test)), name, version, scores, threshold)


def prediction_rows(
    transactions: pl.DataFrame, name: str, version: str, scores: Floats, threshold: float
) -> pl.DataFrame:
    """Return scored transactions as rows of ``model_predictions``; ``is_fraud`` is the truth.

    Examples
    --------
    >>> df = pl.DataFrame({"transaction_id": ["T1"], "is_fraud": [True]})
    >>> prediction_rows(df, "forest", "1.0", np.array([0.9]), 0.5)["prediction"].to_list()
    [True]
    """
    return transactions.select(
        "transaction_id",
        pl.lit(name).alias("model_name"),
        pl.lit(version).alias("model_version"),
        pl.Series("prediction", scores >= threshold),
        pl.Series("fraud_probability", scores),
        pl.col("is_fraud").alias("ground_truth"),
    )
