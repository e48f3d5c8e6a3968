"""Pictures of fraud rates: what is drawn is what was computed, also where there is nothing."""

import copy
import datetime as dt
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from synfin_analytics._core.formatting import format_compact
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import fraud_rate
from synfin_analytics.plots import _style, plot_fraud_rate
from synfin_analytics.plots._ticks import PercentFormatter


@pytest.fixture(autouse=True)
def pictures_without_a_screen():
    mpl.use("agg")
    yield
    plt.close("all")


def transactions(**columns) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    return pl.DataFrame({"amount": [10.0] * rows, "is_fraud": [False] * rows} | columns)


def days(*numbers: int) -> list[dt.datetime]:
    return [dt.datetime(2026, 1, number, 12, tzinfo=dt.UTC) for number in numbers]


def draw(ax) -> None:
    """Lay out and paint every artist: most mistakes show only then."""
    ax.figure.canvas.draw()


def dots(ax) -> np.ndarray:
    return next(line for line in ax.lines if line.get_marker() == "o").get_xdata()


def notes(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_groups_are_dots_at_their_rate_with_the_counts_beside_them():
    frame = transactions(
        channel=["pos"] * 4 + ["online"] * 2, is_fraud=[True, False, False, False, True, False]
    )
    ax = plot_fraud_rate(fraud_rate(frame, by="channel"))
    draw(ax)
    assert ax.get_title(loc="left") == "Fraud rate by channel"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["online", "pos"]
    assert dots(ax).tolist() == [0.5, 0.25]
    assert notes(ax)[1:] == ["1 of 2", "1 of 4"]
    assert "33.3%" in notes(ax)[0]


def test_bars_are_the_intervals():
    result = fraud_rate(transactions(channel=["a", "b"], is_fraud=[True, False]), by="channel")
    ax = plot_fraud_rate(result)
    drawn = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert drawn == [list(row) for row in result.select("fraud_rate_low", "fraud_rate_high").rows()]


def test_numbers_keep_their_order_and_names_are_sorted_by_rate():
    frame = transactions(hour=[10, 9, 2], is_fraud=[False, False, True])
    ax = plot_fraud_rate(fraud_rate(frame, by="hour"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["2", "9", "10"]


def test_time_is_a_line_with_a_band_and_the_volume_below():
    frame = transactions(timestamp=days(1, 2, 2, 3), is_fraud=[True, True, False, False])
    ax = plot_fraud_rate(fraud_rate(frame, every="1d"))
    draw(ax)
    assert ax.lines[0].get_ydata().tolist() == [1, 0.5, 0]
    assert len(ax.collections) == 1
    (volume,) = ax.child_axes
    assert [bar.get_height() for bar in volume.patches] == [1, 2, 1]


def test_bins_of_a_number_have_readable_names():
    frame = pl.DataFrame(
        {
            "amount": [5, 50, 50, 5000, None],
            "channel": ["pos", "pos", "atm", "pos", "pos"],
            "is_fraud": [False, True, False, False, True],
        }
    )
    alone = plot_fraud_rate(fraud_rate(frame, bins={"amount": [20, 1000]}))
    display = plot_fraud_rate(fraud_rate(frame, by="channel", bins={"amount": [20, 1000]}))

    named = [label.get_text() for label in alone.ax.get_yticklabels()]
    assert named == ["below 20", "20 to 1,000", "1,000 or more", "unknown"]
    assert alone.ax.get_title(loc="left") == "Fraud rate by amount"
    assert "atm · 20 to 1,000" in {label.get_text() for label in display.ax.get_yticklabels()}
    assert display.ax.get_title(loc="left") == "Fraud rate by channel and amount"


def test_groups_over_time_differ_by_line_and_mark_not_by_colour_alone():
    frame = transactions(timestamp=days(1, 2, 1, 2), channel=["a", "a", "b", "b"])
    ax = plot_fraud_rate(fraud_rate(frame, by="channel", every="1d"))
    draw(ax)
    looks = {(line.get_linestyle(), line.get_marker()) for line in ax.lines[:2]}
    assert len(looks) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_smaller_groups_are_omitted_and_the_plot_says_so():
    frame = transactions(channel=["a"] * 3 + ["b"] * 2 + ["c"])
    ax = plot_fraud_rate(fraud_rate(frame, by="channel"), max_groups=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert "1 smaller group not shown" in ax.get_xlabel()


@pytest.mark.parametrize("text", ["polars", "str", "string", "object"])
def test_missing_and_empty_names_are_distinguished(text):
    frame = transactions(channel=[None, "", "a"])
    if text != "polars":  # in pandas, what is missing is NaN, NA or None
        frame = frame.to_pandas().astype({"channel": text})
    ax = plot_fraud_rate(fraud_rate(frame, by="channel"))
    names = {label.get_text() for label in ax.get_yticklabels()}
    assert names == {"unknown", "(empty)", "a"}


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(fraud_rate(transactions(is_fraud=[True])), id="one row, all fraud"),
        pytest.param(fraud_rate(transactions(amount=[])), id="nothing"),
        pytest.param(fraud_rate(transactions(x=[1]).clear(), by="x"), id="no group"),
        pytest.param(
            fraud_rate(transactions(timestamp=days(1)).clear(), every="1d"), id="no period"
        ),
        pytest.param(fraud_rate(transactions(timestamp=days(1)), every="1d"), id="one period"),
        pytest.param(
            fraud_rate(transactions(timestamp=[*days(1), None]), every="1d"), id="no time"
        ),
        pytest.param(
            fraud_rate(transactions(x=["a"], is_fraud=[None]), by="x"), id="none labelled"
        ),
        pytest.param(
            fraud_rate(transactions(timestamp=days(1, 2), is_fraud=[None, None]), every="1d"),
            id="none labelled over time",
        ),
        pytest.param(
            fraud_rate(transactions(x=[True, False], y=["a", "b"]).to_pandas(), by=["x", "y"]),
            id="two columns of pandas",
        ),
        pytest.param(fraud_rate(transactions(x=[1, 2]).to_arrow(), by="x"), id="pyarrow"),
    ],
)
def test_little_or_nothing_can_be_drawn(result):
    draw(plot_fraud_rate(result))


def test_a_group_without_labels_is_reported_as_unlabelled():
    frame = transactions(channel=["a", "b"], is_fraud=[None, True])
    assert "none labelled" in notes(plot_fraud_rate(fraud_rate(frame, by="channel")))


def test_the_interval_of_a_tiny_group_is_cut_and_flagged():
    frame = transactions(
        channel=["big"] * 2000 + ["mid"] * 2000 + ["tiny"], is_fraud=[True, *[False] * 4000]
    )
    ax = plot_fraud_rate(fraud_rate(frame, by="channel"))
    assert ax.get_xlim()[1] < 0.1
    arrows = next(line for line in ax.lines if line.get_marker() == ">")
    assert len(arrows.get_xdata()) == 1


def test_axes_that_are_given_are_drawn_into():
    ax = plt.figure().add_subplot()
    display = plot_fraud_rate(fraud_rate(transactions(is_fraud=[True])), ax, title="Mine")
    assert display.ax is ax
    assert ax.get_title(loc="left") == "Mine"


def test_the_frame_has_the_rows_in_the_order_in_which_they_are_drawn():
    frame = transactions(channel=["a", "a", "b", "c"], is_fraud=[True, False, True, False])
    result = fraud_rate(frame, by="channel")
    drawn = plot_fraud_rate(result, max_groups=2).to_frame()
    assert isinstance(drawn, pd.DataFrame)
    assert drawn["channel"].tolist() == ["b", "a"]
    assert drawn.columns.tolist() == result.columns
    assert drawn["fraud_rate_low"].tolist() == [
        result["fraud_rate_low"][1],
        result["fraud_rate_low"][0],
    ]


def test_the_frame_over_time_has_the_periods_in_order():
    frame = transactions(timestamp=days(3, 1, 2), is_fraud=[True, False, False])
    drawn = plot_fraud_rate(fraud_rate(frame, every="1d")).to_frame()
    assert drawn["fraud_rate"].tolist() == [0, 0, 1]


def test_a_changed_frame_does_not_change_the_picture():
    display = plot_fraud_rate(fraud_rate(transactions(is_fraud=[True])))
    changed = display.to_frame()
    changed["fraud_rate"] = 9.0
    assert display.to_frame()["fraud_rate"].tolist() == [1]


def test_a_picture_can_be_drawn_again_elsewhere():
    first = plot_fraud_rate(fraud_rate(transactions(channel=["a", "b"]), by="channel"), title="T")
    ax = plt.figure().add_subplot()
    again = first.plot(ax)
    assert again.ax is ax
    assert ax.get_title(loc="left") == "T"
    assert notes(ax) == notes(first.ax)
    assert again.to_frame().equals(first.to_frame())
    assert first.plot().ax not in (first.ax, ax)


def test_what_a_display_has_not_its_axes_have():
    display = plot_fraud_rate(fraud_rate(transactions(is_fraud=[True])))
    display.set_title("Mine", loc="left")
    assert "'Mine'" in repr(display)
    assert "1 row)" in repr(display)
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = display.no_such_thing
    assert copy.copy(display).ax is display.ax


def test_room_is_made_for_the_strip_where_the_figure_has_no_layout():
    ax = plt.figure().add_subplot()
    plot_fraud_rate(fraud_rate(transactions(timestamp=days(1, 2)), every="1d"), ax)
    draw(ax)
    (volume,) = ax.child_axes
    assert volume.get_window_extent().y0 >= 0.1 * ax.figure.bbox.height
    assert volume.get_window_extent().y1 < ax.get_window_extent().y0


@pytest.mark.parametrize("wrong", ["ax", plt, [1]])
def test_what_is_no_axes_is_refused_and_leaves_no_figure(wrong):
    with pytest.raises(ArgumentError, match="`ax` must be one matplotlib Axes"):
        plot_fraud_rate(fraud_rate(transactions(is_fraud=[True])), wrong)
    assert plt.get_fignums() == []


def test_a_picture_that_fails_leaves_no_figure():
    def fail(ax):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _style.create_display(None, (2, 2), pd.DataFrame(), fail)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("ticks", "words"),
    [
        ([0, 0.5, 1], ["0%", "50%", "100%"]),
        ([0, 0.005, 0.01], ["0.0%", "0.5%", "1.0%"]),
        ([0, 0.00025], ["0.000%", "0.025%"]),
        ([], []),
    ],
)
def test_ticks_have_the_decimals_that_the_finest_needs(ticks, words):
    assert PercentFormatter().format_ticks(ticks) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0"), (0.125, "0.125"), (99_999, "99,999"), (999_999, "1M"), (-2.5e9, "-2.5bn")],
)
def test_counts_and_amounts_are_brief(number, words):
    assert format_compact(number) == words


