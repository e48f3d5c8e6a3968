"""Tables for the eye: formats that tell what a column is, and values that stay as they are."""

from __future__ import annotations

import datetime as dt
import html
import re

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from collected import count_collected
from engines import ENGINES
from hypothesis import given
from hypothesis import strategies as st

from synfin_analytics import read_df, show
from synfin_analytics.exceptions import ArgumentError


def column(*values: object, name: str = "x", dtype: str | None = None) -> list[str]:
    """What ``show`` makes of a column of pandas."""
    return cells(show(pd.DataFrame({name: pd.Series(values, dtype=dtype)})))[1:]


def cells(displayed: object) -> list[str]:
    page = displayed._repr_html_()
    return [html.unescape(cell) for cell in re.findall(r"<t[hd] [^>]*>(.*?)</t[hd]>", page)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1234.5, 0.1 + 0.2), ["1,234.50", "0.30"]),
        ((0.98765, 0.5), ["0.9877", "0.5000"]),
        ((12345.678, 1.0), ["12,345.68", "1.00"]),
        ((0.01236, 0.0), ["0.01236", "0.00000"]),
        ((0.5555, 0.0000001), ["0.5555", "1.0e-07"]),
        ((1.0, 0.065), ["1.0000", "0.0650"]),
        ((1.5, float("nan")), ["1.50", "NaN"]),
        ((1.5, float("inf")), ["1.50", "inf"]),
        ((1234, -5), ["1,234", "-5"]),
        ((True, False), ["True", "False"]),
        (("a", None), ["a", "NULL"]),
        (("", "x" * 80), ["", "x" * 59 + "…"]),
    ],
)
def test_a_column_is_written_as_what_it_holds(values, expected):
    assert column(*values) == expected


@pytest.mark.parametrize("name", ["fraud_rate", "recall", "accuracy"])
def test_a_share_is_in_percent(name):
    assert column(0.00837, 1.0, name=name) == ["0.84%", "100.00%"]


def test_what_is_called_a_rate_and_is_above_1_is_no_share():
    assert column(1.25, 0.5, name="queue_rate") == ["1.25", "0.50"]


def test_an_exchange_rate_is_no_share():
    assert column(1.0, 0.92, name="exchange_rate") == ["1.00", "0.92"]


def test_coordinates_distinguish_neighbouring_streets():
    assert column(51.2194, 4.4, name="latitude") == ["51.2194", "4.4000"]


def test_the_ends_of_an_interval_are_in_percent_for_a_rate_only():
    ends = pd.DataFrame({"low": [0.1], "roc_auc_high": [0.2]})
    assert cells(show(ends)) == ["low", "roc_auc_high", "0.10", "0.20"]
    rates = pd.DataFrame({"fraud_rate_low": [0.1], "fraud_rate_high": [0.2], "recall_low": [0.15]})
    assert cells(show(rates))[3:] == ["10.00%", "20.00%", "15.00%"]


@pytest.mark.parametrize(
    "name",
    ["id", "customer_id", "TX_ID", "customerId", "custid", "zip_code", "card_number", "year", "k"],
)
def test_an_identifier_has_no_separators(name):
    assert column(2025, 12345, name=name) == ["2025", "12345"]


@pytest.mark.parametrize(
    "name", ["transactions", "customers", "merchant_tx_count_7d", "amount_paid", "number", "TX"]
)
def test_a_count_has_separators(name):
    assert column(2025, 12345, name=name) == ["2,025", "12,345"]


def test_the_k_of_k_of_n_is_a_count():
    counts = show(pd.DataFrame({"k": [1234], "n": [56789]}))
    assert cells(counts) == ["k", "n", "1,234", "56,789"]


def test_an_identifier_that_pandas_made_a_float_has_no_separators():
    assert column(12345.0, None, name="customer_id") == ["12345", "NaN"]


@pytest.mark.parametrize(
    ("rate", "displayed"),
    [(4 / 120_000, "0.0033%"), (1 - 4 / 120_000, "99.9967%"), (0.0, "0.00%"), (1.0, "100.00%")],
)
def test_a_rate_is_rounded_neither_to_none_nor_to_all(rate, displayed):
    assert column(rate, name="fraud_rate") == [displayed]


def test_dollar_signs_in_a_notebook_are_no_formulas():
    page = show(pd.DataFrame({"a": ["$x$"]}))._repr_html_()
    assert page.startswith('<table class="tex2jax_ignore mathjax_ignore">')


def test_integers_with_null_stay_integers():
    assert column(1000, None, dtype="Int64") == ["1,000", "NULL"]


