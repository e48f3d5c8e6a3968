"""Neither the server's log nor pg_stat_statements contains a value of a query that reads."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import servers

from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import Customer, Transaction
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_batches, read_df
from synfin_analytics.reports import fraud_report
from synfin_analytics.repositories import (
    CustomerRepository,
    MLFeaturesRepository,
    ModelPredictionRepository,
    TransactionRepository,
)

SECRET = "ana@example.org"
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


@pytest.fixture(scope="module", params=["wheel", "debian"])
def logging_server(request):
    """A server that logs all that it can; one of them plans, too."""
    if request.param == "debian" and not DEBIAN:
        pytest.skip("there is no other PostgreSQL: apt-get install postgresql")
    libraries = {"shared_preload_libraries": "pg_stat_statements"}
    if request.param == "debian":
        libraries = {
            "shared_preload_libraries": "pg_stat_statements,auto_explain",
            "auto_explain.log_min_duration": "0",
            "auto_explain.log_nested_statements": "on",
        }
    server = servers.TcpServer.create(
        DEBIAN[-1].parent if request.param == "debian" else None,
        **libraries,
        log_statement="all",
        log_min_duration_statement="0",
        log_parameter_max_length="-1",
    ).start()
    try:
        fill(server)
        yield server
    finally:
        server.remove()


def fill(server):
    """Create the tables, with a customer and some transactions."""
    with server.connect("postgres") as admin:
        admin.execute("CREATE EXTENSION pg_stat_statements")
    manager = DatabaseManager(server.config())
    manager.create_all_tables()
    load_df(
        [{"customer_id": "C-4111", "email": SECRET, "country": "ESP"}], "customers", manager=manager
    )
    load_df(
        [
            {
                "transaction_id": f"T{number}",
                "customer_id": "C-4111",
                "merchant_id": "M1",
                "amount": 4111.5,
                "timestamp": dt.datetime(2026, 2, 1, tzinfo=dt.UTC),
                "is_fraud": number == 1,
            }
            for number in range(5)
        ],
        "transactions",
        on_missing_parent="create",
        manager=manager,
    )
    load_df(
        [
            {
                "transaction_id": f"T{number}",
                "model_name": "who-model",
                "model_version": "who-1",
                "fraud_probability": number / 10,
                "prediction": number > 3,
            }
            for number in range(5)
        ],
        "model_predictions",
        manager=manager,
    )
    manager.close()


def recorded(server):
    """The log of the server, and the statements that it counts."""
    with server.connect("postgres") as admin:
        admin.execute("SELECT query FROM pg_stat_statements")
        counted = [query for (query,) in admin.fetchall()]
    return (server.folder / "log").read_text(encoding="utf-8"), counted


def run(manager):
    """Read in all ways, with values that appear nowhere else."""
    where = {"e": "who-7001@example.org", "n": 700_200, "d": dt.date(1970, 3, 4)}
    query = "SELECT * FROM customers WHERE email = :e AND :n > 1 AND created_at > :d"
    read_df(query, where, manager=manager)
    with read_batches(query, where, manager=manager) as batches:
        list(batches)
    manager.execute_query(query, where)
    read_df("SELECT * FROM customers WHERE email IN :e", {"e": ["who-7003", "x"]}, manager=manager)
    read_df("SELECT 1 AS a WHERE 1.5 = ANY(:n)", {"n": [700.4, 2]}, manager=manager)
    read_df(f"EXPLAIN {query}", where, manager=manager)
    with manager.session_scope() as session:
        read_df(
            "UPDATE customers SET email = :e WHERE email = :e RETURNING customer_id",
            {"e": "who-7005"},
            session=session,
        )
        customers = CustomerRepository(session)
        customers.list(Customer.email == "who-7006", Customer.customer_id.in_(["who-7007", "x"]))
        customers.get_by_email("who-7013")
        customers.get_by_customer_id("who-7014")
        customers.delete("who-7015")
        MLFeaturesRepository(session).get_by_transaction_id("who-7016")
        transactions = TransactionRepository(session)
        transactions.list(Transaction.amount > 700.8, limit=5)
        transactions.get_by_customer("who-7009", limit=7010)
        start = dt.datetime(1971, 3, 4, tzinfo=dt.UTC)
        transactions.fraud_rate(start=start, end=start + dt.timedelta(days=1))
        transactions.evaluate_rules({"rule": "amount > 5"}, start=start)
        predictions = ModelPredictionRepository(session)
        predictions.evaluate("who-model", "who-1", threshold=0.7012, start=start)
        predictions.evaluate("who-model", "who-1", by="merchant_id", start=start, amount=True)
        # The period of a report is in the text of some statements, which the ORM sends.
        fraud_report(session=session, start=dt.datetime(1972, 1, 1, tzinfo=dt.UTC))


SENT = [
    "who-",
    "7002",
    "700200",
    "1970-03-04",
    "1971-03-0",
    "700.4",
    "700.8",
    "7010",
    "7012",
    "4111",
]


@pytest.mark.parametrize("pooler", [None, "session", "transaction"])
def test_no_value_of_a_read_is_recorded(logging_server, pooler):
    if pooler is None:
        manager = DatabaseManager(logging_server.config())
        before, _ = recorded(logging_server)
        run(manager)
    else:
        if servers.PgBouncer.PROGRAM is None:
            pytest.skip("there is no pgbouncer: apt-get install pgbouncer")
        with servers.PgBouncer(logging_server, pooler) as proxy:
            manager = DatabaseManager(proxy.config(pool_size=1, max_overflow=0))
            before, _ = recorded(logging_server)
            run(manager)
            manager.close()
    manager.close()
    log, counted = recorded(logging_server)

    new = log[len(before) :]
    assert 'fastpath function call: "set_config"' in new
    for value in SENT:
        assert value not in new
        assert not [query for query in counted if value in query]


def test_queries_with_other_values_are_one_statement(logging_server):
    manager = DatabaseManager(logging_server.config())
    for number in range(5):
        query = "SELECT email AS alone FROM customers WHERE email = :e"
        read_df(query, {"e": f"who-{number}"}, manager=manager)
    manager.close()
    _, counted = recorded(logging_server)

    copies = [query for query in counted if query.startswith("COPY") and "AS alone" in query]
    assert len(copies) == 1


@pytest.mark.skipif(not servers.DEBIAN, reason=servers.NO_STANDBY)
def test_no_value_of_a_read_is_in_the_log_of_a_standby():
    primary = servers.TcpServer.create_primary(log_statement="all")
    try:
        manager = DatabaseManager(primary.config())
        manager.create_all_tables()
        manager.close()
        standby = primary.create_standby(log_statement="all", log_min_duration_statement="0")
        try:
            manager = DatabaseManager(primary.config(replica_hosts=f"127.0.0.1:{standby.port}"))
            query = "SELECT pg_is_in_recovery() AS standby WHERE 'who-8001' = :e"
            assert read_df(query, {"e": "who-8001"}, manager=manager)["standby"].tolist() == [True]
            query = "SELECT count(*) AS n FROM customers WHERE email = :e AND created_at > :d"
            where = {"e": "who-8002", "d": dt.date(1970, 3, 4)}
            assert read_df(query, where, manager=manager)["n"].tolist() == [0]
            manager.close()
            log = (standby.folder / "log").read_text(encoding="utf-8")
        finally:
            standby.remove()
    finally:
        primary.remove()

    assert 'fastpath function call: "set_config"' in log
    assert "who-8002" not in log
    assert "1970-03-04" not in log
