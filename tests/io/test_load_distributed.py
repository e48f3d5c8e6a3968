"""load_df of Dask and PySpark DataFrames: partition by partition, in one transaction."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import dask.dataframe as dd
import pandas as pd
import polars as pl
import pytest
from dask.distributed import Client
from engines import ENGINES, to_spark
from feature_rows import world
from frames_of import transactions
from polars.testing import assert_frame_equal

from synfin_analytics._core.partitions import dask_partitions
from synfin_analytics.exceptions import ArgumentError, ConfigurationError, InvalidDataError
from synfin_analytics.features import engineer_features
from synfin_analytics.io.layouts import Layout, read_layout, suggest_columns
from synfin_analytics.io.load import _load_df as load
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    #: Makes a frame of an engine whose partitions are these frames.
    Distribute = Callable[[Sequence[pl.DataFrame]], Any]

pytestmark = pytest.mark.usefixtures("manager")


@pytest.fixture(params=["dask", "spark"])
def distribute(request: pytest.FixtureRequest) -> Distribute:
    if request.param == "dask":
        return _to_dask
    spark = request.getfixturevalue("spark")
    return lambda parts: functools.reduce(
        lambda left, right: left.union(right),
        (to_spark(spark, part).coalesce(1) for part in parts),
    )


def _to_dask(parts: Sequence[pl.DataFrame]) -> Any:
    frames = [part.to_pandas() for part in parts]
    return dd.from_map(lambda number: frames[number], range(len(frames)), meta=frames[0].head(0))


def _merchants(*parts: range) -> list[pl.DataFrame]:
    schema = {"merchant_id": pl.String}
    return [
        pl.DataFrame({"merchant_id": [f"M{n:06}" for n in part]}, schema=schema) for part in parts
    ]


def _keys() -> list[str]:
    keys = read_df("SELECT merchant_id FROM merchants ORDER BY 1", output="polars")
    return keys["merchant_id"].to_list()


# -- Rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [name for name in ENGINES if name.startswith("dask")])
def test_rows_of_dask_are_those_of_the_frame_in_memory(kind: str) -> None:
    frame = transactions(20)
    load_df(ENGINES[kind](frame), "transactions", on_missing_parent="create")
    _assert_stored(frame)


def test_rows_of_spark_are_those_of_the_frame_in_memory(spark: Any) -> None:
    frame = transactions(20)
    load_df(to_spark(spark, frame), "transactions", on_missing_parent="create")
    _assert_stored(frame)


def _assert_stored(frame: pl.DataFrame) -> None:
    columns = ", ".join(frame.columns)
    query = f"SELECT {columns} FROM transactions ORDER BY transaction_id"
    stored = read_df(query, output="polars", use_decimal=True)
    assert_frame_equal(stored, frame.sort("transaction_id"), check_dtypes=False)


def test_empty_partitions_are_no_rows(distribute: Distribute) -> None:
    none = range(0)
    report = load_df(distribute(_merchants(none, range(3), none, range(3, 5), none)), "merchants")
    assert report.inserted == 5
    assert _keys() == [f"M{n:06}" for n in range(5)]


def test_partitions_are_grouped_and_divided_into_batches(
    distribute: Distribute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BATCH_ROWS", 4)
    heights = []
    write = load.Writer.write

    def note(self: Any, batch: Any) -> None:
        heights.append(batch.frame.height)
        write(self, batch)

    monkeypatch.setattr(load.Writer, "write", note)
    load_df(distribute(_merchants(range(1), range(1, 3), range(3, 13))), "merchants")
    assert heights == [4, 4, 4, 1]


# -- Errors of rows --------------------------------------------------------------------------------


def test_an_invalid_cell_is_named_by_its_row_over_all_partitions(distribute: Distribute) -> None:
    parts = _merchants(range(3), range(3, 6))
    parts[1] = parts[1].with_columns(merchant_id=pl.Series(["M3", None, "M5"]))
    with pytest.raises(InvalidDataError) as caught:
        load_df(distribute(parts), "merchants", batch_size=2)
    (problem,) = caught.value.problems
    assert (problem.column, problem.rows) == ("merchant_id", (4,))
    assert _keys() == []


def test_invalid_rows_are_rejected_and_the_others_loaded(distribute: Distribute) -> None:
    parts = [part.with_columns(risk_score=0.5) for part in _merchants(range(2), range(2, 4))]
    parts[1] = parts[1].with_columns(risk_score=pl.Series([0.5, 7.0]))
    report = load_df(distribute(parts), "merchants", on_invalid="reject")
    assert report.inserted == 3
    assert report.rejected[["row", "column"]].values.tolist() == [[3, "risk_score"]]


def test_a_key_that_repeats_in_another_partition_is_found(distribute: Distribute) -> None:
    with pytest.raises(InvalidDataError, match="merchant_id"):
        load_df(distribute(_merchants(range(3), range(2, 4))), "merchants")
    assert _keys() == []


@pytest.mark.parametrize(("mode", "categories"), [("skip", ["a", "a"]), ("update", ["b", "b"])])
def test_existing_rows_are_skipped_or_updated(
    distribute: Distribute, mode: Any, categories: list[str]
) -> None:
    parts = _merchants(range(1), range(1, 2))
    load_df(distribute([part.with_columns(category=pl.lit("a")) for part in parts]), "merchants")
    changed = distribute([part.with_columns(category=pl.lit("b")) for part in parts])
    load_df(changed, "merchants", on_conflict=mode)
    stored = read_df("SELECT category FROM merchants", output="polars")
    assert stored["category"].to_list() == categories


# -- Partitions that cannot be read ----------------------------------------------------------------


def test_an_error_of_a_late_partition_of_dask_rolls_everything_back() -> None:
    def part(number: int) -> pd.DataFrame:
        if number == 5:
            raise OSError("the disk of a worker is gone")
        return pd.DataFrame({"merchant_id": [f"M{number}"]})

    frame = dd.from_map(part, range(6), meta=part(0))
    with pytest.raises(ArgumentError, match="failed after 5 rows with OSError") as caught:
        load_df(frame, "merchants", batch_size=1)
    assert "Nothing was loaded" in str(caught.value)
    assert _keys() == []


def test_an_error_of_a_late_partition_of_spark_rolls_everything_back(spark: Any) -> None:
    from pyspark.sql import functions as sf

    rows = spark.range(0, 6, 1, 6)
    key = sf.when(sf.col("id") < 5, sf.concat(sf.lit("M"), "id")).otherwise(
        sf.raise_error(sf.lit("no rate for this day"))
    )
    frame = rows.select(key.alias("merchant_id"))
    with pytest.raises(ArgumentError, match="Spark cannot compute this DataFrame: USER_RAISED"):
        load_df(frame, "merchants", batch_size=1)
    assert _keys() == []


@pytest.mark.parametrize(
    ("columns", "difference"),
    [(["merchant_id"], "it lacks 'category'"), (["merchant_id", "category", "x"], "it has 'x'")],
)
def test_a_partition_of_dask_with_other_columns_is_named(
    columns: list[str], difference: str
) -> None:
    def part(number: int) -> pd.DataFrame:
        names = columns if number == 2 else ["merchant_id", "category"]
        return pd.DataFrame([[f"{name} {number}" for name in names]], columns=names)

    frame = dd.from_map(part, range(3), meta=part(0))
    with pytest.raises(ArgumentError, match=f"Partition 2 of the Dask DataFrame .* {difference}"):
        load_df(frame, "merchants", batch_size=1)
    assert _keys() == []


def test_partitions_of_dask_may_have_types_of_their_own() -> None:
    parts = [
        pd.DataFrame({"customer_id": ["C0"], "age": [30]}),
        pd.DataFrame({"customer_id": ["C1"], "age": [None]}),
        pd.DataFrame({"customer_id": ["C2"], "age": [31.0]}),
    ]
    frame = dd.from_map(lambda number: parts[number], range(3), meta=parts[0])
    assert load_df(frame, "customers").inserted == 3


def test_a_session_of_spark_in_another_time_zone_is_refused(spark: Any) -> None:
    frame = to_spark(spark, transactions(2))
    spark.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    try:
        with pytest.raises(ArgumentError, match=r"time zone must be UTC .*to be loaded.*timeZone"):
            load_df(frame, "transactions", on_missing_parent="create")
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")


@pytest.mark.parametrize(
    "age",
    ["make_interval(1)", "struct(timestamp_seconds(1) AS since, make_interval(1) AS length)"],
)
def test_a_type_that_arrow_lacks_is_named(spark: Any, age: str) -> None:
    frame = spark.sql(f"SELECT 'M1' AS merchant_id, {age} AS age")
    with pytest.raises(ArgumentError, match=r"'age' of the Spark DataFrame is .*interval.*Cast it"):
        load_df(frame, "merchants")


def test_an_error_of_spark_is_a_sentence_without_values(spark: Any) -> None:
    frame = spark.sql("SELECT CAST(concat('4111x', 'M1') AS INT) AS merchant_id")
    with pytest.raises(ArgumentError, match=r"^Spark cannot compute this DataFrame: CAST_INV\w+ "):
        load_df(frame, "merchants")


def test_an_error_of_a_worker_is_its_sentence(spark: Any) -> None:
    payments = world().transactions.with_columns(amount=pl.lit(-4111.11))
    features = engineer_features(to_spark(spark, payments))
    reason = r"amount: must be from 0 to 1e\+10: [\d,]+ rows of one group"
    with pytest.raises(ArgumentError, match=rf"^These transactions cannot be used:\n  {reason}$"):
        load_df(features, "ml_features")


def test_workers_of_spark_without_pyarrow_say_what_to_do(spark: Any, without_pyarrow: None) -> None:
    frame = spark.sql("SELECT 'M1' AS merchant_id")
    with pytest.raises(ConfigurationError, match=r"cannot import pyarrow\. .*PYSPARK_PYTHON"):
        load_df(frame, "merchants")


def test_the_index_of_dask_is_named_where_a_column_is_missing() -> None:
    frame = pd.DataFrame({"category": ["a"]}, index=pd.Index(["M1"], name="merchant_id"))
    with pytest.raises(InvalidDataError, match="index of the data: reset_index"):
        load_df(dd.from_pandas(frame, npartitions=1), "merchants")


# -- Work and memory -------------------------------------------------------------------------------


def test_partitions_of_dask_are_computed_as_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    computed: list[int] = []
    written: list[int] = []
    ahead = []

    def part(number: int) -> pd.DataFrame:
        computed.append(number)
        return pd.DataFrame({"merchant_id": [f"M{number}-{n}" for n in range(10)]})

    write = load.Writer.write

    def note(self: Any, batch: Any) -> None:
        ahead.append(len(computed) - len(written))
        written.append(batch.frame.height)
        write(self, batch)

    frame = dd.from_map(part, range(20), meta=pd.DataFrame({"merchant_id": ["M"]}))
    monkeypatch.setattr(load.Writer, "write", note)
    load_df(frame, "merchants", batch_size=10)
    assert len(computed) == 20
    assert max(ahead) <= 4  # one written, one checked, one read and one computed


def test_work_that_partitions_share_is_done_once(tmp_path: Path) -> None:
    def part(number: int) -> pd.DataFrame:
        with (tmp_path / "computed").open("a") as file:
            file.write(f"{number}\n")
        return pd.DataFrame({"merchant_id": [f"M{number}-{n}" for n in range(10)]})

    frame = dd.from_map(part, range(4), meta=pd.DataFrame({"merchant_id": ["M"]}))
    shuffled = frame.shuffle(on="merchant_id")
    assert load_df(shuffled, "merchants").inserted == 40
    assert sorted((tmp_path / "computed").read_text().split()) == ["0", "1", "2", "3"]


def test_a_cluster_of_dask_computes_the_partitions(tmp_path: Path) -> None:
    frame = pd.DataFrame({"merchant_id": [f"M{n}" for n in range(100)]})
    with Client(
        processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None,
        local_directory=str(tmp_path),
    ):  # fmt: skip
        for partitions in (
            dd.from_pandas(frame, npartitions=4),
            dd.from_pandas(frame, npartitions=4).shuffle(on="merchant_id"),
        ):
            keys = pd.concat(dask_partitions(partitions))["merchant_id"]
            assert sorted(keys) == sorted(frame["merchant_id"])


def test_memory_does_not_grow_with_the_number_of_partitions(tmp_path: Path) -> None:
    script = (
        "import re, sys; import dask.dataframe as dd; import pandas as pd;"
        "from synfin_analytics import load_df\n"
        "def part(number):\n"
        "    first = number * 10_000\n"
        "    ids = [f'{sys.argv[1]}-{n:040}' for n in range(first, first + 10_000)]\n"
        "    return pd.DataFrame({'merchant_id': ids})\n"
        "meta = pd.DataFrame({'merchant_id': ['']})\n"
        "frame = dd.from_map(part, range(int(sys.argv[1])), meta=meta)\n"
        "load_df(frame, 'merchants', batch_size=10_000)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    peaks = []
    for n_partitions in (6, 36):
        result = subprocess.run(
            [sys.executable, "-c", script, str(n_partitions)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(result.stdout))
    kilobytes_of_the_difference = 30 * 10_000 * 45 / 1000
    assert peaks[1] - peaks[0] < kilobytes_of_the_difference


def test_rows_of_spark_are_not_collected(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = spark.range(10).selectExpr("concat('M', id) AS merchant_id")
    for name in ("collect", "toArrow", "toPandas"):
        monkeypatch.setattr(type(frame), name, None)
    assert load_df(frame, "merchants").inserted == 10


def test_workers_of_spark_need_only_pyarrow(spark: Any) -> None:
    from pyspark import cloudpickle

    from synfin_analytics._core.partitions import _serializer

    payload = cloudpickle.dumps(_serializer())
    script = (
        "import pickle, sys; import pyarrow as pa; sys.modules['synfin_analytics'] = None;"
        "from pyspark import cloudpickle;"
        "serialize = pickle.load(sys.stdin.buffer);"
        "(batch,) = serialize([pa.RecordBatch.from_pydict({'n': [1, 2]})]);"
        "print(pa.ipc.open_stream(batch['batch'][0].as_py()).read_all()['n'].to_pylist())"
    )
    result = subprocess.run([sys.executable, "-c", script], input=payload, capture_output=True)
    assert result.stdout.decode().strip() == "[1, 2]", result.stderr.decode()


# -- Other functions that read ---------------------------------------------------------------------


def test_a_layout_accepts_them(distribute: Distribute) -> None:
    frame = transactions(6).rename({"amount": "TX_AMOUNT"})
    layout = Layout({name: name for name in transactions(1).columns} | {"amount": "TX_AMOUNT"})
    expected = read_layout(frame, layout).transactions.collect()
    tables = read_layout(distribute([frame[:4], frame[4:]]), layout)
    assert_frame_equal(tables.transactions.collect(), expected)


def test_the_columns_of_an_unknown_frame_are_suggested(distribute: Distribute) -> None:
    frame = transactions(6).rename({"amount": "Betrag"})
    expected = suggest_columns(frame)
    assert suggest_columns(distribute([frame[:4], frame[4:]])).mapping == expected.mapping
