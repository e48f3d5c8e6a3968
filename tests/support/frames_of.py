"""Frames for tests: valid rows of every table, and the same rows as every kind of frame."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import csv

from synfin_analytics._core.validation.rules import Matches, OneOf, Range
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import TABLES
from synfin_analytics.io.coerce import derive_columns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from synfin_analytics._core.validation.spec import ColumnSpec

#: Transactions that exist before a load of rows that refer to them.
KNOWN_TRANSACTIONS = [f"known-{n}" for n in range(8)]

_INTEGER_BOUNDS = {pl.Int16: 2**15 - 1, pl.Int32: 2**31 - 1, pl.Int64: 2**40}
_MATCHING = {"^[A-Z]{3}$": r"[A-Z]{3}", "^[0-9]{4}$": r"[0-9]{4}"}


def _texts(column: ColumnSpec) -> st.SearchStrategy[str]:
    if isinstance(column.rule, OneOf):
        return st.sampled_from(column.rule.values)
    if isinstance(column.rule, Matches):
        return st.from_regex(_MATCHING[column.rule.pattern], fullmatch=True)
    return st.text(
        st.characters(codec="utf-8", exclude_characters="\0"),
        max_size=min(column.length or 40, 40),
    )


def cells(column: ColumnSpec) -> st.SearchStrategy[Any]:
    """Values that a column accepts, except NULL."""
    rule = column.rule
    match column.kind:
        case "text":
            return _texts(column)
        case "integer":
            low, high = _bounds(rule, -_INTEGER_BOUNDS[column.dtype.base_type()])
            return st.integers(int(low), int(min(high, _INTEGER_BOUNDS[column.dtype.base_type()])))
        case "number":
            low, high = _bounds(rule, -1e308)
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        case "decimal":
            largest = Decimal(10 ** (column.precision - column.scale)) - Decimal(1).scaleb(
                -column.scale
            )
            low, _ = _bounds(rule, float(-largest))
            least = Decimal(1).scaleb(-column.scale) if low == 0 and _above(rule) else Decimal(low)
            return st.decimals(least, largest, places=column.scale)
        case "boolean":
            return st.booleans()
        case "timestamp":
            return st.datetimes(timezones=st.just(dt.UTC))
        case "date":
            return st.dates()
        case "json":
            leaves = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | _json_texts
            trees = st.recursive(
                leaves,
                lambda inner: (
                    st.lists(inner, max_size=3) | st.dictionaries(_json_texts, inner, max_size=3)
                ),
                max_leaves=5,
            )
            return st.dictionaries(_json_texts, trees, max_size=3).map(
                lambda value: json.dumps(value, ensure_ascii=False)
            )
    raise AssertionError(column.kind)


_json_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


def _above(rule: object) -> bool:
    return isinstance(rule, Range) and rule.above is not None


def _bounds(rule: object, lowest: float) -> tuple[float, float]:
    if not isinstance(rule, Range):
        return lowest, -lowest
    low = next((bound for bound in (rule.low, rule.above) if bound is not None), lowest)
    return low, -lowest if rule.high is None else rule.high


@st.composite
def rows_of(draw: st.DrawFn, table: str, min_rows: int = 0, max_rows: int = 6) -> pl.DataFrame:
    """A valid frame of ``table``: required columns, and some optional ones."""
    spec = spec_of(TABLES[table])
    optional = [column.name for column in spec.columns.values() if not column.required]
    if spec.primary_key in optional:
        optional.remove(spec.primary_key)
    chosen = draw(st.sets(st.sampled_from(optional), max_size=12))
    columns = [
        column for column in spec.columns.values() if column.required or column.name in chosen
    ]
    height = draw(st.integers(min_rows, max_rows))
    series = []
    for column in columns:
        values = cells(column)
        if any(
            key.column == column.name and key.table == "transactions" for key in spec.foreign_keys
        ):
            values = st.sampled_from(KNOWN_TRANSACTIONS)
        if any(column.name in key for key in spec.unique):
            drawn_values = draw(
                st.lists(values, min_size=height, max_size=height, unique=True)
                if column.name != "model_name" and column.name != "model_version"
                else st.lists(values, min_size=height, max_size=height)
            )
        else:
            if not (column.required or column.defaulted):
                values = st.none() | values
            drawn_values = draw(st.lists(values, min_size=height, max_size=height))
        series.append(pl.Series(column.name, drawn_values, dtype=column.dtype, strict=True))
    frame = pl.DataFrame(series)
    if table == "model_predictions" and "is_correct" in frame.columns:
        frame = frame.drop("is_correct")  # derived; a contradiction is refused
    return frame


def expected(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """Expected rows of the table after a load of ``frame``: its columns, and the derived ones."""
    return derive_columns(frame, table)


def _nullable(frame: pl.DataFrame) -> pd.DataFrame:
    return frame.to_arrow().to_pandas(
        types_mapper={
            pa.int16(): pd.Int16Dtype(),
            pa.int32(): pd.Int32Dtype(),
            pa.int64(): pd.Int64Dtype(),
            pa.bool_(): pd.BooleanDtype(),
            pa.float64(): pd.Float64Dtype(),
        }.get
    )


def in_pieces(frame: pl.DataFrame) -> pd.DataFrame:
    """Split text columns into several chunks, as pandas' ``concat`` and large reads do."""
    parts = (frame[:1], frame[1:3], frame[3:])
    return pd.concat(
        [part.to_pandas(use_pyarrow_extension_array=True) for part in parts], ignore_index=True
    )


