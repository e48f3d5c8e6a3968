"""Files of public layouts, and of one's own, become customers, merchants and transactions."""

import datetime as dt
import os
import re
from pathlib import Path

import frames_of
import numpy as np
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner

from synfin_analytics.cli import main
from synfin_analytics.exceptions import (
    ArgumentError,
    InvalidDataError,
    NotFoundError,
    RejectedLabelsWarning,
)
from synfin_analytics.io.layouts import Layout, detect_layout, list_layouts, read_layout
from synfin_analytics.io.layouts.known import LAYOUTS
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

FOLDER = Path(os.environ.get("SYNFIN_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
HANDBOOK = FOLDER / "handbook" / "transactions.parquet"

#: For each known layout a file's first lines, as its publisher writes them (invented rows).
FILES = {
    "handbook": """\
TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO
0,2018-04-01 00:00:31,596,03156,57.16,0,0
1,2018-04-01 00:02:10,596,3412,0.0,0,0
2,2018-04-01 00:07:56,2,1365,229.5,1,1
""",
    "sparkov": """\
,trans_date_trans_time,cc_num,merchant,category,amt,first,last,gender,street,city,state,zip,lat,\
long,city_pop,job,dob,trans_num,unix_time,merch_lat,merch_long,is_fraud
0,2019-01-01 00:00:18,2703180000000001,"fraud_Own, Kub and Son",misc_net,4.97,Ann,Example,F,\
1 Some Street,Here,MA,1234,42.1,-71.9,3495,"Engineer, civil",1988-03-09,0b24,1325376018,42.0,-72,0
1,2019-01-02 00:00:44,2703180000000001,fraud_Shop,grocery_pos,107.23,Ann,Example,F,\
1 Some Street,Here,MA,1234,42.1,-71.9,3495,"Engineer, civil",1988-03-09,1f76,1325376044,42.2,-72,1
2,2019-01-02 00:00:51,630400000001,fraud_Shop,grocery_net,20.5,Bob,Example,M,2 Road,There,WA,\
99160,48.8,-118.2,149,Painter,1978-06-21,a1a2,1325376051,49.1,-118.1,0
""",
    "paysim": """\
step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,\
isFraud,isFlaggedFraud
1,PAYMENT,9839.64,C12,170136.0,160296.36,M19,0.0,0.0,0,0
1,TRANSFER,181.0,C13,181.0,0.0,C55,0.0,0.0,1,0
26,CASH_OUT,181.0,C55,181.0,0.0,C38,21182.0,0.0,1,0
""",
    "tabformer": """\
User,Card,Year,Month,Day,Time,Amount,Use Chip,Merchant Name,Merchant City,Merchant State,Zip,MCC,\
Errors?,Is Fraud?
0,0,2002,9,1,06:21,$134.09,Swipe Transaction,3527213246127876953,La Verne,CA,91750.0,5300,,No
0,1,2002,9,1,06:42,$-38.48,Chip Transaction,-727612092139916043,Boston,MA,1234.0,0763,,No
1,0,2002,9,2,17:45,$12.00,Online Transaction,-727612092139916043,ONLINE,,,763,Bad PIN,Yes
""",
    "banksim": """\
step,customer,age,gender,zipcodeOri,merchant,zipMerchant,category,amount,fraud
0,'C109','4','M','28007','M34','28007','es_transportation',4.55,0
0,'C35','2','E','28007','M34','28007','es_transportation',0.0,0
31,'C109','4','M','28007','M18','28007','es_health',39.68,1
""",
    "amlworld": """\
Timestamp,From Bank,Account,To Bank,Account,Amount Received,Receiving Currency,Amount Paid,\
Payment Currency,Payment Format,Is Laundering
2022/09/01 00:20,010,8000EBD30,010,8000EBD30,3697.34,US Dollar,3697.34,US Dollar,Reinvestment,0
2022/09/01 00:06,003208,8000F4580,001,8000F5340,17.5,Euro,20.10,UK Pound,Wire,1
2022/09/02 13:59,000,80011F990,001,8000F5340,8.00,Swiss Franc,8.00,Swiss Franc,Cheque,0
""",
    "ieee_cis": """\
TransactionID,isFraud,TransactionDT,TransactionAmt,ProductCD,card1,card2,card3,card4,card5,card6,\
addr1,addr2,P_emaildomain,C1,V1
2987000,0,86400,68.5,W,13926,,150.0,discover,142.0,credit,315.0,87.0,,1.0,1.0
2987001,0,86401,29.0,W,2755,404.0,150.0,mastercard,102.0,debit,325.0,87.0,gmail.com,1.0,
2987002,1,172800,117.937,C,4663,490.0,185.0,visa,226.0,debit or credit,,,outlook.com,1.0,0.0
""",
    "synfinance": """\
Transaction_ID,Customer_ID,Merchant_ID,Date,Time,Day_of_Week,Hour,Amount,Currency,Merchant,\
Category,Subcategory,Payment_Mode,Card_Type,Transaction_Status,Transaction_Channel,Is_Online,City,\
State,Merchant_City,Customer_Income_Bracket,Device_Type,Distance_from_Home,Time_Since_Last_Txn,\
Home_City,Customer_Age,Fraud_Type,Fraud_Confidence
TXN0000000001,CUST0000001,MER_GRO_MUM_001,2025-10-19,10:04:11,Sunday,10,450.0,INR,New Kirana,\
Groceries,Supermarket,UPI,NA,Approved,Mobile,True,Mumbai,Maharashtra,Mumbai,Upper Middle,Mobile,\
0.0,,Mumbai,34,None,0.0
TXN0000000002,CUST0000001,MER_ELE_DEL_002,2025-10-19,10:34:11,Sunday,10,52000.0,INR,Prime Tech,\
Electronics,Phones,Credit Card,Credit,Declined,POS,False,Delhi,Delhi,Delhi,Upper Middle,POS,\
1400.5,30.0,Mumbai,34,Card Cloning,0.9
TXN0000000003,CUST0000002,MER_GRO_MUM_001,2025-10-20,07:00:00,Monday,7,50.0,INR,New Kirana,\
Groceries,Supermarket,Cash,NA,Approved,POS,False,Mumbai,Maharashtra,Mumbai,Low,POS,0.0,,Mumbai,61,\
None,0.0
""",
}


@pytest.fixture
def file(tmp_path):
    """Write the first lines of a layout's file."""

    def written(name: str) -> Path:
        path = tmp_path / f"{name}.csv"
        path.write_text(FILES[name], encoding="utf-8")
        return path

    return written


def rows(frame: pl.LazyFrame, *columns: str) -> list[tuple]:
    return frame.select(columns).collect().rows()


def moment(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


# -- Known layouts ---------------------------------------------------------------------------------


def test_every_known_layout_is_tried_here():
    assert sorted(FILES) == list_layouts()


@pytest.mark.parametrize("name", list_layouts())
def test_the_three_tables_are_loaded_as_they_are(name, file, manager):
    tables = read_layout(file(name), name)
    for table, frame in tables._asdict().items():
        report = load_df(frame, table, on_invalid="reject")
        refused = report.rejected
        if table == "transactions":
            assert report.inserted + report.rejected_rows == 3
            assert set(refused["column"] + " " + refused["reason"]) <= {"amount must be above 0"}
        else:
            assert report.rejected_rows == 0
    assert read_df("SELECT count(is_fraud) AS n FROM transactions")["n"][0] == report.inserted


@pytest.mark.parametrize("name", list_layouts())
def test_a_layout_is_recognised_by_its_columns(name, file):
    assert detect_layout(pl.read_csv(file(name)).columns) == name
    assert LAYOUTS[name].about
    assert repr(LAYOUTS[name]).startswith(f"Layout({name}: ")


def test_the_handbook_names_its_terminals_and_scenarios(file):
    tables = read_layout(file("handbook"), "handbook")
    result = rows(tables.transactions, "transaction_id", "merchant_id", "terminal_id", "fraud_type")
    assert result == [
        ("0", "03156", "03156", None),
        ("1", "3412", "3412", None),
        ("2", "1365", "1365", "amount_over_220"),
    ]
    assert rows(tables.customers, "customer_id") == [("2",), ("596",)]


def test_the_daily_files_of_the_handbook_come_as_frames(file):
    """They are pickles of pandas, with two columns more and keys as objects."""
    day = pd.read_csv(file("handbook"), parse_dates=["TX_DATETIME"])
    day = day.assign(TX_TIME_SECONDS=31, TX_TIME_DAYS=0, CUSTOMER_ID=["596", "596", "2"])
    result = read_layout(pd.concat([day, day]), "handbook")
    assert rows(result.customers, "customer_id") == [("2",), ("596",)]
    assert rows(result.transactions, "timestamp")[0] == (moment(2018, 4, 1, 0, 0, 31),)


def test_sparkov_gives_tokens_for_cards_and_what_is_known_of_people(file):
    tables = read_layout(file("sparkov"), "sparkov")
    cards = rows(tables.transactions, "card_id", "customer_id")
    assert all(card == customer for card, customer in cards)
    assert cards[0] == cards[1] != cards[2]
    assert not any("2703180000000001"[:6] in card for card, _ in cards)
    first = tables.customers.filter(first_name="Ann").collect().row(0, named=True)
    assert (first["gender"], first["zip_code"]) == ("female", "01234")
    assert first["date_of_birth"] == dt.date(1988, 3, 9)
    # One shop has two categories in the file: that is no property of the shop.
    assert rows(tables.merchants, "merchant_id", "category") == [
        ("Own, Kub and Son", "misc_net"),
        ("Shop", None),
    ]
    assert rows(tables.transactions, "is_online") == [(True,), (False,), (True,)]


def test_paysim_counts_hours_from_a_start(file):
    tables = read_layout(file("paysim"), "paysim", start="2024-03-01")
    assert rows(tables.transactions, "transaction_id", "timestamp", "transaction_type") == [
        ("1", moment(2024, 3, 1), "payment"),
        ("2", moment(2024, 3, 1), "transfer"),
        ("3", moment(2024, 3, 2, 1), "withdrawal"),
    ]


def test_tabformer_reads_dollars_and_takes_a_minus_for_a_refund(file):
    tables = read_layout(file("tabformer"), "tabformer")
    result = rows(
        tables.transactions, "amount", "transaction_type", "timestamp", "card_id", "entry_mode",
        "status", "zip_code", "is_fraud",
    )  # fmt: skip
    assert result[0] == (
        134.09, "purchase", moment(2002, 9, 1, 6, 21), "0-0", "magstripe", "completed", "91750", 0,
    )  # fmt: skip
    assert result[1][:2] == (38.48, "refund")
    assert result[2][3:] == ("1-0", "ecommerce", "declined", None, 1)
    assert rows(tables.merchants, "merchant_id", "mcc_code", "city") == [
        ("-727612092139916043", "0763", None),
        ("3527213246127876953", "5300", "La Verne"),
    ]


def test_amlworld_names_both_accounts_by_bank_and_number(file):
    """The header of the file has two columns `Account`."""
    amlworld = read_layout(file("amlworld"), "amlworld").transactions
    assert rows(amlworld, "customer_id", "merchant_id") == [
        ("10-8000EBD30", "10-8000EBD30"),
        ("3208-8000F4580", "1-8000F5340"),
        ("0-80011F990", "1-8000F5340"),
    ]
    assert rows(amlworld, "amount", "currency", "payment_method", "is_fraud")[1] == (
        20.1, "GBP", "bank_transfer", True,
    )  # fmt: skip
    assert rows(amlworld, "timestamp")[2] == (moment(2022, 9, 2, 13, 59),)


@pytest.mark.parametrize("read", [pd.read_csv, pl.read_csv])
def test_amlworld_is_recognised_as_each_library_numbers_its_columns(read, file):
    frame = read(file("amlworld"))
    assert detect_layout(list(frame.columns)) == "amlworld"
    merchants = rows(read_layout(frame, "amlworld").transactions, "merchant_id")
    assert merchants[1] == ("1-8000F5340",)


def test_ieee_cis_counts_seconds_and_names_a_card_by_its_codes(file):
    ieee = read_layout(file("ieee_cis"), "ieee_cis", start="2017-12-01").transactions
    assert rows(ieee, "timestamp") == [
        (moment(2017, 12, 1),), (moment(2017, 12, 1, 0, 0, 1),), (moment(2017, 12, 2),),
    ]  # fmt: skip
    assert rows(ieee, "customer_id", "card_type", "amount") == [
        ("13926--150-142-315", "credit", 68.5),
        ("2755-404-150-102-325", "debit", 29.0),
        ("4663-490-185-226-", None, 117.94),
    ]


IDENTITY = """\
TransactionID,id_01,id_31,DeviceType,DeviceInfo
2987002,-5.0,chrome 62.0,desktop,Windows
2987001,0.0,samsung browser 6.2,mobile,SM-G892A
"""


def test_ieee_cis_is_joined_with_its_identity_file(file, csv_file, manager):
    identity = csv_file(IDENTITY, "train_identity.csv")
    for paths in ([file("ieee_cis"), identity], [identity, file("ieee_cis")]):
        tables = read_layout(paths, "ieee_cis")
        devices = rows(tables.transactions, "transaction_id", "device_type")
        assert devices == [("2987000", None), ("2987001", "mobile"), ("2987002", "desktop")]
    tables.load()
    assert read_df("transactions")["device_type"].isna().sum() == 1


def test_the_command_joins_files(file, csv_file, manager):
    identity = csv_file(IDENTITY, "train_identity.csv")
    arguments = ["load", str(file("ieee_cis")), "--join", str(identity)]
    result = CliRunner().invoke(main, [*arguments, "--layout", "ieee_cis"])
    assert (result.exit_code, counts()) == (0, [3, 2, 3]), result.output
    result = CliRunner().invoke(main, [*arguments, "transactions"])
    assert (result.exit_code, "--join requires --layout" in result.output) == (2, True)


def test_files_of_a_joined_layout_that_share_columns_are_concatenated(file, csv_file):
    test_set = csv_file(
        "TransactionID,TransactionDT,TransactionAmt,ProductCD,card1,card2,card3,card5,card6,addr1\n"
        "9,200000,5.0,W,1,2.0,3.0,4.0,credit,5.0\n",
        "test_transaction.csv",
    )
    test_identity = csv_file("TransactionID,id-01,DeviceType\n9,1,tablet\n", "test_identity.csv")
    identity = csv_file(IDENTITY, "train_identity.csv")
    paths = [file("ieee_cis"), test_set, identity, test_identity]
    ieee = read_layout(paths, "ieee_cis").transactions
    assert rows(ieee, "transaction_id", "device_type", "is_fraud") == [
        ("2987000", None, False), ("2987001", "mobile", False), ("2987002", "desktop", True),
        ("9", "tablet", None),
    ]  # fmt: skip
    assert "is_fraud" not in read_layout(test_set, "ieee_cis").transactions.collect_schema()


def test_a_file_to_join_must_have_the_key_once(file, csv_file):
    twice = csv_file(f"{IDENTITY}2987001,1,x,mobile,y\n", "twice.csv")
    tables = read_layout([file("ieee_cis"), twice], "ieee_cis")
    with pytest.raises(
        ArgumentError, match=r"twice\.csv' must have each TransactionID once, .* 2 rows share"
    ):
        tables.transactions.collect()
    without = csv_file("id,DeviceType\n1,mobile\n", "without.csv")
    with pytest.raises(ArgumentError, match=r"must have the column 'TransactionID', on which"):
        read_layout([file("ieee_cis"), without], "ieee_cis")


def test_your_own_layout_joins_files_too(csv_file):
    payments = csv_file(f"{HEAD}\n1,C,M,5,2026-01-01\n2,C,M,6,2026-01-02\n", "payments.csv")
    labels = csv_file("transaction_id,fraud\n2,1\n", "labels.csv")
    layout = Layout(PLAIN | {"is_fraud": "fraud"}, join_on="transaction_id")
    joined = read_layout([payments, labels], layout).transactions
    assert rows(joined, "transaction_id", "is_fraud") == [("1", None), ("2", True)]


def test_keys_of_different_types_are_not_joined(csv_file, tmp_path):
    labels = tmp_path / "labels.parquet"
    pl.DataFrame({"transaction_id": [2], "fraud": [1]}).write_parquet(labels)
    payments = csv_file(f"{HEAD}\n2,C,M,6,2026-01-02\n")
    layout = Layout(PLAIN | {"is_fraud": "fraud"}, join_on="transaction_id")
    with pytest.raises(ArgumentError, match="must have the same type in all files; got String in"):
        read_layout([payments, labels], layout)


def test_synfinance_gives_labels_people_and_shops(file):
    tables = read_layout(file("synfinance"), "synfinance")
    assert rows(tables.transactions, "is_fraud", "fraud_type") == [
        (False, None), (True, "card_cloning"), (False, None),
    ]  # fmt: skip
    columns = ("payment_method", "card_type", "status", "channel", "device_type")
    assert rows(tables.transactions, *columns) == [
        ("bank_transfer", None, "approved", "mobile", "mobile"),
        ("credit_card", "credit", "declined", "pos", "terminal"),
        ("cash", None, "approved", "pos", "terminal"),
    ]
    seconds = rows(tables.transactions, "timestamp", "time_since_last_transaction")
    assert seconds == [
        (moment(2025, 10, 19, 10, 4, 11), None), (moment(2025, 10, 19, 10, 34, 11), 1800.0),
        (moment(2025, 10, 20, 7), None),
    ]  # fmt: skip
    assert rows(tables.customers, "customer_id", "age", "income_level") == [
        ("CUST0000001", 34, "medium"), ("CUST0000002", 61, "low"),
    ]  # fmt: skip
    frame = pd.read_csv(file("synfinance"))  # reads the text "None" as missing
    assert rows(read_layout(frame, "synfinance").transactions, "is_fraud")[1:] == [
        (True,),
        (False,),
    ]
    assert (
        "is_fraud"
        not in read_layout(
            frame.drop(columns="Fraud_Type"), "synfinance"
        ).transactions.collect_schema()
    )


def test_banksim_loses_its_quotes_and_counts_days(file):
    tables = read_layout(file("banksim"), "banksim", start=dt.date(2021, 1, 1))
    result = rows(tables.transactions, "customer_id", "merchant_category", "timestamp")
    assert result[2] == ("C109", "health", moment(2021, 2, 1))
    assert rows(tables.customers, "customer_id", "gender") == [("C109", "male"), ("C35", "other")]


def test_a_code_that_no_layout_knows_is_reported_by_the_loader(file, manager):
    path = file("paysim")
    path.write_text(path.read_text(encoding="utf-8").replace("CASH_OUT", "SWAP"), encoding="utf-8")
    tables = read_layout(path, "paysim")
    load_df(tables.customers, "customers")
    load_df(tables.merchants, "merchants")
    with pytest.raises(InvalidDataError, match=r"transaction_type: must be one of .*SWAP"):
        load_df(tables.transactions, "transactions")


@pytest.mark.skipif(
    not HANDBOOK.exists(),
    reason=f"the handbook's data are not at {HANDBOOK} (set SYNFIN_SHARED_DATA to their folder)",
)
def test_the_handbook_itself_loses_no_row_silently(manager):
    tables = read_layout(HANDBOOK, "handbook")
    counts = tables.transactions.select(pl.len(), pl.col("amount").eq(0).sum().alias("zero"))
    assert counts.collect().row(0) == (1_754_155, 42)
    assert [len(table.collect()) for table in tables[:2]] == [4_990, 10_000]
    slice_ = tables._replace(transactions=tables.transactions.head(60_000))
    report = slice_.load(manager=manager)["transactions"]
    zero = slice_.transactions.filter(amount=0.0).collect()
    assert (report.inserted, report.rejected_rows) == (60_000 - len(zero), len(zero))
    assert report.rejected["reason"].eq("must be above 0").all()


# -- Loading ---------------------------------------------------------------------------------------


def test_all_three_are_loaded_at_once_and_again(file, manager):
    with pytest.warns(RejectedLabelsWarning, match="0 of the 1 labelled rows"):
        reports = read_layout(file("banksim"), "banksim").load(on_invalid="reject")
    assert [reports[table].inserted for table in reports] == [2, 2, 2]
    assert reports["transactions"].rejected["column"].tolist() == ["amount"]
    more = FILES["banksim"].replace("0,'C35'", "40,'C36'").splitlines()
    later = Path(file("banksim")).with_name("later.csv")
    later.write_text("\n".join([more[0], more[2].replace("0.0", "1.0")]), encoding="utf-8")
    layout = LAYOUTS["banksim"]
    changed_layout = Layout(
        {**layout.transactions, "transaction_id": pl.lit("new")}, layout.customers
    )
    assert read_layout(later, changed_layout).load()["customers"].inserted == 1


def test_a_load_that_breaks_off_leaves_nothing(file, manager):
    tables = read_layout(file("banksim"), "banksim")
    broken = tables._replace(transactions=tables.transactions.drop("amount"))
    with pytest.raises(InvalidDataError, match="amount: is required"):
        broken.load()
    assert read_df("SELECT count(*) AS n FROM customers")["n"][0] == 0


def test_a_load_joins_a_session(file, session):
    read_layout(file("paysim"), "paysim").load(session=session)
    session.rollback()
    assert read_df("SELECT count(*) AS n FROM transactions")["n"][0] == 0


def test_the_command_takes_a_layout(file, manager, tmp_path):
    rejected = tmp_path / "rejected.csv"
    arguments = ["load", str(file("handbook")), "--layout", "handbook"]
    arguments += ["--on-invalid", "reject", "--rejected", str(rejected)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "transactions: 2 inserted, 0 skipped, 1 rejected" in result.output
    assert pd.read_csv(rejected)["row"].tolist() == [1]
    for wrong in (["--column", "A=b"], ["--on-conflict", "skip"]):
        result = CliRunner().invoke(main, [*arguments, *wrong])
        assert "cannot be combined with --column" in " ".join(result.output.split())
    result = CliRunner().invoke(main, arguments[:2])
    assert "Specify either TABLE or --layout" in result.output


# -- One's own -------------------------------------------------------------------------------------


def test_the_layout_of_the_documentation_runs(tmp_path, monkeypatch, manager):
    text = (Path(__file__).parents[2] / "docs" / "guide" / "layouts.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("payments.csv").write_text("id,client,shop,cents,paid_at\n1,7,A,995,2026-03-01T10:00:00\n")
    own = next(block for block in blocks if "mine = Layout(" in block)
    space: dict = {}
    exec(compile(own, "layouts.md", "exec"), space)
    assert read_df("transactions")["amount"].tolist() == [9.95]


OWN = {"transaction_id": "id", "customer_id": "who", "merchant_id": "shop", "amount": "eur"}


def test_texts_of_moments_are_the_loaders_to_read_or_to_refuse(tmp_path, manager):
    """Of 03/04 nobody knows which is the month: nothing is guessed, and nothing breaks off."""
    path = tmp_path / "own.csv"
    path.write_text(
        "id,who,shop,eur,at\n1,C,S,5,2026-03-01 10:00:00\n2,C,S,5,2026-03-01T10:00+02:00\n"
        "3,C,S,5,03/04/2026 10:00\n4,C,S,5,soon\n5,C,S,5,\n",
        encoding="utf-8",
    )
    report = read_layout(path, Layout(OWN | {"timestamp": "at"})).load(on_invalid="reject")[
        "transactions"
    ]
    assert report.inserted == 2
    reasons = report.rejected["reason"].str.split(",").str[0].tolist()
    assert report.rejected["row"].tolist() == [2, 3, 4]
    assert reasons == ["is not a date and time in the years 1 to 9999"] * 2 + [
        "is required but missing"
    ]
    stored = read_df("transactions", output="polars").sort("transaction_id")["timestamp"]
    assert stored.to_list() == [moment(2026, 3, 1, 10), moment(2026, 3, 1, 8)]


def test_cents_may_begin_far_down_a_csv_file(tmp_path, manager):
    path = tmp_path / "own.csv"
    lines = [f"{row},C,S,{'7' if row <= 12_000 else '7.25'},2026-03-01" for row in range(1, 12_003)]
    path.write_text("\n".join(["id,who,shop,eur,at", *lines]), encoding="utf-8")
    report = read_layout(path, Layout(OWN | {"timestamp": "at"})).load()["transactions"]
    assert report.inserted == 12_002
    assert read_df("SELECT sum(amount) AS total FROM transactions")["total"].item() == 84_014.5


def test_an_expression_says_how_moments_are_written(tmp_path):
    frame = pl.DataFrame({"id": [1], "who": [2], "shop": [3], "eur": [4.5], "at": ["03/04/2026"]})
    at = pl.col("at").str.to_datetime("%d/%m/%Y")
    tables = read_layout(frame, Layout(OWN | {"timestamp": at}))
    assert rows(tables.transactions, "timestamp") == [(moment(2026, 4, 3),)]


def test_a_file_of_another_layout_is_named(file):
    with pytest.raises(ArgumentError, match=r"'handbook': it lacks .*TX_DATETIME.*'paysim'\."):
        read_layout(file("paysim"), "handbook")
    frame = pl.read_csv(file("handbook")).drop("TX_FRAUD", "TX_AMOUNT")
    with pytest.raises(ArgumentError, match=r"lacks the columns TX_AMOUNT and TX_FRAUD\."):
        read_layout(frame, "handbook")
    with pytest.raises(ArgumentError, match="It resembles the layout 'handbook'"):
        read_layout(frame, "sparkov")


def test_a_file_of_no_known_layout_shows_its_columns(file):
    with pytest.raises(ArgumentError, match=r"lacks the columns .* Its columns are 'V1', 'Class'"):
        read_layout(pd.DataFrame({"V1": [0.1], "Class": [0]}), "handbook")


def test_an_unknown_layout_comes_with_the_nearest():
    with pytest.raises(NotFoundError, match=r"layout 'handbok'.*'handbook'"):
        read_layout("any.csv", "handbok")


def test_a_layout_that_cannot_be_is_refused():
    needed = {"customer_id": "a", "merchant_id": "b", "amount": "c"}
    with pytest.raises(ArgumentError, match=r"must map customer_id, .*; timestamp is missing"):
        Layout(needed)
    with pytest.raises(NotFoundError, match=r"'ammount' in 'transactions'.*'amount'"):
        Layout({"ammount": "x"})
    with pytest.raises(
        ArgumentError, match=r"amount of 'transactions' in .* must be the name .*; got 3"
    ):
        Layout(OWN | {"amount": 3, "timestamp": "at"})
    with pytest.raises(
        ArgumentError, match=r"`transactions` of a layout must be a dict .* got int"
    ):
        Layout(3)
    with pytest.raises(ArgumentError, match=r"`layout` must be .* a Layout\(\{.*\}\) .*; got dict"):
        read_layout("any.csv", OWN)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("absent.csv", "The file 'absent.csv' does not exist"),
        (Path(__file__), r"must be a file of Parquet .*; got '\.py'"),
        (7, "The data must be a pandas, polars, pyarrow, Dask or PySpark frame, .* got int"),
        (np.zeros(3), r"The data must be .* got numpy\.ndarray"),
    ],
)
def test_a_path_that_is_no_file_is_reported(source, words):
    with pytest.raises(ArgumentError, match=words):
        read_layout(source, "handbook")


def test_two_columns_of_one_name_are_reported(file):
    frame = pd.read_csv(file("paysim"))
    with pytest.raises(ArgumentError, match=r"got more than one column named step\.$"):
        read_layout(pd.concat([frame, frame["step"]], axis=1), "paysim")


def test_a_column_that_a_csv_file_repeats_is_refused_unless_it_is_named(csv_file, manager):
    path = csv_file(f"{HEAD},amount\n1,C,M,5,2026-01-01,6\n")
    for read in (lambda: read_layout(path, Layout(PLAIN)), lambda: load_df(path, "transactions")):
        with pytest.raises(ArgumentError, match=r"got more than one column named amount\.$"):
            read()
    second = Layout(PLAIN | {"amount": "amount.1"})
    assert rows(read_layout(path, second).transactions, "amount") == [(6.0,)]
    columns = {"amount": None, "amount.1": "amount"}
    load_df(path, "transactions", columns=columns, on_missing_parent="create")
    assert read_df("transactions")["amount"].tolist() == [6.0]


def test_an_empty_csv_file_is_reported(tmp_path):
    path = tmp_path / "empty.csv"
    path.touch()
    with pytest.raises(ArgumentError, match=r"empty\.csv' cannot be read as CSV: it is empty"):
        read_layout(path, "handbook")


def test_an_invalid_start_is_reported(file):
    with pytest.raises(ArgumentError, match=r"^`start` must be a date or a time.* got 'yester"):
        read_layout(file("paysim"), "paysim", start="yesterday")


def test_a_parquet_file_that_is_broken_is_reported(tmp_path):
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"no parquet at all")
    with pytest.raises(ArgumentError, match=r"broken\.parquet' cannot be read"):
        read_layout(path, "handbook")


def test_several_files_and_folders_are_one(file, tmp_path):
    frame = pl.read_csv(file("paysim"))
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(2):
        frame.write_parquet(folder / f"{number}.parquet")
    for source in (folder, sorted(folder.iterdir()), [file("paysim")] * 2):
        tables = read_layout(source, "paysim")
        assert rows(tables.transactions, "transaction_id")[-1] == ("6",)
        assert "lazy, 8 columns" in repr(tables)


# -- One reader for CSV ----------------------------------------------------------------------------

PLAIN = {
    name: name for name in ("transaction_id", "customer_id", "merchant_id", "amount", "timestamp")
}
HEAD = ",".join(PLAIN)
GENERATED = """\
ssn|cc_num|first|last|gender|street|city|state|zip|lat|long|city_pop|job|dob|acct_num|profile|\
trans_num|trans_date|trans_time|unix_time|category|amt|is_fraud|merchant|merch_lat|merch_long
1-2|4361337605230458|Ann|Example|F|1 Road|Here|OH|44870|41.4|-82.7|32|Chief|1987-06-12|9|young|\
91ab|2023-08-16|00:34:57|1692146097|gas_transport|69.12|0|fraud_Shop|41.3|-82.1
1-2|4361337605230458|Ann|Example|F|1 Road|Here|OH|44870|41.4|-82.7|32|Chief|1987-06-12|9|young|\
0715|2023-08-16|02:10:41|1692151841|shopping_net|68.11|1|fraud_Shop|41.1|-81.1
"""


@pytest.fixture
def csv_file(tmp_path):
    def written(text: str, name: str = "own.csv") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return written


def counts() -> list[int]:
    tables = ("customers", "merchants", "transactions")
    return [read_df(f"SELECT count(*) AS n FROM {table}")["n"].item() for table in tables]


def test_one_dirty_cell_refuses_one_row(csv_file, manager):
    lines = [f"T{n},C{n},M,{'n/a' if n == 5 else 2.5},2026-01-01" for n in range(10)]
    tables = read_layout(csv_file("\n".join([HEAD, *lines])), Layout(PLAIN))
    report = tables.load(on_invalid="reject")["transactions"]
    assert report.inserted == 9
    assert report.rejected.values.tolist() == [[5, "amount", "n/a", "is not a number"]]


def test_labels_may_begin_far_down(csv_file, manager):
    lines = [f"T{n},C,M,2.5,2026-01-01,{'' if n < 10_500 else n % 2}" for n in range(11_000)]
    path = csv_file("\n".join([f"{HEAD},is_fraud", *lines]))
    read_layout(path, Layout(PLAIN | {"is_fraud": "is_fraud"})).load()
    query = (
        "SELECT count(is_fraud) AS n, count(*) FILTER (WHERE is_fraud) AS frauds FROM transactions"
    )
    assert read_df(query).values.tolist() == [[500, 250]]


def test_leading_zeros_stay_within_an_expression(csv_file):
    layout = Layout(PLAIN | {"customer_id": pl.lit("c-") + pl.col("customer_id")})
    path = csv_file(f"{HEAD}\n1,007,M,1,2026-01-01\n")
    assert rows(read_layout(path, layout).transactions, "customer_id") == [("c-007",)]


def test_days_without_rows_change_nothing_of_the_others(csv_file, manager):
    empty = csv_file(f"{HEAD}\n", "1.csv")
    full = csv_file(f"{HEAD}\n1,C,M,2.50,2026-01-01\n".replace(",", ";"), "2.csv")
    read_layout([empty, full], Layout(PLAIN)).load()
    assert read_df("transactions")["amount"].tolist() == [2.5]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("UP.CSV", ("", "")),
        ("tabs.tsv", (",", "\t")),
        ("cr.csv", ("\n", "\r")),
        ("short.csv", ("2.00,2026-01-02", "2.00")),
        ("twice.csv", (HEAD, f"{HEAD},x,x")),
        ("quoted.csv", ("2.00", '""')),
        ("days.csv", ("2026-01-02", "20260102")),
    ],
)
def test_a_file_is_to_a_layout_what_it_is_to_load_df(csv_file, session, name, change):
    text = f"{HEAD}\n1,C,M,12.50,2026-01-01\n2,C,M,2.00,2026-01-02\n"
    path = csv_file(text.replace(*change), name)

    def outcome(load) -> tuple:
        try:
            report = load()
        except ArgumentError as error:
            return (str(error),)
        finally:
            session.rollback()
        return report.inserted, report.rejected.values.tolist()

    options = {"session": session, "on_invalid": "reject"}
    assert outcome(
        lambda: load_df(path, "transactions", on_missing_parent="create", **options)
    ) == outcome(lambda: read_layout(path, Layout(PLAIN)).load(**options)["transactions"])


