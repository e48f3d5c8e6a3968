"""The explorer of thresholds: which thresholds it has, and what a notebook gets."""

from __future__ import annotations

import math
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics import evaluate
from synfin_analytics.exceptions import ArgumentError, MissingDependencyError
from synfin_analytics.metrics import curve
from synfin_analytics.plots.explorer import ExplorerSettings, explorer_data, strip_script
from synfin_analytics.plots.explorer._data import MAX_POINTS, TOLERANCE, CurveTable, thin_curve
from synfin_analytics.plots.explorer._thinning import distance_from_drawn, thin_lines

DEFAULTS = ExplorerSettings()


def scored(labels: np.ndarray, scores: np.ndarray, amounts: np.ndarray | None = None):
    return evaluate(labels, scores, amount=amounts, threshold=0.5)


def ordered(labels: np.ndarray):
    """Evaluate labels in the order of their scores, the highest first."""
    return scored(labels, np.linspace(1, 0, len(labels)))


def runs(lengths: list[tuple[int, int]]) -> np.ndarray:
    """Labels in runs: so many frauds, then so many genuine ones, and so on."""
    return np.concatenate([np.repeat([1, 0], pair) for pair in lengths])


def distance_of_each_point(line, points: np.ndarray) -> float:
    """Compare every point with every drawn segment: slow, and nothing that it could get wrong."""
    x, y = (values[~np.isnan(line[1])] for values in line)
    points = points[~np.isnan(line[1][points])] - int(np.isnan(line[1][0]))
    ends = np.column_stack([x[points], y[points]])
    if len(ends) == 1:  # a dot
        ends = np.repeat(ends, 2, axis=0)
    largest = 0.0
    for place in np.column_stack([x, y]):
        first, step = ends[:-1], np.diff(ends, axis=0)
        length = np.maximum((step**2).sum(axis=1), 1e-300)
        along = np.clip(((place - first) * step).sum(axis=1) / length, 0, 1)
        gaps = np.hypot(*(place - first - along[:, None] * step).T)
        largest = max(largest, gaps.min())
    return largest


# -- Thinning -------------------------------------------------------------------------------------

#: How scores of frauds and of genuine transactions may be distributed, and rounded.
MODELS = st.builds(
    dict,
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(1_001, 6_000),
    share=st.sampled_from([0.001, 0.01, 0.1, 0.5, 0.95]),
    skill=st.floats(-2, 6),
    centre=st.floats(-12, 4),
    spread=st.floats(0.01, 4),
    digits=st.sampled_from([3, 5, 17]),
)


def model_of(seed, size, share, skill, centre, spread, digits):
    generator = np.random.default_rng(seed)
    labels = generator.random(size) < share
    logits = generator.normal(centre + skill * labels, spread)
    scores = np.round(1 / (1 + np.exp(-logits)), digits)
    return scored(labels, scores, generator.lognormal(3, 1.5, size))


@given(model=MODELS)
@settings(max_examples=25)
def test_a_drawn_line_is_within_a_thousandth_of_the_whole_curve(model):
    evaluation = model_of(**model)
    drawn = thin_curve(evaluation, DEFAULTS)
    assert len(drawn.frame) <= MAX_POINTS
    assert drawn.distance < TOLERANCE


@pytest.mark.parametrize("block_rows", [500, 1_777])
def test_so_it_is_where_rows_are_read_in_many_blocks(block_rows, monkeypatch):
    monkeypatch.setattr(curve, "_BLOCK_ROWS", block_rows)
    random = np.random.default_rng(3)
    labels = random.random(20_000) < 0.02
    scores = 1 / (1 + np.exp(-random.normal(3 * labels - 3, 1)))
    drawn = thin_curve(scored(labels, scores, random.lognormal(3, 1.5, 20_000)), DEFAULTS)
    assert len(drawn.frame) <= MAX_POINTS
    assert drawn.distance < TOLERANCE


@given(
    lengths=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=5, max_size=60)
)
@settings(max_examples=20)
def test_so_it_is_for_any_order_of_frauds_and_genuine_transactions(lengths):
    labels = runs(lengths)
    if len(labels) < 2:
        return
    drawn = thin_curve(ordered(labels), DEFAULTS)
    assert len(drawn.frame) <= MAX_POINTS
    assert drawn.distance < TOLERANCE


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(200_000) % 2 == 0,
        np.repeat(np.arange(200) % 2, 1_000),
        np.random.default_rng(0).random(200_000) < 0.5,
        np.random.default_rng(0).random(200_000) < np.linspace(0.5, 0, 200_000) ** 3,
    ],
    ids=["alternating", "staircase", "random", "falling"],
)
def test_long_curves_are_within_a_thousandth_too(labels):
    drawn = thin_curve(ordered(labels), DEFAULTS)
    assert len(drawn.frame) <= MAX_POINTS
    assert drawn.distance < TOLERANCE


