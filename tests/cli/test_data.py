"""``synfin load`` and ``synfin export``: what went in comes out, and mistakes are told in words."""

import csv
import datetime as dt
import re
from decimal import Decimal

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from synfin_analytics.cli import main
from synfin_analytics.cli._common import parse_column_mapping
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.simulation import simulate


def synfin(*arguments, code=0):
    result = CliRunner().invoke(main, [str(path) for path in arguments], prog_name="synfin")
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stdout if code == 0 else result.stderr


@pytest.fixture
def world(manager):
    """A small simulated world in the database."""
    world = simulate(customers=20, merchants=10, days=70, seed=1, output="polars")
    for table, frame in world._asdict().items():
        load_df(frame, table, manager=manager)
    return world


def stored(manager, table="transactions"):
    key = {"transactions": "transaction_id", "customers": "customer_id"}[table]
    return read_df(f"SELECT * FROM {table} ORDER BY {key}", manager=manager, output="polars")


# -- Load ------------------------------------------------------------------------------------------


@pytest.fixture
def payments(tmp_path):
    """A file with columns of other names, and two rows that cannot be loaded."""
    frame = pd.DataFrame(
        {
            "ID": [1, 2, 3, 4],
            "WHO": [7, 7, 8, 8],
            "SHOP": [1, 2, 1, 2],
            "WHEN": pd.to_datetime(["2026-01-01"] * 4),
            "TX_AMOUNT": [10.0, 0.0, 2.5, 1.234],
            "SCENARIO": [0, 1, 2, 3],
        }
    )
    path = tmp_path / "payments.parquet"
    frame.to_parquet(path)
    frame.to_csv(tmp_path / "payments.csv", index=False)
    return path


MAPPING = [
    *("--column", "ID=transaction_id"),
    *("--column", "WHO=customer_id"),
    *("--column", "SHOP=merchant_id"),
    *("--column", "WHEN=timestamp"),
    *("--column", "TX_AMOUNT=amount"),
    *("--ignore", "SCENARIO"),
]


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_valid_rows_of_a_file_are_loaded_and_the_others_reported(
    manager, payments, tmp_path, ending
):
    rejected = tmp_path / "rejected.csv"
    output = synfin(
        "load", payments.with_suffix(ending), "transactions", *MAPPING,
        "--on-invalid", "reject", "--on-missing-parent", "create", "--rejected", rejected,
    )  # fmt: skip
    assert "2 inserted" in output
    assert "2 rejected" in output
    assert "amount: must be above 0" in output
    assert stored(manager)["amount"].to_list() == [10, 2.5]
    assert stored(manager, "customers")["customer_id"].to_list() == ["7", "8"]
    rejected_cells = pd.read_csv(rejected)
    assert rejected_cells["row"].tolist() == [1, 3]
    assert rejected_cells["column"].tolist() == ["amount", "amount"]


def test_without_reject_a_row_at_fault_refuses_the_file(manager, payments):
    output = synfin(
        "load", payments, "transactions", *MAPPING, "--on-missing-parent", "create", code=1
    )
    assert "Nothing was loaded into 'transactions'" in output
    assert "amount: must be above 0" in output
    assert len(stored(manager)) == 0


def test_rows_that_exist_can_be_skipped_or_updated(manager, tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("customer_id,city\nC1,Ghent\n")
    second.write_text("customer_id,city\nC1,Lille\nC2,Lille\n")
    synfin("load", first, "customers")
    assert (
        "another" in (output := synfin("load", second, "customers", code=1)) or "already" in output
    )
    assert "1 skipped" in synfin("load", second, "customers", "--on-conflict", "skip")
    assert stored(manager, "customers")["city"].to_list() == ["Ghent", "Lille"]
    assert "2 updated" in synfin("load", second, "customers", "--on-conflict", "update")
    assert stored(manager, "customers")["city"].to_list() == ["Lille", "Lille"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.csv", "customers"], 1, "The file 'nowhere.csv' does not exist"),
        (["{file}", "custommers"], 1, "no table 'custommers'.*Did you mean 'customers'"),
        (["{file}", "transactions", "--column", "TX_AMOUNT"], 2, "must be of the form"),
        (
            ["{file}", "transactions", "--column", "A=b", "--ignore", "A"],
            2,
            "must be named once; got 'A'",
        ),
        (["{file}", "transactions", "--ignore", "SCENARIOS"], 1, "no column 'SCENARIOS'.*SCENARIO"),
        (["{file}", "transactions", "--rejected", "x.csv"], 1, "requires --on-invalid reject"),
        (
            ["{file}", "transactions", "--on-invalid", "reject", "--rejected", "no/where/x.csv"],
            1,
            "folder of --rejected must exist; got 'no/where'",
        ),
        (["{file}", "transactions", "--on-invalid", "ignore"], 2, "'raise', 'reject'"),
    ],
)
def test_mistakes_are_reported_in_words(manager, payments, arguments, code, message):
    output = synfin("load", *(argument.format(file=payments) for argument in arguments), code=code)
    assert re.search(message, " ".join(output.split()))


