"""What validators report: KS, Gini, log loss, value and false alerts; gains and lift by band."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from engines import ENGINES
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn import metrics as sk

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import GainsTable, evaluate

#: Scores with ties, both ends, and neighbours that must not be taken for one.
SCORES = st.one_of(
    st.sampled_from([0.0, 5e-324, 0.1, 0.25, 0.5, 0.5 + 2**-53, 1 - 2**-53, 1.0]), st.floats(0, 1)
)
ROWS = st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=60)
BOTH_CLASSES = ROWS.filter(lambda rows: len({label for _, label in rows}) == 2)

FRAME = pl.DataFrame(
    {
        "is_fraud": [1, 0, 1, 0, 0, 0, 0, 1],
        "p": [0.9, 0.9, 0.7, 0.6, 0.4, 0.4, 0.4, 0.1],
        "amount": [80.0, 5.0, 20.0, 9.0, 4.0, 6.0, None, 100.0],
        "channel": ["pos", "pos", "pos", "pos", "online", "online", "online", "online"],
    }
)


def arrays(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    score, label = zip(*rows, strict=True)
    return np.array(label), np.array(score)


# -- Over all thresholds -------------------------------------------------------------------------


@given(BOTH_CLASSES)
def test_ks_is_the_statistic_of_scipy(rows):
    label, score = arrays(rows)
    with np.errstate(divide="ignore"):  # in the p-value of two rows
        expected = ks_2samp(score[label], score[~label], method="asymp").statistic
    assert evaluate(label, score).ks == pytest.approx(expected, rel=1e-12)


@given(BOTH_CLASSES)
def test_gini_and_log_loss_are_those_of_scikit_learn(rows):
    label, score = arrays(rows)
    model = evaluate(label, score)
    assert model.gini == pytest.approx(2 * sk.roc_auc_score(label, score) - 1, abs=1e-12)
    assert model.log_loss == pytest.approx(sk.log_loss(label, score), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("label", [0, 1])
def test_without_both_classes_ks_and_gini_are_undefined_and_say_why(label):
    model = evaluate([label, label], [0.2, 0.8])
    notes = model.summary().set_index("metric")["note"]
    for metric in ("ks", "gini"):
        assert math.isnan(getattr(model, metric))
        assert notes[metric] == f"{'every' if label else 'no'} transaction was fraud"
    assert model.log_loss == pytest.approx(-math.log(0.16) / 2)


def test_the_same_score_for_all_has_the_baseline():
    model = evaluate([1, 0, 0, 0], [0.25] * 4)
    assert (model.ks, model.gini) == (0, 0)
    for metric in ("ks", "gini", "log_loss"):
        assert getattr(model, metric) == pytest.approx(model.baseline(metric))


# -- At the threshold ----------------------------------------------------------------------------


@given(BOTH_CLASSES, SCORES)
def test_value_and_false_alerts_are_those_of_the_alerts(rows, threshold):
    label, score = arrays(rows)
    amount = np.arange(1.0, len(label) + 1)
    model = evaluate(label, score, amount=amount, threshold=threshold)

    alert = score >= threshold
    caught = amount[alert & label].sum() / amount[label].sum()
    assert model.value_detection_rate == pytest.approx(caught)
    assert model.alert_rate == pytest.approx(alert.mean())
    assert model.false_positive_rate == pytest.approx(alert[~label].mean())
    if (alert & label).any():
        ratio = (alert & ~label).sum() / (alert & label).sum()
        assert model.false_positive_ratio == pytest.approx(ratio)


def test_the_interval_of_false_alerts_per_fraud_follows_from_that_of_precision():
    model = evaluate(FRAME, score="p", threshold=0.5)
    low, high = model.confidence_interval("precision")
    ends = (1 / high - 1, 1 / low - 1)
    assert model.confidence_interval("false_positive_ratio") == pytest.approx(ends)
    row = model.summary().set_index("metric").loc["false_positive_ratio"]
    assert (row["value_low"], row["value_high"]) == pytest.approx(ends)
    assert model.false_positive_ratio == 1


def test_the_interval_of_false_alerts_per_fraud_has_no_upper_end_without_a_detected_fraud():
    model = evaluate([0, 0, 1], [0.9, 0.8, 0.1])
    _, high = model.confidence_interval("false_positive_ratio")
    assert high == math.inf
    assert math.isnan(model.false_positive_ratio)
    notes = model.summary().set_index("metric")["note"]
    assert notes["false_positive_ratio"] == "no fraud was alerted"


def test_value_detection_needs_amounts_of_fraud():
    valueless = FRAME.with_columns(amount=pl.lit(0))
    notes = evaluate(valueless, score="p", amount="amount").summary().set_index("metric")["note"]
    assert notes["value_detection_rate"] == "no fraud has a value"

    model = evaluate(FRAME, score="p")
    assert math.isnan(model.value_detection_rate)
    assert "value_detection_rate" not in model.summary()["metric"].tolist()
    with pytest.raises(ArgumentError, match="the value detection rate need the amounts"):
        model.bootstrap("value_detection_rate")


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_has_the_same_numbers_overall_and_by_group(kind):
    expected = {
        "value_detection_rate": 0.5,
        "false_positive_ratio": 1.0,
        "alert_rate": 0.5,
        "false_positive_rate": 0.4,
        "ks": 7 / 15,
        "gini": 2 / 15,
    }
    grouped = evaluate(ENGINES[kind](FRAME), score="p", amount="amount", by="channel")
    for metric, value in expected.items():
        assert getattr(grouped.overall, metric) == pytest.approx(value), metric
    values = grouped.to_frame().set_index(["channel", "metric"])["value"]
    assert values["online", "value_detection_rate"] == 0
    assert values["pos", "ks"] == pytest.approx(0.5)


# -- Gains and lift ------------------------------------------------------------------------------


def test_a_gains_table_counts_each_band_and_those_above_it():
    gains = evaluate(FRAME, score="p", amount="amount").gains_table([0.3, 0.65])
    table = gains.to_frame()

    assert isinstance(gains, GainsTable)
    assert table["score_from"].tolist() == [0.65, 0.3, 0.0]
    assert table["score_to"].tolist() == [1.0, 0.65, 0.3]
    assert table["transactions"].tolist() == [3, 4, 1]
    assert table["frauds"].tolist() == [2, 0, 1]
    assert table["fraud_amount"].tolist() == [100, 0, 100]
    assert table["cumulative_fraud_amount_share"].tolist() == [0.5, 0.5, 1]
    assert table["cumulative_fraud_share"].tolist() == pytest.approx([2 / 3, 2 / 3, 1])
    assert table["lift"].tolist() == pytest.approx([16 / 9, 0, 8 / 3])
    assert table["cumulative_lift"].tolist() == pytest.approx([16 / 9, 16 / 21, 1])
    assert table["ks"].tolist() == pytest.approx([2 / 3 - 1 / 5, 2 / 3 - 1, 0])


@given(BOTH_CLASSES, st.integers(1, 15))
def test_bands_hold_all_transactions_and_split_no_score(rows, bands):
    label, score = arrays(rows)
    model = evaluate(label, score)
    table = model.gains_table(bands).to_frame()

    assert len(table) <= bands
    assert table["transactions"].sum() == len(score)
    for row in table.itertuples():
        inside = (score >= row.score_from) & (score <= row.score_to)
        assert (row.transactions, row.frauds) == (inside.sum(), label[inside].sum())
        above = model.at_threshold(row.score_from)
        assert row.cumulative_fraud_share == pytest.approx(above.recall)
        assert row.cumulative_lift == pytest.approx(above.precision / above.prevalence)
        assert row.ks == pytest.approx(above.recall - above.false_positive_rate)


@given(BOTH_CLASSES, st.integers(1, 15))
def test_a_band_ends_where_its_share_is_reached_and_no_later(rows, bands):
    label, score = arrays(rows)
    table = evaluate(label, score).gains_table(bands).to_frame()
    reached = table["transactions"].cumsum().to_numpy()
    before = reached - [(score == low).sum() for low in table["score_from"]]

    shares = np.arange(1, bands + 1) * len(score)
    for upper, lower in zip(reached * bands, before * bands, strict=True):
        assert ((shares > lower) & (shares <= upper)).any()


def test_without_ties_deciles_have_equally_many_transactions():
    generator = np.random.default_rng(0)
    gains = evaluate(generator.random(1000) < 0.1, generator.permutation(1000) / 1000).gains_table()
    assert gains.to_frame()["transactions"].tolist() == [100] * 10
    assert gains.to_frame()["band"].tolist() == list(range(1, 11))


def test_a_band_has_the_interval_of_its_fraud_rate():
    model = evaluate(FRAME, score="p", interval_method="exact", confidence_level=0.9)
    row = model.gains_table([0.65]).to_frame().iloc[0]
    top = model.at_threshold(0.65).confidence_interval("precision")
    assert (row["fraud_rate_low"], row["fraud_rate_high"]) == pytest.approx(top)


def test_a_band_without_transactions_has_no_rate():
    row = evaluate(FRAME, score="p").gains_table([0.2, 0.3]).to_frame().iloc[1]
    assert row["transactions"] == 0
    assert math.isnan(row["fraud_rate"])
    assert math.isnan(row["lift"])


def test_bands_of_no_transactions_are_none():
    gains = evaluate([None], [0.5]).gains_table()
    assert len(gains.to_frame()) == 0
    assert repr(gains) == "GainsTable(0 bands, 0 transactions, 0 frauds)"


@pytest.mark.parametrize("kind", ENGINES)
def test_gains_of_every_engine_are_the_same(kind):
    gains = evaluate(ENGINES[kind](FRAME), score="p", amount="amount").gains_table(3)
    assert gains.to_frame().equals(evaluate(FRAME, score="p", amount="amount").gains_table(3).bands)


def test_scores_in_float32_belong_to_the_band_of_their_edge():
    frame = FRAME.with_columns(pl.col("p").cast(pl.Float32))
    assert evaluate(frame, score="p").gains_table([0.7]).bands["transactions"].tolist() == [3, 5]


def test_a_gains_table_can_be_shown_and_written():
    gains = evaluate(FRAME, score="p", amount="amount").gains_table([0.5])
    assert repr(gains) == (
        "GainsTable(2 bands, 8 transactions, 3 frauds; the first band has 66.7% of the frauds, "
        "lift 1.333)"
    )
    html = gains._repr_html_()
    for text in ("0.5 to 1", "66.7%", "cumulative fraud value", "95% interval"):
        assert text in html
    record = json.loads(json.dumps(gains.to_dict()))
    assert (record["n"], record["n_frauds"], len(record["bands"])) == (8, 3, 2)
    assert gains.to_frame("polars")["band"].to_list() == [1, 2]


@pytest.mark.parametrize("bands", [0, 1.5, "ten", [], [0.5, 0.5], [0.0, 0.5], [0.5, 1.2], ["a"]])
def test_bands_must_be_a_number_or_rising_scores(bands):
    with pytest.raises(ArgumentError, match="`bands` must be"):
        evaluate(FRAME, score="p").gains_table(bands)
