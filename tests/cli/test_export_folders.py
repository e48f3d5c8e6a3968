"""``synfin export`` to folders by period and by bucket: complete, and readable by every engine."""

import re
import resource
import signal
import stat
import subprocess
import sys
import warnings
import zlib

import click
import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import servers
from click.testing import CliRunner
from dask import dataframe as dd
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from synfin_analytics._core.hashing import stable_buckets
from synfin_analytics.cli import SynfinGroup, _dataset, main
from synfin_analytics.exceptions import InvalidDataError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.simulation import simulate

BUCKETS = ("--buckets", "16")
BY_MONTH = ("--partition-by", "month")
either_division = pytest.mark.parametrize("options", [BUCKETS, BY_MONTH], ids=["buckets", "months"])


def synfin(*arguments, code=0):
    result = CliRunner().invoke(main, [str(path) for path in arguments], prog_name="synfin")
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join((result.stdout if code == 0 else result.stderr).split())


@pytest.fixture
def stored(manager):
    """Transactions in the database, as a frame in the order of their ids."""
    world = simulate(customers=40, merchants=10, days=70, seed=1, output="polars")
    for table, frame in world._asdict().items():
        load_df(frame, table, manager=manager)
    return _read()


def _read():
    return read_df("SELECT * FROM transactions ORDER BY transaction_id", output="polars")


def _scan(folder):
    return pl.scan_parquet(folder).sort("transaction_id").collect()


def _assert_same(rows, stored):
    assert_frame_equal(rows.select(stored.columns), stored, check_dtypes=False)


# -- Buckets ---------------------------------------------------------------------------------------


@given(st.lists(st.none() | st.text()), st.integers(1, 5000))
def test_the_bucket_of_a_key_is_its_crc_32(keys, n_buckets):
    expected = [0 if key is None else zlib.crc32(key.encode()) % n_buckets for key in keys]
    assert stable_buckets(pa.array(keys, pa.string()), n_buckets).tolist() == expected


def test_whole_numbers_are_hashed_as_their_digits():
    keys = [7, -1, None, 2**40]
    texts = [None if key is None else str(key) for key in keys]
    in_buckets = [stable_buckets(pa.array(values), 64).tolist() for values in (keys, texts)]
    assert in_buckets[0] == in_buckets[1]


@pytest.mark.parametrize("pattern", ["C{:05}", "{}", "CUST{:010}"])
def test_buckets_of_consecutive_keys_are_of_similar_size(pattern):
    counts = np.bincount(stable_buckets(pa.array(map(pattern.format, range(10_000))), 64))
    assert len(counts) == 64
    assert counts.max() < 1.2 * counts.min()


def test_all_rows_of_a_customer_are_in_the_folder_of_its_hash(stored, tmp_path):
    synfin("export", "transactions", tmp_path / "rows", "--buckets", "16")
    names = set()
    for path in (tmp_path / "rows").iterdir():
        assert [file.name for file in path.iterdir()] == ["part-0.parquet"]
        bucket = int(path.name.removeprefix("bucket="))
        customers = pq.read_table(path / "part-0.parquet")["customer_id"].to_pylist()
        assert {zlib.crc32(customer.encode()) % 16 for customer in customers} == {bucket}
        names.add(path.name)
    customers = stored["customer_id"].unique().to_list()
    assert names == {f"bucket={zlib.crc32(key.encode()) % 16:02}" for key in customers}


def test_rows_may_be_divided_by_another_column(stored, tmp_path):
    query = "SELECT transaction_id, extract(day FROM timestamp)::int AS day FROM transactions"
    options = ("--buckets", "4", "--bucket-by", "day")
    synfin("export", tmp_path / "rows", "--query", query, *options)
    rows = _scan(tmp_path / "rows")
    assert len(rows) == len(stored)
    assert rows.group_by("day").agg(pl.col("bucket").n_unique())["bucket"].unique().to_list() == [1]


def test_rows_without_a_key_are_in_the_first_bucket(manager, tmp_path):
    query = "SELECT n, CASE WHEN n > 5 THEN 'C' || n END AS key FROM generate_series(1, 20) n"
    synfin("export", tmp_path / "rows", "--query", query, "--buckets", "8", "--bucket-by", "key")
    assert pl.scan_parquet(tmp_path / "rows").filter(pl.col("key").is_null()).select(
        pl.col("bucket").unique(), pl.len()
    ).collect().rows() == [(0, 5)]


