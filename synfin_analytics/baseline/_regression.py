"""The logistic regression of the baseline model, fitted from sums over the rows.

The sums are computed where the rows are: in memory, or on the workers of an engine. The minimum is
unique, and Newton's method reaches it up to rounding, so that every engine finds the same model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from synfin_analytics.baseline._features import FEATURES

if TYPE_CHECKING:
    from synfin_analytics._core.types import Floats, Integers, Mask

_PENALTY = 1e-4
#: Steps of Newton's method: at most, and the largest change of a weight after which it stops. Each
#: step squares the error.
_MAX_STEPS, _LAST_STEP = 100, 1e-7
#: Features that vary less are constant: what is left is the rounding of sums.
_MIN_SCALE = 1e-6
_N = len(FEATURES)


class Part(NamedTuple):
    """Some of the rows: time, label (NaN where it is missing) and features, one a column."""

    epoch: Integers
    label: Floats
    features: Floats


class Summary(Protocol):
    """Computes rows of numbers from a part; a class of the package, since workers load it."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numbers."""

    def __call__(self, part: Part) -> Floats:
        """Return an array of rows by names."""


class Rows(Protocol):
    """All rows, wherever they are."""

    def collect(self, summary: Summary) -> Floats:
        """Return the rows of numbers of all parts."""

    def sum(self, summary: Summary) -> Floats:
        """Return the sums of the numbers over all parts."""

    def sum_by_first(self, summary: Summary) -> Floats:
        """Return the first number, and the sums of the others for each value of it."""


class RowsInMemory:
    """Rows in memory, which are one part."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def collect(self, summary: Summary) -> Floats:
        """Return the rows of numbers."""
        return summary(self._part)

    def sum(self, summary: Summary) -> Floats:
        """Return the sums of the numbers."""
        return np.asarray(summary(self._part).sum(axis=0))

    def sum_by_first(self, summary: Summary) -> Floats:
        """Return the rows of numbers, in which each value of the first is there once."""
        return summary(self._part)


# -- The two parts of the period -------------------------------------------------------------------


@dataclass(frozen=True)
class Extent:
    """The first and the last time."""

    names = ("first", "last")

    def __call__(self, part: Part) -> Floats:
        """Return one row, or none without rows."""
        if not len(part.epoch):
            return np.empty((0, 2))
        return np.array([[part.epoch.min(), part.epoch.max()]], dtype=np.float64)


@dataclass(frozen=True)
class Split:
    """The training period and the predicted one, in microseconds since 1970."""

    train_end: float
    test_start: float

    def in_training(self, part: Part) -> Mask:
        """Return which rows the model is trained on."""
        mask: Mask = (part.epoch < self.train_end) & ~np.isnan(part.label)
        return mask

    def in_test(self, part: Part) -> Mask:
        """Return which rows it predicts."""
        mask: Mask = part.epoch >= self.test_start
        return mask


@dataclass(frozen=True)
class Moments:
    """Counts of the rows, and sums and squares of the features to train on."""

    split: Split
    names = (
        "n_train", "n_frauds", "n_test",
        *(f"sum_{name}" for name in FEATURES), *(f"squares_{name}" for name in FEATURES),
    )  # fmt: skip

    def __call__(self, part: Part) -> Floats:
        """Return one row."""
        train = self.split.in_training(part)
        features = part.features[train]
        counts = [train.sum(), part.label[train].sum(), self.split.in_test(part).sum()]
        sums = features.sum(axis=0), (features * features).sum(axis=0)
        return np.concatenate([counts, *sums], dtype=np.float64)[np.newaxis]


# -- The regression --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """The fitted model: of standardised features, with the intercept first."""

    mean: Floats
    scale: Floats
    values: Floats

    def margin(self, features: Floats) -> Floats:
        """Return the logit of each row, whose last digit does not depend on other rows."""
        margin = np.full(len(features), self.values[0])
        for column, (mean, scale, value) in enumerate(
            zip(self.mean, self.scale, self.values[1:], strict=True)
        ):
            margin += (features[:, column] - mean) / scale * value
        return margin

    def score(self, features: Floats) -> Floats:
        """Return the probability of fraud of each row."""
        scores: Floats = (1 + np.tanh(self.margin(features) / 2)) / 2  # without overflow
        return scores


@dataclass(frozen=True)
class _Derivatives:
    """The loss, its gradient and its second derivatives, without the penalty."""

    split: Split
    weights: Weights
    names = ("loss", *(f"d{i}" for i in range(_N + 1)), *(f"dd{i}" for i in range((_N + 1) ** 2)))

    def __call__(self, part: Part) -> Floats:
        """Return one row."""
        train = self.split.in_training(part)
        weights, label = self.weights, part.label[train]
        standardised = (part.features[train] - weights.mean) / weights.scale
        design = np.column_stack([np.ones(len(label)), standardised])
        margin, score = weights.margin(part.features[train]), weights.score(part.features[train])
        loss = (np.logaddexp(0, margin) - label * margin).sum()
        gradient = design.T @ (score - label)
        curvature = (design * (score * (1 - score))[:, np.newaxis]).T @ design
        return np.concatenate([[loss], gradient, curvature.ravel()])[np.newaxis]


def fit_weights(rows: Rows, split: Split, moments: Floats) -> Weights:
    """Fit a logistic regression with a small penalty, which keeps the weights finite."""
    n_train, n_frauds = moments[:2]
    mean = moments[3 : 3 + _N] / n_train
    variance = np.maximum(moments[3 + _N :] / n_train - mean**2, 0)
    scale = np.where(variance < _MIN_SCALE**2, 1.0, np.sqrt(variance))
    start = np.zeros(_N + 1)
    start[0] = math.log((n_frauds + 0.5) / (n_train - n_frauds + 0.5))

    def evaluate(values: Floats) -> tuple[float, Floats]:
        """Return the penalised loss and the step of Newton's method."""
        sums = rows.sum(_Derivatives(split, Weights(mean, scale, values))) / n_train
        loss = sums[0] + _PENALTY / 2 * float(values @ values)
        gradient = sums[1 : _N + 2] + _PENALTY * values
        curvature = sums[_N + 2 :].reshape(_N + 1, _N + 1) + _PENALTY * np.eye(_N + 1)
        return float(loss), -np.linalg.solve(curvature, gradient)

    values = start
    loss, step = evaluate(values)
    for _ in range(_MAX_STEPS):
        if np.abs(step).max() < _LAST_STEP:
            break
        next_loss, next_step = evaluate(values + step)
        if next_loss > loss + 1e-12:  # too far: back towards the last point
            step = step / 2
            continue
        values, loss, step = values + step, next_loss, next_step
    return Weights(mean, scale, values + step)


