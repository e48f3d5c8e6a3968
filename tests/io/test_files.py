"""Files as banks and programs write them: separators, encodings, numbers, dates, and formats."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
import io
import json
import lzma
import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from workbooks import CellError, write_workbook

from synfin_analytics.exceptions import ArgumentError, InvalidDataError, MissingDependencyError
from synfin_analytics.io._csv import _QuoteChecker
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from synfin_analytics.io.load.types import LoadReport

pytestmark = pytest.mark.usefixtures("manager")

HEAD = "transaction_id,customer_id,merchant_id,amount,timestamp"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def written(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def load(source: Any, **options: Any) -> LoadReport:
    """Load transactions, with the customers and merchants that they name."""
    return load_df(source, "transactions", on_missing_parent="create", **options)


def stored(*columns: str) -> list[tuple[Any, ...]]:
    query = f"SELECT {', '.join(columns)} FROM transactions ORDER BY transaction_id"
    return read_df(query, output="polars", use_decimal=True).rows()


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


# -- Separators ------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_that_of_the_header(write: Any, separator: str) -> None:
    content = "merchant_id,name\nM1,Baker & Co\n".replace(",", separator)
    load_df(write(content), "merchants")
    assert read_df("merchants")["name"].tolist() == ["Baker & Co"]


def test_a_separator_within_quotes_separates_nothing(write: Any) -> None:
    load_df(
        write('merchant_id;"name, legal"\nM1;A\n'), "merchants", columns={"name, legal": "name"}
    )
    assert read_df("merchants")["name"].tolist() == ["A"]


def test_a_separator_can_be_given(write: Any) -> None:
    load_df(write("merchant_id^name\nM1^a,b;c\n"), "merchants", separator="^")
    assert read_df("merchants")["name"].tolist() == ["a,b;c"]


def test_columns_that_do_not_fit_come_with_the_separator_that_was_taken(write: Any) -> None:
    with pytest.raises(InvalidDataError, match=r"separator=',' \(comma, as passed\)"):
        load(write(HEAD.replace(",", ";") + "\n"), separator=",")
    with pytest.raises(InvalidDataError, match="the header has no comma, semicolon, tab"):
        load(write("merchant_id^name\n"))


def test_numbers_that_are_not_read_come_with_the_decimal_mark_that_was_taken(write: Any) -> None:
    path = write(HEAD.replace(",", ";") + "\nT1;C;M;12,50;2026-01-01\n")
    with pytest.raises(InvalidDataError, match=r"'12,50'(.|\n)*separator=';'.*decimal='\.'"):
        load(path)
    assert load(path, decimal=",").inserted == 1


# -- Encodings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "encoding_option"),
    [
        ("utf-8", None), ("utf-8-sig", None), ("utf-8-sig", "utf-8"), ("cp1252", "cp1252"),
        ("latin-1", "latin-1"), ("utf-16", "utf-16"),
    ],
)  # fmt: skip
def test_a_file_is_read_in_its_encoding(
    write: Any, encoding: str, encoding_option: str | None
) -> None:
    path = write("merchant_id,Händler\nM1,Bäcker\n".encode(encoding))
    load_df(path, "merchants", columns={"Händler": "name"}, encoding=encoding_option)
    assert read_df("merchants")["name"].tolist() == ["Bäcker"]


@pytest.mark.parametrize(
    ("content", "line"),
    [("merchant_id,Händler\nM1,x\n", 1), ("merchant_id,name\nM1,x\nM2,Bäcker\n", 3)],
)
def test_what_is_not_in_the_encoding_is_reported_with_its_line(
    write: Any, content: str, line: int
) -> None:
    words = rf'encoded as UTF-8; got .*0xe4 in line {line}\).*encoding="cp1252"'
    with pytest.raises(ArgumentError, match=words):
        load_df(write(content.encode("cp1252")), "merchants")


def test_bytes_that_are_not_utf8_are_found_far_down_a_file(write: Any) -> None:
    rows = b"".join(b"M%d,x\n" % number for number in range(40_000))
    with pytest.raises(ArgumentError, match=r"in line 40,002\)"):
        load_df(write(b"merchant_id,name\n" + rows + b"M,\xe4\n"), "merchants")


def test_utf16_is_recognised_by_its_first_bytes(write: Any) -> None:
    with pytest.raises(ArgumentError, match='pass encoding="utf-16"'):
        load_df(write("merchant_id\nM1\n".encode("utf-16")), "merchants")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_recognised_without_a_mark_too(write: Any, encoding: str) -> None:
    path = write("merchant_id,name\nM1,Köln\n".encode(encoding))
    with pytest.raises(ArgumentError, match=f'pass encoding="{encoding}"'):
        load_df(path, "merchants")
    load_df(path, "merchants", encoding=encoding)
    assert read_df("merchants")["name"].tolist() == ["Köln"]


# -- Numbers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "options", "amount"),
    [
        ("1.234,50", {"decimal": ",", "thousands": "."}, "1234.50"),
        ("1 234,50", {"decimal": ",", "thousands": " "}, "1234.50"),
        ("1\u202f234,50", {"decimal": ",", "thousands": " "}, "1234.50"),
        ("1'234.5", {"thousands": "'"}, "1234.50"),
        ("$1,234.50", {"thousands": ",", "currency": True}, "1234.50"),
        ("1234,50 €", {"decimal": ",", "currency": "€"}, "1234.50"),
        ("EUR 12.50", {"currency": True}, "12.50"),
        ("1.5e2", {}, "150.00"),
        ("12.5000", {}, "12.50"),
        ("85.64999999999999", {}, "85.65"),
    ],
)
def test_numbers_are_read_as_they_are_written(
    write: Any, written: str, options: Any, amount: str
) -> None:
    load(write(f'{HEAD}\nT,C,M,"{written}",2026-01-01\n'), **options)
    assert stored("amount") == [(Decimal(amount),)]


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("1,5", {"thousands": ","}), ("12,345,6", {"thousands": ","}), ("1,234.50", {}),
        ("1.5", {"decimal": ","}), ("$5", {}), ("$5", {"currency": "€"}),
        ("$5 EUR", {"currency": True}),
        ("(5)", {}), ("5-", {}), ("NaN", {}), ("1_000", {}), ("٣", {}), ("0x10", {}),
    ],
)  # fmt: skip
def test_what_is_no_number_by_the_options_is_refused(
    write: Any, written: str, options: Any
) -> None:
    report = load(write(f'{HEAD}\nT,C,M,"{written}",2026-01-01\n'), on_invalid="reject", **options)
    assert report.rejected[["value", "reason"]].values.tolist() == [[written, "is not a number"]]


@pytest.mark.parametrize("written", ["(12.50)", "($12.50)", "-$12.50", "12.50-", "$ -12.50"])
def test_parentheses_and_signs_of_accounts_mean_a_negative_number(write: Any, written: str) -> None:
    path = write(f"{HEAD},exchange_rate,latitude\nT,C,M,1,2026-01-01,,{written}\n")
    load(path, currency=True)
    assert stored("latitude") == [(-12.5,)]


def test_integers_beyond_two_to_the_53_keep_all_digits(write: Any) -> None:
    path = write("id,pattern_type\n9007199254740993,x\n")
    load_df(path, "fraud_patterns")
    assert read_df("SELECT id FROM fraud_patterns")["id"].tolist() == [9007199254740993]
    report = load(
        write(f"{HEAD},distance_from_home\nT,C,M,1,2026-01-01,9007199254740993\n"),
        on_invalid="reject",
    )
    assert report.rejected["reason"].tolist() == ["has more digits than a double can hold"]


def test_quoted_empty_fields_are_null_except_in_columns_of_texts(write: Any) -> None:
    fields = '"T","C","M","1","2026-01-01","","","",""'
    load(write(f"{HEAD},is_fraud,latitude,label_available_at,city\n{fields}\n"))
    assert stored("is_fraud", "latitude", "label_available_at", "city") == [(None, None, None, "")]


# -- Dates -----------------------------------------------------------------------------------------


def test_dates_are_read_in_the_format_given(write: Any) -> None:
    path = write(f"{HEAD}\n1,C,M,1,31/01/2026 14:30\n2,C,M,1,3/4/2026 09:05\n3,C,M,1,2026-01-31\n")
    report = load(path, on_invalid="reject", date_format="%d/%m/%Y %H:%M")
    assert stored("timestamp") == [
        (dt.datetime(2026, 1, 31, 14, 30, tzinfo=dt.UTC),),
        (dt.datetime(2026, 4, 3, 9, 5, tzinfo=dt.UTC),),
    ]
    reason = "is not a date and time such as 31/01/2026 14:30 (%d/%m/%Y %H:%M)"
    assert report.rejected[["row", "reason"]].values.tolist() == [[2, reason]]


@pytest.mark.parametrize("written", ["now", "today", "31/02/2026 10:00", "31/01/2026", "nat"])
def test_what_is_no_date_in_the_format_is_refused(write: Any, written: str) -> None:
    path = write(f"{HEAD}\n1,C,M,1,{written}\n")
    report = load(path, on_invalid="reject", date_format="%d/%m/%Y %H:%M")
    assert report.rejected["value"].tolist() == [written]


def test_a_date_without_a_time_follows_the_date_part_of_the_format(
    write: Any,
) -> None:
    path = write("customer_id;date_of_birth\nC;31.01.1990\n")
    load_df(path, "customers", date_format="%d.%m.%Y %H:%M")
    assert read_df("customers")["date_of_birth"].tolist() == [dt.date(1990, 1, 31)]


def test_digits_finer_than_a_microsecond_are_refused_in_a_format_too(write: Any) -> None:
    path = write(f"{HEAD}\n1,C,M,1,2026-01-31 10:00:00.1234567\n")
    with pytest.raises(InvalidDataError, match="is more precise than microseconds"):
        load(path, date_format="%Y-%m-%d %H:%M:%S.%f")


ZONES = """\
T1,C,M,1,2026-01-31 10:00
T2,C,M,1,2026-03-29 02:30
T3,C,M,1,2026-10-25 02:30
T4,C,M,1,2026-10-25 02:30+02:00
T5,C,M,1,2026-07-01T10:00Z
T6,C,M,1,2026-07-01
"""


def test_local_times_belong_to_their_zone(write: Any) -> None:
    """A time that the clocks skip or show twice is refused; one with an offset is clear."""
    report = load(write(f"{HEAD}\n{ZONES}"), timezone="Europe/Berlin", on_invalid="reject")
    assert [moment.isoformat() for (moment,) in stored("timestamp")] == [
        "2026-01-31T09:00:00+00:00",
        "2026-10-25T00:30:00+00:00",
        "2026-07-01T10:00:00+00:00",
        "2026-06-30T22:00:00+00:00",
    ]
    assert report.rejected["row"].tolist() == [1, 2]
    assert report.rejected["reason"].tolist() == [
        "does not exist in Europe/Berlin, where the clocks went forward",
        "is ambiguous in Europe/Berlin, where the clocks went back: add its offset",
    ]


def test_naive_times_of_frames_belong_to_the_zone_too() -> None:
    moments = [
        moment.replace(tzinfo=None) for moment in (utc(2026, 1, 31, 10), utc(2026, 3, 29, 2, 30))
    ]
    rows = pl.DataFrame({"transaction_id": ["1", "2"], "customer_id": "C", "merchant_id": "M"})
    rows = rows.with_columns(amount=pl.lit(1.0), timestamp=pl.Series(moments))
    mixed = rows.to_pandas().astype({"timestamp": object})
    mixed.loc[1, "timestamp"] = "2026-03-29 02:30"
    for frame in (rows, rows.to_pandas(), rows.to_arrow(), mixed):
        report = load(frame, timezone="Europe/Berlin", on_invalid="reject", on_conflict="update")
        assert report.rejected["row"].tolist() == [1]
        assert stored("timestamp") == [(dt.datetime(2026, 1, 31, 9, tzinfo=dt.UTC),)]


def test_options_about_texts_hold_for_the_texts_of_a_frame() -> None:
    row = {"transaction_id": ["1"], "customer_id": ["C"], "merchant_id": ["M"]}
    frame = pd.DataFrame(row | {"amount": ["1.234,5"], "timestamp": ["31.01.2026"]})
    with pytest.raises(InvalidDataError, match="amount: is text, not a number"):
        load(frame)
    load(frame, decimal=",", thousands=".", date_format="%d.%m.%Y")
    assert stored("amount") == [(Decimal("1234.50"),)]


# -- Wrong options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"separator": ";;"}, "`separator` must be one ASCII character"),
        ({"separator": '"'}, "`separator` must be one ASCII character"),
        ({"encoding": "klingon"}, "`encoding` must be .* got 'klingon'"),
        ({"encoding": "hex"}, "`encoding` must be"),
        ({"decimal": ";"}, '`decimal` must be "." or ","; got \';\''),
        ({"thousands": ";"}, "`thousands` must be one of"),
        ({"thousands": "."}, "`thousands` must differ from `decimal`"),
        ({"date_format": "dd/mm/yyyy"}, "`date_format` must be .* got 'dd/mm/yyyy'"),
        ({"date_format": "%H:%M"}, "`date_format` must be"),
        ({"timezone": "Berlin"}, "`timezone` must be .* got 'Berlin'"),
        ({"timezone": "../etc/passwd"}, "`timezone` must be"),
        ({"currency": ""}, "`currency` must be"),
        ({"currency": "5"}, "`currency` must not contain digits"),
    ],
)
def test_an_option_that_cannot_be_is_refused(write: Any, options: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        load(write(HEAD), **options)


@pytest.mark.parametrize("option", [{"separator": ";"}, {"encoding": "cp1252"}])
def test_options_of_csv_files_are_refused_for_anything_else(option: Any, tmp_path: Path) -> None:
    frame = pl.DataFrame({"merchant_id": ["M1"]})
    frame.write_parquet(tmp_path / "rows.parquet")
    for source in (frame, frame.lazy(), frame.to_dicts(), tmp_path / "rows.parquet"):
        with pytest.raises(ArgumentError, match=f"`{next(iter(option))}` must be left out"):
            load_df(source, "merchants", **option)


# -- Broken files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", ["M2,b,c", "M2"])
def test_a_row_that_does_not_fit_is_reported_with_its_number(write: Any, lines: str) -> None:
    with pytest.raises(ArgumentError, match=r"row 1 \(counted from 0\) has \d fields") as caught:
        load_df(write(f"merchant_id,name\nM1,a\n{lines}\n"), "merchants")
    assert "M2" not in str(caught.value)  # that is data
    assert read_df("merchants").empty


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('merchant_id,name\nM1,"a\nM2,b\n', "line 2 is not closed"),
        ('merchant_id,name\nM1,a\nM2,"', "line 3 is not closed"),
        ('merchant_id,name\nM1,"a\nM2,b\nM3,"c\n', "line 2 is closed before its field ends"),
        ('merchant_id,name\nM1,"a \\"b\\""\n', "line 2 is closed before its field ends"),
        ('"merchant_id,name\nM1,a\n', "line 1 is not closed"),
    ],
)
def test_a_stray_quote_does_not_swallow_rows(write: Any, text: str, fault: str) -> None:
    with pytest.raises(ArgumentError, match=f"the quote that opens in {fault}"):
        load_df(write(text), "merchants", on_invalid="reject")
    assert read_df("merchants").empty


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize(
    "text",
    ['\ufeff"id",x\r\n1,"a ""b"", c"\r\n2,5" pipe\r\n3,""\r\n4,"line\nbreak"', 'id\n""""\n"x"'],
)
def test_quotes_that_fit_are_accepted_wherever_a_block_ends(text: str, size: int) -> None:
    checked = _QuoteChecker(io.BytesIO(text.encode()), ",")
    blocks = b"".join(iter(lambda: checked.read(size), b""))
    assert blocks.decode() == f"{text}\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("text", ['id,x\n1,"a', 'id,x\n1,"a"b\n', 'id,x\n1,"a\n2,"b\n'])
