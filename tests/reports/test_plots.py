"""Pictures that reports needed first: scores by week, importances, and names as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import fraud_rate
from synfin_analytics.plots import plot_fraud_rate, plot_importances, plot_score_drift
from synfin_analytics.plots.fraud_rate import group_names
from synfin_analytics.reports._figures import draw_figure, save_image


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    yield
    plt.close("all")


def weeks(count: int) -> pd.DataFrame:
    start = pd.Timestamp("2026-03-02", tz="UTC")
    frame = pd.DataFrame(
        {"timestamp": [start + pd.Timedelta(weeks=number) for number in range(count)]}
    )
    for place, name in enumerate(("median", "mean_score", "p90", "p99")):
        frame[name] = np.linspace(0.1, 0.2, count) + 0.1 * place
    return frame.assign(scored=10)


@pytest.fixture
def importances() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "feature": ["night", "amount", "x" * 50],
            "mean": [-0.1, 0.4, 0.0],
            "size": [0.1, 0.5, 0.2],
        }
    )


@pytest.mark.parametrize("count", [1, 2, 30])
def test_each_line_of_scores_is_drawn_through_the_weeks(count):
    display = plot_score_drift(weeks(count))
    drawn = [line.get_ydata().tolist() for line in display.ax.lines]
    assert drawn == [weeks(count)[name].tolist() for name in ("p99", "p90", "mean_score", "median")]
    assert display.to_frame().equals(weeks(count))
    assert display.ax.get_ylim()[1] > weeks(count)["p99"].max()


def test_without_scores_the_plot_says_so():
    empty = plot_score_drift(weeks(0))
    assert "no scores" in [text.get_text() for text in empty.ax.texts]


def test_importances_are_drawn_from_the_largest_down(importances):
    display = plot_importances(importances, max_features=2)
    names = [label.get_text() for label in display.ax.get_yticklabels()]
    assert names == ["amount", "x" * 32 + "\n" + "x" * 18]
    assert [bar.get_width() for bar in display.ax.patches] == [0.5, 0.2]
    assert [text.get_text() for text in display.ax.texts] == ["+0.400", "0.000"]
    assert "1 smaller not shown" in display.ax.get_xlabel()
    assert len(display.to_frame()) == 2


def test_without_importances_the_plot_says_so(importances):
    display = plot_importances(importances.head(0))
    assert "no importances" in [text.get_text() for text in display.ax.texts]


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plot_score_drift([1]), ArgumentError, "list"),
        (lambda: plot_score_drift(weeks(2).drop(columns="median")), NotFoundError, "median"),
        (lambda: plot_importances([1]), ArgumentError, "list"),
        (lambda: plot_importances(pd.DataFrame({"feature": []})), NotFoundError, "mean"),
        (lambda: plot_importances(weeks(1), max_features=0), NotFoundError, "feature"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, error, message):
    with pytest.raises(error, match=message):
        draw()


def test_no_feature_at_all_cannot_be_asked_for(importances):
    with pytest.raises(ArgumentError, match="at least 1"):
        plot_importances(importances, max_features=0)


ODD = ["$\\frac{", "$x$ and $y$", "<b>", "a_b^c", "\u6f22 \U0001f600"]


@pytest.fixture
def rates() -> pl.DataFrame:
    frame = pl.DataFrame({"name": ODD, "amount": 1.0, "is_fraud": [True, False] * 2 + [True]})
    return fraud_rate(frame.filter(pl.col("name") != ODD[4]), by="name")


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_names_are_no_formulas(rates, kind):
    assert len(save_image(plot_fraud_rate(rates), kind)) > 1000


def test_texts_of_a_page_are_shown_literally_in_any_script():
    frame = pl.DataFrame({"name": ODD, "amount": 1.0, "is_fraud": [True, False] * 2 + [True]})
    result = fraud_rate(frame, by="name")
    drawn = draw_figure(lambda: plot_fraud_rate(result), name="x", alt='"<&')
    for name in ODD:
        assert name.replace("<b>", "&lt;b&gt;") in drawn.svg
    assert 'aria-label="&#34;&lt;&amp;"' in drawn.svg


def test_groups_are_named_as_in_pictures(rates):
    assert sorted(group_names(rates)) == sorted(ODD[:4])
    frame = pl.DataFrame({"amount": [1.0, 30.0, 200.0], "is_fraud": [True, False, None]})
    assert group_names(fraud_rate(frame, bins={"amount": [10, 100]})) == [
        "below 10", "10 to 100", "100 or more",
    ]  # fmt: skip
    assert group_names(fraud_rate(frame)) == ["all"]
