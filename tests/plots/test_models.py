"""Pictures of evaluations: what is drawn is what was computed, also where there is nothing."""

from __future__ import annotations

import inspect
import io
import math
import pickle
import tracemalloc

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from pandas.testing import assert_frame_equal

from synfin_analytics import plots
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import Confusion, curve, evaluate, proportion_interval
from synfin_analytics.metrics._score_counts import ScoreCounts
from synfin_analytics.metrics.comparison import compare_models
from synfin_analytics.metrics.curve import Costs, Curve
from synfin_analytics.metrics.evaluation import Evaluation, Threshold
from synfin_analytics.plots.explorer import ExplorerSettings, explorer_data
from synfin_analytics.plots.thresholds import thin_costs
from synfin_analytics.reports._figures import save_image

#: Every picture of one evaluation, from the evaluation.
OF_ONE = {
    "precision_recall": plots.plot_precision_recall,
    "roc": plots.plot_roc,
    "thresholds": plots.plot_thresholds,
    "calibration": plots.plot_calibration,
    "confusion": plots.plot_confusion,
    "cost": lambda model, *args, **kwargs: plots.plot_cost(model.cost_curve(5), *args, **kwargs),
}

SCORES = [0.9, 0.8, 0.7, 0.7, 0.3, 0.1]
LABELS = [1, 0, 1, 0, 0, 0]


@pytest.fixture(autouse=True)
def pictures_without_a_screen():
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.fixture(params=OF_ONE)
def picture(request):
    return OF_ONE[request.param]


def evaluation(scores=SCORES, labels=LABELS, threshold=0.5, **named) -> Evaluation:
    """Evaluate rows that are worth 10 each."""
    counts = ScoreCounts.from_arrays(scores, labels, np.full(len(scores), 10.0))
    return Evaluation(counts, Threshold(threshold), **named)


def random_evaluation(rows: int, seed: int = 0) -> Evaluation:
    random = np.random.default_rng(seed)
    fraud = random.random(rows) < 0.01
    return evaluation(1 / (1 + np.exp(3 - 3 * fraud - random.normal(size=rows))), fraud)


def payments(rows: int = 400) -> pd.DataFrame:
    """Payments of 20 customers within 10 days, scored by a good and by a poor model."""
    random = np.random.default_rng(1)
    fraud = random.random(rows) < 0.2
    start = pd.Timestamp("2026-01-01", tz="UTC")
    return pd.DataFrame(
        {
            "timestamp": start + pd.to_timedelta(np.sort(random.uniform(0, 10, rows)), unit="D"),
            "customer_id": random.integers(0, 20, rows),
            "is_fraud": fraud,
            "good": np.clip(random.normal(0.3 + 0.4 * fraud, 0.15), 0, 1),
            "poor": np.clip(random.normal(0.3 + 0.1 * fraud, 0.15), 0, 1),
        }
    )


def draw(display) -> None:
    """Lay out and paint every artist: most mistakes show only then."""
    display.ax.figure.canvas.draw()


