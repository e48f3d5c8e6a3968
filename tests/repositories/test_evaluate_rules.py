"""Rules evaluated inside PostgreSQL: the numbers of a frame of the same rows."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from engines import QUICK, ROWS, SCHEMA, a_third_of_engines, engines_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from synfin_analytics import evaluate_rules
from synfin_analytics.exceptions import ArgumentError, NotFoundError, QueryError
from synfin_analytics.io.load import load_df
from synfin_analytics.repositories import TransactionRepository

CONDITIONS = {
    "large": "amount > 100",
    "cents": "amount % 1 = 0.99 OR amount BETWEEN 20 AND 100",
    "night": "EXTRACT(hour FROM timestamp) < 12 AND channel = 'online'",
    "ratio": "amount / (amount - 20) > 1.5",
    "not online": "channel <> 'online'",
    "weekend": "is_holiday",
}
COLUMNS = ["channel", "timestamp", "amount", "is_fraud", "customer_id", "merchant_id", "card_id"]


def stored_rows(rows):
    """Rows that the table accepts, with keys."""
    frame = pl.DataFrame(rows, schema=SCHEMA).select(COLUMNS).drop_nulls(["timestamp", "amount"])
    channels = pl.col("channel").replace("", None)
    holiday = pl.Series("is_holiday", [number % 3 == 0 or None for number in range(len(frame))])
    keys = [f"TX{number}" for number in range(len(frame))]
    return frame.with_columns(
        channels, holiday.cast(pl.Boolean), pl.Series("transaction_id", keys, pl.String)
    )


def store(frame, session):
    load_df(frame, "transactions", on_missing_parent="create", session=session)


def record(evaluation):
    """All tables, with sums of doubles as they are in any order."""
    result = evaluation.to_dict()
    result["combinations"].sort(key=lambda row: row["rules"])
    return rounded(result)


def rounded(value):
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return pytest.approx(value, rel=1e-9, abs=1e-6) if isinstance(value, float) else value


@a_third_of_engines
@settings(max_examples=4, phases=QUICK, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(ROWS, min_size=1, max_size=25),
    cluster=st.sampled_from([None, "auto", "card_id", ["card_id", "merchant_id"]]),
    every=st.sampled_from(["1d", "1w", "1mo", "6h"]),
)
def test_the_result_is_that_of_frames_of_every_engine(session, engines, rows, cluster, every):
    frame = stored_rows(rows)
    store(frame, session)
    options = {"cluster": cluster, "every": every}
    result = TransactionRepository(session).evaluate_rules(CONDITIONS, **options).to_dict()
    session.rollback()
    result["combinations"].sort(key=lambda row: row["rules"])
    for native in engines_for(frame, engines).values():
        assert result == record(evaluate_rules(native, CONDITIONS, **options))


def payments(n=200):
    rng = np.random.default_rng(5)
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    fraud = rng.random(n) < 0.2
    return pl.DataFrame(
        {
            "transaction_id": [f"TX{number}" for number in range(n)],
            "customer_id": [f"C{number}" for number in rng.integers(30, size=n)],
            "merchant_id": [f"M{number}" for number in rng.integers(9, size=n)],
            "amount": rng.integers(1, 900, n) + 300 * fraud,
            "timestamp": [start + dt.timedelta(hours=int(h)) for h in rng.integers(1500, size=n)],
            "is_fraud": fraud,
            "label_available_at": start + dt.timedelta(days=40),
        }
    )


@pytest.fixture
def frame(session):
    rows = payments()
    store(rows, session)
    return rows


@pytest.fixture
def repository(session):
    return TransactionRepository(session, "polars")


def test_more_rules_than_a_word_has_bits(repository, frame):
    rules = {f"over {limit}": f"amount > {limit}" for limit in range(0, 1300, 10)}
    result = repository.evaluate_rules(rules)
    expected = evaluate_rules(frame, rules)
    for column in ("alerts", "frauds", "alerts_only_here"):
        assert result.rules[column].to_list() == expected.rules[column].to_list()


def test_what_was_known_on_a_day_in_a_range_of_dates(repository, frame):
    rules = {"large": "amount > 500"}
    range_of_dates = (pl.col("timestamp") >= dt.datetime(2026, 1, 9, tzinfo=dt.UTC)) & (
        pl.col("timestamp") < dt.datetime(2026, 2, 15, tzinfo=dt.UTC)
    )
    for as_of in ("2026-02-01", "2026-03-01"):
        result = repository.evaluate_rules(rules, start="2026-01-09", end="2026-02-15", as_of=as_of)
        expected = evaluate_rules(frame.filter(range_of_dates), rules, as_of=as_of)
        assert result.to_dict() == record(expected)


def test_rows_that_fail_are_counted_and_rules_that_fail_named(repository, frame):
    rules = {
        "ratio": "500 / (amount - amount) > 1",
        "typing error": "amuont > 1",
        "expression": pl.col("amount") > 1,
        "text": "currency",
        "large": "amount > 500",
    }
    result = repository.evaluate_rules(rules)
    assert result.rules["error_rows"].to_list() == [len(frame), 0]
    assert list(result.failed) == ["typing error", "expression", "text"]
    assert "amount" in result.failed["typing error"]


def test_no_rules_and_none_that_can_be_evaluated(repository, frame):
    with pytest.raises(ArgumentError, match="at least one rule"):
        repository.evaluate_rules({})
    with pytest.raises(ArgumentError, match="None of the rules can be evaluated"):
        repository.evaluate_rules({"a": "nothing > 1", "b": "DROP TABLE transactions"})


def test_a_rule_that_postgresql_refuses_does_not_stop_the_others(repository, frame, session):
    session.execute(text("ALTER TABLE transactions DROP COLUMN entry_mode"))
    rules = {"chip": "entry_mode = 'chip'", "large": "amount > 500"}
    result = repository.evaluate_rules(rules)
    assert list(result.failed) == ["chip"]
    assert "entry_mode" in result.failed["chip"]
    assert result.rules["alerts"].to_list() == [(frame["amount"] > 500).sum()]
    with pytest.raises(ArgumentError, match="None of the rules can be evaluated"):
        repository.evaluate_rules({"chip": "entry_mode = 'chip'"})
    session.rollback()


def test_a_model_is_one_more_rule(repository, frame, session):
    scores = pl.Series([None if number % 5 == 0 else number / 200 for number in range(200)])
    predictions = frame.select(
        "transaction_id",
        model_name=pl.lit("forest"),
        model_version=pl.lit("1.0"),
        prediction=pl.lit(value=True),
        fraud_probability=scores,
    )
    load_df(predictions.drop_nulls("fraud_probability"), "model_predictions", session=session)
    rules = {"large": "amount > 500", "model": "score >= 0.5"}
    result = repository.evaluate_rules(rules, models={"score": ("forest", "1.0")})
    expected = evaluate_rules(frame.with_columns(score=scores), rules)
    assert result.beside("model").to_dicts() == expected.beside("model").to_dicts()
    assert any("forest 1.0 has no score for 40 transactions" in line for line in result.caveats)
    with pytest.raises(NotFoundError, match="forest 2"):
        repository.evaluate_rules(rules, models={"score": ("forest", "2")})
    with pytest.raises(ArgumentError, match="does not have; got 'amount'"):
        repository.evaluate_rules(rules, models={"amount": ("forest", "1.0")})


def test_changes_that_are_not_committed_are_seen_and_stay(repository, frame, session):
    session.execute(text("UPDATE transactions SET amount = 5000 WHERE transaction_id = 'TX0'"))
    assert repository.evaluate_rules({"huge": "amount >= 5000"}).rules["alerts"].to_list() == [1]
    session.execute(text("UPDATE transactions SET amount = 6000 WHERE transaction_id = 'TX0'"))
    settings_after = session.execute(
        text(
            "SELECT current_setting('transaction_read_only'), current_setting('statement_timeout')"
        )
    ).one()
    assert tuple(settings_after) == ("off", "0")
    assert repository.evaluate_rules({"huge": "amount >= 6000"}).rules["alerts"].to_list() == [1]


def test_a_timeout_says_what_to_do_and_leaves_the_session_usable(repository, frame, session):
    # Each comparison of the rows with themselves is slow enough to exceed a millisecond.
    rules = {f"r{n}": f"round(amount * {n} + 1, 2) > {n} OR ln(amount) > {n}" for n in range(300)}
    with pytest.raises(QueryError, match=r"within timeout=0.001 seconds: limit the transactions"):
        repository.evaluate_rules(rules, timeout=0.001)
    assert session.execute(text("SELECT count(*) FROM transactions")).scalar_one() == len(frame)
    with pytest.raises(ArgumentError, match="`timeout` must be"):
        repository.evaluate_rules(rules, timeout=0)


def test_a_session_with_autocommit(frame, session, manager):
    session.commit()
    with manager.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        from sqlalchemy.orm import Session

        with Session(bind=connection) as own:
            result = TransactionRepository(own, "polars").evaluate_rules(["is_fraud"])
            assert own.execute(text("SHOW statement_timeout")).scalar_one() == "0"
    assert result.rules["alerts"].to_list() == [frame["is_fraud"].sum()]
