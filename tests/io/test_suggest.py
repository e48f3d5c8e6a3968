"""`suggest_columns` and `synfin inspect`: mapping, rejected cells, and calls that run."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import shlex
from typing import TYPE_CHECKING, Any

import frames_of
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from workbooks import write_workbook

import synfin_analytics
from synfin_analytics import DatabaseManager, load_df, read_df, suggest_columns
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.cli import main
from synfin_analytics.exceptions import ArgumentError, RejectedLabelsWarning
from synfin_analytics.io.layouts._detect import Shapes, detect_dates, detect_numbers
from synfin_analytics.io.layouts.layout import spec_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Columns of a small data set, by their subject.
CELLS: dict[str, list[Any]] = {
    "transaction_id": ["A1", "A2", "A3", "A4"],
    "customer_id": ["C1", "C2", "C1", "C3"],
    "merchant_id": ["M1", "M1", "M2", "M2"],
    "amount": [12.5, 7.25, 1300.0, 4.0],
    "timestamp": ["2026-01-31 10:00", "2026-02-01 11:30", "2026-02-01 12:00", "2026-02-02 09:15"],
    "is_fraud": [0, 0, 1, 0],
    "fraud_score": [0.01, 0.2, 0.9, 0.3],
    "card_id": ["k1", "k2", "k1", "k3"],
}


def data(**names: str) -> pl.DataFrame:
    """The data set with some of its columns, under other names."""
    return pl.DataFrame({name: CELLS[subject] for subject, name in names.items()})


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a file into the working directory, and return its name."""
    monkeypatch.chdir(tmp_path)

    def written(text: str, name: str = "own.csv", encoding: str = "utf-8") -> str:
        (tmp_path / name).write_text(text, encoding=encoding)
        return name

    return written


def run(code: str, **names: Any) -> dict[str, Any]:
    """Run a call as pasted; the value of its last expression is `result`."""
    lines = code.splitlines()
    first = max(n for n, line in enumerate(lines) if line and line[0] not in " )}")
    space: dict[str, Any] = names
    exec("\n".join(lines[:first]), space)
    space["result"] = eval("\n".join(lines[first:]), space)
    return space


# -- Names and cells -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "names"),
    [
        (
            "is_fraud",
            "isFraud is_fraud Class fraud_bool label TX_FRAUD Betrug fraude Is_Laundering",
        ),
        (
            "timestamp",
            "TX_DATETIME trans_date_trans_time when Buchungsdatum horodatage Fecha Datum",
        ),
        ("amount", "amt TransactionAmt Betrag montant importe TX_AMOUNT transaction_amount Umsatz"),
        ("customer_id", "customer nameOrig Kunde Kundennummer client cliente User account_id IBAN"),
        ("card_id", "cc_num card1 Kartennummer numero_carte tarjeta"),
        ("merchant_id", "merchant nameDest Händler commerçant comercio shop_id vendor Empfänger"),
        ("transaction_id", "trans_num TransactionID txn_id Transaktions-Nr. id_transaccion ID"),
        ("fraud_score", "p score proba pred fraud_score prediction_rf Wahrscheinlichkeit p1"),
    ],
)
def test_a_column_is_recognised_by_its_usual_names(subject, names):
    for name in names.split() + ["Transaktions-Nr."] * (subject == "transaction_id"):
        columns = {column: column for column in CELLS if column != subject}
        suggestion = suggest_columns(data(**columns, **{subject: name}))
        assert suggestion.mapping[name] == subject, name
        assert suggestion.problems == ()


def test_each_suggestion_has_a_confidence_and_a_reason():
    rows = data(is_fraud="Class", fraud_score="my_score", timestamp="on").rows(named=True)
    suggestion = suggest_columns([row | {"colour": "red"} for row in rows])
    assert [(column.column, column.confidence) for column in suggestion.columns] == [
        ("Class", "high"), ("my_score", "medium"), ("on", "low"), ("colour", None),
    ]  # fmt: skip
    assert [column.reason for column in suggestion.columns] == [
        "its name is a usual one, and its values are '0' and '1' (25.0% positive)",
        "its name contains 'score', and its values are from 0 to 1",
        "its texts are dates such as '2026-01-31 10:00'",
        "neither its name nor its cells are known",
    ]
    assert suggestion.unmapped == ("colour",)


def test_cells_decide_between_columns_of_similar_names():
    frame = data(amount="amount_eur", is_fraud="fraud").with_columns(
        customer_age=pl.Series([31, 40, 31, 77]),
        merchant_category=pl.Series(["food", "food", "fuel", "fuel"]),
        date_of_birth=pl.Series(["1990-01-01", "1980-01-01", "1990-01-01", "1949-05-05"]),
        fraud_confidence=pl.Series([0.0, 0.0, 0.7, 0.0]),
        credit_score=pl.Series([310, 850, 777, 500]),
    )
    assert suggest_columns(frame).mapping == {
        "amount_eur": "amount",
        "fraud": "is_fraud",
        "customer_age": None,
        "merchant_category": "merchant_category",
        "date_of_birth": None,
        "fraud_confidence": None,
        "credit_score": None,
    }