def test_quotes_that_do_not_fit_are_refused_wherever_a_block_ends(text: str, size: int) -> None:
    checked = _QuoteChecker(io.BytesIO(text.encode()), ",")
    with pytest.raises(ValueError, match="line 2: the quote"):
        b"".join(iter(lambda: checked.read(size), b""))


def test_a_header_without_a_line_break_is_a_file_without_rows(write: Any) -> None:
    assert load_df(write("merchant_id,name"), "merchants").inserted == 0


@pytest.mark.parametrize("text", ["", "\ufeff", "\n"])
def test_a_file_with_nothing_in_it_is_called_empty(write: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match="it is empty"):
        load_df(write(text), "merchants")


def test_a_separator_at_the_end_of_every_line_makes_a_column_without_a_name(write: Any) -> None:
    path = write("merchant_id,\nM1,\n")
    with pytest.raises(InvalidDataError, match=r"'': is not a column .* end with a separator"):
        load_df(path, "merchants")
    assert load_df(path, "merchants", columns={"": None}).inserted == 1


def test_a_long_cell_is_read_whole(write: Any) -> None:
    long = "x" * 2_000_000
    load_df(write(f'pattern_type,description\nx,"{long}"\n'), "fraud_patterns")
    assert read_df("fraud_patterns")["description"].item() == long


