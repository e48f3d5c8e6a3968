"""The decoder of the binary COPY agrees with PostgreSQL's own `COPY … CSV` on every type."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import re
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import extensions
from sqlalchemy import text

from synfin_analytics.io.read import read_df
from synfin_analytics.io.read._decode import DECODERS
from synfin_analytics.io.read._run import NUMERIC

ON_ONE_SESSION = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NULL = "<NULL>"  # no value below contains it
NAN = float("nan")
WIDE = "Zürich 中文 💳 " * 9

strings = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def numbers(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    return st.integers(-(10**precision) + 1, 10**precision - 1).map(
        lambda units: Decimal(f"{units}e-{scale}")
    )


def interval(text: str) -> dt.timedelta:
    """Parse PostgreSQL's `-3 days +04:05:06.789`."""
    match = re.fullmatch(r"(?:([+-]?\d+) days?)? ?(?:([+-]?)(\d+):(\d\d):(\d\d(?:\.\d+)?))?", text)
    assert match, text
    days, sign, hours, minutes, seconds = match.groups()
    microseconds = int(Decimal(seconds or 0) * 1_000_000)
    clock = dt.timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    clock += dt.timedelta(microseconds=microseconds)
    return dt.timedelta(days=int(days or 0)) + (-clock if sign == "-" else clock)


def elements(parse):
    """Parser of a one-dimensional array, with the driver's own parser of `{a,"b,c",NULL}`."""

    def parse_array(text: str):
        items = extensions.STRINGARRAY(text, None)
        return [None if item is None else parse(item) for item in items]

    return parse_array


def boolean(text: str) -> bool:
    return {"t": True, "f": False}[text]


def real(text: str) -> float:
    return float(np.float32(text))


def binary(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("\\x"))


TIMES = [dt.time(0), dt.time(23, 59, 59, 999_999)]
DATES = [dt.date(1, 1, 1), dt.date(1999, 12, 31), dt.date(2000, 1, 1), dt.date(9999, 12, 31)]
TIMESTAMPS = [dt.datetime.combine(date, time) for date in DATES for time in TIMES]
UTC_TIMESTAMPS = [timestamp.replace(tzinfo=dt.UTC) for timestamp in TIMESTAMPS]
FLOATS = [0.0, -0.0, 1.5, -1e-300, 1.7976931348623157e308, math.inf, -math.inf, NAN]

#: By OID: type, values, further values, and how the text of `COPY … CSV` is read.
TYPES = {
    16: ("boolean", [True, False], st.booleans(), boolean),
    17: ("bytea", [b"", b"\0\xff", b"x" * 300], st.binary(max_size=40), binary),
    18: ('"char"', ["a", "~"], st.characters(codec="ascii", exclude_characters="\0"), str),
    19: ("name", ["", "public", "Größe"], st.text("abcÄ ", max_size=20), str),
    20: ("bigint", [0, -(2**63), 2**63 - 1], integers(64), int),
    21: ("smallint", [0, -(2**15), 2**15 - 1], integers(16), int),
    23: ("integer", [0, -(2**31), 2**31 - 1], integers(32), int),
    25: ("text", ["", " ", "NULL", 'a"b,c\n', "x" * 12, "y" * 13, WIDE], strings, str),
    26: ("oid", [0, 2**32 - 1], st.integers(0, 2**32 - 1), int),
    114: ("json", ["{}", '{"a": 1.50}', "null"], st.just("[1, 2]"), str),
    700: ("real", [0.0, -0.0, 1.5, math.inf, -math.inf, NAN], st.floats(width=32), real),
    701: ("double precision", FLOATS, st.floats(), float),
    1042: ("char(3)", ["EUR", "a  "], st.text("abc", min_size=3, max_size=3), str),
    1043: ("varchar(40)", ["", "é" * 40], strings, str),
    1082: ("date", DATES, st.dates(), dt.date.fromisoformat),
    1083: ("time", TIMES, st.times(), dt.time.fromisoformat),
    1114: ("timestamp", TIMESTAMPS, st.datetimes(), dt.datetime.fromisoformat),
    1184: (
        "timestamptz",
        UTC_TIMESTAMPS,
        st.datetimes(timezones=st.just(dt.UTC)),
        dt.datetime.fromisoformat,
    ),
    1186: (
        "interval",
        [dt.timedelta(), dt.timedelta(-3, 7, 8), dt.timedelta(100_000, -1)],
        st.timedeltas(dt.timedelta(-30_000), dt.timedelta(30_000)),
        interval,
    ),
    3802: ("jsonb", ["{}", '{"b": 1.50, "a": [null]}', "null"], st.just('"x"'), str),
    1000: ("boolean[]", [[], [True, None]], st.lists(st.booleans(), max_size=4), elements(boolean)),
    1001: ("bytea[]", [[b"", None, b"\xff"]], st.just([b"a"]), elements(binary)),
    1005: ("smallint[]", [[], [None, -1]], st.lists(integers(16), max_size=4), elements(int)),
    1007: ("integer[]", [[], [None, -1]], st.lists(integers(32), max_size=4), elements(int)),
    1009: (
        "text[]",
        [[], ["", None, "NULL", 'a"b,{}\\', "x" * 40]],
        st.lists(st.none() | strings, max_size=4),
        elements(str),
    ),
    1014: ("char(3)[]", [["EUR", None]], st.just(["abc"]), elements(str)),
    1015: ("varchar(40)[]", [["", None, "é" * 40]], st.lists(strings, max_size=4), elements(str)),
    1016: ("bigint[]", [[], [None, 2**62]], st.lists(integers(64), max_size=4), elements(int)),
    1021: ("real[]", [[], [None, 1.5]], st.lists(st.floats(width=32), max_size=4), elements(real)),
    1022: ("double precision[]", [FLOATS], st.lists(st.floats(), max_size=4), elements(float)),
    1115: ("timestamp[]", [TIMESTAMPS], st.just([]), elements(dt.datetime.fromisoformat)),
    1182: ("date[]", [DATES, [None]], st.just([]), elements(dt.date.fromisoformat)),
    1185: ("timestamptz[]", [UTC_TIMESTAMPS], st.just([]), elements(dt.datetime.fromisoformat)),
}
#: Precision and scale on both sides of each limit of the decoder.
NUMERICS = {
    f"numeric({precision},{scale})": numbers(precision, scale)
    for precision, scale in (
        (1, 0), (4, 4), (5, 0), (12, 2), (13, 1), (15, 7), (15, 15), (16, 8), (18, 0), (18, 6),
        (18, 18), (19, 2), (38, 10), (60, 20),
    )
}  # fmt: skip
#: Types without a decoder: the text that PostgreSQL shows.
AS_TEXT = {
    "inet": ["10.0.0.1", "10.0.0.0/8", "::1"],
    "uuid": ["00000000-0000-0000-0000-00000000000a"],
    "money": ["12.50"],
    "int4range": ["[1,5)", "empty"],
    "point": ["(1,2.5)"],
    "bit varying": ["0101"],
    "tsvector": ["'card':1 'stolen':2"],
}