CENTS = f"{HEAD},more\n1,C,M,995,2026-01-01,0\n2,C,M,n/a,2026-01-01,0\n".replace("amount", "cents")


@pytest.mark.parametrize(
    "amount", [pl.col("cents") / 100, pl.col("cents").cast(pl.Int64) / 100], ids=["plain", "cast"]
)
def test_a_cell_that_an_expression_cannot_compute_refuses_its_row(csv_file, manager, amount):
    tables = read_layout(csv_file(CENTS), Layout(PLAIN | {"amount": amount}))
    report = tables.load(on_invalid="reject")["transactions"]
    assert read_df("transactions")["amount"].tolist() == [9.95]
    reason = "is not a number according to the expression of the layout"
    assert report.rejected.values.tolist() == [[1, "amount", "n/a", reason]]
    with pytest.raises(ArgumentError, match=r"amount is not a number .*: row 1 .* value 'n/a'"):
        tables.transactions.collect()
    assert len(tables.transactions.select("transaction_id").collect()) == 2


def test_a_failing_expression_over_several_rows_reports_the_message_of_its_library(
    csv_file, manager
):
    """It has no row of its own to refuse; values are left out, which may be personal."""
    amount = pl.col("cents").cast(pl.Float64) / pl.col("cents").cast(pl.Float64).max()
    tables = read_layout(csv_file(CENTS), Layout(PLAIN | {"amount": amount}))
    with pytest.raises(ArgumentError, match="failed in column 'cents' for 1 out of 2") as caught:
        tables.load(on_invalid="reject")
    assert "n/a" not in str(caught.value)
    assert counts() == [0, 0, 0]


