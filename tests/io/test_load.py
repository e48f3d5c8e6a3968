"""load_df: what it accepts, what it refuses and in which words, what it leaves behind."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from frames_of import transactions
from sqlalchemy import func, select, text

from synfin_analytics.database.models import (
    Customer,
    FraudPattern,
    Merchant,
    MLFeatures,
    ModelPrediction,
    Transaction,
)
from synfin_analytics.exceptions import ArgumentError, InvalidDataError, NotFoundError
from synfin_analytics.io.load import _load_df as load
from synfin_analytics.io.load import _write as writer
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

if TYPE_CHECKING:
    from synfin_analytics.database.manager import DatabaseManager

pytestmark = pytest.mark.usefixtures("manager")


def _count(manager: DatabaseManager, model: type[Any] = Transaction) -> int:
    with manager.get_session() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


def _problems(error: InvalidDataError) -> dict[str, str]:
    return {problem.column: problem.reason for problem in error.problems}


def _parents(height: int = 2) -> None:
    load_df(pl.DataFrame({"customer_id": [f"C{n}" for n in range(height)]}), "customers")
    load_df(pl.DataFrame({"merchant_id": ["M1"]}), "merchants")


# -- Tables and columns -----------------------------------------------------------------------


def test_a_table_is_named_by_its_name_or_its_model() -> None:
    assert load_df(pl.DataFrame({"merchant_id": ["a"]}), "merchants").inserted == 1
    assert load_df(pl.DataFrame({"merchant_id": ["b"]}), Merchant).inserted == 1


def test_an_unknown_table_comes_with_the_nearest() -> None:
    with pytest.raises(
        NotFoundError, match=r"no table 'transaction'\. Did you mean 'transactions'"
    ):
        load_df(transactions(), "transaction")


def test_unknown_and_missing_columns_are_reported_together_with_the_nearest_names() -> None:
    frame = transactions().rename({"amount": "TX_AMOUNT", "merchant_id": "shop"})
    with pytest.raises(InvalidDataError) as caught:
        load_df(frame, "transactions")
    problems = _problems(caught.value)
    assert set(problems) == {"TX_AMOUNT", "shop", "amount", "merchant_id"}
    assert "did you mean amount" in problems["TX_AMOUNT"]
    assert "is it 'TX_AMOUNT' of the data" in problems["amount"]


def test_columns_are_renamed_and_left_out_by_a_mapping() -> None:
    frame = transactions().rename({"amount": "TX_AMOUNT"}).with_columns(extra=pl.lit(1))
    columns = {"TX_AMOUNT": "amount", "extra": None}
    report = load_df(frame, "transactions", columns=columns, on_missing_parent="create")
    assert report.inserted == 3


def test_a_mapping_of_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(
        NotFoundError, match=r"no column 'amuont' in the data\. Did you mean 'amount'"
    ):
        load_df(transactions(), "transactions", columns={"amuont": "amount"})


def test_two_columns_cannot_become_the_same() -> None:
    frame = transactions().with_columns(amount2=pl.col("amount"))
    with pytest.raises(ArgumentError, match="'amount' and 'amount2' of the data would both"):
        load_df(frame, "transactions", columns={"amount2": "amount"})


@pytest.mark.parametrize(
    "option", ["on_invalid", "on_missing_parent", "on_conflict", "rebuild_indexes"]
)
def test_an_option_that_does_not_exist_is_refused(option: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{option}` must be one of"):
        load_df(transactions(), "transactions", **{option: "perhaps"})


def test_something_that_is_no_frame_is_refused() -> None:
    with pytest.raises(ArgumentError, match="got int"):
        load_df(5, "transactions")


# -- Good and bad rows ------------------------------------------------------------------------


def test_one_error_lists_every_problem_and_nothing_is_loaded(manager: DatabaseManager) -> None:
    _parents()
    frame = transactions(
        6,
        amount=[10.0, 0.0, 1.234, 1e12, float("nan"), 5.0],
        channel=["pos", "moon", None, "atm", "online", "pos"],
        customer_id=["C0", "C1", "C0", "C1", "C0", "nobody"],
    )
    with pytest.raises(InvalidDataError) as caught:
        load_df(frame, "transactions")
    error = caught.value
    assert error.table == "transactions"
    assert error.columns == ("amount", "channel", "customer_id")
    assert {(p.column, p.rows) for p in error.problems} == {
        ("amount", (1,)),
        ("amount", (2,)),
        ("amount", (3,)),
        ("amount", (4,)),
        ("channel", (1,)),
        ("customer_id", (5,)),
    }
    assert list(error.to_frame()["count"]) == [1] * 6
    assert _count(manager) == 0


def test_a_message_has_the_first_few_rows_and_the_count() -> None:
    with pytest.raises(InvalidDataError) as caught:
        load_df(transactions(9, amount=[0.0] * 9), "transactions", on_missing_parent="create")
    assert "amount: must be above 0: 9 rows: 0, 1, 2, 3, 4 and 4 more (such as 0.0)" in str(
        caught.value
    )


def test_rejected_rows_are_reported_and_the_good_ones_loaded(manager: DatabaseManager) -> None:
    frame = transactions(4, amount=[1.0, 0.0, 3.0, -2.0])
    report = load_df(frame, "transactions", on_invalid="reject", on_missing_parent="create")
    assert (report.inserted, report.rejected_rows) == (2, 2)
    assert report.rejected.to_dict("list") == {
        "row": [1, 3],
        "column": ["amount", "amount"],
        "value": ["0.0", "-2.0"],
        "reason": ["must be above 0", "must be above 0"],
    }
    assert _count(manager) == 2


def test_values_of_personal_data_are_never_shown() -> None:
    secret = "someone@example.org" * 20
    frame = pl.DataFrame({"customer_id": ["C1"], "email": [secret]})
    with pytest.raises(InvalidDataError) as caught:
        load_df(frame, "customers")
    assert "someone" not in str(caught.value) + repr(caught.value.problems)
    report = load_df(frame, "customers", on_invalid="reject")
    assert "someone" not in report.rejected.to_string() + repr(report) + report._repr_html_()


def test_a_float_is_refused_rather_than_rounded() -> None:
    with pytest.raises(InvalidDataError, match="more than 2 decimals"):
        load_df(transactions(1, amount=[12.345]), "transactions", on_missing_parent="create")


def test_a_float_that_represents_two_decimals_is_exact() -> None:
    amounts = [0.01, 0.1, 1.15, 9_999_999_999.99, 2.675]
    frame = transactions(5, amount=amounts)
    report = load_df(frame, "transactions", on_missing_parent="create", on_invalid="reject")
    assert report.rejected["row"].to_list() == [4]
    stored = read_df(
        select(Transaction.amount).order_by(Transaction.transaction_id), use_decimal=True
    )
    assert [str(value) for value in stored["amount"]] == ["0.01", "0.10", "1.15", "9999999999.99"]


def test_the_noise_of_floating_point_is_no_decimal() -> None:
    noisy = [17.13 * 5, 0.1 + 0.2, 85.64999999999999]
    assert [str(value) for value in noisy] != ["85.65", "0.3", "85.65"]
    for name, frame in (
        ("floats", transactions(3, amount=noisy)),
        ("objects", transactions(3, amount=noisy).to_dicts()),
    ):
        report = load_df(frame, "transactions", on_missing_parent="create", on_conflict="update")
        assert report.inserted + report.updated == 3, name
        stored = read_df(
            "SELECT amount FROM transactions ORDER BY transaction_id", use_decimal=True
        )
        assert [str(value) for value in stored["amount"]] == ["85.65", "0.30", "85.65"]


def test_single_precision_floats_stand_for_the_decimals_that_they_show() -> None:
    frame = transactions(1).with_columns(amount=pl.lit(12.34, pl.Float32))
    load_df(frame, "transactions", on_missing_parent="create")
    assert read_df("transactions", use_decimal=True)["amount"].astype(str).to_list() == ["12.34"]


def test_integers_serve_as_identifiers_and_0_and_1_as_booleans() -> None:
    frame = transactions(2, transaction_id=[7, 8], is_fraud=[0, 1])
    load_df(frame, "transactions", on_missing_parent="create")
    stored = read_df("transactions")
    assert stored["transaction_id"].to_list() == ["7", "8"]
    assert stored["is_fraud"].to_list() == [False, True]


def test_nan_of_numpy_is_missing_but_nan_of_polars_is_a_value() -> None:
    frame = transactions(2, fraud_score=[0.5, np.nan])
    with pytest.raises(InvalidDataError, match="fraud_score: is NaN or infinite"):
        load_df(frame, "transactions", on_missing_parent="create")
    load_df(frame.to_pandas(), "transactions", on_missing_parent="create")
    assert read_df("transactions")["fraud_score"].isna().to_list() == [False, True]


def test_naive_timestamps_are_utc_and_others_are_converted(manager: DatabaseManager) -> None:
    naive = pd.DataFrame({"timestamp": [pd.Timestamp("2024-03-02 13:00")]})
    aware = pd.DataFrame({"timestamp": [pd.Timestamp("2024-03-02 14:00", tz="Europe/Berlin")]})
    for name, frame in (("naive", naive), ("aware", aware)):
        rows = transactions(1, transaction_id=[name]).drop("timestamp").to_pandas()
        load_df(rows.assign(timestamp=frame["timestamp"]), "transactions",
                on_missing_parent="create")  # fmt: skip
    moments = read_df("transactions")["timestamp"]
    assert set(moments) == {pd.Timestamp("2024-03-02 13:00", tz="UTC")}


def test_timestamps_finer_than_microseconds_are_refused() -> None:
    frame = transactions(1).to_pandas()
    frame["timestamp"] = pd.Series(["2024-01-01T00:00:00.000000001Z"], dtype="datetime64[ns, UTC]")
    with pytest.raises(InvalidDataError, match="more precise than microseconds"):
        load_df(frame, "transactions", on_missing_parent="create")


def test_texts_of_iso_8601_serve_as_timestamps() -> None:
    frame = transactions(2, timestamp=["2024-03-02T13:00:00+02:00", "2024-03-02 13:00"])
    load_df(frame, "transactions", on_missing_parent="create")
    assert read_df("transactions")["hour_of_day"].to_list() == [11, 13]


def test_a_sql_fragment_stays_a_value() -> None:
    fragment = "'); DROP TABLE transactions; --"
    load_df(transactions(1, transaction_id=[fragment]), "transactions", on_missing_parent="create")
    assert read_df("transactions")["transaction_id"].to_list() == [fragment]


# -- Derived columns --------------------------------------------------------------------------


def test_the_loader_and_the_triggers_derive_the_same(manager: DatabaseManager) -> None:
    start = dt.datetime(2023, 12, 31, tzinfo=dt.UTC)
    moments = [start + dt.timedelta(hours=7 * n, minutes=n) for n in range(60)]
    load_df(transactions(60, timestamp=moments), "transactions", on_missing_parent="create")
    derived = ", ".join(
        column.name for column in Transaction.__table__.columns if column.info.get("derived")
    )
    by_loader = read_df(f"SELECT {derived} FROM transactions ORDER BY timestamp")
    with manager.session_scope() as session:
        session.execute(text("CREATE TEMP TABLE kept ON COMMIT DROP AS TABLE transactions"))
        session.execute(text("DELETE FROM transactions"))
        session.execute(
            text(
                "INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, "
                "timestamp) SELECT transaction_id, customer_id, merchant_id, amount, timestamp "
                "FROM kept"
            )
        )
    by_trigger = read_df(f"SELECT {derived} FROM transactions ORDER BY timestamp")
    pd.testing.assert_frame_equal(by_loader, by_trigger)


def test_derived_values_that_are_given_are_kept_and_gaps_filled() -> None:
    frame = transactions(2, hour_of_day=[3, None])
    load_df(frame, "transactions", on_missing_parent="create")
    stored = read_df("SELECT hour_of_day FROM transactions ORDER BY transaction_id")
    assert stored["hour_of_day"].to_list() == [3, 13]


def test_is_correct_follows_and_a_contradiction_is_refused(manager: DatabaseManager) -> None:
    load_df(transactions(2), "transactions", on_missing_parent="create")
    frame = pl.DataFrame(
        {
            "transaction_id": ["T0", "T1"],
            "model_name": ["rf", "rf"],
            "model_version": ["1", "1"],
            "prediction": [True, False],
            "ground_truth": [True, True],
        }
    )
    wrong = frame.with_columns(is_correct=pl.lit(True))
    with pytest.raises(InvalidDataError, match="is_correct: contradicts"):
        load_df(wrong, ModelPrediction)
    load_df(frame, ModelPrediction)
    stored = read_df(select(ModelPrediction.is_correct).order_by(ModelPrediction.transaction_id))
    assert stored["is_correct"].to_list() == [True, False]


# -- Keys and parents -------------------------------------------------------------------------


def test_a_key_that_the_data_have_twice_is_refused_in_its_later_row() -> None:
    frame = transactions(3, transaction_id=["a", "b", "a"])
    report = load_df(frame, "transactions", on_missing_parent="create", on_invalid="reject")
    assert report.inserted == 2
    assert report.rejected[["row", "column", "value"]].to_numpy().tolist() == [
        [2, "transaction_id", "a"]
    ]


def test_a_bad_row_does_not_take_a_good_one_with_the_same_key_along() -> None:
    frame = transactions(2, transaction_id=["a", "a"], amount=[0.0, 5.0])
    report = load_df(frame, "transactions", on_missing_parent="create", on_invalid="reject")
    assert report.inserted == 1
    assert read_df("transactions")["amount"].to_list() == [5.0]


@pytest.mark.parametrize("batch", [2, 3, 100])
@pytest.mark.parametrize("rebuild", [True, False], ids=["rebuilt", "in place"])
def test_keys_repeated_far_apart_are_found_whatever_the_batches(
    batch: int, rebuild: bool, monkeypatch: pytest.MonkeyPatch, manager: DatabaseManager
) -> None:
    monkeypatch.setattr(load, "BATCH_ROWS", batch)
    monkeypatch.setattr(writer, "MIN_ROWS_TO_REBUILD", 1 if rebuild else 10**9)
    keys = ["a", "b", "c", "d", "a", "e", "b", "a"]
    frame = transactions(8, transaction_id=keys, amount=[1.0, 0.0, *[2.0] * 6])
    report = load_df(frame, "transactions", on_missing_parent="create", on_invalid="reject")
    by_reason = report.rejected.groupby("column")["row"].agg(list).to_dict()
    assert by_reason["amount"] == [1]
    assert set(by_reason["transaction_id"]) >= {4, 7}
    assert report.inserted == _count(manager) == len({"a", "b", "c", "d", "e"})
    with pytest.raises(InvalidDataError):
        load_df(frame.with_columns(transaction_id=pl.col("transaction_id") + "x"), "transactions")


@pytest.mark.parametrize("batch", [2, 100])
def test_an_update_with_a_key_twice_is_refused_whatever_the_batches(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_df(transactions(1, transaction_id=["a"]), "transactions", on_missing_parent="create")
    monkeypatch.setattr(load, "BATCH_ROWS", batch)
    frame = transactions(5, transaction_id=["a", "b", "c", "a", "b"])
    with pytest.raises(InvalidDataError) as caught:
        load_df(frame, "transactions", on_missing_parent="create", on_conflict="update")
    (problem,) = caught.value.problems
    assert problem.rows == (3, 4)


def test_a_key_that_the_table_has_is_refused(manager: DatabaseManager) -> None:
    load_df(transactions(2), "transactions", on_missing_parent="create")
    with pytest.raises(InvalidDataError, match="the table has this key already: 2 rows: 0, 1"):
        load_df(transactions(3), "transactions", on_missing_parent="create")
    assert _count(manager) == 2


def test_a_key_that_the_table_has_can_be_skipped() -> None:
    load_df(transactions(2), "transactions", on_missing_parent="create")
    frame = transactions(3, amount=[99.0] * 3)
    report = load_df(frame, "transactions", on_missing_parent="create", on_conflict="skip")
    assert (report.inserted, report.skipped, report.updated) == (1, 2, 0)
    assert sorted(read_df("transactions")["amount"]) == [10.5, 11.5, 99.0]


def test_an_update_changes_the_columns_given_and_no_others(manager: DatabaseManager) -> None:
    load_df(transactions(2, city=["Rome", "Oslo"]), "transactions", on_missing_parent="create")
    before = read_df("transactions").set_index("transaction_id")
    frame = transactions(3, amount=[99.0] * 3)
    report = load_df(frame, "transactions", on_missing_parent="create", on_conflict="update")
    assert (report.inserted, report.updated) == (1, 2)
    after = read_df("transactions").set_index("transaction_id").sort_index()
    assert after["amount"].to_list() == [99.0] * 3
    assert after["city"].to_list()[:2] == ["Rome", "Oslo"]
    assert after.loc["T0", "created_at"] == before.loc["T0", "created_at"]
    assert after.loc["T0", "updated_at"] > before.loc["T0", "updated_at"]


def test_labels_that_come_late_need_no_more_than_the_key() -> None:
    load_df(transactions(3), "transactions", on_missing_parent="create")
    labels = pl.DataFrame({"transaction_id": ["T0", "T2"], "is_fraud": [True, False]})
    report = load_df(labels, "transactions", on_conflict="update")
    assert report.updated == 2
    stored = read_df("SELECT is_fraud FROM transactions ORDER BY transaction_id")
    assert stored["is_fraud"].to_list() == [True, pd.NA, False]
    unknown = labels.with_columns(transaction_id=pl.lit("new-") + pl.col("transaction_id"))
    with pytest.raises(InvalidDataError, match="matches no row to update, and a new row needs"):
        load_df(unknown, "transactions", on_conflict="update")


def test_an_update_of_the_timestamp_moves_what_follows_from_it() -> None:
    load_df(transactions(1), "transactions", on_missing_parent="create")
    change = transactions(1, timestamp=[dt.datetime(2024, 7, 1, 2, tzinfo=dt.UTC)])
    load_df(change, "transactions", on_conflict="update")
    stored = read_df("transactions").iloc[0]
    assert (stored["hour_of_day"], stored["month"], stored["time_of_day_category"]) == (
        2,
        7,
        "night",
    )


def test_missing_parents_are_refused_by_row_and_name() -> None:
    with pytest.raises(InvalidDataError) as caught:
        load_df(transactions(3), "transactions")
    assert {(p.column, p.rows, p.samples) for p in caught.value.problems} == {
        ("customer_id", (0, 1, 2), ("'C0'", "'C1'")),
        ("merchant_id", (0, 1, 2), ("'M1'",)),
    }


def test_missing_parents_are_created_for_good_rows_only(manager: DatabaseManager) -> None:
    frame = transactions(3, amount=[1.0, 0.0, 1.0])  # C1 has the bad row alone
    load_df(frame, "transactions", on_missing_parent="create", on_invalid="reject")
    assert (_count(manager, Customer), _count(manager, Merchant)) == (1, 1)


def test_parents_are_not_created_for_tables_whose_parents_are_more_than_a_key() -> None:
    with pytest.raises(ArgumentError, match="Load 'transactions' first"):
        load_df(pl.DataFrame({"transaction_id": ["T"]}), MLFeatures, on_missing_parent="create")


def test_a_natural_key_serves_where_the_primary_key_counts_itself(manager: DatabaseManager) -> None:
    load_df(transactions(1), "transactions", on_missing_parent="create")
    frame = pl.DataFrame({"transaction_id": ["T0"], "amount_log": [1.0]})
    load_df(frame, MLFeatures)
    report = load_df(frame.with_columns(amount_log=pl.lit(2.0)), MLFeatures, on_conflict="update")
    assert (report.inserted, report.updated) == (0, 1)
    assert read_df("ml_features")["amount_log"].to_list() == [2.0]


def test_a_second_unique_column_is_checked_too(manager: DatabaseManager) -> None:
    load_df(pl.DataFrame({"customer_id": ["C1"], "email": ["a@example.org"]}), "customers")
    frame = pl.DataFrame({"customer_id": ["C2", "C1"], "email": ["a@example.org", None]})
    for conflict in ("error", "update"):
        with pytest.raises(InvalidDataError) as caught:
            load_df(frame, "customers", on_conflict=conflict)
        assert ("email", (0,)) in {(p.column, p.rows) for p in caught.value.problems}
    again = pl.DataFrame({"customer_id": ["C1"], "email": ["a@example.org"], "age": [40]})
    assert load_df(again, "customers", on_conflict="update").updated == 1


def test_numbers_that_were_given_are_not_counted_again(manager: DatabaseManager) -> None:
    load_df(pl.DataFrame({"id": [41, 7], "pattern_type": ["a", "b"]}), FraudPattern)
    load_df(pl.DataFrame({"pattern_type": ["c"]}), FraudPattern)
    stored = read_df("SELECT id FROM fraud_patterns WHERE pattern_type = 'c'")
    assert stored["id"].to_list() == [42]


def test_a_conflict_needs_a_key_in_the_data() -> None:
    with pytest.raises(ArgumentError, match=r'must be "error" for data without a key \(id'):
        load_df(pl.DataFrame({"pattern_type": ["a"]}), FraudPattern, on_conflict="skip")


# -- Large loads ------------------------------------------------------------------------------


def _catalog() -> pd.DataFrame:
    return read_df(
        "SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace UNION ALL "
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
    )


@pytest.mark.parametrize("rebuild_indexes", ["always", "auto", "never"])
def test_keys_and_indexes_are_afterwards_as_they_were(
    rebuild_indexes: Any, monkeypatch: pytest.MonkeyPatch, manager: DatabaseManager
) -> None:
    monkeypatch.setattr(writer, "MIN_ROWS_TO_REBUILD", 1)
    before = _catalog()
    load_df(
        transactions(50),
        "transactions",
        on_missing_parent="create",
        rebuild_indexes=rebuild_indexes,
    )
    second = transactions(50).with_columns(transaction_id=pl.lit("b") + pl.col("transaction_id"))
    load_df(second, "transactions", rebuild_indexes=rebuild_indexes)
    with pytest.raises(InvalidDataError, match="key already"):
        load_df(second, "transactions", rebuild_indexes=rebuild_indexes)
    pd.testing.assert_frame_equal(_catalog(), before)
    assert _count(manager) == 100


def test_rebuild_indexes_always_says_why_it_is_not_possible(manager: DatabaseManager) -> None:
    with manager.session_scope() as session:
        session.execute(
            text(
                "CREATE VIEW per_row AS SELECT transaction_id, max(amount) FROM transactions "
                "GROUP BY transaction_id, city, transactions.timestamp"
            )
        )
    load_df(transactions(5), "transactions", on_missing_parent="create", rebuild_indexes="always")
    with manager.session_scope() as session:
        session.execute(text("DROP VIEW per_row"))
    assert _count(manager) == 5


# -- The report -------------------------------------------------------------------------------


def test_the_report_summarizes_the_load_in_text_and_html() -> None:
    frame = transactions(3, amount=[1.0, 0.0, 1.0])
    report = load_df(frame, "transactions", on_missing_parent="create", on_invalid="reject")
    assert repr(report).startswith("LoadReport(transactions: 2 inserted, 0 skipped, 1 rejected; ")
    assert "<li>amount must be above 0: 1</li>" in report._repr_html_()
    assert report.rows_per_second == pytest.approx(2 / report.seconds)


def test_no_rows_are_no_problem_but_their_columns_are_checked() -> None:
    assert load_df(transactions(0), "transactions").inserted == 0
    with pytest.raises(InvalidDataError, match="nonsense: is not a column"):
        load_df(transactions(0).with_columns(nonsense=pl.lit(1)), "transactions")
