"""Features in bounded memory: a folder of Parquet files, equal to those in memory."""

from __future__ import annotations

import datetime as dt
import tempfile
from functools import partial

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engines import QUICK
from feature_rows import START, engineered, transactions, world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from synfin_analytics import ArgumentError, NotFoundError, engineer_features, load_df
from synfin_analytics.features import FEATURES, _passes, buckets


@pytest.fixture
def small_groups(monkeypatch):
    """Let a few rows fill the memory, so that there are many batches and groups."""
    monkeypatch.setattr(buckets, "_CUSTOMER_BYTES", 10**7)
    monkeypatch.setattr(buckets, "_MERCHANT_BYTES", 10**7)
    monkeypatch.setattr(_passes, "_MIN_BATCH", 4)
    monkeypatch.setattr(_passes, "_READ_BYTES", 10**9)


def in_order(features):
    return features.collect().sort("transaction_id")


@settings(
    phases=QUICK,
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    frame=transactions(),
    delay=st.sampled_from(["0d", "1d"]),
    dated=st.booleans(),
    days=st.tuples(st.sampled_from([None, 0, 2]), st.sampled_from([None, 3, 31])),
)
@pytest.mark.usefixtures("small_groups")
def test_the_folder_has_the_features_of_the_frame(tmp_path, frame, delay, dated, days):
    start, end = (None if day is None else START + dt.timedelta(days=day) for day in days)
    frame = frame if dated else frame.drop("label_available_at")
    options = {"label_delay": delay, "start": start, "end": end}
    features = engineered(
        frame.lazy(), **options, output=tempfile.mkdtemp(dir=tmp_path), memory="100MB"
    )
    assert_frame_equal(
        in_order(features),
        engineered(frame, **options).sort("transaction_id"),
        check_exact=True,
        check_row_order=True,
    )


@pytest.mark.usefixtures("small_groups")
def test_a_file_a_folder_and_any_frame_in_memory_are_sources(tmp_path):
    rows = world().transactions
    expected = engineer_features(rows).sort("transaction_id")
    (tmp_path / "days").mkdir()
    rows.write_parquet(tmp_path / "rows.parquet")
    rows[:100].write_parquet(tmp_path / "days" / "1.parquet")
    rows[100:].select(reversed(rows.columns)).write_parquet(tmp_path / "days" / "2.parquet")
    sources = {
        "file": tmp_path / "rows.parquet",
        "folder": str(tmp_path / "days"),
        "lazy": pl.scan_parquet(tmp_path / "rows.parquet"),
        "pandas": rows.to_pandas(),
        "arrow": rows.to_arrow(),
        "duckdb": duckdb.from_parquet(str(tmp_path / "rows.parquet")),
    }
    for name, source in sources.items():
        features = engineer_features(source, output=tmp_path / f"from {name}", memory="100MB")
        assert_frame_equal(in_order(features), expected, check_exact=True)


@pytest.mark.usefixtures("small_groups")
def test_each_file_has_all_rows_of_its_customers(tmp_path):
    rows = world().transactions
    engineer_features(rows, output=tmp_path / "features", memory="100MB")
    files = sorted((tmp_path / "features").iterdir())
    assert len(files) > 5
    customers = [
        set(
            rows.join(pl.read_parquet(file, columns=["transaction_id"]), on="transaction_id")[
                "customer_id"
            ]
        )
        for file in files
    ]
    assert sum(map(len, customers)) == rows["customer_id"].n_unique()


