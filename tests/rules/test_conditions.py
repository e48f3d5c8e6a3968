"""A condition means the same in PostgreSQL and on every engine, and is nothing but a condition."""

from __future__ import annotations

import contextlib
import datetime as dt
from decimal import Decimal

import narwhals as nw
import polars as pl
import psycopg2
import pytest
from engines import ENGINES, QUICK, to_spark
from hypothesis import given, settings
from hypothesis import strategies as st

from synfin_analytics._core.dataframes import coerce_object_columns, collect, normalize_types
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.rules._conditions import Condition

SCHEMA = {
    "i": pl.Int64,
    "amount": pl.Decimal(12, 2),
    "x": pl.Float64,
    "n": pl.Int64,
    "m": pl.Int64,
    "b": pl.Boolean,
    "c": pl.Boolean,
    "s": pl.String,
    "t": pl.String,
    "ts": pl.Datetime("us", "UTC"),
    "tn": pl.Datetime("us"),
    "d": pl.Date,
}
TABLE = """
    CREATE TEMPORARY TABLE world (i bigint, amount numeric(12, 2), x double precision, n bigint,
    m bigint, b boolean, c boolean, s text, t text, ts timestamptz, tn timestamp, d date)
"""
TIMES = [
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    dt.datetime(2000, 2, 29, 12, tzinfo=dt.UTC),
    dt.datetime(2025, 12, 28, 0, 30, tzinfo=dt.UTC),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2026, 3, 1, 2, 15, 30, 123_456, tzinfo=dt.UTC),
]
DATES = [dt.date(1969, 12, 31), dt.date(2000, 2, 29), dt.date(2026, 1, 1), dt.date(2026, 3, 1)]
TEXTS = ["", "a", "Ab", "a%b", "a_b\n", "12", "-3.5", "b", "é", " a "]


def rows(doubles):
    row = st.fixed_dictionaries(
        {
            "amount": st.sampled_from([None, *map(Decimal, ("0.25", "19.50", "500", "-7.75"))]),
            "x": st.sampled_from(doubles),
            "n": st.sampled_from([0, 1, -7, 5, 2]),
            "m": st.sampled_from([None, 0, 3, 1_234_567_890_123]),
            "b": st.booleans(),
            "c": st.sampled_from([True, False, None]),
            "s": st.sampled_from([None, *TEXTS]),
            "t": st.sampled_from(TEXTS),
            "ts": st.sampled_from([None, *TIMES]),
            "tn": st.sampled_from([time.replace(tzinfo=None) for time in TIMES]),
            "d": st.sampled_from([None, *DATES]),
        }
    )
    return st.lists(row, min_size=1, max_size=12).map(
        lambda rows: pl.DataFrame(
            [{"i": number, **row} for number, row in enumerate(rows)], schema=SCHEMA
        )
    )


FINITE = rows([None, 0.0, 1.5, -2.5, 0.125, 1000.0])
ANY = rows([None, 0.0, 1.5, -2.5, 0.1, float("nan"), float("inf"), 1e60, -1e-70])
SIGNS = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])


def form(pattern, *parts):
    return st.tuples(*parts).map(lambda values: pattern.format(*values))