def test_headers_of_banks_and_of_public_data_sets_are_understood(write):
    german = write(
        "Buchungstag;Verwendungszweck;Beguenstigter/Zahlungspflichtiger;Kontonummer/IBAN;Betrag;"
        "Waehrung\n31.01.26;Miete;Haus GmbH;DE89370400440532013000;1.234,56;EUR\n"
        "01.02.26;Einkauf;Kiosk;DE89370400440532013000;12,30;EUR\n"
    )
    suggestion = suggest_columns(german)
    assert list(suggestion.mapping.values()) == [
        "timestamp", None, "merchant_id", "customer_id", "amount", "currency",
    ]  # fmt: skip
    assert suggestion.options["date_format"] == "%d.%m.%y"
    scores = write(
        "account_no,txn_dt,txn_amt,mcc_code,distance_from_home,label,model_a,model_b\n"
        "A1,20260131,12.5,5411,3.5,0,0.1,0.3\nA2,20260201,99.9,5812,0.1,1,0.9,0.4\n",
        "scores.csv",
    )
    suggestion = suggest_columns(scores)
    assert list(suggestion.mapping.values()) == [
        "customer_id", "timestamp", "amount", "merchant_category", "distance_from_home", "is_fraud",
        "fraud_score", None,
    ]  # fmt: skip
    assert suggestion.columns[-1].parameter == "compare_with"
    assert 'compare_with="model_b"' in suggestion.calls["model_report"]


def test_each_column_of_the_table_is_suggested_once():
    frame = pl.DataFrame({"amount": [1.5, 2.5], "amt": [1.5, 2.5], "Betrag": [1.5, 2.5]})
    suggestion = suggest_columns(frame)
    assert suggestion.mapping == {"amount": "amount", "amt": None, "Betrag": None}
    assert suggestion.columns[1].reason == "it may be amount, but 'amount' fits better"


def test_ibans_are_customers_whatever_their_column_is_called():
    frame = pl.DataFrame({"x1": ["DE89370400440532013000", "FR1420041010050500013M02606"]})
    column = suggest_columns(frame).columns[0]
    assert (column.target, column.reason) == ("customer_id", "its texts look like IBANs")
    assert "DE89" not in repr(suggest_columns(frame))


def test_card_numbers_are_to_be_replaced_by_tokens():
    frame = pl.DataFrame({"n": ["4361337605230458", "4111 1111 1111 1111", "5500000000000004"]})
    suggestion = suggest_columns(frame)
    assert suggestion.mapping == {"n": "customer_id"}
    assert suggestion.columns[0].reason == ("it identifies the card, and no column names customers")
    assert "card numbers: replace them by tokens before you load them" in suggestion.notes[0]
    assert "4361" not in repr(suggestion)


def test_without_merchants_terminals_are_merchants():
    frame = pl.DataFrame({"terminal": ["T1", "T2"], "customer": ["C1", "C1"]})
    assert suggest_columns(frame).mapping["terminal"] == "merchant_id"


def test_the_scores_of_another_model_are_to_compare_with():
    frame = data(is_fraud="y", fraud_score="p").with_columns(p2=pl.Series([0.5, 0.1, 0.2, 0.3]))
    column = suggest_columns(frame).columns[-1]
    assert (column.target, column.parameter) == (None, "compare_with")


@pytest.mark.parametrize("kind", frames_of.KINDS)
def test_every_kind_of_data_gets_the_same_suggestions(kind, tmp_path):
    frame = data(
        transaction_id="id", customer_id="client", merchant_id="shop", amount="eur",
        timestamp="when", is_fraud="Class", fraud_score="p",
    )  # fmt: skip
    suggestion = suggest_columns(frames_of.KINDS[kind](frame, tmp_path))
    assert suggestion.rows == 4
    assert list(suggestion.mapping.values()) == list(CELLS)[:7]
    assert (suggestion.missing, suggestion.problems) == ((), ())


def test_a_stream_of_dicts_can_be_read_once_only():
    rows = data(amount="eur", timestamp="when").rows(named=True)
    assert suggest_columns(iter(rows)).mapping == {"eur": "amount", "when": "timestamp"}


@pytest.mark.parametrize("frame", [pl.DataFrame(), pl.DataFrame({"amount": []}), pd.DataFrame()])
def test_data_without_rows_have_suggestions_too(frame):
    suggestion = suggest_columns(frame)
    assert suggestion.rows == 0
    assert suggestion.problems == ()


def test_several_files_are_one_data_set(write, manager):
    first, second = frames_of.transactions(4)[:2], frames_of.transactions(4)[2:]
    paths = [write(first.write_csv(), "1.csv"), write(second.write_csv(), "2.csv")]
    suggestion = suggest_columns(paths)
    assert (suggestion.source, suggestion.rows) == ("1.csv, 2.csv", 4)
    run(suggestion.calls["read_layout"])
    assert read_df("SELECT count(*) AS n FROM transactions")["n"][0] == 4
    result = CliRunner().invoke(main, ["inspect", *paths])
    assert result.stdout == f"{suggestion!r}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("149.62,0,2026-01-01\n2.69,1,2026-01-02\n", "The first line looks like data"),
        ("amt~when\n5~2026-01-01\n", "The file has one column. If another character"),
        ("amt,x,x\n5,1,2\n", "The header repeats 'x': the later columns are numbered"),
    ],
)
def test_a_header_that_may_be_wrong_is_named(text, words, write):
    assert words in suggest_columns(write(text)).notes[0]


