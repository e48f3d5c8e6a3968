"""The first k of each day, of transactions and of cards."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics.topk import card_precision_at_k

DAY = np.datetime64("2024-05-01")


def frame(*rows) -> pl.DataFrame:
    """Rows of day, card, score and label."""
    schema = {"day": pl.Int64, "card": pl.String, "p": pl.Float64, "is_fraud": pl.Boolean}
    return pl.DataFrame(rows, schema, orient="row").with_columns(
        timestamp=pl.lit(DAY).cast(pl.Datetime("us", "UTC")) + pl.duration(days="day", hours=3)
    )


def cards(rows: pl.DataFrame, k: int):
    return evaluate(rows, score="p").card_precision_at_k(k, entity="card")


def test_a_detected_card_leaves_the_pool_of_later_days():
    rows = frame(
        (0, "A", 0.9, True), (0, "B", 0.5, False),
        (1, "A", 0.9, True), (1, "B", 0.5, False), (1, "C", 0.4, True),
    )  # fmt: skip
    top = cards(rows, 1)

    assert top.daily["hits"].tolist() == [1, 0]  # on the second day B comes first
    assert top.daily["candidates"].tolist() == [2, 2]
    assert top.daily["compromised"].tolist() == [1, 1]
    assert top.value == 0.5


def test_a_compromised_card_that_was_not_detected_stays():
    rows = frame((0, "A", 0.1, True), (0, "B", 0.5, False), (1, "A", 0.9, True))
    assert cards(rows, 1).daily["hits"].tolist() == [0, 1]


def test_a_card_has_its_highest_score_and_any_fraud_of_the_day():
    rows = frame((0, "A", 0.1, True), (0, "A", 0.8, False), (0, "B", 0.5, False))
    assert cards(rows, 1).daily["hits"].tolist() == [1]


def test_the_ceiling_is_what_the_number_of_compromised_cards_allows():
    rows = frame((0, "A", 0.9, True), (0, "B", 0.8, False), (0, "C", 0.7, False))
    top = cards(rows, 2)

    assert top.value == 0.5
    assert top.max_achievable == 0.5
    assert repr(top) == "card precision@2 = 0.500 over 1 days (at most 0.500)"


def test_transactions_that_tie_share_the_places_that_are_left():
    rows = frame((0, "A", 0.9, False), (0, "B", 0.5, True), (0, "C", 0.5, False))
    top = evaluate(rows, score="p").precision_at_k(2)
    assert top.daily["hits"].tolist() == [0.5]


def test_all_groups_together_know_their_rows():
    rows = frame((0, "A", 0.9, True), (1, "B", 0.5, False))
    overall = evaluate(rows, score="p", by="card").overall
    assert overall.precision_at_k(1).daily["hits"].tolist() == [1, 0]


def test_days_are_those_of_utc():
    rows = frame((0, "A", 0.9, True), (1, "B", 0.8, True)).with_columns(
        pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo")
    )
    days = evaluate(rows, score="p").precision_at_k(1).daily["day"]
    assert days.astype(str).tolist() == ["2024-05-01", "2024-05-02"]


def test_without_rows_there_is_no_day_and_no_value():
    top = evaluate(frame(), score="p").precision_at_k(5)
    assert math.isnan(top.value)
    assert math.isnan(cards(frame(), 5).max_achievable)


@pytest.mark.parametrize("k", [0, -1, 2.5, True, None])
def test_k_is_a_number_of_places(k):
    with pytest.raises(ArgumentError, match="`k` must be a whole number of at least 1; got"):
        evaluate(frame(), score="p").precision_at_k(k)


def test_a_row_without_a_time_or_a_card_is_reported():
    rows = frame((0, "A", 0.9, True), (0, None, 0.8, True))
    with pytest.raises(ArgumentError, match="'card' must have a value in each labelled row"):
        cards(rows, 1)
    timeless = rows.with_columns(timestamp=pl.lit(None, pl.Datetime("us", "UTC")))
    with pytest.raises(ArgumentError, match="must have a timestamp in each labelled row"):
        evaluate(timeless, score="p").precision_at_k(1)


def columns(rows):
    """Rows as arrays, one for each column."""
    return [np.array(column) for column in zip(*rows, strict=True)] if rows else [np.empty(0)] * 4


rows_of_days = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 8),
        st.sampled_from([0.1, 0.4, 0.4, 0.9]),
        st.booleans(),
    ),
    max_size=40,
)


@given(rows_of_days, st.integers(1, 5))
def test_cards_are_detected_as_one_would_by_hand(rows, k):
    by_day: dict[int, dict[int, tuple[float, bool]]] = {}
    for day, card, score, fraud in rows:
        best, bad = by_day.setdefault(day, {}).get(card, (0.0, False))
        by_day[day][card] = (max(best, score), bad or fraud)
    detected: set[int] = set()
    expected = []
    for _, pool in sorted(by_day.items()):
        ranked = sorted((-score, card) for card, (score, _) in pool.items() if card not in detected)
        hits = {card for _, card in ranked[:k] if pool[card][1]}
        expected.append(len(hits))
        detected |= hits

    flat = [(day, card, *pool) for day, cards in by_day.items() for card, pool in cards.items()]
    day, card, score, fraud = columns(flat)
    top = card_precision_at_k(day, card, score, np.asarray(fraud, bool), k)
    assert top.daily["hits"].tolist() == expected


@given(rows_of_days, st.integers(1, 5))
def test_hits_are_the_mean_of_all_ways_to_break_ties(rows, k):
    day, _, score, fraud = columns(rows)
    top = evaluate(
        frame(*((*row[:1], str(row[1]), *row[2:]) for row in rows)), score="p"
    ).precision_at_k(k)
    for place, date in enumerate(np.unique(day)):
        scores, bad = score[day == date], fraud[day == date]
        cut = np.sort(scores)[::-1][min(k, len(scores)) - 1]
        sure, tied = scores > cut, scores == cut
        expected = bad[sure].sum() + (min(k, len(scores)) - sure.sum()) * bad[tied].mean()
        assert top.daily["hits"].iloc[place] == pytest.approx(expected)