WHOLE = st.recursive(
    st.sampled_from(["n", "0", "2", "-3", "7", "length(t)"]),
    lambda inner: st.one_of(
        form("({} {} {})", inner, st.sampled_from("+-*/%"), inner),
        form("abs({})", st.just("n")),
        form("coalesce(nullif(n, {}), {})", inner, inner),
    ),
    max_leaves=3,
)
REAL = st.recursive(
    st.sampled_from(["amount", "x", "n", "0.5", "100", "1.25"]),
    lambda inner: st.one_of(
        form("({} {} {})", inner, st.sampled_from("+-*/"), inner),
        form("abs(amount - {})", inner),
        form("coalesce({}, {})", inner, inner).filter(lambda text: "coalesce(0" not in text),
        form("greatest(x, {}, {})", inner, inner),
        form("least(amount, {})", inner),
        form("CASE WHEN c THEN {} WHEN n > 1 THEN {} END", inner, inner),
        form("-({} + n)", inner),
        st.just("round(amount * 1.25, 1)"),
        st.just("floor(x)"),
        st.just("sqrt(x)"),
        st.just("ln(amount)"),
        form(
            "date_part('{}', {})",
            st.sampled_from(["hour", "dow", "isodow", "doy", "day", "month", "quarter", "year"]),
            st.sampled_from(["ts", "tn"]),
        ),
        form("extract(epoch FROM ts - tn) / {}", st.sampled_from(["60", "3600"])),
    ),
    max_leaves=4,
)
TEXT = st.sampled_from(["s", "t", "'a'", "lower(s)", "trim(s)", "left(t, 1)", "s || t"])
MOMENT = st.sampled_from(
    [
        "ts",
        "tn",
        "tn + interval '1 day 30 minutes'",
        "date_trunc('month', tn)",
        "date_trunc('week', ts)",
        "ts::date",
        "timestamp '2026-01-01 00:00'",
    ]
)
SIMPLE = st.one_of(
    form("n {} {}", SIGNS, WHOLE),
    form("m {} {}", SIGNS, st.sampled_from(["3", "n", "1234567890123"])),
    form("x {} {}", SIGNS, REAL),
    form("amount {} {}", SIGNS, REAL),
    form("{} {} s", TEXT, SIGNS),
    form("ts {} {}", SIGNS, MOMENT),
    form("tn {} {}", SIGNS, MOMENT),
    form("d {} date '2026-01-01'", SIGNS),
    form("ts - tn {} interval '2 hours'", SIGNS),
    form("s {} '{}'", st.sampled_from(["LIKE", "NOT LIKE"]),
         st.sampled_from(["a%", "%b", "%a%", "_", "a_b%", "a\\%_", "", "%", "_%b_"])),
    form("{} BETWEEN {} AND {}", st.just("n"), WHOLE, WHOLE),
    form("n {}IN (1, {})", st.sampled_from(["", "NOT "]), st.sampled_from(["5", "n", "2"])),
    form("s {}IN ('a', 'é')", st.sampled_from(["", "NOT "])),
    form("{} IS {}NULL", st.sampled_from(["x", "s", "ts", "c", "m"]),
         st.sampled_from(["", "NOT "])),
    form("{} IS {}DISTINCT FROM amount", REAL, st.sampled_from(["", "NOT "])),
    st.sampled_from(["b", "c", "c = b", "c IS NOT TRUE", "n::int::boolean", "c::int = 1"]),
)  # fmt: skip
CONDITION = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        form("({} AND {})", inner, inner),
        form("({} OR {})", inner, inner),
        form("NOT ({})", inner),
        form("({}) IS NOT FALSE", inner),
        form("CASE WHEN {} THEN {} ELSE c END", inner, inner),
        form("coalesce({}, {})", inner, inner).filter(lambda text: "coalesce((" in text or True),
    ),
    max_leaves=4,
)


def prepared(native):
    frame = normalize_types(nw.from_native(native))
    return coerce_object_columns(frame, frame.collect_schema().names())


def outcomes(native, condition):
    """Rows that fire, and rows with an error, by their numbers."""
    frame = prepared(native)
    fires, error = condition.expression(frame)
    columns = [nw.col("i"), fires.alias("fires")]
    columns += [] if error is None else [error.alias("error")]
    result = collect(frame.select(*columns))
    assert result["fires"].null_count() == 0
    failed = result["error"].to_list() if error is not None else [False] * len(result)
    return sets(zip(result["i"].to_list(), result["fires"].to_list(), failed, strict=True))


def sets(results):
    results = list(results)
    fired = {number for number, fires, _ in results if fires}
    return fired, {number for number, _, failed in results if failed}


def parse(text):
    return Condition.parse("rule", text, nw.from_native(pl.DataFrame(schema=SCHEMA)).schema)


def parse_all(texts):
    """The conditions among generated texts: a constant part is refused."""
    conditions = []
    for text in texts:
        with contextlib.suppress(ArgumentError):
            conditions.append(parse(text))
    return conditions


@pytest.fixture(scope="module")
def cursor(_any_server):
    connection = psycopg2.connect(**_any_server.connect_arguments("postgres"))
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'Asia/Kolkata'")  # moments are in UTC nevertheless
        cursor.execute(TABLE)
        yield cursor


def fill(cursor, frame):
    cursor.execute("TRUNCATE world")
    for row in frame.rows():
        cursor.execute(f"INSERT INTO world VALUES ({', '.join(['%s'] * len(row))})", row)