def test_a_column_name_may_have_an_equals_sign():
    assert parse_column_mapping(["a=b=amount"], ["c"]) == {"a=b": "amount", "c": None}


# -- Export ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_table_that_is_exported_and_loaded_again_is_the_same(manager, world, tmp_path, ending):
    before = stored(manager)
    file = tmp_path / f"transactions{ending}"
    assert f"{len(before):,} rows" in synfin("export", "transactions", file)
    with manager.session_scope() as session:
        session.connection().exec_driver_sql("DELETE FROM transactions")
    synfin("load", file, "transactions")
    assert_frame_equal(stored(manager), before)


def test_one_row_is_counted_in_the_singular(manager, tmp_path):
    file = tmp_path / "number.csv"
    assert synfin("export", "--query", "SELECT 1 AS number", file) == f"1 row: {file}\n"


def test_a_month_is_a_folder_and_the_folders_load_as_one(manager, world, tmp_path):
    before = stored(manager)
    folder = tmp_path / "archive"
    synfin("export", "transactions", folder, "--partition-by", "month")
    assert sorted(path.name for path in folder.iterdir()) == [
        "period=2025-01", "period=2025-02", "period=2025-03",
    ]  # fmt: skip
    march = pq.read_table(next((folder / "period=2025-03").iterdir()))
    assert set(march["month"].to_pylist()) == {3}
    counted = duckdb.sql(f"SELECT count(*) FROM '{folder}/*/*.parquet'").fetchall()
    assert counted == [(len(before),)]
    with manager.session_scope() as session:
        session.connection().exec_driver_sql("DELETE FROM transactions")
    synfin("load", folder, "transactions")
    assert_frame_equal(stored(manager), before)


@pytest.mark.parametrize(("by", "folders"), [("year", 1), ("day", 70)])
def test_periods_may_be_years_and_days(world, tmp_path, by, folders):
    folder = tmp_path / "archive"
    synfin("export", "transactions", folder, "--partition-by", by)
    assert abs(len(list(folder.iterdir())) - folders) <= 1


def test_periods_may_be_those_of_another_column(world, tmp_path):
    folder = tmp_path / "archive"
    synfin(
        "export", "customers", folder, "--partition-by", "year", "--time-column", "account_created"
    )
    years = {path.name.removeprefix("period=") for path in folder.iterdir()}
    assert years == {str(year) for year in world.customers["account_created"].dt.year().unique()}


def test_a_query_can_be_exported(world, tmp_path):
    file = tmp_path / "big.csv"
    query = "SELECT transaction_id, amount FROM transactions WHERE amount > 100 ORDER BY 1"
    synfin("export", file, "--query", query)
    frame = pl.read_csv(file)
    assert frame.columns == ["transaction_id", "amount"]
    assert frame["amount"].min() > 100


def test_money_can_be_exported_exactly(manager, tmp_path):
    load_df(
        pl.DataFrame({"customer_id": ["C1"], "total_spent": [Decimal("0.10")]}),
        "customers",
        manager=manager,
    )
    for arguments, kind in (([], pa.float64()), (["--use-decimal"], pa.decimal128(15, 2))):
        file = tmp_path / f"customers{len(arguments)}.parquet"
        synfin("export", "customers", file, *arguments)
        assert pq.read_schema(file).field("total_spent").type == kind


def test_missing_and_empty_texts_stay_apart_in_csv(manager, tmp_path):
    frame = pl.DataFrame({"customer_id": ["C1", "C2", "C3"], "city": [None, "", 'a "b", c\nd']})
    load_df(frame, "customers", manager=manager)
    before = stored(manager, "customers")
    synfin("export", "customers", tmp_path / "customers.csv")
    synfin("load", tmp_path / "customers.csv", "customers", "--on-conflict", "update")
    after = stored(manager, "customers")
    assert_frame_equal(after.drop("updated_at"), before.drop("updated_at"))


