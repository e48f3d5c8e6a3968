"""Every rule of a column is kept by PostgreSQL itself: what it admits, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import CheckConstraint, Date, Float, Integer, Numeric, SmallInteger, text
from sqlalchemy.exc import IntegrityError

from synfin_analytics._core.validation.rules import DateRange, Matches, OneOf, Range, rule_of
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import TABLES

REQUIRED = {
    "customers": {"customer_id": "C2"},
    "merchants": {"merchant_id": "M2"},
    "transactions": {
        "transaction_id": "TX2",
        "customer_id": "C1",
        "merchant_id": "M1",
        "amount": "1",
        "timestamp": "2026-01-01 00:00+00",
    },
    "ml_features": {"transaction_id": "TX1"},
    "model_predictions": {
        "transaction_id": "TX1",
        "model_name": "rf",
        "model_version": "1",
        "prediction": "true",
    },
    "fraud_patterns": {"pattern_type": "card_testing"},
    "anomaly_patterns": {"pattern_type": "holiday"},
}

# A text of a fixed form: some that have it, some that just miss it.
FORMS = {
    "currency": (["EUR"], ["eur", "EU", "E1R", " EU", ""]),
    "mcc_code": (["5411", "0000"], ["541", "54a1", "", "٥٤١١"]),
}
HUGE = "1.7976931348623157e308"


def range_cases(column, rule):
    """Values as text: those at the bounds, and those just beyond."""
    is_integer = isinstance(column.type, (Integer, SmallInteger))
    step = 1 if is_integer else 0.01
    good, bad = [], []
    if rule.above is not None:
        good.append(rule.above + step)
        bad += [rule.above, rule.above - 1]
    if rule.low is not None:
        good.append(rule.low)
        bad.append(rule.low - step)
    if rule.high is not None:
        good.append(rule.high)
        bad.append(rule.high + step)
    if isinstance(column.type, (Float, Numeric)):
        bad.append("NaN")
    if isinstance(column.type, Float):
        bad += ["Infinity", "-Infinity"]
        good += [HUGE] if rule.high is None else []
        good += [f"-{HUGE}"] if rule.low is None and rule.above is None else []
    return [str(value) for value in good], [str(value) for value in bad]


def cases(column):
    """Values that the column's rule admits, and values that it refuses."""
    match rule_of(column):
        case OneOf(values):
            return list(values), ["nonsense", "", values[0].upper(), f" {values[0]}"]
        case Matches():
            return FORMS[column.name]
        case Range() as rule:
            return range_cases(column, rule)
        case DateRange() if isinstance(column.type, Date):
            return ["0001-01-01", "9999-12-31"], ["infinity", "-infinity", "0001-12-31 BC"]
        case DateRange():
            return (
                ["0001-01-01 00:00+00", "9999-12-31 23:59:59.999999+00"],
                ["infinity", "-infinity", "0001-12-31 23:59:59 BC+00", "10000-01-01 00:00+00"],
            )


RULED = [
    pytest.param(table, column, id=f"{table}.{column.name}")
    for table, model in TABLES.items()
    for column in model.__table__.columns
    if rule_of(column) is not None
]


@pytest.fixture(scope="module")
def connection(_module_database):
    # The environment of a run names the folder of its own server.
    manager = DatabaseManager(replace(DatabaseConfig.from_env(), database=_module_database))
    with manager.engine.connect() as connection, connection.begin() as transaction:
        connection.execute(text("INSERT INTO customers (customer_id) VALUES ('C1')"))
        connection.execute(text("INSERT INTO merchants (merchant_id) VALUES ('M1')"))
        insert(connection, "transactions", {"transaction_id": "TX1"})
        yield connection
        transaction.rollback()
    manager.close()


def insert(connection, table, values):
    row = REQUIRED[table] | values
    types = {name: TABLES[table].__table__.c[name].type.compile(connection.dialect) for name in row}
    names = ", ".join(f'"{name}"' for name in row)
    slots = ", ".join(f"CAST(:{name} AS {types[name]})" for name in row)
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({slots})"), row)


@pytest.mark.parametrize(("table", "column"), RULED)
def test_a_value_against_the_rule_is_refused_by_its_constraint(connection, table, column):
    _, bad = cases(column)
    assert bad

    for value in bad:
        with pytest.raises(IntegrityError) as refusal, connection.begin_nested():
            insert(connection, table, {column.name: value})
        assert refusal.value.orig.diag.constraint_name == f"ck_{table}_{column.name}", value


@pytest.mark.parametrize(("table", "column"), RULED)
def test_a_value_within_the_rule_is_kept(connection, table, column):
    good, _ = cases(column)
    assert good

    for value in good:
        with connection.begin_nested() as savepoint:
            insert(connection, table, {column.name: value})
            savepoint.rollback()


def test_a_wrong_is_correct_is_refused(connection):
    for prediction, truth, correct in [("true", "true", "false"), ("true", "false", "true")]:
        with pytest.raises(IntegrityError) as refusal, connection.begin_nested():
            insert(
                connection,
                "model_predictions",
                {"prediction": prediction, "ground_truth": truth, "is_correct": correct},
            )
        assert refusal.value.orig.diag.constraint_name == "ck_model_predictions_is_correct"


def test_every_check_of_the_models_is_tried_here():
    tried = {f"ck_{parameter.values[0]}_{parameter.values[1].name}" for parameter in RULED}
    declared = {
        # The naming convention is applied when the name is written out.
        f"ck_{table}_{constraint.name.removeprefix(f'ck_{table}_')}"
        for table, model in TABLES.items()
        for constraint in model.__table__.constraints
        if isinstance(constraint, CheckConstraint)
    }

    assert declared == tried | {"ck_model_predictions_is_correct"}


@pytest.mark.parametrize(
    ("table", "column"),
    [
        pytest.param(table, column, id=f"{table}.{column}")
        for table, row in REQUIRED.items()
        for column in row
    ],
)
def test_a_required_value_must_be_there(connection, table, column):
    with pytest.raises(IntegrityError) as refusal, connection.begin_nested():
        insert(connection, table, {column: None})

    assert refusal.value.orig.diag.column_name == column


@pytest.mark.parametrize("table", TABLES)
def test_nothing_else_is_required(connection, table):
    with connection.begin_nested() as savepoint:
        insert(connection, table, {})
        savepoint.rollback()
