"""Files of all formats that ``load_df`` reads, recognised by their names.

To accept another format, add its suffix and its reader to :func:`open_file`.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import lzma
import re
import shutil
import tempfile
import zipfile
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import polars as pl
import pyarrow as pa
from pyarrow import ipc

from synfin_analytics.exceptions import ArgumentError, MissingDependencyError
from synfin_analytics.io._csv import detect_encoding, open_csv
from synfin_analytics.io._parquet import open_parquet
from synfin_analytics.io._source import Source, from_arrow, from_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import fastexcel

    from synfin_analytics._core.validation.options import ReadOptions

CSV = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
EXCEL = (".xlsx",)
ARROW = (".arrow", ".feather", ".ipc")
PARQUET = (".parquet", ".pq")
COMPRESSED = (".gz", ".bz2", ".zst", ".xz", ".zip")
#: The formats, for messages.
SUPPORTED = (
    "Parquet (.parquet), CSV (.csv, .tsv, .txt), JSON lines (.jsonl), Excel (.xlsx) or Arrow "
    "(.arrow, .feather)"
)
#: First bytes of compressed files, whatever their name.
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz"}


def open_file(
    path: str | Path,
    batch_rows: int,
    options: ReadOptions,
    columns: Sequence[str] | None = None,
) -> Source:
    """Open a file of any format, or a folder of Parquet files.

    Parameters
    ----------
    path
        The file; it may be compressed (.gz, .bz2, .zst, .xz), or the only file in a .zip.
    batch_rows
        Maximum number of rows in a batch.
    options
        How its cells are written.
    columns
        The columns to read of a CSV or Parquet file; all by default.

    Raises
    ------
    ArgumentError
        The file is not readable, or its format is not supported.
    MissingDependencyError
        It is an Excel file, and fastexcel is not installed.
    """
    path = check_path(path)
    name = repr(str(path))
    suffix = suffix_of(path)
    if suffix in CSV and not path.is_dir():
        return open_csv(partial(_open_bytes, path), name, batch_rows, options, columns)
    options.check_no_csv_options(name)
    if is_parquet(path):
        return open_parquet(unpack(path), batch_rows, columns)
    if suffix in JSON_LINES:
        return _open_json_lines(path, name, batch_rows)
    if suffix in EXCEL:
        return _open_excel(unpack(path), name, batch_rows, options)
    if suffix in ARROW:
        return _open_arrow(unpack(path), name, batch_rows)
    raise ArgumentError(
        f"{name} must be a file of {SUPPORTED}, by its name; got {suffix or 'no suffix'!r}. "
        "Read files of other formats into a DataFrame, and load that."
    )


# -- Paths and compression -------------------------------------------------------------------------


def check_path(path: str | Path) -> Path:
    """Return the path of a local file or folder that exists.

    Raises
    ------
    ArgumentError
        It is a URI or does not exist; the message says what to pass instead.

    Examples
    --------
    >>> check_path("s3://bank/rows.parquet")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: The path must be a local file; got a URI. ...
    """
    _refuse_uri(str(path))
    path = Path(path)
    if not path.exists():
        raise ArgumentError(f"The file {str(path)!r} does not exist.")
    return path


def _refuse_uri(path: str) -> None:
    # A jdbc: URI has two schemes.
    match = re.match(r"((?:[A-Za-z][A-Za-z0-9+.-]+:)+)/+(.*)", path, re.DOTALL)
    if match and match[1].lower() == "file:":
        raise ArgumentError(f"The path must be a local file; got a URI. Pass {f'/{match[2]}'!r}.")
    if match:
        uri = _without_secrets(f"{match[1]}//{match[2]}")
        raise ArgumentError(
            "The path must be a local file; got a URI. Scan it with polars and pass the "
            f'LazyFrame: pl.scan_parquet("{uri}"), or for CSV '
            'pl.scan_csv(…, infer_schema=False) together with decimal=".", which parses texts. '
            "With pyarrow: pyarrow.dataset.dataset(…).scanner().to_reader()."
        )


def _without_secrets(uri: str) -> str:
    """Return a URI without user, password, options and signature."""
    return re.sub(r"://[^/@]*@", "://", re.split("[?;#]", uri)[0])


def suffix_of(path: Path) -> str:
    """Return the suffix of a file; if it is compressed, that of the file inside.

    Examples
    --------
    >>> suffix_of(Path("a.CSV")), suffix_of(Path("b.csv.gz")), suffix_of(Path("c.2026.parquet"))
    ('.csv', '.csv', '.parquet')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".zip" and path.is_file():
        suffixes = [suffix.lower() for suffix in Path(zip_member(path).filename).suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_parquet(path: Path) -> bool:
    """Whether a path is a Parquet file, by its name, or a folder of them."""
    return path.is_dir() or suffix_of(path) in PARQUET


def zip_member(path: Path) -> zipfile.ZipInfo:
    """Return the only file in a zip archive.

    Raises
    ------
    ArgumentError
        It has none or several, or is encrypted or broken.
    """
    name = repr(str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                member
                for member in archive.infolist()
                if not (member.is_dir() or member.filename.startswith("__MACOSX/"))
            ]
    except (OSError, zipfile.BadZipFile) as error:
        raise ArgumentError(f"{name} cannot be read as a zip archive: {error}.") from None
    if len(members) != 1:
        names = ", ".join(repr(member.filename) for member in members[:5])
        raise ArgumentError(
            f"{name} must contain exactly one file; got {len(members)}"
            f"{f': {names}' if members else ''}{', …' if len(members) > 5 else ''}. "
            "Unpack it, and load each file."
        )
    if members[0].flag_bits & 1:
        raise ArgumentError(f"{name} must not be encrypted: unpack it with its password.")
    return members[0]


def _open_bytes(path: Path) -> IO[bytes]:
    """Open the uncompressed bytes of a file."""
    if path.suffix.lower() == ".zip":
        return zipfile.ZipFile(path).open(zip_member(path))
    with path.open("rb") as file:
        head = file.read(6)
    codec = next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), None)
    if codec == "xz":
        return cast("IO[bytes]", lzma.open(path))
    return cast("IO[bytes]", pa.input_stream(str(path), compression=codec))


