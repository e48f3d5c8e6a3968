"""Parents that a load creates: those of the rows that it writes, and no others."""

import atomicity
import pytest

from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    atomicity.small_batches(monkeypatch.setattr)


def payment(number, customer, **columns):
    row = {"transaction_id": f"TX{number}", "customer_id": customer, "merchant_id": "M1"}
    return {**row, "amount": 1, "timestamp": "2026-01-01", **columns}


def customers(manager):
    return read_df("SELECT customer_id FROM customers ORDER BY 1", manager=manager)[
        "customer_id"
    ].tolist()


def load(manager, rows, **options):
    return load_df(rows, "transactions", manager=manager, on_missing_parent="create", **options)


@pytest.mark.parametrize(
    "options",
    [{"on_conflict": "skip"}, {"on_invalid": "reject"}],
    ids=["skipped", "refused"],
)
@pytest.mark.parametrize("rebuild_indexes", ["never", "always"])
def test_no_parent_is_created_for_rows_whose_key_exists(manager, options, rebuild_indexes):
    load(manager, [payment(1, "C1")])

    load(
        manager, [payment(1, "GHOST"), payment(2, "C2")], rebuild_indexes=rebuild_indexes, **options
    )

    assert customers(manager) == ["C1", "C2"]


def test_no_parent_is_created_for_rows_that_are_refused_for_a_cell(manager):
    load(manager, [payment(1, "GHOST", amount=-5), payment(2, "C2")], on_invalid="reject")

    assert customers(manager) == ["C2"]


def test_no_parent_is_created_for_rows_that_repeat_a_key_of_an_earlier_batch(manager):
    payments = [payment(number, "C1") for number in range(2 * atomicity.BATCH)]
    rows = [*payments, payment(0, "GHOST"), payment(1, "C1"), payment(-1, "C2")]

    report = load(manager, rows, on_invalid="reject")

    assert report.inserted == len(payments) + 1
    assert customers(manager) == ["C1", "C2"]


def test_no_parent_is_created_for_a_repeated_key_in_a_table_that_has_rows(manager):
    load(manager, [payment(-2, "C0")])
    payments = [payment(number, "C1") for number in range(2 * atomicity.BATCH)]

    load(manager, [*payments, payment(0, "GHOST")], on_conflict="skip", on_invalid="reject")

    assert customers(manager) == ["C0", "C1"]


def test_a_parent_that_an_update_names_is_created(manager):
    load(manager, [payment(1, "C1")])

    load(manager, [payment(1, "C2")], on_conflict="update")

    assert customers(manager) == ["C1", "C2"]
