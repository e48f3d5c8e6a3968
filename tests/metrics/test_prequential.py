"""PrequentialSplit: a cross-validator that scikit-learn accepts; what was known at each time."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    TunedThresholdClassifierCV,
    check_cv,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.utils.metadata_routing import get_routing_for_object

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import PrequentialSplit, time_split

DAYS = np.arange("2026-03-01", "2026-03-13", dtype="M8[D]")
CV = PrequentialSplit(3, train="4d", delay="2d", test="2d", timestamps=DAYS)
X = np.column_stack([np.arange(12) % 2, np.arange(12) % 3]).astype(float)
Y = np.arange(12) % 2
CARDS = np.array([f"card {number % 5}" for number in range(12)])


def positions(folds: Any) -> list[tuple[list[int], list[int]]]:
    return [(train.tolist(), test.tolist()) for train, test in folds]


#: Train on four days, wait two, test on two.
FOLDS = [
    ([0, 1, 2, 3], [6, 7]),
    ([2, 3, 4, 5], [8, 9]),
    ([4, 5, 6, 7], [10, 11]),
]


# -- Rows of a fold -------------------------------------------------------------------------------


def test_each_fold_is_one_test_period_after_the_one_before():
    assert positions(CV.split(X, Y)) == FOLDS


def test_the_positions_are_those_of_the_rows_whatever_their_order():
    order = np.random.default_rng(1).permutation(12)
    cv = PrequentialSplit(3, train="4d", delay="2d", test="2d", timestamps=DAYS[order])
    folds = positions(cv.split(X[order], Y[order]))
    assert [tuple(sorted(order[rows].tolist()) for rows in fold) for fold in folds] == FOLDS


@pytest.mark.parametrize(
    "rows",
    [X, X.tolist(), pd.DataFrame(X), pl.DataFrame(X), pa.table({"x": X[:, 0]}),
     sparse.csr_array(X)],
    ids=lambda rows: type(rows).__module__,
)  # fmt: skip
def test_rows_may_be_of_any_kind(rows):
    assert positions(CV.split(rows, Y)) == FOLDS


@pytest.mark.parametrize(
    "times",
    [
        DAYS,
        pd.Series(DAYS, index=np.arange(12)[::-1]),
        pd.DatetimeIndex(DAYS),
        pd.DatetimeIndex(DAYS).tz_localize("UTC").tz_convert("America/New_York"),
        pl.Series(DAYS),
        pa.array(DAYS),
        [dt.datetime.combine(day, dt.time(), dt.UTC) for day in DAYS.tolist()],
        DAYS.tolist(),
    ],
    ids=lambda times: f"{type(times).__module__}.{type(times).__name__}",
)
def test_times_may_be_of_any_kind(times):
    cv = PrequentialSplit(3, train="4d", delay="2d", test="2d", timestamps=times)
    assert positions(cv.split(X, Y)) == FOLDS


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_times_may_be_a_column_of_the_rows(make):
    frame = make({"when": DAYS, "known": DAYS + np.timedelta64(2, "D"), "x": X[:, 0]})
    cv = PrequentialSplit(
        3, train="4d", delay="2d", test="2d", timestamps="when", label_available_at="known"
    )
    assert positions(cv.split(frame, Y)) == FOLDS


def test_a_label_is_learnt_from_only_if_it_is_known_when_the_test_begins():
    known = DAYS.astype("M8[ns]") + np.timedelta64(1, "D")
    known[3] = DAYS[6]  # known when the first test begins: in time
    known[4] = DAYS[9]  # after the second test began, before the third: only the third learns
    cv = PrequentialSplit(
        3, train="4d", delay="2d", test="2d", timestamps=DAYS, label_available_at=known
    )
    assert [train for train, _ in positions(cv.split(X, Y))] == [
        [0, 1, 2, 3], [2, 3, 5], [4, 5, 6, 7],
    ]  # fmt: skip


def test_rows_without_a_label_are_neither_learnt_from_nor_scored():
    y = Y.astype(float)
    y[[1, 7]] = np.nan
    assert positions(CV.split(X, y))[0] == ([0, 2, 3], [6])
    texts = pd.Series(np.where(Y == 1, "yes", "no"), dtype="str").mask(np.isnan(y))
    assert positions(CV.split(X, texts))[0] == ([0, 2, 3], [6])


def test_cards_that_were_known_to_be_compromised_are_not_tested():
    fraud = np.zeros(12, int)
    fraud[[1, 5]] = 1  # of cards 1 (tested as row 6 and 11) and 0 (row 10)
    folds = positions(CV.split(X, fraud, groups=CARDS))
    assert [test for _, test in folds] == [[7], [8, 9], [11]]
    kept = PrequentialSplit(
        3, train="4d", delay="2d", test="2d", timestamps=DAYS, drop_compromised=False
    )
    assert positions(kept.split(X, fraud, groups=CARDS)) == FOLDS


def test_the_folds_are_those_of_time_split():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "timestamp": pd.Timestamp("2026-03-01") + pd.to_timedelta(rng.uniform(0, 40, 800), "D"),
            "customer_id": rng.integers(0, 60, 800),
            "is_fraud": rng.random(800) < 0.1,
            "row": np.arange(800),
        }
    )
    frame["known"] = frame["timestamp"] + pd.to_timedelta(rng.exponential(5, 800), "D")
    cv = PrequentialSplit(4, train="10d", delay="3d", test="5d", label_available_at="known")
    folds = list(cv.folds(frame))
    arrays = positions(cv.split(frame, frame["is_fraud"], groups=frame["customer_id"]))
    assert [(fold.train["row"].tolist(), fold.test["row"].tolist()) for fold in folds] == arrays
    again = time_split(
        frame, train="10d", label_delay="3d", test="5d", label_available_at="known",
        start=folds[0].start,
    )  # fmt: skip
    assert repr(again) == repr(folds[0])
    known = frame["known"].to_numpy()
    for (train, _), fold in zip(arrays, folds, strict=True):
        assert (known[train] <= np.datetime64(fold.test_start.replace(tzinfo=None))).all()


# -- scikit-learn ---------------------------------------------------------------------------------


def test_scikit_learn_takes_it_as_a_cross_validator():
    assert check_cv(CV) is CV
    assert CV.get_n_splits() == CV.get_n_splits(X, Y, CARDS) == 3


@pytest.mark.parametrize("rows", [X, pd.DataFrame(X, columns=["a", "b"])])
def test_cross_validate_scores_each_fold(rows):
    result = cross_validate(LogisticRegression(), rows, Y, cv=CV, return_indices=True)
    assert positions(zip(*result["indices"].values(), strict=True)) == FOLDS
    assert result["test_score"].tolist() == [1.0, 1.0, 1.0]


def test_a_grid_search_keeps_and_copies_it():
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 10]}, cv=CV)
    copy = clone(search)
    assert repr(copy.cv) == repr(CV)
    fitted = copy.fit(X, Y)
    assert fitted.n_splits_ == 3
    assert sum(name.startswith("split") for name in fitted.cv_results_) == 3


def test_the_tools_around_cross_validation_accept_it():
    sizes, _, scores = learning_curve(LogisticRegression(), X, Y, cv=CV, train_sizes=[4])
    assert (sizes.tolist(), scores.shape) == ([4], (1, 3))
    _, scores = validation_curve(
        LogisticRegression(), X, Y, cv=CV, param_name="C", param_range=[0.1, 1]
    )
    assert scores.shape == (2, 3)
    tuned = TunedThresholdClassifierCV(LogisticRegression(), cv=CV).fit(X, Y)
    assert tuned.score(X, Y) == 1.0


def test_a_nested_search_takes_the_time_from_a_column():
    rows = pd.DataFrame({"when": np.repeat(DAYS, 4), "x": np.tile([0.0, 1.0], 24)})
    inner = PrequentialSplit(1, train="2d", delay="0d", test="1d", timestamps="when")
    outer = PrequentialSplit(2, train="4d", delay="2d", test="2d", timestamps="when")
    model = make_pipeline(make_column_transformer(("passthrough", ["x"])), LogisticRegression())
    search = GridSearchCV(model, {"logisticregression__C": [1, 10]}, cv=inner)
    result = cross_validate(search, rows, rows["x"].astype(int), cv=outer, error_score="raise")
    assert result["test_score"].tolist() == [1.0, 1.0]


def test_a_nested_search_takes_the_time_as_metadata():
    times, x = np.repeat(DAYS, 4), np.tile([[0.0], [1.0]], (24, 1))
    inner = PrequentialSplit(1, train="2d", delay="0d", test="1d")
    outer = PrequentialSplit(2, train="4d", delay="2d", test="2d")
    with sklearn.config_context(enable_metadata_routing=True):
        search = GridSearchCV(LogisticRegression(), {"C": [1, 10]}, cv=inner)
        result = cross_validate(
            search, x, x[:, 0].astype(int), cv=outer, params={"timestamp": times},
            error_score="raise",
        )  # fmt: skip
    assert result["test_score"].tolist() == [1.0, 1.0]


def test_metadata_may_have_another_name_or_be_ignored():
    fraud = np.zeros(12, int)
    fraud[[1, 5, 7, 8]] = 1
    cv = PrequentialSplit(3, train="4d", delay="2d", test="2d", timestamps=DAYS)
    cv.set_split_request(groups="card", timestamp=False)
    assert get_routing_for_object(cv).consumes("split", ["card", "timestamp"]) == {"card"}
    with sklearn.config_context(enable_metadata_routing=True):
        result = cross_validate(
            LogisticRegression(), X, fraud, cv=cv, params={"card": CARDS}, return_indices=True
        )
    folds = positions(zip(*result["indices"].values(), strict=True))
    assert folds == positions(CV.split(X, fraud, groups=CARDS))
    assert folds != FOLDS
    with pytest.raises(NotFoundError, match="Did you mean 'groups'"):
        cv.set_split_request(group=True)


def test_it_does_not_need_scikit_learn():
    script = (
        "import sys, numpy as np; from synfin_analytics import PrequentialSplit\n"
        "days = np.arange('2026-03-01', '2026-03-09', dtype='M8[D]')\n"
        "cv = PrequentialSplit(2, train='2d', delay='1d', test='1d', timestamps=days)\n"
        "print(len(list(cv.split(days))), 'sklearn' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert printed.stdout.split() == ["2", "False"]


@pytest.mark.parametrize(
    ("cv", "text"),
    [
        (PrequentialSplit(), "PrequentialSplit()"),
        (
            PrequentialSplit(3, delay="2d", start="2026-03-01", timestamps="when"),
            "PrequentialSplit(n_splits=3, delay='2d', timestamps='when', start='2026-03-01')",
        ),
        (CV, "PrequentialSplit(n_splits=3, train='4d', delay='2d', test='2d', timestamps="
             "<ndarray>)"),
    ],
)  # fmt: skip
def test_it_shows_what_is_not_the_default(cv, text):
    assert repr(cv) == text


# -- What it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_splits": 0}, "`n_splits` must be a whole number of at least 1; got 0."),
        ({"train": "0d"}, "`train` must be a whole number of at least 1"),
        ({"delay": "soon"}, "`delay` must be"),
        ({"test": 7}, "`test` must be"),
        ({"start": "soon"}, "`start` must be a date or a time"),
    ],
)
def test_an_invalid_parameter_is_refused_at_once(arguments, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        PrequentialSplit(**arguments)


FRAME = pd.DataFrame({"timestamp": DAYS, "text": "x"})
LENGTHS = {"n_splits": 1, "train": "4d", "delay": "2d", "test": "2d"}


@pytest.mark.parametrize(
    ("rows", "y", "parameters", "message"),
    [
        (X, Y, {}, "`X` must be a DataFrame with the column 'timestamp'; got an object of type "
         "ndarray. Pass the values instead: timestamps=array."),
        (X, Y, {"timestamps": DAYS[:5]}, "`timestamps` must have one value for each of the 12 rows "
         "of `X`; got 5. If `X` is only a part"),
        (X, Y, {"timestamps": 3}, "`timestamps` must be an array, a list or a Series; got 3. Pass "
         "one value for each row of `X`."),
        (X, Y, {"timestamps": np.arange(12)}, "Column 'timestamps' must hold timestamps"),
        (X, Y, {"timestamps": [None, *DAYS[1:].tolist()]}, "must have a timestamp in each row; 1 "
         "of 12 are missing."),
        (X, Y[:5], {"timestamps": DAYS}, "`y` must have one label for each of the 12 rows of `X`; "
         "got an array of shape (5,)."),
        (X[:0], Y[:0], {"timestamps": DAYS[:0]}, "`X` must have rows to split; got none."),
        (FRAME, Y, {"timestamps": "text"}, "Column 'text' must hold timestamps"),
        (FRAME, Y, {"n_splits": 9}, "There are no rows in the training period"),
        (FRAME, np.where(np.arange(12) < 8, 1.0, np.nan), {}, "None of the 2 rows in the test "
         "period, 2026-03-11 00:00 to 2026-03-13 00:00 UTC, has a label."),
        (pl.LazyFrame({"timestamp": DAYS}), Y, {}, "`X` must be rows in memory, since `split` "
         "returns their positions; got an object of type LazyFrame. `folds` accepts a lazy frame."),
        ((day for day in DAYS), Y, {}, "`X` must be rows in memory; got an object of type "
         "generator."),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_split_are_described_in_one_sentence(rows, y, parameters, message):
    with pytest.raises(ArgumentError, match=re.escape(message)):
        PrequentialSplit(**(LENGTHS | parameters)).split(rows, y)


def test_a_column_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(NotFoundError, match="Did you mean 'timestamp'"):
        PrequentialSplit(**LENGTHS, timestamps="time_stamp").split(FRAME, Y)


def test_labels_with_cards_must_say_what_is_fraud():
    with pytest.raises(ArgumentError, match="Column 'y' must be a label"):
        CV.split(X, np.where(Y == 1, "yes", "no"), groups=CARDS)


def test_folds_need_names_of_columns():
    with pytest.raises(ArgumentError, match="`timestamps` must be a column name"):
        CV.folds(FRAME)
