"""What load_df reads from: streams, files and lazy frames, batch by batch."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from frames_of import transactions
from polars.testing import assert_frame_equal

from synfin_analytics.database.models import Customer, Merchant
from synfin_analytics.exceptions import ArgumentError, InvalidDataError
from synfin_analytics.io.load import _load_df as load
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.io.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.database.manager import DatabaseManager

pytestmark = pytest.mark.usefixtures("manager")


def _positions(data: Any, rows: int) -> list[tuple[int, int]]:
    return [(batch.start, batch.height) for batch in open_source(data, rows).batches]


@pytest.mark.parametrize("sizes", [[10], [1] * 10, [3, 7], [0, 10, 0]])
def test_batches_have_the_same_size_however_the_stream_is_cut(sizes: list[int]) -> None:
    schema = pa.schema([("n", pa.int64())])
    parts = [pa.RecordBatch.from_arrays([pa.array(range(size))], schema=schema) for size in sizes]
    reader = pa.RecordBatchReader.from_batches(schema, parts)
    assert _positions(reader, 4) == [(0, 4), (4, 4), (8, 2)]


def test_a_stream_is_read_as_it_is_loaded(
    manager: DatabaseManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "BATCH_ROWS", 10)
    requested = []

    def batches() -> Iterator[pa.RecordBatch]:
        for n in range(20):
            requested.append(n)
            ids = [f"M{n}-{k}" for k in range(10)]
            yield pa.RecordBatch.from_pydict({"merchant_id": ids})
            if n == 15:
                ahead = len(requested) * 10 - read_rows()
                assert ahead <= 50

    def read_rows() -> int:
        return progress[-1] if progress else 0

    progress: list[int] = []
    written = load.Writer.write

    def counting(self: Any, batch: Any) -> None:
        written(self, batch)
        progress.append((progress[-1] if progress else 0) + batch.frame.height)

    monkeypatch.setattr(load.Writer, "write", counting)
    reader = pa.RecordBatchReader.from_batches(pa.schema([("merchant_id", pa.string())]), batches())
    assert load_df(reader, "merchants").inserted == 200


def test_a_stream_that_breaks_leaves_nothing_behind(manager: DatabaseManager) -> None:
    schema = pa.schema([("merchant_id", pa.string())])

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"merchant_id": ["M1"]})
        raise OSError("the tape is torn")

    with pytest.raises(ArgumentError, match="failed after 0 rows with OSError") as caught:
        load_df(pa.RecordBatchReader.from_batches(schema, batches()), "merchants")
    assert "the tape is torn" in str(caught.value.__cause__)
    assert read_df("merchants").empty


def test_a_lazy_frame_is_not_collected_as_a_whole(tmp_path: Path) -> None:
    frame = transactions(500)
    frame.write_parquet(tmp_path / "part.parquet", row_group_size=50)
    lazy = pl.scan_parquet(tmp_path / "part.parquet").filter(pl.col("amount") > 100)
    report = load_df(lazy, "transactions", on_missing_parent="create")
    assert report.inserted == frame.filter(pl.col("amount") > 100).height


def test_a_partitioned_parquet_dataset_is_read_with_its_partitions(tmp_path: Path) -> None:
    frame = transactions(6).with_columns(channel=pl.Series(["pos", "atm"] * 3))
    pq.write_to_dataset(frame.to_arrow(), tmp_path / "all", partition_cols=["channel"])
    load_df(tmp_path / "all", "transactions", on_missing_parent="create")
    stored = read_df("SELECT transaction_id, channel FROM transactions ORDER BY 1", output="polars")
    assert_frame_equal(stored, frame.select("transaction_id", "channel"))


def test_a_duckdb_query_is_a_frame() -> None:
    rows = transactions(4)  # noqa: F841 - DuckDB finds it by its name
    relation = duckdb.connect().sql("SELECT * FROM rows WHERE amount > 11")
    assert load_df(relation, "transactions", on_missing_parent="create").inserted == 3


def test_orm_objects_are_loaded_with_the_values_that_were_set() -> None:
    load_df([Customer(customer_id="C1", age=40), Customer(customer_id="C2")], Customer)
    stored = read_df("SELECT customer_id, age FROM customers ORDER BY 1", output="polars")
    assert stored.rows() == [("C1", 40), ("C2", None)]


def test_dicts_need_not_have_the_same_keys() -> None:
    load_df([{"merchant_id": "M1"}, {"merchant_id": "M2", "category": "food"}], Merchant)
    stored = read_df("SELECT merchant_id, category FROM merchants ORDER BY 1", output="polars")
    assert stored.rows() == [("M1", None), ("M2", "food")]


# -- CSV --------------------------------------------------------------------------------------


def _csv(folder: Path, text: str, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def test_the_table_says_what_a_csv_field_is(tmp_path: Path) -> None:
    path = _csv(
        tmp_path,
        """\
        transaction_id,customer_id,merchant_id,amount,timestamp,zip_code,is_fraud,hour_of_day
        1,007,M1,10.50,2024-03-02 13:00:00,00123,1,
        2,007,M1,1e2,2024-03-02T13:00:00+01:00,"",false,5
        3,007,M1,3,2024-03-02,,TRUE,6
        """,
    )
    load_df(path, "transactions", on_missing_parent="create")
    stored = read_df(
        "SELECT customer_id, amount, timestamp::text, zip_code, is_fraud, hour_of_day "
        "FROM transactions ORDER BY transaction_id",
        output="polars",
    )
    assert stored.rows() == [
        ("007", 10.5, "2024-03-02 13:00:00+00", "00123", True, 13),
        ("007", 100.0, "2024-03-02 12:00:00+00", "", False, 5),
        ("007", 3.0, "2024-03-02 00:00:00+00", None, True, 6),
    ]


def test_bad_csv_fields_are_reported_as_written_in_the_file(tmp_path: Path) -> None:
    path = _csv(
        tmp_path,
        """\
        transaction_id,customer_id,merchant_id,amount,timestamp,is_fraud,hour_of_day
        1,C,M,ten,2024-03-02,yes,1.5
        2,C,M,10.505,2024-02-30,1,99999
        3,C,M,123456789012345.67,2024-03-02,0,2
        4,C,M,,2024-03-02,0,2
        """,
    )
    with pytest.raises(InvalidDataError) as caught:
        load_df(path, "transactions", on_missing_parent="create")
    assert {(p.column, p.rows, p.samples) for p in caught.value.problems} == {
        ("amount", (0,), ("'ten'",)),
        ("amount", (1,), ("'10.505'",)),
        ("amount", (2,), ("'123456789012345.67'",)),
        ("amount", (3,), ("NULL",)),
        ("timestamp", (1,), ("'2024-02-30'",)),
        ("is_fraud", (0,), ("'yes'",)),
        ("hour_of_day", (0,), ("'1.5'",)),
        ("hour_of_day", (1,), ("'99999'",)),
    }


def test_tabs_separate_the_fields_of_a_tsv(tmp_path: Path) -> None:
    path = _csv(tmp_path, "merchant_id\tname\nM1\ta, b\n", "rows.tsv")
    load_df(path, "merchants")
    assert read_df("merchants")["name"].to_list() == ["a, b"]


def test_a_broken_csv_line_is_reported_with_the_file(tmp_path: Path) -> None:
    path = _csv(tmp_path, "merchant_id,name\nM1,a\nM2,b,c\n")
    with pytest.raises(ArgumentError, match=r"rows\.csv.*cannot be read as CSV") as caught:
        load_df(path, "merchants")
    assert "M2" not in "".join(traceback.format_exception(caught.value))  # that is data
    assert read_df("merchants").empty


@pytest.mark.parametrize("name", ["no-such.parquet", "no-such.csv"])
def test_a_missing_file_is_reported(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"The file .* does not exist"):
        load_df(tmp_path / name, "merchants")


def test_a_file_of_another_kind_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"must be a file of Parquet .*; got '\.pickle'"):
        load_df(_csv(tmp_path, "x", "rows.pickle"), "merchants")
    with pytest.raises(ArgumentError, match="cannot be read as Parquet"):
        load_df(_csv(tmp_path, "x", "rows.parquet"), "merchants")


# -- Memory -----------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux has this file")
def test_a_file_of_any_size_is_loaded_in_the_same_memory(
    manager: DatabaseManager, tmp_path: Path
) -> None:
    """Four times the rows, hardly more memory: peaks of fresh processes, each with one load.

    They are read from /proc, since ``ru_maxrss`` includes the peak of the process of the tests.
    """
    script = (
        "import re, sys; from synfin_analytics import load_df; "
        "load_df(sys.argv[1], 'merchants'); "
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    peaks = []
    for million, rows in enumerate((200_000, 800_000)):
        path = tmp_path / f"{rows}.parquet"
        with pq.ParquetWriter(path, pa.schema([("merchant_id", pa.string())])) as file:
            for start in range(0, rows, 50_000):
                ids = [f"M{million}-{n}" + "x" * 30 for n in range(start, start + 50_000)]
                file.write_table(pa.table({"merchant_id": ids}))
        result = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
        )
        peaks.append(int(result.stdout))
    kilobytes_of_the_difference = 600_000 * 40 / 1000
    assert peaks[1] - peaks[0] < kilobytes_of_the_difference
