"""Values of a query mean what their literals mean, although they are not in its text."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg2.extras
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from synfin_analytics.database import _set_config
from synfin_analytics.exceptions import ArgumentError, DatabaseConnectionError, QueryError
from synfin_analytics.io.read import _evaluation, _run, _send, read_batches, read_df
from synfin_analytics.io.read._sql import to_python

TEXTS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
) | st.sampled_from(["O'Hara", "\\", "\\'", '"{a,b}"', "NULL", "null", "%s :x $1", "5", "{}"])
NUMBERS = (
    st.integers(-(2**70), 2**70)
    | st.sampled_from([n for bits in (31, 63) for n in (2**bits - 1, 2**bits, -(2**bits))])
    | st.floats()
    | st.decimals(allow_infinity=False, places=3)
)
#: Datetimes without a time zone are UTC.
YEAR_1, YEAR_1900, YEAR_9998 = (dt.datetime(y, 1, 3) for y in (1, 1900, 9998))  # noqa: DTZ001
MOMENTS = (
    st.dates()
    | st.datetimes(YEAR_1, YEAR_9998)
    | st.datetimes(YEAR_1900, timezones=st.just(ZoneInfo("Europe/Madrid")))
    | st.times()
    | st.timedeltas(dt.timedelta(days=-(10**5)), dt.timedelta(days=10**5))
)
SCALARS = st.none() | st.booleans() | NUMBERS | MOMENTS | st.binary(max_size=20)
LISTS = st.one_of(
    *(st.lists(items | st.none(), max_size=5) for items in (TEXTS, NUMBERS, st.dates(), SCALARS))
)
slowly = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)


def to_literal(session, value):
    """The literal of psycopg2, as if the statement contained the value."""
    with session.connection().connection.driver_connection.cursor() as cursor:
        literal = cursor.mogrify("%s", (to_python(value),)).decode().strip()
    return f"({literal})" if literal.startswith(("-", "ARRAY")) else literal


def result(session, query, params=None):
    """Types and rows, or the kind of error."""
    try:
        table = read_df(query, params, session=session, output="arrow", use_decimal=True)
    except (ArgumentError, QueryError) as error:
        return type(error)
    return str(table.schema), str(table.to_pylist())  # texts, since NaN differs from itself


def assert_as_literal(session, query, **values):
    written = query
    for name, value in values.items():
        literal = to_literal(session, value)
        written = re.sub(rf"(?<!:):{name}\b", lambda _, literal=literal: literal, written)
    expected = result(session, written)
    assert result(session, query, values) == expected, query


@pytest.fixture
def without_function(session):
    """The session does not use the function of the database, as if it had none."""
    session.execute(text("SET LOCAL auto_explain.log_min_duration = 0"))


@pytest.fixture(params=["function", "setting"])
def way(request):
    """Whether the planner replaces values, or the query evaluates settings."""
    if request.param == "setting":
        request.getfixturevalue("without_function")


@slowly
@given(value=SCALARS)
def test_a_value_has_the_type_of_its_literal(session, value):
    assert_as_literal(session, "SELECT :v AS v, pg_typeof(:v)::text AS t", v=value)


@slowly
@given(value=TEXTS)
def test_a_text_takes_its_type_from_the_query(session, value):
    assert_as_literal(session, "SELECT :v AS v, :v || 'x' AS t, :v = 'NULL' AS e", v=value)
    assert_as_literal(session, "SELECT n FROM (VALUES (5)) AS t(n) WHERE n = :v", v=value)
    assert_as_literal(session, "SELECT CASE WHEN true THEN :v ELSE 'y'::varchar END AS v", v=value)


@slowly
@given(values=LISTS)
def test_a_list_is_the_array_of_its_literals(session, values):
    assert_as_literal(session, "SELECT :v AS v, cardinality(:v) AS n", v=values)
    for operator in ("= ANY", "<> ALL", "< ANY"):
        assert_as_literal(
            session, f"SELECT x FROM (VALUES (2), (NULL)) AS t(x) WHERE x {operator}(:v)", v=values
        )
        assert_as_literal(
            session, f"SELECT x FROM (VALUES ('5')) AS t(x) WHERE x {operator}(:v)", v=values
        )


@slowly
@given(
    values=st.lists(st.integers(-9, 9) | st.none(), min_size=1)
    | st.lists(st.integers(-9, 9) | st.floats() | st.decimals(allow_infinity=False), min_size=1)
)
def test_a_list_after_in_compares_as_its_literals(session, values):
    items = ", ".join(to_literal(session, value) for value in values)
    for operator in ("IN", "NOT IN"):
        query = f"SELECT x FROM (VALUES (2), (2.5), (NULL)) AS t(x) WHERE x {operator} "
        expected = result(session, f"{query} ({items})")
        assert result(session, f"{query} :v", {"v": values}) == expected
        assert result(session, f"{query} (:v)", {"v": values}) == expected
        names = {f"v{number}": value for number, value in enumerate(values)}
        listed = ", ".join(f":{name}" for name in names)
        assert result(session, f"{query} ({listed})", names) == expected
        assert result(session, f"{query} ({listed}, 2)", names) == result(
            session, f"{query} ({items}, 2)"
        )


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT :v::date AS r", "2026-02-01"),
        ("SELECT date :v AS r", "2026-02-01"),
        ("SELECT timestamp :v + interval '1 day' AS r", "2026-02-01"),
        ("SELECT now() - :v < now() AS r", "1 day"),
        ("SELECT :v::char(3) AS r, 'a'::char(3) = :v AS e", "a"),
        ("SELECT B'101' = :v AS r", "101"),
        ("SELECT 'abc'::name = :v AS r", "abc"),
        ("SELECT 'pg_class'::regclass = :v AS r", "pg_class"),
        ("SELECT '{\"a\": 1}'::jsonb @> :v AS r", '{"a": 1}'),
        ("SELECT '{\"a\": 1}'::jsonb -> :v AS r", "a"),
        ("SELECT jsonb_build_object('a', :v) AS r", "b"),
        ("SELECT ARRAY[1, 2] = :v AS r", "{1,2}"),
        ("SELECT ARRAY[1, 2] && :v AS r", [2, 3]),
        ("SELECT :v IS NULL AS r", "a"),
        ("SELECT coalesce(:v, current_date) AS r", "2026-02-01"),
        ("SELECT greatest(:v, 2.5) AS r", 2),
        ("SELECT 7 / :v AS r", 2),
        ("SELECT power(:v, 2) AS r, round(:v, 1) AS s", 2.25),
        ("SELECT 0.1::real = :v AS r, 0.1::float8 = :v AS s, 0.1 = :v AS t", 0.1),
        ("SELECT 2::smallint < :v AS r, 2 BETWEEN 1 AND :v AS s", 70000),
        ("SELECT n FROM generate_series(1, 9) AS n LIMIT :v OFFSET :v", 3),
        ("SELECT n FROM generate_series(1, 9) AS n FETCH FIRST :v ROWS ONLY", 3),
        ("SELECT n, sum(n) OVER (ORDER BY n ROWS :v PRECEDING) FROM generate_series(1, 4) n", 1),
        ("SELECT n % :v AS m, count(*) FROM generate_series(1, 9) n GROUP BY n % :v ORDER BY 1", 3),
        ("SELECT n FROM generate_series(1, 9) AS n ORDER BY n % :v, n", 4),
        ("SELECT count(*) FILTER (WHERE n IN :v) AS r FROM generate_series(1, 9) AS n", (1, 2)),
        ("SELECT 1 AS r UNION SELECT :v", 2),
        ("VALUES (1, 'a'), (:v, 'b')", 2),
        ("SELECT x FROM (VALUES ('a'), ('b')) t(x) WHERE x LIKE :v", "a%"),
        ("SELECT :v = (1, 'a') AS r", (1, "a")),
        ("SELECT :v @> 3 AS r", psycopg2.extras.NumericRange(1, 5)),
        ("SELECT :v AS r", [[1, 2], [3, 4]]),
        ("SELECT :v AS r", [True, None]),
        ("SELECT 'bcd' = :v AS r, length(:v) AS n", "x" * 1_000_000),
    ],
)
@pytest.mark.usefixtures("way")
def test_a_value_works_where_its_literal_does(session, query, value):
    assert_as_literal(session, query, v=value)


def test_a_uuid_compares_with_texts_and_uuids(session):
    value = "0b5f8a0e-3c43-4a0a-8a7e-64e5a1c5d2a1"
    query = f"""
        SELECT u = :v AS r, u IN :s AS s, u = ANY(:s::uuid[]) AS t
        FROM (SELECT '{value}'::uuid) q (u)
    """

    assert read_df(query, {"v": value, "s": [value]}, session=session).to_numpy().all()
    assert read_df(
        "SELECT :v::uuid = :w AS r", {"v": value, "w": str(UUID(value))}, session=session
    )["r"][0]


def test_pairs_may_be_many_and_hold_null(session):
    pairs = [(number, f"c{number}") for number in range(20_000)] + [(None, "x")]
    rows = "(VALUES (5, 'c5'), (5, 'c6'), (6, 'c6')) AS t(a, b)"
    query = f"SELECT a FROM {rows} WHERE (a, b) IN :p ORDER BY a"

    assert read_df(query, {"p": pairs}, session=session)["a"].tolist() == [5, 6]


@pytest.mark.parametrize(
    "clause", ["IN :some", "IN (:some)", "= ANY(:some)", "= ANY(:some::text[])"]
)
def test_a_list_of_100_000_items_is_searched_with_a_hash(session, clause):
    query = f"SELECT count(*) AS n FROM generate_series(1, 100000) AS n WHERE n::text {clause}"
    params = {"some": [str(number) for number in range(50_000, 150_000)]}

    assert read_df(query, params, session=session)["n"].tolist() == [50_001]


def test_a_position_in_order_by_is_refused(session):
    with pytest.raises(ArgumentError, match="position of a column after ORDER BY"):
        read_df("SELECT 1 AS a ORDER BY :n", {"n": 1}, session=session)


def test_a_command_without_expressions_is_refused(session):
    with pytest.raises(QueryError, match="does not accept parameters in SET"):
        read_df("SET work_mem = :v", {"v": "8MB"}, session=session)


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT :v::date AS r", "4111"),
        ("SELECT 1 = :v AS r", "4111x"),
        ("SELECT 1 IN :v AS r", ["4111x"]),
        ("EXPLAIN SELECT 1 = :v", "4111x"),
    ],
)
def test_a_value_of_another_type_is_named(session, query, value):
    with pytest.raises(QueryError, match=r"at the parameter :v\.") as caught:
        read_df(query, {"v": value}, session=session)

    assert "4111" not in str(caught.value)
    assert read_df("SELECT :v AS r", {"v": "x"}, session=session)["r"].tolist() == ["x"]


def test_no_value_remains_in_the_session(session):
    read_df("SELECT :a AS a, 1 IN :b AS b", {"a": "secret", "b": [12345]}, session=session)
    session.execute(text("SAVEPOINT before"))
    with pytest.raises(QueryError):
        read_df("SELECT 1 / (:a - 1)", {"a": 1}, session=session)

    shown = session.execute(
        text("SELECT current_setting('synfin.p0', true), current_setting('synfin.p1', true)")
    )
    assert set(shown.one()) <= {"", None}


def test_a_query_inside_another_keeps_the_values_of_both(session):
    with read_batches("SELECT :a AS a", {"a": "outer"}, session=session) as batches:
        assert read_df("SELECT :a AS a", {"a": "inner"}, session=session)["a"].tolist() == ["inner"]
        assert [batch.to_pylist() for batch in batches] == [[{"a": "outer"}]]


def test_an_autocommit_session_reads_with_values(session):
    engine = session.get_bind().engine.execution_options(isolation_level="AUTOCOMMIT")
    with Session(engine) as autocommit:
        for _ in range(2):
            assert read_df("SELECT :a AS a", {"a": "x"}, session=autocommit)["a"].tolist() == ["x"]
            with pytest.raises(QueryError):
                read_df("SELECT :a AS a, nothing", {"a": "x"}, session=autocommit)
            assert not read_df("EXPLAIN SELECT 1", session=autocommit).empty


def test_values_of_explain_are_found_behind_its_options(session):
    plan = read_df(
        "EXPLAIN (COSTS off, ANALYZE) SELECT 1 WHERE 'a' = :v", {"v": "a"}, session=session
    )

    assert "Result" in plan.iloc[0, 0]


def test_numbers_compare_as_decimals(session):
    query = "SELECT 0.3 = :v AS r"

    assert read_df(query, {"v": Decimal("0.3")}, session=session)["r"].tolist() == [True]


# -- How the server evaluates them -----------------------------------------------------------------

PLAN = ("enable_bitmapscan", "enable_indexonlyscan", "enable_indexscan")


@pytest.fixture
def numbers(session):
    """A table with an index, whose numbers the planner knows."""
    session.execute(
        text("CREATE TEMP TABLE numbers AS SELECT n, n % 7 AS r FROM generate_series(1, 9999) AS n")
    )
    session.execute(text("CREATE INDEX ON numbers (n)"))
    session.execute(text("ANALYZE numbers"))
    return session


@pytest.fixture
def statements(monkeypatch):
    """The COPY statements that are sent."""
    sent = []
    copy_chunks = _run.copy_chunks

    def record(connection, sql):
        sent.append(sql.decode())
        return copy_chunks(connection, sql)

    monkeypatch.setattr(_run, "copy_chunks", record)
    return sent


@pytest.mark.usefixtures("way")
def test_the_planner_knows_the_values(numbers):
    for stop in (10, 5000):
        plan = read_df(
            "EXPLAIN SELECT * FROM numbers WHERE n < :stop", {"stop": stop}, session=numbers
        )
        rows = int(re.search(r"rows=(\d+)", plan.iloc[0, 0])[1])
        assert 0.8 * stop < rows < 1.2 * stop


def test_the_plan_is_that_of_the_literals(numbers):
    query = "EXPLAIN SELECT * FROM numbers WHERE n < {} AND r <> {} ORDER BY n LIMIT {}"
    literals = read_df(query.format(5000, 3, 2), session=numbers)
    values = read_df(query.format(":n", ":r", ":k"), {"n": 5000, "r": 3, "k": 2}, session=numbers)

    assert values.iloc[:, 0].tolist() == literals.iloc[:, 0].tolist()


def test_a_pattern_uses_an_index(numbers):
    numbers.execute(text("CREATE TEMP TABLE names AS SELECT 'n' || n AS name FROM numbers"))
    numbers.execute(text("CREATE INDEX ON names (name text_pattern_ops)"))
    numbers.execute(text("ANALYZE names"))
    plan = read_df("EXPLAIN SELECT * FROM names WHERE name LIKE :p", {"p": "n99%"}, session=numbers)

    assert "Index Cond" in plan.to_string()


@pytest.mark.usefixtures("without_function")
def test_a_search_with_an_index_uses_the_setting_itself(numbers, statements, monkeypatch):
    monkeypatch.setattr(_evaluation, "MANY", 1)
    query = "SELECT * FROM numbers WHERE n < :stop AND r = :r"
    result = read_df(query, {"stop": 10, "r": 3}, session=numbers)

    assert result["n"].tolist() == [3]
    assert "(SELECT current_setting" not in statements[0]


@pytest.mark.usefixtures("without_function")
def test_a_scan_of_many_rows_evaluates_values_once(numbers, statements, monkeypatch):
    monkeypatch.setattr(_evaluation, "MANY", 100)
    numbers.execute(text("SET LOCAL enable_bitmapscan = off"))
    query = "SELECT count(*) AS n FROM numbers WHERE n < :stop AND r = :r"
    result = read_df(query, {"stop": 9990, "r": 3}, session=numbers)

    assert result["n"].tolist() == [1427]
    assert statements[0].count("(SELECT current_setting") == 2
    assert [numbers.scalar(text(f"SHOW {name}")) for name in PLAN] == ["off", "on", "on"]


@pytest.mark.usefixtures("without_function")
def test_a_value_in_the_select_list_is_evaluated_once(numbers, statements, monkeypatch):
    monkeypatch.setattr(_evaluation, "MANY", 100)
    query = "SELECT count(*) FILTER (WHERE r = :r) AS n FROM numbers WHERE n < :stop"
    result = read_df(query, {"stop": 9990, "r": 3}, session=numbers)

    assert result["n"].tolist() == [1427]
    assert "FILTER (WHERE r = (((SELECT current_setting" in statements[0]


@pytest.mark.usefixtures("without_function")
def test_a_scan_that_fails_leaves_the_settings_of_the_session(numbers, monkeypatch):
    monkeypatch.setattr(_evaluation, "MANY", 100)
    query = "SELECT 1 / (n - :one) AS x FROM numbers WHERE n < :stop"
    with pytest.raises(QueryError, match="division by zero"):
        read_df(query, {"one": 1, "stop": 9990}, session=numbers)

    assert [numbers.scalar(text(f"SHOW {name}")) for name in PLAN] == ["on", "on", "on"]


@pytest.mark.usefixtures("without_function")
def test_small_queries_and_large_ones_have_the_same_rows(numbers, monkeypatch):
    query = """
        SELECT r, count(*) FILTER (WHERE n > :low) AS n, :low AS low FROM numbers
        WHERE n BETWEEN :low AND :high AND r::text <> :r GROUP BY r HAVING count(*) > :few
        ORDER BY r + :low LIMIT :few
    """
    values = {"low": 5, "high": 9000, "r": "2", "few": 3}
    results = []
    for many in (-1e9, 1e9):
        monkeypatch.setattr(_evaluation, "MANY", many)
        results.append(read_df(query, values, session=numbers).to_dict("list"))

    assert results[0] == results[1]
    assert results[0]["r"] == [0, 1, 3]


# -- When it goes wrong ----------------------------------------------------------------------------


def test_values_arrive_without_the_function_call(session, monkeypatch):
    """As on Windows, where libpq's function cannot be found."""
    monkeypatch.setattr(_set_config, "_libpq", lambda: None)
    value = "O'Hara \\ %s"

    assert read_df("SELECT :v AS v", {"v": value}, session=session)["v"].tolist() == [value]


