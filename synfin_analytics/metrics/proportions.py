"""Confidence intervals of proportions."""

from __future__ import annotations

import math
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


def difference_interval(
    successes: int, trials: int, other_successes: int, other_trials: int, confidence_level: float
) -> tuple[float, float]:
    """Return the interval of Newcombe (1998) for a difference of two independent proportions.

    Examples
    --------
    >>> low, high = difference_interval(9, 10, 3, 10, 0.95)
    >>> round(low, 2), round(high, 2)
    (0.17, 0.81)
    """
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        successes, trials, other_successes, other_trials,
        compare="diff", method="newcomb", alpha=1 - confidence_level,
    )  # fmt: skip
    return float(low), float(high)


#: Logarithm of a ratio beyond that of any numbers of rows.
_LARGEST_STEP = 50.0


def ratio_interval(
    successes: int, trials: int, other_successes: int, other_trials: int, confidence_level: float
) -> tuple[float, float]:
    """Return the interval of a ratio of two independent proportions: that of the score test.

    It has all ratios that the test of Miettinen and Nurminen (1985) does not reject. The closed
    formula of statsmodels is wrong where a proportion is 1: it may exclude the ratio itself.

    Examples
    --------
    >>> low, high = ratio_interval(3, 10, 9, 10, 0.95)
    >>> round(low, 2), round(high, 2)
    (0.12, 0.75)
    """
    if not (trials and other_trials and other_successes):
        return math.nan, math.nan
    from scipy.optimize import brentq
    from scipy.stats import norm
    from statsmodels.stats.proportion import score_test_proportions_2indep

    quantile = float(norm.ppf((1 + confidence_level) / 2))

    def statistic(log_ratio: float) -> float:
        # Where both proportions are 1, their ratio of 1 gives 0/0: nothing to reject.
        with np.errstate(invalid="ignore", divide="ignore"):
            value, _ = score_test_proportions_2indep(
                successes, trials, other_successes, other_trials,
                value=math.exp(log_ratio), compare="ratio", return_results=False,
            )  # fmt: skip
        return 0.0 if math.isnan(value) else float(value)

    def solve(estimate: float, direction: int) -> float:
        """Return the ratio on one side of the estimate at which the test begins to reject."""
        step = 0.5
        while abs(statistic(estimate + direction * step)) < quantile:
            step *= 2
            if step > _LARGEST_STEP:  # so few trials reject no ratio
                return math.inf if direction > 0 else 0.0
        root = brentq(
            lambda x: abs(statistic(x)) - quantile,
            estimate,
            estimate + direction * step,
            xtol=1e-12,
        )
        return math.exp(root)

    # Without a success the ratio is 0: begin at one that no test rejects.
    estimate = math.log(max(successes, 1e-3) / trials * other_trials / other_successes)
    return (solve(estimate, -1) if successes else 0.0), solve(estimate, 1)
