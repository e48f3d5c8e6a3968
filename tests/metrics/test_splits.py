"""time_split: what was known by then, in words and in rows, whatever the frame."""

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Any

import narwhals as nw
import pandas as pd
import polars as pl
import pytest
from engines import ENGINES, in_order_of
from frames_of import in_pieces
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.prequential import PrequentialSplit
from synfin_analytics.metrics.splits import TimeSplit, time_split

DAY = dt.timedelta(days=1)
BEGIN = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
SCHEMA = {
    "id": pl.Int64,
    "timestamp": pl.Datetime("us", "UTC"),
    "customer_id": pl.String,
    "is_fraud": pl.Boolean,
    "label_available_at": pl.Datetime("us", "UTC"),
}

#: The same transactions as every kind of frame that is accepted.
KINDS: dict[str, Callable[[pl.DataFrame], Any]] = {
    "polars": lambda frame: frame,
    "pyarrow": lambda frame: frame.to_arrow(),
    "pandas with objects": lambda frame: pd.DataFrame(
        frame.to_dict(as_series=False), dtype=object, columns=frame.columns
    ),
    "pandas with numpy": lambda frame: frame.with_columns(
        pl.col("is_fraud").cast(pl.Float64)
    ).to_pandas(),
    "pandas with arrow": lambda frame: frame.to_pandas(use_pyarrow_extension_array=True),
    "pandas in pieces": in_pieces,
    "pandas nullable, odd index": lambda frame: (
        frame.to_pandas().convert_dtypes().set_index(pd.Index([7] * len(frame)))
    ),
    "without a zone": lambda frame: frame.with_columns(
        pl.col(pl.Datetime).dt.replace_time_zone(None)
    ),
    "another zone": lambda frame: frame.with_columns(
        pl.col(pl.Datetime).dt.convert_time_zone("America/New_York").dt.cast_time_unit("ns")
    ),
    "cards as categories": lambda frame: frame.with_columns(
        pl.col("customer_id").cast(pl.Categorical)
    ),
}


def at(days: float) -> dt.datetime:
    return BEGIN + days * DAY


def frame_of(*rows: tuple[float, str | None, bool | None] | tuple[Any, ...]) -> pl.DataFrame:
    """Rows as (day, card, label[, day on which the label was known])."""
    return pl.DataFrame(
        [
            (
                n,
                at(day),
                card,
                label,
                *(at(moment) for moment in availability if moment is not None),
            )
            if availability and availability[0] is not None
            else (n, at(day), card, label, None)
            for n, (day, card, label, *availability) in enumerate(rows)
        ],
        schema=SCHEMA,
        orient="row",
    )


def ids(frame: Any) -> list[int]:
    return nw.from_native(frame, eager_only=True)["id"].to_list()


def sets(split: TimeSplit[Any]) -> tuple[list[int], list[int]]:
    return ids(split.train), ids(split.test)


def small(frame: Any, **options: Any) -> TimeSplit[Any]:
    """Training on two days from BEGIN, one of delay, two of test."""
    return time_split(frame, train="2d", label_delay="1d", test="2d", start=BEGIN, **options)


# -- Which rows -----------------------------------------------------------------------------------


def test_a_period_has_its_first_moment_and_not_its_last():
    instant = 1 / 86_400
    frame = frame_of(
        *(
            (day, "a", False)
            for day in (-instant, 0, 2 - instant, 2, 3 - instant, 3, 5 - instant, 5)
        )
    )
    split = small(frame)
    assert sets(split) == ([1, 2], [5, 6])
    assert split.left_out["before the training period"] == 1
    assert split.left_out["in the delay, between training and test"] == 2
    assert split.left_out["after the test period"] == 1
    assert [split.start, split.train_end, split.test_start, split.test_end] == [
        at(0), at(2), at(3), at(5),
    ]  # fmt: skip


def test_a_row_without_a_label_is_tested_on_but_not_learnt_from():
    split = small(frame_of((0, "a", False), (0, "b", None), (3, "c", None)))
    assert sets(split) == ([0], [2])
    assert split.left_out["in the training period, without a label"] == 1
    assert split.to_frame().set_index("part")["unlabelled"]["test"] == 1


def test_a_label_is_learnt_from_only_if_it_is_known_when_the_test_begins():
    frame = frame_of(
        (0, "a", False, 3), (0, "b", False, 3.01), (0, "c", False, None), (3, "d", False)
    )
    split = small(frame, label_available_at="label_available_at")
    assert sets(split) == ([0, 2], [3])
    assert split.left_out["in the training period, labelled after the test began"] == 1
    assert sets(small(frame)) == ([0, 1, 2], [3])  # without the column the delay counts


