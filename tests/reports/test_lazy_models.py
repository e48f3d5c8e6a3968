"""Model reports that the engine of a lazy frame counts: the numbers of the rows in memory."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import ENGINES
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reported import predictions, transactions

from synfin_analytics import ArgumentError, NotFoundError, model_report
from synfin_analytics.metrics import evaluate
from synfin_analytics.reports import ModelReport, model

ROLES = {
    "label": "is_fraud", "score": "p", "timestamp": "timestamp", "customer": "customer_id",
    "merchant": "merchant_id", "amount": "amount", "label_available_at": "label_available_at",
    "n_resamples": 10,
}  # fmt: skip
#: What is not the same, or is compared in another way.
MADE = {"provenance", "created_at", "bootstraps", "cards_interval", "groups", "comparison"}


@pytest.fixture(scope="module")
def rows():
    """Rows of which some have no score of one of the models, and some no amount."""
    scores = {
        name: predictions(transactions(), "m", seed, skill)["fraud_probability"]
        for name, seed, skill in (("p", 1, 0.3), ("q", 2, 0.2))
    }
    number = pl.int_range(pl.len())
    return transactions().with_columns(
        pl.when(number % 17 != 3).then(scores["p"]).alias("p"),
        pl.when(number % 13 != 3).then(scores["q"]).alias("q"),
        pl.when(number % 19 != 3).then("amount"),
        (number % 3 + 1.0).alias("weight"),
        pl.when("is_fraud").then(pl.lit("bad")).when(~pl.col("is_fraud")).then(pl.lit("good"))
        .alias("outcome"),
        pl.Series("status", np.resize(["completed", "declined", "reversed"], len(scores["p"]))),
    )  # fmt: skip


@pytest.fixture
def never_in_memory(monkeypatch):
    """Let a report fail that reads the rows."""

    def fail(*_, **__):
        raise AssertionError("the rows were read")

    monkeypatch.setattr(model, "read_rows", fail)


def report_of(df, **options):
    return model_report(df, **(ROLES | options))


def assert_same(report: ModelReport, expected: ModelReport) -> None:
    """Compare all fields of two reports."""
    for field in fields(expected):
        if field.name not in MADE:
            assert_equal(getattr(report, field.name), getattr(expected, field.name), field.name)
    assert_equal(report.bootstraps, expected.bootstraps, "bootstraps")
    assert_equal(report.cards_interval, expected.cards_interval, "cards_interval")
    assert report.groups.keys() == expected.groups.keys()
    for name, grouped in expected.groups.items():
        assert_equal(report.groups[name].to_frame(), grouped.to_frame(), name)
        assert_equal(report.groups[name].overall, grouped.overall, name)
    assert type(report.comparison) is type(expected.comparison)
    if isinstance(expected.comparison, str) or expected.comparison is None:
        assert report.comparison == expected.comparison
    else:
        assert_equal(report.comparison.to_frame(), expected.comparison.to_frame(), "comparison")
        assert_equal(report.comparison.bootstraps, expected.comparison.bootstraps, "comparison")
    assert report.caveats == expected.caveats
    assert [(finding.name, finding.text) for finding in report.findings] == [
        (finding.name, finding.text) for finding in expected.findings
    ]


def assert_equal(value, expected, place) -> None:
    """Compare two values: counts exactly, numbers that were computed by 9 digits."""
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(
            value, expected, check_dtype=False, rtol=1e-9, atol=1e-12, obj=place
        )
    elif isinstance(expected, np.ndarray):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12, err_msg=place)
    elif isinstance(expected, dict):
        assert value.keys() == expected.keys(), place
        for key in expected:
            assert_equal(value[key], expected[key], f"{place} {key}")
    elif isinstance(expected, list | tuple):
        assert len(value) == len(expected), place
        for part, expected_part in zip(value, expected, strict=True):
            assert_equal(part, expected_part, place)
    elif hasattr(expected, "_record"):
        assert_equal(dict(value._record()), dict(expected._record()), place)
        assert_equal(getattr(value, "distribution", None), getattr(expected, "distribution", None),
                     place)  # fmt: skip
    elif isinstance(expected, float):
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), place
    elif hasattr(expected, "__dataclass_fields__"):
        assert_equal(vars(value), vars(expected), place)
    else:
        assert value == expected, place


# -- The numbers of all engines --------------------------------------------------------------------

FULL = {
    "compare_with": "q", "by": ["channel", ("channel", "merchant_category")], "status": "status",
    "currency": "currency", "as_of": "2026-04-09", "start": "2026-03-04", "alerts_per_day": 3,
}  # fmt: skip


@pytest.mark.usefixtures("never_in_memory")
def test_every_engine_gives_the_report_of_the_rows_in_memory(to_lazy, rows, monkeypatch):
    report = report_of(to_lazy(rows), **FULL)
    monkeypatch.undo()
    assert_same(report, report_of(rows, **FULL))


VARIANTS = {
    "weights": {"weight": "weight", "compare_with": "q"},
    "weights of labels": {"weight": {False: 10.0, True: 1.0}},
    "another label": {"label": "outcome", "pos_label": "bad"},
    "days are resampled": {"cluster": "timestamp", "entity": "merchant_id"},
    "merchants are resampled": {"cluster": "merchant_id", "currency": "EUR"},
    "until a date": {"end": "2026-03-20", "threshold": 0.3},
    "without times": {"timestamp": None, "label_available_at": None, "merchant": None},
    "without amounts": {"amount": None, "status": "status", "by": []},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("engine", ["polars lazy", "duckdb"])
def test_a_report_with_other_columns_is_that_of_the_rows_in_memory(
    engine, options, rows, monkeypatch
):
    options = {"label_available_at": None} | options
    expected = report_of(rows, **options)
    monkeypatch.setattr(model, "read_rows", None)
    assert_same(report_of(ENGINES[engine](rows), **options), expected)


small_rows = st.lists(
    st.fixed_dictionaries(
        {
            "customer_id": st.sampled_from(["C1", "C2", "C3"]),
            "merchant_id": st.sampled_from(["M1", None]),
            "timestamp": st.datetimes(
                dt.datetime.fromisoformat("2026-01-01"), dt.datetime.fromisoformat("2026-02-20")
            ),
            "amount": st.sampled_from([None, 1.0, 20.5]),
            "is_fraud": st.sampled_from([True, False, None]),
            "p": st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1),
            "q": st.sampled_from([None, 0.5, 1.0]),
            "channel": st.sampled_from(["a", "b", None]),
        }
    ),
    min_size=1,
    max_size=25,
)
SCHEMA = {
    "customer_id": pl.String, "merchant_id": pl.String, "timestamp": pl.Datetime("us"),
    "amount": pl.Float64, "is_fraud": pl.Boolean, "p": pl.Float64, "q": pl.Float64,
    "channel": pl.String,
}  # fmt: skip


@settings(
    max_examples=15,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.parametrize("engine", ["polars lazy", "duckdb"])
@given(records=small_rows)
def test_small_worlds_have_the_same_report_or_error(engine, records):
    frame = pl.DataFrame(records, schema=SCHEMA)
    options = {"label_available_at": None, "compare_with": "q", "n_resamples": 3}
    message, expected = None, None
    try:
        expected = report_of(frame, **options)
    except ArgumentError as error:
        message = str(error)
    if expected is None:
        with pytest.raises(ArgumentError) as raised:
            report_of(ENGINES[engine](frame), **options)
        assert str(raised.value) == message
    else:
        assert_same(report_of(ENGINES[engine](frame), **options), expected)


# -- Scores ----------------------------------------------------------------------------------------


def test_scores_of_single_precision_are_compared_as_such(rows):
    frame = rows.with_columns(pl.col("p").cast(pl.Float32))
    options = {"label_available_at": None, "threshold": 0.37}
    assert_same(report_of(frame.lazy(), **options), report_of(frame, **options))


BAD = {
    "percentages": (pl.col("p") * 100, "They look like percentages"),
    "infinite": (pl.lit(float("inf")), "Infinite scores cannot be ranked"),
    "missing": (pl.lit(None, pl.Float64), "all of its values are missing"),
}


@pytest.mark.parametrize(("scores", "message"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("engine", ["polars lazy", "duckdb"])
def test_scores_that_cannot_be_used_have_the_message_of_the_rows_in_memory(
    engine, rows, scores, message
):
    frame = rows.with_columns(scores.alias("p"))
    with pytest.raises(ArgumentError, match=message) as expected:
        report_of(frame)
    with pytest.raises(ArgumentError) as raised:
        report_of(ENGINES[engine](frame))
    assert str(raised.value) == str(expected.value)


def test_a_weight_that_cannot_be_used_has_the_position_of_its_row(rows):
    frame = rows.with_columns(weight=pl.when(pl.int_range(pl.len()) == 40).then(-1.0).otherwise(1))
    options = {"weight": "weight", "label_available_at": None}
    with pytest.raises(ArgumentError, match=r"the first is row") as expected:
        report_of(frame, **options)
    with pytest.raises(ArgumentError) as raised:
        report_of(frame.lazy(), **options)
    assert str(raised.value) == str(expected.value)


def test_a_constant_is_remarked_on(rows):
    frame = rows.with_columns(p=pl.lit(0.25))
    report = report_of(frame.lazy())
    assert report.remarks == report_of(frame).remarks
    assert report.remarks[0].startswith("All scores are 0.250: a constant")


def test_other_scores_that_cannot_be_compared_are_said_to_be(rows):
    for other in (pl.col("q") * 100, pl.lit(None, pl.Float64)):
        frame = rows.with_columns(other.alias("q"))
        report = report_of(frame.lazy(), compare_with="q")
        assert isinstance(report.comparison, str)
        assert report.comparison == report_of(frame, compare_with="q").comparison


def test_a_missing_column_is_named(rows):
    with pytest.raises(NotFoundError, match="'qq'"):
        report_of(rows.lazy(), compare_with="qq")


# -- What needs memory -----------------------------------------------------------------------------

IN_MEMORY = {
    "no customer": ({}, {"customer": None}),
    "unknown customers": (
        {"customer_id": pl.when(pl.int_range(pl.len()) != 7).then("customer_id")}, {},
    ),
    "amounts with a sign": ({"amount": "EUR " + pl.col("amount").cast(pl.String)}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("columns", "options"), IN_MEMORY.values(), ids=IN_MEMORY)
def test_rows_that_no_engine_counts_are_read(rows, columns, options, monkeypatch):
    read = []
    original = model.read_rows

    def read_rows(*arguments, **named):
        read.append(arguments)
        return original(*arguments, **named)

    monkeypatch.setattr(model, "read_rows", read_rows)
    frame = rows.with_columns(**columns)
    report = report_of(frame.lazy(), **options)
    assert len(read) == 1
    assert_same(report, report_of(frame, **options))


# -- Bins of scores --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many_frauds():
    """More frauds than there are bins, each with a score of its own."""
    generator = np.random.default_rng(3)
    fraud = generator.random(6000) < 0.3
    return pl.DataFrame(
        {
            "customer_id": generator.integers(200, size=6000),
            "is_fraud": fraud,
            "p": generator.random(6000) * 0.7 + 0.3 * fraud,
            "q": generator.random(6000) * 0.8 + 0.2 * fraud,
        }
    )


@pytest.fixture(scope="module")
def binned(many_frauds):
    """The report of a lazy frame, and that of the rows in memory."""
    options = {"label": "is_fraud", "score": "p", "customer": "customer_id", "compare_with": "q",
               "n_resamples": 50}  # fmt: skip
    return tuple(model_report(df, **options) for df in (many_frauds.lazy(), many_frauds))


def test_areas_are_off_by_at_most_what_was_computed(binned):
    report, exact = binned
    for metric in ("roc_auc", "gini", "ks", "average_precision"):
        bootstrap = report.bootstraps[metric]
        off = np.abs(bootstrap.distribution - exact.bootstraps[metric].distribution).max()
        assert 0 < off <= bootstrap.binning_error
        assert bootstrap.value == pytest.approx(exact.bootstraps[metric].value, rel=1e-9)
    assert report.bootstraps["recall"].binning_error == 0


def test_the_report_says_by_how_much_intervals_are_off(binned):
    report, exact = binned
    (caveat,) = set(report.caveats) - set(exact.caveats)
    error = max(
        bootstrap.binning_error for bootstrap in report.comparison.bootstraps["roc_auc"].values()
    )
    said = float(caveat.partition("off by at most ")[2].split(" ")[0])
    assert error <= said < 1.2 * error
    assert "(ROC AUC)" in caveat
    assert "differences between the models" in caveat
    assert "recall" not in caveat


def test_without_bins_that_mix_scores_the_report_says_nothing_of_them(rows):
    assert not any("in bins" in caveat for caveat in report_of(rows.lazy()).caveats)


def test_groups_share_the_counts_of_all_rows(rows):
    report = report_of(rows.lazy(), by=["channel"])
    assert report.groups["channel"].overall.counts.score is report.evaluation.counts.score


def test_an_evaluation_of_a_report_counts_again(rows):
    report = report_of(rows.lazy())
    expected = evaluate(rows.drop_nulls("p"), "is_fraud", "p").bootstrap("recall", n_resamples=5)
    again = report.evaluation.bootstrap("recall", n_resamples=5)
    assert again.distribution == pytest.approx(expected.distribution)
