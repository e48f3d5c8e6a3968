"""Pictures of evaluated rules: dots, bars and cells are the numbers of the result."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.text import Text

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.plots import plot_rule_benefit, plot_rule_decay, plot_rule_overlap, plot_rules
from synfin_analytics.plots.rules import _spread
from synfin_analytics.rules import RuleEvaluation, evaluate_rules


@pytest.fixture(autouse=True)
def _pictures_without_a_screen():
    mpl.use("agg")
    yield
    plt.close("all")


def payments(n_rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    days = pd.to_timedelta(rng.integers(0, 42, n_rows), "D")
    return pd.DataFrame(
        {
            "is_fraud": rng.random(n_rows) < 0.2,
            "amount": rng.integers(1, 1000, n_rows).astype(float),
            "timestamp": pd.Timestamp("2026-01-05") + days,
            "customer_id": rng.integers(0, 60, n_rows),
        }
    )


THREE = {"high": "amount > 700", "middle": "amount BETWEEN 400 AND 800", "never": "amount < 0"}
TWENTY = {
    f"rule {number}, of a name that is {'very ' * number}long": f"amount > {40 * number}"
    for number in range(20)
}


def evaluated(rules=None, **options) -> RuleEvaluation:
    return evaluate_rules(payments(), THREE if rules is None else rules, **options)


def drawn(display):
    display.ax.figure.canvas.draw()  # most mistakes show only then
    return display.ax


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def overlapping(texts) -> list[tuple[str, str]]:
    # The extent of an annotation has its line, too.
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts]
    return [
        (one, other)
        for number, (one, box) in enumerate(boxes)
        for other, other_box in boxes[number + 1 :]
        if box.overlaps(other_box)
    ]


# -- Precision and recall --------------------------------------------------------------------------


def test_each_dot_is_a_rule_at_its_recall_and_precision():
    evaluation = evaluated()
    display = plot_rules(evaluation)
    ax = drawn(display)
    numbers = display.to_frame()
    dots = ax.collections[-1]
    assert dots.get_offsets().tolist() == numbers[["recall", "precision"]].values.tolist()
    assert numbers["precision"].is_monotonic_decreasing
    assert {text.partition(" (")[0] for text in texts(ax)} == {"high", "middle"}


def test_the_area_of_a_dot_is_proportional_to_its_alerts():
    display = plot_rules(evaluated())
    area = display.ax.collections[-1].get_sizes()
    ratios = area / display.to_frame()["alerts"]
    assert ratios.to_numpy() == pytest.approx(ratios[0])


def test_rules_without_a_precision_are_named_below():
    assert "precision or recall not defined: never" in drawn(plot_rules(evaluated())).get_xlabel()


def test_names_of_twenty_rules_do_not_overlap():
    ax = drawn(plot_rules(evaluated(TWENTY)))
    assert len(ax.texts) == 20
    assert overlapping(ax.texts) == []


def test_of_many_rules_those_with_most_alerts_are_drawn_and_the_others_counted():
    display = plot_rules(evaluated(TWENTY), max_rules=5)
    assert sorted(display.to_frame()["alerts"])[0] >= 300
    assert "15 rules with fewer alerts not shown" in display.ax.get_xlabel()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 0.2)), min_size=1, max_size=25))
@settings(max_examples=60)
def test_names_are_spread_within_the_axes_without_overlaps(names):
    wanted = np.array(sorted((height for height, _ in names), reverse=True))
    sizes = np.array([size for _, size in names])
    heights = _spread(wanted, sizes)
    sizes = sizes / max(sizes.sum(), 1)
    edges = np.concatenate([heights - sizes / 2, heights + sizes / 2])
    assert edges.min() >= -1e-9
    assert edges.max() <= 1 + 1e-9
    assert np.all(heights[:-1] - sizes[:-1] / 2 >= heights[1:] + sizes[1:] / 2 - 1e-9)


# -- Overlap ---------------------------------------------------------------------------------------


def test_bars_are_the_combinations_and_solid_dots_their_rules():
    evaluation = evaluated()
    display = plot_rule_overlap(evaluation)
    ax = drawn(display)
    assert [bar.get_height() for bar in ax.containers[0]] == display.to_frame()["alerts"].tolist()
    matrix, bars = ax.child_axes
    labels = [label.get_text() for label in bars.get_yticklabels()]
    solid = matrix.collections[1].get_offsets()
    for column, rules in enumerate(display.to_frame()["rules"]):
        rows = solid[solid[:, 0] == column][:, 1]
        assert {labels[len(labels) - 1 - int(row)] for row in rows} == set(rules.split(" & "))
    sizes = evaluation.rules.set_index("rule")["alerts"]
    assert [bar.get_width() for bar in bars.patches[-len(labels) :]] == sizes[labels].tolist()


def test_the_axis_tells_which_combinations_and_rules_are_left_out():
    evaluation = evaluated({**TWENTY, "never": "amount < 0"})
    ax = drawn(plot_rule_overlap(evaluation, max_combinations=4))
    hidden = evaluation.combinations.iloc[4:]
    note = ax.child_axes[0].get_xlabel()
    assert f"not shown: {len(hidden)} combinations with {hidden['alerts'].sum():,} alerts" in note
    assert "1 rule in no combination that is shown" in note
    never = drawn(plot_rule_overlap(evaluated())).child_axes[0].get_xlabel()
    assert "not shown: 1 rule that never fired" in never


def test_names_in_the_matrix_do_not_overlap():
    bars = drawn(plot_rule_overlap(evaluated(TWENTY), max_combinations=30)).child_axes[1]
    assert len(bars.get_yticklabels()) == 20
    assert overlapping(bars.get_yticklabels()) == []


# -- Net benefit -----------------------------------------------------------------------------------


def test_bars_of_the_greedy_order_begin_where_the_last_one_ends():
    evaluation = evaluated(TWENTY, cost_per_alert=200)
    display = plot_rule_benefit(evaluation)
    ax = drawn(display)
    chosen = evaluation.greedy.dropna(subset="position")
    ends = [bar.get_x() + bar.get_width() for bar in ax.containers[0]]
    assert ends == pytest.approx(chosen["net_benefit"].tolist())
    others = [bar.get_width() for bar in ax.containers[1]]
    assert others == pytest.approx(evaluation.greedy["gained_net_benefit"][len(chosen) :].tolist())
    assert "hatched: what each other rule would change" in ax.get_xlabel()
    assert overlapping(ax.get_yticklabels()) == []


def test_without_amounts_the_picture_says_so():
    display = plot_rule_benefit(evaluated(amount=None))
    assert texts(drawn(display)) == ["no amounts, and so no net benefit"]


# -- Over time -------------------------------------------------------------------------------------


def test_cells_are_the_precision_of_each_period():
    evaluation = evaluated()
    display = plot_rule_decay(evaluation)
    image = drawn(display).images[1].get_array()
    numbers = display.to_frame().pivot_table(
        index="rule", columns="period", values="precision", dropna=False
    )
    order = evaluation.rules.sort_values("alerts", ascending=False)["rule"]
    drawn_cells = np.ma.filled(image, np.nan)
    assert drawn_cells[:2].tolist() == numbers.loc[order[:2]].to_numpy().tolist()


def test_lines_are_those_of_the_chosen_rules():
    evaluation = evaluated()
    display = plot_rule_decay(evaluation, kind="lines", rules=["middle"])
    line = drawn(display).lines[0].get_ydata()
    rows = evaluation.by_period[evaluation.by_period["rule"] == "middle"]
    assert line.tolist() == rows["precision"].tolist()


def test_without_times_the_picture_says_so():
    assert texts(drawn(plot_rule_decay(evaluated(timestamp=None)))) == ["no times"]


@pytest.mark.parametrize(
    "draw", [plot_rules, plot_rule_overlap, plot_rule_benefit, plot_rule_decay]
)
def test_rules_of_which_none_fired_are_drawn(draw):
    display = draw(evaluated({"never": "amount < 0"}))
    drawn(display)


# -- Arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rules", "overlap", "benefit", "decay"])
def test_the_accessor_draws_into_axes_of_the_caller(name):
    evaluation = evaluated()
    _, ax = plt.subplots()
    display = getattr(evaluation.plot, name)(ax=ax, title="Mine")
    assert display.ax is ax
    assert drawn(display).get_title(loc="left") == "Mine"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot_rules(payments()), r"`evaluation` must be the result of evaluate_rules\("),
        (lambda: plot_rules(evaluated(), max_rules=0), "`max_rules` must be"),
        (lambda: plot_rule_overlap(evaluated(), max_combinations=0), "`max_combinations` must be"),
        (lambda: plot_rule_decay(evaluated(), kind="bars"), '`kind` must be "heatmap" or "lines"'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(NotFoundError, match="middle"):
        plot_rule_decay(evaluated(), rules=["midle"])
