"""Pictures of label maturity: lines, bands and cells are the numbers of the result."""

from __future__ import annotations

import datetime as dt

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from labels import MONDAY, frame_of, row
from matplotlib import pyplot as plt
from pandas.testing import assert_frame_equal

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import LabelMaturity, label_maturity
from synfin_analytics.plots import plot_label_maturity


@pytest.fixture(autouse=True)
def _pictures_without_a_screen():
    mpl.use("agg")
    yield
    plt.close("all")


def measured(n_weeks: int = 12, days: float = 90, **options) -> LabelMaturity:
    rows = [
        row(7 * week, delay=delay) | {"channel": channel}
        for week in range(n_weeks)
        for channel, delays in (("pos", [0, 1, 8]), ("online", [0, 9, 16]), (None, [2]))
        for delay in delays
    ]
    return label_maturity(frame_of(rows), as_of=MONDAY + dt.timedelta(days=days), **options)


def lines(ax) -> list[np.ndarray]:
    return [line.get_ydata() for line in ax.lines if line.get_marker() not in ("", "None")]


def drawn(display):
    display.ax.figure.canvas.draw()  # most mistakes show only then
    return display.ax


def test_the_curve_is_a_line_with_a_band_and_the_cohorts_are_thin_lines():
    maturity = measured()
    display = plot_label_maturity(maturity)
    ax = drawn(display)
    assert ax.get_title(loc="left") == "Label maturity"
    assert lines(ax)[0].tolist() == maturity.curve["share"].tolist()
    assert len(ax.collections[0].get_segments()) == maturity.cohorts["mature"].sum()
    assert {text.get_text() for text in ax.texts} == {"50% by age 0", "90% by age 2"}
    assert "95% CI; thin lines: cohorts" in ax.get_xlabel()
    assert_frame_equal(display.to_frame(), maturity.curve)


def test_groups_are_lines_of_their_own_the_one_with_the_most_frauds_first():
    ax = drawn(plot_label_maturity(measured(by="channel")))
    assert ax.get_title(loc="left") == "Label maturity by channel"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["online", "pos", "unknown"]
    assert len(lines(ax)) == 3


def test_at_most_five_groups_are_drawn():
    frame = frame_of(
        [row(day, delay=1) | {"channel": f"c{n}"} for n in range(7) for day in range(n + 1)]
    )
    maturity = label_maturity(frame, by="channel", as_of=MONDAY + dt.timedelta(days=30))
    display = plot_label_maturity(maturity)
    assert "3 groups with fewer frauds not shown" in drawn(display).get_xlabel()
    assert set(display.to_frame()["channel"]) == {f"c{n}" for n in range(2, 7)}


def test_a_heat_map_has_a_cell_for_each_cohort_and_age_with_its_count():
    maturity = measured()
    display = plot_label_maturity(maturity, kind="heatmap")
    ax = drawn(display)
    cells = display.to_frame()
    assert [text.get_text() for text in ax.texts] == [str(count) for count in cells["frauds"]]
    pending, shares = (image.get_array() for image in ax.images)
    assert np.ma.count(np.ma.masked_invalid(shares)) == cells["share"].notna().sum()
    assert np.ma.count(np.ma.masked_invalid(pending)) == cells["share"].isna().sum()
    assert ax.get_yticklabels()[0].get_text() == "2026-01-05"


def test_a_heat_map_draws_all_groups_together():
    numbers = plot_label_maturity(measured(by="channel"), kind="heatmap").to_frame()
    assert_frame_equal(numbers, plot_label_maturity(measured(), kind="heatmap").to_frame())


def test_cells_too_small_for_counts_have_none():
    ax = drawn(plot_label_maturity(measured(n_weeks=40, days=300), kind="heatmap"))
    assert not ax.texts
    assert "number" not in ax.get_xlabel()


@pytest.mark.parametrize("kind", ["curves", "heatmap"])
@pytest.mark.parametrize("every", ["1d", "2w", "1mo"])
def test_the_axis_names_the_period(kind, every):
    ax = drawn(plot_label_maturity(measured(every=every), kind=kind))
    unit = {"1d": "days", "2w": "periods of 2 weeks", "1mo": "months"}[every]
    assert ax.get_xlabel().startswith(f"age of the label in {unit}\n")


@pytest.mark.parametrize("kind", ["curves", "heatmap"])
def test_what_cannot_be_drawn_is_said(kind):
    frame = frame_of([row(0, delay=1)])
    for native, options, reason in (
        (frame.clear(), {}, "no transactions"),
        (frame, {"as_of": MONDAY + dt.timedelta(days=3)}, "no mature cohort"),
        (frame.with_columns(is_fraud=pl.lit(False)), {"as_of": "2026-03-01"}, "no fraud in a"),
    ):
        ax = drawn(label_maturity(native, **options).plot(kind))
        if kind == "curves" or not len(ax.images):
            assert any(reason in text.get_text() for text in ax.texts)


def test_a_title_and_axes_may_be_given():
    _, ax = plt.subplots()
    display = measured().plot("heatmap", ax, title="Mine")
    assert display.ax is ax
    assert ax.get_title(loc="left") == "Mine"


def test_wrong_arguments_are_refused():
    with pytest.raises(ArgumentError, match='`kind` must be "curves" or "heatmap"; got'):
        plot_label_maturity(measured(), kind="lines")
    with pytest.raises(ArgumentError, match=r"must be the result of label_maturity\(\.\.\.\)"):
        plot_label_maturity([])