def test_what_is_no_result_of_fraud_rate_is_refused():
    with pytest.raises(NotFoundError, match="no column 'labelled' in the result of fraud_rate"):
        plot_fraud_rate(transactions(is_fraud=[True]))
    with pytest.raises(ArgumentError, match="`result` must be the result of fraud_rate"):
        plot_fraud_rate(5)
    with pytest.raises(ArgumentError, match="at least 1"):
        plot_fraud_rate(fraud_rate(transactions(is_fraud=[True])), max_groups=0)


def test_matplotlib_is_not_imported_before_a_picture_is_drawn():
    code = "import sys, synfin_analytics.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- Styles and names -----------------------------------------------------------------------------


def luminance(color) -> float:
    """Relative luminance of WCAG."""
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(color, background) -> float:
    low, high = sorted((luminance(color), luminance(background)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture
def by_name():
    frame = transactions(
        channel=["pos", "unknown", None, "", "(empty)"] * 4, is_fraud=[True, False] * 10
    )
    return fraud_rate(frame, by="channel")


@pytest.mark.parametrize("look", ["default", "dark_background", "ggplot", "Solarize_Light2"])
def test_lines_and_text_contrast_with_any_background(by_name, look):
    with plt.style.context(look):
        ax = plot_fraud_rate(by_name).ax
        draw(ax)
    for line in ax.get_lines():
        assert contrast(line.get_color(), ax.get_facecolor()) >= 3
    for text in [*ax.texts, *ax.get_yticklabels(), ax.xaxis.label]:
        assert contrast(text.get_color(), ax.figure.get_facecolor()) >= 3


def test_an_axes_of_a_dark_figure_gets_the_colours_of_the_dark(by_name):
    _, ax = plt.subplots(facecolor="black")
    ax.set_facecolor("none")
    plot_fraud_rate(by_name, ax)
    assert all(contrast(line.get_color(), "black") >= 3 for line in ax.get_lines())


def test_settings_of_lines_and_grids_change_nothing(by_name):
    odd = {
        "lines.linestyle": "--", "lines.marker": "x", "axes.grid": True, "axes.grid.which": "both",
        "axes.prop_cycle": plt.cycler(color=["red"]), "axes.titlelocation": "right",
        "savefig.bbox": "tight", "figure.autolayout": True, "text.usetex": True,
    }  # fmt: skip
    with mpl.rc_context(odd):
        ax = plot_fraud_rate(by_name).ax
    usual = plot_fraud_rate(by_name).ax
    for drawn, expected in zip(ax.get_lines(), usual.get_lines(), strict=True):
        assert drawn.get_linestyle() == expected.get_linestyle()
        assert drawn.get_marker() == expected.get_marker()
        assert drawn.get_color() == expected.get_color()
    assert ax.get_title(loc="left") == usual.get_title(loc="left")
    assert not any(line.get_visible() for line in ax.yaxis.get_gridlines())
    assert not any(text.get_usetex() for text in (*ax.texts, ax.xaxis.label))


def test_a_group_that_is_called_not_known_is_not_the_one_without_a_name(by_name):
    labels = [label.get_text() for label in plot_fraud_rate(by_name).ax.get_yticklabels()]
    assert sorted(labels) == ["(empty)", "pos", "unknown", "“(empty)”", "“unknown”"]


@pytest.mark.filterwarnings("error")
def test_long_names_are_broken_into_lines_beside_axes_of_a_usual_width():
    agents = ["Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + "AppleWebKit/537.36 " * 4, "y" * 400]
    frame = transactions(user_agent=agents * 4, is_fraud=[True, False] * 4)
    ax = plot_fraud_rate(fraud_rate(frame, by="user_agent")).ax
    draw(ax)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert "AppleWebKit/537.36" in labels[0] + labels[1]
    assert max(len(line) for label in labels for line in label.splitlines()) <= 38
    assert max(label.count("\n") for label in labels) == 2
    assert ax.get_position().width > 0.4


def test_the_caption_fits_beside_long_names():
    frame = transactions(
        merchant_category=[f"a rather long category {number}" for number in range(8)] * 3,
        is_fraud=[True, False, False] * 8,
    )
    ax = plot_fraud_rate(fraud_rate(frame, by="merchant_category"), max_groups=6).ax
    draw(ax)
    assert "hollow" in ax.get_xlabel()
    assert "2 smaller groups not shown" in ax.get_xlabel()
    caption, figure = ax.xaxis.label.get_window_extent(), ax.figure.bbox
    assert figure.x0 <= caption.x0 < caption.x1 <= figure.x1
    assert figure.y0 <= caption.y0


def test_a_rough_interval_has_a_hollow_dot():
    frame = transactions(
        channel=["pos"] * 40 + ["atm"] * 40,
        is_fraud=[True] * 12 + [False] * 28 + [True] * 12 + [False] * 28,
        customer_id=[f"C{number}" for number in range(40)] + ["C1"] * 40,
    )
    ax = plot_fraud_rate(fraud_rate(frame, by="channel")).ax
    (hollow,) = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert [labels[len(labels) - 1 - int(row)] for row in hollow.get_ydata()] == ["atm"]
    assert "(hollow: unreliable interval)" in ax.get_xlabel()
