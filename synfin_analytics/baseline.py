"""A simple baseline model: what every better model should beat.

A logistic regression of six features that are known at the time of a payment. It is trained on the
first part of a period, its threshold is chosen there, and it predicts the last part only. The days
between are left out, since labels take days to arrive.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.arguments import argument_error, refuse_spelling
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dates import parse_duration
from synfin_analytics._core.formatting import format_date, format_decimal, pluralize
from synfin_analytics._core.grouped import DAY, Amounts, GroupedRolling, factorize
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.coerce import coerce_columns, collect_columns

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import Floats


#: Features of the model, in words.
FEATURES = {
    "log_amount": "amount",
    "amount_ratio": "amount relative to the customer's mean so far",
    "amount_deviation": "distance from that mean, up or down",
    "payments_24h": "the customer's payments in the last 24 hours",
    "night": "time of day (0 to 6 h UTC)",
    "merchant_risk": "fraud rate of the merchant in the four weeks before the label delay",
}
_REQUIRED = ("transaction_id", "customer_id", "merchant_id", "timestamp", "amount", "is_fraud")
_RISK_WINDOW = dt.timedelta(days=28)
#: Weight of the prior fraud rate, in payments, and the prior itself.
_PRIOR_WEIGHT, _PRIOR_RATE = 20, 0.01
_PENALTY = 1e-4
#: Smaller amounts, as of a card verification, count as this.
_MIN_AMOUNT = 0.01
_TOO_FEW = (
    "`df` must have labelled transactions in the first part of its period and transactions in the "
    "last; got too few to train on some and predict others."
)


@dataclass(frozen=True, repr=False, eq=False)
class BaselineModel(Result):
    """Baseline model, with its predictions of the last part of a period.

    ``to_frame()`` returns the coefficients, one feature a row: ``feature``, ``description`` and
    ``coefficient``. ``to_dict()`` returns all attributes but the predictions.

    Attributes
    ----------
    name, version
        Of the model, as in ``predictions``.
    predictions
        Rows for ``model_predictions``, ready for :func:`synfin_analytics.load_df`.
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
    predictions: pl.DataFrame
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
        attributes = {name: value for name, value in vars(self).items() if name != "predictions"}
        return attributes | {"n_predictions": len(self.predictions)}

    def __repr__(self) -> str:
        trained_on = (
            f"{pluralize(self.n_train, 'transaction')} with "
            f"{pluralize(self.n_train_frauds, 'fraud')} before {format_date(self.train_end)}"
        )
        predictions = (
            f"{pluralize(len(self.predictions), 'prediction')} from {format_date(self.test_start)}"
        )
        return f"BaselineModel({self.name} {self.version}: trained on {trained_on}; {predictions})"

    def _repr_html_(self) -> str:
        rows = [
            (name, FEATURES[name], format_decimal(coefficient))
            for name, coefficient in self.coefficients.items()
        ]
        head = ["feature", "description", "coefficient"]
        return table_html(head, rows, caption=repr(self), text_columns=(0, 1))