# -- Formats ---------------------------------------------------------------------------------------

MERCHANTS = b"merchant_id,name\nM1,a\n"


def zipped(*names: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, MERCHANTS)

    return write


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ROWS.CSV", MERCHANTS), ("rows.tsv", MERCHANTS.replace(b",", b"\t")),
        ("rows.Txt", MERCHANTS), ("rows.csv.gz", gzip.compress(MERCHANTS, mtime=0)),
        ("gzip_by_its_bytes.csv", gzip.compress(MERCHANTS, mtime=0)),
        ("rows.csv.bz2", bz2.compress(MERCHANTS)), ("rows.csv.xz", lzma.compress(MERCHANTS)),
        ("rows.csv.zst", zstd(MERCHANTS)), ("cr.csv", MERCHANTS.replace(b"\n", b"\r")),
        ("crlf.csv", MERCHANTS.replace(b"\n", b"\r\n")), ("blank.csv", MERCHANTS + b"\n\n"),
    ],
)  # fmt: skip
def test_a_csv_file_may_be_called_and_packed_as_it_likes(
    write: Any, name: str, content: bytes
) -> None:
    load_df(write(content, name), "merchants")
    assert read_df("SELECT merchant_id, name FROM merchants", output="polars").rows() == [
        ("M1", "a")
    ]