def _odd_index(frame: pl.DataFrame) -> pd.DataFrame:
    data = frame.to_pandas()
    data.index = pd.MultiIndex.from_arrays([["x"] * len(data), range(len(data), 0, -1)])
    return data


def _categorical(frame: pl.DataFrame) -> pd.DataFrame:
    data = frame.to_pandas()
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    return data.astype(dict.fromkeys(texts, "category"))


#: Ways to pass the same rows to ``load_df``; files are written to a folder.
KINDS: dict[str, Callable[[pl.DataFrame, Path], Any]] = {
    "pandas-numpy": lambda frame, _: frame.to_pandas(),
    "pandas-nullable": lambda frame, _: _nullable(frame),
    "pandas-arrow": lambda frame, _: frame.to_arrow().to_pandas(types_mapper=pd.ArrowDtype),
    "pandas-pieces": lambda frame, _: in_pieces(frame),
    "pandas-categorical": lambda frame, _: _categorical(frame),
    "pandas-odd-index": lambda frame, _: _odd_index(frame),
    "pandas-object": lambda frame, _: pd.DataFrame(
        {name: pd.Series(frame[name].to_list(), dtype=object) for name in frame.columns}
    ),
    "polars": lambda frame, _: frame,
    "polars-lazy": lambda frame, _: frame.lazy(),
    "pyarrow-table": lambda frame, _: frame.to_arrow(),
    "pyarrow-reader": lambda frame, _: frame.to_arrow().to_reader(max_chunksize=2),
    "duckdb": lambda frame, _: duckdb.connect().from_arrow(frame.to_arrow()),
    "dicts": lambda frame, _: frame.to_dicts(),
    "parquet": lambda frame, folder: _written(frame, folder / "rows.parquet"),
    "csv": lambda frame, folder: _as_csv(frame, folder / "rows.csv"),
}


#: The ways that are frames of a library.
FRAMES = [kind for kind in KINDS if kind not in ("dicts", "parquet", "csv", "pyarrow-reader")]


def _written(frame: pl.DataFrame, path: Path) -> Path:
    frame.write_parquet(path)
    return path


def _as_csv(frame: pl.DataFrame, path: Path) -> Path:
    table = frame.with_columns(
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").str.zfill(32),
        pl.col(pl.Date).dt.strftime("%Y-%m-%d").str.zfill(10),
        pl.col(pl.Float64).map_elements(repr, return_dtype=pl.String, skip_nulls=True),
    ).to_arrow(compat_level=pl.CompatLevel.oldest())
    csv.write_csv(table, path, csv.WriteOptions(quoting_style="all_valid"))
    return path


def transactions(height: int = 3, **changes: list[Any]) -> pl.DataFrame:
    """A simple frame of valid transactions; ``changes`` replace or add columns."""
    columns: dict[str, Any] = {
        "transaction_id": [f"T{n}" for n in range(height)],
        "customer_id": [f"C{n % 2}" for n in range(height)],
        "merchant_id": ["M1"] * height,
        "amount": [10.5 + n for n in range(height)],
        "timestamp": [dt.datetime(2024, 3, 2, 13, n % 60, tzinfo=dt.UTC) for n in range(height)],
    }
    return pl.DataFrame(columns | changes, strict=False)