def test_the_call_for_a_header_that_repeats_a_name_runs(write, manager):
    text = frames_of.transactions(2).with_columns(x=pl.lit("a")).write_csv()
    lines = [f"{line},{'x' if n == 0 else 'b'}" for n, line in enumerate(text.splitlines())]
    calls = suggest_columns(write("\n".join(lines))).calls
    assert "read_layout" not in calls
    assert run(calls["load_df"])["result"].inserted == 2


def test_a_file_that_is_not_there_is_an_error():
    with pytest.raises(ArgumentError, match=r"The file 'absent\.csv' does not exist"):
        suggest_columns("absent.csv")


# -- How the data are written ----------------------------------------------------------------------

GERMAN = """\
Buchung;Kunde;Händler;Betrag;Betrug;Wahrscheinlichkeit;Nr.
31.01.2026 10:00;Köhler;Bäcker;EUR 1.234,56;ja;0,91;1
01.02.2026 11:30;Weiß;Bäcker;EUR 7,90;nein;0,02;2
02.02.2026 09:05;Weiß;Kiosk;EUR 12,00;nein;0,5;3
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_german_file_is_recognised_in_any_encoding(encoding, write, manager):
    suggestion = suggest_columns(write(GERMAN, encoding=encoding))
    assert suggestion.options.pop("encoding", "utf-8") == encoding.removesuffix("-sig")
    assert suggestion.options == {
        "decimal": ",",
        "thousands": ".",
        "date_format": "%d.%m.%Y %H:%M",
        "currency": True,
    }
    assert suggestion.detected[0] == "separator=';' (semicolon)"
    assert 'date_format="%d.%m.%Y %H:%M", as in 31.01.2026 14:30' in suggestion.detected
    assert (suggestion.missing, suggestion.problems) == (("transaction_id",), ())
    run(suggestion.calls["read_layout"])
    stored = read_df("SELECT amount, is_fraud, fraud_score FROM transactions ORDER BY timestamp")
    assert stored.values.tolist() == [[1234.56, True, 0.91], [7.9, False, 0.02], [12, False, 0.5]]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_detected(separator, write):
    text = data(amount="amt", is_fraud="Class").write_csv(separator=separator)
    suggestion = suggest_columns(write(text))
    assert suggestion.mapping == {"amt": "amount", "Class": "is_fraud"}
    assert suggestion.detected[0].startswith(f"separator={separator!r} (")


def test_a_date_that_may_be_either_is_named_as_ambiguous(write):
    path = write("when,amt\n01/02/2026,5.00\n03/02/2026,6.00\n")
    suggestion = suggest_columns(path)
    assert suggestion.notes[0] == (
        "The dates may be dd/mm or mm/dd: both fit, for example in '01/02/2026'. The calls assume "
        'dd/mm; otherwise pass date_format="%m/%d/%Y".'
    )
    decided = suggest_columns(path, date_format="%m/%d/%Y")
    assert decided.options["date_format"] == "%m/%d/%Y"
    assert "mm/dd" not in repr(decided)


def test_one_date_far_down_decides(write):
    lines = ["01/02/2026"] * 20_000 + ["02/13/2026"]
    suggestion = suggest_columns(write("\n".join(["when", *lines])))
    assert suggestion.options["date_format"] == "%m/%d/%Y"
    assert suggestion.problems == ()


def test_a_mark_before_three_digits_is_named_as_ambiguous(write):
    suggestion = suggest_columns(write('amt\n"1,250"\n"3,000"\n'))
    assert suggestion.options == {"thousands": ","}
    assert "The comma in numbers such as '1,250' was taken as a separator" in suggestion.notes[0]


_MARKS = st.sampled_from([(".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", "'")])
_AMOUNTS = st.lists(st.decimals(1000, 9_999_999, places=2), min_size=1, max_size=20)


@given(amounts=_AMOUNTS, marks=_MARKS, sign=st.sampled_from(["", "€", "EUR ", "$"]))
def test_numbers_are_read_as_they_were_written(amounts, marks, sign):
    decimal, thousands = marks
    swap = str.maketrans({",": thousands, ".": decimal})
    texts = pl.Series([sign + f"{amount:,.2f}".translate(swap) for amount in amounts])
    column = Shapes(spec_for("transactions").columns["amount"]).add(texts)
    options = detect_numbers([column], ReadOptions())
    assert (options.decimal_mark, options.thousands or "") == marks
    assert bool(options.currency) == bool(sign)
    assert column.count_valid(options) == len(amounts)


_FORMATS = [
    "%d/%m/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%d.%m.%y", "%Y/%m/%d %H:%M:%S", "%d-%b-%Y",
    "%d.%m.%Y %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S%z", "%d/%m/%Y, %H:%M", "%B %d, %Y",
]  # fmt: skip


@given(
    times=st.lists(
        st.integers(0, 2_000_000_000).map(lambda second: dt.datetime.fromtimestamp(second, dt.UTC)),
        min_size=1, max_size=10,
    ),
    date_format=st.sampled_from(_FORMATS),
)  # fmt: skip
def test_dates_are_read_as_they_were_written(times, date_format):
    # No 28th month, and "Sep" is not its full name, as "May" is.
    times.append(dt.datetime(2026, 9, 28, 13, 30, 5, 250_000, tzinfo=dt.UTC))
    texts = pl.Series([time.strftime(date_format) for time in times])
    column = Shapes(spec_for("transactions").columns["timestamp"]).add(texts)
    formats = detect_dates(column, ReadOptions())
    assert formats[0] in (date_format, None)
    assert column.count_valid(ReadOptions(date_format=formats[0])) == len(times)


def test_times_of_day_in_a_column_of_their_own_are_joined(write, manager):
    path = write("id,who,shop,amt,day,time\n1,C,M,5.00,31/01/2026,10:30\n")
    suggestion = suggest_columns(path)
    assert [column.target for column in suggestion.columns[-2:]] == ["timestamp", "timestamp"]
    run(suggestion.calls["read_layout"])
    assert read_df("transactions")["timestamp"][0] == pd.Timestamp("2026-01-31 10:30", tz="UTC")


@pytest.mark.parametrize(
    ("name", "cells", "first"),
    [
        ("step", [1, 2], "2020-01-01 01:00"),
        ("TransactionDT", [86400, 86401], "2020-01-02 00:00"),
        ("unix_time", [1692146097, 1692151841], "2023-08-16 00:34:57"),
        ("ts", [1692146097000, 1692151841000], "2023-08-16 00:34:57"),
    ],
)
def test_numbers_that_count_time_are_converted(name, cells, first, write, manager):
    frame = data(customer_id="who", merchant_id="shop", amount="amt")[:2]
    suggestion = suggest_columns(frame.with_columns(pl.Series(name, cells)))
    assert suggestion.mapping[name] == "timestamp"
    run(suggestion.calls["read_layout"], df=frame.with_columns(pl.Series(name, cells)))
    assert read_df("transactions")["timestamp"].min() == pd.Timestamp(first, tz="UTC")


# -- Labels and scores -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("genuine", "fraud"), [("no", "yes"), ("N", "Y"), ("Nein", "Ja"), ("non", "oui"), ("no", "sí")]
)
def test_labels_that_are_words_are_named_and_converted(genuine, fraud, write, manager):
    frame = data(customer_id="who", merchant_id="shop", amount="amt", timestamp="when")
    frame = frame.with_columns(fraud=pl.Series([genuine, fraud, genuine, genuine]))
    suggestion = suggest_columns(frame)
    assert (
        f"The labels in 'fraud' are words: {genuine!r} is false, {fraud!r} is true"
        in suggestion.notes[0]
    )
    run(suggestion.calls["read_layout"], df=frame)
    assert read_df("SELECT count(*) FILTER (WHERE is_fraud) AS n FROM transactions")["n"][0] == 1


@pytest.mark.parametrize(
    ("scores", "words", "stored"),
    [
        ([12.5, 97.0, 0.5, 55.0], "percentages", 0.97),
        ([-3.0, 0.0, -1.5, -7.0], "log-odds", 0.5),
    ],
)
def test_scores_that_are_no_probabilities_are_named_and_converted(scores, words, stored, manager):
    frame = data(customer_id="who", merchant_id="shop", amount="amt", timestamp="when")
    frame = frame.with_columns(
        p=pl.Series([*scores[:3], -scores[3] if words == "log-odds" else 1.0])
    )
    suggestion = suggest_columns(frame)
    assert f"The scores in 'p' are {words}, not probabilities from 0 to 1" in suggestion.notes[0]
    run(suggestion.calls["read_layout"], df=frame)
    assert stored in read_df("transactions")["fraud_score"].round(9).tolist()


def test_a_constant_score_and_a_single_class_are_named():
    frame = pl.DataFrame({"Class": [0, 0], "p": [0.5, 0.5]})
    assert suggest_columns(frame).notes[:2] == (
        "All scores in 'p' are equal: they rank nothing.",
        "All labels in 'Class' mean genuine: a model cannot be evaluated on one class.",
    )


def test_frauds_may_begin_far_down(write, manager):
    frame = frames_of.transactions(12_000).with_columns(
        fraud=pl.when(pl.int_range(pl.len()) < 11_990).then(pl.lit("no")).otherwise(pl.lit("yes")),
        p=pl.lit(0.5),
    )
    suggestion = suggest_columns(frame)
    assert suggestion.problems == ()
    assert 'replace_strict({"no": False, "yes": True})' in suggestion.calls["read_layout"]
    assert "one class" not in repr(suggestion)
    assert "All scores in 'p' are equal" in repr(suggestion)


# -- What would be rejected ------------------------------------------------------------------------


def test_dirty_cells_are_listed_with_their_rows(write):
    lines = [f"T{n},C{n},M,{'n/a' if n == 5 else 2.5},2026-01-01,{n % 2}" for n in range(10)]
    lines[7] = "T7,C7,M,-1,soon,2"
    head = "id,who,shop,amt,when,label"
    suggestion = suggest_columns(write("\n".join([head, *lines])))
    assert [str(problem) for problem in suggestion.problems] == [
        "amount: is not a number: 1 row: 5 (such as 'n/a')",
        "amount: must be above 0: 1 row: 7 (such as '-1')",
        "timestamp: is not a date and time in the years 1 to 9999, such as "
        "2024-03-01T12:30:00+01:00: 1 row: 7 (such as 'soon')",
    ]
    assert suggestion.rejected_rows == 2


_TEXTS = st.sampled_from(["12.50", "0", "-3", "n/a", "", "1e3", "7", "1.234", "99999999999", " 4 "])
_TIMES = st.sampled_from(["2026-01-31 10:00", "2026-02-30", "31/01/2026", "", "now", "20260131"])


@given(
    rows=st.lists(st.tuples(st.sampled_from("abcd"), _TEXTS, _TIMES), min_size=1, max_size=12),
)
@settings(max_examples=15)
def test_what_is_listed_is_what_a_load_rejects(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    lines = [f"{key},C,M,{amount},{time}" for key, amount, time in rows]
    head = "transaction_id,customer_id,merchant_id,amount,timestamp"
    path.write_text("\n".join([head, *lines]), encoding="utf-8")
    suggestion = suggest_columns(path)
    manager = DatabaseManager()
    manager.create_all_tables()
    with manager.get_session() as session:  # never committed
        report = load_df(
            path, "transactions", session=session, on_invalid="reject",
            on_missing_parent="create", **suggestion.options,
        )  # fmt: skip
        session.rollback()
    manager.close()
    listed = {(problem.column, problem.reason, row) for problem in suggestion.problems
              for row in problem.rows}  # fmt: skip
    cells = report.rejected[["column", "reason", "row"]]
    assert listed == set(cells.itertuples(index=False, name=None))
    assert suggestion.rejected_rows == report.rejected_rows


def test_an_optional_column_that_the_table_rejects_is_left_out():
    frame = frames_of.transactions(4).with_columns(
        channel=pl.Series(["WEB", "SHOP", "WEB", "pos"]),
        fraud_score=pl.Series([310, 850, 777, 500]),
    )
    suggestion = suggest_columns(frame)
    assert (suggestion.rejected_rows, suggestion.unmapped) == (0, ("channel", "fraud_score"))
    assert suggestion.columns[-1].reason == (
        "fraud_score would reject most of its cells: must be from 0 to 1"
    )


def test_negative_amounts_come_with_a_remedy(write, manager):
    text = "Kunde;Laden;Betrag;Datum\nK1;L1;-1.234,50;2026-01-31\nK2;L1;-7,90;2026-02-01\n"
    suggestion = suggest_columns(write(text))
    assert 'write pl.col("Betrag").abs() in the layout' in " ".join(suggestion.notes)
    code = suggestion.calls["read_layout"].replace(
        '"amount": "Betrag"', '"amount": pl.col("Betrag").abs()'
    )
    run(code, pl=pl)
    assert read_df("transactions")["amount"].tolist() == [1234.5, 7.9]


def test_keys_that_repeat_far_away_are_listed():
    ids = [f"T{n}" for n in range(70_000)]
    ids[69_999] = "T1"
    suggestion = suggest_columns(pl.DataFrame({"transaction_id": ids, "amount": [5.0] * 70_000}))
    assert [str(problem) for problem in suggestion.problems] == [
        "transaction_id: repeats the key of another row of the data: 1 row: 69,999"
    ]


# -- Calls -----------------------------------------------------------------------------------------


def test_the_call_of_load_df_runs(write, manager):
    frame = data(
        transaction_id="id", customer_id="client", merchant_id="shop", amount="amt",
        timestamp="when", is_fraud="Class",
    ).with_columns(remark=pl.lit('5 % "off"'))  # fmt: skip
    suggestion = suggest_columns(write(frame.write_csv(separator=";")))
    assert (
        suggestion.calls["load_df"]
        == """\