def test_texts_that_a_spreadsheet_would_run_are_escaped_on_request(manager, tmp_path):
    names = ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "\rx", "a=b", "", None]
    keys = [f"M{number}" for number in range(len(names))]
    frame = pl.DataFrame({"merchant_id": keys, "name": names, "risk_score": [0.5] * len(keys)})
    load_df(frame, "merchants", manager=manager)
    query = "SELECT name, -1 AS number FROM merchants ORDER BY merchant_id"
    for options, mark in (([], ""), (["--escape-formulas"], "'")):
        file = tmp_path / f"{len(options)}.csv"
        synfin("export", file, "--query", query, *options)
        with file.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        assert [row["name"] for row in rows[:6]] == [mark + name for name in names[:6]]
        assert [row["name"] for row in rows[6:]] == ["a=b", "", ""]
        assert {row["number"] for row in rows} == {"-1"}
    output = synfin("export", "merchants", tmp_path / "x.parquet", "--escape-formulas", code=2)
    assert "requires a TARGET that ends with .csv" in output


def test_lists_are_json_in_csv_and_what_csv_cannot_hold_is_reported(manager, tmp_path):
    file = tmp_path / "lists.csv"
    synfin("export", file, "--query", "SELECT ARRAY['a', NULL] AS list, 1 AS n")
    assert file.read_text() == '"list","n"\n"[""a"", null]",1\n'


@pytest.mark.parametrize("target", ["none.parquet", "none.csv", "folder"])
def test_no_rows_still_have_their_columns(manager, tmp_path, target):
    options = ["--partition-by", "month"] if target == "folder" else []
    assert "0 rows" in synfin("export", "transactions", tmp_path / target, *options)
    assert "0 inserted" in synfin("load", tmp_path / target, "transactions")


def test_what_exists_is_replaced_only_on_request(world, tmp_path):
    file, folder = tmp_path / "customers.csv", tmp_path / "archive"
    for target, options in ((file, []), (folder, ["--partition-by", "year"])):
        table = "customers" if target is file else "transactions"
        synfin("export", table, target, *options)
        assert "use --overwrite to replace it" in synfin("export", table, target, *options, code=1)
        assert "rows" in synfin("export", table, target, *options, "--overwrite")


def test_a_folder_that_holds_something_else_is_left_alone(world, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    output = synfin(
        "export", "transactions", tmp_path, "--partition-by", "month", "--overwrite", code=1
    )
    assert "is not replaced" in output
    assert (tmp_path / "thesis.tex").exists()
    (tmp_path / "folder.csv").mkdir()
    output = synfin("export", "customers", tmp_path / "folder.csv", "--overwrite", code=1)
    assert "is not replaced" in output


@pytest.mark.parametrize("options", [[], ["--partition-by", "year", "--time-column", "day"]])
def test_an_export_that_fails_leaves_what_was_there(manager, tmp_path, options):
    target = tmp_path / ("folder" if options else "days.csv")
    query = "SELECT date '2026-01-01' AS day, 1 / (n - {}) AS x FROM generate_series(1, 200000) n"
    synfin("export", target, "--query", query.format(0), *options)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    output = synfin(
        "export", target, "--query", query.format(200_000), "--overwrite", *options, code=1
    )
    assert "division by zero" in output
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["transactions", "{out}/x.xlsx"], 1, "must end with .parquet or .csv"),
        (["transactions", "{out}/no/where.csv"], 1, "folder of the target must exist"),
        (["transaction", "{out}/x.csv"], 1, "no table 'transaction'.*'transactions'"),
        (["{out}/x.csv"], 2, "Specify either one TABLE or --query"),
        (
            ["customers", "{out}/x.csv", "--query", "SELECT 1"],
            2,
            "Specify either one TABLE or --query",
        ),
        (["customers", "merchants", "{out}/x.csv"], 2, "Specify either one TABLE or --query"),
        (["customers", "{out}/x", "--partition-by", "month"], 1, "no column 'timestamp'"),
        (
            ["customers", "{out}/x", "--partition-by", "month", "--time-column", "city"],
            1,
            "must be a column of timestamps or dates; 'city' is",
        ),
        (["{out}/x.csv", "--query", "SELECT nothing FROM customers"], 1, "nothing"),
    ],
)
def test_an_export_that_cannot_be_meant_is_refused(manager, tmp_path, arguments, code, message):
    output = synfin("export", *(argument.format(out=tmp_path) for argument in arguments), code=code)
    assert re.search(message, " ".join(output.split()))
    assert list(tmp_path.iterdir()) == []


def test_dates_make_periods_too(tmp_path, manager):
    folder = tmp_path / "days"
    query = "SELECT date '2026-02-28' + n AS day FROM generate_series(0, 1) AS n"
    synfin("export", folder, "--query", query, "--partition-by", "month", "--time-column", "day")
    assert sorted(path.name for path in folder.iterdir()) == ["period=2026-02", "period=2026-03"]
    days = pl.read_parquet(folder / "period=2026-03" / "*.parquet")["day"].to_list()
    assert days == [dt.date(2026, 3, 1)]
