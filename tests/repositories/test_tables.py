"""What each repository asks of its table."""

import datetime as dt
import math
from decimal import Decimal

import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import insert

from synfin_analytics.database.models import Customer, Merchant, ModelPrediction, Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics import Confusion, fraud_rate
from synfin_analytics.repositories import (
    AnomalyPatternRepository,
    CustomerRepository,
    FraudPatternRepository,
    MerchantRepository,
    MLFeaturesRepository,
    ModelPredictionRepository,
    TransactionRepository,
)


def day(number: int, hour: int = 12) -> dt.datetime:
    return dt.datetime(2026, 3, number, hour, tzinfo=dt.UTC)


def put(session, *rows: dict) -> None:
    """Write transactions with what they need; each is told apart by its position."""
    for model, key, usual in ((Customer, "customer_id", "C1"), (Merchant, "merchant_id", "M1")):
        names = [{key: name} for name in sorted({row.get(key, usual) for row in rows})]
        if names:
            session.execute(insert(model).values(names).on_conflict_do_nothing())
    defaults = {"customer_id": "C1", "merchant_id": "M1", "amount": 10, "timestamp": day(2)}
    for number, row in enumerate(rows):
        session.execute(
            insert(Transaction).values({"transaction_id": f"T{number}"} | defaults | row)
        )


def keys(frame: pd.DataFrame) -> list[str]:
    return frame.iloc[:, 0].tolist()


# -- Transactions ----------------------------------------------------------------------------------


def test_lists_of_a_customer_and_a_merchant_begin_with_the_newest(session):
    put(
        session,
        {"timestamp": day(1), "merchant_id": "M2"},
        {"timestamp": day(3)},
        {"timestamp": day(2)},
        {"timestamp": day(4), "customer_id": "C2"},
    )
    repository = TransactionRepository(session)
    assert keys(repository.get_by_customer("C1")) == ["T1", "T2", "T0"]
    assert keys(repository.get_by_merchant("M1")) == ["T3", "T1", "T2"]
    assert repository.get_by_transaction_id("T3").customer_id == "C2"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (day(2, 0), day(3, 0), ["T3", "T2", "T1"]),
        (dt.date(2026, 3, 2), dt.date(2026, 3, 2), ["T2", "T1"]),
        ("2026-03-02", "2026-03-03", ["T3", "T2", "T1"]),
        ("2026-03-02T00:00", "2026-03-03T00:00", ["T3", "T2", "T1"]),
        ("2026-03-02T00:00", "2026-03-02T23:59:59.999998", ["T1"]),
        ("2026-03-02T01:00:00+01:00", "2026-03-02T00:00:01", ["T1"]),
        (pd.Timestamp("2026-03-02"), pd.Timestamp("2026-03-03"), ["T3", "T2", "T1"]),
        (None, dt.date(2026, 3, 1), ["T0"]),
        (dt.date(2026, 3, 3), dt.date.max, ["T3"]),
        (day(2), day(2), []),
        (day(3, 0), day(3, 0), ["T3"]),
    ],
)
def test_a_range_of_dates_includes_both_ends_and_a_bare_end_date_its_whole_day(
    session, start, end, expected
):
    last = dt.datetime(2026, 3, 2, 23, 59, 59, 999_999, dt.UTC)
    moments = [day(1), day(2, 0), last, day(3, 0)]
    put(session, *({"timestamp": moment, "is_fraud": True} for moment in moments))
    repository = TransactionRepository(session)
    assert keys(repository.get_by_date_range(start, end)) == expected
    assert keys(repository.get_fraud_transactions(start, end)) == expected
    assert repository.get_statistics(start, end)["fraud_count"] == len(expected)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (day(3), day(2), "`end_date` must not be earlier than `start_date`"),
        ("soon", None, "such as '2026-01-31'"),
        (None, 2026, "got 2026"),
        (pd.NaT, None, "got NaT"),
    ],
)
def test_a_range_that_is_none_is_refused(session, start, end, message):
    with pytest.raises(ArgumentError, match=message):
        TransactionRepository(session).get_by_date_range(start, end)


def test_frauds_and_anomalies_leave_out_what_is_not_labelled(session):
    put(session, {"is_fraud": True}, {"is_fraud": False}, {}, {"is_anomaly": True})
    repository = TransactionRepository(session)
    assert keys(repository.get_fraud_transactions()) == ["T0"]
    assert keys(repository.get_anomaly_transactions()) == ["T3"]


