"""Loads into a table of transactions that its owner has partitioned."""

import datetime as dt
import threading

import atomicity
import polars as pl
import pytest

from synfin_analytics.exceptions import InvalidDataError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

MONTH = (
    "CREATE TABLE part_{0} PARTITION OF transactions "
    "FOR VALUES FROM ('2024-{0}-01') TO ('2024-{1}-01')"
)
MAY, JUNE = MONTH.format("05", "06"), MONTH.format("06", "07")
DEFAULT = "CREATE TABLE part_default PARTITION OF transactions DEFAULT"
HASH = "CREATE TABLE part_{0} PARTITION OF transactions FOR VALUES WITH (MODULUS 2, REMAINDER {0})"
LAYOUTS = {
    "range": ("RANGE (timestamp)", "transaction_id, timestamp", [MAY, JUNE]),
    "default": ("RANGE (timestamp)", "transaction_id, timestamp", [MAY, DEFAULT]),
    "hash": ("HASH (transaction_id)", "transaction_id", [HASH.format(0), HASH.format(1)]),
}
JUNE_10 = dt.datetime(2024, 6, 10, tzinfo=dt.UTC)


@pytest.fixture
def partition(manager):
    """Replace the table by a partitioned one, and put it back."""
    with atomicity.watcher(manager) as admin:

        def make(by, key, parts):
            admin.execute("ALTER TABLE transactions RENAME TO whole")
            admin.execute(
                "CREATE TABLE transactions (LIKE whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS) "
                f"PARTITION BY {by}"
            )
            admin.execute(f"ALTER TABLE transactions ADD PRIMARY KEY ({key})")
            for part in parts:
                admin.execute(part)

        yield make
        admin.execute("DROP TABLE transactions")
        admin.execute("ALTER TABLE whole RENAME TO transactions")


@pytest.fixture(params=LAYOUTS)
def partitioned(manager, partition, request):
    partition(*LAYOUTS[request.param])
    return manager


@pytest.fixture
def by_month(manager, partition):
    partition(*LAYOUTS["range"])
    return manager


def load(manager, frame, **options):
    return load_df(frame, "transactions", manager=manager, on_missing_parent="create", **options)


def ids(manager):
    return read_df("SELECT transaction_id FROM transactions ORDER BY 1", manager=manager)[
        "transaction_id"
    ].tolist()


def test_more_rows_than_a_rebuild_needs_go_into_their_partitions(partitioned):
    frame = atomicity.transactions(40_000).with_columns(
        timestamp=pl.when(pl.int_range(pl.len()) % 2 == 0).then("timestamp").otherwise(JUNE_10)
    )

    load(partitioned, frame)

    assert ids(partitioned) == frame["transaction_id"].to_list()


def test_a_key_of_another_partition_is_named(partitioned):
    load(partitioned, atomicity.transactions(3))

    with pytest.raises(InvalidDataError, match=r"table has this key already: 1 row: 0 .*TX000002"):
        load(partitioned, atomicity.transactions(2, start=2, timestamp=JUNE_10))

    assert ids(partitioned) == ["TX000000", "TX000001", "TX000002"]


def test_a_key_is_unique_across_batches_and_partitions(partitioned, monkeypatch):
    atomicity.small_batches(monkeypatch.setattr)
    rows = 3 * atomicity.BATCH
    frame = pl.concat([atomicity.transactions(rows), atomicity.transactions(1, timestamp=JUNE_10)])

    with pytest.raises(InvalidDataError, match="TX000000"):
        load(partitioned, frame)

    assert ids(partitioned) == []


@pytest.mark.parametrize("on_conflict", ["update", "skip"])
def test_an_existing_row_keeps_its_key_when_its_partition_changes(partitioned, on_conflict):
    load(partitioned, atomicity.transactions(2))

    load(partitioned, atomicity.transactions(2, timestamp=JUNE_10), on_conflict=on_conflict)

    query = "SELECT extract(month FROM timestamp)::integer AS m FROM transactions"
    months = read_df(query, manager=partitioned)
    assert months["m"].tolist() == [6 if on_conflict == "update" else 5] * 2


def test_loads_that_run_together_do_not_repeat_a_key(by_month):
    frames = [atomicity.transactions(1), atomicity.transactions(1, timestamp=JUNE_10)]
    outcomes = []

    def run():
        try:
            outcomes.append(load(by_month, frames[1]))
        except InvalidDataError as error:
            outcomes.append(error)

    with by_month.session_scope() as session:
        load_df(frames[0], "transactions", session=session, on_missing_parent="create")
        other = threading.Thread(target=run)
        other.start()
        other.join(0.3)  # until it waits for this transaction
    other.join(60)

    assert isinstance(outcomes[0], InvalidDataError)
    assert ids(by_month) == ["TX000000"]


def test_rows_without_a_partition_are_named(by_month):
    frame = atomicity.transactions(4).with_columns(
        timestamp=pl.Series([JUNE_10, dt.datetime(2031, 1, 1, tzinfo=dt.UTC)] * 2)
    )

    with pytest.raises(InvalidDataError, match=r"timestamp: no partition .*: 2 rows: 1, 3"):
        load(by_month, frame)
    load(by_month, frame, on_invalid="reject")

    assert ids(by_month) == ["TX000000", "TX000002"]