def test_texts_are_added_as_numbers_where_a_number_is_wanted(csv_file):
    path = csv_file(HEAD.replace("amount", "net,fee") + "\n1,C,M,9.50,0.75,2026-01-01\n")
    layout = Layout(PLAIN | {"amount": pl.col("net") + pl.col("fee")})
    assert rows(read_layout(path, layout).transactions, "amount") == [(10.25,)]


def test_a_fault_of_a_raw_text_is_not_undone_by_the_loaders_own_reading(csv_file, manager):
    """2026-01-02 is a date, but not one in the format of the expression."""
    path = csv_file(f"{HEAD}\n1,C,M,1,31/01/2026\n2,C,M,1,2026-01-02\n")
    layout = Layout(PLAIN | {"timestamp": pl.col("timestamp").str.to_datetime("%d/%m/%Y")})
    report = read_layout(path, layout).load(on_invalid="reject")["transactions"]
    assert report.rejected["value"].tolist() == ["2026-01-02"]
    assert read_df("transactions")["timestamp"].tolist() == [moment(2026, 1, 31)]


def test_an_expression_that_its_columns_do_not_allow_is_refused(csv_file):
    path = csv_file(f"{HEAD}\n1,C,M,1,2026-01-01\n")
    with pytest.raises(ArgumentError, match=r"'customer_id' must be valid for .* Columns of a CSV"):
        read_layout(path, Layout(PLAIN | {"customer_id": pl.col("customer_id").dt.year()}))