def test_an_archive_holds_one_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.zip"
    zipped("folder/rows.CSV")(path)
    load_df(path, "merchants")
    assert len(read_df("merchants")) == 1
    for names, message in ((("a.csv", "b.csv"), "got 2: 'a.csv', 'b.csv'"), ((), "got 0")):
        zipped(*names)(path)
        with pytest.raises(ArgumentError, match=f"must contain exactly one file; {message}"):
            load_df(path, "merchants")
    path.write_bytes(b"PK no archive")
    with pytest.raises(ArgumentError, match="cannot be read as a zip archive"):
        load_df(path, "merchants")


def test_files_of_arrow_and_parquet_keep_their_types(tmp_path: Path) -> None:
    frame = pl.DataFrame({"merchant_id": ["M1"], "risk_score": [0.1]})
    frame.write_ipc(tmp_path / "rows.feather")
    frame.write_ipc_stream(tmp_path / "stream.arrow")
    frame.write_parquet(tmp_path / "inside.parquet")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(tmp_path / "inside.parquet", "inside.parquet")
    for name in ("rows.feather", "stream.arrow", "packed.zip"):
        assert load_df(tmp_path / name, "merchants", on_conflict="update").rejected_rows == 0
        assert read_df("merchants")["risk_score"].tolist() == [0.1]


