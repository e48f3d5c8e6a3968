"""Picture of a nowcast: known and estimated rates apart, with the numbers of the result."""

from __future__ import annotations

import datetime as dt
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from labels import MONDAY, frame_of, row
from matplotlib import pyplot as plt
from pandas.testing import assert_frame_equal

from synfin_analytics.metrics import FraudRateNowcast, nowcast_fraud_rate
from synfin_analytics.plots import plot_fraud_rate


@pytest.fixture(autouse=True)
def _pictures_without_a_screen():
    mpl.use("agg")
    yield
    plt.close("all")


def nowcast_of(n_weeks: int = 12, **options: Any) -> FraudRateNowcast:
    rows = [
        row(7 * week, delay=delay) | {"channel": channel}
        for week in range(n_weeks)
        for channel in ("pos", "online")
        for delay in (1, 8, 8, 15)
    ]
    rows += [row(7 * week, delay=None, is_fraud=False) for week in range(n_weeks)] * 40
    as_of = MONDAY + dt.timedelta(weeks=n_weeks)
    return nowcast_fraud_rate(frame_of(rows), as_of=as_of, **options)


def drawn_lines(ax: Any) -> list[np.ndarray]:
    return [line.get_ydata() for line in ax.lines if len(line.get_ydata())]


def test_mature_estimated_and_known_rates_are_three_lines():
    nowcast = nowcast_of()
    display = nowcast.plot()
    frame = nowcast.to_frame()
    assert display.ax.get_title(loc="left") == "Fraud rate over time"
    assert_frame_equal(display.to_frame(), frame)
    mature, estimated, known, *_ = drawn_lines(display.ax)
    n_mature = int(frame["mature"].sum())
    assert mature.tolist() == frame["known_fraud_rate"][:n_mature].tolist()
    # The lines of recent weeks begin at the last mature one.
    assert estimated.tolist() == frame["estimated_fraud_rate"][n_mature - 1 :].tolist()
    assert known.tolist() == frame["known_fraud_rate"][n_mature - 1 :].tolist()
    patterns = [line._dash_pattern for line in display.ax.lines[:3]]
    assert len({str(pattern) for pattern in patterns}) == 3


def test_the_band_is_the_prediction_interval():
    nowcast = nowcast_of()
    display = plot_fraud_rate(nowcast)
    frame = nowcast.to_frame()
    recent = frame[~frame["mature"]]
    heights = np.concatenate(
        [path.vertices[:, 1] for path in display.ax.collections[0].get_paths()]
    )
    for end in ("low", "high"):
        for value in recent[f"estimated_fraud_rate_{end}"]:
            assert np.isclose(heights, value).any()
    text = display.ax.child_axes[0].get_xlabel()
    assert "90% prediction interval" in text


def test_the_last_known_and_estimated_rate_are_written_beside():
    texts = [text.get_text() for text in plot_fraud_rate(nowcast_of()).ax.texts]
    assert any(text.startswith("estimated: ") for text in texts)
    assert any(text.startswith("known: ") for text in texts)


def test_groups_have_a_legend_and_the_largest_are_drawn():
    display = plot_fraud_rate(nowcast_of(by="channel"), max_groups=1)
    assert display.ax.get_title(loc="left") == "Fraud rate over time by channel"
    assert set(display.to_frame()["channel"]) == {"pos"}
    assert "1 smaller group not shown" in display.ax.child_axes[0].get_xlabel()
    both = plot_fraud_rate(nowcast_of(by="channel"))
    assert [text.get_text() for text in both.ax.get_legend().get_texts()] == ["pos", "online"]


@pytest.mark.parametrize("n_weeks", [1, 3])
def test_a_short_history_shows_what_is_known(n_weeks):
    display = plot_fraud_rate(nowcast_of(n_weeks))
    assert len(display.to_frame()) == n_weeks
    values = np.concatenate(drawn_lines(display.ax))
    assert np.isfinite(values).any()


def test_without_transactions_the_picture_says_so():
    df = pd.DataFrame({"timestamp": pd.to_datetime(["2026-01-05"]), "is_fraud": [True]})
    df["label_available_at"] = df["timestamp"]
    display = nowcast_fraud_rate(df, as_of="2020-01-01", amount=None).plot()
    assert [text.get_text() for text in display.ax.texts] == ["no transactions"]