def test_amounts_from_and_to_are_included_and_the_largest_comes_first(session):
    put(session, *({"amount": Decimal(amount)} for amount in ("0.10", "5", "20", "20", "99.99")))
    repository = TransactionRepository(session)
    assert keys(repository.get_by_amount_range(0.1, 20)) == ["T2", "T3", "T1", "T0"]
    assert keys(repository.get_by_amount_range(max_amount="5")) == ["T1", "T0"]
    assert keys(repository.get_high_value_transactions(20, limit=2)) == ["T4", "T2"]


@pytest.mark.parametrize("amounts", [(5, 4), (-1, None), (math.nan, None), ("x", None)])
def test_amounts_that_are_none_are_refused(session, amounts):
    with pytest.raises(ArgumentError, match="amount"):
        TransactionRepository(session).get_by_amount_range(*amounts)


def test_a_threshold_must_be_an_amount(session):
    with pytest.raises(ArgumentError, match="at least 0"):
        TransactionRepository(session).get_high_value_transactions(None)


def test_statistics_are_counted_in_one_statement(session):
    put(
        session,
        {"amount": 10, "is_fraud": True, "is_anomaly": True},
        {"amount": 20, "is_fraud": False},
        {"amount": Decimal("0.30")},
    )
    statements = []
    event.listen(session.bind, "before_cursor_execute", lambda *args: statements.append(args[2]))
    statistics = TransactionRepository(session).get_statistics()
    assert len([statement for statement in statements if "current_schemas" not in statement]) == 1
    assert statistics == {
        "total_count": 3,
        "total_amount": 30.3,
        "avg_amount": pytest.approx(10.1),
        "min_amount": 0.3,
        "max_amount": 20.0,
        "labelled_count": 2,
        "fraud_count": 1,
        "anomaly_count": 1,
        "fraud_rate": 0.5,
    }
    exact = TransactionRepository(session, use_decimal=True).get_statistics()
    assert exact["total_amount"] == Decimal("30.30")


def test_statistics_of_nothing_are_nan_where_nothing_is_known(session):
    statistics = TransactionRepository(session).get_statistics()
    assert statistics["total_count"] == 0
    assert statistics["total_amount"] == 0
    assert all(math.isnan(statistics[f"{name}_amount"]) for name in ("avg", "min", "max"))
    assert math.isnan(statistics["fraud_rate"])
    put(session, {})
    assert math.isnan(TransactionRepository(session).get_statistics()["fraud_rate"])


rows = st.fixed_dictionaries(
    {
        "channel": st.sampled_from(["online", "pos", "atm", None]),
        "country": st.sampled_from(["", "BE", "de", "Österreich", None]),
        "timestamp": st.datetimes(
            dt.datetime.fromisoformat("1969-12-01"),
            dt.datetime.fromisoformat("2026-03-01"),
            timezones=st.just(dt.UTC),
        ),
        "amount": st.decimals("0.01", "9999999.99", places=2),
        "is_fraud": st.sampled_from([True, False, False, None]),
    }
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(rows, max_size=15),
    st.sampled_from([None, "channel", ["country", "channel"], "is_weekend"]),
    st.sampled_from([None, "6h", "1d", "3d", "1w", "1mo", "1q"]),
    st.sampled_from(["pandas", "polars", "arrow"]),
)
def test_fraud_rates_of_postgresql_and_of_every_frame_are_the_same(session, rows, by, every, kind):
    session.rollback()
    put(session, *rows)
    repository = TransactionRepository(session, output=kind)
    counted = repository.fraud_rate(by=by, every=every)
    transactions = repository.get_all()
    assert type(counted) is type(transactions)
    computed = fraud_rate(transactions, by=by, every=every)
    as_polars = [
        pl.from_pandas(rates, nan_to_null=False) if kind == "pandas" else pl.DataFrame(rates)
        for rates in (counted, computed)
    ]
    assert_frame_equal(*as_polars, check_dtypes=False, rel_tol=1e-9)


def test_amounts_that_postgresql_adds_up_are_exact(session):
    put(session, *({"amount": "0.10", "is_fraud": True} for _ in range(10)), {"amount": "1.15"})
    total = TransactionRepository(session).fraud_rate().iloc[0]
    # 0.1 added up ten times as a double is 0.9999999999999999; 1.15 has no label.
    assert (total["amount"], total["fraud_amount"]) == (1.0, 1.0)


def test_fraud_rate_within_dates_counts_no_others(session):
    put(session, {"timestamp": day(1), "is_fraud": True}, {"timestamp": day(2), "is_fraud": False})
    result = TransactionRepository(session).fraud_rate(start="2026-03-02", interval_method="exact")
    assert result["transactions"].tolist() == [1]
    assert result["fraud_rate_high"].round(3).tolist() == [0.975]