@pytest.mark.parametrize("name", ["rows.arrow", "rows.xlsx", "rows.csv.gz", "rows.jsonl"])
def test_a_file_that_is_not_what_its_name_says_is_refused(write: Any, name: str) -> None:
    content = gzip.compress(MERCHANTS * 1000)[:-50] if name.endswith("gz") else b"nothing of it"
    with pytest.raises(ArgumentError, match=rf"{name}' cannot be read as "):
        load_df(write(content, name), "merchants")


@pytest.mark.parametrize(
    "uri", ["s3://bucket/a.parquet", "https://example.org/a.csv", "gs://b/x", "hdfs://h/x", "abfs://x/y"]
)  # fmt: skip
def test_an_address_is_refused_with_what_to_do(uri: str) -> None:
    with pytest.raises(ArgumentError, match=rf'got a URI.*pl\.scan_parquet\("{uri}"\)'):
        load_df(uri, "merchants")


def test_a_lazy_frame_of_texts_is_read_as_a_csv_file_is(write: Any) -> None:
    path = write(f"{HEAD}\n007,C,M,12.50,2026-01-01\n")
    load(pl.scan_csv(path, infer_schema=False), decimal=".")
    assert stored("transaction_id", "amount") == [("007", Decimal("12.50"))]


def test_secrets_of_an_address_are_not_repeated() -> None:
    with pytest.raises(ArgumentError) as caught:
        load_df("https://ana:secret@example.org/a.csv?sig=secret", "merchants")
    assert "secret" not in str(caught.value)