def test_where_no_thousand_thresholds_suffice_the_distance_is_said():
    """Precision swings by half a percent again and again, as far as a curve of this length can."""
    lengths, alerts = [], 100
    while alerts < 1_000_000:
        step = max(1, alerts // 400)
        lengths.append((step, step))
        alerts += 2 * step
    evaluation = ordered(runs(lengths))
    data = explorer_data(evaluation, DEFAULTS)
    assert len(data["points"]["alerts"]) == MAX_POINTS
    assert 0.001 < data["distance"] < 0.002
    assert "farther than 0.1" in data["note"]


@given(model=MODELS)
@settings(max_examples=8)
def test_no_point_is_farther_from_the_drawn_line_than_is_said(model):
    evaluation = model_of(**model | {"size": 1_200, "digits": 17})
    table = CurveTable(evaluation)

    def read(rows: np.ndarray):
        return [*table.lines(rows, DEFAULTS).values()]

    points, distance = thin_lines(read, table.n_rows, 100, 0.004)
    for line in read(np.arange(table.n_rows)):
        assert distance_of_each_point(line, points) <= distance + 1e-12
    assert distance_from_drawn(read, table.n_rows, points) == distance


def test_a_line_that_misses_a_peak_is_told_apart():
    x = np.linspace(0, 1, 5_001)
    y = np.where(np.abs(x - 0.5) < 0.001, 1.0, 0.0)
    assert distance_from_drawn(lambda rows: [(x[rows], y[rows])], 5_001, np.array([0, 5_000])) > 0.9


# -- Numbers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluation():
    generator = np.random.default_rng(3)
    labels = generator.random(20_000) < 0.02
    scores = 1 / (1 + np.exp(-generator.normal(-4 + 3 * labels, 1.2)))
    return evaluate(labels, scores, amount=generator.lognormal(3, 1, 20_000), threshold=0.2)


def test_each_threshold_has_its_exact_results(evaluation):
    data = explorer_data(evaluation, DEFAULTS)
    costs = evaluation.cost_curve(5.0).set_index("threshold")
    points = pd.DataFrame(data["points"])[1:]
    assert 50 < len(points) < 1000
    for point in points.itertuples():
        confusion = evaluation.at_threshold(point.threshold).confusion
        assert (point.alerts, point.tp) == (confusion.alerts, confusion.tp)
        assert point.caught == costs.loc[point.threshold, "caught_amount"]
    assert (data["n"], data["n_frauds"]) == (evaluation.n, evaluation.n_frauds)
    assert data["points"]["threshold"][0] is None


def test_the_thresholds_in_use_of_the_budget_and_of_the_lowest_cost_are_among_them(evaluation):
    options = ExplorerSettings(3.0, 0.8, days=10, alerts_per_day=7)
    points = explorer_data(evaluation, options)["points"]["threshold"]
    scores = evaluation.counts.score
    for threshold in (
        scores[scores >= 0.2].min(),
        evaluation.threshold_for_alerts(70).value,
        evaluation.best_threshold(3.0, 0.8).value,
    ):
        assert threshold in points


def test_few_scores_are_all_there():
    data = explorer_data(scored(np.array([1, 0, 1]), np.array([0.9, 0.9, 0.2])), DEFAULTS)
    assert data["points"] == {"threshold": [None, 0.9, 0.2], "alerts": [0, 2, 3], "tp": [0, 1, 2]}
    assert (data["distance"], data["position"]) == (0, 1)
    assert data["note"].startswith("Dashed: random alerts. The lines have all thresholds.")
    assert data["note"].endswith("Intervals are Wilson's: they assume independent transactions.")


def test_scores_in_single_precision_are_compared_in_single_precision():
    model = evaluate([1, 0], np.array([0.7, 0.1], np.float32), threshold=0.7)
    assert explorer_data(model, DEFAULTS)["position"] == 1


def test_weights_count_as_transactions_and_leave_no_interval():
    model = evaluate([1, 0, 0], [0.9, 0.8, 0.1], weight=[1, 10, 10])
    data = explorer_data(model, DEFAULTS)
    assert data["points"]["alerts"] == [0, 1, 11, 21]
    assert data["z"] is None


@pytest.mark.parametrize("labels", [np.zeros(2_000), np.ones(2_000)], ids=["genuine", "fraud"])
def test_one_class_is_explored_as_far_as_it_is_defined(labels):
    data = explorer_data(scored(labels, np.linspace(0, 1, 2_000)), DEFAULTS)
    assert data["distance"] < TOLERANCE
    assert data["points"]["alerts"][-1] == 2_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cost_per_alert": -1}, "`cost_per_alert` must be an amount of at least 0"),
        ({"recovery_rate": 2}, "`recovery_rate` must be a share from 0 to 1"),
        ({"alerts_per_day": 1.5}, "`alerts_per_day` must be a whole number"),
    ],
)
def test_settings_that_cannot_be_are_refused(evaluation, options, message):
    with pytest.raises(ArgumentError, match=message):
        evaluation.explore(**options)


# -- In a notebook --------------------------------------------------------------------------------


def test_the_threshold_of_a_widget_is_read_and_set(evaluation):
    explorer = evaluation.explore(cost_per_alert=2)
    assert explorer.threshold == 0.2
    explorer.threshold = 0.4
    assert (explorer.threshold, repr(explorer)) == (0.4, "Explorer(threshold=0.4)")
    explorer.threshold = math.inf
    assert explorer.threshold == math.inf
    with pytest.raises(ArgumentError, match="`threshold` must be a score"):
        explorer.threshold = 1.2


def test_alerts_are_per_day_if_the_days_are_known():
    days = pd.to_datetime(["2026-03-01", "2026-03-02", "2026-03-02", "2026-03-04"])
    df = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0], "day": days})
    explorer = evaluate(df, "fraud", "p").explore(day="day", alerts_per_day=1)
    assert explorer._data["days"] == 3
    assert evaluate(df, "fraud", "p").explore()._data["days"] is None


def test_without_anywidget_the_message_says_how_to_install_it(evaluation, monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(
        MissingDependencyError, match=r'pip install "synfin-analytics\[notebooks\]"'
    ):
        evaluation.explore()


def test_a_script_is_embedded_without_comments_and_without_blanks_that_mean_nothing():
    source = """/* a\n b */
const s = "/* kept */, \\" = ", t = `a = ${b ? "c, d" : e}`;
  // gone
  for (const x of all(s, t)) f(x - -1);
"""
    assert strip_script(source) == (
        'const s="/* kept */, \\" = ",t=`a = ${b ? "c, d" : e}`;for(const x of all(s,t))f(x - -1);'
    )
