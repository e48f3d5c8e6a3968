"""Confidence intervals of proportions."""

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
    *,
    interval_method: IntervalMethod = "wilson",
    confidence_level: float = 0.95,
) -> tuple[Floats, Floats]:
    """Compute the confidence interval of ``successes / trials``.

    ``"wilson"`` (Wilson, 1927) inverts the score test and suits rare events; ``"jeffreys"`` is the
    Bayesian interval of the prior Beta(1/2, 1/2); ``"exact"`` (Clopper and Pearson, 1934) never
    covers less than ``confidence_level`` and is therefore wider. All three begin at 0 if there is
    no success and end at 1 if there is no failure (Brown, Cai and DasGupta, 2001). Without trials
    both ends are NaN. The trials must be independent, which transactions of one customer are not:
    :func:`synfin_analytics.fraud_rate` accounts for that.

    Parameters
    ----------
    successes, trials
        Counts, ``0 <= successes <= trials``; effective counts may have fractions.
    interval_method
        ``"wilson"``, ``"jeffreys"`` or ``"exact"``.
    confidence_level
        Confidence, greater than 0 and less than 1.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper ends.

    Raises
    ------
    NotFoundError
        There is no such method.
    ArgumentError
        The counts are not numbers, or an argument is out of range.

    Examples
    --------
    >>> low, high = proportion_interval(385, 58_264)
    >>> f"{low:.3%} to {high:.3%}"
    '0.598% to 0.730%'
    """
    check_interval(interval_method, confidence_level)
    k, n = _to_floats(successes, "successes"), _to_floats(trials, "trials")
    if not bool(np.all((k >= 0) & (k <= n))):
        raise ArgumentError(
            "`successes` and `trials` must be counts with 0 <= successes <= trials; got others."
        )
    # Imported here: importing statsmodels takes longer than importing this whole package.
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


def _to_floats(values: Any, name: str) -> Floats:
    """Return counts as floats; strings of digits are refused, though NumPy would convert them."""
    array = np.asarray(values)
    if array.dtype.kind in "US" or any(isinstance(value, str) for value in array.flat):
        raise ArgumentError(
            f"`{name}` must be a number or an array of numbers; got {format_value(values)}."
        )
    return array.astype(np.float64)


def check_interval(interval_method: str, confidence_level: float) -> None:
    """Check both parameters of an interval.

    Raises
    ------
    NotFoundError
        There is no such method.
    ArgumentError
        ``confidence_level`` is not between 0 and 1.
    """
    methods = get_args(IntervalMethod)
    if interval_method not in methods:
        raise NotFoundError("interval method", interval_method, methods)
    check_confidence_level(confidence_level)