def words(display) -> str:
    """Everything that is written in a picture, but for the ticks."""
    ax = display.ax
    written = [ax.get_title(loc="left"), *(text.get_text() for text in ax.texts)]
    for axes in (ax, *ax.child_axes):
        written += [axes.get_xlabel(), axes.get_ylabel()]
    legend = ax.get_legend()
    written += [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join(written)


def svg_size(display) -> int:
    file = io.BytesIO()
    display.ax.figure.savefig(file, format="svg")
    return len(file.getvalue())


def fits_the_figure(display) -> bool:
    """Whether nothing lies beyond the edge of the figure."""
    draw(display)
    figure = display.ax.figure
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


# -- Of every picture ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in plots.__all__ if name.startswith("plot_")])
def test_a_picture_takes_axes_and_a_title(name):
    parameters = inspect.signature(getattr(plots, name)).parameters
    assert list(parameters)[1] == "ax"
    assert parameters["ax"].default is None
    assert parameters["title"].default is None


def test_axes_that_are_given_are_drawn_into_and_no_other_figure_is_made(picture):
    ax = plt.figure(layout="constrained").add_subplot()
    display = picture(evaluation(), ax, title="Mine")
    draw(display)
    assert display.ax is ax
    assert ax.get_title(loc="left") == "Mine"
    assert len(plt.get_fignums()) == 1


def test_a_picture_without_axes_makes_one_figure(picture):
    picture(evaluation())
    assert len(plt.get_fignums()) == 1


def test_a_picture_pickles_with_its_figure(picture):
    display = picture(evaluation())
    draw(display)
    again = pickle.loads(pickle.dumps(display))
    draw(again)
    ticks = [[tick.get_text() for tick in drawn.ax.get_yticklabels()] for drawn in (display, again)]
    assert ticks[0] == ticks[1]
    assert words(again) == words(display)
    with pytest.raises(ArgumentError, match="was pickled cannot be drawn again"):
        again.plot()


def test_a_picture_is_the_same_when_drawn_again(picture):
    first = picture(evaluation())
    again = first.plot()
    assert again.ax is not first.ax
    assert words(again) == words(first)
    assert_frame_equal(again.to_frame(), first.to_frame())


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        pytest.param([], [], id="no rows"),
        pytest.param([0.9], [1], id="one row, fraud"),
        pytest.param([0.2], [0], id="one row, genuine"),
        pytest.param([0.9, 0.2, 0.2], [0, 0, 0], id="no fraud"),
        pytest.param([0.9, 0.2, 0.2], [1, 1, 1], id="only fraud"),
        pytest.param([0.0, 0.0], [0, 1], id="all scores 0"),
        pytest.param([1.0, 1.0], [0, 1], id="all scores 1"),
        pytest.param([0.001, 0.0005], [1, 0], id="tiny scores"),
    ],
)
def test_little_or_nothing_can_be_drawn(picture, scores, labels):
    assert fits_the_figure(picture(evaluation(scores, labels)))


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 1.0, 2.0, math.inf])
def test_any_threshold_can_be_drawn(picture, threshold):
    draw(picture(evaluation(threshold=threshold)))


def test_a_million_scores_make_a_small_file(picture):
    display = picture(random_evaluation(1_000_000))
    assert len(display.to_frame()) < 2000
    assert svg_size(display) < 250_000


def test_nothing_is_written_beyond_the_edge(picture):
    assert fits_the_figure(picture(random_evaluation(2000)))


@pytest.mark.parametrize(
    "draw_it",
    [plots.plot_precision_recall, plots.plot_roc, plots.plot_thresholds, plots.plot_calibration,
     plots.plot_confusion, plots.plot_cost, plots.plot_topk, plots.plot_comparison],
)  # fmt: skip
def test_what_is_no_result_is_refused_and_leaves_no_figure(draw_it):
    with pytest.raises(ArgumentError, match="got list"):
        draw_it([0.1, 0.9])
    assert plt.get_fignums() == []


def test_the_same_numbers_give_the_same_file_and_leave_no_figure(picture):
    first, again = (save_image(picture(evaluation()), "svg") for _ in range(2))
    assert first == again
    assert first.startswith(b"<?xml")
    assert plt.get_fignums() == []


def test_a_picture_without_its_figure_is_not_saved():
    display = plots.plot_roc(evaluation())
    display.ax.remove()
    with pytest.raises(ArgumentError, match="draw it again"):
        save_image(display)


# -- Precision-recall and ROC -------------------------------------------------------------------


def test_the_precision_recall_line_is_the_curve_and_encloses_the_average_precision():
    model = evaluation()
    display = plots.plot_precision_recall(model)
    assert_frame_equal(display.to_frame(), model.curve())
    line = next(line for line in display.ax.lines if line.get_drawstyle() == "steps-pre")
    recall, precision = line.get_xdata(), line.get_ydata()
    area = np.sum(np.diff(recall) * precision[1:])
    assert area == pytest.approx(model.average_precision)
    assert f"AP {model.average_precision:.3f}" in words(display)


