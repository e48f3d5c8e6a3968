"""The report of a model: every number that of ``evaluate``, every sentence from a number."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import math
import re
from dataclasses import replace
from html import escape, unescape

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pages import Page
from reported import DAYS, NASTY, predictions, transactions

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.formatting import (
    METRICS,
    format_amount,
    format_decimal,
    format_difference,
    format_interval,
    format_metric,
    format_number,
    format_percent,
    format_percent_interval,
)
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.metrics import Confusion, compare_models, evaluate, fraud_rate, measure_drift
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.reports import model_report
from synfin_analytics.reports._database import infer_threshold
from synfin_analytics.reports._model_findings import read_difference

DRAWS = 60
AT = 0.37


@pytest.fixture
def session(world):
    with world.get_session() as session:
        yield session


@pytest.fixture(scope="module")
def report(world):
    """The report that most tests read."""
    with world.get_session() as session:
        return model_report(
            "forest", "1.0", compare_with=("logit", "1.0"), by=["channel", "merchant_category"],
            session=session, alerts_per_day=3, n_resamples=DRAWS,
        )  # fmt: skip


@pytest.fixture(scope="module")
def page(report):
    return Page(report.html())


@pytest.fixture(scope="module")
def frame(world, page):
    """The rows that the page says it is computed from, read by the query that stands on it."""
    return read_df(page.code[2], manager=world, output="pandas")


@pytest.fixture(scope="module")
def expected(frame):
    return evaluate(frame, "ground_truth", threshold=AT, amount="amount")


# -- Numbers --------------------------------------------------------------------------------------


def test_the_threshold_is_the_one_that_the_predictions_follow(report, frame):
    predicted = transactions().select("transaction_id").height
    assert len(frame) == predicted == report.data.n_predictions
    assert report.evaluation.confusion == evaluate(frame, "ground_truth", threshold=AT).confusion
    assert report.evaluation.threshold.value >= AT


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_that_of_evaluate(page, expected, name):
    row = page.rows("Metrics of forest 1.0")[METRICS[name][0]]
    assert row["value"] == format_metric(name, getattr(expected, name))
    assert row["baseline"] == format_metric(name, expected.baseline(name))
    if name in {"precision", "recall", "accuracy", "prevalence", "specificity"}:
        part, trials = expected.confusion.counts(name)
        assert row["counts"] == f"{part:,} of {trials:,}"


@pytest.mark.parametrize(
    "name", ["precision", "recall", "specificity", "roc_auc", "average_precision"]
)
def test_intervals_are_those_of_draws_of_customers(page, expected, name):
    drawn = expected.bootstrap(name, n_resamples=DRAWS)
    row = page.rows("Metrics of forest 1.0")[METRICS[name][0]]
    assert row["95% CI (customer bootstrap)"] == format_interval(name, drawn.low, drawn.high)


@pytest.mark.parametrize("name", ["precision", "recall", "specificity", "accuracy", "prevalence"])
def test_shares_have_their_wilson_interval_beside_it(page, expected, name):
    row = page.rows("Metrics of forest 1.0")[name]
    assert row["95% CI (Wilson)"] == format_percent_interval(*expected.confidence_interval(name))


def test_the_confusion_is_that_of_evaluate(page, expected):
    rows = page.rows("Confusion matrix")
    confusion = expected.confusion
    assert list(rows["fraud"].values()) == [
        format_number(confusion.tp),
        format_number(confusion.fn),
    ]
    assert list(rows["genuine"].values()) == [
        format_number(confusion.fp),
        format_number(confusion.tn),
    ]


def test_the_comparison_is_that_of_the_same_rows(world, page, frame):
    other_scores = read_df(
        "SELECT transaction_id, fraud_probability AS logit FROM model_predictions "
        "WHERE model_name = 'logit'",
        manager=world,
    )
    scores = {"logit": "logit", "forest": "fraud_probability"}
    compared = compare_models(
        frame.merge(other_scores, on="transaction_id"), scores, label="ground_truth", threshold=AT,
        metrics=["roc_auc", "precision"], n_resamples=DRAWS,
    ).to_frame()  # fmt: skip
    rows = page.rows("forest 1.0 compared with logit 1.0 on the same transactions")
    for name in ("roc_auc", "precision"):
        cells = rows[METRICS[name][0]]
        comparison = compared[(compared["metric"] == name) & (compared["model"] == "forest")].iloc[
            0
        ]
        logit = compared[(compared["metric"] == name) & (compared["model"] == "logit")].iloc[0]
        assert cells["forest 1.0"] == format_metric(name, comparison["value"])
        assert cells["logit 1.0"] == format_metric(name, logit["value"])
        assert cells["difference"] == format_difference(name, comparison["difference"])
        low, high = (
            format_difference(name, comparison[f"difference_{end}"]) for end in ("low", "high")
        )
        assert cells["95% CI of the difference"] == f"{low} to {high}"
    assert rows["ROC AUC"]["conclusion"] == "better"


def test_the_budget_and_the_lowest_cost_are_those_of_evaluate(page, expected):
    rows = page.rows("Results by threshold")
    chosen = {
        "in use": expected.threshold,
        "alert budget*": expected.threshold_for_alerts(3 * DAYS),
        "lowest cost*": expected.best_threshold(5),
    }
    costs = expected.cost_curve(5).set_index("threshold")
    assert list(rows) == list(chosen)
    for why, threshold in chosen.items():
        at_threshold, row = expected.at_threshold(threshold), rows[why]
        assert row["alerts"] == format_number(at_threshold.alerts)
        assert row["alerts per day"] == format_number(at_threshold.alerts / DAYS, 1)
        assert (row["precision"], row["recall"]) == (
            format_percent(at_threshold.precision),
            format_percent(at_threshold.recall),
        )
        cost = costs[costs.index >= threshold.value].iloc[-1]
        assert row["cost of alerts"] == format_amount(cost["alert_cost"], "EUR")
        assert row["missed fraud"] == format_amount(cost["missed_amount"], "EUR")
        assert row["total cost"] == format_amount(cost["cost"], "EUR")
        assert row["saved"] == format_amount(cost["saved"], "EUR")


def test_cards_by_day_are_those_of_evaluate(page, expected):
    topk = expected.card_precision_at_k(3)
    rows = page.rows("The 3 highest-scoring cards of each day")
    assert [float(row["detected"]) for row in rows.values()] == topk.daily["hits"].tolist()
    drawn = expected.bootstrap("card_precision_at_k", "customer_id", k=3, n_resamples=DRAWS)
    assert f"is {format_percent(topk.value)} on average" in page.sections["cards"]
    assert format_percent_interval(drawn.low, drawn.high) in page.sections["cards"]
    assert f"the maximum achievable is {format_percent(topk.max_achievable)}" in page.sections[
        "cards"
    ].replace("\n", " ")


def test_calibration_is_that_of_evaluate(page, expected):
    parts = expected.calibration()
    rows = page.rows("Fraud rate by score")
    for part in parts[parts["transactions"] > 0].itertuples():
        row = rows[f"{part.score_from:.1f} to {part.score_to:.1f}"]
        assert row["transactions"] == format_number(part.transactions)
        assert row["fraud rate"] == format_percent(part.fraud_rate)
        assert row["mean score"] == format_decimal(part.mean_score)


def test_gaps_between_groups_are_those_of_evaluate(page, report, frame):
    kinds = transactions().select("transaction_id", "merchant_category").to_pandas()
    grouped = evaluate(
        frame.merge(kinds, on="transaction_id"), "ground_truth", threshold=AT,
        by="merchant_category",
    )  # fmt: skip
    rows = page.rows("Gaps between groups by merchant category")
    gaps = report.gaps["merchant category"].set_index("metric")
    for metric in ("recall", "false_positive_rate", "alert_rate"):
        drawn = grouped.bootstrap(metric, n_resamples=DRAWS)
        row = rows[METRICS[metric][0]]
        assert gaps.loc[metric, "difference"] == drawn.value == grouped.difference(metric).value
        assert row["difference"] == f"{format_number(100 * drawn.value, 1)} pp"
        low, high = (format_number(100 * end, 1) for end in (drawn.low, drawn.high))
        assert row["95% CI of the difference"] == f"{low} to {high}"
        assert gaps.loc[metric, "ratio"] == grouped.ratio(metric).value


def test_gini_is_twice_the_area_less_one(report):
    area, gini = report.bootstraps["roc_auc"], report.bootstraps["gini"]
    assert gini.value == pytest.approx(report.evaluation.gini)
    assert gini.low == pytest.approx(2 * area.low - 1)


def test_gains_are_those_of_evaluate(page, expected):
    rows = page.rows("Gains and lift by band of the score")
    for band in expected.gains_table().to_frame().itertuples():
        row = rows[str(band.band)]
        assert row["frauds"] == format_number(band.frauds)
        assert row["lift"] == format_decimal(band.lift, 1)
        assert row["cumulative frauds"] == format_percent(band.cumulative_fraud_share)
    assert format_decimal(expected.ks) in page.says("gains")


def test_drift_is_that_between_the_halves_of_the_period(page, report, frame):
    first = frame["timestamp"].min()
    middle = (first + (frame["timestamp"].max() - first) / 2).floor("D").to_pydatetime()
    drift = measure_drift(
        frame, "fraud_probability", reference=(None, middle), current=(middle, None)
    )
    assert report.drift.to_frame()["psi"].tolist() == drift.to_frame()["psi"].tolist()
    assert f"PSI {format_decimal(drift.to_frame()['psi'][0], 4)}" in page.says("stability")
    rows = page.rows("Scores of the first and the second half of the period")
    for part in drift.bins.itertuples():
        assert rows[part.bin]["second half"] == format_number(part.current)


def test_groups_are_those_of_evaluate_the_weakest_first(world, page, report):
    rows = page.rows("Recall and precision by merchant category")
    with world.get_session() as session:
        again = model_report(
            "forest", "1.0", by=[("merchant_category",)], session=session, n_resamples=1
        ).groups["merchant category"]
    for (name,), group in again.groups:
        row = rows.get(name) or rows[f"{name} (small)"]
        assert (row["transactions"], row["frauds"]) == (
            format_number(group.n),
            format_number(group.n_frauds),
        )
        assert (row["recall"], row["precision"]) == (
            format_percent(group.recall),
            format_percent(group.precision),
        )
    assert next(iter(rows)) == again.group_min("recall").group[0]
    # A small group with the lowest recall of all comes first, too.
    assert list(page.rows("Recall and precision by channel")) == [
        "atm (small)", "online", "pos", "all",
    ]  # fmt: skip


def test_weeks_are_those_of_the_rows(page, report, frame):
    rates = fraud_rate(frame, every="1w", label="ground_truth")
    monday = frame["timestamp"].dt.floor("D") - pd.to_timedelta(
        frame["timestamp"].dt.day_of_week, unit="D"
    )
    scores = frame.groupby(monday)["fraud_probability"]
    assert report.weeks["fraud_rate"].tolist() == rates["fraud_rate"].tolist()
    assert report.weeks["fraud_rate_low"].tolist() == rates["fraud_rate_low"].tolist()
    for share, column in ((0.5, "median"), (0.9, "p90"), (0.99, "p99")):
        assert np.allclose(report.weeks[column], scores.quantile(share))
    assert np.allclose(report.weeks["mean_score"], scores.mean())
    at = report.evaluation.threshold.value
    assert report.weeks["alerts"].sum() == (frame["fraud_probability"] >= at).sum()
    assert at in frame["fraud_probability"].tolist()
    rows = page.rows("Scores and frauds by week")
    assert list(rows) == [f"{week:%Y-%m-%d}" for week in rates["timestamp"]]
    assert [row["fraud rate"] for row in rows.values()] == [
        *map(format_percent, rates["fraud_rate"])
    ]


def test_importances_are_means_over_the_predictions(world, page, report):
    stored = read_df(
        "SELECT feature_importance FROM model_predictions WHERE model_name = 'forest'",
        manager=world,
    )["feature_importance"]
    read = [json.loads(record) if isinstance(record, str) else record for record in stored]
    importances = report.importances.set_index("feature")
    for name in ("amount", "night", NASTY):
        values = np.array([record[name] for record in read])
        assert np.isclose(importances.loc[name, "mean"], values.mean())
        assert np.isclose(importances.loc[name, "size"], np.abs(values).mean())
    assert next(iter(page.rows("Feature importances"))) == "night"


def test_the_period_and_the_label_delay_are_described(page, frame):
    rows = transactions()
    late = (rows["label_available_at"] - rows["timestamp"]).drop_nulls()
    text = page.says("data")
    assert f"{len(frame):,} predictions for transactions from 2026-03-02 to 2026-04-10" in text
    assert f"{frame['ground_truth'].isna().sum():,} are not labelled" in text
    median, ninetieth = (late.quantile(share, "linear") for share in (0.5, 0.9))
    assert f"half of them arrived within {wording.format_duration(median)}" in text
    assert f"90% within {wording.format_duration(ninetieth)}" in text


@pytest.mark.parametrize(
    ("lowest_alert", "highest_pass", "value", "expected"),
    [
        (0.6, 0.4, 0.5, "default; the stored predictions are consistent with it"),
        (0.5, 0.499, 0.5, "default; the stored predictions are consistent with it"),
        (0.2, 0.1, 0.2, "inferred from the stored predictions"),
        (0.7, 0.6, 0.7, "inferred from the stored predictions"),
        (0.2, None, 0.2, "inferred from the stored predictions"),
        (None, 0.3, 0.5, "default; the stored predictions are consistent with it"),
        (None, 0.9, 0.5, "contain no alert"),
        (0.3, 0.3, 0.5, "not consistent with any threshold"),
        (0.1, 0.9, 0.5, "not consistent with any threshold"),
        (None, None, 0.5, "default; the stored predictions are consistent with it"),
    ],
)
def test_a_threshold_is_followed_where_scores_and_decisions_agree(
    report, lowest_alert, highest_pass, value, expected
):
    data = replace(report.data, lowest_alert=lowest_alert, highest_pass=highest_pass)
    threshold, why = infer_threshold(data)
    assert threshold.value == value
    assert expected in why


# -- Words ----------------------------------------------------------------------------------------


NUMBER = re.compile(r"[+\u2212-]?\d[\d,]*(?:\.\d+)?(?:-\d\d)*%?")


def test_every_number_of_a_sentence_is_in_its_section(report, page):
    for finding in report.findings:
        section = page.says(finding.section)
        for number in NUMBER.findall(finding.sentence):
            assert number.rstrip(",").replace("\u00a0", " ") in section, finding.sentence


def test_every_finding_shows_its_number(report, page):
    summary = page.says("summary")
    for finding in report.findings:
        assert finding.text.replace("\u00a0", " ") in summary
        assert np.isfinite(finding.value)


def test_sentences_agree_with_the_counts(report, expected):
    first, second, *_ = report.summary_text()
    confusion = expected.confusion
    assert first.startswith(
        f"The model detected {confusion.tp} of {expected.n_frauds} frauds (95% CI "
    )
    assert second.startswith(f"{confusion.tp} of {expected.alerts} alerts were fraud (95% CI ")


def test_a_model_that_is_better_is_called_so(report):
    (sentence,) = [
        finding.sentence for finding in report.findings if finding.section == "comparison"
    ]
    assert sentence.endswith("the model ranks better than logit 1.0.")


def test_limits_name_what_flatters_and_what_is_missing(report):
    text = " ".join(report.caveats)
    unlabelled = report.data.n_predictions - report.data.n_labelled
    assert f"{unlabelled:,} of 2,000 predictions" in text
    assert (
        "alert budget and lowest cost were chosen on the transactions that they are evaluated on"
        in text
    )
    assert "90 customers" in text
    assert "stored after the label was available" in text


def test_labels_that_have_changed_are_reported(world):
    with world.get_session() as session:
        from sqlalchemy import text

        session.execute(
            text("UPDATE transactions SET is_fraud = NOT is_fraud WHERE transaction_id = 'T00001'")
        )
        report = model_report("forest", "1.0", by=[], session=session, n_resamples=2)
        session.rollback()
    assert "The ground truth of 1 prediction differs from the current label" in " ".join(
        report.caveats
    )


# -- The page -------------------------------------------------------------------------------------


def test_the_page_needs_no_network_and_runs_no_script_but_its_own(report, page):
    assert all(address.startswith("#") for address in page.addresses)
    assert page.policy.startswith("default-src 'none'; script-src 'sha256-")
    digest = base64.b64encode(hashlib.sha256(page.program.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in page.policy
    assert len(page.program.encode()) < 20_000
    assert page.data  # it is valid JSON
    assert not re.search(r"url\((?!#)|@import", report.html())


def test_names_are_text_on_the_page_and_in_its_pictures(report, page):
    assert f"{NASTY} (small)" in page.rows("Recall and precision by merchant category")
    assert NASTY in page.rows("Feature importances")
    html = report.html()
    assert html.count("<script") == len(page.scripts)
    assert "&lt;script&gt;" in html
    drawn = [text for text in page.picture_texts if "<script>" in text]
    assert drawn
    assert all(text in NASTY or text[:-1] in NASTY for text in drawn)


def test_what_is_on_the_page_has_one_name_and_every_reference_finds_it(report, page):
    assert len(set(page.ids)) == len(page.ids)
    used = {address[1:] for address in page.addresses}
    used |= set(re.findall(r"url\(#([^)]+)\)", report.html()))
    assert used <= set(page.ids)


def test_headings_are_in_order(page):
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    steps = [
        after - before for before, after in zip(page.headings, page.headings[1:], strict=False)
    ]
    assert max(steps) == 1


def test_pictures_say_their_numbers(report, page, expected):
    alts = " ".join(page.alts)
    for text in (
        f"Average precision {format_decimal(expected.average_precision)}",
        f"Area {format_decimal(expected.roc_auc)}",
        f"precision {format_percent(expected.precision)}, recall {format_percent(expected.recall)}",
        f"maximum achievable {format_percent(report.cards.max_achievable)}",
        *(format_percent(rate) for rate in report.weeks["fraud_rate"]),
    ):
        assert text in alts
    assert len(page.alts) == 10


def test_pictures_take_the_colours_of_the_page(report):
    pictures = re.findall(r"<svg.*?</svg>", report.html(), re.DOTALL)
    assert not re.search(r"#[0-9a-f]{6}\b", " ".join(pictures))


def test_the_same_numbers_give_the_same_page_whatever_matplotlib_is_set_to(report):
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9}):
        assert replace(report).html() == report.html()


def test_in_a_notebook_it_shows_itself_in_a_frame_of_its_own(report):
    page = report._repr_html_()
    assert page.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert 'title="Model report: forest 1.0"' in page
    assert "<script" not in page


def test_in_a_terminal_it_says_its_summary(report):
    text = repr(report)
    assert text.startswith("Model report: forest 1.0\n- The model detected ")
    assert len(text.splitlines()) == 1 + len(report.findings)


def test_it_is_saved_as_a_file_of_that_page(report, tmp_path):
    path = report.save(str(tmp_path / "report.html"))
    assert path.read_text(encoding="utf-8") == report.html()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report.pdf", "must end in .html; got .*report.pdf'. To get a PDF, open the HTML file"),
        ("report.docx", "must end in .html; got .*report.docx'.$"),
        ("report", "must end in .html; got"),
        ("nowhere/report.html", "the folder .*nowhere' does not exist. Create it first.$"),
        ("folder.html", "Cannot write the report to .*: Is a directory.$"),
    ],
)
def test_a_file_that_is_no_page_or_cannot_be_written_is_refused(report, tmp_path, name, message):
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ArgumentError, match=message):
        report.save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]


def test_what_is_no_name_of_a_file_is_refused(report):
    with pytest.raises(ArgumentError, match="`path` must be the name of a file; got int"):
        report.save(1)


def test_only_the_page_within_a_notebook_has_a_base_for_its_links(report):
    base = '<base href="about:srcdoc">'
    assert base not in report.html()
    assert unescape(report._repr_html_()).count(base) == 1


def test_an_untrusted_notebook_that_removes_the_frame_shows_the_summary(report):
    remaining = re.sub(r"<(iframe|style)\b.*?</\1>", "", report._repr_html_(), flags=re.DOTALL)
    assert re.sub(r"<.*?>", "", unescape(remaining)).startswith(report.title)
    for sentence in report.summary_text():
        assert f"<li>{escape(sentence)}</li>" in remaining


def test_the_page_names_its_versions(page):
    rows = page.rows("Versions")
    assert rows["numpy"]["version"] == np.__version__
    assert rows["PostgreSQL"]["version"]


# -- What is asked for ----------------------------------------------------------------------------


def test_a_range_of_dates_is_that_of_the_transactions(session):
    report = model_report(
        "forest", "1.0", by=[], session=session, start="2026-03-05", end=dt.date(2026, 3, 7),
        n_resamples=2,
    )  # fmt: skip
    days = (
        transactions()["timestamp"].dt.date().is_between(dt.date(2026, 3, 5), dt.date(2026, 3, 6))
    )
    assert report.data.n_predictions == days.sum()
    assert "--start 2026-03-05 --end 2026-03-07" in report.provenance.command
    assert "2 weeks" not in " ".join(report.caveats)
    assert "The transactions cover 1 week, too few to detect drift." in " ".join(report.caveats)


@pytest.mark.parametrize(
    ("weight", "text", "option"),
    [
        ("amount", "sums of the weights in 'amount'", "--weight amount"),
        (
            {False: 50.0, True: 1.0},
            "weights: 50 for each genuine transaction and 1 for each fraud",
            "--weight 0=50.0,1=1.0",
        ),
    ],
)
def test_weights_are_those_of_evaluate(session, weight, text, option):
    report = model_report(
        "forest", "1.0", by=["channel"], weight=weight, compare_with=("logit", "1.0"),
        threshold=AT, session=session, n_resamples=DRAWS,
    )  # fmt: skip
    frame = read_df(Page(report.html()).code[2], session=session, output="pandas")
    expected = evaluate(frame, "ground_truth", threshold=AT, amount="amount", weight=weight)
    for metric in ("precision", "recall", "roc_auc", "value_detection_rate"):
        assert getattr(report.evaluation, metric) == pytest.approx(
            getattr(expected, metric), rel=1e-12
        )
    low, high = report.bootstraps["recall"].low, report.bootstraps["recall"].high
    bootstrap = expected.bootstrap("recall", n_resamples=DRAWS)
    assert (low, high) == pytest.approx((bootstrap.low, bootstrap.high), rel=1e-12)
    assert report.groups["channel"].overall.counts.weighted
    assert isinstance(report.comparison, Comparison)
    assert {"cards", "stability"} <= set(report.omitted)
    assert text in " ".join(report.caveats)
    assert option in report.provenance.command


def test_by_default_groups_are_those_of_columns_with_few_values(session):
    report = model_report("forest", "1.0", session=session, n_resamples=2)
    assert list(report.groups) == ["channel", "merchant category"]


def test_common_transactions_are_compared_and_the_rest_is_reported(session):
    rows = transactions().head(900)
    part = predictions(rows, "part", 3, 0.3)
    load_df(part, "model_predictions", session=session)
    report = model_report(
        "forest", "1.0", compare_with=("part", "1.0"), by=[], session=session, n_resamples=20
    )
    assert isinstance(report.comparison, Comparison)
    n_labelled = rows["is_fraud"].count()
    assert report.bootstraps["recall"].value == report.evaluation.recall
    assert report.bootstraps["roc_auc"].value == pytest.approx(report.evaluation.roc_auc)
    assert [evaluation.n for evaluation in report.comparison.evaluations.values()] == [
        n_labelled,
        n_labelled,
    ]
    assert f"compared on the {n_labelled} labelled transactions that both scored" in " ".join(
        report.caveats
    )
    # The headlines are of all transactions; the other model's recall is not.
    recalls = {
        name: format_metric("recall", evaluation.recall)
        for name, evaluation in report.comparison.evaluations.items()
    }
    text = Page(report.html()).says("verdict")
    assert f"on the {n_labelled} that both scored {recalls['forest 1.0']}" in text
    assert f"part 1.0 on these {recalls['part 1.0']}" in text


def test_models_without_common_transactions_are_not_compared_and_the_page_says_why(session):
    rows = transactions()
    load_df(predictions(rows.head(50), "early", 3, 0.3), "model_predictions", session=session)
    load_df(predictions(rows.tail(50), "late", 3, 0.3), "model_predictions", session=session)
    report = model_report(
        "early", "1.0", compare_with=("late", "1.0"), by=[], session=session, n_resamples=5
    )
    assert "The models cannot be compared" in Page(report.html()).says("comparison")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model_name": "forrest"}, NotFoundError, "forest 1.0"),
        ({"compare_with": ("logti", "1.0")}, NotFoundError, "logit 1.0"),
        (
            {"compare_with": ("forest", "1.0")},
            ArgumentError,
            "must be another model than",
        ),
        ({"compare_with": "logit"}, ArgumentError, "must be a name and a version"),
        ({"label": "y", "score": "p"}, ArgumentError, "`model_version` is for a stored model"),
        ({"weight": "amont"}, NotFoundError, "'amont'.*'amount'"),
        ({"weight": {True: 1}}, ArgumentError, "weight for both labels"),
        ({"amount": "amount"}, ArgumentError, "`amount` is for a frame or file"),
        ({"model_version": None}, ArgumentError, "needs the columns of labels and of scores"),
        ({"start": "2031-01-01"}, ArgumentError, "no prediction of forest 1.0 within this range"),
        ({"end": pl.DataFrame({"amount": [1.0]})}, ArgumentError, "`end` must be a date"),
        ({"by": ["chanel"]}, NotFoundError, "channel"),
        ({"by": ["card_id"]}, ArgumentError, "single card holders"),
        ({"by": ["customer_id"]}, ArgumentError, "single card holders"),
        ({"by": [5]}, ArgumentError, "`by` must be columns"),
        ({"by": 5}, ArgumentError, "`by` must be columns.*got 5"),
        ({"by": pl.Series(["Anna"])}, ArgumentError, "`by` must be columns.*type Series"),
        (
            {"model_version": 1},
            ArgumentError,
            "`model_version` must be a string such",
        ),
        ({"model_name": pl.DataFrame({"p": [0.1]})}, ArgumentError, "must be a string such"),
        ({"compare_with": ("logit", 1)}, ArgumentError, "must be a string such as '1.0'; got 1"),
        ({"alerts_per_day": 0}, ArgumentError, "at least 1"),
        ({"threshold": float("nan")}, ArgumentError, "`threshold` must be a score"),
    ],
)
def test_what_cannot_be_reported_is_refused(session, options, error, message):
    arguments = {"model_name": "forest", "model_version": "1.0", "session": session} | options
    with pytest.raises(error, match=message):
        model_report(arguments.pop("model_name"), arguments.pop("model_version"), **arguments)


# -- Little to tell -------------------------------------------------------------------------------


def text_of_few(session, **columns) -> str:
    """Return the text of a report on a few predictions with the given columns."""
    rows = transactions().head(len(next(iter(columns.values()))))
    frame = predictions(rows, "few", 5, 0.3).with_columns(
        **{name: pl.Series(values, dtype=TYPES[name]) for name, values in columns.items()}
    )
    load_df(frame.drop("feature_importance"), "model_predictions", session=session)
    report = model_report(
        "few", "1.0", compare_with=("logit", "1.0"), session=session, n_resamples=20
    )
    text = Page(report.html()).text
    assert not re.search(r"\b[Nn]a[Nn]\b|\binf\b|\bNaT\b|<NA>|: None\b", text + repr(report))
    return " ".join(text.replace("\u00a0", " ").split())


TYPES = {"ground_truth": pl.Boolean, "fraud_probability": pl.Float64, "prediction": pl.Boolean}


def test_without_a_label_the_report_says_so(session):
    text = text_of_few(session, ground_truth=[None] * 30)
    assert "None of the 30 predictions has a label yet" in text
    assert "there is no labelled transaction" in text
    assert "The models cannot be compared" in text


def test_without_a_fraud_the_report_says_so(session):
    text = text_of_few(session, ground_truth=[False] * 30)
    assert "No transaction was fraud, so there was nothing to detect" in text
    assert "All labelled transactions have the same label" in text


def test_with_nothing_but_fraud_the_report_says_so(session):
    text = text_of_few(session, ground_truth=[True] * 30)
    assert "All labelled transactions have the same label" in text
    assert "every transaction was fraud" in text


@pytest.mark.parametrize("truth", [True, False, None])
def test_one_prediction_is_enough_for_a_report(session, truth):
    assert "1 prediction for transactions" in text_of_few(session, ground_truth=[truth])


def test_a_model_that_never_alerts_is_described_as_such(session):
    text = text_of_few(session, ground_truth=[True, False], fraud_probability=[0.1, 0.2])
    assert "The model raised no alert at this threshold" in text
    low, high = Confusion(0, 0, 1, 1).confidence_interval(
        "recall"
    )  # all draws agree, and know no better
    interval = f"95% CI {format_percent_interval(low, high)}, assuming independent transactions"
    assert f"The model detected 0 of 1 fraud ({interval})".replace("\u00a0", " ") in text
    assert "No importances are stored with these predictions" in text


def test_predictions_that_follow_no_threshold_are_reported(session):
    text = text_of_few(
        session, ground_truth=[True, False], fraud_probability=[0.1, 0.9], prediction=[True, False]
    )
    assert "the stored predictions are not consistent with any threshold" in text


@pytest.mark.parametrize(
    ("low", "high", "reading"),
    [
        (0.1, 0.2, "better"),
        (-0.2, -0.1, "worse"),
        (-0.1, 0.1, "not significant"),
        (math.nan, math.nan, "not defined"),
    ],
)
def test_an_interval_of_a_difference_is_read_in_words(low, high, reading):
    assert read_difference({"difference_low": low, "difference_high": high}) == reading