def test_cells_are_written_as_the_options_say(csv_file, manager):
    head = f"{HEAD},dob".replace(",", ";")
    path = csv_file(f"{head}\n1;C;M;1.234,50 €;31.01.2026 10:00;01.02.1990\n")
    layout = Layout(PLAIN, customers={"date_of_birth": "dob"})
    read_layout(
        path, layout, decimal=",", thousands=".", currency="€", date_format="%d.%m.%Y %H:%M",
        timezone="Europe/Berlin",
    ).load()  # fmt: skip
    assert read_df("transactions")["amount"].tolist() == [1234.5]
    assert read_df("transactions")["timestamp"].tolist() == [moment(2026, 1, 31, 9)]
    assert read_df("customers")["date_of_birth"].tolist() == [dt.date(1990, 2, 1)]


# -- Every kind of source --------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_layouts())
@pytest.mark.parametrize("kind", [*frames_of.FRAMES, "texts"])
def test_known_layouts_are_read_from_frames_as_from_files(name, kind, file):
    frame = pl.read_csv(file(name), infer_schema=kind != "texts")
    source = frame if kind == "texts" else frames_of.KINDS[kind](frame, file(name).parent)
    result = read_layout(source, name).transactions.collect()
    expected = read_layout(file(name), name).transactions.collect()
    for column in ("amount", "timestamp", "is_fraud"):
        assert result[column].cast(expected[column].dtype).to_list() == expected[column].to_list()