def test_the_roc_line_is_the_curve_and_encloses_the_auc():
    model = evaluation()
    display = plots.plot_roc(model)
    assert_frame_equal(display.to_frame(), model.curve())
    line = next(line for line in display.ax.lines if len(line.get_xdata()) > 2)
    area = np.trapezoid(line.get_ydata(), line.get_xdata())
    assert area == pytest.approx(model.roc_auc)
    assert f"AUC {model.roc_auc:.3f}" in words(display)


def test_alerts_at_random_are_drawn_for_comparison():
    model = evaluation([0.9, 0.8, 0.2, 0.1], [1, 0, 0, 0])
    level = plots.plot_precision_recall(model)
    assert any(list(line.get_ydata()) == [0.25, 0.25] for line in level.ax.lines)
    assert "random alerts: 25.0%" in words(level).replace("\u00a0", " ")
    diagonal = plots.plot_roc(model).ax.lines[0]
    assert diagonal.get_xdata().tolist() == diagonal.get_ydata().tolist() == [0, 1]


@pytest.mark.parametrize("curve", [plots.plot_precision_recall, plots.plot_roc])
def test_the_marker_is_at_the_threshold_with_its_intervals(curve):
    model = evaluation(threshold=0.75)
    display = curve(model)
    mark = next(line for line in display.ax.lines if line.get_marker() == "o")
    across = "recall" if curve is plots.plot_precision_recall else "false_positive_rate"
    upward = "precision" if curve is plots.plot_precision_recall else "recall"
    x, y = getattr(model.confusion, across), getattr(model.confusion, upward)
    assert (*mark.get_xdata(), *mark.get_ydata()) == (x, y)
    bars = [bar.get_segments()[0] for bar in display.ax.collections]
    assert bars[0].tolist() == [
        [model.confidence_interval(across)[0], y],
        [model.confidence_interval(across)[1], y],
    ]
    assert bars[1].tolist() == [
        [x, model.confidence_interval(upward)[0]],
        [x, model.confidence_interval(upward)[1]],
    ]
    assert "marker: threshold 0.75; bars: 95% CI" in words(display)


@pytest.mark.parametrize("curve", [plots.plot_precision_recall, plots.plot_roc])
def test_several_models_differ_by_line_and_mark_not_by_colour_alone(curve):
    models = {name: random_evaluation(300, seed) for seed, name in enumerate("abcde")}
    display = curve(models)
    draw(display)
    handles = display.ax.get_legend().legend_handles[:5]
    assert len({(line.get_linestyle(), line.get_marker()) for line in handles}) == 5
    assert display.to_frame()["model"].unique().tolist() == list("abcde")
    own = display.to_frame()[lambda frame: frame["model"] == "b"].drop(columns="model")
    assert_frame_equal(own.reset_index(drop=True), models["b"].curve())


def test_models_with_thresholds_of_their_own_say_so():
    models = {"a": evaluation(), "b": evaluation(threshold=0.7)}
    assert "markers: threshold of each model" in words(plots.plot_roc(models))
    models = {"a": evaluation(), "b": evaluation(confidence_level=0.9)}
    assert "markers: threshold 0.5; bars: CI" in words(plots.plot_roc(models))


def test_models_of_rows_with_other_shares_of_fraud_have_their_levels():
    models = {
        "a": evaluation([0.9, 0.1], [1, 0]),
        "b": evaluation([0.9, 0.2, 0.2, 0.1], LABELS[:4]),
    }
    models["c"] = evaluation([0.9, 0.3, 0.2, 0.1], [1, 0, 0, 0])
    texts = words(plots.plot_precision_recall(models)).replace("\u00a0", " ")
    assert "random alerts: 25.0% to 50.0%" in texts