def stored(cursor, condition):
    """Rows that fire, and rows with an error, according to the text for PostgreSQL."""
    fires, error = condition.sql(), condition.error_sql() or "FALSE"
    cursor.execute(f"SELECT i, {fires}, {error} FROM world")
    return sets(cursor.fetchall())


@settings(max_examples=30, deadline=None, phases=QUICK)
@given(frame=ANY, texts=st.lists(CONDITION, min_size=3, max_size=8))
def test_postgresql_and_polars_agree(cursor, frame, texts):
    fill(cursor, frame)
    for condition in parse_all(texts):
        assert stored(cursor, condition) == outcomes(frame, condition), condition.text


@pytest.mark.parametrize("engine", [name for name in ENGINES if "dask" not in name])
@settings(max_examples=5, deadline=None, phases=QUICK)
@given(frame=ANY, texts=st.lists(CONDITION, min_size=2, max_size=5))
def test_every_engine_agrees(engine, frame, texts):
    native = ENGINES[engine](frame)
    for condition in parse_all(texts):
        assert outcomes(native, condition) == outcomes(frame, condition), condition.text


AS_WRITTEN = """
    CREATE FUNCTION pg_temp.as_written(condition text, number bigint) RETURNS text
    LANGUAGE plpgsql AS $$
    DECLARE result boolean;
    BEGIN
        EXECUTE format('SELECT %s FROM world WHERE i = %s', condition, number) INTO result;
        RETURN coalesce(result::text, 'null');
    EXCEPTION WHEN division_by_zero OR invalid_argument_for_logarithm
            OR invalid_argument_for_power_function OR numeric_value_out_of_range THEN
        RETURN 'error';
    END $$
"""


@settings(max_examples=30, deadline=None, phases=QUICK)
@given(frame=FINITE, texts=st.lists(CONDITION, min_size=3, max_size=8))
def test_the_meaning_is_that_of_the_text_in_postgresql(cursor, frame, texts):
    fill(cursor, frame)
    cursor.execute("SET TIME ZONE 'UTC'; SET lc_messages = 'C'")
    cursor.execute("DROP FUNCTION IF EXISTS pg_temp.as_written")
    cursor.execute(AS_WRITTEN)
    for condition in parse_all(texts):
        fired, failed = stored(cursor, condition)
        cursor.execute("SELECT i, pg_temp.as_written(%s, i) FROM world", (condition.text,))
        results = dict(cursor.fetchall())
        # PostgreSQL may also fail where another part of the condition decides.
        raised = {number for number, result in results.items() if result == "error"}
        assert failed <= raised, condition.text
        expected = {number for number, result in results.items() if result == "true"}
        assert fired - raised == expected, condition.text


