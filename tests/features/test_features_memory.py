"""The memory of features on disk: bounded by ``memory``, however many rows there are."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from feature_rows import world

from synfin_analytics import engineer_features
from synfin_analytics._core.release import release_memory
from synfin_analytics.features import _passes, _spill, buckets

on_linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is Linux's"
)

FEW, MANY = 100_000, 400_000
MEMORY_KB = 100_000
#: Modules that a call imports, threads, and what allocators of libraries keep.
LIBRARIES_KB = 200_000
RUN = """
import sys
from synfin_analytics import {call}

def memory_kb(line):
    with open("/proc/self/status") as status:
        return next(int(text.split()[1]) for text in status if text.startswith(line))

before = memory_kb("VmRSS")
{call}(sys.argv[1], output=sys.argv[2], memory="100MB")
print(memory_kb("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def added_kb(tmp_path_factory):
    """By how much a call raises the memory of a new process, by the number of rows."""
    folders = {size: write_payments(tmp_path_factory.mktemp("rows"), size) for size in (FEW, MANY)}

    def measure(call, size):
        output = tmp_path_factory.mktemp("features")
        result = subprocess.run(
            [sys.executable, "-c", RUN.format(call=call), folders[size], output],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(result.stdout)

    return measure


def write_payments(folder, n_rows):
    rng = np.random.default_rng(0)
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for number, first in enumerate(range(0, n_rows, 50_000)):
        size = min(50_000, n_rows - first)
        numbers = pl.DataFrame(
            {
                "transaction_id": np.arange(first, first + size),
                "customer_id": rng.integers(0, n_rows // 100, size),
                "merchant_id": rng.integers(0, n_rows // 500, size),
                "device_id": rng.integers(0, n_rows // 50, size),
            }
        )
        seconds = pl.Series(rng.integers(0, 90 * 86_400, size))
        rows = numbers.select(pl.format("{}-of-the-test", pl.all().cast(pl.String))).with_columns(
            timestamp=start + pl.duration(seconds=seconds),
            amount=pl.Series(np.round(rng.gamma(2, 27, size), 2)),
            is_fraud=pl.Series(rng.random(size) < 0.01),
            latitude=pl.Series(50 + rng.normal(0, 1, size)),
            longitude=pl.Series(4 + rng.normal(0, 1, size)),
            country=pl.Series(rng.choice(["BE", "FR", "US"], size)),
        )
        rows.write_parquet(folder / f"{number}.parquet")
    return folder


@on_linux
def test_windows_need_the_memory_that_they_may_use(added_kb):
    assert added_kb("window_features", MANY) < MEMORY_KB + LIBRARIES_KB


@on_linux
def test_features_need_the_memory_that_they_may_use_however_many_rows_there_are(added_kb):
    few, many = (added_kb("engineer_features", size) for size in (FEW, MANY))
    assert many < MEMORY_KB + LIBRARIES_KB
    assert many - few < MEMORY_KB  # in memory, the other rows would need some 400 MB


@pytest.fixture
def small_groups(monkeypatch):
    """Let some 20 rows fill the memory of 100 MB, and a batch have as many."""
    monkeypatch.setattr(buckets, "_CUSTOMER_BYTES", 2_500_000)
    monkeypatch.setattr(buckets, "_MERCHANT_BYTES", 2_500_000)
    monkeypatch.setattr(_passes, "_MIN_BATCH", 20)
    monkeypatch.setattr(_passes, "_READ_BYTES", 10**9)


def test_a_group_and_its_features_are_released_before_the_next_group_is_read(
    tmp_path, small_groups, monkeypatch
):
    read, write, made, n_living = _spill.Spill.read, _passes.pq.write_table, [], []

    def watch_read(spill, first, last):
        n_living.append(sum(made_object() is not None for made_object in made))
        frame = read(spill, first, last)
        made.append(weakref.ref(frame))
        return frame

    def watch_write(table, *args, **options):
        made.append(weakref.ref(table))
        write(table, *args, **options)

    monkeypatch.setattr(_spill.Spill, "read", watch_read)
    monkeypatch.setattr(_passes.pq, "write_table", watch_write)
    engineer_features(world().transactions, output=tmp_path / "features", memory="100MB")
    assert len(n_living) > 20
    assert max(n_living) == 0


def test_no_bucket_is_divided_again_if_the_number_of_rows_is_known(
    tmp_path, small_groups, monkeypatch
):
    rows = world().transactions
    rows = rows.with_columns(  # as many customers and merchants as would make even buckets
        customer_id=rows["transaction_id"], merchant_id=rows["transaction_id"]
    )
    n_divided = []
    divide = _spill.Spill.divide
    monkeypatch.setattr(_spill.Spill, "divide", lambda *args: n_divided.append(1) or divide(*args))
    engineer_features(rows, output=tmp_path / "features", memory="100MB")
    assert not n_divided


def test_rows_are_collected_until_they_are_worth_a_file(tmp_path):
    frame = pl.DataFrame({"n": range(1_000)})  # 8 kB
    spill = _spill.Spill(tmp_path / "rows", 10, lambda rows: rows["n"].to_numpy(), 20_000)
    for _ in range(7):
        spill.append(frame)
    spill.flush()
    assert len(list((tmp_path / "rows").iterdir())) == 3
    assert spill.read(0, 10).sort("n").equals(pl.concat([frame] * 7).sort("n"))


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_freed_arrays_do_not_stay_in_the_process():
    def resident_mb():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

    def leave_gaps(_):
        arrays = [np.ones(12_000) for _ in range(1_500)]  # below the size of a mapping of its own
        return arrays[::30]

    with ThreadPoolExecutor(2) as pool:
        kept = list(pool.map(leave_gaps, range(2)))
        before = resident_mb()
        release_memory()
        assert before - resident_mb() > 100
    assert len(kept) == 2
