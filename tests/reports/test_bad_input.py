"""What a report from a frame says about rows and calls that cannot be right."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pages import Page
from sklearn.linear_model import LogisticRegression

from synfin_analytics import Display
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.reports import fraud_report, model_report

N = 120


@pytest.fixture(scope="module")
def df() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    y = rng.random(N) < 0.3
    return pd.DataFrame(
        {
            "y": y,
            "p": np.clip(rng.random(N) * 0.6 + 0.3 * y, 0, 1).round(3),
            "when": pd.Timestamp("2026-01-01") + pd.to_timedelta(range(N), unit="h"),
            "holder": [f"Anna Muster {number}" for number in range(N)],
            "betrag": np.arange(N) + 1.0,
        }
    )


def report_on(df, **options):
    return model_report(df, **{"label": "y", "score": "p", "n_resamples": 10, "by": []} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compare_with": "p"}, "`score` and `compare_with` must be different.*'p' for both"),
        (
            {"customer": "holder", "merchant": "holder"},
            "`customer` and `merchant` must be different",
        ),
        ({"score": "y"}, "`label` and `score` must be different columns; got 'y' for both"),
        ({"by": ["p"]}, "`by` must be columns of groups; got 'p', the column of labels or scores"),
        ({"alerts_per_day": 0}, "`alerts_per_day` must be a whole number of at least 1; got 0"),
        ({"cost_per_alert": float("nan")}, "`cost_per_alert` must be an amount"),
        ({"recovery_rate": 80}, "`recovery_rate` must be a share from 0 to 1; got 80"),
        ({"notes": [3]}, "`notes` must be a string; got 3"),
        ({"amount": "betrag", "currency": "eur"}, "no column 'eur'.*no code such as 'EUR'"),
    ],
)
def test_arguments_that_cannot_be_meant_are_named(df, options, message):
    with pytest.raises(Exception, match=message):
        report_on(df, **options)


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("p", np.linspace(0, 1.0000001, N), "rounding error: clip them to 0 to 1"),
        ("y", [-1, 1] * (N // 2), "it holds -1 and 1. Say which one means fraud.*pos_label=1"),
        ("when", range(N), "count seconds since 1970, convert them"),
    ],
)
def test_cells_that_can_be_converted_are_named_with_the_remedy(df, column, cells, message):
    with pytest.raises(ArgumentError, match=f"(?s){message}"):
        report_on(df.assign(**{column: cells}), timestamp="when")


def test_advice_on_how_numbers_are_written_is_for_texts(df):
    with pytest.raises(ArgumentError, match="p: is a boolean, not a number") as caught:
        report_on(df.assign(p=df["p"] > 0.5))
    assert "decimal" not in str(caught.value)


def test_the_rare_word_is_proposed_for_fraud(df):
    words = df.assign(y=np.where(df["y"], "ja", "nein"))
    with pytest.raises(ArgumentError, match=r"it holds 'ja' and 'nein'.*pos_label='ja'"):
        report_on(words)
    with pytest.raises(ArgumentError, match=r"got 'Ja', which is none of them: it holds 'ja'"):
        report_on(words, pos_label="Ja")


def test_a_number_for_fraud_is_found_in_a_file_of_texts(df, tmp_path):
    path = tmp_path / "scores.csv"
    df.assign(y=df["y"] + 1).to_csv(path, index=False)
    assert report_on(path, pos_label=2).evaluation.n_frauds == df["y"].sum()
    with pytest.raises(ArgumentError, match="Labels of other words or numbers need pos_label="):
        report_on(df.assign(y=["a", "b", "c"] * (N // 3)))


def test_a_label_that_leaves_others_is_explained(df):
    words = df.assign(y=["yes", "no", "open"] * (N // 3))
    with pytest.raises(
        ArgumentError, match="leaves 2 others: set those that are not known to missing"
    ):
        report_on(words, pos_label="yes")


@pytest.mark.parametrize("options", [{"customer": "holder"}, {}])
def test_messages_show_no_card_holders(df, options):
    holders = df.rename(columns={"holder": "Karteninhaber"})
    options = dict.fromkeys(options, "Karteninhaber")
    with pytest.raises(ArgumentError, match="Karteninhaber: is not a number") as caught:
        report_on(holders, score="Karteninhaber", **options)
    assert "Anna" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("Karteninhaber", [f"Anna Muster {number}" for number in range(N)]),
        ("x", ["DE89370400440532013000", "DE02120300000000202051"] * (N // 2)),
        ("x", ["4111 1111 1111 1111", "5500 0000 0000 0004"] * (N // 2)),
    ],
)
def test_persons_are_no_groups_by_name_or_by_content(df, name, cells):
    grouped = df.assign(**{name: cells})
    with pytest.raises(ArgumentError, match="would put single card holders into a report"):
        report_on(grouped, by=[name])
    with pytest.raises(ArgumentError, match="would put single card holders into a report"):
        fraud_report(grouped, label="y", by=[name])


def test_kinds_of_customers_are_groups(df):
    report = report_on(df.assign(client=["app", "web"] * (N // 2)), by=["client"])
    assert list(report.groups) == ["client"]


def test_columns_of_structs_are_refused(df):
    frame = pl.from_pandas(df).with_columns(kind=pl.struct("y"))
    with pytest.raises(ArgumentError, match="Column 'kind' must hold single values; got Struct"):
        report_on(frame, by=["kind"])


def test_names_of_ours_are_refused(df):
    with pytest.raises(ArgumentError, match="must not begin with two underscores; got '__amount'"):
        report_on(df.rename(columns={"holder": "__amount"}), customer="__amount", amount="betrag")


def test_a_note_is_one_sentence(df):
    assert report_on(df, notes="Trained on 2025.").notes == ("Trained on 2025.",)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"betrag": -1.0}, "120 rows have a negative amount, which is subtracted"),
        (
            {"known": dt.datetime(2025, 1, 1, tzinfo=dt.UTC)},
            "120 labels are dated before the transaction",
        ),
        (
            {"when": dt.datetime(9999, 12, 31, tzinfo=dt.UTC)},
            "120 rows have a time in 'when' before the year",
        ),
    ],
)
def test_odd_rows_are_counted_and_the_rest_is_reported(df, change, sentence):
    changed = df.assign(known=df["when"]).assign(**change)
    columns = {"timestamp": "when", "amount": "betrag"}
    report = report_on(changed, **columns, label_available_at="known")
    assert sentence in " ".join(report.caveats)
    assert sentence in " ".join(Page(report.html()).text.split())
    report = fraud_report(changed, label="y", **columns, label_available_at="known")
    assert sentence in " ".join(Page(report.html()).text.split())


def test_placeholders_for_times_leave_out_what_needs_times(df):
    times = df["when"].astype(str).where(df.index != 3, "9999-12-31")
    report = report_on(df.assign(when=times), timestamp="when")
    assert report.omitted["stability"] == "Times in 'when' are of the year 9999."
    assert not np.isnan(report.evaluation.roc_auc)


def test_scores_that_rank_the_other_way_are_named_first(df):
    report = report_on(df.assign(p=1 - df["y"] * 0.5 - df["p"] / 4))
    sentence = "Frauds have lower scores than genuine transactions (ROC AUC"
    assert any(caveat.startswith(sentence) for caveat in report.caveats)
    assert Page(report.html()).text.index(sentence) < Page(report.html()).text.index("Confusion")


def test_models_that_cannot_be_compared_are_a_limitation(df):
    report = report_on(df.assign(q=100 * df["p"]), compare_with="q")
    assert any("not compared: Column 'q' must hold scores" in text for text in report.caveats)


def test_a_constant_score_has_no_drift_to_test(df):
    report = report_on(df.assign(p=0.3), timestamp="when")
    text = " ".join(report.summary_text())
    assert "cannot be tested: all scores are the same" in text
    assert "the weekly mean score was 0.3000 throughout" in text


def test_fraud_of_no_value_has_no_basis_points(df):
    report = fraud_report(df.assign(betrag=0.0), label="y", amount="betrag")
    assert "not defined" not in " ".join(report.summary_text())


def test_few_rows_are_counted_as_such(df):
    caveats = " ".join(report_on(df.assign(y=[True, *[False] * (N - 1)])).caveats)
    assert "There are 120 labelled transactions: with so few" in caveats
    assert "There is 1 fraud: with so few" in caveats


@pytest.mark.parametrize(("n_alike", "is_concern"), [(0, False), (40, True)])
def test_a_group_is_a_concern_only_if_its_recall_differs_by_more_than_chance(
    df, n_alike, is_concern
):
    missed = df["y"] & (df["y"].cumsum() <= n_alike // 2)
    scores = df["y"] * 0.9 + 0.05
    scores = scores.where(~missed, 0.1).where(df.index != df.index[df["y"]][-1], 0.1)
    groups = np.where(missed, "a", np.where(df.index % 2, "b", "c"))
    page = Page(report_on(df.assign(p=scores, group=groups), by=["group"]).html())
    assert ("By group, recall is lowest" in page.says("verdict")) == is_concern


def test_a_sum_of_scores_that_is_off_by_chance_is_no_concern():
    labels = np.arange(100) < 6
    few = pd.DataFrame({"y": labels, "p": np.where(labels, 0.3, 0.07)})
    assert "not probabilities" not in Page(report_on(few).html()).says("verdict")
    assert "not probabilities" in Page(report_on(few.assign(p=few["p"] * 3)).html()).says("verdict")


def test_only_thresholds_that_were_chosen_have_a_footnote(df):
    assert "* Chosen" not in Page(report_on(df).html()).text
    assert "* Chosen" in Page(report_on(df, amount="betrag").html()).text


# -- Classifiers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier():
    features = np.arange(40.0).reshape(-1, 1)
    labels = features[:, 0] + 10 * np.sin(features[:, 0]) > 20
    return LogisticRegression().fit(features, labels), features, labels


def test_labels_that_the_classifier_never_saw_are_refused(classifier):
    model, features, labels = classifier
    message = re.escape("Labels must be classes of the model, False and True; ")
    for call in (model_report.from_estimator, Display.from_estimator):
        with pytest.raises(ArgumentError, match=message):
            call(model, features, labels.astype(int) + 1)
        call(model, features, labels.astype(int))  # 0 and 1 are False and True


def test_features_that_the_classifier_was_not_fitted_on_are_one_sentence(classifier):
    model, features, labels = classifier
    wide = np.hstack([features, features])
    with pytest.raises(
        ArgumentError, match="`X` must be features as LogisticRegression was fitted"
    ):
        model_report.from_estimator(model, wide, labels)
    with pytest.raises(ArgumentError, match="contains NaN"):
        model_report.from_estimator(model, np.full_like(features, np.nan), labels)


def test_a_class_instead_of_a_classifier_is_named(classifier):
    _, features, labels = classifier
    with pytest.raises(ArgumentError, match="got the class LogisticRegression: create an instance"):
        model_report.from_estimator(LogisticRegression, features, labels)


def test_a_column_of_a_file_whose_name_the_header_repeats_is_not_guessed(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("label,score,score\n" + "1,0.9,0.1\n0,0.2,0.3\n" * 5)
    with pytest.raises(ArgumentError, match=r"must name 'score' once; .* it is 'score\.1'"):
        model_report(path, label="label", score="score")
    report = model_report(path, label="label", score="score", compare_with="score.1", n_resamples=2)
    assert report.evaluation.roc_auc == 1
