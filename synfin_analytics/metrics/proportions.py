"""Rates and their intervals, from counts alone: the one place where the arithmetic stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from synfin_analytics._core.arguments import check_confidence_level, format_value
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

#: Interval of a proportion, see :func:`proportion_interval`.
IntervalMethod = Literal["wilson", "jeffreys", "exact"]

_STATSMODELS_NAMES = {"wilson": "wilson", "jeffreys": "jeffreys", "exact": "beta"}


def proportion_interval(
    successes: ArrayLike,
    trials: ArrayLike,
    interval_method: IntervalMethod = "wilson",
    confidence_level: float = 0.95,
) -> tuple[Floats, Floats]:
    """Confidence interval of ``successes / trials``.

    ``"wilson"`` inverts the score test and suits rare events; ``"jeffreys"`` is the Bayesian
    interval of the prior Beta(1/2, 1/2); ``"exact"`` (Clopper and Pearson) never covers less than
    ``level`` and is therefore wider. All three begin at 0 where there is no success and end at 1
    where there is no failure (Brown, Cai and DasGupta, 2001). Without trials both ends are NaN.
    They hold for independent trials: transactions of one customer are not (see
    :func:`synfin_analytics.fraud_rate`).

    Parameters
    ----------
    successes, trials
        Counts, ``0 <= successes <= trials``; effective ones may have fractions.
    interval
        Which interval.
    level
        Confidence, above 0 and below 1.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper ends.

    Examples
    --------
    >>> low, high = proportion_interval(385, 58_264)
    >>> f"{low:.3%} to {high:.3%}"
    '0.598% to 0.730%'
    """
    check_interval(interval_method, confidence_level)
    k, n = _counts(successes, "successes"), _counts(trials, "trials")
    if not bool(np.all((k >= 0) & (k <= n))):
        raise ArgumentError(
            "`successes` and `trials` must be counts with 0 <= successes <= trials; got others."
        )
    # Imported here: statsmodels takes longer to import than this whole package.
    from statsmodels.stats.proportion import proportion_confint

    ends = proportion_confint(
        k,
        np.where(n == 0, 1.0, n),
        alpha=1.0 - confidence_level,
        method=_STATSMODELS_NAMES[interval_method],
    )
    low, high = (np.asarray(end, dtype=np.float64) for end in ends)
    low = np.where(k == 0, 0.0, low)
    high = np.where(k == n, 1.0, high)
    return np.where(n == 0, np.nan, low), np.where(n == 0, np.nan, high)


def _counts(values: Any, name: str) -> Floats:
    """Return counts as floats; texts of digits are no counts, though NumPy would convert them."""
    given = np.asarray(values)
    if given.dtype.kind in "US" or any(isinstance(value, str) for value in given.flat):
        raise ArgumentError(
            f"`{name}` must be a number or an array of numbers; got {format_value(values)}."
        )
    return given.astype(np.float64)


def check_interval(interval_method: str, confidence_level: float) -> None:
    """Refuse an unknown interval, and a confidence that is not between 0 and 1.

    Raises
    ------
    NotFoundError, ArgumentError
        See above.
    """
    known = get_args(IntervalMethod)
    if interval_method not in known:
        raise NotFoundError("interval", interval_method, known)
    check_confidence_level(confidence_level)