from synfin_analytics import load_df

load_df(
    "own.csv",
    "transactions",
    columns={
        "id": "transaction_id",
        "client": "customer_id",
        "shop": "merchant_id",
        "amt": "amount",
        "when": "timestamp",
        "Class": "is_fraud",
        "remark": None,
    },
    on_missing_parent="create",
)"""
    )
    assert run(suggestion.calls["load_df"])["result"].inserted == 4
    assert list(suggestion.calls) == [
        "load_df",
        "read_layout",
        "synfin load",
        "fraud_report",
        "synfin report fraud",
    ]


def test_the_command_runs(write, manager):
    path = write(GERMAN.replace("ja", "1").replace("nein", "0").replace("Nr.", "Transaktions-ID"))
    words = shlex.split(suggest_columns(path).calls["synfin load"])
    assert words[:3] == ["synfin", "load", "own.csv"]
    result = CliRunner().invoke(main, words[1:])
    assert result.exit_code == 0, result.output
    assert "3 inserted" in result.output


def test_the_calls_for_data_with_dirty_rows_leave_these_out(write, manager):
    frame = frames_of.transactions(4, amount=[5.0, 0.0, 7.5, 8.125])
    suggestion = suggest_columns(write(frame.write_csv()))
    assert suggestion.rejected_rows == 2
    for call in ("load_df", "read_layout"):
        assert 'on_invalid="reject"' in suggestion.calls[call]
    run(suggestion.calls["read_layout"])
    assert read_df("SELECT count(*) AS n FROM transactions")["n"][0] == 2


def test_data_with_many_other_columns_get_a_layout(manager):
    frame = frames_of.transactions(3).with_columns(pl.lit(0.5).alias(f"V{n}") for n in range(1, 29))
    suggestion = suggest_columns(frame)
    assert list(suggestion.calls) == ["read_layout"]
    run(suggestion.calls["read_layout"], df=frame)
    assert read_df("SELECT count(*) AS n FROM transactions")["n"][0] == 3


def test_a_public_data_set_gets_its_layout(write, manager):
    path = write(
        "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO\n"
        "0,2018-04-01 00:00:31,596,3156,57.16,0,0\n1,2018-04-01 00:02:10,596,3412,0.0,1,1\n"
    )
    suggestion = suggest_columns(path)
    assert suggestion.layout == "handbook"
    assert suggestion.mapping["TERMINAL_ID"] == "merchant_id, terminal_id"
    assert (
        suggestion.calls["synfin load"]
        == "synfin load own.csv --layout handbook --on-invalid reject"
    )
    assert [problem.rows for problem in suggestion.problems] == [(1,)]
    with pytest.warns(RejectedLabelsWarning):
        run(suggestion.calls["read_layout"])
    assert read_df("transactions")["is_fraud"].tolist() == [False]


ULB = {"Time": [0, 1, 2], **{f"V{n}": [0.1, -1.5, 0.3] for n in range(1, 29)},
       "Amount": [149.62, 2.69, 378.66], "Class": [0, 1, 0]}  # fmt: skip
BAF = {"fraud_bool": [0, 1], "income": [0.9, 0.2], "name_email_similarity": [0.1, 0.8],
       "month": [0, 7]}  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "name"),
    [(ULB, "creditcard.csv of the ULB"), (BAF, "The data set Bank Account Fraud (BAF)")],
)
def test_data_without_customers_get_what_works_on_the_frame(columns, name, write):
    frame = pl.DataFrame(columns).with_columns(score=pl.lit(0.5))
    path = write(frame.write_csv())
    for source in (path, frame, frame.to_pandas()):
        suggestion = suggest_columns(source)
        assert f"{name} names no customers and no merchants" in suggestion.notes[-1]
        assert "load_df" not in suggestion.calls
        rates = run(suggestion.calls["fraud_rate"], df=source)["result"]
        assert int(rates["frauds"][0]) == 1
        evaluation = run(suggestion.calls["evaluate"], df=source)["result"]
        assert evaluation.confusion.tp == 1
    with pytest.raises(ArgumentError, match="names no customers and no merchants"):
        synfin_analytics.read_layout(path, "handbook")


def test_labels_and_scores_of_data_without_customers_are_converted(write):
    text = "verdict,score\n" + "".join(f"{'yes' if n > 7 else 'no'},{10 * n}\n" for n in range(10))
    path = write(text.replace("verdict", "fraud"))
    evaluation = run(suggest_columns(path).calls["evaluate"])["result"]
    assert evaluation.roc_auc == 1.0


@pytest.mark.parametrize("kind", ["xlsx", "jsonl", "csv.gz"])
@pytest.mark.parametrize("amounts", [[5.5, 1250.0], ["5.5", "1250.0"], ["5,5", "1.250,0"]])
def test_the_calls_for_files_of_other_formats_run(kind, amounts, tmp_path, manager, monkeypatch):
    monkeypatch.chdir(tmp_path)
    head = ["id", "client", "shop", "amt", "when", "Class"]
    rows = [
        [f"T{n}", "C", "M", amount, f"2026-01-0{n + 1} 10:00", n]
        for n, amount in enumerate(amounts)
    ]
    path = tmp_path / f"own.{kind}"
    if kind == "xlsx":
        write_workbook(path, {"all": [head, *rows]})
    elif kind == "jsonl":
        lines = [json.dumps(dict(zip(head, row, strict=True))) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        text = "\n".join(";".join(map(str, row)) for row in [head, *rows])
        path.write_bytes(gzip.compress(text.encode()))
    suggestion = suggest_columns(path.name)
    assert (suggestion.rows, suggestion.problems, suggestion.missing) == (2, (), ())
    assert run(suggestion.calls["load_df"])["result"].inserted == 2
    assert read_df("SELECT sum(amount) AS total FROM transactions")["total"][0] == 1255.5


# -- Reports ---------------------------------------------------------------------------------------


def scored(**names: str) -> pl.DataFrame:
    """Two months of scored transactions, with some of their columns under other names."""
    rows = range(240)
    columns = {
        "is_fraud": [int(n % 12 == 0) for n in rows],
        "fraud_score": [round((n * 37 % 100) / 200 + 0.4 * (n % 12 == 0), 3) for n in rows],
        "timestamp": [
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=6 * n) for n in rows
        ],
        "customer_id": [f"C{n * 7 % 31}" for n in rows],
        "merchant_id": [f"M{n % 9}" for n in rows],
        "amount": [10 + n * 53 % 400 + 0.5 for n in rows],
        "channel": [("online", "pos")[n % 2] for n in rows],
    }
    return pl.DataFrame({name: columns[subject] for subject, name in names.items()})


ALL = {"is_fraud": "isFraud", "fraud_score": "p", "timestamp": "when", "customer_id": "client",
       "merchant_id": "shop", "amount": "amt", "channel": "channel"}  # fmt: skip


def test_the_calls_of_reports_name_all_columns(write):
    frame = scored(**ALL).with_columns(p2=pl.lit(0.25))
    calls = suggest_columns(write(frame.write_csv())).calls
    assert (
        calls["model_report"]
        == """\
