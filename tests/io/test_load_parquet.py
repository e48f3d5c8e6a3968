"""Parquet: several files as one table, broken files, and memory that does not grow."""

import datetime as dt
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import dataset

from synfin_analytics._core.validation.columns import select_cells
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics._core.validation.validate import validate_column
from synfin_analytics.database.models import Merchant
from synfin_analytics.exceptions import ArgumentError, InvalidDataError
from synfin_analytics.io._parquet import NULL_PARTITION, open_parquet
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.io.sources import open_source


def rows_of(path: Any, at_once: int = 1000) -> dict[str, list[Any]]:
    """Cells by column, as the loader gets them."""
    source = open_source(path, at_once)
    columns: dict[str, list[Any]] = {name: [] for name in source.names}
    for batch in source.batches:
        all_rows = pl.repeat(True, batch.height, dtype=pl.Boolean, eager=True)
        for name, cells in columns.items():
            cells.extend(select_cells(batch.columns[name], all_rows))
    return columns


def test_a_folder_is_one_table_with_its_partition_columns(tmp_path: Path):
    for country in ("DE", "__HIVE_DEFAULT_PARTITION__"):
        folder = tmp_path / f"country={country}"
        folder.mkdir()
        pl.DataFrame({"n": [1, 2]}).write_parquet(folder / "part.parquet")
    assert rows_of(tmp_path) == {
        "n": [1, 2, 1, 2],
        "country": ["DE", "DE", None, None],
    }
    assert open_parquet(tmp_path, 10).height == 4


def test_files_may_lack_columns_or_have_them_in_another_order_or_width(tmp_path: Path):
    pl.DataFrame({"a": [1], "b": ["x"]}).write_parquet(tmp_path / "1.parquet")
    pl.DataFrame({"a": [2]}, schema={"a": pl.Int16}).write_parquet(tmp_path / "2.parquet")
    pl.DataFrame({"b": ["z"], "a": [3]}).write_parquet(tmp_path / "3.parquet")
    assert rows_of(tmp_path) == {"a": [1, 2, 3], "b": ["x", None, "z"]}


def test_batches_have_no_more_rows_than_requested(tmp_path: Path):
    pl.DataFrame({"n": range(100)}).write_parquet(tmp_path / "n.parquet", row_group_size=30)
    batches = list(open_parquet(tmp_path / "n.parquet", 8).batches)
    assert max(batch.height for batch in batches) == 8
    assert [n for batch in batches for n in batch.columns["n"]] == list(range(100))


def test_a_file_that_is_broken_in_the_midst_is_named(tmp_path: Path):
    path = tmp_path / "n.parquet"
    numbers = np.random.default_rng(1).integers(0, 2**60, 100_000)
    pl.DataFrame({"n": numbers}).write_parquet(path, row_group_size=1000)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = b"?" * 20_000
    path.write_bytes(content)
    with pytest.raises(ArgumentError, match=r"n\.parquet' cannot be read as Parquet"):
        rows_of(path)


def test_rows_are_not_read_long_before_they_are_wanted(tmp_path: Path):
    groups, rows, columns = 40, 50_000, 8
    path = tmp_path / "long.parquet"
    values = np.random.default_rng(1).random((columns, groups * rows))
    pl.DataFrame({f"x{n}": value for n, value in enumerate(values)}).write_parquet(
        path, row_group_size=rows
    )
    before = pa.total_allocated_bytes()
    batches = open_parquet(path, rows).batches
    next(batches)
    time.sleep(0.5)  # a reader that runs ahead would use it
    assert pa.total_allocated_bytes() - before < 5 * rows * columns * 8


# -- Folders ------------------------------------------------------------------------------------