def detect_file_encoding(path: Path) -> str | None:
    """Return the encoding of a CSV file; None for UTF-8, and for files of other formats."""
    if suffix_of(path) not in CSV or path.is_dir():
        return None
    try:
        return detect_encoding(partial(_open_bytes, path))
    except (OSError, EOFError, ValueError, lzma.LZMAError, zipfile.BadZipFile):
        return None  # opening the file says what is wrong


def unpack(path: Path) -> Path:
    """Return the path of a file in which readers can seek: a compressed file is unpacked first."""
    if path.is_dir() or path.suffix.lower() not in COMPRESSED:
        return path
    folder = tempfile.TemporaryDirectory(prefix="synfin-")
    atexit.register(folder.cleanup)  # a reader may be anywhere in the file until then
    target = Path(folder.name) / f"file{suffix_of(path)}"
    try:
        with _open_bytes(path) as compressed, target.open("wb") as file:
            shutil.copyfileobj(compressed, file, 1 << 20)
    except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        folder.cleanup()
        raise ArgumentError(f"{str(path)!r} cannot be unpacked: {error}.") from None
    return target


# -- Arrow -----------------------------------------------------------------------------------------


def _open_arrow(path: Path, name: str, batch_rows: int) -> Source:
    """Open an Arrow IPC file, or a file that holds an Arrow IPC stream."""
    with _arrow_errors(name):
        try:
            file = ipc.open_file(pa.memory_map(str(path)))
            batches = (file.get_batch(number) for number in range(file.num_record_batches))
            names = file.schema.names
        except pa.ArrowInvalid:
            stream = ipc.open_stream(pa.memory_map(str(path)))
            batches, names = iter(stream), stream.schema.names

    def read_batches() -> Iterator[pa.RecordBatch]:
        with _arrow_errors(name):
            yield from batches

    return Source(names, from_arrow(names, read_batches(), batch_rows))


@contextlib.contextmanager
def _arrow_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ArgumentError(f"{name} cannot be read as Arrow IPC: {error}.") from None


# -- Excel -----------------------------------------------------------------------------------------


def _open_excel(path: Path, name: str, batch_rows: int, options: ReadOptions) -> Source:
    """Open the only sheet of a workbook; a column of whole numbers becomes integers."""
    try:
        import fastexcel
    except ImportError:
        raise MissingDependencyError("fastexcel", "excel", "Reading .xlsx files") from None
    try:
        book = fastexcel.read_excel(path)
        sheets = [
            sheet
            for sheet in (
                book.load_sheet(title, schema_sample_rows=None, dtype_coercion="coerce")
                for title in book.sheet_names
            )
            if sheet.width and (sheet.height or sheet.name == book.sheet_names[0])
        ]
        if len(sheets) != 1:
            raise ArgumentError(
                f"{name} must have exactly one sheet with rows; got {len(sheets)}"
                f"{': ' if sheets else ''}{', '.join(repr(sheet.name) for sheet in sheets)}. "
                "Read one of them with polars.read_excel(…, sheet_name=…), and load the frame."
            )
        frame = _read_sheet(book, sheets[0])
    except fastexcel.FastExcelError as error:
        message = str(error).partition("\n")[0].rstrip(".")
        raise ArgumentError(f"{name} cannot be read as Excel: {message}.") from None
    integer_columns = [
        column.name for column in frame if column.dtype.is_float() and _is_whole(column)
    ]
    table = frame.with_columns(pl.col(integer_columns).cast(pl.Int64)).to_arrow()
    batches = from_arrow(frame.columns, table.to_batches(max_chunksize=batch_rows), batch_rows)
    # In a column with a text, the numbers are texts too.
    return Source(frame.columns, batches, frame.height, options)