def test_a_compromised_card_leaves_the_test_on_the_day_after_its_label_is_known():
    frame = frame_of(
        (1, "a", True),  # known on day 2: left out of the whole test
        (2.5, "b", True),  # in the delay, known at noon of the first day: left out of the second
        (3.0, "a", False), (3.9, "b", False), (4.0, "b", False), (4.9, "c", True),
    )  # fmt: skip
    split = small(frame)
    assert sets(split) == ([0], [3, 5])
    assert split.left_out["in the test period, of entities known to be compromised"] == 2
    assert split.n_compromised == 2
    assert sets(small(frame, drop_compromised=False))[1] == [2, 3, 4, 5]


def test_what_becomes_known_the_moment_a_day_begins_counts_on_that_day():
    frame = frame_of((0, "x", False), (2, "a", True), (3, "a", False), (3, "b", False))
    assert ids(small(frame).test) == [3]


def test_a_card_is_known_from_the_moment_its_label_is_available():
    frame = frame_of(
        (0, "x", False),
        (0, "a", True, 3.5), (3.6, "a", False), (4.1, "a", False),
        (3.2, "b", True, None), (3.9, "b", False), (4.2, "b", False),
    )  # fmt: skip
    split = small(frame, label_available_at="label_available_at")
    assert ids(split.test) == [2, 4, 5]


def test_no_label_is_known_before_its_transaction():
    frame = frame_of((0, "a", False), (4.5, "a", True, 0), (4, "a", False), (3, "a", False))
    assert ids(small(frame, label_available_at="label_available_at").test) == [1, 2, 3]


def test_a_card_that_was_compromised_before_the_training_stays():
    split = small(frame_of((-1, "a", True), (0, "b", False), (3, "a", False)))
    assert sets(split) == ([1], [2])


def test_rows_without_a_card_are_not_one_card():
    split = small(frame_of((0, None, True), (3, None, False)))
    assert sets(split) == ([0], [1])


def test_the_order_of_the_rows_stays():
    assert sets(
        small(frame_of((3.5, "a", False), (1, "b", False), (3, "c", False), (0, "d", False)))
    ) == (
        [1, 3],
        [0, 2],
    )


@pytest.mark.parametrize(
    ("lengths", "test_end"),
    [
        (("1d", "0d", "1d"), at(5)),
        (("1w", "0d", "1d"), at(5)),
        (("1d", "0d", "12h"), at(4) + dt.timedelta(hours=15)),
        (("24h", "0d", "600m"), at(4) + dt.timedelta(hours=14, minutes=31)),
    ],
)
def test_by_default_the_test_ends_with_the_last_unit_that_has_a_row(lengths, test_end):
    frame = frame_of((0, "a", False), (3.6, "a", False), (4 + 14.5 / 24, "b", False))
    split = time_split(frame, **dict(zip(("train", "label_delay", "test"), lengths, strict=True)))
    assert split.test_end == test_end
    assert ids(split.test) == [2]


@pytest.mark.parametrize(
    "start",
    [
        "2026-03-02", "2026-03-02T00:00Z", "2026-03-01T19:00-05:00", dt.date(2026, 3, 2), BEGIN,
        BEGIN.replace(tzinfo=None), pd.Timestamp(BEGIN),
    ],
    ids=str,
)  # fmt: skip
def test_a_start_may_be_a_text_a_date_or_a_moment(start):
    frame = frame_of((0, "a", False), (3, "a", False))
    assert time_split(frame, train="2d", label_delay="1d", test="2d", start=start).start == BEGIN


def test_dates_are_moments_at_midnight():
    frame = frame_of((0, "a", False), (3, "a", False)).with_columns(pl.col("timestamp").dt.date())
    assert sets(small(frame)) == ([0], [1])


# -- Against the rule, row by row -----------------------------------------------------------------

moments = st.integers(0, 9 * 8).map(lambda eighths: at(eighths / 8 - 1))
rows = st.lists(
    st.tuples(
        moments,
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from([True, False, False, None]),
        st.none() | moments,
    ),
    max_size=25,
)


