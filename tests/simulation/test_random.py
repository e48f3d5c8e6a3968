"""Random numbers from guaranteed bits: correct distributions, and the same on every machine."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin_analytics.simulation._config import CITIES, distances
from synfin_analytics.simulation._random import (
    ChoiceTable,
    RandomStream,
    choose,
    exp,
    hash_bits,
    hash_share,
    interpolate_quantiles,
    rounded_logs,
)

N = 200_000


@pytest.fixture
def rng():
    return RandomStream(5, "test")


def test_streams_are_the_same_for_a_seed_and_purpose_and_independent_otherwise():
    # Bits of PCG64, which NumPy guarantees.
    assert RandomStream(5, "test").bits(2).tolist() == [15113795075631230571, 11488766510706566076]
    assert hash_bits(np.array([5]), np.array([7])).tolist() == [10278664173665575612]
    first, second, third = (
        RandomStream(*arguments).uniform(N) for arguments in ((5, "a"), (5, "b"), (6, "a"))
    )
    assert abs(np.corrcoef([first, second, third]) - np.eye(3)).max() < 0.01


def test_uniform_numbers_and_integers_fill_their_range(rng):
    numbers = rng.uniform(N, 2, 5)
    assert 2 <= numbers.min() < numbers.max() < 5
    assert np.histogram(numbers, 10)[0] / N == pytest.approx(np.full(10, 0.1), abs=0.005)
    integers = rng.integers(N, 3, 6)
    assert np.bincount(integers).tolist()[:3] == [0, 0, 0]
    assert np.bincount(integers)[3:] / N == pytest.approx(np.full(4, 0.25), abs=0.006)
    assert rng.bernoulli(N, 0.2).mean() == pytest.approx(0.2, abs=0.004)
    assert sorted(rng.permutation(50)) == list(range(50))


def test_normal_and_exponential_numbers_have_their_moments(rng):
    normal, exponential = rng.normal(N), rng.exponential(N)
    assert normal.mean() == pytest.approx(0, abs=0.01)
    assert normal.std() == pytest.approx(1, abs=0.01)
    assert (normal > 1.96).mean() == pytest.approx(0.025, abs=0.002)
    assert exponential.mean() == pytest.approx(1, abs=0.01)
    assert (exponential > 3).mean() == pytest.approx(math.exp(-3), abs=0.002)


@pytest.mark.parametrize("mean", [0.0, 0.3, 2.0, 9.0])
def test_counts_have_the_poisson_distribution(rng, mean):
    counts = rng.poisson(np.full(N, mean))
    assert counts.mean() == pytest.approx(mean, abs=0.02)
    assert counts.var() == pytest.approx(mean, abs=0.1)
    assert (counts == 0).mean() == pytest.approx(math.exp(-mean), abs=0.005)


def test_positions_are_drawn_by_their_weights(rng):
    shares = np.bincount(rng.choice(N, [1, 0, 3]), minlength=3) / N
    assert shares == pytest.approx([0.25, 0, 0.75], abs=0.005)
    table = ChoiceTable(np.array([[1.0, 0.0, 3.0], [0.0, 1.0, 0.0]]))
    rows = np.arange(N) % 2
    positions = table.choose(rows, rng.uniform(N))
    assert np.bincount(positions[rows == 0]) / (N / 2) == pytest.approx([0.25, 0, 0.75], abs=0.005)
    assert set(positions[rows == 1]) == {1}


@given(st.floats(0, 1, exclude_max=True))
def test_a_position_without_weight_is_never_drawn(share):
    assert choose(np.array([share]), [0, 1, 0, 2, 0])[0] in (1, 3)
    table = ChoiceTable(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1e-9]]))
    assert table.choose(np.array([0]), np.array([share]))[0] == 1


@given(st.floats(-40, 40))
def test_the_exponential_function_is_correct_to_thirteen_digits(power):
    assert exp([power])[0] == pytest.approx(math.exp(power), rel=1e-13)


def test_hashed_numbers_look_random():
    shares = hash_share(np.arange(N), 3)
    assert np.histogram(shares, 10, (0, 1))[0] / N == pytest.approx(np.full(10, 0.1), abs=0.005)
    assert abs(np.corrcoef(shares, hash_share(np.arange(N), 4))[0, 1]) < 0.01


def test_tables_of_quantiles_are_rounded_unambiguously():
    """A C library may differ in the last digit: no value may be so close to a tie."""
    inverse = statistics.NormalDist().inv_cdf
    knots = [(place + 0.5) / 2**14 for place in range(2**14)]
    values = [inverse(knot) for knot in knots] + [-math.log(1 - knot) for knot in knots]
    assert nearest_tie(np.array(values) * 1e9) > 1e-6  # a last digit is 1e-15 * 1e9
    medians = [float(number) for number in range(1, 300)]
    assert rounded_logs(medians) == pytest.approx(np.log(medians))
    distance = distances()[~np.eye(len(CITIES), dtype=bool)]
    assert distance.min() > 10


def nearest_tie(numbers) -> float:
    return float(np.abs(np.abs(numbers) % 1 - 0.5).min())


def test_quantiles_between_two_knots_are_interpolated():
    table = np.array([0.0, 1.0, 4.0, 9.0])
    shares = np.array([0.0, 0.125, 0.25, 0.625, 0.9999])
    assert interpolate_quantiles(shares, table) == pytest.approx([0, 0, 0.5, 4, 9])