def test_selectors_are_columns_of_a_layout_too():
    frame = pl.DataFrame({"id": ["1"], "a": ["x"], "b": ["y"], "eur": [1.5], "at": ["2026-01-01"]})
    own = {"transaction_id": "id", "merchant_id": "a", "amount": "eur", "timestamp": "at"}
    layout = Layout(own | {"customer_id": pl.concat_str(pl.col("a", "b"), separator="-")})
    assert layout.columns == ("id", "a", "eur", "at", "b")
    for source in (frame, frame.to_pandas(), frame.lazy()):
        assert rows(read_layout(source, layout).transactions, "customer_id") == [("x-y",)]


def test_cells_of_mixed_types_are_read_one_by_one(manager):
    frame = pd.DataFrame({
        "transaction_id": ["a", 2], "customer_id": "C", "merchant_id": "M",
        "amount": pd.Series([1.5, "1,000.00"], dtype=object), "timestamp": "2026-01-01",
    })  # fmt: skip
    report = read_layout(frame, Layout(PLAIN)).load(on_invalid="reject")["transactions"]
    assert (report.inserted, report.rejected["value"].tolist()) == (1, ["1,000.00"])


def test_folders_keep_the_columns_of_their_names_and_each_file_its_types(tmp_path, manager):
    for country, amount in (("DE", 1.5), ("00042", 2)):
        folder = tmp_path / "all" / f"country={country}"
        folder.mkdir(parents=True)
        row = {"transaction_id": country, "customer_id": "C", "merchant_id": "M", "amount": amount}
        pl.DataFrame([row | {"timestamp": "2026-01-01"}]).write_parquet(folder / "part.parquet")
    read_layout(tmp_path / "all", Layout(PLAIN | {"city": "country"})).load()
    query = "SELECT transaction_id, city, amount FROM transactions ORDER BY 1"
    assert read_df(query, output="polars").rows() == [("00042", "00042", 2.0), ("DE", "DE", 1.5)]