@pytest.mark.parametrize("count", [0, 6])
def test_more_models_than_colours_can_distinguish_are_refused(count):
    models = {str(number): evaluation() for number in range(count)}
    with pytest.raises(ArgumentError, match=f"must be 1 to 5 models.*; got {count}"):
        plots.plot_roc(models)


@pytest.mark.parametrize(
    ("scores", "labels", "roc", "precision_recall"),
    [
        ([], [], "no labelled transactions", "no labelled transactions"),
        ([0.9, 0.8], [0, 0], "no fraud among 2 transactions", "no fraud among 2 transactions"),
        ([0.9], [1], "no genuine transaction among 1 transaction", "AP 1.000"),
    ],
)
def test_why_there_is_no_curve_is_described_in_words(scores, labels, roc, precision_recall):
    model = evaluation(scores, labels)
    texts = words(plots.plot_roc({"mine": model}))
    assert roc in texts
    assert "mine: AUC not defined" in texts
    assert precision_recall in words(plots.plot_precision_recall(model))


def test_a_model_without_a_curve_leaves_the_others_theirs():
    texts = words(plots.plot_roc({"a": evaluation(), "b": evaluation([0.9], [0])}))
    assert "b: AUC not defined" in texts
    assert "no fraud" not in texts


# -- Thresholds ---------------------------------------------------------------------------------


def test_thresholds_have_the_rates_of_the_curve_and_their_intervals():
    model = evaluation(confidence_level=0.9)
    numbers = plots.plot_thresholds(model).to_frame()
    curve = model.curve()
    assert_frame_equal(numbers[curve.columns], curve)
    low, high = proportion_interval(curve["tp"], curve["alerts"], confidence_level=0.9)
    assert_frame_equal(
        numbers[["precision_low", "precision_high"]],
        pd.DataFrame({"precision_low": low, "precision_high": high}),
    )
    at = model.at_threshold(0.7)
    row = numbers.set_index("threshold").loc[0.7]
    assert (row["recall_low"], row["recall_high"]) == pytest.approx(
        at.confidence_interval("recall")
    )


def test_between_two_scores_the_rates_are_those_of_the_higher():
    display = plots.plot_thresholds(evaluation([0.8, 0.4], [1, 0]))
    precision = display.ax.lines[1]
    assert precision.get_drawstyle() == "steps-pre"
    assert precision.get_xdata().tolist() == [0, 0.4, 0.8, 1]
    assert precision.get_ydata()[:3].tolist() == [0.5, 0.5, 1]
    assert np.isnan(precision.get_ydata()[3])  # no alerts


def test_the_threshold_in_use_is_marked_with_its_metrics():
    display = plots.plot_thresholds(evaluation(threshold=0.75))
    (queue,) = display.ax.child_axes
    for ax in (display.ax, queue):
        assert any(list(line.get_xdata()) == [0.75, 0.75] for line in ax.lines)
    texts = words(display).replace("\u00a0", " ")
    assert "threshold 0.75" in texts
    assert "precision\n50.0%" in texts
    assert "recall\n50.0%" in texts
    assert "33.3%: 2 of 6" in texts


def test_a_threshold_that_was_chosen_on_the_same_rows_says_so():
    model = evaluation()
    chosen = model.at_threshold(model.best_threshold(1.0))
    assert "fitted on this data" in words(plots.plot_thresholds(chosen))
    assert "fitted on this data" in words(plots.plot_confusion(chosen))
    on_other_rows = evaluation([0.9, 0.1], [1, 0]).at_threshold(chosen.threshold)
    assert "fitted" not in words(plots.plot_thresholds(on_other_rows))


def test_thresholds_that_nothing_reaches_are_not_shown():
    display = plots.plot_thresholds(evaluation([0.02, 0.01], [1, 0], threshold=0.015))
    assert display.ax.get_xlim()[1] < 0.03


# -- Calibration --------------------------------------------------------------------------------