from synfin_analytics import model_report

report = model_report(
    "own.csv",
    label="isFraud",
    score="p",
    timestamp="when",
    amount="amt",
    customer="client",
    merchant="shop",
    compare_with="p2",
    by=["channel"],
)
report.save("report.html")"""
    )
    report = run_report(calls["model_report"])
    assert report.evaluation.confusion.tp + report.evaluation.confusion.fn == 20
    assert not report.omitted.keys() & {"cost", "cards", "stability", "comparison", "groups"}
    assert 'label="isFraud",\n    timestamp="when",' in calls["fraud_report"]
    assert run_report(calls["fraud_report"]).omitted.keys() <= {"types", "delays"}


def test_the_commands_of_reports_run(write):
    calls = suggest_columns(write(scored(**ALL).write_csv(separator=";"))).calls
    assert calls["synfin report model"] == (
        "synfin report model own.csv --label isFraud --score p --timestamp when --amount amt "
        "--customer client --merchant shop --by channel"
    )
    for name in ("synfin report model", "synfin report fraud"):
        result = CliRunner().invoke(main, shlex.split(calls[name])[1:])
        assert result.exit_code == 0, result.output
        assert ".html" in result.stdout


def run_report(code: str, **names: Any) -> Any:
    """Run the call of a report as pasted, and return the report, which it has saved."""
    exec(code, names)
    return names["report"]


def test_the_calls_of_reports_read_a_file_as_it_is_written(write):
    texts = scored(**ALL).select(
        pl.col("when").dt.strftime("%d.%m.%Y %H:%M").alias("Datum"),
        pl.col("isFraud").replace_strict({0: "nein", 1: "ja"}).alias("Betrug"),
        pl.col("p").cast(pl.String).str.replace(".", ",", literal=True).alias("Score"),
        pl.format(
            "EUR {}", pl.col("amt").cast(pl.String).str.replace(".", ",", literal=True)
        ).alias("Betrag"),
    )
    calls = suggest_columns(write(texts.write_csv(separator=";"))).calls
    assert calls["model_report"].endswith(
        '    amount="Betrag",\n    pos_label="ja",\n    decimal=",",\n'
        '    date_format="%d.%m.%Y %H:%M",\n)\nreport.save("report.html")'
    )
    evaluation = run_report(calls["model_report"]).evaluation
    plain = synfin_analytics.evaluate(scored(**ALL), "isFraud", "p", amount="amt")
    assert evaluation.roc_auc == plain.roc_auc
    assert evaluation.confusion == plain.confusion


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        *(("percent", kind) for kind in ("polars-lazy", "pandas-numpy", "dicts", "parquet")),
        *((change, "csv") for change in ("percent", "log-odds", "steps", "two columns")),
        ("spellings", "polars"),
    ],
)
def test_reports_get_what_they_cannot_read_converted(change, kind, write, tmp_path):
    frame = scored(**ALL)
    odds = (pl.col("p") + 0.001).log() - (1.001 - pl.col("p")).log()
    spelled = pl.when(pl.col("isFraud") == 1).then(pl.lit("Yes")).otherwise(
        pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("NO")).otherwise(pl.lit("no"))
    )  # fmt: skip
    frame = {
        "percent": lambda: frame.with_columns(pl.col("p") * 100),
        "log-odds": lambda: frame.with_columns(odds.alias("p")),
        "steps": lambda: frame.drop("when").with_columns(step=pl.int_range(pl.len())),
        "two columns": lambda: frame.with_columns(
            day=pl.col("when").dt.strftime("%Y-%m-%d"), clock=pl.col("when").dt.strftime("%H:%M:%S")
        ).drop("when"),
        "spellings": lambda: frame.with_columns(spelled.alias("isFraud")),
    }[change]()
    data = frames_of.KINDS[kind](frame, tmp_path)
    code = suggest_columns(data).calls["model_report"]
    report = run_report(code.replace("by=", "n_resamples=20, by="), df=data)
    assert report.evaluation.confusion.tp + report.evaluation.confusion.fn == 20
    assert report.evaluation.roc_auc == pytest.approx(
        synfin_analytics.evaluate(scored(**ALL), "isFraud", "p").roc_auc
    )
    assert "stability" not in report.omitted


def test_a_percentage_with_a_decimal_comma_is_converted_by_a_layout(write):
    frame = scored(**ALL).with_columns(
        pl.col("amt").cast(pl.String).str.replace(".", ",", literal=True),
        (pl.col("p") * 100).cast(pl.String).str.replace(".", ",", literal=True),
    )
    code = suggest_columns(write(frame.write_csv(separator=";"))).calls["model_report"]
    assert 'df = read_layout("own.csv", layout, decimal=",").transactions.collect()' in code
    report = run_report(code.replace("merchant=", "n_resamples=20, merchant="))
    assert report.evaluation.confusion.tp + report.evaluation.confusion.fn == 20


def test_a_column_that_cannot_be_read_is_left_out_of_a_report(write):
    frame = scored(**ALL).with_columns(
        pl.when(pl.int_range(pl.len()) == 7)
        .then(pl.lit("n/a"))
        .otherwise(pl.col("amt"))
        .alias("amt")
    )
    suggestion = suggest_columns(write(frame.write_csv()))
    assert suggestion.problems[0].rows == (7,)
    assert (
        "Reports cannot read all cells of 'amt' (see the rows above), so their calls leave it out"
        in (" ".join(suggestion.notes))
    )
    assert "amount=" not in suggestion.calls["model_report"]
    assert "cost" in run_report(suggestion.calls["model_report"]).omitted


def test_labels_that_cannot_be_read_have_no_report(write):
    text = scored(**ALL).write_csv().replace("\n1,", "\nperhaps,", 1)
    suggestion = suggest_columns(write(text))
    assert suggestion.problems[0].column == "is_fraud"
    assert not {"model_report", "fraud_report"} & suggestion.calls.keys()
    assert "so there is no call of a report" in suggestion.notes[-1]


# -- The result ------------------------------------------------------------------------------------


def test_the_result_is_a_frame_a_dict_and_a_page():
    suggestion = suggest_columns(data(amount="amt", is_fraud="<b>").with_columns(x=pl.lit(None)))
    frame = suggestion.to_frame("polars")
    assert frame.columns == ["column", "target", "parameter", "confidence", "reason"]
    assert frame["target"].to_list() == ["amount", None, None]
    plain = json.loads(json.dumps(suggestion.to_dict()))
    assert plain["columns"][0]["target"] == "amount"
    assert plain["missing"] == ["transaction_id", "customer_id", "merchant_id", "timestamp"]
    page = suggestion._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "Required for transactions, but missing" in page


def test_the_text_says_all_of_it(write):
    text = repr(suggest_columns(write(GERMAN.replace("7,90", "n/a"))))
    for part in (
        "own.csv: 3 rows, 7 columns",
        "Betrag              amount · amount=",
        "Required for transactions, but missing:\n  transaction_id",
        "decimal=','",
        "Would be rejected: 1 row:\n  amount: is not a number: 1 row: 1 (such as 'EUR n/a')",
        "To decide:\n  The labels in 'Betrug' are words",
        'layout = Layout(\n    {\n        "customer_id": "Kunde",',
    ):
        assert part in text


def test_the_command_inspect_prints_it(write):
    path = write(GERMAN)
    result = CliRunner().invoke(main, ["inspect", path])
    assert (result.exit_code, result.stdout) == (0, f"{suggest_columns(path)!r}\n")
    decided = CliRunner().invoke(main, ["inspect", path, "--date-format", "%m.%d.%Y %H:%M"])
    assert "%m.%d.%Y %H:%M" in decided.stdout
    absent = CliRunner().invoke(main, ["inspect", "absent.csv"])
    assert (absent.exit_code, "does not exist" in absent.stderr) == (1, True)


_CELLS = st.one_of(
    st.lists(st.none() | st.text(max_size=8), min_size=3, max_size=3),
    st.lists(st.none() | st.floats(), min_size=3, max_size=3),
    st.lists(st.none() | st.integers(-(2**40), 2**40), min_size=3, max_size=3),
    st.lists(st.none() | st.booleans(), min_size=3, max_size=3),
    st.lists(st.none() | st.datetimes(), min_size=3, max_size=3),
)
_SOME_NAMES = st.sampled_from(
    ["amount", "p", "step", "Class", "when", "iban", "merchant", "id", "", "country", "Zeit", "x"]
)


@given(columns=st.dictionaries(_SOME_NAMES, _CELLS, max_size=6))
def test_no_data_are_too_strange(columns):
    frame = pl.DataFrame([pl.Series(name or "_", cells) for name, cells in columns.items()])
    suggestion = suggest_columns(frame)
    assert list(suggestion.mapping) == frame.columns
    assert repr(suggestion)
    assert suggestion.to_dict()["rows"] == frame.height


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "Row 0 must be a dict of columns and values, or an object of a table such as"),
        (5, "`df` must be a DataFrame, the path of a file, or a list of dicts; got 5"),
    ],
)
def test_what_has_no_columns_is_refused(data, message):
    with pytest.raises(ArgumentError, match=message):
        suggest_columns(data)