@pytest.mark.parametrize("source", ["s3://bucket/a.parquet", ["https://example.org/a.csv"]])
def test_addresses_are_refused_with_what_to_do(source):
    with pytest.raises(ArgumentError, match=r"got a URI.*pl\.scan_parquet"):
        read_layout(source, "handbook")


def test_sparkov_is_read_as_its_generator_writes_it(csv_file, manager):
    path = csv_file(GENERATED)
    assert detect_layout(GENERATED.splitlines()[0].split("|")) == "sparkov"
    read_layout(path, "sparkov").load()
    query = "SELECT timestamp, amount, is_online, is_fraud FROM transactions ORDER BY 1"
    assert read_df(query, output="polars").rows() == [
        (moment(2023, 8, 16, 0, 34, 57), 69.12, None, False),
        (moment(2023, 8, 16, 2, 10, 41), 68.11, True, True),
    ]


# -- What is refused -------------------------------------------------------------------------------


def test_a_load_raises_for_invalid_rows_unless_it_may_reject_them(csv_file, manager):
    path = csv_file(f"{HEAD}\n1,C,M,1,2026-01-01\n2,D,M,1.234,2026-01-01\n")
    with pytest.raises(InvalidDataError, match="amount: has more than 2 decimals"):
        read_layout(path, Layout(PLAIN)).load()
    assert counts() == [0, 0, 0]


