"""Cells come in as they are, or are refused by row: nothing converts on the way to the check."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
import zoneinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dateutil import tz
from frames_of import transactions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from synfin_analytics._core.validation import numeric, temporal
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics._core.validation.validate import validate_column
from synfin_analytics.database.models import Customer, Merchant, MLFeatures, Transaction
from synfin_analytics.exceptions import ArgumentError, InvalidDataError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.io.sources import open_source
from synfin_analytics.repositories import MLFeaturesRepository, TransactionRepository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.load.types import LoadReport

pytestmark = pytest.mark.usefixtures("manager")

finite = st.floats(allow_nan=False, allow_infinity=False)
more_examples = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def stored_keys() -> list[str]:
    """Keys of transactions in the table."""
    load_df(transactions(4), "transactions", on_missing_parent="create")
    return [f"T{n}" for n in range(4)]


def features(column: str, values: Any) -> pa.Table:
    """Rows of ``ml_features`` with one column, for transactions that are known."""
    array = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.table({"transaction_id": [f"T{n}" for n in range(len(array))], column: array})


def stored(column: str, table: str = "ml_features", key: str = "transaction_id") -> list[Any]:
    """A column as PostgreSQL writes it, in the order of the keys."""
    frame = read_df(f"SELECT {column}::text AS x FROM {table} ORDER BY {key}", output="polars")
    return frame["x"].to_list()


def reasons(report: LoadReport) -> list[str]:
    """What was said of the cells that were refused."""
    return report.rejected["reason"].to_list()


def checked(data: Any, column: str, model: type[Any]) -> tuple[list[Any], dict[int, str]]:
    """Values of the column ``x`` of any data, and by row the reason against the others."""
    values: list[Any] = []
    refused: dict[int, str] = {}
    source = open_source(data, 3)
    for batch in source.batches:
        spec = spec_of(model).columns[column]
        result = validate_column(batch.columns["x"], spec, options=source.options_for("x"))
        values += result.cells.to_list()
        for mask, reason in result.errors:
            refused |= dict.fromkeys((mask.arg_true() + batch.start).to_list(), reason)
    return values, refused


# -- Whole numbers ----------------------------------------------------------------------------

BEYOND = [2**53, 2**53 + 1, 1234567890123456789]


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([Decimal(n) for n in BEYOND], pa.decimal128(38, 0)),
        pa.array([Decimal(n) for n in BEYOND], pa.decimal256(60, 2)),
        pa.array(BEYOND, pa.uint64()),
        pa.array(BEYOND).dictionary_encode(),
    ],
    ids=lambda array: str(array.type),
)
def test_whole_numbers_keep_all_digits(ids: pa.Array, stored_keys: list[str]) -> None:
    load_df(features("id", ids), "ml_features")
    assert stored("id") == [str(n) for n in BEYOND]


def test_decimals_among_objects_keep_all_digits(stored_keys: list[str]) -> None:
    objects = pd.DataFrame({"transaction_id": stored_keys[:3], "id": [Decimal(n) for n in BEYOND]})
    load_df(objects, "ml_features")
    assert stored("id") == [str(n) for n in BEYOND]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Decimal("5.00000000000000000001"), numeric.NOT_WHOLE),
        (Decimal("9223372036854775808"), "is out of range for int (Int64)"),
        (0.5, numeric.NOT_WHOLE),
        (2.0**53, numeric.ambiguous_float(53)),  # it may have been 2**53 + 1
        (float("inf"), numeric.NOT_FINITE),
    ],
)
def test_what_is_no_whole_number_is_refused_alone_and_in_columns(value: Any, reason: str) -> None:
    for data in (pl.DataFrame({"x": [value]}), [{"x": value}, {"x": 1}], [{"x": value}]):
        assert checked(data, "id", MLFeatures)[1] == {0: reason}


@pytest.mark.parametrize(("narrow", "bits"), [(np.float32, 24), (np.float16, 11)])
def test_narrow_floats_that_cannot_distinguish_whole_numbers_are_refused(
    narrow: Any, bits: int
) -> None:
    safe, unsafe = narrow(2**bits - 1), narrow(2**bits + 1)  # the latter is rounded to 2**bits
    verdict = ([int(safe), None], {1: numeric.ambiguous_float(bits)})
    column = pl.DataFrame({"x": np.array([safe, unsafe], dtype=narrow)})
    for data in (column, [{"x": safe}, {"x": unsafe}]):
        assert checked(data, "id", MLFeatures) == verdict


def test_a_decimal_that_is_almost_1_is_not_true() -> None:
    almost = pl.DataFrame({"x": [Decimal("1.00000000000000000001"), Decimal(1)]})
    assert checked(almost, "is_fraud", Transaction) == ([None, True], {0: numeric.NOT_BOOLEAN})


def test_decimals_of_many_digits_come_in_several_batches() -> None:
    wide = [Decimal(10) ** 60, Decimal("1.50"), Decimal(2), Decimal("0.01"), Decimal("0.001")]
    data = pa.table({"x": pa.array(wide, pa.decimal256(70, 3))})
    values, refused = checked(data, "amount", Transaction)
    assert values == [None, Decimal("1.50"), Decimal(2), Decimal("0.01"), None]
    assert set(refused) == {0, 4}


# -- Doubles ----------------------------------------------------------------------------------


def _mixed(value: float) -> pd.DataFrame:
    return pd.DataFrame({"transaction_id": ["T0", "T1"], "amount_log": [value, "n/a"]})


DOUBLES: dict[str, Callable[[float, Path], Any]] = {
    "dicts": lambda value, _: [{"transaction_id": "T0", "amount_log": value}],
    "orm": lambda value, _: [MLFeatures(transaction_id="T0", amount_log=value)],
    "beside a text": lambda value, _: _mixed(value),
    "polars": lambda value, _: pl.DataFrame({"transaction_id": ["T0"], "amount_log": [value]}),
    "pandas": lambda value, _: pd.DataFrame({"transaction_id": ["T0"], "amount_log": [value]}),
    "numpy scalar": lambda value, _: [{"transaction_id": "T0", "amount_log": np.float64(value)}],
    "decimal": lambda value, _: [{"transaction_id": "T0", "amount_log": Decimal(repr(value))}],
    "decimal, exactly": lambda value, _: [{"transaction_id": "T0", "amount_log": Decimal(value)}],
    "csv": lambda value, folder: _csv(value, folder / "doubles.csv"),
}


def _csv(value: float, path: Path) -> Path:
    path.write_text(f"transaction_id,amount_log\nT0,{value!r}\n")
    return path


@pytest.mark.parametrize("way", DOUBLES)
def test_doubles_keep_all_digits_on_every_way_in(
    way: str, stored_keys: list[str], manager: DatabaseManager, tmp_path: Path
) -> None:
    @given(finite)
    @more_examples
    def holds(value: float) -> None:
        data = DOUBLES[way](value, tmp_path)
        with manager.get_session() as session:
            load_df(data, "ml_features", session=session, on_invalid="reject")
            stored = read_df("SELECT amount_log FROM ml_features", session=session)
        assert stored["amount_log"].to_list() == [value]

    holds()


def test_doubles_keep_all_digits_in_repositories(
    stored_keys: list[str], manager: DatabaseManager
) -> None:
    @given(finite, finite)
    @more_examples
    def holds(first: float, second: float) -> None:
        with manager.get_session() as session:
            repository = MLFeaturesRepository(session)
            created = repository.create(transaction_id="T0", amount_log=first)
            session.expire_all()
            assert created.amount_log == first
            repository.update(created.id, amount_log=second)
            session.expire_all()
            assert created.amount_log == second

    holds()


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_single_floats_are_doubles_of_the_same_value(value: float) -> None:
    column = pa.table({"x": pa.array([value], pa.float32())})
    for data in (column, column.to_pandas(), [{"x": np.float32(value)}]):
        assert checked(data, "amount_log", MLFeatures) == ([value], {})


def test_the_largest_double_is_accepted(stored_keys: list[str]) -> None:
    with_text = [
        {"transaction_id": "T0", "amount_log": 1.7976931348623157e308},
        {"transaction_id": "T1", "amount_log": "n/a"},
    ]
    load_df(with_text, "ml_features", on_invalid="reject")
    assert stored("amount_log") == ["1.7976931348623157e+308"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (Decimal("9007199254740993"), numeric.TOO_MANY_DIGITS),
        (Decimal("0.333333333333333333"), numeric.TOO_MANY_DIGITS),
        (Decimal("1E+400"), numeric.OUT_OF_DOUBLE),
        (Decimal("1E-400"), numeric.OUT_OF_DOUBLE),
        (np.longdouble("0.1"), numeric.TOO_MANY_DIGITS),
        (2**80 + 1, numeric.TOO_MANY_DIGITS),
    ],
)
def test_numbers_that_no_double_holds_are_refused(number: Any, reason: str) -> None:
    assert checked([{"x": number}], "amount_log", MLFeatures) == ([None], {0: reason})


# -- Money ------------------------------------------------------------------------------------


def _cents(value: float) -> float:
    return round(value, 2)


@given(
    st.one_of(
        st.floats(-2e10, 2e10),
        st.floats(-1e4, 1e4).map(_cents),
        st.integers(-(10**12), 10**12).map(lambda cents: cents / 100),
        st.floats(9_999_999_999, 10_000_000_001),
        st.sampled_from([85.64999999999999, 0.1 + 0.2, 999.9999999999999, 9999999999.999998]),
    )
)
def test_a_float_in_a_column_is_handled_as_its_twin_alone(value: float) -> None:
    column = pl.DataFrame({"x": [value]})
    alone = [{"x": value}, {"x": "no number"}]
    values, refused = checked(alone, "amount", Transaction)
    refused.pop(1)
    assert checked(column, "amount", Transaction) == (values[:1], refused)


@given(st.floats(-2e10, 2e10, width=32) | st.floats(0, 1e5, width=32).map(_cents))
def test_a_single_float_in_a_column_is_handled_as_its_twin_alone(value: float) -> None:
    single = np.float32(value)
    values, refused = checked([{"x": single}, {"x": "no number"}], "amount", Transaction)
    refused.pop(1)
    column = pa.table({"x": pa.array([single], pa.float32())})
    assert checked(column, "amount", Transaction) == (values[:1], refused)


def test_a_float_just_below_the_limit_of_a_column_breaks_no_load() -> None:
    frame = transactions(2, amount=[9999999999.999998, 9999999999.99])
    report = load_df(frame, "transactions", on_missing_parent="create", on_invalid="reject")
    assert reasons(report) == ["has more than 10 digits before the decimal point"]
    assert stored("amount", "transactions") == ["9999999999.99"]


def test_a_float_that_cannot_distinguish_cents_is_refused() -> None:
    singles = pa.table({"x": pa.array([12.34, 12345.67, 12345.678, 1234567.89, 200000], "f4")})
    values, refused = checked(singles, "amount", Transaction)
    assert values == [Decimal("12.34"), Decimal("12345.67"), None, None, Decimal(200000)]
    assert set(refused) == {2, 3}


@given(st.decimals(-(10**11), 10**11, places=4))
def test_decimals_are_never_rounded(value: Decimal) -> None:
    for data in (pl.DataFrame({"x": [value]}), [{"x": value}, {"x": "no number"}]):
        cell = checked(data, "amount", Transaction)[0][0]
        fits = 0 < value < 10**10 and value == round(value, 2)
        assert cell == (value if fits else None)


# -- JSON -------------------------------------------------------------------------------------

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
_trees = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_records = st.lists(st.dictionaries(_texts, _trees, max_size=3), min_size=1, max_size=4)

RECORDS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "dicts": lambda rows: rows,
    "pandas": pd.DataFrame,
    "orm": lambda rows: [MLFeatures(**row) for row in rows],
}


def _typed(value: Any) -> Any:
    """A value with the types of all its numbers: 1 and 1.0 and True are equal by themselves."""
    if isinstance(value, dict):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    return type(value), value


@pytest.mark.parametrize("way", RECORDS)
def test_every_record_is_stored_by_itself(
    way: str, stored_keys: list[str], manager: DatabaseManager
) -> None:
    @given(_records)
    @more_examples
    def holds(records: list[dict[str, Any]]) -> None:
        rows = [
            {"transaction_id": f"T{n}", "additional_features": record}
            for n, record in enumerate(records)
        ]
        with manager.get_session() as session:
            load_df(RECORDS[way](rows), "ml_features", session=session)
            stored = read_df(
                "SELECT additional_features::text AS x FROM ml_features ORDER BY transaction_id",
                session=session,
            )
        assert [_typed(json.loads(text)) for text in stored["x"]] == [
            _typed(record) for record in records
        ]

    holds()


def test_records_keep_all_digits_in_repositories(
    stored_keys: list[str], manager: DatabaseManager
) -> None:
    long = {"a": Decimal("0.12345678901234567890"), "b": 1e22, "c": 10**30}
    with manager.session_scope() as session:
        repository = MLFeaturesRepository(session)
        created = repository.create(transaction_id="T0", additional_features=long)
        assert _typed(created.additional_features["b"]) == (float, 1e22)
        repository.create(transaction_id="T1", additional_features="{}")
        second = repository.create(transaction_id="T2", additional_features=None)
        repository.update(second.id, additional_features='{"a": 0.12345678901234567890}')
    digits = "0.12345678901234567890"
    assert stored("additional_features") == [
        f'{{"a": {digits}, "b": {10**22}.0, "c": {10**30}}}',
        "{}",
        f'{{"a": {digits}}}',
    ]


def test_no_record_is_null_rather_than_the_null_of_json(
    stored_keys: list[str], manager: DatabaseManager
) -> None:
    with manager.session_scope() as session:
        repository = MLFeaturesRepository(session)
        repository.create(transaction_id="T0", additional_features=None)
        second = repository.create(transaction_id="T1", additional_features={"a": 1})
        repository.update(second.id, additional_features=None)
        session.add(MLFeatures(transaction_id="T2", additional_features=None))
    assert stored("additional_features") == [None, None, None]


class _Pair(tuple):
    """A named tuple is not a list."""


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (float("nan"), "has NaN, which JSON cannot represent"),
        (np.float32("-inf"), "has -Infinity, which JSON cannot represent"),
        (Decimal("NaN"), "has NaN or Infinity, which JSON cannot represent"),
        ("a\0b", "contains a NUL character, which PostgreSQL cannot store"),
        ("\ud800", "is not valid Unicode text (a lone surrogate)"),
        (dt.date(2026, 1, 1), "has a value of type date, which JSON cannot represent"),
        (b"bytes", "has a value of type bytes, which JSON cannot represent"),
        (pd.NA, "has a value of type NAType, which JSON cannot represent"),
        (
            np.datetime64("2026-01-01"),
            "has a value of type datetime64, which JSON cannot represent",
        ),
        ({1, 2}, "has a value of type set, which JSON cannot represent"),
        (_Pair((1, 2)), "has a value of type _Pair, which JSON cannot represent"),
        ({1: "a"}, "has a key of type int; JSON keys are strings"),
        (10**5000, "has a number out of range"),
        (np.longdouble("0.1"), "has a number with more digits than a double can hold"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_does_not_know_is_refused_by_row(value: Any, reason: str) -> None:
    data = [{"x": {"a": value}}, {"x": {"a": 1}}, {"x": None}]
    values, refused = checked(data, "additional_features", MLFeatures)
    assert values == [None, '{"a": 1}', None]
    assert refused == {0: reason}


def test_scalars_and_arrays_of_numpy_are_written_as_they_are() -> None:
    record = {"a": np.int8(1), "b": np.array([0.5, 2]), "c": np.bool_(True), "d": np.float32(0.1)}
    record |= {"e": Decimal("0.10"), "f": (1, "x"), "g": 10**30}
    values, _ = checked([{"x": record}], "additional_features", MLFeatures)
    assert values == [
        '{"a": 1, "b": [0.5, 2.0], "c": true, "d": 0.10000000149011612, "e": 0.10, '
        f'"f": [1, "x"], "g": {10**30}}}'
    ]


@pytest.mark.parametrize(
    ("array", "texts"),
    [
        (pa.array([{"a": 1, "b": None}, None]), ['{"a": 1, "b": null}', None]),
        (pa.array([[1.0, None], []]), ["[1.0, null]", "[]"]),
        (pa.array([[["x"]], None]), ['[["x"]]', None]),
        (pa.array([[("k", 0.5)]], pa.map_(pa.string(), pa.float64())), ['{"k": 0.5}']),
        (pa.array([[1]], pa.list_view(pa.int64())), ["[1]"]),
        (pa.array(['{"a": 1}'], pa.json_()), ['{"a": 1}']),
    ],
    ids=lambda array: str(getattr(array, "type", "")),
)
def test_nested_columns_of_arrow_and_polars_are_json(array: pa.Array, texts: list[str]) -> None:
    for data in (pa.table({"x": array}), duckdb.connect().from_arrow(pa.table({"x": array}))):
        assert checked(data, "additional_features", MLFeatures) == (texts, {})
    if not pa.types.is_list_view(array.type):
        polars = pl.DataFrame(pl.from_arrow(pa.table({"x": array})))
        assert checked(polars, "additional_features", MLFeatures) == (texts, {})


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int64())), "has a repeated key"),
        (
            pa.array([[(1, 1)]], pa.map_(pa.int64(), pa.int64())),
            "has a key of type int; JSON keys are strings",
        ),
        (pa.array([{"a": float("nan")}]), "has NaN, which JSON cannot represent"),
        (
            pa.array([{"a": 2**62}], pa.struct([("a", pa.timestamp("us"))])),
            "has a value that Python cannot represent",
        ),
    ],
    ids=["repeated key", "number as key", "NaN", "year 148108"],
)
def test_nested_cells_without_an_equal_in_json_are_refused(array: pa.Array, reason: str) -> None:
    data = pa.table({"x": array})
    assert checked(data, "additional_features", MLFeatures) == ([None], {0: reason})


def test_a_text_of_json_with_a_key_twice_is_refused() -> None:
    texts = pl.DataFrame({"x": ['{"a": 1, "a": 2}', '{"a": {"b": 1}, "b": 2}']})
    _, refused = checked(texts, "additional_features", MLFeatures)
    assert refused == {0: "has a repeated key"}


# -- Types that tables do not have --------------------------------------------------------------

FOREIGN: dict[str, Any] = {
    "period": pd.DataFrame({"x": pd.period_range("2026", periods=2, freq="D")}),
    "interval": pd.DataFrame({"x": pd.interval_range(0, 2)}),
    "categories of intervals": pd.DataFrame({"x": pd.cut([1, 2], [0, 1, 2])}),
    "duration": pd.DataFrame({"x": pd.to_timedelta([1, 2], "s")}),
    "time of day": pa.table({"x": pa.array([1, 2], pa.time32("s"))}),
    "bytes": pa.table({"x": [b"a", b"b"]}),
    "complex": pd.DataFrame({"x": [1j, 2j]}),
    "months": pa.table({"x": pa.array([pa.MonthDayNano([1, 2, 3])] * 2)}),
    "objects of polars": pl.DataFrame({"x": pl.Series([object(), object()], dtype=pl.Object)}),
    "fractions of seconds": pa.table({"x": pa.array([2**62, 1], pa.duration("s"))}),
    "period within a record": pa.table(
        {
            "x": pa.StructArray.from_arrays(
                [pa.array(pd.Series(pd.period_range("2026", periods=2, freq="D")))], ["p"]
            )
        }
    ),
}

COLUMNS = [
    (Transaction, "city"), (MLFeatures, "id"), (MLFeatures, "amount_log"),
    (Transaction, "amount"), (Transaction, "is_fraud"), (Transaction, "timestamp"),
    (Customer, "date_of_birth"), (MLFeatures, "additional_features"),
]  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize(("model", "column"), COLUMNS, ids=lambda value: str(value))
def test_a_type_that_no_column_has_is_refused_by_row(
    kind: str, model: type[Any], column: str
) -> None:
    values, refused = checked(FOREIGN[kind], column, model)
    assert values == [None, None]
    assert set(refused) == {0, 1}


def test_a_period_in_a_parquet_file_is_no_number(tmp_path: Path) -> None:
    FOREIGN["period"].to_parquet(tmp_path / "periods.parquet")
    for data in (tmp_path / "periods.parquet", pl.scan_parquet(tmp_path / "periods.parquet")):
        values, refused = checked(data, "id", MLFeatures)
        assert values == [None, None]
        assert refused[0] == "is of type pandas.period, not a whole number"


class _Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "stands_for"),
    [
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (_Colour.RED, "red"),
        (np.str_("red"), "red"),
        (np.int64(7), "7"),
    ],
)
def test_what_is_a_text_by_another_name_is_taken_as_text(value: Any, stands_for: str) -> None:
    assert checked([{"x": value}], "city", Transaction) == ([stands_for], {})


def test_uuids_of_arrow_and_duckdb_are_texts() -> None:
    key = uuid.UUID(int=2**100 + 1)
    arrow = pa.table({"x": pa.array([key.bytes], pa.uuid())})
    for data in (arrow, duckdb.connect().sql(f"SELECT '{key}'::uuid AS x")):
        assert checked(data, "city", Transaction) == ([str(key)], {})


def test_categories_are_the_values_that_they_stand_for() -> None:
    ints = pd.DataFrame({"x": pd.Categorical([2**53 + 1, None, 7])})
    assert checked(ints, "id", MLFeatures) == ([2**53 + 1, None, 7], {})
    runs = pa.table({"x": pa.RunEndEncodedArray.from_arrays([2, 3], ["a", "b"])})
    assert checked(runs, "city", Transaction) == (["a", "a", "b"], {})


def test_texts_of_arrow_that_are_not_utf8_are_refused_by_row() -> None:
    offsets = pa.array([0, 1, 3], pa.int32()).buffers()[1]
    broken = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"a\xff\xfe"))
    values, refused = checked(pa.table({"x": broken}), "city", Transaction)
    assert (values, refused) == (["a", None], {1: "is not valid Unicode text (UTF-8)"})


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


def _deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


@pytest.mark.parametrize(
    ("value", "expected"), [(_Unprintable(), "<_Unprintable>"), (_deep(5_000), "<list>")]
)
def test_a_value_that_cannot_be_printed_is_refused_by_its_type(value: Any, expected: str) -> None:
    rows = [{**row, "amount": value} for row in transactions(1).to_dicts()]
    with pytest.raises(InvalidDataError, match=f"amount: is .*{expected}"):
        load_df(rows, "transactions", on_missing_parent="create")
    nested = [{"transaction_id": "T0", "additional_features": {"a": value}}]
    with pytest.raises(InvalidDataError, match=r"additional_features: .*<dict>"):
        load_df(nested, "ml_features")


def test_an_integer_of_thousands_of_digits_is_refused_and_shown_shortly() -> None:
    with pytest.raises(InvalidDataError, match=r"city: is longer than 100 characters.*<int>"):
        load_df(
            [{**row, "city": 10**5000} for row in transactions(1).to_dicts()],
            "transactions",
            on_missing_parent="create",
        )


# -- Moments ------------------------------------------------------------------------------------

NO_MOMENTS = [
    "now", "today", "epoch", "infinity", "-infinity", "yesterday", "tomorrow", "NaT", "2026",
    "26-01-01", "01-02-26", "2026-1-1", "2026-01", "2026-001", "2026-W01-1", "12026-01-01",
    "+2026-01-01", "-2026-01-01", "0000-01-01", "2026-02-30", "2026-01-01T24:00",
    "2026-01-01T12:60", "2016-12-31T23:59:60Z", "2026-01-01T12", "2026-01-01T12:00+24:00",
    "2026-01-01 12:00 Europe/Berlin", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00",
    "\uff12\uff10\uff12\uff16-01-01", "", " ",
]  # fmt: skip


@pytest.mark.parametrize("written", NO_MOMENTS)
def test_a_text_that_is_no_moment_is_refused_alone_and_in_a_column(written: str) -> None:
    for data in (pl.DataFrame({"x": [written]}), [{"x": written}, {"x": 5}]):
        assert checked(data, "timestamp", Transaction)[1][0] == temporal.NOT_A_TIMESTAMP


@pytest.mark.parametrize("digits", ["1234567", "123456789", "0000001", "1234560001"])
def test_a_text_finer_than_microseconds_is_refused(digits: str) -> None:
    written = f"2026-01-01T12:30:00.{digits}Z"
    for data in (pl.DataFrame({"x": [written]}), [{"x": written}, {"x": 5}]):
        assert checked(data, "timestamp", Transaction)[1][0] == temporal.TOO_PRECISE


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-01-31", dt.datetime(2026, 1, 31, tzinfo=dt.UTC)),
        ("20260131", dt.datetime(2026, 1, 31, tzinfo=dt.UTC)),
        ("2026-01-31 10:05", dt.datetime(2026, 1, 31, 10, 5, tzinfo=dt.UTC)),
        ("20260131T100507Z", dt.datetime(2026, 1, 31, 10, 5, 7, tzinfo=dt.UTC)),
        ("2026-01-31 10:05:07+00", dt.datetime(2026, 1, 31, 10, 5, 7, tzinfo=dt.UTC)),
        ("2026-01-31T10:05:07.5-0330", dt.datetime(2026, 1, 31, 13, 35, 7, 500000, dt.UTC)),
        ("2026-01-31T10:05:07.123456000", dt.datetime(2026, 1, 31, 10, 5, 7, 123456, dt.UTC)),
        (" 2026-01-31 ", dt.datetime(2026, 1, 31, tzinfo=dt.UTC)),
        ("9999-12-31T23:59:59.999999", dt.datetime.max.replace(tzinfo=dt.UTC)),
        ("0001-01-01", dt.datetime.min.replace(tzinfo=dt.UTC)),
    ],
)
def test_a_text_is_the_same_moment_alone_and_in_a_column(written: str, moment: Any) -> None:
    for data in (pl.DataFrame({"x": [written]}), [{"x": written}, {"x": 5}]):
        assert checked(data, "timestamp", Transaction)[0][0] == moment


@given(st.lists(st.sampled_from([*NO_MOMENTS, "2026-01-31T10:00:00.000000001"]), max_size=4))
def test_a_bad_moment_does_not_change_the_verdict_of_others(bad: list[str]) -> None:
    good = ["9999-12-31", "0001-01-01T00:00:00.000000", "2026-01-31T10:00+01:00"]
    values, refused = checked(pl.DataFrame({"x": good + bad}), "timestamp", Transaction)
    assert [value.year for value in values[:3]] == [9999, 1, 2026]
    assert set(refused) == set(range(3, 3 + len(bad)))


@given(
    st.datetimes(timezones=st.timezones() | st.none()) | st.text("0123456789-:T.+Z ", max_size=28)
)
def test_texts_of_moments_are_read_alike_alone_and_in_a_column(given_value: Any) -> None:
    written = given_value if isinstance(given_value, str) else given_value.isoformat()
    alone = checked([{"x": written}, {"x": 5}], "timestamp", Transaction)
    column = checked(pl.DataFrame({"x": [written]}), "timestamp", Transaction)
    assert (alone[0][0], alone[1].get(0)) == (column[0][0], column[1].get(0))


@pytest.mark.parametrize("written", ["85-03-01", "1985-3-1", "1985", "now", "1985-02-30", "031985"])
def test_a_text_that_is_no_day_is_refused(written: str) -> None:
    for data in (pl.DataFrame({"x": [written]}), [{"x": written}, {"x": 5}]):
        assert checked(data, "date_of_birth", Customer)[1][0] == temporal.NOT_A_DATE


@pytest.mark.parametrize("written", ["1985-03-01", "19850301", "1985-03-01 00:00:00.000"])
def test_a_day_may_be_written_with_its_midnight(written: str) -> None:
    for data in (pl.DataFrame({"x": [written]}), [{"x": written}, {"x": 5}]):
        assert checked(data, "date_of_birth", Customer)[0][0] == dt.date(1985, 3, 1)


FAR: dict[str, Any] = {
    "year 20000 as days": pa.table({"x": pa.array([6585442], pa.date32())}),
    "the last day of Arrow": pa.table({"x": pa.array([2**31 - 1], pa.date32())}),
    "year 20226 in microseconds": pa.table({"x": pa.array([576 * 10**15], "timestamp[us]")}),
    "milliseconds": pa.table({"x": pa.array([2**62], pa.timestamp("ms", "UTC"))}),
    "seconds that overflow": pa.table({"x": pa.array([2**62], pa.timestamp("s"))}),
    "days in milliseconds": pa.table({"x": pa.array([86_400_000 * 10**9], pa.date64())}),
    "before year 1": pa.table({"x": pa.array([-(10**17)], pa.timestamp("us"))}),
    "infinity of DuckDB": duckdb.connect().sql("SELECT 'infinity'::timestamp AS x"),
    "-infinity of DuckDB": duckdb.connect().sql("SELECT '-infinity'::timestamptz AS x"),
    "seconds of pandas": pd.DataFrame({"x": np.array(["20226-01-01"], "datetime64[s]")}),
    "object of NumPy": [{"x": np.datetime64("20226-01-01")}],
    "year 10000 in UTC": [{"x": dt.datetime.max.replace(tzinfo=zoneinfo.ZoneInfo("America/Lima"))}],
    "polars": pl.DataFrame({"x": pl.Series([2**62]).cast(pl.Datetime("us"))}),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAR)
def test_a_moment_beyond_the_calendar_is_refused_by_row(kind: str) -> None:
    assert checked(FAR[kind], "timestamp", Transaction) == ([None], {0: temporal.OUT_OF_YEARS})


def test_a_load_gets_past_moments_beyond_the_calendar(manager: DatabaseManager) -> None:
    far = pa.array([2**63 - 1, 0, -(2**63)], pa.timestamp("us"))
    data = pa.table({"merchant_id": ["a", "b", "c"], "created_at": far})
    report = load_df(data, "merchants", on_invalid="reject")
    assert (report.inserted, reasons(report)) == (1, [temporal.OUT_OF_YEARS] * 2)
    assert report.rejected["value"].to_list() == ["294247-01-10 04:00:54.775807", "-infinity"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    "zone", [None, "UTC", "+05:30", "-11:00", "America/New_York", "Mars/Olympus"]
)
def test_moments_of_any_unit_and_zone_are_the_same(unit: str, zone: str | None) -> None:
    per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    data = pa.table({"x": pa.array([1_769_853_600 * per, None], pa.timestamp(unit, zone))})
    values, _ = checked(data, "created_at", Merchant)
    assert values == [dt.datetime(2026, 1, 31, 10, tzinfo=dt.UTC), None]


@pytest.mark.parametrize("zone", [tz.gettz("Europe/Berlin"), tz.tzoffset(None, 3600), tz.UTC])
@pytest.mark.parametrize(
    "equal_moments", [[], [dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)], ["now"]]
)
def test_moments_in_zones_of_dateutil_are_the_same(
    zone: dt.tzinfo, equal_moments: list[Any]
) -> None:
    moment = dt.datetime(2026, 1, 31, 12, tzinfo=zone)
    for data in (
        [{"x": cell} for cell in [moment, *equal_moments]],
        pd.DataFrame({"x": [moment, *equal_moments]}),
    ):
        assert checked(data, "created_at", Merchant)[0][0] == moment.astimezone(dt.UTC)


def test_days_with_a_time_of_day_are_moments_but_no_days() -> None:
    data = pa.table({"x": pa.array([86_400_000, 86_400_001], pa.date64())})
    values, refused = checked(data, "date_of_birth", Customer)
    assert (values, refused) == ([dt.date(1970, 1, 2), None], {1: temporal.HAS_TIME})
    assert checked(data, "created_at", Merchant)[0][1].microsecond == 1000


def test_objects_finer_than_microseconds_are_refused() -> None:
    fine = pd.Timestamp("2026-01-01T00:00:00.000000001")
    for value in (fine, fine.to_datetime64()):
        assert checked([{"x": value}], "created_at", Merchant)[1] == {0: temporal.TOO_PRECISE}
    assert checked([{"x": fine}], "date_of_birth", Customer)[1] == {0: temporal.HAS_TIME}


# -- Missing cells ------------------------------------------------------------------------------


def test_a_gap_in_created_at_leaves_it_as_it_is(manager: DatabaseManager) -> None:
    load_df(transactions(2), "transactions", on_missing_parent="create")
    with manager.session_scope() as session:
        session.execute(text("UPDATE transactions SET created_at = '2020-01-01 00:00+00'"))
    moment = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
    update = pl.DataFrame(
        {"transaction_id": ["T0", "T1"], "city": ["Bonn", "Köln"], "created_at": [None, moment]}
    )
    load_df(update, "transactions", on_conflict="update")
    assert stored("created_at", "transactions") == [
        "2020-01-01 00:00:00+00",
        "2021-01-01 00:00:00+00",
    ]
    assert stored("city", "transactions") == ["Bonn", "Köln"]


def test_a_gap_in_created_at_of_a_new_row_is_now(manager: DatabaseManager) -> None:
    before = dt.datetime.now(dt.UTC)
    load_df(pd.DataFrame({"merchant_id": ["a"], "created_at": [pd.NaT]}), "merchants")
    (created,) = read_df("merchants", output="polars")["created_at"]
    assert before <= created <= dt.datetime.now(dt.UTC)


def test_no_created_at_in_a_repository_leaves_it_as_it_is(manager: DatabaseManager) -> None:
    load_df(transactions(1), "transactions", on_missing_parent="create")
    with manager.session_scope() as session:
        session.execute(text("UPDATE transactions SET created_at = '2020-01-01 00:00+00'"))
        TransactionRepository(session).update("T0", city="Bonn", created_at=pd.NaT)
    assert stored("created_at", "transactions") == ["2020-01-01 00:00:00+00"]


def test_a_decimal_nan_is_a_value_and_refused() -> None:
    for nan in (Decimal("NaN"), Decimal("sNaN")):
        for data in ([{"x": nan}], [{"x": nan}, {"x": "a"}]):
            assert checked(data, "amount", Transaction)[1][0] == numeric.NOT_FINITE


def test_checks_do_not_depend_on_the_decimal_context() -> None:
    with decimal.localcontext(prec=3):
        values, _ = checked([{"x": Decimal("12345.67")}, {"x": "a"}], "amount", Transaction)
    assert values[0] == Decimal("12345.67")


# -- What is said -------------------------------------------------------------------------------


def _card_types(values: list[str]) -> InvalidDataError:
    frame = transactions(len(values), card_type=values)
    with pytest.raises(InvalidDataError) as caught:
        load_df(frame, "transactions", on_missing_parent="create")
    return caught.value


def test_all_values_outside_a_closed_set_are_named() -> None:
    error = _card_types(["NA"] * 10 + ["Credit"] * 45 + ["Debit"] * 45)
    assert "100 rows: 0, 1, 2, 3, 4 and 95 more (such as 'NA', 'Credit', 'Debit')" in str(error)


def test_of_many_values_outside_a_closed_set_ten_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from synfin_analytics.io.load import _load_df as load

    monkeypatch.setattr(load, "BATCH_ROWS", 7)
    error = _card_types([f"type {n % 13}" for n in range(26)])
    (problem,) = error.problems
    assert problem.samples == tuple(f"'type {n}'" for n in range(10))
    assert str(error.problems[0]).endswith("'type 9' and 3 others)")


def test_problems_have_a_short_repr_and_all_their_rows() -> None:
    error = _card_types(["NA"] * 2000)
    assert len(repr(error.problems)) < 300
    assert "rows=(0, 1, 2, 3, 4, … 1,995 more)" in repr(error.problems)
    assert error.problems[0].rows == tuple(range(2000))


def test_data_of_many_columns_of_their_own_point_to_layouts() -> None:
    wide = transactions(1).rename({"amount": "Amt", "timestamp": "When"})
    wide = wide.with_columns(pl.lit(0).alias(f"V{n}") for n in range(5))
    with pytest.raises(InvalidDataError, match=r"read_layout\(data, Layout\("):
        load_df(wide, "transactions")
    with pytest.raises(InvalidDataError) as caught:
        load_df(transactions(1).with_columns(V1=pl.lit(0)), "transactions")
    assert "Layout" not in str(caught.value)


def test_a_key_that_is_the_index_of_pandas_is_reported() -> None:
    frame = pd.DataFrame({"name": ["x"]}, index=pd.Index(["a"], name="merchant_id"))
    with pytest.raises(InvalidDataError, match=r"merchant_id: is required.*reset_index\(\)"):
        load_df(frame, "merchants")
    assert load_df(frame.reset_index(), "merchants").inserted == 1


def test_columns_that_are_named_by_numbers_are_mapped_by_them() -> None:
    frame = pd.DataFrame([["a", "x"]])
    load_df(frame, "merchants", columns={0: "merchant_id", 1: "name"})
    assert stored("name", "merchants", "merchant_id") == ["x"]


def test_a_list_in_place_of_the_mapping_of_columns_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"`columns` must be a dict.*; got \['merchant_id'\]"):
        load_df(pd.DataFrame({"merchant_id": ["a"]}), "merchants", columns=["merchant_id"])
