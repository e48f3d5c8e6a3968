"""Columns that follow from others, on plain SQL: the database itself keeps them."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extras import execute_values
from sqlalchemy import text

from synfin_analytics.database.models import TABLES

DERIVED = (
    "hour_of_day",
    "day_of_week",
    "day_of_month",
    "month",
    "is_weekend",
    "time_of_day_category",
)
GIVEN = {
    "hour_of_day": 3,
    "day_of_week": 1,
    "day_of_month": 9,
    "month": 11,
    "is_weekend": True,
    "time_of_day_category": "evening",
}
# A day from the ends of what Python can represent, so that every zone can show it.
FIRST, LAST = (dt.datetime.combine(dt.date(*day), dt.time()) for day in [(1, 1, 2), (9999, 12, 30)])
MONDAY = "2026-02-16 17:59:59.5+00"
OF_MONDAY = (17, 0, 16, 2, False, "afternoon")
SUNDAY = "2026-03-15 18:00:00+00"
OF_SUNDAY = (18, 6, 15, 3, True, "evening")


@pytest.fixture
def run(manager):
    """Execute statements in one transaction, which is rolled back at the end."""
    with manager.engine.connect() as connection, connection.begin() as transaction:

        def run(statement, **values):
            result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else result.rowcount

        run("INSERT INTO customers (customer_id) VALUES ('C1')")
        run("INSERT INTO merchants (merchant_id) VALUES ('M1')")
        run.connection = connection
        yield run
        transaction.rollback()


def new_transaction(run, when, **values):
    names = "".join(f", {name}" for name in values)
    slots = "".join(f", :{name}" for name in values)
    run(
        f"INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp"
        f"{names}) VALUES ('TX1', 'C1', 'M1', 1, CAST(:moment AS timestamptz){slots})",
        moment=when,
        **values,
    )


def derived(run):
    ((*values,),) = run(f"SELECT {', '.join(DERIVED)} FROM transactions")
    return tuple(values)


# -- Transactions: INSERT ---------------------------------------------------------------------


def test_missing_columns_follow_from_the_timestamp(run):
    new_transaction(run, MONDAY)

    assert derived(run) == OF_MONDAY


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "UTC"])
def test_they_follow_in_utc_whatever_the_session_shows(run, zone):
    run("SELECT set_config('TimeZone', :zone, true)", zone=zone)

    new_transaction(run, SUNDAY)

    assert derived(run) == OF_SUNDAY


@pytest.mark.parametrize("column", DERIVED)
def test_a_supplied_column_stays_and_the_others_follow(run, column):
    new_transaction(run, MONDAY, **{column: GIVEN[column]})

    expected = dict(zip(DERIVED, OF_MONDAY, strict=True)) | {column: GIVEN[column]}
    assert derived(run) == tuple(expected.values())


@pytest.mark.parametrize("column", DERIVED)
def test_a_single_missing_column_follows(run, column):
    remaining = {name: value for name, value in GIVEN.items() if name != column}

    new_transaction(run, MONDAY, **remaining)

    expected = GIVEN | {column: dict(zip(DERIVED, OF_MONDAY, strict=True))[column]}
    assert derived(run) == tuple(expected[name] for name in DERIVED)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    moments=st.lists(
        st.datetimes(
            min_value=FIRST,
            max_value=LAST,
            timezones=st.timezones() | st.just(dt.UTC),
            allow_imaginary=False,
        ),
        min_size=1,
        max_size=50,
    )
)
def test_they_equal_those_of_python_for_any_time(run, moments):
    def expected(moment):
        utc = moment.astimezone(dt.UTC)
        category = ("night", "morning", "afternoon", "evening")[utc.hour // 6]
        weekday = utc.weekday()
        return (utc.hour, weekday, utc.day, utc.month, weekday >= 5, category)

    with run.connection.begin_nested() as savepoint:
        execute_values(
            run.connection.connection.cursor(),
            "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp)"
            " VALUES %s",
            [
                (f"TX{n}", "C1", "M1", 1, moment.astimezone(dt.UTC))
                for n, moment in enumerate(moments)
            ],
        )
        result = run(
            f"SELECT {', '.join(DERIVED)} FROM transactions ORDER BY substr(transaction_id, 3)::int"
        )
        savepoint.rollback()
    assert result == [expected(moment) for moment in moments]


# -- Transactions: UPDATE ---------------------------------------------------------------------


def test_they_follow_a_changed_timestamp(run):
    new_transaction(run, MONDAY)

    run("UPDATE transactions SET timestamp = CAST(:moment AS timestamptz)", moment=SUNDAY)

    assert derived(run) == OF_SUNDAY


@pytest.mark.parametrize("column", DERIVED)
def test_one_that_the_update_gives_stays_and_the_others_follow(run, column):
    new_transaction(run, MONDAY)

    run(
        f"UPDATE transactions SET timestamp = CAST(:moment AS timestamptz), {column} = :{column}",
        moment=SUNDAY,
        **{column: GIVEN[column]},
    )

    expected = dict(zip(DERIVED, OF_SUNDAY, strict=True)) | {column: GIVEN[column]}
    assert derived(run) == tuple(expected.values())


def test_without_a_new_timestamp_an_update_leaves_them(run):
    new_transaction(run, MONDAY, **GIVEN)

    run("UPDATE transactions SET amount = 2, timestamp = timestamp")

    assert derived(run) == tuple(GIVEN[name] for name in DERIVED)


def test_on_conflict_do_update_brings_them_along(run):
    new_transaction(run, MONDAY)

    run(
        "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp) "
        "VALUES ('TX1', 'C1', 'M1', 1, CAST(:moment AS timestamptz)) "
        "ON CONFLICT (transaction_id) DO UPDATE SET timestamp = excluded.timestamp",
        moment=SUNDAY,
    )

    assert derived(run) == OF_SUNDAY


# -- Predictions ------------------------------------------------------------------------------


def new_prediction(run, prediction, truth, **values):
    if not run("SELECT FROM transactions"):
        new_transaction(run, MONDAY)
    names, slots = ("".join(f", {mark}{name}" for name in values) for mark in ("", ":"))
    run(
        "INSERT INTO model_predictions (transaction_id, model_name, model_version, prediction, "
        f"ground_truth{names}) VALUES ('TX1', 'rf', '1', :prediction, :truth{slots})",
        prediction=prediction,
        truth=truth,
        **values,
    )


def is_correct(run):
    ((result,),) = run("SELECT is_correct FROM model_predictions")
    return result


@pytest.mark.parametrize("prediction", [True, False])
@pytest.mark.parametrize("truth", [True, False])
def test_is_correct_follows_from_the_truth(run, prediction, truth):
    new_prediction(run, prediction, truth)

    assert is_correct(run) is (prediction == truth)


def test_is_correct_is_unknown_as_long_as_the_truth_is(run):
    new_prediction(run, True, None)
    assert is_correct(run) is None

    run("UPDATE model_predictions SET ground_truth = true")
    assert is_correct(run) is True

    run("UPDATE model_predictions SET prediction = false")
    assert is_correct(run) is False

    run("UPDATE model_predictions SET ground_truth = NULL")
    assert is_correct(run) is None


def test_is_correct_may_be_given_without_a_truth(run):
    new_prediction(run, True, None, is_correct=True)

    assert is_correct(run) is True


# -- updated_at -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "table", [name for name, model in TABLES.items() if "updated_at" in model.__table__.c]
)
def test_every_update_sets_updated_at_to_the_time_of_its_transaction(run, table):
    key = next(iter(TABLES[table].__table__.primary_key)).name
    long_ago = "2001-01-01 00:00+00"
    new_transaction(run, MONDAY)
    if table.endswith("patterns"):
        run(f"INSERT INTO {table} (pattern_type) VALUES ('x')")
    run(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    run(f"UPDATE {table} SET updated_at = CAST(:t AS timestamptz)", t=long_ago)
    run(f"ALTER TABLE {table} ENABLE TRIGGER USER")

    run(f"UPDATE {table} SET {key} = {key}")

    assert run(f"SELECT updated_at = now(), created_at = now() FROM {table}") == [(True, True)]


def test_a_supplied_updated_at_does_not_outlive_an_update(run):
    new_transaction(run, MONDAY)

    run("UPDATE transactions SET updated_at = '2001-01-01 00:00+00'")

    assert run("SELECT updated_at = now() FROM transactions") == [(True,)]