def test_times_are_written_without_their_zone_which_is_named_below():
    times = pd.DataFrame({"timestamp": pd.to_datetime(["2025-01-31 10:05:07", None], utc=True)})
    assert cells(show(times)) == ["timestamp", "2025-01-31 10:05:07", "NULL"]
    assert str(show(times)).endswith("(times in UTC)")


def test_days_have_no_hours():
    days = pd.DataFrame({"timestamp": pd.to_datetime(["2025-01-06", "2025-01-13"], utc=True)})
    assert cells(show(days))[1:] == ["2025-01-06", "2025-01-13"]
    assert "UTC" not in str(show(days))


def test_a_meaningful_index_becomes_the_first_column_and_another_is_omitted():
    frame = pd.DataFrame({"channel": ["pos", "pos"], "fraud": [True, False], "n": [3, 4]})
    assert cells(show(frame.iloc[::-1]))[:3] == ["channel", "fraud", "n"]
    displayed = cells(show(frame.set_index(["channel", "fraud"])))
    assert displayed == ["channel", "fraud", "n", "pos", "True", "3", "pos", "False", "4"]


def test_the_first_rows_are_shown_and_how_many_there_are():
    displayed = show(pd.DataFrame({"n": range(1234)}), rows=2)
    assert str(displayed) == "n\n0\n1\n(the first 2 of 1,234 rows)"


def test_the_first_columns_of_a_wide_table_are_shown():
    wide = show(pd.DataFrame({f"c{n}": [n] for n in range(25)}))
    assert cells(wide)[:20] == [f"c{n}" for n in range(20)]
    assert str(wide).endswith("(the first 20 of 25 columns)")
    assert wide.df.shape == (1, 25)


def test_the_values_stay_as_they_are():
    frame = pd.DataFrame({"fraud_rate": [0.00837]})
    assert show(frame).df["fraud_rate"].tolist() == [0.00837]


@pytest.mark.parametrize("make", [pl.DataFrame, pl.LazyFrame, pa.table])
def test_frames_of_polars_and_arrow_are_shown_alike(make):
    displayed = show(make({"text": ["", None], "n": [1, None], "day": [dt.date(2025, 1, 6), None]}))
    assert cells(displayed)[3:] == ["", "1", "2025-01-06", "NULL", "NULL", "NULL"]


def test_times_of_polars_are_written_like_those_of_pandas():
    moment = dt.datetime(2025, 1, 31, 10, 5, 7, tzinfo=dt.UTC)
    assert str(show(pl.DataFrame({"at": [moment]}))) == "at\n2025-01-31 10:05:07\n(times in UTC)"


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"a": []})])
def test_nothing_can_be_shown(frame):
    assert str(show(frame)) == " ".join(frame.columns)
    assert show(frame)._repr_html_().startswith("<table ")


@given(st.text(alphabet="<>&\"'a\n", max_size=20))
def test_what_is_in_a_cell_or_a_name_stays_text(text):
    page = show(pd.DataFrame({text: [text]}))._repr_html_()
    assert set(re.findall(r"</?(\w+)", page)) <= {"table", "thead", "tbody", "tr", "th", "td", "p"}
    assert str(show(pd.DataFrame({"a": [text]}))).count("\n") == 1


@pytest.mark.parametrize("engine", ["polars lazy", "pyarrow", "duckdb", "dask with arrow"])
def test_a_table_of_every_engine_is_shown(engine):
    frame = pl.DataFrame({"n": range(30), "text": ["a", None] * 15})
    shown = str(show(ENGINES[engine](frame), 2))
    assert re.sub(" +", " ", shown) == "n text\n0 a\n1 NULL\n(the first 2 of 30 rows)"


@pytest.mark.parametrize("engine", ["duckdb", "dask with arrow"])
def test_of_a_lazy_frame_only_the_rows_that_are_shown_are_collected(engine):
    df = ENGINES[engine](pl.DataFrame({"n": range(30)}))
    with count_collected() as collected:
        show(df, 2)
    assert collected.rows == 3  # two rows, and their number


def test_a_rate_from_the_database_reads_well(session):
    rates = read_df("SELECT 'pos' AS channel, 0.0125::float8 AS fraud_rate", session=session)
    assert str(show(rates)) == "channel  fraud_rate\npos           1.25%"


def test_what_is_no_table_is_refused():
    with pytest.raises(ArgumentError, match="`df` must be a DataFrame; got int"):
        show(3)
    with pytest.raises(ArgumentError, match="`rows` must be a whole number of at least 1; got 0"):
        show(pd.DataFrame(), rows=0)
    with pytest.raises(ArgumentError, match="`rows` must be a whole number of at least 1; got '3'"):
        show(pd.DataFrame(), rows="3")