def csv_of(session, query: str, params: dict[str, object]) -> list[str | None]:
    """Return what `COPY … CSV` writes for a query with one column."""
    cursor = session.connection().connection.cursor()
    sql = cursor.mogrify(query, params).decode()
    out = io.StringIO()
    cursor.copy_expert(f"COPY ({sql}) TO STDOUT (FORMAT csv, NULL '{NULL}', FORCE_QUOTE *)", out)
    rows = csv.reader(io.StringIO(out.getvalue(), newline=""))
    return [None if row == [NULL] else row[0] for row in rows]


def comparable(value: object) -> object:
    """NaN equals itself, and 0.0 differs from -0.0."""
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return repr(value) if isinstance(value, float) else value


@pytest.fixture(autouse=True)
def _text_is_lossless(session):
    session.execute(text("SET LOCAL extra_float_digits = 1"))
    session.execute(text("SET LOCAL bytea_output = 'hex'"))


def check(session, kind: str, values: list[object], parse, **options) -> None:
    rows = list(enumerate(values))
    pieces = [f"SELECT CAST(%(v{number})s AS {kind}) AS v, {number} AS n" for number, _ in rows]
    params = {f"v{number}": value for number, value in rows}
    union = " UNION ALL ".join(pieces)
    query = f"SELECT v FROM ({union}) AS t ORDER BY n"

    csv_texts = csv_of(session, query, params)
    named = re.sub(r"%\((\w+)\)s", r":\1", query)
    decoded = read_df(named, params, session=session, output="arrow", **options)["v"].to_pylist()

    expected = [None if cell is None else parse(cell) for cell in csv_texts]
    assert [comparable(value) for value in decoded] == [comparable(value) for value in expected]


def test_every_decoder_is_tried():
    assert set(TYPES) == set(DECODERS)
    assert NUMERIC not in DECODERS


@pytest.mark.parametrize("oid", TYPES)
def test_the_sample_has_the_type_of_the_decoder(session, oid):
    kind = TYPES[oid][0]
    assert session.scalar(text(f"SELECT '{kind}'::regtype::oid")) == oid


@pytest.mark.parametrize("oid", TYPES)
def test_edges_of_every_type_are_decoded_as_csv_shows_them(session, oid):
    kind, edges, _, parse = TYPES[oid]
    check(session, kind, [*edges, None], parse)
    check(session, kind, [None, None], parse)


@pytest.mark.parametrize("oid", TYPES)
@ON_ONE_SESSION
@given(data=st.data())
def test_values_of_every_type_are_decoded_as_csv_shows_them(session, oid, data):
    kind, edges, other_values, parse = TYPES[oid]
    cells = st.none() | st.sampled_from(edges) | other_values
    check(session, kind, data.draw(st.lists(cells, min_size=1, max_size=12)), parse)


@pytest.mark.parametrize("use_decimal", [False, True])
@pytest.mark.parametrize("kind", NUMERICS)
@ON_ONE_SESSION
@given(data=st.data())
def test_numeric_is_decoded_as_csv_shows_it(session, kind, use_decimal, data):
    values = data.draw(st.lists(st.none() | NUMERICS[kind], min_size=1, max_size=12))
    check(session, kind, values, Decimal if use_decimal else float, use_decimal=use_decimal)


@pytest.mark.parametrize("kind", AS_TEXT)
def test_a_type_without_a_decoder_is_the_text_that_csv_shows(session, kind):
    check(session, kind, [*AS_TEXT[kind], None], str)


def test_numeric_without_a_precision_is_decoded_as_csv_shows_it(session):
    values = [Decimal("1e-20"), Decimal("-12.5"), Decimal("1e30"), Decimal("NaN"), None]
    check(session, "numeric", values, float)
    check(session, "numeric", values[:3], Decimal, use_decimal=True)
    check(session, "numeric[]", [values, None, []], elements(float))