# -- The threshold ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FraudScores:
    """The distinct scores of frauds, and how many have them."""

    split: Split
    weights: Weights
    names = ("score", "frauds")

    def __call__(self, part: Part) -> Floats:
        """Return one row for each score."""
        frauds = self.split.in_training(part) & (part.label == 1)
        scores, counts = np.unique(self.weights.score(part.features[frauds]), return_counts=True)
        return np.column_stack([scores, counts]).astype(np.float64)


@dataclass(frozen=True)
class _GenuineBands:
    """How many genuine payments are between the scores of frauds."""

    split: Split
    weights: Weights
    candidates: Floats
    names = ("band", "genuine")

    def __call__(self, part: Part) -> Floats:
        """Return one row for each band: the number of candidates that are not above a score."""
        genuine = self.split.in_training(part) & (part.label == 0)
        scores = self.weights.score(part.features[genuine])
        band = np.searchsorted(self.candidates, scores, side="right")
        bands, counts = np.unique(band, return_counts=True)
        return np.column_stack([bands, counts]).astype(np.float64)


def find_threshold(rows: Rows, split: Split, weights: Weights) -> float:
    """Return the threshold with the best F1 on the training data; infinite if there is no fraud.

    It is the score of a fraud: one between two of these has no more frauds, and no fewer alerts.
    """
    by_score = rows.collect(_FraudScores(split, weights))
    if not len(by_score):
        return math.inf
    candidates, group = np.unique(by_score[:, 0], return_inverse=True)
    frauds = np.bincount(group, by_score[:, 1])
    bands = rows.sum_by_first(_GenuineBands(split, weights, candidates))
    genuine = np.bincount(bands[:, 0].astype(int), bands[:, 1], minlength=len(candidates) + 1)[1:]
    true_positives = frauds[::-1].cumsum()
    alerts = true_positives + genuine[::-1].cumsum()
    f1 = 2 * true_positives / (alerts + true_positives[-1])
    return float(candidates[::-1][np.argmax(f1)])