def test_calibration_has_a_dot_and_an_interval_for_each_part_and_the_diagonal():
    model = random_evaluation(5000)
    display = plots.plot_calibration(model, bins=5)
    draw(display)
    assert_frame_equal(display.to_frame(), model.calibration(5))
    filled = model.calibration(5)[lambda parts: parts["transactions"] > 0]
    diagonal, dots = display.ax.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    assert dots.get_xdata().tolist() == filled["mean_score"].tolist()
    assert dots.get_ydata().tolist() == filled["fraud_rate"].tolist()
    bars = [bar[:, 1].tolist() for bar in display.ax.collections[0].get_segments()]
    assert bars == filled[["fraud_rate_low", "fraud_rate_high"]].to_numpy().tolist()


def test_calibration_says_how_many_transactions_there_are():
    display = plots.plot_calibration(evaluation([0.1] * 1234 + [0.9], [0] * 1234 + [1]), bins=2)
    (strip,) = display.ax.child_axes
    assert [text.get_text() for text in strip.texts] == ["1,234", "1"]
    heights = [bar.get_height() for bar in strip.patches]
    assert heights == pytest.approx(np.log10([1235, 2]))


def test_calibration_ends_where_the_scores_end():
    assert plots.plot_calibration(evaluation([0.15, 0.05], [1, 0])).ax.get_xlim() == (0, 0.2)


def test_many_parts_are_not_written_over_each_other():
    (strip,) = plots.plot_calibration(random_evaluation(500), bins=40).ax.child_axes
    assert len(strip.texts) == 0


# -- Confusion ----------------------------------------------------------------------------------


def test_the_confusion_has_counts_and_shares_of_what_came_true():
    numbers = plots.plot_confusion(Confusion(tp=3, fp=1, fn=2, tn=99)).to_frame()
    assert numbers["meaning"].tolist() == ["detected", "missed", "false alarms", "correctly passed"]
    assert numbers["transactions"].tolist() == [3, 2, 1, 99]
    assert numbers["share"].tolist() == [0.6, 0.4, 0.01, 0.99]
    low, high = proportion_interval([3, 2, 1, 99], [5, 5, 100, 100])
    assert numbers["share_low"].tolist() == low.tolist()
    assert numbers["share_high"].tolist() == high.tolist()


def test_the_confusion_is_written_into_its_fields():
    display = plots.plot_confusion(Confusion(tp=3, fp=1, fn=2, tn=1999))
    texts = words(display).replace("\u00a0", " ")
    assert "1,999\ncorrectly passed\n99.950%" in texts
    assert "precision: 75.0%" in texts
    ticks = [
        tick.get_text() for tick in (*display.ax.get_xticklabels(), *display.ax.get_yticklabels())
    ]
    assert ticks == ["alert\n4", "no alert\n2,001", "fraud\n5", "genuine\n2,000"]
    assert {text.get_color() for text in display.ax.texts[-4:]} == {"white"}  # on dark ink


def test_the_confusion_of_an_evaluation_is_that_at_its_threshold():
    model = evaluation(threshold=0.75, interval_method="exact", confidence_level=0.9)
    display = plots.plot_confusion(model)
    assert display.to_frame()["transactions"].tolist() == [1, 1, 1, 3]
    assert display.ax.get_title(loc="left") == "Confusion matrix at threshold 0.75"
    assert display.to_frame().loc[0, ["share_low", "share_high"]].tolist() == list(
        model.confidence_interval("recall")
    )


@pytest.mark.parametrize("look", ["ggplot", "dark_background", "default"])
def test_no_line_of_a_grid_crosses_a_confusion_and_its_words_can_be_read(look):
    with plt.style.context(look):
        display = plots.plot_confusion(Confusion(tp=3, fp=1, fn=2, tn=94))
        draw(display)
    ax = display.ax
    lines = [line for axis in (ax.xaxis, ax.yaxis) for line in axis.get_gridlines()]
    assert not any(line.get_visible() for line in lines)
    assert {text.get_color() for text in ax.texts} == {"white", "black"}