def test_the_end_of_a_fraud_rate_is_excluded_and_a_date_is_its_midnight(session):
    put(session, *({"timestamp": day(number, 0), "is_fraud": False} for number in (1, 2, 3)))
    rate = TransactionRepository(session).fraud_rate
    assert rate(start="2026-03-01", end="2026-03-03")["transactions"].tolist() == [2]
    assert rate(end=day(2, 0))["transactions"].tolist() == [1]
    with pytest.raises(ArgumentError, match="`end` must be later than `start`"):
        rate(start="2026-03-02", end="2026-03-02")


def test_fraud_rate_by_an_unknown_column_names_the_nearest(session):
    repository = TransactionRepository(session)
    with pytest.raises(NotFoundError, match=r"no column 'chanel' in 'transactions'.*'channel'"):
        repository.fraud_rate(by="chanel")
    with pytest.raises(NotFoundError, match="no interval method 'wald'"):
        repository.fraud_rate(interval_method="wald")
    with pytest.raises(ArgumentError, match="such as '1d'"):
        repository.fraud_rate(every="daily")


# -- Customers and merchants -----------------------------------------------------------------------


def test_customers_by_address_risk_and_status(session):
    repository = CustomerRepository(session)
    for key, score, category, status in [
        ("C1", 0.9, "critical", "active"),
        ("C2", 0.7, "high", "closed"),
        ("C3", 0.95, "high", "active"),
        ("C4", None, "high", None),
        ("C5", 0.1, "low", "active"),
    ]:
        repository.create(
            customer_id=key,
            email=f"{key}@example.org",
            risk_score=score,
            risk_category=category,
            account_status=status,
        )
    assert repository.get_by_email("C2@example.org").customer_id == "C2"
    assert repository.get_by_email("nobody@example.org") is None
    assert keys(repository.get_by_risk_category("high")) == ["C3", "C2", "C4"]
    assert keys(repository.get_high_risk_customers()) == ["C3", "C1", "C2"]
    assert keys(repository.get_high_risk_customers(0.9, limit=1)) == ["C3"]
    assert keys(repository.get_active_customers()) == ["C1", "C3", "C5"]
    with pytest.raises(NotFoundError, match=r"no risk category 'hihg'.*'high'"):
        repository.get_by_risk_category("hihg")


def test_merchants_by_category_and_risk(session):
    repository = MerchantRepository(session)
    for key, category, score in [
        ("M1", "grocery", 0.2),
        ("M2", "travel", 0.8),
        ("M3", "grocery", 1),
    ]:
        repository.create(merchant_id=key, category=category, risk_score=score)
    assert keys(repository.get_by_category("grocery")) == ["M1", "M3"]
    assert keys(repository.get_high_risk_merchants()) == ["M3", "M2"]
    assert repository.get_by_merchant_id("M2").category == "travel"


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, True])
def test_a_risk_threshold_is_a_score(session, threshold):
    with pytest.raises(ArgumentError, match="score from 0 to 1"):
        CustomerRepository(session).get_high_risk_customers(threshold)


SPENDING = (
    {"amount": 10, "status": "completed", "is_fraud": True},
    {"amount": 20},
    {"amount": 40, "status": "declined", "is_fraud": True},
    {"amount": 80, "status": "reversed"},
    {"amount": 320, "status": "refunded"},
    {"amount": 640, "transaction_type": "deposit"},
    {"amount": 160, "transaction_type": "refund", "status": "completed"},
    {"amount": 5, "customer_id": "C2", "merchant_id": "M2", "status": "failed"},
)