def _read_sheet(book: fastexcel.ExcelReader, sheet: fastexcel.ExcelSheet) -> pl.DataFrame:
    """Read a sheet, with columns of several types as texts.

    fastexcel would read an error, or a text such as "n/a", among numbers as an empty cell, and
    write numbers among texts with nine decimals.
    """
    frame = sheet.to_polars()
    _, errors = sheet.to_arrow_with_errors()
    with_errors = {error.offset_position[1] for error in (errors.errors if errors else ())}
    mixed = [
        name
        for position, name in enumerate(frame.columns)
        if position in with_errors or frame.dtypes[position] == pl.String
    ]
    if not mixed:
        return frame
    as_texts = book.load_sheet(sheet.name, dtypes="string")
    numbers = book.load_sheet(sheet.name, dtypes="float").to_polars()
    texts = as_texts.to_polars()
    _, errors = as_texts.to_arrow_with_errors()
    for error in errors.errors if errors else ():
        row, position = error.offset_position
        match = re.search(r"Error\((\w+)\)", error.detail)
        texts[row, position] = _EXCEL_ERRORS.get(match[1] if match else "", "#ERROR!")
    return frame.with_columns(
        numbers[name].cast(pl.String).zip_with(_is_rounded(texts[name], numbers[name]), texts[name])
        for name in mixed
    )


#: Errors as a sheet shows them, by their names in fastexcel.
_EXCEL_ERRORS = {
    "Div0": "#DIV/0!", "NA": "#N/A", "Name": "#NAME?", "Null": "#NULL!", "Num": "#NUM!",
    "Ref": "#REF!", "Value": "#VALUE!", "GettingData": "#GETTING_DATA",
}  # fmt: skip


def _is_rounded(texts: pl.Series, numbers: pl.Series) -> pl.Series:
    """Return which texts are of another number than the cell's."""
    return (texts.cast(pl.Float64, strict=False) != numbers).fill_null(False)


def _is_whole(numbers: pl.Series) -> bool:
    numbers = numbers.drop_nulls()
    return bool(((numbers == numbers.round()) & (numbers.abs() < 2**53)).all())


# -- JSON lines ------------------------------------------------------------------------------------


def _open_json_lines(path: Path, name: str, batch_rows: int) -> Source:
    """Open a file with an object in each line; values keep their JSON types."""
    names: dict[str, None] = {}
    height = 0
    for record in _read_objects(path, name):  # any line may have a key that others lack
        names |= dict.fromkeys(record)
        height += 1
    if not height:
        raise ArgumentError(
            f"{name} cannot be read as JSON lines: it is empty. "
            "It must have an object in each line."
        )

    def read_parts() -> Iterator[list[Mapping[str, Any]]]:
        records = _read_objects(path, name)
        while part := list(islice(records, batch_rows)):
            yield part

    return Source(list(names), from_records(list(names), read_parts()), height)


def _read_objects(path: Path, name: str) -> Iterator[Mapping[str, Any]]:
    number = 0
    try:
        with _open_bytes(path) as file:
            for number, line in enumerate(io.BufferedReader(cast("io.RawIOBase", file)), 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    record = json.loads(
                        text,
                        parse_float=_parse_number,
                        parse_constant=_reject_constant,
                        object_pairs_hook=_to_record,
                    )
                    if not isinstance(record, dict):
                        raise ValueError("each line must be an object in braces")
                    yield record
    except UnicodeDecodeError:
        raise ArgumentError(
            f"{name} must be encoded as UTF-8; got something else in line {number:,}."
        ) from None
    except (ValueError, RecursionError, OSError, EOFError, lzma.LZMAError) as error:
        # Only the message of a JSONDecodeError, which has no data.
        reason = str(error)
        if isinstance(error, json.JSONDecodeError):
            reason = f"{error.msg} (column {error.colno})"
        raise ArgumentError(
            f"{name} cannot be read as JSON lines: line {number:,}: {reason}."
        ) from None


def _parse_number(text: str) -> float | Decimal:
    """Parse a number: a double if it has all the digits, else a decimal."""
    number = float(text)
    exact = Decimal(text)
    return number if Decimal(repr(number)) == exact else exact


def _reject_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _to_record(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("an object has a repeated key")
    return record