def test_secrets_of_a_jdbc_address_are_not_repeated() -> None:
    with pytest.raises(ArgumentError, match="got a URI") as caught:
        load_df("jdbc:sqlserver://host/fraud;password=secret", "merchants")
    assert "secret" not in str(caught.value)


def test_the_address_of_a_local_file_is_refused_with_its_path() -> None:
    with pytest.raises(ArgumentError, match=r"got a URI\. Pass '/data/a\.csv'\."):
        load_df("file:///data/a.csv", "merchants")


# -- JSON lines ------------------------------------------------------------------------------------


def test_values_of_json_lines_keep_their_types(write: Any) -> None:
    lines = [
        {"id": 9007199254740993, "pattern_type": "x", "characteristics": {"a": [1]}},
        {"id": 2, "pattern_type": "y", "name": ""},
    ]
    load_df(write("\n".join(map(json.dumps, lines)) + "\n\n", "rows.JSONL"), "fraud_patterns")
    columns = "id, name, characteristics"
    assert read_df(f"SELECT {columns} FROM fraud_patterns ORDER BY id", output="polars").rows() == [
        (2, "", None),
        (9007199254740993, None, '{"a": [1]}'),
    ]


def test_json_lines_without_a_line_are_refused(write: Any) -> None:
    with pytest.raises(ArgumentError, match="it is empty"):
        load_df(write("\n", "rows.jsonl"), "merchants")


def test_a_text_in_json_is_no_number(write: Any) -> None:
    row = {"transaction_id": 1, "customer_id": "C", "merchant_id": "M", "timestamp": "2026-01-01"}
    with pytest.raises(InvalidDataError, match="amount: is text, not a number"):
        load(write(json.dumps(row | {"amount": "12.50"}), "rows.jsonl"))
    load(write(json.dumps(row | {"amount": 12.5}), "rows.ndjson"))
    assert stored("transaction_id", "amount") == [("1", Decimal("12.50"))]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[1]", "must be an object"),
        ('{"merchant_id": NaN}', "NaN is not a JSON number"),
        ('{"merchant_id": 1, "merchant_id": 2}', "an object has a repeated key"),
        ('{"merchant_id": "secret', "Unterminated string"),
    ],
)
def test_a_line_that_is_no_object_is_reported_with_its_number(
    write: Any, line: str, words: str
) -> None:
    path = write(f'{{"merchant_id": "M1"}}\n{line}\n', "rows.jsonl")
    with pytest.raises(ArgumentError, match=rf"JSON lines: line 2: .*{words}") as caught:
        load_df(path, "merchants")
    assert "secret" not in str(caught.value)


