"""Results: as frames of each kind, as plain Python objects, as text and HTML."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import (
    Confusion,
    Curve,
    Threshold,
    compare_models,
    evaluate,
    time_split,
)

START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
ROWS = pl.DataFrame(
    {
        "timestamp": [START + dt.timedelta(hours=6 * number) for number in range(80)],
        "customer_id": [number % 20 for number in range(80)],
        "channel": ["online", "atm", None, "pos"] * 20,
        "is_fraud": [number % 5 == 0 for number in range(80)],
        "p": [number % 7 / 10 for number in range(80)],
        "q": [number % 11 / 11 for number in range(80)],
        "amount": [float(number) for number in range(80)],
    }
)
ONE = evaluate(ROWS, score="p", amount="amount")
RESULTS = {
    "Evaluation": ONE,
    "Evaluation of nothing": evaluate(ROWS.clear(), score="p"),
    "GroupedEvaluation": evaluate(ROWS, score="p", by="channel"),
    "Confusion": ONE.confusion,
    "Curve": Curve(ONE.counts),
    "TopK": ONE.precision_at_k(2),
    "TopK of cards": ONE.card_precision_at_k(2),
    "Bootstrap": ONE.bootstrap("recall", n_resamples=20),
    "Comparison": compare_models(ROWS, ["p", "q"], metrics=["roc_auc", "recall"], n_resamples=20),
    "TimeSplit": time_split(ROWS, train="5d", label_delay="1d", test="5d"),
    "Threshold": ONE.threshold_for_alerts(5),
    "Threshold without alerts": Threshold(float("inf"), "no alert"),
}


@pytest.fixture(params=RESULTS)
def result(request):
    return RESULTS[request.param]


def test_a_result_is_a_frame_of_each_kind_with_the_same_values(result):
    frame, as_polars, as_arrow = (
        result.to_frame(output) for output in ("pandas", "polars", "arrow")
    )
    assert isinstance(frame, pd.DataFrame)
    assert isinstance(as_polars, pl.DataFrame)
    assert isinstance(as_arrow, pa.Table)
    assert result.to_frame().equals(frame)
    assert frame.columns.tolist() == as_polars.columns == as_arrow.column_names
    for name in frame.columns:
        missing = not isinstance(frame[name].dtype, np.dtype)
        expected = [None if missing and pd.isna(value) else value for value in frame[name].tolist()]
        for values in (as_polars[name].to_list(), as_arrow[name].to_pylist()):
            for value, own in zip(values, expected, strict=True):
                if isinstance(own, float):
                    assert value == pytest.approx(own, nan_ok=True)
                else:
                    assert value == own


def test_a_result_has_no_other_kind_of_frame(result):
    with pytest.raises(ArgumentError, match='`output` must be "pandas", "polars" or "arrow"'):
        result.to_frame("numpy")


def test_a_result_is_written_as_strict_json(result):
    written = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert written == result.to_dict()
    assert written


def test_a_result_has_a_plain_text_and_html(result):
    assert "\n" not in repr(result) or type(result).__name__ == "TimeSplit"
    assert " at 0x" not in repr(result)
    assert "<table" in result._repr_html_()


def test_the_dictionary_of_an_evaluation_has_its_numbers():
    plain = ONE.to_dict()
    assert (
        plain["confusion"]
        == ONE.confusion.to_dict()
        == {name: getattr(ONE.confusion, name) for name in ("tp", "fp", "fn", "tn")}
    )
    assert plain["threshold"] == {"value": 0.5, "reason": ""}
    assert (plain["n"], plain["n_frauds"], plain["n_unlabelled"]) == (80, 16, 0)
    recall = next(row for row in plain["metrics"] if row["metric"] == "recall")
    assert (recall["k"], recall["n"]) == ONE.confusion.counts("recall")
    assert recall["value"] == ONE.recall
    assert (recall["value_low"], recall["value_high"]) == ONE.confidence_interval("recall")


def test_the_dictionary_of_groups_names_each_group():
    plain = RESULTS["GroupedEvaluation"].to_dict()
    assert [group["group"] for group in plain["groups"]] == [
        {"channel": "atm"}, {"channel": "online"}, {"channel": "pos"}, {"channel": None},
    ]  # fmt: skip
    assert plain["overall"] == evaluate(ROWS, score="p").to_dict()


def test_undefined_and_infinite_numbers_are_none_in_a_dictionary():
    assert RESULTS["Threshold without alerts"].to_dict()["value"] is None
    assert RESULTS["Evaluation of nothing"].to_dict()["metrics"][0]["value"] is None


def test_times_are_iso_8601_in_a_dictionary():
    split = RESULTS["TimeSplit"]
    assert split.to_dict()["start"] == split.start.isoformat()
    assert RESULTS["TopK"].to_dict()["daily"][0]["day"].startswith("2026-03-01")


def test_the_tables_of_an_evaluation_are_frames_of_each_kind():
    for table, arguments in (
        ("curve", ()),
        ("calibration", ()),
        ("cost_curve", (2,)),
        ("summary", ()),
    ):
        frame = getattr(ONE, table)(*arguments)
        assert isinstance(getattr(ONE, table)(*arguments, output="polars"), pl.DataFrame)
        assert getattr(ONE, table)(*arguments, output="arrow").column_names == list(frame.columns)
        assert getattr(ONE, table)(*arguments, output="pandas").equals(frame)


def test_a_confusion_is_a_table_of_two_rows():
    frame = Confusion(tp=3, fp=1, fn=2, tn=94).to_frame()
    assert frame.set_index("truth").loc["fraud"].tolist() == [3, 2]
    assert frame.set_index("truth").loc["genuine"].tolist() == [1, 94]


# -- Disparity between groups ----------------------------------------------------------------------


def groups(*counts: tuple[int, int]) -> pl.DataFrame:
    """Frauds of each group, and how many of them have a high score; as many genuine ones."""
    parts = []
    for number, (n_high, frauds) in enumerate(counts):
        scores = [0.9] * n_high + [0.1] * (frauds - n_high) + [0.1] * frauds
        labels = [1] * frauds + [0] * frauds
        parts.append(pl.DataFrame({"group_": f"g{number}", "p": scores, "is_fraud": labels}))
    return pl.concat(parts)


def test_the_ratio_between_groups_is_that_of_the_lowest_and_the_highest():
    from statsmodels.stats.proportion import confint_proportions_2indep

    ratio = evaluate(groups((10, 40), (30, 40), (20, 40)), score="p", by="group_").ratio("recall")
    low, high = confint_proportions_2indep(10, 40, 30, 40, compare="ratio", method="score")
    assert ratio.value == pytest.approx(1 / 3)
    assert (ratio.low, ratio.high) == pytest.approx((low, high))
    assert ratio.low < ratio.value < ratio.high


def test_the_ratio_of_what_is_no_proportion_has_no_interval():
    ratio = evaluate(groups((10, 40), (30, 40)), score="p", by="group_").ratio("brier")
    assert 0 < ratio.value < 1
    assert np.isnan(ratio.low)


def test_one_group_has_no_disparity():
    evaluation = evaluate(groups((10, 40)), score="p", by="group_")
    assert np.isnan(evaluation.difference("recall").value)
    assert np.isnan(evaluation.ratio("recall").value)


def test_the_lowest_and_the_highest_group_have_their_values():
    evaluation = evaluate(groups((10, 40), (30, 40), (20, 40)), score="p", by="group_")
    assert evaluation.group_min("recall") == (("g0",), 0.25)
    assert evaluation.group_max("recall") == (("g1",), 0.75)
    assert evaluation.difference("recall").value == 0.5