# -- Readers ---------------------------------------------------------------------------------------


@either_division
def test_polars_and_duckdb_read_the_folder(stored, tmp_path, options):
    synfin("export", "transactions", tmp_path / "rows", *options)
    _assert_same(_scan(tmp_path / "rows"), stored)
    (counted,) = duckdb.sql(f"SELECT count(*) FROM '{tmp_path}/rows/*/*.parquet'").fetchall()
    assert counted == (len(stored),)


def test_a_bucket_of_polars_spark_and_duckdb_is_a_number(stored, tmp_path, spark):
    synfin("export", "transactions", tmp_path / "rows", *BUCKETS)
    key = stored["customer_id"][0]
    bucket = zlib.crc32(key.encode()) % 16
    n_rows = (stored["customer_id"] == key).sum()
    where = f"bucket = {bucket} AND customer_id = '{key}'"
    assert spark.read.parquet(str(tmp_path / "rows")).where(where).count() == n_rows
    hashed = f"bucket = pmod(crc32(cast(customer_id AS binary)), 16) AND customer_id = '{key}'"
    assert spark.read.parquet(str(tmp_path / "rows")).where(hashed).count() == n_rows
    assert _scan(tmp_path / "rows").sql(f"SELECT * FROM self WHERE {where}").height == n_rows
    files = f"{tmp_path}/rows/*/*.parquet"
    assert len(duckdb.sql(f"SELECT * FROM '{files}' WHERE {where}").fetchall()) == n_rows


def test_a_bucket_is_a_partition_of_dask(stored, tmp_path):
    synfin("export", "transactions", tmp_path / "rows", *BUCKETS)
    frame = dd.read_parquet(tmp_path / "rows")
    with warnings.catch_warnings():  # of pandas, about Dask's own code
        warnings.filterwarnings("ignore", "The inplace keyword in DataFrame.reset_index")
        parts = [
            set(frame.partitions[n].compute()["customer_id"]) for n in range(frame.npartitions)
        ]
    assert len(parts) == len(list((tmp_path / "rows").iterdir()))
    assert sum(map(len, parts)) == len(set.union(*parts)) == stored["customer_id"].n_unique()


@either_division
def test_the_folder_loads_again_without_naming_its_partition(manager, stored, tmp_path, options):
    synfin("export", "transactions", tmp_path / "rows", *options)
    with manager.session_scope() as session:
        session.connection().exec_driver_sql("DELETE FROM transactions")
    assert load_df(tmp_path / "rows", "transactions").inserted == len(stored)
    _assert_same(_read(), stored)


@either_division
def test_the_partition_may_be_left_out_or_used_by_name(stored, tmp_path, options):
    synfin("export", "transactions", tmp_path / "rows", *options)
    name = "bucket" if options == BUCKETS else "period"
    for target in (None, "fraud_reason"):
        columns = {name: target} if target is None else {name: target, target: None}
        report = load_df(tmp_path / "rows", "transactions", columns=columns, on_conflict="update")
        assert report.updated == len(stored)
    reasons = read_df("SELECT DISTINCT fraud_reason FROM transactions", output="polars")
    values = {path.name.partition("=")[2] for path in (tmp_path / "rows").iterdir()}
    assert set(reasons["fraud_reason"]) == values


def test_a_partition_that_no_export_made_is_an_unknown_column(manager, tmp_path):
    (tmp_path / "period=2026").mkdir()
    pl.DataFrame({"merchant_id": ["M1"]}).write_parquet(tmp_path / "period=2026" / "rows.parquet")
    with pytest.raises(InvalidDataError, match="period: is not a column"):
        load_df(tmp_path, "merchants")


def test_features_are_computed_from_the_folder(stored, tmp_path):
    from synfin_analytics import engineer_features

    synfin("export", "transactions", tmp_path / "rows", *BUCKETS)
    features = engineer_features(tmp_path / "rows", output=tmp_path / "features")
    assert_frame_equal(
        features.sort("transaction_id").collect(),
        pl.DataFrame(engineer_features(stored)).sort("transaction_id"),
        check_dtypes=False,
        check_column_order=False,
    )


# -- Memory and files ------------------------------------------------------------------------------


