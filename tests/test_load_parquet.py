"""Parquet: several files as one table, broken files, and memory that does not grow."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.frames.columns import picked
from synfin_analytics.frames.parquet import open_parquet
from synfin_analytics.frames.sources import open_source


def rows_of(path: Path, at_once: int = 1000) -> dict[str, list[Any]]:
    """Cells by column, as the loader gets them."""
    source = open_source(path, at_once)
    found: dict[str, list[Any]] = {name: [] for name in source.names}
    for batch in source.batches:
        everything = pl.repeat(True, batch.height, dtype=pl.Boolean, eager=True)
        for name, cells in found.items():
            cells.extend(picked(batch.columns[name], everything))
    return found


def test_a_folder_is_one_table_with_the_columns_that_its_names_tell(tmp_path: Path):
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


def test_batches_have_no_more_rows_than_asked_for(tmp_path: Path):
    pl.DataFrame({"n": range(100)}).write_parquet(tmp_path / "n.parquet", row_group_size=30)
    batches = list(open_parquet(tmp_path / "n.parquet", 8).batches)
    assert max(batch.num_rows for batch in batches) == 8
    assert [n for batch in batches for n in batch["n"].to_pylist()] == list(range(100))


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
    pl.DataFrame({f"x{n}": one for n, one in enumerate(values)}).write_parquet(
        path, row_group_size=rows
    )
    before = pa.total_allocated_bytes()
    batches = open_parquet(path, rows).batches
    next(batches)
    time.sleep(0.5)  # a reader that runs ahead would use it
    assert pa.total_allocated_bytes() - before < 5 * rows * columns * 8