# -- Excel -----------------------------------------------------------------------------------------


def test_a_sheet_is_read(tmp_path: Path) -> None:
    """Whole numbers are integers there, and numbers beside a text are read from their digits."""
    rows = [
        HEAD.split(","),
        [7, "007", "M", 12.5, utc(2026, 1, 31, 10)],
        [8, "C", "M", "3.25", utc(2026, 2, 1)],
    ]
    path = write_workbook(tmp_path / "rows.xlsx", {"Payments": rows, "Empty": []})
    load(path)
    assert stored("transaction_id", "customer_id", "amount", "timestamp") == [
        ("7", "007", Decimal("12.50"), dt.datetime(2026, 1, 31, 10, tzinfo=dt.UTC)),
        ("8", "C", Decimal("3.25"), dt.datetime(2026, 2, 1, tzinfo=dt.UTC)),
    ]


@pytest.mark.parametrize("cell", ["n/a", CellError("#DIV/0!"), CellError("#N/A")])
def test_a_text_or_an_error_among_numbers_or_labels_of_a_sheet_is_refused(
    tmp_path: Path, cell: str
) -> None:
    """None is taken for an empty cell; the others of its column stay as they are."""
    sheet = [
        [*HEAD.split(","), "is_fraud", "fraud_score"],
        ["A", "C", "M", 12.5, utc(2026, 1, 31, 10), True, 0.2864255382394795],
        ["B", "C", "M", 1, utc(2026, 1, 31, 11), cell, 0.5],
        ["D", "C", "M", 1, utc(2026, 1, 31, 11), False, cell],
        ["E", "C", "M", cell, utc(2026, 1, 31, 11), None, None],
        ["F", "C", "M", 1, cell, None, None],
    ]
    path = write_workbook(tmp_path / "rows.xlsx", {"Payments": sheet})
    rejected = load(path, on_invalid="reject").rejected
    assert list(rejected["row"]) == [1, 2, 3, 4]
    assert set(rejected["value"]) == {str(cell)}
    assert stored("transaction_id", "amount", "timestamp", "is_fraud", "fraud_score") == [
        ("A", Decimal("12.50"), utc(2026, 1, 31, 10), True, 0.2864255382394795)
    ]


def test_numbers_beside_texts_of_a_sheet_keep_all_digits(tmp_path: Path) -> None:
    sheet = [
        [*HEAD.split(","), "fraud_score"],
        ["A", "C", "M", 1, utc(2026, 1, 31), 0.2864255382394795],
        [7, "C", "M", "2.50", utc(2026, 1, 31), "0.5"],
        ["0012", "C", "M", 3.25, utc(2026, 1, 31), 1e-12],
    ]
    load(write_workbook(tmp_path / "rows.xlsx", {"Payments": sheet}))
    assert stored("transaction_id", "amount", "fraud_score") == [
        ("0012", Decimal("3.25"), 1e-12),
        ("7", Decimal("2.50"), 0.5),
        ("A", Decimal("1.00"), 0.2864255382394795),
    ]


def test_of_several_sheets_none_is_chosen(tmp_path: Path) -> None:
    sheet = [["merchant_id"], ["M1"]]
    path = write_workbook(tmp_path / "rows.xlsx", {"May": sheet, "June": sheet})
    with pytest.raises(ArgumentError, match="exactly one sheet with rows; got 2: 'May', 'June'"):
        load_df(path, "merchants")


def test_excel_needs_a_package_that_is_named(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fastexcel", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "synfin-analytics\[excel\]"'):
        load_df(write(b"x", "rows.xlsx"), "merchants")