def test_parents_of_refused_rows_only_are_not_left_behind(csv_file, manager):
    path = csv_file(f"{HEAD}\n1,C,M,1,soon\n")
    reports = read_layout(path, Layout(PLAIN)).load(on_invalid="reject")
    assert [report.inserted for report in reports.values()] == [0, 0, 0]
    assert counts() == [0, 0, 0]


def test_refused_frauds_are_counted_and_a_changed_rate_is_a_warning(csv_file, manager):
    lines = [f"{n},C,M,{'10.123' if n < 2 else 10},2026-01-01,{int(n < 3)}" for n in range(10)]
    path = csv_file("\n".join([f"{HEAD},is_fraud", *lines]))
    tables = read_layout(path, Layout(PLAIN | {"is_fraud": "is_fraud"}))
    with pytest.warns(
        RejectedLabelsWarning, match=r"2 of the 2 .* is 30\.000%.* ones it is 12\.500%"
    ):
        report = tables.load(on_invalid="reject")["transactions"]
    assert "2 rejected (2 of them labelled fraud)" in repr(report)


def test_the_command_refuses_as_the_call_does(csv_file, manager):
    lines = [f"{n};C;M;{'1,2' if n else '1,234'};2026-01-01;{int(n < 1)}" for n in range(4)]
    head = "TRANSACTION_ID;CUSTOMER_ID;TERMINAL_ID;TX_AMOUNT;TX_DATETIME;TX_FRAUD;TX_FRAUD_SCENARIO"
    path = csv_file("\n".join([head, *(f"{line};0" for line in lines)]))
    arguments = ["load", str(path), "--layout", "handbook", "--decimal", ","]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, counts()) == (1, [0, 0, 0])
    assert "amount: has more than 2 decimals" in result.stderr
    result = CliRunner().invoke(main, [*arguments, "--on-invalid", "reject"])
    assert (result.exit_code, counts()) == (0, [1, 1, 3])
    assert "1 rejected (1 of them labelled fraud)" in result.stdout
    assert "Warning: 1 of the 1 labelled rows that were rejected are fraud" in result.stderr


def test_the_command_says_what_cannot_be_read_far_down_a_file(csv_file, manager):
    lines = [
        f"1,PAYMENT,{'n/a' if n == 12_000 else 12.5},C{n},0,0,M1,0,0,0,0" for n in range(12_100)
    ]
    path = csv_file("\n".join([FILES["paysim"].splitlines()[0], *lines]))
    result = CliRunner().invoke(main, ["load", str(path), "--layout", "paysim"])
    assert result.exit_code == 1
    assert "amount: is not a number: 1 row: 12,000 (such as 'n/a')" in result.stderr


def test_the_command_fails_if_every_row_was_refused(csv_file, manager):
    path = csv_file(f"{HEAD}\n1,C,M,1,soon\n")
    arguments = [
        "load",
        str(path),
        "transactions",
        "--on-missing-parent",
        "create",
        "--on-invalid",
        "reject",
    ]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "All rows were rejected" in result.stderr