@refuse_spelling(delay="label_delay")
def fit_baseline(
    df: IntoFrame | TransactionSource,
    *,
    name: str = "baseline",
    version: str = "1.0",
    train_fraction: float = 0.7,
    label_delay: str | dt.timedelta = "7d",
) -> BaselineModel:
    """Train a logistic regression on the first part of a period, and predict the last.

    Parameters
    ----------
    df
        Transactions with ``transaction_id``, ``customer_id``, ``merchant_id``, ``timestamp``,
        ``amount`` and ``is_fraud``: pandas, polars, pyarrow or another engine.
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
        The coefficients, the threshold and the predictions (a polars DataFrame).

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
    merchant. They are standardised; the regression has an L2 penalty and is fitted with L-BFGS.
    The threshold has the best F1 on the training data.

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
    columns = collect_columns(df, _REQUIRED, (), "transactions", "fit_baseline")
    frame = compute_features(coerce_columns(columns, Transaction, _REQUIRED), delay)
    first, last = frame["timestamp"].min(), frame["timestamp"].max()
    if not isinstance(first, dt.datetime) or not isinstance(last, dt.datetime) or first == last:
        raise ArgumentError(_TOO_FEW)
    train_end = first + train_fraction * (last - first)
    test_start = train_end + min(delay, (last - train_end) / 3)

    train = frame.filter((pl.col("timestamp") < train_end) & pl.col("is_fraud").is_not_null())
    test = frame.filter(pl.col("timestamp") >= test_start)
    if not len(train) or not len(test):
        raise ArgumentError(_TOO_FEW)
    features = train.select(list(FEATURES)).to_numpy()
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    is_fraud = train["is_fraud"].to_numpy().astype(np.float64)
    weights = _fit((features - mean) / scale, is_fraud)
    threshold = best_f1_threshold(is_fraud, _score((features - mean) / scale, weights))
    scores = _score((test.select(list(FEATURES)).to_numpy() - mean) / scale, weights)
    predictions = prediction_rows(test, name, version, scores, threshold)
    return BaselineModel(
        name=name,
        version=version,
        predictions=predictions,
        threshold=threshold,
        coefficients=dict(zip(FEATURES, weights[1:].tolist(), strict=True)),
        train_end=train_end,
        test_start=test_start,
        n_train=len(train),
        n_train_frauds=int(is_fraud.sum()),
    )


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


def compute_features(transactions: pl.DataFrame, label_delay: dt.timedelta) -> pl.DataFrame:
    """Sort transactions by time, and add the features of the model.

    Each feature depends only on what is known at the time of the payment; on a label, once
    ``label_delay`` has passed.
    """
    frame = transactions.sort("timestamp", "transaction_id").with_columns(
        pl.col("amount").cast(pl.Float64)
    )
    timestamps = frame["timestamp"].dt.epoch("us").to_numpy()
    amount, is_fraud = frame["amount"].to_numpy(), frame["is_fraud"].cast(pl.Boolean)
    customers = GroupedRolling(factorize(frame["customer_id"]), timestamps)
    amounts = Amounts.from_floats(amount)
    positive = np.maximum(amount, _MIN_AMOUNT)
    mean_units = customers.window(include_current=False).mean(amounts.units)
    amount_ratio = ratio(positive * amounts.units_per_one, mean_units)
    logarithms = {
        "log_amount": np.log(positive),
        "amount_ratio": np.log(np.where(np.isnan(amount_ratio), 1.0, amount_ratio)),
        "payments_24h": np.log(customers.window(DAY).count()),
    }
    merchants = GroupedRolling(
        factorize(frame["merchant_id"]), timestamps, counted=is_fraud.is_not_null().to_numpy()
    )
    labels = merchants.window(_RISK_WINDOW, lag=label_delay, include_current=False)
    n_labels, n_frauds = labels.count(), labels.sum(is_fraud.fill_null(value=False).to_numpy())
    risk = (n_frauds + _PRIOR_RATE * _PRIOR_WEIGHT) / (n_labels + _PRIOR_WEIGHT)
    return frame.with_columns(
        **{name: pl.Series(values) for name, values in logarithms.items()},
        amount_deviation=pl.Series(np.abs(logarithms["amount_ratio"])),
        night=(pl.col("timestamp").dt.hour() < 6).cast(pl.Float64),
        merchant_risk=pl.Series(np.log(risk)),
    )


def _score(features: Floats, weights: Floats) -> Floats:
    margin = weights[0] + features @ weights[1:]
    scores: Floats = (1 + np.tanh(margin / 2)) / 2  # the logistic function, without overflow
    return scores


def _fit(features: Floats, is_fraud: Floats) -> Floats:
    """Fit a logistic regression with a small penalty, which keeps the weights finite."""
    from scipy.optimize import minimize

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = weights[0] + features @ weights[1:]
        error = _score(features, weights) - is_fraud
        value = float(np.mean(np.logaddexp(0, margin) - is_fraud * margin))
        gradient = np.concatenate([[error.mean()], features.T @ error / len(is_fraud)])
        return value + _PENALTY / 2 * float(weights @ weights), gradient + _PENALTY * weights

    start = np.zeros(features.shape[1] + 1)
    minimum: Any = minimize(loss, start, jac=True, method="L-BFGS-B")
    return np.asarray(minimum.x, dtype=np.float64)


def best_f1_threshold(is_fraud: Floats, scores: Floats) -> float:
    """Return the threshold with the best F1; infinite if there is no fraud.

    Examples
    --------
    >>> best_f1_threshold(np.array([1.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.1]))
    0.8
    """
    if not is_fraud.any():
        return math.inf
    order = np.argsort(-scores, kind="stable")
    true_positives = np.cumsum(is_fraud[order])
    f1 = 2 * true_positives / (np.arange(1, len(order) + 1) + is_fraud.sum())
    # Equal scores are predicted alike: only the last of them ends a set of alerts.
    is_last = np.append(np.diff(scores[order]) != 0, True)
    return float(scores[order][np.argmax(np.where(is_last, f1, -1.0))])
