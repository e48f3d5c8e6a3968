"""Worlds of any size: Parquet folders, simulated part by part."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from synfin_analytics import ArgumentError, load_df, read_df, simulate
from synfin_analytics.io.coerce import derive_columns
from synfin_analytics.simulation import _folder

TABLES = ["customers", "merchants", "transactions"]
SIZES = {"customers": 88, "merchants": 80, "days": 40, "seed": 5, "fraud_rate": 0.04}


@pytest.fixture
def small_parts(monkeypatch):
    """Let a part have about 1,000 transactions."""
    monkeypatch.setattr(_folder, "PART_TRANSACTIONS", 1_000)


@pytest.fixture
def world(small_parts, tmp_path):
    """A world of four parts."""
    return simulate(**SIZES, output=tmp_path / "world")


def collected(world):
    return {table: frame.collect() for table, frame in world.to_dict().items()}


def number_of(parts):
    return len(list(Path(parts).glob("*.parquet")))


# -- Rows ------------------------------------------------------------------------------------------


def test_a_world_of_one_part_has_the_rows_of_the_world_in_memory(tmp_path):
    in_memory = simulate(**SIZES, drift=0.5, output="polars")
    world = simulate(**SIZES, drift=0.5, output=tmp_path / "world")
    for table, frame in in_memory.to_dict().items():
        assert_frame_equal(collected(world)[table], frame, check_exact=True)


def test_the_same_seed_gives_the_same_files(small_parts, world, tmp_path):
    again = simulate(**SIZES, output=f"{tmp_path}/again")
    for table, frame in collected(again).items():
        assert_frame_equal(frame, collected(world)[table], check_exact=True)
    other = simulate(**SIZES | {"seed": 6}, output=tmp_path / "other")
    assert not collected(other)["transactions"].equals(collected(world)["transactions"])


def test_no_part_repeats_the_customers_of_another_part_or_seed(small_parts, world, tmp_path):
    next_seed = simulate(**SIZES | {"seed": 6}, output=tmp_path / "other")
    homes = pl.concat([world.customers, next_seed.customers]).select("latitude", "longitude")
    assert homes.collect().is_unique().mean() > 0.95


def test_the_parts_share_the_customers_and_the_merchants_evenly(world, tmp_path):
    for table, sizes in {"customers": [22] * 4, "merchants": [20] * 4}.items():
        files = sorted((tmp_path / "world" / table).iterdir())
        assert [len(pl.read_parquet(file)) for file in files] == sizes
    assert number_of(tmp_path / "world" / "transactions") == 4


def test_ids_are_unique_and_consecutive_over_all_parts(world):
    frames = collected(world)
    for table, key in zip(TABLES, ("customer_id", "merchant_id", "transaction_id"), strict=True):
        numbers = frames[table][key].str.slice(1).cast(pl.Int64)
        assert numbers.to_list() == list(range(1, len(frames[table]) + 1))
    for name in ("last_name", "email", "phone"):
        assert frames["customers"][name].is_unique().all()
    assert frames["merchants"]["name"].str.extract(r"(\d+)$").is_unique().all()


@pytest.mark.parametrize("name", ["card_id", "terminal_id", "device_id", "ip_address"])
def test_no_card_terminal_device_or_address_is_in_two_parts(world, tmp_path, name):
    parts = [
        set(pl.read_parquet(file)[name].drop_nulls())
        for file in sorted((tmp_path / "world" / "transactions").iterdir())
    ]
    assert len(set.union(*parts)) == sum(map(len, parts)) > 0


def test_customers_pay_at_merchants_of_their_part_in_the_order_of_time(world, tmp_path):
    for file in sorted((tmp_path / "world" / "transactions").iterdir()):
        part = pl.read_parquet(file)
        assert part["timestamp"].is_sorted()
        for table, key in {"customers": "customer_id", "merchants": "merchant_id"}.items():
            known = pl.read_parquet(tmp_path / "world" / table / file.name)[key]
            assert part[key].is_in(known.implode()).all()


def test_the_fraud_rate_holds_over_the_whole(small_parts, tmp_path):
    sizes = {"customers": 400, "merchants": 800, "days": 90, "seed": 2}
    for rate in (0.0, 0.02, 0.1):
        world = simulate(**sizes, fraud_rate=rate, output=tmp_path / f"{rate}")
        observed = world.transactions.select(pl.col("is_fraud").mean()).collect().item()
        assert 0.9 * rate <= observed <= rate


def test_what_the_bank_knew_is_that_of_all_earlier_payments(world):
    """The history of a merchant, computed over all files, is that in the columns."""
    rows = world.transactions.sort("timestamp", "transaction_id").collect()
    earlier = pl.col("transaction_id").cum_count().over("merchant_id") - 1
    never_a_fraud = ~pl.col("is_fraud").any().over("merchant_id")
    honest = rows.with_columns(earlier=earlier).filter(never_a_fraud)
    expected = (0.1 / (honest["earlier"] + 20)).round(4)
    assert honest["merchant_risk_score"].to_list() == pytest.approx(expected.to_list(), abs=1e-9)
    assert_frame_equal(derive_columns(rows, "transactions"), rows)


# -- What is returned, and the database ------------------------------------------------------------


def test_lazy_frames_of_the_folder_are_returned(world, tmp_path):
    assert all(isinstance(frame, pl.LazyFrame) for frame in world)
    sizes = world.to_frame("polars")
    assert sizes["table"].to_list() == TABLES
    assert sizes["rows"].to_list() == [len(frame) for frame in collected(world).values()]
    assert repr(world).startswith("Simulation(88 customers, 80 merchants, ")
    assert "88 customers" in world._repr_html_()
    assert sorted(path.name for path in (tmp_path / "world").iterdir()) == TABLES
    in_memory = simulate(5, 5, 5, output="polars")
    for frame, lazy in zip(in_memory, world, strict=True):
        assert lazy.collect_schema() == frame.schema


def test_a_folder_with_brackets_in_its_name_can_be_read(tmp_path):
    world = simulate(**SIZES, output=tmp_path / "world [1]")
    assert world.transactions.collect().equals(simulate(**SIZES, output="polars").transactions)


def test_the_folders_load_with_their_foreign_keys(manager, world, tmp_path):
    for table, frame in collected(world).items():
        report = load_df(tmp_path / "world" / table, table, manager=manager)
        assert report.inserted == len(frame)
        assert report.rejected.empty
    orphans = """
        SELECT count(*) FROM transactions
        LEFT JOIN customers USING (customer_id) LEFT JOIN merchants USING (merchant_id)
        WHERE customers.customer_id IS NULL OR merchants.merchant_id IS NULL
    """
    assert read_df(orphans, manager=manager)["count"].item() == 0


# -- Memory ----------------------------------------------------------------------------------------

_PEAK = """
import sys
from pathlib import Path
from synfin_analytics import simulate
from synfin_analytics.simulation import _folder