def test_a_bucket_with_too_many_rows_is_divided_again(tmp_path, small_groups, monkeypatch):
    monkeypatch.setattr(_passes, "_DEFAULT_BUCKETS", 1)
    people, shops, rows = world()
    features = engineer_features(
        rows.lazy(), people, shops, output=tmp_path / "features", memory="100MB"
    )
    assert_frame_equal(
        in_order(features),
        engineer_features(rows, people, shops).sort("transaction_id"),
        check_exact=True,
    )
    n_files = len(list((tmp_path / "features").iterdir()))
    assert n_files == rows["customer_id"].n_unique()  # all of whom have more rows than fit


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt16])
def test_ids_keep_their_type(tmp_path, dtype):
    rows = world().transactions
    rows = rows.with_columns(
        pl.col("timestamp").dt.truncate("1d"),
        transaction_id=pl.int_range(7, pl.len() + 7).reverse().cast(dtype),
    )
    features = engineer_features(rows, output=tmp_path / "features", memory="100MB").collect()
    expected = engineer_features(rows)
    assert_frame_equal(
        features.sort("transaction_id"), expected.sort("transaction_id"), check_exact=True
    )


def test_the_folder_can_be_loaded(tmp_path, manager):
    people, shops, rows = world()
    for name, frame in (("customers", people), ("merchants", shops), ("transactions", rows)):
        load_df(frame, name)
    engineer_features(rows, output=tmp_path / "features")
    assert load_df(tmp_path / "features", "ml_features").inserted == len(rows)


def test_without_rows_the_folder_has_the_columns(tmp_path):
    rows = world().transactions.clear()
    features = engineer_features(rows, output=tmp_path / "features")
    assert features.collect_schema().names() == ["transaction_id", *FEATURES]
    assert features.collect().height == 0


# -- What is refused ------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("distance", [1, 50])
def test_an_id_that_repeats_anywhere_is_reported_with_its_row(tmp_path, distance):
    rows = world().transactions.sort("customer_id", "merchant_id")
    ids = rows["transaction_id"].to_list()
    ids[distance] = ids[0]
    rows = rows.with_columns(pl.Series("transaction_id", ids))
    message = rf"repeats the key of an earlier row: 1 row: {distance}\b"
    with pytest.raises(ArgumentError, match=message):
        engineer_features(rows, output=tmp_path / "features", memory="100MB")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_groups")
def test_cells_that_cannot_be_used_are_reported_with_their_rows_in_the_whole(tmp_path):
    rows = world().transactions.with_row_index("n")
    rows = rows.with_columns(
        amount=pl.when(pl.col("n") == 57).then(-1.0).otherwise(pl.col("amount").cast(float))
    ).drop("n")
    with pytest.raises(ArgumentError, match=r"amount.*: 1 row: 57\b"):
        engineer_features(rows, output=tmp_path / "features", memory="100MB")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("column", ["merchant_id", "customer_id", "timestamp"])
def test_a_missing_cell_is_reported_as_in_memory(tmp_path, column):
    people, shops, rows = world()
    rows = rows.with_columns(pl.when(pl.int_range(pl.len()) != 57).then(column))
    with pytest.raises(ArgumentError, match=rf"{column}: is required but missing: 1 row: 57\b"):
        engineer_features(rows, people, shops, output=tmp_path / "features", memory="100MB")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_groups")
def test_a_customer_that_is_not_in_its_table_is_reported_with_the_row(tmp_path):
    people, shops, rows = world()
    unknown = rows["customer_id"][30]
    people = people.filter(pl.col("customer_id") != unknown)
    first_row = rows["customer_id"].to_list().index(unknown)
    with pytest.raises(
        ArgumentError, match=rf"not in the table of customers.* rows?: {first_row}\b"
    ):
        engineer_features(rows, people, shops, output=tmp_path / "features", memory="100MB")
    assert not list(tmp_path.iterdir())


@pytest.fixture(params=["in memory", "on disk"])
def engineer(request, tmp_path):
    """Engineer features in memory, or on disk in small groups."""
    if request.param == "in memory":
        return engineer_features
    request.getfixturevalue("small_groups")
    return partial(engineer_features, output=tmp_path / "features", memory="100MB")


