"""Counts of lazy frames, as they arrive in small types."""

from __future__ import annotations

import narwhals as nw
import polars as pl
import pytest

from synfin_analytics._core import compact
from synfin_analytics._core.compact import collect_compact
from synfin_analytics.metrics._score_counts import number_groups

FRAME = pl.DataFrame(
    {"score": [0.5, 0.25, 1.0], "count": [1, 1, 300], "channel": ["a", None, "b"]},
    schema={"score": pl.Float64, "count": pl.Int64, "channel": pl.String},
)


on_lazy_engines = pytest.mark.parametrize(
    "to_lazy", ["polars lazy", "duckdb", "spark"], indirect=True
)


@on_lazy_engines
@pytest.mark.parametrize("rows_at_once", [1, 100])
def test_integers_get_the_smallest_type_that_holds_all_parts(to_lazy, rows_at_once, monkeypatch):
    monkeypatch.setattr(compact, "_PART_ROWS", rows_at_once)
    frame = collect_compact(nw.from_native(to_lazy(FRAME))).to_native()
    assert frame["count"].dtype == pl.Int16
    assert frame.sort("score").equals(FRAME.sort("score"), null_equal=True)


@on_lazy_engines
def test_no_row_has_columns_nevertheless(to_lazy):
    frame = collect_compact(nw.from_native(to_lazy(FRAME.clear())))
    assert len(frame) == 0
    assert frame.columns == FRAME.columns


GROUPS = {
    "texts": (["b", None, "a", "b"], pl.String),
    "categories": (["b", None, "a", "b"], pl.Categorical),
    "numbers": ([2, None, 1, 2], pl.Int8),
    "doubles": ([2.5, None, 1.0, 2.5], pl.Float64),
    "booleans": ([True, None, False, True], pl.Boolean),
}


@pytest.mark.parametrize(("values", "dtype"), GROUPS.values(), ids=GROUPS)
def test_groups_are_numbered_in_their_order_and_a_missing_one_last(values, dtype):
    counts = nw.from_native(pl.DataFrame({"group": pl.Series(values, dtype=dtype)}))
    keys, numbers = number_groups(counts, ["group"])
    assert keys == [(values[2],), (values[0],), (None,)]
    assert numbers.tolist() == [1, 2, 0, 1]