REFUSED = {
    "": "is empty",
    "amount + 1": "must be true or false",
    "'x'": "must be true or false",
    "amount": "must be true or false",
    "amount = NULL": "write IS NULL",
    "amout > 3": "did you mean 'amount'",
    "s > 3": "compares column 's' (a text) with 3",
    "b AND n": "must be true or false",
    "b > c": "booleans have no order",
    "1 = 1": "compares two constants",
    "TRUE": "uses no column",
    "n / 0 = 1": "divides by zero",
    "n = 1 = b": "in parentheses",
    "n == 1": "write =",
    "n \uff1e 1": "write >",
    "n\u200b > 1": "invisible character U+200B",
    "n > 1 -- all": "comment",
    "n > 1 /* all */": "comment",
    "b; DROP TABLE world": "semicolon",
    "true); DROP TABLE world": "semicolon",
    "1=1; --": "comment",
    "SELECT 1": "subquery",
    "n IN (SELECT 1)": "subquery",
    "EXISTS (SELECT 1)": "subquery",
    "count(*) > 1": "aggregate",
    "sum(n) OVER () > 1": "window function",
    "n = $1": "parameter",
    "n = :x": "parameter",
    "n = ?": "parameter",
    "s = $$a$$": "quotes",
    "s = U&'\\0061'": "quotes",
    "s = E'a'": "quotes",
    "s::regclass IS NULL": "cast to regclass",
    "now() > ts": "depends on when the rule runs",
    "ts > 'yesterday'": "is not a date or time",
    "tn + interval '1 month' > ts": "no fixed length",
    "(n, m) = (1, 2)": "list of values",
    "n = ANY (ARRAY[1])": "array",
    "s ~ 'a'": "LIKE",
    "world.n > 1": "without its table",
    "n > 1 AND": "not valid SQL",
    "n b": "two expressions",
    "(" * 200 + "b" + ")" * 200: "too deeply nested",
    "NOT " * 2000 + "b": "too deeply nested",
    "b" + " " * 30_000: "characters",
    **{
        f"{call} IS NULL": "is not among those"
        for call in (
            "pg_sleep(9)",
            "current_setting('data_directory')",
            "query_to_xml('SELECT 1', true, true, '')",
            "pg_read_file('/etc/passwd')",
            "lo_import('/etc/passwd')",
            "nextval('x')",
            "set_config('role', 'postgres', false)",
            "random()",
            "dblink('host=x', 'SELECT 1')",
        )
    },
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_everything_but_a_condition_is_refused_in_one_sentence(text):
    with pytest.raises(ArgumentError) as error:
        parse(text)
    message = str(error.value)
    assert message.startswith("Rule 'rule': ")
    assert message.endswith(".")
    assert REFUSED[text] in message


WORDS = st.sampled_from(
    [
        "b", "n", "s", "'a'", "'", '"', "1", "(", ")", ";", "--", "/*", "*/", "$$", "$1", ":x",
        "::",
        "=", ">", "AND", "OR", "NOT", "SELECT", "DROP TABLE world", "IN", "U&'", "E'\\", "regclass",
        "pg_sleep(9)", "current_setting('port')", "query_to_xml(s, b, b, s)", "lo_import(s)", "[",
        "]", "ROW", "ARRAY[n]", ",", ".", "CASE WHEN", "THEN", "END", "IS", "NULL", "LIKE", "CAST(",
        "AS", "interval", "\\", "\x00", "\u2019", "UNION", "FROM world", "LIMIT 1", "COLLATE", "||",
        "\n", "+", "-", "{{", "{%", "%s", "%(x)s", "?", "@", "~", "^", "&", "!", "coalesce(", "n)",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None, phases=QUICK)
@given(st.lists(WORDS, min_size=1, max_size=9).map(" ".join) | st.text(max_size=30))
def test_no_text_runs_anything_but_a_condition(cursor, text):
    try:
        condition = parse(text)
    except ArgumentError:
        return
    cursor.execute(f"SELECT pg_typeof({condition.sql()})::text FROM (SELECT 1) AS one, world")
    assert all(row == ("boolean",) for row in cursor.fetchall())


@pytest.mark.parametrize(
    ("text", "fired", "failed"),
    [
        ("100 / n > 10", {1}, {0}),
        ("n <> 0 AND 100 / n > 10", {1}, set()),
        ("100 / n > 10 AND n <> 0", {1}, set()),
        ("n = 0 OR 100 / n > 10", {0, 1}, set()),
        ("CASE WHEN n <> 0 THEN 100 / n > 10 END", {1}, set()),
        ("CASE WHEN b THEN 100 / n > 10 ELSE TRUE END", {1, 2}, {0}),
        ("coalesce(s::int, 0) >= 7", {0}, {1}),
        ("100 / n IS NULL", set(), {0}),
        ("sqrt(n - 1) > 1", {1, 2}, {0}),
        ("ln(n) >= 0", {1, 2}, {0}),
    ],
)
def test_a_row_fails_only_where_its_value_is_needed(cursor, text, fired, failed):
    row = dict.fromkeys(SCHEMA)
    frame = pl.DataFrame(
        [
            {**row, "i": 0, "n": 0, "s": "7", "b": True},
            {**row, "i": 1, "n": 5, "s": "seven", "b": True},
            {**row, "i": 2, "n": 90, "b": False},
        ],
        schema=SCHEMA,
    )
    fill(cursor, frame)
    condition = parse(text)
    assert outcomes(frame, condition) == (fired, failed)
    assert stored(cursor, condition) == (fired, failed)


@pytest.mark.parametrize(
    ("text", "fires"),
    [
        ("amount % 1 = 0.99", True),
        ("round(amount / 3, 2) = 6.66", True),
        ("n / 2 = -3", True),
        ("n % 3 = -1", True),
        ("N = -7", True),
        ("s LIKE 'it''s 50!%' ESCAPE '!'", True),
        ("s ILIKE 'IT%'", True),
        ("substring(s FROM 1 FOR 2) = 'it'", True),
        ("NOT m > 1", False),
        ("m > 1 OR n < 0", True),
        ("m IN (1, 2)", False),
        ("m NOT IN (1, 2)", False),
        ("ts >= '2026-03-01 01:00+01:00'", True),
        ("extract(isodow FROM ts) = 7", True),
        ("ts - interval '1 hour' < '2026-03-01'", True),
    ],
)
def test_examples(cursor, text, fires):
    row = dict.fromkeys(SCHEMA) | {"i": 0, "amount": Decimal("19.99"), "n": -7, "s": "it's 50%"}
    row["ts"] = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    frame = pl.DataFrame([row], schema=SCHEMA)
    fill(cursor, frame)
    expected = ({0} if fires else set(), set())
    assert stored(cursor, parse(text)) == outcomes(frame, parse(text)) == expected


def test_columns_are_known_before_their_types():
    condition = Condition.parse("rule", 'amount > 5 AND "Is Online"', ["amount", "Is Online"])
    assert condition.columns == ("amount", "Is Online")
    with pytest.raises(ArgumentError, match="the types of its columns are needed"):
        condition.sql()
    typed = condition.with_types({"amount": nw.Float64(), "Is Online": nw.Boolean()})
    assert typed.sql({"amount": "t.amount"}, without_nan=["amount"]).endswith('AND "Is Online")')


@pytest.mark.parametrize("text", ["x / m > 2", "x IS NULL", "x = s", "NOT x", "coalesce(x, 0) = 0"])
def test_a_column_of_nulls_has_every_type(text):
    frame = pl.DataFrame({"i": [0], "x": [None], "m": [3], "s": ["a"]})
    fires = {"x IS NULL", "coalesce(x, 0) = 0"}
    condition = Condition.parse("rule", text, frame.columns)
    for native in (frame, frame.to_pandas(), frame.to_arrow()):
        assert outcomes(native, condition) == ({0} if text in fires else set(), set())


def test_pandas_stores_booleans_with_missing_values_as_numbers():
    frame = pl.DataFrame({"i": [0, 1, 2, 3], "c": [1.0, 0.0, None, 2.0]}).to_pandas()
    assert outcomes(frame, Condition.parse("rule", "c", ["i", "c"])) == ({0}, {3})
    assert outcomes(frame, Condition.parse("rule", "NOT c", ["i", "c"])) == ({1}, {3})


def test_spark_agrees(spark):
    # One frame, because Spark takes seconds; lengths without a common divisor mix the values.
    values = {
        "amount": [None, *map(Decimal, ("0.50", "19.50", "500", "-7.75"))],
        "x": [None, 0.0, 1.5, -2.5, float("nan"), 1e60],
        "n": [0, 1, -7, 5, 2],
        "m": [None, 0, 3, 7],
        "b": [True, False],
        "c": [True, False, None],
        "s": [None, *TEXTS],
        "t": TEXTS,
        "ts": [None, *TIMES],
        "tn": [time.replace(tzinfo=None) for time in TIMES],
        "d": [None, *DATES],
    }
    data = {name: [given[row % len(given)] for row in range(90)] for name, given in values.items()}
    frame = pl.DataFrame({"i": range(90), **data}, schema=SCHEMA)
    texts = [
        "x / n > 0.5 AND NOT c",
        "amount % 1 = 0.5 OR round(amount / 3, 2) = 6.5",
        "n / 2 = -3 OR m IN (1, 3)",
        "s LIKE 'a_b%' OR lower(s) = 'ab' OR left(t, 1) = ' '",
        "extract(hour FROM ts) < 5 OR date_part('dow', tn) = 0",
        "date_trunc('month', tn) < ts OR ts - tn > interval '2 hours'",
        "coalesce(x, amount, n) IS DISTINCT FROM greatest(x, 1)",
        "CASE WHEN s::int > 3 THEN b ELSE sqrt(amount) > 2 END",
        "d = '2026-01-01' OR ts::date > d",
    ]
    native = to_spark(spark, frame)
    for condition in map(parse, texts):
        assert outcomes(native, condition) == outcomes(frame, condition), condition.text