def transactions(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Frame of these rows, and two that no set can be without."""
    rows = [*rows, (at(0), "z", False, None), (at(4.9), "z", False, None)]
    return pl.DataFrame([(n, *row) for n, row in enumerate(rows)], schema=SCHEMA, orient="row")


def expected(frame: pl.DataFrame, available: bool) -> tuple[list[int], list[int]]:
    """Sets by the words of the docstring, one row after the other."""
    train, test, known_at_ = [], [], {}
    table = frame.rows()
    for n, when, _, fraud, known_at in table:
        known_at_[n] = max(when, known_at or when) if available else when + DAY
        if at(0) <= when < at(2) and fraud is not None and known_at_[n] <= at(3):
            train.append(n)
    for n, when, card, _, _ in table:
        day = at(3) if when < at(4) else at(4)
        blocked = any(
            fraud
            and other_card == card
            and card is not None
            and moment >= at(0)
            and known_at_[m] <= day
            for m, moment, other_card, fraud, _ in table
        )
        if at(3) <= when < at(5) and not blocked:
            test.append(n)
    return train, test


@settings(max_examples=40)
@given(drawn=rows, available=st.booleans())
def test_every_kind_of_frame_is_split_by_the_same_rule(drawn, available):
    frame = transactions(drawn)
    column = "label_available_at" if available else None
    want = expected(frame, available)
    for kind, make in KINDS.items():
        split = small(make(frame), label_available_at=column)
        assert sets(split) == want, kind
        assert type(split.train) is type(split.test) is type(make(frame)), kind


@given(drawn=rows, available=st.booleans(), drop=st.booleans())
def test_every_row_is_in_one_set_or_left_out_for_one_reason(drawn, available, drop):
    frame = transactions(drawn)
    split = small(
        frame,
        label_available_at="label_available_at" if available else None,
        drop_compromised=drop,
    )
    train, test = sets(split)
    assert not {*train} & {*test}
    assert len(train) + len(test) + sum(split.left_out.values()) == len(frame)
    summary = split.to_frame()
    assert summary["rows"].sum() == len(frame)
    assert summary["frauds"].sum() == frame["is_fraud"].sum()
    assert summary["unlabelled"].sum() == frame["is_fraud"].null_count()


# -- Folds ----------------------------------------------------------------------------------------


def daily(days: int) -> pl.DataFrame:
    return frame_of(*((day + 0.5, f"card {day}", day % 3 == 0) for day in range(days)))


def test_the_earliest_fold_comes_first_and_each_is_a_test_period_later():
    folds = list(PrequentialSplit(3, train="3d", delay="2d", test="2d").folds(daily(12)))
    assert [fold.test_end for fold in folds] == [at(8), at(10), at(12)]
    assert [fold.start for fold in folds] == [at(1), at(3), at(5)]
    assert [row for fold in folds for row in ids(fold.test)] == [6, 7, 8, 9, 10, 11]


def test_a_fold_is_the_split_that_begins_there():
    frame = daily(12)
    for fold in PrequentialSplit(2, train="3d", delay="1d", test="1d", start=at(4)).folds(frame):
        again = time_split(frame, train="3d", label_delay="1d", test="1d", start=fold.start)
        assert sets(fold) == sets(again)
        assert repr(fold) == repr(again)


def test_folds_that_reach_too_far_back_are_refused_before_the_first_is_made():
    with pytest.raises(ArgumentError, match=r"no rows in the training period, 2026-02-27 00:00"):
        PrequentialSplit(5, train="3d", delay="2d", test="2d").folds(daily(12))


# -- What it says ---------------------------------------------------------------------------------


def test_it_describes_each_set_and_what_is_in_none():
    frame = frame_of(
        (-1, "a", False), (0, "a", True), (0, "b", None), (2, "b", False), (3, "a", False),
        (3, "b", None), (3, "c", True), (6, "c", False),
    )  # fmt: skip
    assert repr(small(frame)) == (
        "training, 2026-03-02 00:00 to 2026-03-04 00:00 UTC: 1 row, 1 fraud\n"
        "test, 2026-03-05 00:00 to 2026-03-07 00:00 UTC: 2 rows, 1 fraud, 1 unlabelled\n"
        "left out: 1 before the training period; 1 in the training period, without a label; "
        "1 in the delay, between training and test; "
        "1 in the test period, of entities known to be compromised; 1 after the test period"
    )


def test_it_says_when_nothing_is_left_out():
    frame = frame_of((0, "a", False), (1, "b", False))
    assert repr(time_split(frame, train="1d", label_delay="0d", test="1d")).endswith(
        "left out: nothing"
    )


def test_the_summary_is_a_table():
    summary = small(frame_of((0, "a", True), (3, "b", False))).to_frame()
    assert list(summary.columns) == ["part", "rows", "unlabelled", "frauds"]
    assert summary.head(2).to_numpy().tolist() == [["training", 1, 0, 1], ["test", 1, 0, 0]]
    assert len(summary) == 8


# -- What it refuses ------------------------------------------------------------------------------

GOOD = frame_of((0, "a", False), (3, "b", False))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            frame_of((3, "a", False)),
            "There are no rows in the training period, 2026-03-02 00:00 to 2026-03-04 00:00 UTC: "
            "the rows are from 2026-03-05 00:00 to 2026-03-05 00:00 UTC.",
        ),
        (
            frame_of((0, "a", False)),
            "There are no rows in the test period, 2026-03-05 00:00 to 2026-03-07 00:00 UTC: "
            "the rows are from 2026-03-02 00:00 to 2026-03-02 00:00 UTC.",
        ),
        (
            frame_of((0, "a", None), (1, "a", None), (3, "a", False)),
            "None of the 2 rows in the training period, 2026-03-02 00:00 to 2026-03-04 00:00 UTC, "
            "has a label that is known when the test begins.",
        ),
        (
            frame_of((0, "a", True), (3, "a", False)),
            "None of the 1 rows in the test period, 2026-03-05 00:00 to 2026-03-07 00:00 UTC, "
            "is of an entity not known to be compromised (drop_compromised=False keeps them).",
        ),
        (GOOD.clear(), "`df` must have rows to split; got none."),
        (
            GOOD.with_columns(timestamp=pl.when(pl.col("id") > 0).then("timestamp")),
            "Column 'timestamp' must have a timestamp in each row; 1 of 2 are missing",
        ),
        (GOOD.with_columns(timestamp=pl.lit("2026")), "'timestamp' must hold timestamps"),
        (GOOD.with_columns(is_fraud=pl.lit(2)), "'is_fraud' must be a label (true or false"),
        (GOOD.with_columns(is_fraud=pl.lit("no")), "'is_fraud' must be a label: true or false"),
        ([1], "`df` must be a DataFrame of pandas, polars, pyarrow, DuckDB, Dask or PySpark; got"),
    ],
)
def test_what_cannot_be_split_is_described_in_one_sentence(frame, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        small(frame)


@pytest.mark.parametrize(
    ("options", "nearest"),
    [
        ({"timestamp": "time_stamp"}, "timestamp"),
        ({"label": "fraud"}, "is_fraud"),
        ({"entity": "customer"}, "customer_id"),
        ({"label_available_at": "label_available"}, "label_available_at"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_the_nearest(options, nearest):
    with pytest.raises(NotFoundError, match=f"Did you mean '{nearest}'"):
        small(GOOD, **options)


def test_without_known_cards_no_card_is_needed():
    assert sets(small(GOOD.drop("customer_id"), drop_compromised=False)) == ([0], [1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": "0d"}, "`train` must be a whole number of at least 1 and a unit of time"),
        ({"label_delay": "-1d"}, "`label_delay` must be a whole number of at least 0"),
        ({"test": 7}, "`test` must be a whole number of at least 1"),
        ({"train": "1mo"}, "`train` must be in m, h, d or w"),
        ({"start": "soon"}, "`start` must be a date or a time, such as '2026-01-31'"),
        ({"start": 2018}, "`start` must be a date or a time"),
        ({"start": pd.NaT}, "`start` must be a date or a time"),
        ({"start": "9999-12-30"}, "There are no rows in the training period, 9999-12-30 00:00"),
    ],
)
def test_a_period_that_is_none_is_refused(options, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        time_split(GOOD, **options)


def test_periods_that_reach_beyond_the_calendar_are_refused():
    last = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
    frame = GOOD.with_columns(timestamp=pl.Series([last - DAY, last], dtype=SCHEMA["timestamp"]))
    with pytest.raises(ArgumentError, match="must be within the years 1 to 9999"):
        time_split(frame, train="1d", label_delay="0d", test="1d")


@pytest.mark.parametrize("name", ["timestamp", "label", "label_available_at", "entity"])
def test_a_column_itself_is_refused_in_place_of_its_name(name: str) -> None:
    frame = pd.DataFrame({"timestamp": [BEGIN], "is_fraud": [True]})
    with pytest.raises(ArgumentError, match=f"`{name}` must be a column name"):
        time_split(frame, **{name: frame["is_fraud"]})


@pytest.mark.parametrize("engine", ENGINES)
def test_nan_is_no_entity_so_its_rows_are_never_left_out(engine):
    times = [dt.datetime(2026, 3, day, 12, tzinfo=dt.UTC) for day in (1, 2, 20)]
    frame = pl.DataFrame(
        {"timestamp": times, "is_fraud": [True, False, False], "card": [math.nan, 1.0, math.nan]}
    )
    split = time_split(ENGINES[engine](frame), "7d", "7d", "7d", start="2026-03-01", entity="card")
    assert len(in_order_of(split.test, "timestamp")) == 1