def test_an_id_that_repeats_after_the_end_is_reported(engineer):
    rows = world().transactions.sort("timestamp")
    ids = [*rows["transaction_id"][:-1], rows["transaction_id"][-2]]
    rows = rows.with_columns(pl.Series("transaction_id", ids))
    n_last = len(rows) - 1
    with pytest.raises(ArgumentError, match=rf"repeats the key of an earlier row: 1 row: {n_last}"):
        engineer(rows, end=rows["timestamp"][0] + dt.timedelta(days=5))


@pytest.mark.parametrize("key", ["customer_id", "merchant_id"])
@pytest.mark.parametrize("days", [-100, 100])
def test_every_customer_and_merchant_is_looked_up(engineer, key, days):
    people, shops, rows = world()
    unknown = pl.when(pl.int_range(pl.len()).is_in([3, 50])).then(pl.lit("nobody"))
    rows = rows.with_columns(unknown.otherwise(key).alias(key))
    period = {"start": rows["timestamp"].max() + dt.timedelta(days=1)} if days > 0 else {}
    period |= {"end": rows["timestamp"].min()} if days < 0 else {}
    table = f"{key.removesuffix('_id')}s"
    message = rf"{key}: is not in the table of {table} \(add 1 .*\): 2 rows: 3, 50"
    with pytest.raises(ArgumentError, match=message):
        engineer(rows, people, shops, **period)


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("keep")
    with pytest.raises(ArgumentError, match=r"must be a new or an empty folder; .* 1 entry"):
        engineer_features(world().transactions, output=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize("name", ["features", "features [1]", "link"])
def test_an_empty_folder_is_used(tmp_path, name):
    (tmp_path / "features").mkdir()
    (tmp_path / "features [1]").mkdir()
    (tmp_path / "link").symlink_to("features")
    features = engineer_features(world().transactions, output=tmp_path / name)
    assert features.collect().height
    assert list((tmp_path / name).iterdir()) == [tmp_path / name / "part-00000.parquet"]


def test_the_path_may_be_relative_and_the_working_directory_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    features = engineer_features(world().transactions, output="features")
    monkeypatch.chdir("/")
    assert features.collect().height


def test_the_working_directory_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="got the working directory"):
        engineer_features(world().transactions, output=".")


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "rows.parquet").touch()
    with pytest.raises(ArgumentError, match=r"new or an empty folder; .*rows\.parquet' is a file"):
        engineer_features(world().transactions, output=tmp_path / "rows.parquet")


def test_the_path_of_a_file_needs_a_folder_for_the_features(tmp_path):
    with pytest.raises(ArgumentError, match="`output` must be a new folder"):
        engineer_features(tmp_path / "rows.parquet")


def test_a_missing_column_is_named_before_anything_is_read(tmp_path):
    rows = world().transactions.rename({"amount": "amonut"})
    with pytest.raises(NotFoundError, match=r"There is no column 'amount' .* mean 'amonut'"):
        engineer_features(rows.lazy(), output=tmp_path / "features")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("memory", ["2", "1MB", 5_000_000, True, "2 gigabytes"])
def test_memory_is_a_size(tmp_path, memory):
    with pytest.raises(ArgumentError, match="`memory` must be a size of at least 100 MB"):
        engineer_features(world().transactions, output=tmp_path / "features", memory=memory)


def test_files_with_types_of_their_own_are_read_as_one(tmp_path):
    rows = world().transactions
    (tmp_path / "days").mkdir()
    rows[:100].write_parquet(tmp_path / "days" / "1.parquet")
    table = rows[100:].to_arrow()
    position = table.schema.get_field_index("timestamp")
    text = pa.array(rows[100:]["timestamp"].dt.to_string("iso:strict").to_list())
    pq.write_table(table.set_column(position, "timestamp", text), tmp_path / "days" / "2.parquet")
    features = engineer_features(tmp_path / "days", output=tmp_path / "features")
    expected = engineer_features(rows).sort("transaction_id")
    assert_frame_equal(in_order(features), expected, check_exact=True)
