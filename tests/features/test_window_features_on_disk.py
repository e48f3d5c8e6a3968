"""Windows in bounded memory, and of new rows only: equal to those of all rows in memory."""

from __future__ import annotations

import datetime as dt
import tempfile

import duckdb
import polars as pl
import pytest
from engines import QUICK
from feature_rows import START, transactions, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from synfin_analytics import (
    ArgumentError,
    NotFoundError,
    engineer_features,
    handbook_features,
    window_features,
)
from synfin_analytics.features import _passes, _windows_on_disk

CALLS = [window_features, handbook_features]


@pytest.fixture
def small_groups(monkeypatch):
    """Let a few rows fill the memory, so that there are many batches and groups."""
    monkeypatch.setattr(_windows_on_disk, "_ROW_BYTES", 10**7)
    monkeypatch.setattr(_passes, "_MIN_BATCH", 4)
    monkeypatch.setattr(_passes, "_READ_BYTES", 10**9)


WINDOWS = {
    "by": st.sampled_from(["customer_id", "merchant_id", "country"]),
    "value": st.sampled_from(["amount", "is_fraud", "is_online"]),
    "windows": st.just(["1h", "1d", "30d"]),
    "lag": st.sampled_from(["0d", "1d"]),
    "closed": st.sampled_from(["right", "left", "both", "neither"]),
    "include_current": st.booleans(),
}
SCHEMA = {"transaction_id": pl.String}
STARTS = st.sampled_from([None, START, START + dt.timedelta(days=2), START + dt.timedelta(days=90)])


