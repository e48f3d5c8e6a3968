"""Chain ladder on a triangle of labels, and the predictive distribution of the final counts.

A triangle has a row for each cohort and a column for each age. The *hazard* of an age, in reverse
time, is the share of the frauds known by its end that became known during it. Pooled over cohorts
it is one minus the reciprocal of the chain ladder's development factor (Kalbfleisch and Lawless,
1989), so the chain ladder's estimate of a cohort is its known frauds divided by the share that is
known at its age, the product of one minus the later hazards.

The distribution of what is still to come is that of the over-dispersed model (England and Verrall,
2002) with a prior for the level of each cohort (Verrall, 2004), drawn in four steps:

1. *Delays*: each hazard from a beta distribution that counts the frauds of its age, divided by the
   over-dispersion. A quarter of a fraud is added, so that an age without any fraud is not
   impossible; of the ages after the last fraud, each has half as much as the one before. An age
   that was observed on less than the frauds of one cohort is filled up to that with the hazard of
   the ages just before. What comes after the last age is one more age: the hazards of the last
   ones are continued as a geometric series.
2. *Over-dispersion*: Pearson's statistic in Fletcher's (2012) form for sparse counts, by age,
   shrunk towards that of all ages, times its degrees of freedom over a draw of chi-squared. It is
   increased if counts of three ages together vary more than those of one.
3. *Level*: the final count of a cohort divided by its transactions. Its prior is a gamma
   distribution around the mean of the other cohorts, as in the Cape Cod method; nearer ones may
   weigh more (Gluck, 1997). How much levels vary and how fast weights fall is drawn from a grid by
   how well each cohort would have been predicted from earlier ones. With some probability the
   cohort is unlike the others, with a wide prior: a sudden wave of fraud is followed at once.
   The frauds that are known update the prior (credibility).
4. *Process*: the number of frauds to come, negative binomial with this mean and over-dispersion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats, Integers

#: Share of the frauds that is known of a mature cohort.
_MATURE_SHARE = 0.99
#: Frauds that are added to each age when its hazard is drawn.
_ADDED_FRAUDS = 0.25
#: Ages whose hazard fills up one that was hardly observed.
_NEAR_AGES = 3
#: Greatest ratio of the hazards of these ages to those of as many ages before.
_SLOWEST_DECREASE = 0.5
#: Observations of an age that weigh as much as the over-dispersion of all ages.
_DISPERSION_WEIGHT = 20
#: Variance of levels between cohorts, relative to their squared mean; decay of weights per cohort.
_VARIANCES = np.geomspace(1e-4, 4, 40)
_DECAYS = np.array([1, 0.97, 0.93, 0.85, 0.7])
#: The first cohorts are predicted from too few others to say how well that works.
_FIRST_COHORTS = 3
#: Probability that a cohort is unlike the others, and the relative variance of its level.
_UNLIKE, _UNLIKE_VARIANCE = 0.05, 2.0
#: Lowest mean of other cohorts, as a part of the overall mean: a mean of 0 would exclude any fraud.
_LOWEST = 0.05
#: Mean amounts are those of all ages as long as fewer frauds than this are of later ages.
_AMOUNT_WEIGHT = 10


@dataclass(frozen=True, eq=False)
class Development:
    """How the frauds of a triangle become known.

    Attributes
    ----------
    new, before
        By age: frauds that became known during it, and those known before, of the cohorts that are
        observed at that age.
    hazards
        Share ``new / (new + before)``; 0 for the first age.
    shares
        Share of the final frauds that is known by the end of each age.
    dispersion
        Variance of a count divided by that of independent frauds.
    by_age
        The same by age.
    degrees_of_freedom
        Of the dispersion.
    cohort_size
        Mean of the final frauds of a cohort.
    """

    new: Floats
    before: Floats
    hazards: Floats
    shares: Floats
    dispersion: float
    by_age: Floats
    degrees_of_freedom: int
    cohort_size: float

    @classmethod
    def fit(cls, known: Integers, n_observed: Integers) -> Development:
        """Fit the chain ladder.

        Parameters
        ----------
        known
            Frauds by cohort and age.
        n_observed
            Number of complete ages of each cohort; the cells of later ages do not count.

        Examples
        --------
        >>> known = np.array([[6, 3, 1], [4, 2, 0], [5, 0, 0]])
        >>> Development.fit(known, np.array([3, 2, 1])).shares
        array([0.6, 0.9, 1. ])
        """
        observed = np.arange(known.shape[1]) < n_observed[:, None]
        cumulative = known.cumsum(axis=1).astype(np.float64)
        new, total = pool_cohorts(known, n_observed)
        hazards = np.divide(new, total, out=np.zeros_like(new), where=total > 0)
        observed[:, 0] = False
        overall, by_age, degrees = _dispersion(known, cumulative, observed, hazards)
        if known.shape[1] > 2 * _NEAR_AGES:
            # Frauds that are reported within several ages make neighbouring counts dependent.
            before = np.pad(cumulative, ((0, 0), (_NEAR_AGES, 0)))[:, :-_NEAR_AGES]
            logs = np.log1p(-np.minimum(hazards, 1 - 1e-12))
            together = -np.expm1(_sum_last(logs, _NEAR_AGES))
            observed[:, :_NEAR_AGES] = False
            joint = _dispersion(cumulative - before, cumulative, observed, together)[0]
            factor = max(joint / overall, 1.0) if overall > 0 else 1.0
            overall, by_age = factor * overall, factor * by_age
        known_share = shares(1 - hazards)
        complete = n_observed > 0
        exposure = known_share[n_observed[complete] - 1].sum()
        size = cumulative[complete, n_observed[complete] - 1].sum() / max(exposure, 1e-12)
        return cls(new, total - new, hazards, known_share, overall, by_age, degrees, float(size))

    def draw(self, n_draws: int, generator: np.random.Generator) -> tuple[Floats, Floats]:
        """Draw the shares known by age, and the over-dispersion of what comes after each age."""
        degrees = self.degrees_of_freedom
        spread = np.ones((n_draws, 1))
        if degrees:
            spread = degrees / generator.chisquare(degrees, (n_draws, 1))
        dispersion = np.maximum(np.append(self.by_age, self.dispersion) * spread, 1)
        new, before = self._fill_up()
        with_fraud = np.flatnonzero(self.new)
        n_later = np.arange(len(new)) - (with_fraud[-1] if len(with_fraud) else 0)
        new[:-1] += _ADDED_FRAUDS * 0.5 ** np.clip(n_later - 1, 0, 60)[:-1]
        possible = (new > 0) & (before > 0)
        possible[0] = False
        hazards = np.zeros((n_draws, len(new)))
        hazards[:, possible] = generator.beta(
            new[possible] / dispersion[:, possible], before[possible] / dispersion[:, possible]
        )
        certain = (new > 0) & ~possible
        certain[0] = False
        hazards[:, certain] = 1
        return shares(1 - hazards)[:, :-1], np.maximum(self._dispersion_after() * spread, 1)

    def _fill_up(self) -> tuple[Floats, Floats]:
        """Return :attr:`new` and :attr:`before`, with ages of little data filled up, and the rest.

        The last entries are those of the age after the last one, of which nothing is observed.
        """
        total = np.append(self.new + self.before, 0)
        own = np.append(self.new, 0)
        near_new, near_total = (_sum_last(values, _NEAR_AGES) for values in (own, total))
        hazard = np.divide(near_new, near_total, out=np.zeros_like(total), where=near_total > 0)
        last, earlier = hazard[-2], hazard[-2 - _NEAR_AGES] if len(hazard) > 2 * _NEAR_AGES else 0.0
        decrease = min(last / earlier, _SLOWEST_DECREASE) if earlier > 0 else _SLOWEST_DECREASE
        missing = np.maximum(self.cohort_size - total, 0)
        missing[0] = 0
        hazard *= decrease ** (1 / _NEAR_AGES)
        hazard[-1] = min(_NEAR_AGES * last * decrease / (1 - decrease), 0.5)
        # A guess: its standard deviation is as large as itself.
        missing[-1] = min(1 / hazard[-1], missing[-1]) if hazard[-1] else missing[-1]
        return own + missing * hazard, total - own + missing * (1 - hazard)

    @property
    def mature_age(self) -> int | None:
        """Lowest age by which nearly all frauds are known; None if it is later than the last."""
        new, before = self._fill_up()
        later = new[-1] / max(new[-1] + before[-1], 1e-300)
        enough = np.flatnonzero(self.shares * (1 - later) >= _MATURE_SHARE)
        return int(enough[0]) if len(enough) else None

    def _dispersion_after(self) -> Floats:
        """Return the over-dispersion after each age: of later ages, by their part in the error."""
        rest = (1 - self.hazards) * self.shares
        weights = np.divide(self.hazards, rest, out=np.zeros_like(rest), where=rest > 0)
        after = _sum_after(weights)
        mean = np.full(len(weights), self.dispersion)
        np.divide(_sum_after(weights * self.by_age), after, out=mean, where=after > 0)
        return mean


def pool_cohorts(known: Integers, n_observed: Integers) -> tuple[Floats, Floats]:
    """Sum by age over the cohorts observed at it: frauds new at this age, and all known by its end.

    No fraud of the first age counts as new: a hazard needs an earlier age.
    """
    observed = np.arange(known.shape[1]) < n_observed[:, None]
    new = np.where(observed, known, 0).sum(axis=0).astype(np.float64)
    total = np.where(observed, known.cumsum(axis=1).astype(np.float64), 0).sum(axis=0)
    new[0] = 0
    return new, total


def shares(known_before: Floats) -> Floats:
    """Return the share that is known by the end of each age (last axis).

    Parameters
    ----------
    known_before
        By age, the part of the frauds known by its end that was known before: one minus the hazard.
    """
    later = np.cumprod(known_before[..., :0:-1], axis=-1)[..., ::-1]
    return np.concatenate([later, np.ones_like(known_before[..., :1])], axis=-1)


def _sum_after(values: Floats) -> Floats:
    """Sum over later positions.

    Examples
    --------
    >>> _sum_after(np.array([1.0, 2.0, 4.0]))
    array([6., 4., 0.])
    """
    later: Floats = np.append(values[:0:-1].cumsum()[::-1], 0.0)
    return later


def _sum_last(values: Floats, n: int) -> Floats:
    """Sum over each position and the ``n - 1`` before it.

    Examples
    --------
    >>> _sum_last(np.array([1.0, 2.0, 4.0]), 2)
    array([1., 3., 6.])
    """
    sums = np.convolve(values, np.ones(n))[: len(values)]
    return sums.astype(np.float64)


def _dispersion(
    known: NDArray[np.number[Any]], cumulative: Floats, observed: NDArray[np.bool_], hazards: Floats
) -> tuple[float, Floats, int]:
    """Return the over-dispersion of all ages and of each age, and the degrees of freedom."""
    expected = hazards * cumulative
    used = observed & (expected > 0) & (hazards < 1)
    variance = np.where(used, expected * (1 - hazards), 1)
    error = np.where(used, known - expected, 0)
    squares = (error**2 / variance).sum(axis=0)
    slopes = ((1 - 2 * hazards) * error / variance).sum(axis=0)
    n = used.sum(axis=0).astype(np.float64)
    degrees = int(n.sum() - (n > 0).sum())
    if degrees < 1:
        return 1.0, np.ones(known.shape[1]), 0

    def estimate(squares: Floats, slopes: Floats, n: Floats, degrees: Floats) -> Floats:
        value: Floats = squares / degrees / (1 + np.maximum(slopes / n, -0.5))
        return value

    overall = float(
        estimate(squares.sum(), slopes.sum(), n.sum(), np.float64(degrees))  # type: ignore[arg-type]
    )
    some = n > 1
    by_age = np.full(known.shape[1], overall)
    own = estimate(squares[some], slopes[some], n[some], n[some] - 1)
    # Cells with hardly any fraud say little.
    weight = n[some] * np.minimum(1, np.where(used, expected, 0).sum(axis=0)[some] / n[some])
    by_age[some] = (weight * own + _DISPERSION_WEIGHT * overall) / (weight + _DISPERSION_WEIGHT)
    return overall, by_age, degrees


# -- Prediction ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Prediction:
    """Draws of what is still to come of each cohort.

    Attributes
    ----------
    development
        The delays.
    chain_ladder
        The chain ladder's estimate of the final frauds; NaN without a complete age, and where
        nothing is ever known at this age.
    counts
        Frauds to come after the complete ages: a row for each draw, a column for each cohort.
    amounts
        Their value; None without amounts.
    """

    development: Development
    chain_ladder: Floats
    counts: Floats
    amounts: Floats | None


def predict(
    known: Integers,
    amounts: Floats | None,
    transactions: Integers,
    n_observed: Integers,
    *,
    n_draws: int,
    generator: np.random.Generator,
) -> Prediction:
    """Draw what is still to come of each cohort.

    Parameters
    ----------
    known, amounts
        Frauds by cohort and age, and their value.
    transactions
        Transactions of each cohort, in the order of time.
    n_observed
        Number of complete ages of each cohort.
    n_draws, generator
        Number of draws, and the source of randomness.
    """
    development = Development.fit(known, n_observed)
    age = np.maximum(n_observed - 1, 0)
    is_complete = np.arange(known.shape[1]) < n_observed[:, None]
    counts = np.where(is_complete, known, 0).sum(axis=1).astype(np.float64)
    share = np.where(n_observed > 0, development.shares[age], 0)
    estimate = np.divide(counts, share, out=np.full(len(counts), np.nan), where=share > 0)
    drawn_shares, dispersion = development.draw(n_draws, generator)
    shares_now = np.where(n_observed > 0, drawn_shares[:, age], 0)
    size = transactions.astype(np.float64)
    level = _draw_levels(
        counts, size, share, shares_now, dispersion[:, age], development, generator
    )
    mean = level * size * (1 - shares_now)
    to_come = _draw_counts(mean, dispersion[:, age], generator)
    value = None
    if amounts is not None:
        value = _draw_amounts(to_come, known, amounts, is_complete, age, generator)
    return Prediction(development, estimate, to_come, value)


def _draw_levels(
    counts: Floats,
    size: Floats,
    share: Floats,
    drawn_shares: Floats,
    dispersion: Floats,
    development: Development,
    generator: np.random.Generator,
) -> Floats:
    """Draw the final frauds of each cohort per transaction."""
    exposure = size * share
    overall = counts.sum() / exposure.sum()
    phi = max(development.dispersion, 1)
    variance, decay = (axis.ravel() for axis in np.meshgrid(_VARIANCES, _DECAYS))
    ratio = np.divide(counts, exposure, out=np.zeros_like(counts), where=exposure > 0)
    # Weights are the reciprocals of relative variances; points of the grid x cohorts.
    noise = np.divide(
        phi, overall * exposure, out=np.full_like(exposure, np.inf), where=exposure > 0
    )
    weight = 1 / (noise + variance[:, None])
    before = _weighted_sums(weight, ratio, decay)
    after = _weighted_sums(weight[:, ::-1], ratio[::-1], decay)[:, :, ::-1]

    def summarize(sums: Floats) -> tuple[Floats, Floats]:
        total = np.maximum(sums[0], 1e-12)
        return np.maximum(sums[1] / total, _LOWEST * overall), sums[2] / total**2

    # How well is each cohort predicted from the ones before?
    tested = exposure > 0
    tested[np.flatnonzero(tested)[:_FIRST_COHORTS]] = False
    mean, error = summarize(before)
    fit = _log_probability(counts / phi, mean * exposure / phi, 1 / (variance[:, None] + error))
    fit = fit[:, tested].sum(axis=1)
    probability = np.exp(fit - fit.max())
    drawn = generator.choice(len(fit), len(dispersion), p=probability / probability.sum())
    mean, error = summarize(before + after)
    mean, shape = mean[drawn], 1 / (variance[:, None] + error)[drawn]

    counts, exposure = counts / dispersion, size * drawn_shares / dispersion
    wide = 1 / _UNLIKE_VARIANCE
    odds = _log_probability(counts, mean * exposure, wide)
    odds -= _log_probability(counts, mean * exposure, shape)
    unlike = generator.random(odds.shape) < special.expit(odds + special.logit(_UNLIKE))
    shape = np.where(unlike, wide, shape)
    levels: Floats = generator.gamma(shape + counts) / (shape / mean + exposure)
    return levels


def _weighted_sums(weight: Floats, ratio: Floats, decay: Floats) -> Floats:
    """Sum weights, weighted ratios and the variance of these sums over earlier cohorts."""
    sums = np.zeros((3, *weight.shape))
    for cohort in range(1, weight.shape[1]):
        last = weight[:, cohort - 1]
        # The variance of a term is weight**2 * (1 / weight).
        sums[0, :, cohort] = decay * (sums[0, :, cohort - 1] + last)
        sums[1, :, cohort] = decay * (sums[1, :, cohort - 1] + last * ratio[cohort - 1])
        sums[2, :, cohort] = decay**2 * (sums[2, :, cohort - 1] + last)
    return sums


def _log_probability(count: Floats, mean: Floats, shape: Floats | float) -> Floats:
    """Return the logarithm of a negative binomial probability, up to a term of the count."""
    mean = np.maximum(mean, 1e-300)
    value: Floats = (
        special.gammaln(count + shape)
        - special.gammaln(shape)
        + shape * np.log(shape / (shape + mean))
        + count * np.log(mean / (shape + mean))
    )
    return value


def _draw_counts(mean: Floats, dispersion: Floats, generator: np.random.Generator) -> Floats:
    """Draw counts with a mean, and the dispersion times the mean as variance."""
    excess = np.maximum(dispersion - 1, 1e-6)
    rate = np.where(dispersion > 1 + 1e-6, generator.gamma(mean / excess) * excess, mean)
    return generator.poisson(rate).astype(np.float64)


def _draw_amounts(
    to_come: Floats,
    known: Integers,
    amounts: Floats,
    is_complete: NDArray[np.bool_],
    age: NDArray[np.intp],
    generator: np.random.Generator,
) -> Floats:
    """Draw the value of frauds to come.

    Their mean amount is that of frauds of later ages, times an index of the cohort: its known
    amounts over those of other cohorts, by credibility.
    """
    known = np.where(is_complete, known, 0)
    amounts = np.where(is_complete, amounts, 0)
    number, value = known.sum(axis=0).astype(np.float64), amounts.sum(axis=0)
    overall = value.sum() / number.sum()
    later = _sum_after(number) + _AMOUNT_WEIGHT
    mean = (_sum_after(value) + _AMOUNT_WEIGHT * overall) / later
    by_age = (value + _AMOUNT_WEIGHT * overall) / (number + _AMOUNT_WEIGHT)
    variance, index, between = _compare_amounts(known, amounts, by_age)
    if not (overall > 0 and variance > 0):
        fixed: Floats = to_come * mean[age] * index
        return fixed
    # Relative variances: of one amount; of the mean, which is not known exactly; of the index.
    relative = variance / np.maximum(mean, 1e-300) ** 2
    n_draws = len(to_come)
    drawn_mean = mean * _draw_gamma(np.ones_like(mean), relative / later, n_draws, generator)
    drawn_index = _draw_gamma(index, between, n_draws, generator)
    draws: Floats = generator.gamma(to_come / relative[age])
    draws *= (relative * drawn_mean)[:, age] * drawn_index
    return draws


def _compare_amounts(
    known: Integers, amounts: Floats, by_age: Floats
) -> tuple[float, Floats, Floats]:
    """Return the variance of an amount, and the index of each cohort with its variance.

    The variance between cohorts is the moment estimate of DerSimonian and Laird (1986).
    """
    expected = by_age * known
    n, total = known.sum(axis=1).astype(np.float64), expected.sum(axis=1)
    some, filled = total > 0, known > 0
    own = np.divide(amounts.sum(axis=1), total, out=np.ones_like(total), where=some)
    error = (amounts - own[:, None] * expected)[filled]
    degrees = filled.sum() - some.sum() - filled.any(axis=0).sum() + 1
    variance = float((error**2 / known[filled]).sum() / max(degrees, 1))
    mean = amounts.sum() / max(total.sum(), 1e-300)
    # Relative variance of the mean amount of n frauds: one / n, and what cohorts differ.
    one = variance / max(amounts.sum() / n.sum(), 1e-300) ** 2
    excess = (n * (own - mean) ** 2)[some].sum() - (some.sum() - 1) * one
    between = max(excess / max(n.sum() - (n**2).sum() / n.sum(), 1e-300), 0.0)
    spread = between * n + one
    weight = np.divide(between * n, spread, out=np.zeros_like(n), where=spread > 0)
    return variance, 1 + weight * (own - 1), between * (1 - weight)


def _draw_gamma(
    mean: Floats, variance: Floats, n_draws: int, generator: np.random.Generator
) -> Floats:
    """Draw from gamma distributions, one a column."""
    scale = np.maximum(variance / np.maximum(mean, 1e-12), 1e-12)
    draws: Floats = generator.gamma(mean / scale, size=(n_draws, len(mean))) * scale
    return draws


# -- Intervals -------------------------------------------------------------------------------------


def interval(draws: Floats, confidence_level: float) -> tuple[Floats, Floats]:
    """Return the prediction interval of each column of draws of what is to come, which are >= 0.

    Both tails have the same probability; if the lower end is 0, all of it is in the upper one.
    Counts have no ends of exactly this probability: the nearest ones are taken, so that intervals
    hold the final number as often as they say on average, as Wilson's interval does.

    Examples
    --------
    >>> draws = np.array([[0.0] * 19 + [1.0], [*range(20)]]).T
    >>> interval(draws, 0.9)
    (array([0., 1.]), array([ 0., 18.]))
    """
    tail = (1 - confidence_level) / 2
    ends = np.zeros((2, draws.shape[1]))
    for column, values in enumerate(np.sort(draws, axis=0).T):
        value, (excluded, included), (_, following) = _quantile(values, tail)
        low = following if included - tail < tail - excluded else value
        probability = 1 - tail if low > 0 else confidence_level
        value, (excluded, included), (preceding, _) = _quantile(values, probability)
        nearest = probability - excluded < included - probability and excluded > 0
        ends[:, column] = low, preceding if nearest else value
    return ends[0], ends[1]


def _quantile(
    values: Floats, probability: float
) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """Return a quantile of sorted values, the probabilities below and up to it, its neighbours."""
    n = len(values)
    value = values[max(int(np.ceil(probability * n - 1e-9)), 1) - 1]
    first, after = np.searchsorted(values, value), np.searchsorted(values, value, side="right")
    neighbours = values[max(first - 1, 0)], values[min(after, n - 1)]
    return float(value), (first / n, after / n), (float(neighbours[0]), float(neighbours[1]))