_folder.PART_TRANSACTIONS = 40_000
simulate(int(sys.argv[1]), 1_000, 60, output=Path(sys.argv[2]))
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is Linux's")
def test_memory_does_not_grow_with_the_number_of_parts(tmp_path):
    def peak_kb(customers):
        command = [sys.executable, "-c", _PEAK, str(customers), str(tmp_path / f"{customers}")]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    few, many = peak_kb(1_250), peak_kb(7_500)  # 80 and 480 thousand transactions
    # In memory, 400,000 more transactions need some 400 MB.
    assert many - few < 100_000


# -- Errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["pnadas", "world", "", None, 3, b"./world", ["pandas"]])
def test_a_misspelt_kind_of_frame_is_no_folder(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    message = (
        '`output` must be "pandas", "polars" or "arrow", or a folder: a pathlib.Path, or a text '
        'with a slash such as "./world"; got '
    )
    with pytest.raises(ArgumentError, match=re.escape(message)):
        simulate(5, 5, 5, output=output)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_refused_and_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"`output` must be a new or an empty folder; .* 1 ent"):
        simulate(5, 5, 5, output=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_too_few_merchants_for_the_parts_are_refused(small_parts, tmp_path):
    message = "`merchants` must be at least 80 for this `output`: 20 for each of its 4 parts; "
    with pytest.raises(ArgumentError, match=re.escape(f"{message}got 79.")):
        simulate(**SIZES | {"merchants": 79}, output=tmp_path / "world")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_raises_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgumentError, match=r"Cannot write the folder .*: File exists"):
        simulate(5, 5, 5, output=tmp_path / "file" / "world")


def test_a_full_disk_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ArgumentError, match=r"Cannot write the folder .* Nothing of it was"):
            simulate(100, 20, 60, output=tmp_path / "world")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_simulation_leaves_nothing(small_parts, tmp_path, monkeypatch):
    simulate_tables = _folder.simulate_tables

    def interrupt(part, taken):
        if part.part == 2:
            assert len(list(tmp_path.rglob("transactions/*.parquet"))) == 2
            raise KeyboardInterrupt
        return simulate_tables(part, taken)

    monkeypatch.setattr(_folder, "simulate_tables", interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate(**SIZES, output=tmp_path / "world")
    assert list(tmp_path.iterdir()) == []