def test_an_undefined_precision_is_described_in_words():
    texts = words(plots.plot_confusion(Confusion(tp=0, fp=0, fn=0, tn=5)))
    assert "precision is not defined: no transaction was predicted to be fraud" in texts
    assert "not defined" in texts


# -- Top-k --------------------------------------------------------------------------------------


def test_each_day_has_its_precision_and_its_ceiling():
    top = evaluate(payments(), score="good").card_precision_at_k(8)
    display = plots.plot_topk(top)
    draw(display)
    assert_frame_equal(display.to_frame(), top.daily)
    ceiling, precision = display.ax.lines[:2]
    assert precision.get_ydata().tolist() == top.daily["precision"].tolist()
    assert ceiling.get_ydata()[1:].tolist() == top.daily["max_achievable"].tolist()
    texts = words(display).replace("\u00a0", " ")
    assert "Card precision@8 by day" in texts
    assert f"mean {top.value:.1%}" in texts
    assert f"mean maximum {top.max_achievable:.1%}" in texts
    assert "the 8 highest-scoring cards" in texts


def test_days_without_transactions_are_a_gap_and_not_a_line():
    frame = payments()
    day = frame["timestamp"].dt.day
    top = evaluate(frame[(day < 4) | (day > 6)], score="good").precision_at_k(3)
    display = plots.plot_topk(top)
    runs = [line for line in display.ax.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in runs] == [3, 4]
    assert "the 3 highest-scoring transactions" in words(display)


def test_one_day_is_named():
    frame = payments()
    display = plots.plot_topk(
        evaluate(frame[frame["timestamp"].dt.day == 2], score="good").card_precision_at_k(5)
    )
    assert fits_the_figure(display)
    assert [tick.get_text() for tick in display.ax.get_xticklabels()] == ["2026-01-02"]


def test_a_period_without_a_day_is_described_in_words():
    empty = evaluate(payments()[:0], score="good").card_precision_at_k(3)
    display = plots.plot_topk(empty)
    draw(display)
    assert "no labelled transactions" in words(display)


# -- Cost ---------------------------------------------------------------------------------------


def test_the_cost_has_the_numbers_of_its_curve_and_marks_the_best():
    model = evaluation()
    costs = model.cost_curve(2.0)
    display = plots.plot_cost(costs)
    assert_frame_equal(display.to_frame(), costs)
    best = next(line for line in display.ax.lines if line.get_marker() == "o")
    lowest = costs.loc[costs["cost"].idxmin()]
    assert (*best.get_xdata(), *best.get_ydata()) == (lowest["threshold"], lowest["cost"])
    texts = words(display).replace("\u00a0", " ")
    assert "best threshold: 0.7\ncost: 8\nsaved: 12 (60.0%)" in texts
    assert "no alerts: 20" in texts


@pytest.mark.parametrize(
    ("factor", "ticks"),
    [
        (1, {"0", "2.5", "10"}),
        (6_000, {"0", "80,000", "100,000"}),
        (3_000_000, {"0", "10M", "20M"}),
    ],
)
def test_the_ticks_of_a_cost_are_written_alike(factor, ticks):
    costs = evaluation().cost_curve(2.0)
    money = [name for name in costs if name.endswith(("amount", "cost")) or name == "saved"]
    display = plots.plot_cost(costs.assign(**{name: factor * costs[name] for name in money}))
    draw(display)
    assert {label.get_text() for label in display.get_yticklabels()} >= ticks


def test_where_alerts_cost_more_than_fraud_none_is_best():
    display = plots.plot_cost(evaluation().cost_curve(100.0))
    draw(display)
    assert "best: no alerts" in words(display)
    assert "higher costs are cut off" in words(display)


def test_an_undefined_cost_is_described_in_words():
    assert "no labelled transactions" in words(plots.plot_cost(evaluation([], []).cost_curve(1.0)))


