"""A simple scored model: what every better one should beat.

A logistic regression of six things that are known at the moment of a payment. It learns from the
first part of the period, chooses its threshold there, and is reported on the last part only; what
lies between is left out, since labels take days to arrive.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_date, pluralize
from synfin_analytics._core.frequency import read_delay
from synfin_analytics._core.rolling import DAY, Amounts, Runs
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.features.payments import codes_of
from synfin_analytics.io.coerce import coerce_columns, collect_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: What the model looks at, in words.
FEATURES = {
    "log_amount": "amount",
    "amount_ratio": "amount against the customer's mean so far",
    "amount_oddity": "how far it is from that mean, up or down",
    "payments_24h": "the customer's payments in the last 24 hours",
    "night": "time of day (0 to 6 h UTC)",
    "merchant_risk": "frauds at the merchant in the four weeks before the delay",
}
_NEEDED = ("transaction_id", "customer_id", "merchant_id", "timestamp", "amount", "is_fraud")
_RISK_WINDOW = dt.timedelta(days=28)
#: Payments that a merchant's own share of frauds must outweigh.
_PRIOR = 20
_PENALTY = 1e-4
#: Smaller amounts, as of a verified card, count as this.
_LEAST_AMOUNT = 0.01
_TOO_FEW = (
    "`transactions` must cover a period with labelled rows in its first part and rows in its last; "
    "these are too few to learn from some and predict others."
)


@dataclass(frozen=True)
class BaselineModel:
    """Predictions of the last part of a period, and how they came about.

    Attributes
    ----------
    predictions
        Rows for ``model_predictions``, as :func:`synfin_analytics.load_df` takes them.
    threshold
        Score from which on a payment is called fraud: where F1 was best on the first part.
        Infinite if no fraud was known there.
    coefficients
        Of the standardised features, by name.
    train_end, test_start
        End of the first part and beginning of the last.
    n_train, n_train_frauds
        What it learnt from.
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

    def __repr__(self) -> str:
        return (
            f"BaselineModel({self.name} {self.version}: learnt from "
            f"{pluralize(self.n_train, 'transaction')} and "
            f"{pluralize(self.n_train_frauds, 'fraud')} until {format_date(self.train_end)}; "
            f"{pluralize(len(self.predictions), 'prediction')} from "
            f"{format_date(self.test_start)} on)"
        )


def fit_baseline(
    df: Any,
    *,
    name: str = "baseline",
    version: str = "1.0",
    train_fraction: float = 0.7,
    label_delay: str | dt.timedelta = "7d",
) -> BaselineModel:
    """Learn from the first part of a period, and predict the last.

    Parameters
    ----------
    df
        Transactions with transaction_id, customer_id, merchant_id, timestamp, amount and is_fraud:
        of pandas, polars, pyarrow or another engine. The predictions are a frame of polars.
    name, version
        Of the model, as they are stored.
    train_fraction
        Share of the period to learn from.
    label_delay
        Time that labels take: no label younger than it is used, and so much time lies between the
        parts (less if the period is short). ``label_available_at`` is not read.

    Raises
    ------
    NotFoundError
        A column is missing.
    ArgumentError
        It is no frame, or there are too few transactions to learn from the first part and predict
        the last.

    Examples
    --------
    >>> from synfin_analytics.simulation import simulate
    >>> world = simulate(customers=100, merchants=20, days=60, seed=1, output="polars")
    >>> model = fit_baseline(world.transactions)
    >>> model.predictions.columns[:4]
    ['transaction_id', 'model_name', 'model_version', 'prediction']
    """
    delay = read_delay(label_delay, "label_delay")
    if not 0 < train_fraction < 1:
        raise ArgumentError(f"`train_fraction` must be between 0 and 1; got {train_fraction!r}.")
    given = collect_columns(df, _NEEDED, (), "transactions", "fit_baseline")
    rows = coerce_columns(given, Transaction, _NEEDED)
    frame = features_of(rows, delay)
    first, last = frame["timestamp"].min(), frame["timestamp"].max()
    if not isinstance(first, dt.datetime) or not isinstance(last, dt.datetime) or first == last:
        raise ArgumentError(_TOO_FEW)
    train_end = first + train_fraction * (last - first)
    test_start = train_end + min(delay, (last - train_end) / 3)

    learn = frame.filter((pl.col("timestamp") < train_end) & pl.col("is_fraud").is_not_null())
    test = frame.filter(pl.col("timestamp") >= test_start)
    if not len(learn) or not len(test):
        raise ArgumentError(_TOO_FEW)
    of = learn.select(list(FEATURES)).to_numpy()
    centre, scale = of.mean(axis=0), np.maximum(of.std(axis=0), 1e-9)
    truth = learn["is_fraud"].to_numpy().astype(np.float64)
    weights = _fit((of - centre) / scale, truth)
    threshold = best_threshold(_score((of - centre) / scale, weights), truth)
    scores = _score((test.select(list(FEATURES)).to_numpy() - centre) / scale, weights)
    predictions = test.select(
        "transaction_id",
        pl.lit(name).alias("model_name"),
        pl.lit(version).alias("model_version"),
        pl.Series("prediction", scores >= threshold),
        pl.Series("fraud_probability", scores),
        pl.col("is_fraud").alias("ground_truth"),
    )
    return BaselineModel(
        name=name,
        version=version,
        predictions=predictions,
        threshold=threshold,
        coefficients=dict(zip(FEATURES, weights[1:].tolist(), strict=True)),
        train_end=train_end,
        test_start=test_start,
        n_train=len(learn),
        n_train_frauds=int(truth.sum()),
    )