@either_division
def test_rows_that_are_written_in_turns_are_the_same(stored, tmp_path, options, monkeypatch):
    monkeypatch.setattr(_dataset, "_BUFFER", 1)
    monkeypatch.setattr("synfin_analytics.io.read._run.ROWS", 100)
    monkeypatch.setattr("synfin_analytics.io.read._read_df.BATCH_ROWS", 100)
    synfin("export", "transactions", tmp_path / "rows", *options)
    _assert_same(_scan(tmp_path / "rows"), stored)
    files = (tmp_path / "rows").rglob("*.parquet")
    assert max(pq.read_metadata(path).num_row_groups for path in files) > 1


@pytest.mark.parametrize("n_open", [1, 3])
def test_few_files_are_open_at_a_time(stored, tmp_path, monkeypatch, n_open):
    writers = []
    original = pq.ParquetWriter

    def count(*arguments, **options):
        assert sum(writer.is_open for writer in writers) < n_open
        writers.append(original(*arguments, **options))
        return writers[-1]

    monkeypatch.setattr(_dataset.parquet, "ParquetWriter", count)
    monkeypatch.setattr(_dataset, "_max_open", lambda: n_open)
    monkeypatch.setattr(_dataset, "_BUFFER", 1)
    schema = pa.schema({"n": pa.int64()})
    (tmp_path / "rows").mkdir()
    with _dataset.DatasetWriter(tmp_path / "rows", schema, _dataset.ByBucket("n", 8)) as writer:
        for start in range(0, 100, 20):
            writer.write(pa.RecordBatch.from_pydict({"n": range(start, start + 20)}, schema))
    rows = pl.scan_parquet(tmp_path / "rows").sort("n").collect()
    assert rows["n"].to_list() == list(range(100))
    assert rows["bucket"].to_list() == stable_buckets(pa.array(range(100)), 8).tolist()
    assert len(writers) > 8
    assert not any(writer.is_open for writer in writers)


def test_rows_of_a_folder_keep_their_order(tmp_path):
    schema = pa.schema({"n": pa.int64(), "key": pa.string()})
    keys = [f"C{n % 7}" for n in range(1000)]
    with _dataset.DatasetWriter(tmp_path, schema, _dataset.ByBucket("key", 3)) as writer:
        for start in range(0, 1000, 300):
            part = {"n": range(start, min(start + 300, 1000)), "key": keys[start : start + 300]}
            writer.write(pa.RecordBatch.from_pydict(part, schema))
    for file in tmp_path.rglob("*.parquet"):
        assert pl.read_parquet(file)["n"].is_sorted()


def test_times_that_are_missing_are_in_a_folder_of_their_own(manager, tmp_path):
    query = (
        "SELECT n, CASE WHEN n > 1 THEN date '2026-01-31' END AS day FROM generate_series(1, 2) n"
    )
    synfin("export", tmp_path / "rows", "--query", query, *BY_MONTH, "--time-column", "day")
    names = sorted(path.name for path in (tmp_path / "rows").iterdir())
    assert names == ["period=2026-01", "period=__HIVE_DEFAULT_PARTITION__"]


def test_others_may_read_the_folder_as_any_other(stored, tmp_path):
    (tmp_path / "other").mkdir()
    synfin("export", "transactions", tmp_path / "rows", *BUCKETS)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("other", "rows")]
    assert modes[0] == modes[1]


# -- Errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--buckets", "0"], 2, "0 is not in the range 1<=x<=4096"),
        (["--buckets", "9999"], 2, "9999 is not in the range"),
        (["--buckets", "4", *BY_MONTH], 2, "Specify either --partition-by or --buckets"),
        (["--bucket-by", "customer_id"], 2, "--bucket-by requires --buckets"),
        (
            ["--buckets", "4", "--bucket-by", "customer"],
            1,
            "no column 'customer' in the exported data.*'customer_id'",
        ),
        (
            ["--buckets", "4", "--bucket-by", "amount"],
            1,
            "--bucket-by must be a column of texts or whole numbers; 'amount' is double",
        ),
    ],
)
def test_buckets_that_cannot_be_meant_are_refused(manager, tmp_path, options, code, message):
    assert re.search(message, synfin("export", "transactions", tmp_path / "x", *options, code=code))
    assert list(tmp_path.iterdir()) == []


@either_division
@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_folder_does_not_get_the_name_of_a_file(manager, tmp_path, options, name):
    error = synfin("export", "transactions", tmp_path / name, *options, code=1)
    assert "The target must be a folder with --partition-by or --buckets; got " in error
    assert list(tmp_path.iterdir()) == []
    (tmp_path / name).mkdir()
    assert "0 rows" in synfin("export", "transactions", tmp_path / name, *options)


