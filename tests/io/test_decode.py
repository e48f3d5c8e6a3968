"""Every value that PostgreSQL sends arrives in the frame as it was, whatever its type."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from synfin_analytics.exceptions import QueryError
from synfin_analytics.io.read import _read_df, _run, read_df
from synfin_analytics.io.read._decode import DECODERS, PADDING, Chunk, decode_chunk

FRAMES = ["pandas", "polars", "arrow"]
ON_ONE_SESSION = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
moments = st.datetimes(timezones=st.just(UTC))


def integers(bits):
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def decimals(digits, places):
    return st.integers(-(10**digits) + 1, 10**digits - 1).map(
        lambda units: Decimal(f"{units}e-{places}")
    )


#: Of each type: values to send, and what psycopg2 makes of them as what a frame holds.
TYPES = {
    "boolean": (st.booleans(), None),
    "smallint": (integers(16), None),
    "integer": (integers(32), None),
    "bigint": (integers(64), None),
    "oid": (st.integers(0, 2**32 - 1), None),
    "real": (st.floats(width=32, allow_nan=False), np.float32),
    "double precision": (st.floats(allow_nan=False), None),
    "numeric(5,0)": (decimals(5, 0), float),
    "numeric(5,5)": (decimals(5, 5), float),
    "numeric(12,2)": (decimals(12, 2), float),
    "numeric(15,7)": (decimals(15, 7), float),
    "numeric(18,6)": (decimals(18, 6), float),
    "numeric(30,9)": (decimals(30, 9), float),
    "numeric": (st.decimals(-(10**20), 10**20, places=11), float),
    "text": (texts, None),
    "varchar(50)": (texts, None),
    "bytea": (st.binary(max_size=40), bytes),
    "date": (st.dates(date(1, 1, 1)), None),
    "time": (st.times(), None),
    "timestamp": (moments, None),
    "timestamptz": (moments, None),
    "interval": (st.timedeltas(timedelta(-30_000), timedelta(30_000)), None),
    "jsonb": (
        st.dictionaries(texts, st.integers() | texts | st.none()).map(json.dumps),
        json.dumps,
    ),
    "json": (st.lists(st.integers()).map(json.dumps), json.dumps),
}


def values_of(frame, name):
    """A column of any frame as Python values, NULL as None."""
    if isinstance(frame, pd.DataFrame):
        return [
            None if value is pd.NaT or pd.isna(value) else value for value in frame[name].tolist()
        ]
    column = frame[name]
    return column.to_pylist() if isinstance(column, pa.ChunkedArray) else column.to_list()


def raw_column(session, query, params):
    """Return the only column of a query as psycopg2 reads it."""
    with session.connection().connection.cursor() as cursor:
        cursor.execute(query, params)
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.parametrize("kind", TYPES)
@ON_ONE_SESSION
@given(data=st.data())
def test_values_of_every_type_arrive_as_they_were(session, kind, data):
    strategy, held = TYPES[kind]
    sent = data.draw(st.lists(st.none() | strategy, max_size=30))
    expected = raw_column(session, f"SELECT unnest(%s::{kind}[])", [sent])
    if held is not None:
        expected = [value if value is None else held(value) for value in expected]

    for frame in FRAMES:
        read = read_df(
            f"SELECT unnest(:sent::{kind}[]) AS value",
            {"sent": sent},
            session=session,
            output=frame,
        )
        values = values_of(read, "value")
        if kind.startswith("json"):
            values = [value if value is None else json.dumps(json.loads(value)) for value in values]
        assert values == expected


@ON_ONE_SESSION
@given(data=st.data(), rows=st.integers(1, 5))
def test_a_column_is_decoded_the_same_whatever_columns_precede_it(session, data, rows):
    kinds = data.draw(st.lists(st.sampled_from(list(TYPES)), min_size=2, max_size=12))
    sent = {}
    for index, kind in enumerate(kinds):
        cells = st.none() | TYPES[kind][0]
        # Fields that are equally long in all rows, and fields that are not.
        alike = st.builds(lambda value: [value] * rows, cells)
        sent[f"c{index}"] = data.draw(alike | st.lists(cells, min_size=rows, max_size=rows))
    arrays = ", ".join(f":{name}::{kind}[]" for name, kind in zip(sent, kinds, strict=True))
    chosen = ", ".join(f"{name}, ARRAY[{name}] AS of_{name}" for name in sent)

    together = read_df(
        f"SELECT {chosen} FROM unnest({arrays}) AS t({', '.join(sent)})",
        sent,
        session=session,
        output="arrow",
    )

    for (name, values), kind in zip(sent.items(), kinds, strict=True):
        for query, column in (("unnest", name), ("ARRAY[unnest", f"of_{name}")):
            close = "]" if query.startswith("ARRAY") else ""
            alone = read_df(
                f"SELECT {query}(:sent::{kind}[]){close} AS value",
                {"sent": values},
                session=session,
                output="arrow",
            )
            assert together[column].to_pylist() == alone["value"].to_pylist()


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("before", [*range(20), *range(98, 188), 400])
def test_a_field_is_whole_wherever_a_window_ends(session, before, more):
    query = (
        "SELECT repeat('x', :before + :more * n) AS t, n AS i, "
        "(n + 987654321012.345678)::numeric(18, 6) AS f, n::text AS s, repeat('y', 70) AS w, "
        "NULL::integer AS z, 7 - n AS j FROM generate_series(1, 3) AS n"
    )

    read = read_df(
        query, {"before": before, "more": more}, session=session, output="arrow", use_decimal=True
    )

    assert [tuple(row.values()) for row in read.to_pylist()] == [
        (
            "x" * (before + more * n),
            n,
            n + Decimal("987654321012.345678"),
            str(n),
            "y" * 70,
            None,
            7 - n,
        )
        for n in (1, 2, 3)
    ]


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind.startswith("numeric")])
@ON_ONE_SESSION
@given(data=st.data())
def test_exact_money_arrives_as_the_same_decimal(session, kind, data):
    sent = data.draw(st.lists(st.none() | TYPES[kind][0], max_size=30))

    for frame in FRAMES:
        read = read_df(
            f"SELECT unnest(:sent::{kind}[]) AS value",
            {"sent": sent},
            session=session,
            output=frame,
            use_decimal=True,
        )
        values = values_of(read, "value")
        assert values == sent
        assert all(isinstance(value, Decimal) for value in values if value is not None)


@pytest.mark.parametrize(
    "number",
    [
        *["0", "0.01", "-0.01", "0.99", "1", "-1", "9999", "9999.99", "10000", "10000.01"],
        *["99999999", "100000000", "100010001.01", "9999999999.99", "-9999999999.99"],
    ],
)
def test_amounts_at_the_edges_of_postgresql_s_digits_are_exact_both_ways(session, number):
    query = f"SELECT '{number}'::numeric(12,2) AS amount"

    exact = read_df(query, session=session, output="arrow", use_decimal=True)["amount"][0].as_py()

    assert exact == Decimal(number)
    assert read_df(query, session=session)["amount"][0] == float(number)


@pytest.mark.parametrize("frame", FRAMES)
def test_null_is_neither_the_empty_text_nor_a_blank(session, frame):
    query = "SELECT unnest(ARRAY['', NULL, ' ', 'NULL', 'nan']) AS value"

    assert values_of(read_df(query, session=session, output=frame), "value") == [
        "",
        None,
        " ",
        "NULL",
        "nan",
    ]


@pytest.mark.parametrize("kind", ["double precision", "numeric", "numeric(5,2)"])
def test_nan_is_not_null(session, kind):
    query = f"SELECT unnest(ARRAY['NaN', NULL, 1.5]::{kind}[]) AS value"

    column = read_df(query, session=session, output="arrow")["value"]

    assert column.null_count == 1
    assert np.isnan(column[0].as_py())


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("frame", FRAMES)
def test_types_do_not_depend_on_the_rows(session, frame, exact):
    columns = ", ".join(
        f"NULL::{kind} AS c{index}"
        for index, kind in enumerate(TYPES)
        if not (exact and kind == "numeric")  # its scale is that of the data
    )
    options = {"session": session, "output": frame, "use_decimal": exact}

    full = read_df(f"SELECT {columns}", **options)
    empty = read_df(f"SELECT {columns} LIMIT 0", **options)

    schema = "schema" if frame != "pandas" else "dtypes"
    assert list(getattr(full, schema)) == list(getattr(empty, schema))
    assert len(empty) == 0


def test_pandas_types_keep_integers_flags_and_texts_with_nulls(session):
    frame = read_df(
        "SELECT NULL::smallint a, NULL::integer b, NULL::bigint c, NULL::boolean d, NULL::text e,"
        " NULL::timestamptz f, NULL::date g, NULL::numeric(12,2) h, NULL::double precision i",
        session=session,
    )

    assert frame.dtypes.to_dict() == {
        "a": pd.Int16Dtype(),
        "b": pd.Int32Dtype(),
        "c": pd.Int64Dtype(),
        "d": pd.BooleanDtype(),
        "e": pd.StringDtype(storage="pyarrow", na_value=pd.NA),
        "f": pd.DatetimeTZDtype("us", "UTC"),
        "g": pd.ArrowDtype(pa.date32()),
        "h": np.dtype("float64"),
        "i": np.dtype("float64"),
    }


def test_exact_decimals_of_pandas_sum_group_and_compare_exactly(session):
    frame = read_df(
        "SELECT n % 2 AS side, 0.1::numeric(12,2) AS amount FROM generate_series(1, 30) n",
        session=session,
        use_decimal=True,
    )

    assert frame["amount"].sum() == Decimal("3.00")
    assert frame.groupby("side")["amount"].sum().tolist() == [Decimal("1.50")] * 2
    assert (frame["amount"] > Decimal("0.09")).all()


def test_moments_of_any_zone_arrive_in_utc(session):
    query = "SELECT '2026-03-29 03:30+02'::timestamptz AS at"

    assert read_df(query, session=session)["at"][0] == pd.Timestamp("2026-03-29 01:30", tz="UTC")


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("'infinity'::timestamptz", "isfinite"),
        ("'-infinity'::timestamptz", "isfinite"),
        ("'infinity'::timestamp", "isfinite"),
        ("'-infinity'::date", "isfinite"),
        ("'294276-12-31 23:59:59'::timestamp", "year beyond the range"),
        ("interval '1 month'", "EXTRACT"),
        ("interval '1000000000 days'", "text"),
        ("'24:00'::time", "text"),
        ("ARRAY[[1, 2], [3, 4]]", "text"),
    ],
)
def test_a_value_that_no_frame_holds_is_refused_with_its_column(session, value, advice):
    with pytest.raises(QueryError, match=f"Column 'wrong'.*{advice}"):
        read_df(f"SELECT 1 AS right, {value} AS wrong", session=session)


@pytest.mark.parametrize("kind", ["numeric", "numeric(12,2)", "numeric(30,2)"])
def test_nan_among_exact_decimals_is_refused_with_its_column(session, kind):
    with pytest.raises(QueryError, match=r"Column 'fee' has NaN.*use_decimal=False"):
        read_df(f"SELECT 'NaN'::{kind} AS fee", session=session, use_decimal=True)


def test_exact_numbers_of_more_digits_than_a_decimal_has_are_refused(session):
    with pytest.raises(QueryError, match="need 81 digits"):
        read_df("SELECT 1e80::numeric AS much", session=session, use_decimal=True)


def test_numbers_of_different_scales_keep_all_their_digits(session):
    query = "SELECT unnest(ARRAY[1e-20, 1e20, -12.5, 0])::numeric AS n"

    values = read_df(query, session=session, output="arrow", use_decimal=True)["n"].to_pylist()

    assert values == [Decimal("1e-20"), Decimal("1e20"), Decimal("-12.5"), 0]


@pytest.mark.parametrize("frame", FRAMES)
def test_arrays_arrive_as_lists(session, frame):
    query = (
        "SELECT * FROM (VALUES (ARRAY['a', NULL, ''], ARRAY[1.5, NULL]), (NULL, '{}'), "
        "('{}', ARRAY[2.25])) AS v(texts, numbers)"
    )

    read = read_df(query, session=session, output=frame)

    if frame == "pandas":
        read = pa.table({name: pa.array(read[name].array) for name in read})
    assert values_of(read, "texts") == [["a", None, ""], None, []]
    assert values_of(read, "numbers") == [[1.5, None], [], [2.25]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("'10.0.0.0/8'::cidr", "10.0.0.0/8"),
        ("'00000000-0000-0000-0000-00000000000a'::uuid", "00000000-0000-0000-0000-00000000000a"),
        ("int4range(1, 5)", "[1,5)"),
        ("ROW(1, 'a')", "(1,a)"),
        ("'12.50'::money", "$12.50"),
    ],
)
def test_a_type_without_a_place_in_frames_arrives_as_postgresql_shows_it(session, value, text):
    read = read_df(f"SELECT {value} AS shown, 1 AS n", session=session, output="arrow")

    assert read.to_pylist() == [{"shown": text, "n": 1}]


def test_an_enumeration_arrives_as_its_label(session):
    session.execute(text("CREATE TYPE mood AS ENUM ('calm', 'alarmed')"))

    assert read_df("SELECT 'calm'::mood AS m", session=session)["m"].tolist() == ["calm"]


@ON_ONE_SESSION
@given(
    rows=st.integers(1, 70),
    size=st.integers(1, 400),
    chunk=st.integers(1, 20),
    batch=st.integers(1, 40),
)
def test_rows_are_the_same_wherever_chunks_and_batches_end(session, rows, size, chunk, batch):
    query = (
        "SELECT n, CASE WHEN n % 3 > 0 THEN repeat('é', n % 9) END AS t, NULL AS z, "
        "CASE WHEN n % 4 > 0 THEN n / 4.0 END AS f, CASE WHEN n % 5 > 0 THEN to_timestamp(n) END "
        f"AS at, n * interval '1 second' AS d, n % 2 = 0 AS b FROM generate_series(1, {rows}) n"
    )
    numbers = range(1, rows + 1)
    expected = {
        "n": list(numbers),
        "t": ["é" * (n % 9) if n % 3 else None for n in numbers],
        "z": [None] * rows,
        "f": [n / 4 if n % 4 else None for n in numbers],
        "at": [datetime.fromtimestamp(n, UTC) if n % 5 else None for n in numbers],
        "d": [timedelta(seconds=n) for n in numbers],
        "b": [n % 2 == 0 for n in numbers],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "ROWS", chunk)
        patch.setattr(_run, "BYTES", size)
        patch.setattr(_read_df, "_ROWS_AT_ONCE", batch)
        patch.setattr(_read_df, "_CAPACITY", 2 * batch)
        for frame in FRAMES:
            result = read_df(query, session=session, output=frame)
            assert {name: values_of(result, name) for name in expected} == expected


@pytest.mark.parametrize("rows", [1, 100_000])
def test_every_column_of_pandas_can_be_written_to(session, rows):
    query = (
        "SELECT n, n / 2.0 AS f, to_timestamp(n) AS at, n::text AS t, true AS b "
        f"FROM generate_series(1, {rows}) n"
    )
    result = read_df(query, session=session)

    for name in result:
        result.loc[0, name] = None

    assert result.loc[0].isna().all()
    assert result["f"].sum() == sum(n / 2 for n in range(2, rows + 1))


def test_chunks_of_huge_rows_are_of_few(session):
    query = (
        b"COPY (SELECT repeat('x', 1000000) FROM generate_series(1, 40)) TO STDOUT (FORMAT binary)"
    )
    connection = session.connection().connection.dbapi_connection

    sizes = [len(chunk.bytes) for chunk in _run.copy_chunks(connection, query)]

    assert sum(sizes) > 40_000_000
    assert max(sizes) < 2 * _run.BYTES


def test_rows_of_other_columns_than_announced_are_refused():
    one_integer = bytes([0, 1, 0, 0, 0, 4, 0, 0, 0, 1])
    chunk = Chunk(memoryview(one_integer + PADDING), [len(one_integer)])

    with pytest.raises(QueryError, match="altered"):
        decode_chunk(chunk, {"n": DECODERS[20]})  # bigint


def test_rows_wider_than_16_bits_can_count_arrive_whole(session):
    query = (
        "SELECT repeat('é', n * 30000) AS wide, NULL::text AS nothing, n "
        "FROM generate_series(0, 5) n"
    )

    read = read_df(query, session=session, output="arrow")

    assert read["wide"].to_pylist() == ["é" * (n * 30_000) for n in range(6)]
    assert read["nothing"].null_count == 6
    assert read["n"].to_pylist() == list(range(6))


def test_more_rows_than_a_chunk_and_a_batch_arrive_in_order(session):
    read = read_df("SELECT n, n::text AS t FROM generate_series(1, 300000) n", session=session)

    assert (read["n"] == np.arange(1, 300_001)).all()
    assert (read["t"].astype("int64") == read["n"]).all()