def test_a_connection_lost_while_values_are_sent(manager):
    with manager.get_session() as session:
        session.execute(text("SELECT 1"))
        with pytest.MonkeyPatch.context() as patch:
            send = _send.set_config

            def lose(connection, settings):
                with manager.engine.connect() as other:
                    other.execute(
                        text("SELECT pg_terminate_backend(:pid, 60000)"),
                        {"pid": connection.info.backend_pid},
                    )
                send(connection, settings)

            patch.setattr(_send, "set_config", lose)
            with pytest.raises(DatabaseConnectionError, match="lost in the middle") as caught:
                read_df("SELECT :v AS v", {"v": "secret"}, session=session)
        assert "secret" not in str(caught.value)
        session.rollback()
        assert read_df("SELECT :v AS v", {"v": "x"}, session=session)["v"].tolist() == ["x"]


def test_ctrl_c_while_values_are_sent_leaves_the_session_usable(session):
    with pytest.MonkeyPatch.context() as patch:
        send = _send.set_config

        def interrupt(connection, settings):
            send(connection, settings)
            raise KeyboardInterrupt

        patch.setattr(_send, "set_config", interrupt)
        with pytest.raises(KeyboardInterrupt):
            read_df("SELECT :v AS v", {"v": "secret"}, session=session)

    assert read_df("SELECT :v AS v", {"v": "x"}, session=session)["v"].tolist() == ["x"]
    shown = session.scalar(text("SELECT current_setting('synfin.p1', true)"))
    assert shown in {"", None}


def test_batches_inside_batches_keep_their_values(session):
    query = "SELECT n FROM generate_series(1, 3) AS n WHERE n >= :n ORDER BY n"
    with (
        read_batches(query, {"n": 1}, session=session) as outer,
        read_batches(query, {"n": 2}, session=session) as middle,
        read_batches(query, {"n": 3}, session=session) as inner,
    ):
        rows = [
            [row["n"] for batch in batches for row in batch.to_pylist()]
            for batches in (inner, middle, outer)
        ]
    assert rows == [[3], [2, 3], [1, 2, 3]]