def features_of(transactions: pl.DataFrame, delay: dt.timedelta) -> pl.DataFrame:
    """Add to transactions, in the order of time, what the model looks at.

    Each feature is of what is known at the moment of the payment; labels once ``delay`` has passed.
    """
    frame = transactions.sort("timestamp", "transaction_id").with_columns(
        pl.col("amount").cast(pl.Float64)
    )
    at = frame["timestamp"].dt.epoch("us").to_numpy()
    amount, truth = frame["amount"].to_numpy(), frame["is_fraud"].cast(pl.Boolean)
    payers = Runs(codes_of(frame["customer_id"]), at)
    whole = Amounts.of(amount)
    paid = np.maximum(amount, _LEAST_AMOUNT)
    by_mean = ratio(paid * whole.per, payers.window(include_current=False).mean(whole.units))
    logs = {
        "log_amount": np.log(paid),
        "amount_ratio": np.log(np.where(np.isnan(by_mean), 1.0, by_mean)),
        "payments_24h": np.log(payers.window(DAY).count()),
    }
    shops = Runs(codes_of(frame["merchant_id"]), at, counted=truth.is_not_null().to_numpy())
    labels = shops.window(_RISK_WINDOW, lag=delay, include_current=False)
    known, frauds = labels.count(), labels.sum(truth.fill_null(value=False).to_numpy())
    return frame.with_columns(
        **{name: pl.Series(values) for name, values in logs.items()},
        amount_oddity=pl.Series(np.abs(logs["amount_ratio"])),
        night=(pl.col("timestamp").dt.hour() < 6).cast(pl.Float64),
        merchant_risk=pl.Series(np.log((frauds + 0.01 * _PRIOR) / (known + _PRIOR))),
    )


def _score(features: Floats, weights: Floats) -> Floats:
    margin = weights[0] + features @ weights[1:]
    scores: Floats = (1 + np.tanh(margin / 2)) / 2  # the logistic function, without overflow
    return scores


def _fit(features: Floats, truth: Floats) -> Floats:
    """Logistic regression with a slight penalty, which keeps the weights finite."""
    from scipy.optimize import minimize

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = weights[0] + features @ weights[1:]
        error = _score(features, weights) - truth
        value = float(np.mean(np.logaddexp(0, margin) - truth * margin))
        slope = np.concatenate([[error.mean()], features.T @ error / len(truth)])
        return value + _PENALTY / 2 * float(weights @ weights), slope + _PENALTY * weights

    start = np.zeros(features.shape[1] + 1)
    found: Any = minimize(loss, start, jac=True, method="L-BFGS-B")
    return np.asarray(found.x, dtype=np.float64)


def best_threshold(scores: Floats, truth: Floats) -> float:
    """Score from which on F1 is best; infinite where there is no fraud to find.

    Examples
    --------
    >>> best_threshold(np.array([0.9, 0.8, 0.1]), np.array([1.0, 1.0, 0.0]))
    0.8
    """
    if not truth.any():
        return math.inf
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order])
    f1 = 2 * found / (np.arange(1, len(order) + 1) + truth.sum())
    # Equal scores are called alike: only the last of them ends a set of alarms.
    ends = np.append(np.diff(scores[order]) != 0, True)
    return float(scores[order][np.argmax(np.where(ends, f1, -1.0))])