@pytest.fixture(scope="module")
def rare() -> Evaluation:
    """Calibrated scores of a rare event: nearly all are far below 0.03."""
    random = np.random.default_rng(0)
    scores = np.clip(random.beta(0.5, 100, 50_000), 1e-6, 0.03)
    return evaluation(scores, random.random(50_000) < scores, threshold=0.0123)


def seen(drawn: pd.DataFrame, complete: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """What the drawn steps show at each threshold, and what is true there."""
    place = np.searchsorted(-drawn["threshold"], -complete["threshold"], side="right") - 1
    return drawn[column].to_numpy()[place], complete[column].to_numpy()


@pytest.mark.parametrize("column", ["cost", "alert_cost"])
@pytest.mark.parametrize("cost_per_alert", [0.01, 1.0, 100.0])
def test_the_line_of_costs_is_that_of_all_thresholds_however_low_scores_are(
    rare, column, cost_per_alert
):
    complete = rare.cost_curve(cost_per_alert, 0.8)
    drawn = plots.plot_cost(complete).to_frame()
    assert len(drawn) < 3000 < len(complete)
    visible, true = seen(drawn, complete, column)
    axis = min(complete["cost"].max(), 2.12 * complete["cost"].iloc[0])
    assert (np.abs(visible - true) <= np.maximum(0.005 * axis, 0.02 * true)).all()


@pytest.mark.parametrize("column", ["precision", "recall", "queue_rate"])
def test_the_lines_of_thresholds_are_those_of_all_and_agree_with_the_legend(rare, column):
    display = plots.plot_thresholds(rare)
    complete = rare.curve()
    visible, true = seen(display.to_frame(), complete, column)
    assert np.nanmax(np.abs(visible - true)) <= 0.02
    assert np.nanmax(np.abs(visible[1:] - true[1:]) / np.maximum(true[1:], 0.02)) <= 0.05
    at, _ = seen(display.to_frame(), pd.DataFrame({"threshold": [0.0123], column: [0.0]}), column)
    assert at[0] == (rare.alerts / rare.n if column == "queue_rate" else getattr(rare, column))


@pytest.mark.parametrize("axes", [("recall", "precision"), ("false_positive_rate", "recall")])
def test_curves_are_those_of_all_thresholds(rare, axes):
    drawn = (plots.plot_roc if axes[1] == "recall" else plots.plot_precision_recall)(
        rare
    ).to_frame()
    complete = rare.curve()
    for column in axes:
        visible, true = seen(drawn, complete, column)
        assert np.nanmax(np.abs(visible - true)) <= 0.005


def test_of_many_thresholds_the_best_is_among_those_drawn():
    costs = random_evaluation(200_000).cost_curve(3.0)
    drawn = plots.plot_cost(costs).to_frame()
    assert len(drawn) < 1500 < len(costs)
    assert drawn["cost"].min() == costs["cost"].min()
    assert drawn["cost"].iloc[0] == costs["cost"].iloc[0]
    assert drawn["threshold"].is_monotonic_decreasing


#: Pictures of curves, and the numbers of an explorer.
OF_MANY_THRESHOLDS = {
    "precision_recall": plots.plot_precision_recall,
    "roc": plots.plot_roc,
    "thresholds": plots.plot_thresholds,
    "cost": lambda model: plots.plot_cost(thin_costs(Costs(Curve(model.counts), 5))),
    "explorer": lambda model: explorer_data(model, ExplorerSettings(days=30, alerts_per_day=20)),
}


@pytest.mark.parametrize("picture", OF_MANY_THRESHOLDS.values(), ids=OF_MANY_THRESHOLDS)
def test_a_picture_holds_the_running_sums_of_scores_in_memory_but_no_frame_of_the_curve(picture):
    peaks = []
    for size in (300_000, 600_000):
        model = random_evaluation(size)
        tracemalloc.start()
        try:
            picture(model)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # The frame of a curve has ten columns of 8 bytes each.
    assert (peaks[1] - peaks[0]) / 300_000 < 40


@pytest.mark.parametrize("name", [name for name in OF_MANY_THRESHOLDS if name != "explorer"])
def test_a_picture_does_not_depend_on_the_blocks_in_which_rows_are_read(name, monkeypatch):
    picture = OF_MANY_THRESHOLDS[name]
    model = random_evaluation(5_000)

    expected = picture(model).to_frame()
    monkeypatch.setattr(curve, "_BLOCK_ROWS", 1_000)
    assert_frame_equal(picture(model).to_frame(), expected, check_exact=True)


def test_what_is_no_cost_curve_is_refused():
    with pytest.raises(NotFoundError, match="no column 'alert_cost' in the cost curve"):
        plots.plot_cost(evaluation().curve())


# -- Comparison ---------------------------------------------------------------------------------


def test_a_comparison_has_differences_with_intervals_and_both_values():
    compared = compare_models(payments(), {"old": "poor", "new": "good"}, n_resamples=50)
    display = plots.plot_comparison(compared)
    draw(display)
    table = compared.to_frame()
    numbers = display.to_frame()
    new = table[table["model"] == "new"].reset_index(drop=True)
    assert_frame_equal(numbers[table.columns], new)
    assert numbers["reference"].tolist() == table[table["model"] == "old"]["value"].tolist()
    bars = [bar[:, 0].tolist() for bar in display.ax.collections[0].get_segments()]
    assert bars == new[["difference_low", "difference_high"]].to_numpy().tolist()
    assert display.ax.lines[0].get_xdata() == [0, 0]
    texts = words(display)
    assert "new compared with old" in texts
    row = numbers.iloc[0]
    assert f"{row['value']:.3f} vs. {row['reference']:.3f}" in texts
    assert [tick.get_text() for tick in display.ax.get_yticklabels()] == [
        "ROC AUC", "average precision", "precision", "recall",
    ]  # fmt: skip


def test_a_difference_that_may_be_none_has_an_empty_dot():
    frame = payments().assign(same=lambda rows: rows["good"])
    models = {"good": "good", "same": "same", "poor": "poor"}
    display = plots.plot_comparison(
        compare_models(frame, models, metrics=["roc_auc"], n_resamples=50)
    )
    full, empty = (line for line in display.ax.lines if line.get_marker() == "o")
    assert empty.get_markerfacecolor() == "white"
    assert (full.get_xdata() < 0).all()
    assert empty.get_xdata().tolist() == [0]
    ticks = [tick.get_text() for tick in display.ax.get_yticklabels()]
    assert ticks == ["ROC AUC, same", "ROC AUC, poor"]
    assert "Models compared with good" in words(display)


def test_one_model_has_nothing_to_be_compared_with():
    compared = compare_models(payments(), {"good": "good"}, metrics=["roc_auc"], n_resamples=20)
    display = plots.plot_comparison(compared)
    draw(display)
    assert "no model to compare with good" in words(display)


def test_differences_that_are_not_defined_are_described_in_words():
    frame = payments().assign(is_fraud=False)
    compared = compare_models(
        frame, {"a": "good", "b": "poor"}, metrics=["roc_auc", "recall"], n_resamples=20
    )
    display = plots.plot_comparison(compared)
    draw(display)
    assert words(display).count("not defined") == 2
    assert "undefined in 20 resamples" in words(display)


# -- Weights --------------------------------------------------------------------------------------


def test_weighted_transactions_are_drawn_without_intervals(picture):
    model = evaluate(LABELS, SCORES, amount=[10] * 6, weight=[1, 9.5, 1, 9.5, 9.5, 9.5])
    numbers = picture(model).to_frame()
    ends = [name for name in numbers if name.endswith(("_low", "_high"))]
    assert numbers[ends].isna().all().all()