@settings(
    phases=QUICK,
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(frame=transactions(), options=st.fixed_dictionaries(WINDOWS), start=STARTS)
@pytest.mark.usefixtures("small_groups")
def test_the_folder_has_the_windows_of_the_frame(tmp_path, frame, options, start):
    in_memory = window_features(frame, **options, start=start)
    selected = frame if start is None else frame.filter(pl.col("timestamp") >= start)
    expected = selected.select("transaction_id").hstack(in_memory)
    folder = tempfile.mkdtemp(dir=tmp_path)
    features = window_features(frame.lazy(), **options, start=start, output=folder, memory="100MB")
    assert_frame_equal(
        features.collect().sort("transaction_id"),
        expected.sort("transaction_id"),
        check_exact=True,
    )
    of_all = frame.select("transaction_id").hstack(window_features(frame, **options))
    assert_frame_equal(
        expected,
        of_all.join(selected, on="transaction_id", how="semi", maintain_order="left"),
        check_exact=True,
    )


@settings(
    phases=QUICK,
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    frame=transactions(),
    delay=st.sampled_from(["0d", "1d"]),
    terminal=st.sampled_from(["merchant_id", "device_id", "customer_id"]),
    start=STARTS,
)
@pytest.mark.usefixtures("small_groups")
def test_the_folder_has_the_handbooks_features_of_the_frame(
    tmp_path, frame, delay, terminal, start
):
    frame = frame.with_columns(pl.col("is_fraud").fill_null(value=False))
    options = {"label_delay": delay, "terminal": terminal}
    in_memory = handbook_features(frame, **options, start=start)
    selected = frame if start is None else frame.filter(pl.col("timestamp") >= start)
    expected = selected.select("transaction_id").hstack(in_memory)
    folder = tempfile.mkdtemp(dir=tmp_path)
    features = handbook_features(
        frame.lazy(), **options, start=start, output=folder, memory="100MB"
    )
    assert_frame_equal(
        features.collect().sort("transaction_id"),
        expected.sort("transaction_id"),
        check_exact=True,
    )
    of_all = frame.select("transaction_id").hstack(handbook_features(frame, **options))
    assert_frame_equal(
        expected,
        of_all.join(selected, on="transaction_id", how="semi", maintain_order="left"),
        check_exact=True,
    )


@pytest.mark.parametrize("call", CALLS)
def test_a_path_and_frames_are_sources_and_integers_stay_ids(tmp_path, call):
    rows = world().transactions.with_row_index("n").drop("transaction_id")
    rows = rows.rename({"n": "transaction_id"}).with_columns(
        pl.col("transaction_id").cast(pl.Int32), card=pl.col("customer_id").str.slice(0, 3)
    )
    rows.write_parquet(tmp_path / "rows.parquet")
    options = {"by": "card"} if call is window_features else {}
    expected = rows.select("transaction_id").hstack(call(rows, **options))
    for number, source in enumerate(
        [
            tmp_path / "rows.parquet",
            rows.to_pandas(),
            rows.to_arrow(),
            duckdb.from_parquet(str(tmp_path / "rows.parquet")),
        ]
    ):
        features = call(source, **options, output=tmp_path / str(number), memory="100MB")
        assert_frame_equal(features.collect().sort("transaction_id"), expected, check_exact=True)


@pytest.mark.parametrize("call", CALLS)
def test_pandas_keeps_the_index_of_new_rows(call):
    rows = world().transactions
    day = rows["timestamp"].max().date()
    frame = rows.to_pandas()
    features = call(frame, start=day)
    assert 0 < len(features) < len(rows)
    assert features.index.equals(frame.index[frame["timestamp"] >= str(day)])


# -- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("call", CALLS)
def test_a_missing_cell_is_reported_and_nothing_is_written(tmp_path, call):
    rows = world().transactions
    rows = rows.with_columns(pl.when(pl.int_range(pl.len()) != 57).then("timestamp"))
    with pytest.raises(ArgumentError, match=r"timestamp: is required but missing: 1 row: 57\b"):
        call(rows, output=tmp_path / "features")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", CALLS)
def test_a_folder_needs_ids(tmp_path, call):
    with pytest.raises(NotFoundError, match="There is no column 'transaction_id'"):
        call(world().transactions.drop("transaction_id"), output=tmp_path / "features")


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("call", CALLS)
def test_ids_may_repeat_in_memory_but_not_in_a_folder_whose_rows_they_identify(tmp_path, call):
    rows = world().transactions
    ids = rows["transaction_id"].to_list()
    repeated = rows.with_columns(pl.Series("transaction_id", [*ids[:57], ids[0], *ids[58:]]))
    assert_frame_equal(call(repeated), call(rows), check_exact=True)
    message = r"transaction_id: repeats the key of an earlier row: 1 row: 57\b"
    with pytest.raises(ArgumentError, match=message):
        call(repeated, output=tmp_path / "features", memory="100MB")
    assert not list(tmp_path.iterdir())


def test_a_value_that_does_not_add_up_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ArgumentError, match="which add up exactly; got 'latitude'"):
        window_features(world().transactions, value="latitude", output=tmp_path / "features")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", [*CALLS, engineer_features])
@pytest.mark.parametrize("inside", ["features", "of/2026", "../rows/features"])
def test_a_folder_inside_the_one_that_is_read_is_refused(tmp_path, monkeypatch, call, inside):
    (tmp_path / "rows").mkdir()
    world().transactions.write_parquet(tmp_path / "rows" / "rows.parquet")
    monkeypatch.chdir(tmp_path)
    for source in ("rows", tmp_path / "rows"):
        with pytest.raises(ArgumentError, match="`output` must be outside the folder that is read"):
            call(source, output=tmp_path / "rows" / inside)
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["rows.parquet"]
    assert call("rows", output="rows-features").collect().height == world().transactions.height


@pytest.mark.parametrize("call", [*CALLS, engineer_features])
def test_arguments_that_do_not_apply_are_refused(tmp_path, call):
    rows = world().transactions
    with pytest.raises(ArgumentError, match="`memory` is only for `output`"):
        call(rows, memory="1GB")
    for options in ({}, {"output": tmp_path / "features"}):
        with pytest.raises(ArgumentError, match="`n_buckets` is only for frames of Dask and Py"):
            call(rows, n_buckets=2, **options)
    with pytest.raises(ArgumentError, match="`output` must be a new folder for the features"):
        call(tmp_path / "rows.parquet")