def write(folder: Path, name: str, **columns: Any) -> None:
    """Write a file of a folder, whose columns have the types of Arrow's guess."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_columns_that_only_later_files_have_are_read(tmp_path: Path):
    write(tmp_path, "1.parquet", a=[1, 2])
    write(tmp_path, "2.parquet", a=[3], b=[True])
    assert rows_of(tmp_path) == {"a": [1, 2, 3], "b": [None, None, True]}


@pytest.mark.usefixtures("manager")
def test_a_column_of_a_later_file_that_the_table_does_not_have_is_refused(tmp_path: Path):
    write(tmp_path, "1.parquet", merchant_id=["a"])
    write(tmp_path, "2.parquet", merchant_id=["b"], nmae=["c"])
    with pytest.raises(InvalidDataError, match=r"nmae: .* name"):
        load_df(tmp_path, "merchants")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array([1.5], pa.float32()), pa.array([1234567.89])),
        (pa.array([Decimal("1.50")]), pa.array([12.345])),
        (pa.array([dt.date(2026, 1, 1)]), pa.array([45_000_000_000], pa.timestamp("us"))),
        (pa.array([1]), pa.array(["0012"])),
        (pa.nulls(1), pa.array(["Bonn"])),
        (pa.array([1]), pa.array([0.37])),
        (pa.array(["a"]).dictionary_encode(), pa.array(["b"])),
        (pa.array([True]), pa.array([1])),
    ],
    ids=lambda array: str(array.type),
)
def test_each_file_is_read_in_its_own_types(first: pa.Array, second: pa.Array, tmp_path: Path):
    write(tmp_path, "1.parquet", x=first)
    write(tmp_path, "2.parquet", x=second)
    want = first.to_pylist() + second.to_pylist()
    stored = rows_of(tmp_path)["x"]
    assert [(type(value), value) for value in stored] == [(type(value), value) for value in want]


@pytest.mark.usefixtures("manager")
def test_each_file_is_checked_in_its_own_types_and_reported_by_its_rows(tmp_path: Path):
    write(tmp_path, "1.parquet", merchant_id=["a", "b"], risk_score=[1, 2])
    write(tmp_path, "2.parquet", merchant_id=["c", "d"], risk_score=["high", "-1"])
    write(tmp_path, "3.parquet", merchant_id=["e"], risk_score=[1.5])
    report = load_df(tmp_path, "merchants", on_invalid="reject")
    assert report.inserted == 1
    rejected = report.rejected[["row", "value"]].to_numpy().tolist()
    assert rejected == [[1, "2"], [2, "high"], [3, "-1"], [4, "1.5"]]


@pytest.mark.usefixtures("manager")
def test_values_of_folder_names_are_texts_that_the_column_reads(tmp_path: Path):
    for folder, key in (("00042", "a"), ("7%2F8%20%C3%A4", "b"), (NULL_PARTITION, "c")):
        write(tmp_path, f"zip_code={folder}/risk_level=high/age=041/x.parquet", customer_id=[key])
    load_df(tmp_path, "customers", columns={"risk_level": None})
    stored = read_df("SELECT zip_code, age FROM customers ORDER BY customer_id", output="polars")
    assert stored.rows() == [("00042", 41), ("7/8 ä", 41), (None, 41)]


@pytest.mark.usefixtures("manager")
def test_a_value_of_a_folder_name_that_the_column_refuses_is_reported(tmp_path: Path):
    write(tmp_path, "age=old/x.parquet", customer_id=["a"])
    with pytest.raises(InvalidDataError, match="age: is not a whole number: 1 row: 0"):
        load_df(tmp_path, "customers")


def test_files_may_repeat_their_partition_columns(tmp_path: Path):
    frame = pl.DataFrame({"n": [1, 2], "city": ["Bonn", None], "month": [3, 4]})
    for row in frame.iter_slices(1):
        city = row["city"][0] or NULL_PARTITION
        folder = tmp_path / f"city={city}" / f"month=0{row['month'][0]}"
        folder.mkdir(parents=True)
        row.write_parquet(folder / "x.parquet")
    stored = rows_of(tmp_path)
    assert sorted(stored["n"]) == [1, 2]
    assert set(stored["city"]) == {"Bonn", None}
    assert set(stored["month"]) == {3, 4}


def test_a_file_that_contradicts_its_folder_is_refused(tmp_path: Path):
    write(tmp_path, "city=Bonn/x.parquet", city=["Bonn", "Ulm"])
    with pytest.raises(ArgumentError, match=r"x\.parquet.*column 'city' must have the value"):
        rows_of(tmp_path)


def test_hidden_files_do_not_count_and_subfolders_do(tmp_path: Path):
    write(tmp_path, "2026/01/x.parquet", n=[1])
    write(tmp_path, "y.parquet", n=[2])
    for name in ("_SUCCESS", ".part.crc", "_temporary/0.parquet", ".git/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("not rows")
    (tmp_path / "2026" / "loop").symlink_to(tmp_path)
    assert rows_of(tmp_path) == {"n": [1, 2]}


@pytest.mark.parametrize("hidden", [[], ["_SUCCESS"]])
def test_a_folder_without_files_is_refused(hidden: list[str], tmp_path: Path):
    for name in hidden:
        (tmp_path / name).touch()
    with pytest.raises(ArgumentError, match="must contain Parquet files"):
        open_parquet(tmp_path, 10)


@pytest.mark.parametrize("name", ["notes.txt", "half.parquet", "empty.parquet"])
def test_a_file_of_a_folder_that_is_not_parquet_is_named(name: str, tmp_path: Path):
    write(tmp_path, "x.parquet", n=[1])
    complete = (tmp_path / "x.parquet").read_bytes()
    content = {"half.parquet": complete[: len(complete) // 2], "empty.parquet": b""}
    (tmp_path / name).write_bytes(content.get(name, b"remember the milk"))
    with pytest.raises(ArgumentError, match=f"{name}' cannot be read as Parquet"):
        open_parquet(tmp_path, 10)


def test_a_delta_table_is_not_taken_for_its_files(tmp_path: Path):
    write(tmp_path, "x.parquet", n=[1])
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(ArgumentError, match=r"is a Delta table.*polars\.scan_delta"):
        open_parquet(tmp_path, 10)


def test_moments_of_sparks_old_type_are_neither_cut_nor_wrapped_around(tmp_path: Path):
    moments = ["9999-12-31T00:00:00", "2026-01-01T00:00:00.123456789", "1500-01-01T00:00:00"]
    ticks = [int(np.datetime64(value, "us").astype(int)) for value in moments]
    late = pa.array([*ticks, None], pa.timestamp("us"))
    fine = pa.array(
        [0, int(np.datetime64(moments[1], "ns").astype(int)), 1000, None], pa.timestamp("ns")
    )
    pq.write_table(
        pa.table({"late": late, "fine": fine}),
        tmp_path / "old.parquet",
        use_deprecated_int96_timestamps=True,
    )
    data = {"late": checked(tmp_path, "late"), "fine": checked(tmp_path, "fine")}
    assert [value and value.year for value in data["late"][0]] == [9999, 2026, 1500, None]
    assert [value and value.year for value in data["fine"][0]] == [1970, None, 1970, None]
    assert data["fine"][1] == {1: "is more precise than microseconds"}


def checked(path: Path, column: str) -> tuple[list[Any], dict[int, str]]:
    """Moments of a column, and by row the reason against the others."""
    values: list[Any] = []
    refused: dict[int, str] = {}
    for batch in open_source(path, 10).batches:
        result = validate_column(batch.columns[column], spec_of(Merchant).columns["created_at"])
        values += result.cells.to_list()
        for mask, reason in result.errors:
            refused |= dict.fromkeys((mask.arg_true() + batch.start).to_list(), reason)
    return values, refused


# -- Datasets of pyarrow --------------------------------------------------------------------------


def test_a_dataset_of_pyarrow_is_read_as_its_files_are(tmp_path: Path):
    write(tmp_path, "city=Bonn/code=00042/x.parquet", n=[1])
    write(tmp_path, "city=Ulm/code=007/x.parquet", n=["0012"], label=[True])
    want = {
        "n": [1, "0012"],
        "label": [None, True],
        "city": ["Bonn", "Ulm"],
        "code": ["00042", "007"],
    }
    assert rows_of(dataset.dataset(tmp_path, partitioning="hive")) == want
    plain = rows_of(dataset.dataset(tmp_path))
    assert plain == {"n": want["n"], "label": want["label"]}


def test_a_dataset_with_guessed_types_is_refused_but_its_scanner_is_accepted(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("code\n0012\n")
    guessed = dataset.dataset(tmp_path, format="csv")
    with pytest.raises(ArgumentError, match=r"must consist of Parquet files.* got csv"):
        rows_of(guessed)
    assert rows_of(guessed.scanner()) == {"code": [12]}
    write(tmp_path / "all", "Bonn/x.parquet", n=[1])
    by_place = dataset.dataset(tmp_path / "all", partitioning=["city"])
    with pytest.raises(ArgumentError, match=r"folders that name their columns \(country=DE\)"):
        rows_of(by_place)


def test_a_lazy_frame_of_files_that_are_not_there_is_refused(tmp_path: Path):
    with pytest.raises(ArgumentError, match="A file of this frame does not exist"):
        rows_of(pl.scan_parquet(tmp_path / "no.parquet"))