def test_a_column_with_the_name_of_the_partition_is_reported(manager, tmp_path):
    arguments = ("--query", "SELECT 'C1' AS customer_id, 1 AS bucket", *BUCKETS)
    assert "must not have a column 'bucket'" in synfin("export", tmp_path / "x", *arguments, code=1)


@either_division
def test_only_an_empty_folder_is_filled(stored, tmp_path, options, monkeypatch):
    folder = tmp_path / "rows"
    folder.mkdir()
    synfin("export", "transactions", folder, *options)
    assert "use --overwrite" in synfin("export", "transactions", folder, *options, code=1)
    synfin("export", "transactions", folder, *options, "--overwrite")
    _assert_same(_scan(folder), stored)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert "working directory" in synfin("export", "transactions", ".", *options, code=1)


def test_one_division_replaces_the_other(stored, tmp_path):
    synfin("export", "transactions", tmp_path / "rows", *BUCKETS)
    synfin("export", "transactions", tmp_path / "rows", *BY_MONTH, "--overwrite")
    assert {path.name[:7] for path in (tmp_path / "rows").iterdir()} == {"period="}


@either_division
def test_a_full_disk_leaves_nothing(stored, tmp_path, options):
    command = "from synfin_analytics.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", command, "export", "transactions", str(tmp_path / "rows"), *options],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, 4_000)),
        capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 1
    assert re.fullmatch(
        r"Error: Cannot write the folder '.*rows': .*\. Nothing of it was kept\.",
        " ".join(result.stderr.split()),
    )
    assert list(tmp_path.iterdir()) == []


@either_division
def test_an_error_of_the_database_leaves_what_was_there(manager, tmp_path, options):
    query = (
        "SELECT n::text AS customer_id, timestamptz '2026-01-01' AS timestamp, 1 / (n - {}) AS x "
        "FROM generate_series(1, 200000) n"
    )
    synfin("export", tmp_path / "rows", "--query", query.format(0), *options)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    output = synfin(
        "export", tmp_path / "rows", "--query", query.format(200_000), "--overwrite", *options,
        code=1,
    )  # fmt: skip
    assert "division by zero" in output
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


# -- Signals ---------------------------------------------------------------------------------------

SLOW = "SELECT n::text AS customer_id, pg_sleep(0.01)::text AS x FROM generate_series(1, 100000) n"


def _begin_export(folder):
    """Start a long export, and return its process when its temporary folder exists."""
    command = "from synfin_analytics.cli import main; main()"
    arguments = ["export", "--query", SLOW, str(folder / "rows"), *BUCKETS]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments], stderr=subprocess.PIPE, text=True
    )
    servers.wait_until(lambda: list(folder.glob(".rows.*/rows")), "it writes")
    return process


def test_sigterm_ends_an_export_with_143_and_leaves_nothing(manager, tmp_path):
    process = _begin_export(tmp_path)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.strip().endswith("Terminated.")
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_disturbs_no_later_one(stored, manager, tmp_path):
    process = _begin_export(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    (left,) = tmp_path.iterdir()
    assert re.fullmatch(r"\.rows\.\w+", left.name)
    synfin("export", "transactions", tmp_path / "rows", *BUCKETS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [left.name, "rows"]
    _assert_same(_scan(tmp_path / "rows"), stored)
    report = load_df(tmp_path, "transactions", on_conflict="update")
    assert report.updated == len(stored)


def test_a_process_that_handles_sigterm_keeps_its_handler():
    @click.group(cls=SynfinGroup)
    def group():
        pass

    @group.command()
    def show():
        click.echo(signal.getsignal(signal.SIGTERM) is own)

    def own(*_):
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        assert CliRunner().invoke(group, ["show"]).output == "True\n"
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_second_sigterm_has_its_usual_effect():
    usual = []

    @click.group(cls=SynfinGroup)
    def group():
        pass

    @group.command()
    def clean_up():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            usual.append(signal.getsignal(signal.SIGTERM))

    @group.command()
    def run():
        usual.append(signal.getsignal(signal.SIGTERM))

    assert CliRunner().invoke(group, ["clean-up"]).exit_code == 143
    assert usual == [signal.SIG_DFL]
    CliRunner().invoke(group, ["run"])
    assert usual[1] != signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
