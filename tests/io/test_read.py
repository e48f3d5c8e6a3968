"""A query becomes a DataFrame: what may be asked, in which session, what is said of errors."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import psycopg2
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, create_engine, func, insert, literal, select, text
from sqlalchemy.orm import Session

from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import TABLES, Customer, Merchant
from synfin_analytics.exceptions import (
    ArgumentError,
    DatabaseConnectionError,
    NotFoundError,
    QueryError,
    SchemaError,
)
from synfin_analytics.io.read._read_df import BATCH_ROWS, read_batches, read_df


@pytest.fixture
def shop(session):
    """A session with one uncommitted merchant."""
    session.execute(insert(Merchant).values(merchant_id="M1", name="Café", category="50% off"))
    return session


# -- What may be asked ------------------------------------------------------------------------


@pytest.mark.parametrize("model", TABLES.values(), ids=list(TABLES))
def test_a_table_gives_all_its_columns_in_the_model_s_order(session, model):
    by_name = read_df(model.__tablename__, session=session)

    assert list(by_name) == [column.name for column in model.__table__.columns]
    pd.testing.assert_frame_equal(read_df(model, session=session), by_name)
    pd.testing.assert_frame_equal(read_df(model.__table__, session=session), by_name)


def test_a_select_of_sqlalchemy_is_run_with_its_values_bound(shop):
    query = select(Merchant.merchant_id, literal("50%").label("share")).where(
        Merchant.merchant_id.in_(["M1", "M2"]), Merchant.category.like("50% %")
    )

    assert read_df(query, session=shop).to_dict("records") == [
        {"merchant_id": "M1", "share": "50%"}
    ]


def test_a_select_takes_the_values_of_its_named_parameters(shop):
    query = select(func.count().label("n")).where(Merchant.merchant_id == bindparam("who"))

    assert read_df(query, {"who": "M1"}, session=shop)["n"].tolist() == [1]
    with pytest.raises(ArgumentError, match="must have a value for :who"):
        read_df(query, session=shop)
    with pytest.raises(ArgumentError, match=r"parameters of the query \(:who\); got 'whom'"):
        read_df(query, {"who": "M1", "whom": "M2"}, session=shop)


def test_a_text_clause_is_a_query_too(session):
    assert read_df(text("SELECT :n + 1 AS n, '5%' AS t"), {"n": 1}, session=session).to_dict(
        "records"
    ) == [{"n": 2, "t": "5%"}]


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT 1 AS a;", 1),
        ("SELECT 1 AS a ; -- done\n /* really; */ ;", 1),
        ("SELECT 1 AS a -- no parenthesis is lost", 1),
        ("/* one /* nested */ ; */ SELECT 1 AS a", 1),
        ("SELECT ';' AS a", ";"),
        ("SELECT $$it's; 50%$$ AS a", "it's; 50%"),
        ("SELECT $q$ $$;$$ $q$ AS a", " $$;$$ "),
        (r"SELECT E'\';:n' AS a", "';:n"),
        ("SELECT 'a%' || ':b' AS a", "a%:b"),
        ("SELECT 1 AS \"a\" WHERE 'abc' LIKE 'a%'", 1),
        ("SELECT '2'::integer AS a", 2),
        ("SELECT ('{\"k\": 1}'::jsonb ? 'k') AS a", True),
        ("(SELECT 1 AS a) UNION (SELECT 1)", 1),
        ("WITH a AS (SELECT 7 AS a) TABLE a", 7),
        ("WITH a AS (SELECT 7 AS a) SELECT * FROM a", 7),
        ("SELECT * FROM (VALUES (3)) AS v(a)", 3),
    ],
)
def test_text_is_read_as_postgresql_reads_it(session, query, value):
    assert read_df(query, session=session)["a"].tolist() == [value]


@pytest.mark.parametrize("query", ["SHOW server_version", "EXPLAIN SELECT 1"])
def test_statements_that_copy_cannot_run_give_frames_too(session, query):
    frame = read_df(query, session=session)

    assert len(frame) == 1
    assert frame.dtypes.tolist() == [pd.StringDtype(storage="pyarrow", na_value=pd.NA)]


def test_returned_rows_of_a_write_have_the_types_of_their_columns(session):
    session.execute(text("CREATE TEMP TABLE t (n integer, a numeric(10,2), j jsonb, l text[])"))

    written = read_df(
        "INSERT INTO t VALUES (:n, 1.5, '{}', ARRAY['x', NULL]), (NULL, NULL, NULL, NULL)"
        " RETURNING *",
        {"n": 7},
        session=session,
        output="arrow",
        use_decimal=True,
    )

    read = read_df("SELECT * FROM t", session=session, output="arrow", use_decimal=True)
    assert written.equals(read)
    assert written.schema.field("a").type == pa.decimal128(10, 2)


@pytest.mark.parametrize(
    ("statement", "count"),
    [
        ("UPDATE merchants SET city = 'Oslo'", 1),
        ("WITH m AS (SELECT 'M1' AS id) DELETE FROM merchants USING m WHERE merchant_id = id", 1),
        ("CREATE TEMP TABLE t (n integer)", None),
    ],
)
def test_a_write_without_rows_gives_their_count(shop, statement, count):
    frame = read_df(statement, session=shop, output="arrow")

    assert frame.to_pylist() == [{"rowcount": count}]


def test_a_write_inside_with_gives_its_rows(shop):
    query = "WITH gone AS (DELETE FROM merchants RETURNING merchant_id) SELECT * FROM gone"

    assert read_df(query, session=shop)["merchant_id"].tolist() == ["M1"]
    assert read_df("merchants", session=shop).empty


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 1; DROP TABLE merchants", "several statements"),
        (" ;; -- nothing\n", "empty"),
        ("", "empty"),
        ("COMMIT;", "session.commit"),
        ("ROLLBACK TO SAVEPOINT x", "session.rollback"),
        ("SELECT 1 AS a, 2 AS a", "several columns named 'a'"),
        ("SELECT FROM merchants", "no columns"),
        ("SELECT 'a\0b'", "NUL"),
        ("SELECT '\ud800'", "surrogate"),
        ("SELECT 'unclosed", "unterminated"),
        ("COPY merchants TO STDOUT", "driver cannot run"),
    ],
)
def test_what_is_no_query_is_refused(session, query, words):
    with pytest.raises(QueryError, match=words):
        read_df(query, session=session)


@pytest.mark.parametrize("query", [5, None, dict, ["merchants"]])
def test_a_query_of_another_type_is_refused(session, query):
    with pytest.raises(ArgumentError):
        read_df(query, session=session)


# -- Parameters -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [
        ("'; DROP TABLE merchants; --", "text", "'; DROP TABLE merchants; --"),
        ("back\\slash 'quote' 100% :n", "text", "back\\slash 'quote' 100% :n"),
        (np.int64(5), "integer", 5),
        (np.float64(0.1), "double precision", 0.1),
        (np.bool_(True), "boolean", True),
        (pd.NA, "integer", None),
        (pd.NaT, "date", None),
        (datetime(2026, 1, 1), "timestamptz", datetime(2026, 1, 1, tzinfo=UTC)),  # noqa: DTZ001
        (pd.Timestamp("2026-01-01"), "timestamptz", datetime(2026, 1, 1, tzinfo=UTC)),
        (np.datetime64("2026-01-01T00:00"), "timestamptz", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_value_stays_a_value(session, value, kind, read):
    frame = read_df(f"SELECT :v::{kind} AS v", {"v": value}, session=session, output="arrow")

    assert frame["v"].to_pylist() == [read]


@pytest.mark.parametrize("values", [["a", "b"], np.array(["a", "b"]), pd.Series(["a", "b"])])
def test_a_list_goes_with_any(session, values):
    query = "SELECT n FROM unnest(ARRAY['a', 'b', 'c']) AS n WHERE n = ANY(:values)"

    assert read_df(query, {"values": values}, session=session)["n"].tolist() == ["a", "b"]


@pytest.mark.parametrize("condition", ["n IN :some", "n IN (:some)", "n IN /* all */ ( :some )"])
@pytest.mark.parametrize(
    "kind", [tuple, list, set, np.array, pd.Series, pl.Series, lambda v: dict.fromkeys(v).keys()]
)
def test_a_list_goes_with_in(session, condition, kind):
    query = f"SELECT n FROM generate_series(1, 5) AS n WHERE {condition}"

    frame = read_df(query, {"some": kind([2, 4])}, session=session)

    assert frame["n"].tolist() == [2, 4]
    assert set(read_df(query.replace("IN", "NOT IN"), {"some": [2, 4]}, session=session)["n"]) == {
        1,
        3,
        5,
    }


@pytest.mark.parametrize("values", ["(:some)", ":some"])
@pytest.mark.parametrize(
    ("compared", "kind"), [("n", "int"), ("lower(t)", "text"), ("(n, t)", "row"), ("m", "moment")]
)
def test_an_empty_list_holds_nothing(session, compared, kind, values):
    rows = "(VALUES (1, 'a', now()), (NULL, NULL, NULL)) AS v(n, t, m)"
    query = f"SELECT n FROM {rows} WHERE {compared} {{}} {values} AND true"

    assert read_df(query.format("IN"), {"some": []}, session=session).empty
    assert len(read_df(query.format("NOT IN"), {"some": ()}, session=session)) == 2


def test_a_list_is_one_of_several_items_after_in(session):
    query = "SELECT n FROM generate_series(1, 5) AS n WHERE n IN (:one, :some, 5)"

    assert read_df(query, {"one": 1, "some": [2]}, session=session)["n"].tolist() == [1, 2, 5]
    with pytest.raises(ArgumentError, match=r"`params\['some'\]` must not be empty"):
        read_df(query, {"one": 1, "some": []}, session=session)


def test_pairs_go_with_in(session):
    query = "SELECT a FROM (VALUES (1, 'x'), (2, 'y')) AS v(a, b) WHERE (a, b) IN :pairs"

    assert read_df(query, {"pairs": [(2, "y"), (1, "z")]}, session=session)["a"].tolist() == [2]


@pytest.mark.parametrize(
    ("query", "value", "result"),
    [
        ("SELECT :v::text AS r", -5, "-5"),
        ("SELECT :v::text AS r", -2.5, "-2.5"),
        ("SELECT :v::text AS r", Decimal("-0.10"), "-0.10"),
        ("SELECT :v::text AS r", float("-inf"), "-Infinity"),
        ("SELECT 3-:v AS r", -5, 8),
        ("SELECT -:v AS r", -5, 5),
        ("SELECT :v ^ 2 AS r", -3.0, 9.0),
        ("SELECT @:v AS r", -7, 7),
        ("SELECT :v[2] AS r", [1, -2], -2),
        ("SELECT u&:v AS r FROM (SELECT 6 AS u) AS t", 3, 2),
        ("SELECT u||:v AS r FROM (SELECT 'a' AS u) AS t", "b\\'c", "ab\\'c"),
        ("SELECT interval :v > interval '1 day' AS r", "3 days", True),
        ("SELECT :v AS r\n-- :w :x::y\n/* :z */", 4, 4),
    ],
)
def test_a_value_is_whole_beside_any_operator(session, query, value, result):
    assert read_df(query, {"v": value}, session=session)["r"].tolist() == [result]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    values=st.lists(
        st.integers(-(2**62), 2**62)
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
        | st.decimals(allow_nan=False, allow_infinity=False, places=2)
        | st.booleans(),
        min_size=1,
    ),
)
def test_any_values_arrive_as_they_are(session, values):
    named = {f"v{number}": value for number, value in enumerate(values)}
    columns = ", ".join(f":{name}::text AS {name}" for name in named)

    row = read_df(f"SELECT {columns}", named, session=session, output="arrow").to_pylist()[0]

    texts = [json.dumps(v) if isinstance(v, bool) else f"{v}" for v in values]
    assert list(row.values()) == texts


@pytest.mark.parametrize("setting", ["extra_float_digits = 0", "datestyle = 'SQL, DMY'"])
def test_returned_rows_lose_nothing_under_any_setting(session, setting):
    session.execute(text("CREATE TEMP TABLE t (f float8, r real, n numeric, m timestamptz)"))
    session.execute(text(f"SET LOCAL {setting}"))
    values = "0.30000000000000004, 0.1, 12345678901234567890.125, '2026-02-01 03:04:05.678901+00'"

    written = read_df(
        f"INSERT INTO t VALUES ({values}) RETURNING *",
        session=session,
        output="arrow",
        use_decimal=True,
    )

    read = read_df("SELECT * FROM t", session=session, output="arrow", use_decimal=True)
    assert written.equals(read)
    name, value = setting.split(" = ")
    assert read_df(f"SHOW {name}", session=session).iloc[0, 0] == value.strip("'")


def test_colons_in_quotes_casts_slices_and_comments_are_no_parameters(session):
    query = """
        SELECT ':a' AS q, '1'::integer AS c, (ARRAY[1, 2, 3])[:n] AS s, 9 AS ":d", $$:e$$ AS e -- :b
        FROM (SELECT 2 AS n) AS m /* :c /* :d */ */
    """
    row = {"q": ":a", "c": 1, "s": [1, 2], ":d": 9, "e": ":e"}

    assert read_df(query, session=session, output="arrow").to_pylist() == [row]
    more = read_df(query.replace("9", ":a"), {"a": 9}, session=session, output="arrow")
    assert more.to_pylist() == [row]


@pytest.mark.parametrize(
    ("query", "params", "words"),
    [
        ("SELECT :amount", {"amuont": 1}, "must have a value for :amount.*'amuont'"),
        (
            "SELECT :a, :b, :a",
            None,
            "must have a value for :a, :b in the query.*params={'a': …, 'b': …}",
        ),
        ("SELECT ARRAY[:a, [:b]]", {}, "must have a value for :a, :b"),
        (text("SELECT :a + :b"), {"a": 1}, "must have a value for :b"),
        ("SELECT :a", {"a": 1, "b": 2, "c": 3}, r"of the query \(:a\); got 'b', 'c'"),
        ("SELECT %(a)s", {"a": 1}, r"of the query \(it has none\); got 'a'"),
        ("SELECT :a", [1], "must be a dict"),
        ("SELECT 1 WHERE 1 IN :a", {"a": 1}, r"`params\['a'\]` must be a list after IN; got int"),
        ("SELECT :a", {"a": "nul\0"}, "got a value of type str that"),
        ("SELECT :a", {"a": "\ud800"}, "got a value of type str that"),
        ("SELECT :a", {"a": object()}, "got a value of type object that"),
    ],
)
def test_parameters_and_query_must_go_together(session, query, params, words):
    with pytest.raises(ArgumentError, match=words):
        read_df(query, params, session=session)


# -- Sessions ---------------------------------------------------------------------------------


def test_a_session_s_own_uncommitted_rows_are_read(shop, manager):
    assert read_df("merchants", session=shop)["merchant_id"].tolist() == ["M1"]
    assert read_df("merchants", manager=manager).empty


def test_pending_objects_are_flushed_where_the_session_autoflushes(manager):
    with Session(manager.engine, autoflush=True) as session:
        session.add(Merchant(merchant_id="M9"))

        assert read_df(Merchant, session=session)["merchant_id"].tolist() == ["M9"]


def test_without_a_session_the_manager_of_the_process_is_used(manager):
    with manager.session_scope() as session:
        session.add(Merchant(merchant_id="M1"))

    assert len(read_df("merchants")) == 1
    assert manager.get_pool_status()["checked_out"] == 0


def test_a_session_of_its_own_only_reads(manager):
    with pytest.raises(QueryError, match=r"read-only.*session="):
        read_df("INSERT INTO merchants (merchant_id) VALUES ('M1')", manager=manager)

    with manager.session_scope() as session:  # the pool's connections write as before
        session.add(Merchant(merchant_id="M2"))


def test_a_session_and_a_manager_do_not_go_together(session, manager):
    with pytest.raises(ArgumentError, match="not both"):
        read_df("SELECT 1", session=session, manager=manager)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT no_such_column FROM merchants",
        "SELECT 1 / (3 - n) AS n FROM generate_series(1, 9) n",
        "SELECT CASE n WHEN 70000 THEN 'infinity'::date END FROM generate_series(1, 99999) n",
        "UPDATE merchants SET merchant_id = NULL",
    ],
)
def test_a_failed_query_leaves_the_session_as_it_was(shop, query):
    with pytest.raises(QueryError):
        read_df(query, session=shop)

    shop.commit()
    assert read_df("merchants", session=shop)["merchant_id"].tolist() == ["M1"]


def test_a_write_whose_rows_fit_in_no_frame_is_undone(session):
    session.execute(text("CREATE TEMP TABLE days (day date)"))
    with pytest.raises(QueryError, match="infinity"):
        read_df("INSERT INTO days VALUES ('infinity') RETURNING day", session=session)

    assert read_df("SELECT count(*) AS n FROM days", session=session)["n"].tolist() == [0]


def test_a_session_with_a_failed_transaction_is_reported(session):
    with session.connection().connection.cursor() as cursor, pytest.raises(psycopg2.Error):
        cursor.execute("SELECT 1 / 0")

    with pytest.raises(QueryError, match=r"session\.rollback"):
        read_df("SELECT 1 AS a", session=session)

    session.rollback()
    assert read_df("SELECT 1 AS a", session=session)["a"].tolist() == [1]


def test_an_autocommitting_session_reads_and_fails_like_any_other(manager):
    engine = manager.engine.execution_options(isolation_level="AUTOCOMMIT")
    with Session(engine) as session:
        with pytest.raises(QueryError, match="division"):
            read_df("SELECT 1 / 0", session=session)

        assert read_df("SELECT 1 AS a", session=session)["a"].tolist() == [1]


def test_a_lost_connection_is_reported_and_the_session_works_after_a_rollback(session):
    with pytest.raises(DatabaseConnectionError, match="lost"):
        read_df("SELECT pg_terminate_backend(pg_backend_pid())", session=session)

    session.rollback()
    assert read_df("SELECT 1 AS a", session=session)["a"].tolist() == [1]


def test_a_connection_lost_by_a_query_with_values_is_reported(manager):
    query = "SELECT :number AS number, pg_terminate_backend(pg_backend_pid())"
    with (
        manager.get_session() as session,
        pytest.raises(DatabaseConnectionError, match="lost in the middle of a query"),
    ):
        read_df(query, {"number": 1}, session=session)

    with pytest.raises(DatabaseConnectionError, match="lost in the middle of a query"):
        read_df(query, {"number": 1})


def test_a_connection_lost_between_rows_is_reported(session):
    query = """
        SELECT CASE WHEN n = 90000 THEN pg_terminate_backend(pg_backend_pid()) END
        FROM generate_series(1, 100000) n
    """
    with pytest.raises(DatabaseConnectionError, match="lost"):
        read_df(query, session=session)


def read_and_lose_the_connection(manager, *, fail=False):
    """Read all rows, and lose the connection before the block ends."""
    with (
        manager.get_session() as session,
        read_batches("SELECT 1 AS a", session=session) as batches,
    ):
        assert [batch.num_rows for batch in batches] == [1]
        pid = session.connection().connection.driver_connection.info.backend_pid
        with manager.session_scope() as admin:
            admin.execute(text("SELECT pg_terminate_backend(:pid, 60000)"), {"pid": pid})
        if fail:
            raise ValueError("of the caller")


def test_a_connection_lost_after_the_last_row_is_reported(manager):
    with pytest.raises(DatabaseConnectionError, match="lost"):
        read_and_lose_the_connection(manager)


def test_an_error_of_the_caller_remains_if_the_connection_is_lost_too(manager):
    with pytest.raises(ValueError, match="of the caller"):
        read_and_lose_the_connection(manager, fail=True)


def test_a_connection_of_another_encoding_is_refused(manager):
    engine = create_engine(manager.get_connection_string(), client_encoding="latin1")
    with Session(engine) as session, pytest.raises(QueryError, match="UTF-8"):
        read_df("SELECT 1", session=session)
    engine.dispose()


# -- What is said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC 1", r'at or near "SELEC" \(line 1, column 1\)'),
        ("SELECT 1\n  FORM merchants x y", r"line 2, column \d+"),
        ("SELECT * FROM transactons", "'transactions'"),
        ("SELECT cuntry FROM customers", "customers.country"),
        ("SELECT is_frauds FROM customers", "'is_fraud'"),
        ("SELECT 1 / 0", "division by zero"),
    ],
)
def test_postgresql_s_message_comes_with_the_place_and_the_nearest_name(session, query, words):
    with pytest.raises(QueryError, match=words):
        read_df(query, session=session)


def test_the_place_is_found_behind_parameters_of_any_length(session):
    query = "SELECT :a AS a,\n :bb AS b, wrong_name"

    with pytest.raises(QueryError, match=r"line 2, column 12"):
        read_df(query, {"a": "x" * 500, "bb": "it's\n\n"}, session=session)


def test_a_parameter_in_the_place_of_a_name_is_explained(session):
    with pytest.raises(QueryError, match=r"parameter :table.*never the name") as caught:
        read_df("SELECT * FROM :table", {"table": "secret"}, session=session)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("SELECT :v::integer", {"v": "4111111111111111x"}),
        ("SELECT ('4111111111111111' || 'x')::integer", None),
        ("SELECT * FROM nowhere WHERE x = :v", {"v": "4111111111111111x"}),
        ("INSERT INTO merchants (merchant_id) VALUES (:v), (:v)", {"v": "4111111111111111x"}),
        ("SELECT :v FORM merchants", {"v": "4111111111111111x"}),
    ],
)
def test_no_value_appears_in_an_error(session, query, params):
    with pytest.raises(QueryError) as caught:
        read_df(query, params, session=session)

    assert "4111" not in f"{caught.value!r} {caught.value.__dict__}"
    assert caught.value.__suppress_context__


def test_an_unknown_table_name_comes_with_the_nearest(session):
    with pytest.raises(NotFoundError, match="'transactions'"):
        read_df("transacton", session=session)


def test_missing_tables_say_how_to_create_them(empty_database):
    manager = DatabaseManager(empty_database)
    with pytest.raises(SchemaError, match="create_all_tables"):
        read_df("transactions", manager=manager)
    manager.close()


def test_an_unknown_kind_of_frame_is_refused(session):
    with pytest.raises(ArgumentError, match="'spark'"):
        read_df("SELECT 1", session=session, output="spark")


@pytest.mark.parametrize(
    ("frame", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame), ("arrow", pa.Table)]
)
def test_the_frame_is_the_one_that_was_requested(session, frame, kind):
    assert isinstance(read_df("SELECT 1 AS a", session=session, output=frame), kind)


# -- Batches ----------------------------------------------------------------------------------


def test_batches_have_the_schema_before_the_rows(session):
    with read_batches(Customer, session=session) as batches:
        assert batches.schema.names == [column.name for column in Customer.__table__.columns]
        assert list(batches) == []


def test_batches_are_full_but_for_the_last(session):
    query = "SELECT n, n::numeric(30, 2) AS a FROM generate_series(1, 300000) n"
    with read_batches(query, session=session, use_decimal=True) as batches:
        sizes = [batch.num_rows for batch in batches if batch.schema == batches.schema]

    assert sizes == [BATCH_ROWS, BATCH_ROWS, 300_000 - 2 * BATCH_ROWS]


def test_leaving_batches_early_stops_the_query_and_keeps_the_session(shop):
    with read_batches("SELECT generate_series(1, 1000000000) AS n", session=shop) as batches:
        first = next(iter(batches))

    assert first.num_rows == BATCH_ROWS
    assert read_df("merchants", session=shop)["merchant_id"].tolist() == ["M1"]


def test_batches_of_a_large_result_take_little_memory(session):
    query = "SELECT repeat('x', 1000) AS wide FROM generate_series(1, 300000)"
    before = pa.total_allocated_bytes()

    with read_batches(query, session=session) as batches:
        memory = [pa.total_allocated_bytes() - before for _ in batches]

    assert len(memory) > 3
    assert max(memory) < 160 * 2**20  # of 300 million bytes


def test_exact_batches_need_a_scale(session):
    with (
        pytest.raises(QueryError, match="numeric"),
        read_batches("SELECT 1.5 AS a", session=session, use_decimal=True),
    ):
        pass


# -- Ctrl-C -----------------------------------------------------------------------------------

INTERRUPTED = """
import os, signal, threading, time
from synfin_analytics.io.read import read_df
from synfin_analytics.database.manager import get_db_session
session = get_db_session()
read_df("SELECT 1", session=session)
began = time.monotonic()
threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    read_df({query!r}, session=session)
except KeyboardInterrupt:
    print("interrupted", len(read_df("SELECT 1", session=session)), time.monotonic() - began < 50)
"""


@pytest.mark.parametrize(
    "query",
    [
        "SELECT pg_sleep(60)",
        "SELECT generate_series(1, 10000000000) AS n",
        "EXPLAIN ANALYZE SELECT pg_sleep(60)",
    ],
)
def test_ctrl_c_stops_the_query_and_keeps_the_session(manager, query):
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(query=query)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert result.stdout == "interrupted 1 True\n", result.stderr


def test_sessions_in_threads_read_side_by_side(manager):
    sums = []

    def read(first):
        frame = read_df(f"SELECT generate_series({first}, {first + 49999}) AS n", manager=manager)
        sums.append((first, frame["n"].sum()))

    threads = [threading.Thread(target=read, args=(first,)) for first in (1, 100_001, 200_001)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(sums) == [(f, sum(range(f, f + 50_000))) for f in (1, 100_001, 200_001)]
