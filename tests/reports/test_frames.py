"""Reports from a frame or a file, without a database."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import ENGINES, QUICK
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import Page
from reported import predictions, transactions
from sklearn import metrics as sklearn_metrics
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.layouts import suggest_columns
from synfin_analytics.metrics import evaluate, fraud_rate
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.reports import fraud_report, model_report

if TYPE_CHECKING:
    from pathlib import Path

#: What a full call names; the names are not ours.
COLUMNS = {
    "timestamp": "when",
    "customer": "kunde",
    "merchant": "shop",
    "amount": "betrag",
    "currency": "EUR",
    "label_available_at": "known",
}
#: The sections that need a column, by the column.
NEEDS = {
    "timestamp": {"cards", "stability", "budget"},
    "customer": {"cards"},
    "amount": {"cost"},
    "merchant": set(),
    "label_available_at": set(),
}


def scored() -> pl.DataFrame:
    """The rows of the database of the other tests, with names of their own."""
    rows = transactions()
    scores = predictions(rows, "forest", 1, 0.3)["fraud_probability"]
    logit_scores = predictions(rows, "logit", 2, 0.2)["fraud_probability"]
    return rows.select(
        isFraud="is_fraud",
        p=scores,
        q=logit_scores,
        when="timestamp",
        kunde="customer_id",
        shop="merchant_id",
        betrag=pl.col("amount"),
        channel="channel",
        known="label_available_at",
        kind="fraud_type",
    )


@pytest.fixture(scope="module")
def df() -> pd.DataFrame:
    return scored().to_pandas()


@pytest.fixture(scope="module")
def report(df):
    return model_report(
        df, label="isFraud", score="p", **COLUMNS, compare_with="q", by=["channel"],
        threshold=0.37, alerts_per_day=3, n_resamples=40,
    )  # fmt: skip


def plain(df, **options):
    """A report from labels and scores, as quick as can be."""
    return model_report(df, label="isFraud", score="p", n_resamples=2, **options)


# -- The same numbers -----------------------------------------------------------------------------


def test_numbers_are_those_of_evaluate_and_of_scikit_learn(report, df):
    labelled = df[df["isFraud"].notna()]
    y, p = labelled["isFraud"].astype(bool).to_numpy(), labelled["p"].to_numpy()
    alert = p >= 0.37
    report_evaluation = report.evaluation
    direct = evaluate(df, "isFraud", "p", threshold=0.37, amount="betrag")
    expected = {
        "n": len(y),
        "n_frauds": y.sum(),
        "precision": sklearn_metrics.precision_score(y, alert),
        "recall": sklearn_metrics.recall_score(y, alert),
        "f1": sklearn_metrics.f1_score(y, alert),
        "accuracy": sklearn_metrics.accuracy_score(y, alert),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(y, alert),
        "mcc": sklearn_metrics.matthews_corrcoef(y, alert),
        "roc_auc": sklearn_metrics.roc_auc_score(y, p),
        "average_precision": sklearn_metrics.average_precision_score(y, p),
        "brier": sklearn_metrics.brier_score_loss(y, p),
    }
    for name, value in expected.items():
        assert getattr(report_evaluation, name) == getattr(direct, name)
        assert getattr(report_evaluation, name) == pytest.approx(value, abs=1e-12), name
    assert report_evaluation.cost(5) == direct.cost(5)


def test_numbers_are_those_of_the_same_rows_in_the_database(report, world):
    with world.get_session() as session:
        stored = model_report(
            "forest", "1.0", compare_with=("logit", "1.0"), by=["channel"], threshold=0.37,
            alerts_per_day=3, n_resamples=40, session=session,
        )  # fmt: skip
    pd.testing.assert_frame_equal(report.evaluation.summary(), stored.evaluation.summary())
    pd.testing.assert_frame_equal(report.thresholds, stored.thresholds)
    pd.testing.assert_frame_equal(
        report.weeks, stored.weeks, check_dtype=False, check_column_type=False
    )
    pd.testing.assert_frame_equal(report.cards.daily, stored.cards.daily, check_dtype=False)
    pd.testing.assert_frame_equal(
        report.groups["channel"].to_frame(), stored.groups["channel"].to_frame()
    )
    gaps, expected = report.gaps["channel"], stored.gaps["channel"]
    assert gaps[["difference", "ratio"]].equals(expected[["difference", "ratio"]])
    for metric, bootstrap in stored.bootstraps.items():
        assert report.bootstraps[metric].value == bootstrap.value
        assert report.bootstraps[metric].n_clusters == bootstrap.n_clusters
    for name in ("n_predictions", "n_labelled", "n_frauds", "n_customers", "n_merchants", "n_days",
                 "first", "last", "delays", "n_clusters", "n_fraud_clusters"):  # fmt: skip
        assert getattr(report.data, name) == getattr(stored.data, name), name
    pd.testing.assert_frame_equal(report.drift.bins, stored.drift.bins.assign(column="p"))
    pd.testing.assert_frame_equal(report.gains.to_frame(), stored.gains.to_frame())
    assert isinstance(report.comparison, Comparison)
    differences = report.comparison.to_frame()["difference"]
    assert differences.tolist() == pytest.approx(
        stored.comparison.to_frame()["difference"].tolist(), nan_ok=True
    )


def test_a_fraud_report_has_the_numbers_of_the_same_rows_in_the_database(df, world):
    of_frame = fraud_report(df, label="isFraud", **COLUMNS, fraud_type="kind", by=["channel"])
    with world.get_session() as session:
        stored = fraud_report(by=["channel"], session=session)
    for name in ("overall", "over_time", "amounts", "types"):
        pd.testing.assert_frame_equal(
            getattr(of_frame, name), getattr(stored, name), check_dtype=False, obj=name
        )
    pd.testing.assert_frame_equal(
        of_frame.rates["channel"], stored.rates["channel"], check_dtype=False
    )
    pd.testing.assert_frame_equal(
        of_frame.merchants.drop(columns="name"), stored.merchants.drop(columns="name"),
        check_dtype=False,
    )  # fmt: skip
    assert of_frame.maturity["median_delay"].tolist() == stored.maturity["median_delay"].tolist()
    assert of_frame.delays == stored.delays
    counts = ("total_count", "labelled_count", "fraud_count", "fraud_rate")
    assert [of_frame.statistics[key] for key in counts] == [
        stored.statistics[key] for key in counts
    ]
    assert float(of_frame.statistics["total_amount"]) == float(stored.statistics["total_amount"])
    assert "Frauds by type" in Page(of_frame.html()).tables


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "isFraud": st.sampled_from([True, False, False, None]),
            "p": st.integers(0, 20).map(lambda step: step / 20),
            "when": st.datetimes(
                dt.datetime.fromisoformat("2026-01-01"),
                dt.datetime.fromisoformat("2026-02-01"),
                timezones=st.just(dt.UTC),
            ),
            "kunde": st.sampled_from(["C1", "C2", "C3"]),
            "betrag": st.integers(0, 10_000).map(lambda cents: cents / 100),
            "channel": st.sampled_from(["online", "pos", None]),
        }
    ),
    min_size=4,
    max_size=30,
)
SCHEMA = {
    "isFraud": pl.Boolean, "p": pl.Float64, "when": pl.Datetime("us", "UTC"), "kunde": pl.String,
    "betrag": pl.Float64, "channel": pl.String,
}  # fmt: skip
ROLES = {"timestamp": "when", "customer": "kunde", "amount": "betrag"}


@settings(max_examples=4, deadline=None, phases=QUICK)
@given(rows=ROWS)
def test_every_engine_gives_the_same_report(rows):
    frame = pl.DataFrame(rows, schema=SCHEMA)
    expected = plain(frame, **ROLES, by=["channel"])
    for name, convert in ENGINES.items():
        report = plain(convert(frame), **ROLES, by=["channel"])
        assert report.evaluation.counts.same_as(expected.evaluation.counts), name
        pd.testing.assert_frame_equal(report.thresholds, expected.thresholds, obj=name)
        pd.testing.assert_frame_equal(report.weeks, expected.weeks, check_dtype=False, obj=name)
        assert report.cards.value == pytest.approx(expected.cards.value, nan_ok=True), name
        assert report.data == expected.data, name


@settings(max_examples=4, deadline=None, phases=QUICK)
@given(rows=ROWS)
def test_every_engine_gives_the_same_fraud_report(rows):
    frame = pl.DataFrame(rows, schema=SCHEMA)
    rate = fraud_rate(
        frame, label="isFraud", timestamp="when", amount="betrag", cluster="kunde", by="channel"
    ).to_pandas()
    for name, convert in ENGINES.items():
        report = fraud_report(convert(frame), label="isFraud", **ROLES, by=["channel"])
        pd.testing.assert_frame_equal(
            report.rates["channel"], rate, check_dtype=False, check_names=False, obj=name
        )


def test_weights_make_an_undersampled_test_set_whole(df):
    known = df[df["isFraud"].notna()].reset_index(drop=True)
    genuine = known["isFraud"].eq(other=False)
    sample = known[~genuine | (known.index % 4 == 0)]
    sample = sample.assign(w=np.where(sample["isFraud"].astype(bool), 1.0, 4.0))
    options: dict = {"by": ["channel"], "compare_with": "q", "threshold": 0.3}
    report = plain(sample, **COLUMNS, weight="w", **options)
    expected = evaluate(sample, "isFraud", "p", weight="w", threshold=0.3)
    assert report.evaluation.precision == expected.precision
    assert report.evaluation.n == pytest.approx(len(known), rel=0.03)
    assert {"cards", "stability"} <= set(report.omitted)
    text = Page(report.html()).text
    assert "sums of the weights in 'w'" in " ".join(report.caveats)
    assert f"{round(expected.confusion.tp)} of {known['isFraud'].sum()} frauds" in text
    assert ".0 of " not in report.summary_text()[0]

    weights = {False: 4.0, True: 1.0}
    other = plain(
        sample, **COLUMNS, weight=weights, by=["channel"], compare_with="q", threshold=0.3
    )
    assert other.evaluation.summary().equals(report.evaluation.summary())
    assert other.groups["channel"].by_group.equals(report.groups["channel"].by_group)
    assert other.comparison.to_frame().equals(report.comparison.to_frame())
    assert "weights: 4 for each genuine transaction and 1 for each fraud" in " ".join(other.caveats)
    assert "weight={False: 4.0, True: 1.0}" in other.provenance.python
    check_page(other)


def test_single_precision_scores_are_compared_as_evaluate_does():
    df = pd.DataFrame({"y": [1, 0, 1, 0], "p": np.array([0.7, 0.7, 0.2, 0.1], np.float32)})
    report = model_report(df, label="y", score="p", threshold=0.7, n_resamples=2)
    assert report.evaluation.alerts == evaluate(df, "y", "p", threshold=0.7).alerts == 2


# -- What is left out -----------------------------------------------------------------------------


def test_with_all_columns_nothing_but_importances_is_left_out(report):
    assert set(report.omitted) == {"importances"}
    assert "95% CI" in Page(report.html()).says("summary")


@pytest.mark.parametrize("column", NEEDS)
def test_a_missing_column_removes_its_sections_and_the_page_says_why(df, column):
    columns = {role: name for role, name in COLUMNS.items() if role != column}
    report = plain(df, **columns, by=["channel"])
    assert set(report.omitted) == NEEDS[column] | {"comparison", "importances"}
    page = Page(report.html())
    for section in NEEDS[column]:
        assert f"({column}" in report.omitted[section]
        assert report.omitted[section] in page.says("data")
        assert section not in page.sections


def test_labels_and_scores_are_enough(df):
    report = plain(df[["isFraud", "p"]])
    page = Page(report.html())
    assert set(page.sections) - {""} == {
        "verdict", "explore", "summary", "data", "performance", "gains", "thresholds",
        "calibration", "limitations",
        "reproducibility",
    }  # fmt: skip
    assert report.cards is None
    assert report.weeks.empty
    assert any("single transactions" in caveat for caveat in report.caveats)
    assert list(report.thresholds["criterion"]) == ["in use"]


@pytest.mark.parametrize("column", ["timestamp", "amount", "merchant", "fraud_type", "customer"])
def test_a_missing_column_removes_sections_of_a_fraud_report(df, column):
    columns = {**COLUMNS, "fraud_type": "kind"}
    del columns[column]
    report = fraud_report(df, label="isFraud", **columns)
    sections = {
        "timestamp": {"time", "labels"}, "amount": {"amounts"}, "merchant": {"merchants"},
        "fraud_type": {"types"}, "customer": set(),
    }[column]  # fmt: skip
    assert set(report.omitted) == sections
    page = Page(report.html())
    for section in sections:
        assert report.omitted[section] in page.says("summary")
        assert section not in page.sections


def test_a_label_is_enough_for_a_fraud_report(df):
    report = fraud_report(df[["isFraud"]], label="isFraud")
    assert report.summary_text()[0] == "2,000 transactions."
    assert "groups" in report.omitted
    assert "nan" not in Page(report.html()).text.lower().replace("finance", "")


def check_page(report):
    """Check that links lead to sections that are there, and that no value is shown raw."""
    page = Page(report.html())
    targets = {address[1:] for address in page.addresses if address.startswith("#")}
    assert targets <= set(page.ids)
    assert not re.search(r"\b[Nn]a[Nn]\b|\binf\b|\bNaT\b|<NA>|: None\b", page.text + repr(report))


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"timestamp": "when"},
        {"customer": "kunde"},
        {"amount": "betrag"},
        {"amount": "betrag", "timestamp": "when", "weight": "w", "by": ["channel"]},
        {"cluster": "when", "timestamp": "when"},
        {"cluster": "shop", "entity": "shop", "timestamp": "when", "compare_with": "q"},
        {"threshold": 1.0, "amount": "betrag"},
    ],
)
def test_links_of_a_page_lead_to_sections_that_it_has(df, columns):
    check_page(plain(df.assign(w=2.5), **columns))


# -- Bad input ------------------------------------------------------------------------------------


SCORES = "Column 'p' must hold scores from 0 to 1; got "


@pytest.mark.parametrize(
    ("column", "change", "message"),
    [
        ("p", lambda p: 100 * p, f"{SCORES}.*look like percentages: divide them by 100"),
        ("p", lambda p: np.log(p + 0.01), f"{SCORES}.*log-odds.*1 / .1 \\+ exp"),
        ("p", lambda p: 1000 * p, f"{SCORES}.*Scale them"),
        ("p", lambda p: p + np.inf, f"{SCORES}.*Infinite scores"),
        ("p", lambda p: p * np.nan, "Column 'p' must hold scores; all of its values are missing"),
        ("p", lambda p: p.map("{}?".format), "These rows of the frame.*p: is not a number"),
        (
            "isFraud",
            lambda y: y.map({True: "yes", False: "no"}),
            "holds 'no' and 'yes'. Say which one means fraud, such as pos_label='yes'",
        ),
        (
            "isFraud",
            lambda y: y.map({True: 2, False: 0}),
            "holds 0.0 and 2.0. Say which.*pos_label",
        ),
        ("when", lambda t: t.astype("int64"), "when: is a whole number, not a date and time"),
        ("betrag", lambda a: a + np.inf, "Column 'betrag' must be a finite number"),
    ],
)
def test_cells_that_are_not_what_they_should_be_are_refused(df, column, change, message):
    changed = df.assign(**{column: change(df[column])})
    with pytest.raises(ArgumentError, match=f"(?s){message}"):
        plain(changed, **COLUMNS)


def test_labels_in_words_are_accepted_if_the_word_for_fraud_is_given(df):
    words = df.assign(isFraud=df["isFraud"].map({True: "yes", False: "no"}))
    report = plain(words, pos_label="yes")
    assert report.evaluation.n_frauds == evaluate(df, "isFraud", "p").n_frauds
    with pytest.raises(ArgumentError, match=r"`pos_label` must be one of two labels.*got 'ja'"):
        plain(words, pos_label="ja")


def test_rows_without_a_score_are_left_out_and_counted(df):
    gaps = df.assign(p=df["p"].where(df.index >= 7))
    labelled = df["isFraud"].notna()
    report = plain(gaps)
    n_missing = int((labelled & (df.index < 7)).sum())
    assert any(caveat.startswith(f"{n_missing} of ") for caveat in report.caveats)
    assert report.evaluation.n == labelled.sum() - n_missing


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"p": 0.3}, "All scores are 0.300: a constant does not rank"),
        ({"isFraud": False}, "All labelled transactions have the same label"),
        ({"isFraud": True}, "All labelled transactions have the same label"),
        ({"when": pd.Timestamp("2026-03-01")}, "All transactions have the same time"),
        ({"kunde": "C1"}, "The frauds belong to 1 customer"),
    ],
)
def test_a_report_says_what_is_odd_and_has_the_rest(df, change, sentence):
    report = plain(df.assign(**change), **COLUMNS)
    assert sentence in " ".join(report.caveats)
    text = Page(report.html()).text
    assert sentence in " ".join(text.split())
    assert "NaT" not in text


def test_rows_with_the_same_customer_and_time_are_counted(df):
    repeated = pd.concat([df, df.head(3)])
    assert any("3 rows have the same kunde, when and betrag" in c for c in plain(
        repeated, **COLUMNS
    ).caveats)  # fmt: skip


def test_a_row_without_a_time_removes_what_needs_times(df):
    report = plain(df.assign(when=df["when"].where(df.index != 5)), **COLUMNS)
    assert {"cards", "stability"} <= set(report.omitted)
    assert "1 row has no time in 'when'" in " ".join(report.caveats)


def test_a_column_that_does_not_exist_is_named_with_the_nearest(df):
    with pytest.raises(NotFoundError, match=r"no column 'isfraud' in the frame.*'isFraud'"):
        model_report(df, label="isfraud", score="p")
    with pytest.raises(NotFoundError, match="'betrag'"):
        plain(df, amount="Betrag")


@pytest.mark.parametrize("by", ["kunde", "card_id"])
def test_single_card_holders_are_no_groups(df, by):
    with pytest.raises(ArgumentError, match="many card holders share"):
        plain(df.assign(card_id="K1"), customer="kunde", by=[by])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda df: model_report(df, label="isFraud"), "needs the columns of labels and of scores"),
        (lambda df: model_report(df), "needs the columns of labels and of scores"),
        (lambda df: plain(df, start="2026-01-01"), "need the column of times"),
        (lambda df: plain(df, timestamp="when", start="2031-01-01"), "no rows.*in this period"),
        (lambda df: plain(df.head(0)), "no rows to report on in the frame"),
        (lambda _: plain([1, 2]), "`df` must be a DataFrame"),
        (lambda df: plain(df, session=1), "`session` is for a stored model"),
        (lambda df: fraud_report(df), "needs the column of labels"),
        (lambda _: fraud_report(label="isFraud"), "`label` is for a frame or file"),
    ],
)
def test_calls_that_cannot_be_answered_are_refused(df, call, message):
    with pytest.raises(ArgumentError, match=message):
        call(df)


def test_another_score_that_is_none_is_a_reason_and_no_error(df):
    report = plain(df.assign(q=100 * df["q"]), compare_with="q")
    assert "percentages" in report.comparison
    assert "The models cannot be compared" in Page(report.html()).says("comparison")


# -- Files ----------------------------------------------------------------------------------------


@pytest.fixture
def german_file(df, tmp_path):
    """A file as a bank in Germany exports it."""
    path = tmp_path / "scores.csv"
    amounts = df["betrag"].map("EUR {:,.2f}".format).str.translate(str.maketrans(",.", ".,"))
    df.assign(
        betrag=amounts,
        p=df["p"].map("{:.3f}".format).str.replace(".", ","),
        when=df["when"].dt.strftime("%d/%m/%Y %H:%M"),
        isFraud=df["isFraud"].map({True: "1", False: "0"}),
    ).drop(columns="known").to_csv(path, sep=";", index=False)
    return path


OPTIONS = {"decimal": ",", "thousands": ".", "date_format": "%d/%m/%Y %H:%M"}


def test_a_file_of_texts_is_one_statement_from_its_report(german_file, df):
    columns = {"timestamp": "when", "customer": "kunde", "amount": "betrag"}
    report = model_report(
        german_file, label="isFraud", score="p", **columns, **OPTIONS, n_resamples=2
    )
    expected = plain(df, **columns, currency="EUR")
    assert report.evaluation.counts.same_as(expected.evaluation.counts)
    assert report.data.currency == "EUR"
    assert report.data.first == expected.data.first.replace(second=0)
    assert "SHA-256" in report.provenance.data
    assert "synfin report model" in Page(report.html()).says("reproducibility")


def test_texts_in_a_frame_are_read_as_in_a_file(german_file):
    frame = pd.read_csv(german_file, sep=";", dtype=str)
    report = plain(frame, amount="betrag", timestamp="when", **OPTIONS)
    assert report.data.currency == "EUR"
    with pytest.raises(ArgumentError, match=r"(?s)when.*such as date_format="):
        plain(frame, timestamp="when", decimal=",")


def test_amounts_in_several_currencies_are_not_added(df):
    texts = df["betrag"].map("{:.2f} EUR".format).where(df.index % 2 == 0, "$5.00")
    report = plain(df.assign(betrag=texts), amount="betrag")
    assert report.several_currencies
    assert report.thresholds["cost"].isna().all()
    assert "cannot be added" in " ".join(report.caveats)


def test_a_fraud_report_of_a_file(german_file):
    report = fraud_report(
        german_file, label="isFraud", timestamp="when", amount="betrag", merchant="shop", **OPTIONS
    )
    assert report.currency == "EUR"
    assert len(report.merchants) == 10


# -- Estimators -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def features(df):
    generator = np.random.default_rng(3)
    y = df["isFraud"].fillna(value=False).astype(bool).to_numpy()
    x = pd.DataFrame(
        {
            "size": df["betrag"].to_numpy(),
            "signal": generator.normal(size=len(y)) + 2 * y,
            "kunde": df["kunde"].astype("category").cat.codes.to_numpy(),
        }
    )
    return x, y


@pytest.mark.parametrize(
    ("model", "importances"),
    [
        (RandomForestClassifier(10, random_state=1), ["signal", "size", "kunde"]),
        (make_pipeline(StandardScaler(), LogisticRegression()), ["signal", "kunde", "size"]),
        (HistGradientBoostingClassifier(max_iter=10), None),
    ],
)
def test_an_estimator_is_scored_and_reported(features, model, importances):
    x, y = features
    model.fit(x, y)
    report = model_report.from_estimator(
        model, x, y, amount="size", customer="kunde", by={"half": x.index % 2}, n_resamples=2
    )
    scores = model.predict_proba(x)[:, 1]
    assert report.evaluation.roc_auc == pytest.approx(sklearn_metrics.roc_auc_score(y, scores))
    assert report.name == type(model).__name__
    assert list(report.groups) == ["half"]
    if importances is None:
        assert report.omitted["importances"].endswith("has no feature importances.")
    else:
        assert set(report.importances["feature"]) == set(importances)
        assert report.importances["feature"][0] == "signal"
        assert "Feature importances" in Page(report.html()).tables


def test_a_decision_function_is_said_to_be_one(features):
    x, y = features
    model = LinearSVC().fit(x, y)
    report = model_report.from_estimator(model, x, y, n_resamples=2)
    decisions = model.decision_function(x)
    assert report.evaluation.roc_auc == pytest.approx(sklearn_metrics.roc_auc_score(y, decisions))
    assert report.evaluation.alerts == (decisions >= 0).sum()
    assert "calibration" in report.omitted
    check_page(report)
    assert "calibration" not in Page(report.html()).sections
    assert any("decision function" in caveat for caveat in report.caveats)


def test_classes_in_words_are_named(features):
    x, y = features
    words = np.where(y, "fraud", "ok")
    model = LogisticRegression().fit(x.to_numpy(), words)
    report = model_report.from_estimator(
        model, x.to_numpy(), words, pos_label="fraud", timestamp=pd.date_range(
            "2026-01-01", periods=len(y), freq="h"
        ), n_resamples=2,
    )  # fmt: skip
    assert report.evaluation.n_frauds == y.sum()
    assert "The class 'fraud' counts as fraud." in report.caveats
    assert "stability" not in report.omitted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": object()}, "must be a classifier of scikit-learn"),
        ({"model": LogisticRegression()}, "must be fitted"),
        ({"y": [1, 0]}, "`y` must have one value for each"),
        ({"pos_label": "fraud"}, "`pos_label` must be a class of LogisticRegression"),
        ({"amount": [1.0]}, "`amount` must have one value for each"),
    ],
)
def test_what_cannot_be_scored_is_refused(features, change, message):
    x, y = features
    call = {"model": LogisticRegression().fit(x, y), "X": x, "y": y} | change
    with pytest.raises(ArgumentError, match=message):
        model_report.from_estimator(**call)


def test_columns_of_an_array_cannot_be_named(features):
    x, y = features
    model = LogisticRegression().fit(x.to_numpy(), y)
    with pytest.raises(ArgumentError, match=r"`X` must be a DataFrame.*Pass arrays"):
        model_report.from_estimator(model, x.to_numpy(), y, amount="size")
    with pytest.raises(NotFoundError, match="'size'"):
        model_report.from_estimator(LogisticRegression().fit(x, y), x, y, amount="sise")


def test_scores_with_decimal_points_beside_amounts_with_commas_are_mapped_and_reported(
    tmp_path: Path,
) -> None:
    path = tmp_path / "own.csv"
    scores = [minute / 1000 for _ in range(28) for minute in range(60)]
    rows = [
        f'{1 + row // 60:02}/03/2026 10:{row % 60:02},"EUR 1.234,50",{int(row % 60 > 50)},{score}'
        for row, score in enumerate(scores)
    ]
    path.write_text("\n".join(["paid_at,paid,fraudulent,model_v2", *rows]))
    suggestions = suggest_columns(path)
    assert suggestions.options["decimal"] == ","
    assert suggestions.mapping["model_v2"] == "fraud_score"
    assert 'score="model_v2",' in suggestions.calls["model_report"]

    report = model_report(
        path, label="fraudulent", score="model_v2", amount="paid", n_resamples=10,
        decimal=",", thousands=".",
    )  # fmt: skip
    assert report.expected_frauds == pytest.approx(sum(scores))
    assert report.has_costs


def test_a_classifier_whose_classes_are_texts_needs_the_one_that_means_fraud() -> None:
    features, labels = [[1.0], [5.0]] * 20, ["ok", "fraud"] * 20
    model = LogisticRegression().fit(features, labels)
    with pytest.raises(ArgumentError, match="'fraud' and 'ok'"):
        model_report.from_estimator(model, features, labels)
    report = model_report.from_estimator(model, features, labels, pos_label="fraud", n_resamples=5)
    assert report.evaluation.recall == 1