def test_statistics_of_all_customers_are_one_update(session):
    put(session, *SPENDING)
    repository = CustomerRepository(session)
    loaded = repository.create(customer_id="C3")
    statements = []
    event.listen(session.bind, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert repository.update_transaction_stats() == 3
    lookups = ("SAVEPOINT", "current_schemas")  # and the look at what the table's name means
    sent = [command for command in statements if not any(lookup in command for lookup in lookups)]
    assert [statement.split()[0] for statement in sent] == ["UPDATE"]
    frame = repository.get_all().set_index("customer_id")
    assert frame["transaction_count"].tolist() == [2, 0, 0]
    assert frame["total_spent"].tolist() == [30, 0, 0]
    assert frame["avg_transaction_amount"].fillna(-1).tolist() == [15, -1, -1]
    assert frame["fraud_history_count"].tolist() == [2, 0, 0]
    assert loaded.transaction_count == 0  # read anew, not what it was before


def test_statistics_of_one_customer_leave_the_others_alone(session):
    put(session, *SPENDING)
    repository = CustomerRepository(session)
    assert repository.update_transaction_stats("C2") == 1
    assert repository.update_transaction_stats("C9") == 0
    counts = repository.get_all()["transaction_count"]
    assert counts.isna().tolist() == [True, False]


def test_statistics_of_merchants(session):
    put(session, *SPENDING)
    repository = MerchantRepository(session)
    assert repository.update_transaction_stats() == 2
    first, second = repository.get_by_id("M1"), repository.get_by_id("M2")
    assert (first.total_transactions, first.total_revenue) == (2, 30)
    assert (first.avg_transaction_amount, first.fraud_report_count) == (15, 2)
    assert (second.total_transactions, second.avg_transaction_amount) == (0, None)


def test_statistics_count_what_was_added_and_not_yet_flushed(session):
    put(session, {})
    session.add(
        Transaction(
            transaction_id="X", customer_id="C1", merchant_id="M1", amount=7, timestamp=day(1)
        )
    )
    CustomerRepository(session).update_transaction_stats("C1")
    assert CustomerRepository(session).get_by_id("C1").total_spent == 17


# -- Features and predictions ----------------------------------------------------------------------


def predict(session, *pairs, model="rf", version="1.0"):
    put(session, *({} for _ in pairs))
    for number, (prediction, truth) in enumerate(pairs):
        session.execute(
            insert(ModelPrediction).values(
                transaction_id=f"T{number}",
                model_name=model,
                model_version=version,
                prediction=prediction,
                ground_truth=truth,
                predicted_at=day(1, number % 24),
            )
        )


def test_features_are_found_by_their_transaction(session):
    put(session, {}, {})
    repository = MLFeaturesRepository(session)
    repository.create(transaction_id="T0", amount_log=2.5)
    assert repository.get_by_transaction_id("T0").amount_log == 2.5
    assert repository.get_by_transaction_id("T1") is None


def test_predictions_by_transaction_and_by_model(session):
    predict(session, (True, True), (False, None))
    repository = ModelPredictionRepository(session)
    repository.create(transaction_id="T0", model_name="rf", model_version="2", prediction=False)
    assert repository.get_by_transaction_id("T0")["model_version"].tolist() == ["2", "1.0"]
    assert repository.get_by_model("rf", "1.0")["transaction_id"].tolist() == ["T1", "T0"]
    assert len(repository.get_by_model("rf")) == 3
    assert len(repository.get_by_model("xgb", "1.0")) == 0


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([True, False, None])), min_size=1, max_size=20
    )
)
def test_performance_is_what_counting_by_hand_gives(session, pairs):
    session.rollback()
    predict(session, *pairs)
    performance = ModelPredictionRepository(session).get_model_performance("rf", "1.0")
    expected = Confusion(*(pairs.count(pair) for pair in [(1, 1), (1, 0), (0, 1), (0, 0)]))
    assert performance["evaluated"] == expected.n
    assert performance["without_ground_truth"] == len(pairs) - expected.n
    values = [
        performance[f"{truth}_{prediction}s"]
        for truth, prediction in [
            ("true", "positive"),
            ("false", "positive"),
            ("false", "negative"),
            ("true", "negative"),
        ]
    ]
    assert values == [expected.tp, expected.fp, expected.fn, expected.tn]
    for name in ("accuracy", "precision", "recall"):
        assert performance[name] == pytest.approx(getattr(expected, name), nan_ok=True)
    assert ModelPredictionRepository(session).confusion("rf", "1.0") == expected


def test_precision_of_a_model_that_never_alarms_is_nan(session):
    predict(session, (False, True), (False, False))
    performance = ModelPredictionRepository(session).get_model_performance("rf", "1.0")
    assert math.isnan(performance["precision"])
    assert performance["recall"] == 0


def test_an_unknown_model_comes_with_the_nearest(session):
    repository = ModelPredictionRepository(session)
    with pytest.raises(NotFoundError, match=r"no model 'rf 1.0'"):
        repository.get_model_performance("rf", "1.0")
    predict(session, (True, True))
    with pytest.raises(NotFoundError, match=r"no model 'rf 1.1' .* Did you mean 'rf 1.0'"):
        repository.get_model_performance("rf", "1.1")


# -- Patterns --------------------------------------------------------------------------------------


@pytest.mark.parametrize("repository_class", [FraudPatternRepository, AnomalyPatternRepository])
def test_patterns_by_type_and_severity(session, repository_class):
    repository = repository_class(session, output="polars")
    for kind, severity, seen in [("a", "high", day(1)), ("a", "low", None), ("b", "high", day(2))]:
        repository.create(pattern_type=kind, severity=severity, last_detected=seen)
    assert repository.get_by_type("a")["severity"].to_list() == ["high", "low"]
    assert repository.get_by_severity("high")["pattern_type"].to_list() == ["b", "a"]
    with pytest.raises(NotFoundError, match="'critical'"):
        repository.get_by_severity("critcal")
