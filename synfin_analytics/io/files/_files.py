"""Files of every kind that ``load_df`` reads, by their names, as rows to load."""

from __future__ import annotations

import atexit
import dataclasses
import io
import json
import lzma
import re
import tempfile
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import polars as pl
import pyarrow as pa
from pyarrow import ipc

from synfin_analytics.exceptions import (
    ArgumentError,
    MissingDependencyError,
    refuse_repeated_columns,
)
from synfin_analytics.io.files._csv import open_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import fastexcel

    from synfin_analytics._core.validation.options import ReadOptions

CSV = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
EXCEL = (".xlsx",)
ARROW = (".arrow", ".feather", ".ipc")
PARQUET = (".parquet", ".pq")
#: First bytes of compressed files, whatever they are called.
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz"}
_COMPRESSED = (".gz", ".bz2", ".zst", ".xz", ".zip")
KNOWN = (
    "Parquet (.parquet), CSV (.csv, .tsv, .txt), JSON lines (.jsonl), Excel (.xlsx) or Arrow "
    "(.arrow, .feather)"
)


@dataclasses.dataclass(frozen=True)
class FileRows:
    """Columns of a file, and its rows once they are asked for: as Arrow, or as dicts."""

    names: list[str]
    schema: pa.Schema | None = None
    batches: Iterator[pa.RecordBatch] = dataclasses.field(default_factory=lambda: iter(()))
    records: Iterator[list[Mapping[str, Any]]] | None = None
    height: int | None = None
    #: Whether its cells are texts, which the table says how to read.
    textual: bool = False
    #: How it was read, for a message when columns or cells do not fit.
    note: str = ""


def open_file(
    path: Path, rows: int, options: ReadOptions, columns: Sequence[str] | None = None
) -> FileRows:
    """Open a file of any kind but Parquet.

    Parameters
    ----------
    path
        The file; it may be compressed (.gz, .bz2, .zst, .xz), or alone in a .zip.
    rows
        Rows in a batch, at most.
    options
        How its cells are written.
    columns
        Of a CSV file, the columns that are wanted; all by default.

    Raises
    ------
    ArgumentError
        The file is not readable, or of no kind that is known.
    MissingDependencyError
        It is an Excel file, and fastexcel is not installed.
    """
    name = repr(str(path))
    ending, packed = ending_of(path), _Packed(path)
    if ending in CSV:
        file = open_csv(packed.open, name, options, columns)
        names = file.schema.names
        return FileRows(names, file.schema, file.batches, textual=True, note=file.note)
    options.refuse_csv_options(name)
    if ending in JSON_LINES:
        return _json_lines(packed.open, name, rows)
    if ending in EXCEL:
        return _excel(packed.unpacked(), name, rows)
    if ending in ARROW:
        return _arrow(packed.unpacked(), name)
    raise ArgumentError(
        f"{name} must be a file of {KNOWN}, by its name; got {ending or 'no ending'!r}. "
        "Read files of other kinds into a DataFrame, and give that."
    )


def is_parquet(path: Path) -> bool:
    """Whether a path is a Parquet file, or a folder of them, by its name."""
    return path.is_dir() or ending_of(path) in PARQUET


def unpacked(path: Path) -> Path:
    """Return the path of a file that readers can seek in: an archive's is unpacked first."""
    return path if path.is_dir() else _Packed(path).unpacked()


def refuse_uri(path: str | Path) -> None:
    """Refuse an address on another machine.

    Raises
    ------
    ArgumentError
        It is one; the message says what to give instead.
    """
    # A jdbc: address has two schemes.
    address = re.match(r"((?:[A-Za-z][A-Za-z0-9+.-]+:)+)/+(.*)", str(path), re.DOTALL)
    if address and address[1].lower() == "file:":
        raise ArgumentError(
            f"The path must be that of a local file; got a URI. Pass {f'/{address[2]}'!r}."
        )
    if address:
        uri = f"{address[1]}//{address[2]}"
        raise ArgumentError(
            "The path must be that of a local file; got a URI. Scan it with polars and pass the "
            f'LazyFrame: pl.scan_parquet("{_without_secrets(uri)}"), or of CSV '
            'pl.scan_csv(…, infer_schema=False) together with decimal=".", which reads its texts. '
            "With pyarrow: pyarrow.dataset.dataset(…).scanner().to_reader()."
        )


def _without_secrets(uri: str) -> str:
    """Leave out user, password, options and signature of an address."""
    return re.sub(r"://[^/@]*@", "://", re.split("[?;#]", uri)[0])


def ending_of(path: Path) -> str:
    """Return the ending that says what a file is: of the file inside, where it is compressed.

    Examples
    --------
    >>> ending_of(Path("a.CSV")), ending_of(Path("b.csv.gz")), ending_of(Path("c.2026.parquet"))
    ('.csv', '.csv', '.parquet')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".zip" and path.is_file():
        suffixes = [suffix.lower() for suffix in Path(_member(path).filename).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _member(path: Path) -> zipfile.ZipInfo:
    """Return the one file in a zip archive."""
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
            "Unpack it, and give each file."
        )
    if members[0].flag_bits & 1:
        raise ArgumentError(f"{name} must not be encrypted: unpack it with its password.")
    return members[0]


class _Packed:
    """The bytes of a file, uncompressed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = repr(str(path))

    def open(self) -> IO[bytes]:
        """Open the bytes."""
        if self._path.suffix.lower() == ".zip":
            return zipfile.ZipFile(self._path).open(_member(self._path))
        with self._path.open("rb") as file:
            head = file.read(6)
        kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
        if kind == "xz":
            return cast("IO[bytes]", lzma.open(self._path))
        return cast("IO[bytes]", pa.input_stream(str(self._path), compression=kind))

    def unpacked(self) -> Path:
        """Return the path of a file that readers can seek in: an archive's is unpacked first."""
        if self._path.suffix.lower() not in _COMPRESSED:
            return self._path
        folder = tempfile.TemporaryDirectory(prefix="synfin-")
        atexit.register(folder.cleanup)  # a reader may be anywhere in the file until then
        target = Path(folder.name) / f"file{ending_of(self._path)}"
        try:
            with self.open() as packed, target.open("wb") as file:
                while chunk := packed.read(1 << 20):
                    file.write(chunk)
        except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
            folder.cleanup()
            raise ArgumentError(f"{self._name} cannot be unpacked: {error}.") from None
        return target


def _arrow(path: Path, name: str) -> FileRows:
    """Open an Arrow IPC file, or a stream in a file."""
    try:
        try:
            file = ipc.open_file(pa.memory_map(str(path)))
        except pa.ArrowInvalid:
            stream = ipc.open_stream(pa.memory_map(str(path)))
            return FileRows(stream.schema.names, stream.schema, _read(iter(stream), name))
    except (pa.ArrowException, OSError) as error:
        raise ArgumentError(f"{name} cannot be read as Arrow IPC: {error}.") from None
    batches = (file.get_batch(number) for number in range(file.num_record_batches))
    return FileRows(file.schema.names, file.schema, _read(batches, name))


def _read(batches: Iterator[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except (pa.ArrowException, OSError) as error:
        raise ArgumentError(f"{name} cannot be read as Arrow IPC: {error}.") from None


# -- Excel -----------------------------------------------------------------------------------------


def _excel(path: Path, name: str, rows: int) -> FileRows:
    """Open the one sheet of a workbook; Excel has no integers, only columns of whole numbers."""
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
                "Read the one you mean with polars.read_excel(…, sheet_name=…), and give the frame."
            )
        frame = _with_texts(book, sheets[0])
    except fastexcel.FastExcelError as error:
        words = str(error).partition("\n")[0].rstrip(".")
        raise ArgumentError(f"{name} cannot be read as Excel: {words}.") from None
    refuse_repeated_columns(frame.columns)
    whole = [column.name for column in frame if column.dtype.is_float() and _is_whole(column)]
    table = frame.with_columns(pl.col(whole).cast(pl.Int64)).to_arrow()
    batches = iter(table.to_batches(max_chunksize=rows))
    # Beside a text, the numbers of a column come as texts.
    return FileRows(frame.columns, table.schema, batches, height=frame.height, textual=True)


def _with_texts(book: fastexcel.ExcelReader, sheet: fastexcel.ExcelSheet) -> pl.DataFrame:
    """Read a sheet, with columns of several types as texts.

    The package would read an error, or a text as "n/a", among numbers as an empty cell, and write
    numbers among texts with nine decimals.
    """
    frame = sheet.to_polars()
    _, faults = sheet.to_arrow_with_errors()
    faulty = {fault.offset_position[1] for fault in (faults.errors if faults else ())}
    mixed = [
        name
        for number, name in enumerate(frame.columns)
        if number in faulty or frame.dtypes[number] == pl.String
    ]
    if not mixed:
        return frame
    as_texts = book.load_sheet(sheet.name, dtypes="string")
    numbers = book.load_sheet(sheet.name, dtypes="float").to_polars()
    texts = as_texts.to_polars()
    _, faults = as_texts.to_arrow_with_errors()
    for fault in faults.errors if faults else ():
        row, number = fault.offset_position
        kind = re.search(r"Error\((\w+)\)", fault.detail)
        shown = _ERRORS_OF_EXCEL.get(kind[1] if kind else "", "#ERROR!")
        texts[row, number] = shown
    return frame.with_columns(
        numbers[name].cast(pl.String).zip_with(_rounded(texts[name], numbers[name]), texts[name])
        for name in mixed
    )


#: Errors as a sheet shows them, by their names in fastexcel.
_ERRORS_OF_EXCEL = {
    "Div0": "#DIV/0!", "NA": "#N/A", "Name": "#NAME?", "Null": "#NULL!", "Num": "#NUM!",
    "Ref": "#REF!", "Value": "#VALUE!", "GettingData": "#GETTING_DATA",
}  # fmt: skip


def _rounded(texts: pl.Series, numbers: pl.Series) -> pl.Series:
    """Whether a text is that of another number than the cell's."""
    return (texts.cast(pl.Float64, strict=False) != numbers).fill_null(False)


def _is_whole(numbers: pl.Series) -> bool:
    known = numbers.drop_nulls()
    return bool(((known == known.round()) & (known.abs() < 2**53)).all())


# -- JSON lines ------------------------------------------------------------------------------------


def _json_lines(opened: Callable[[], IO[bytes]], name: str, rows: int) -> FileRows:
    """Open a file with an object in each line; its values keep the types that JSON gives them."""
    names: dict[str, None] = {}
    height = 0
    for record in _objects(opened, name):  # any line may have a key that no other has
        names |= dict.fromkeys(record)
        height += 1
    if not height:
        raise ArgumentError(
            f"{name} cannot be read as JSON lines: it is empty. "
            "It must have an object in each line."
        )

    def parts() -> Iterator[list[Mapping[str, Any]]]:
        kept: list[Mapping[str, Any]] = []
        for record in _objects(opened, name):
            kept.append(record)
            if len(kept) == rows:
                yield kept
                kept = []
        if kept:
            yield kept

    return FileRows(list(names), records=parts(), height=height)


def _objects(opened: Callable[[], IO[bytes]], name: str) -> Iterator[Mapping[str, Any]]:
    number = 0
    try:
        with opened() as file:
            for number, line in enumerate(io.BufferedReader(cast("io.RawIOBase", file)), 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
                if text:
                    record = json.loads(
                        text,
                        parse_float=_exact,
                        parse_constant=_refuse_constant,
                        object_pairs_hook=_without_repeats,
                    )
                    if not isinstance(record, dict):
                        raise ValueError("each line must be an object in braces")
                    yield record
    except UnicodeDecodeError:
        raise ArgumentError(
            f"{name} must be encoded as UTF-8; got something else in line {number:,}."
        ) from None
    except (ValueError, RecursionError, OSError, EOFError, lzma.LZMAError) as error:
        # A JSONDecodeError has the whole text, which is data; its message has none of it.
        why = str(error)
        if isinstance(error, json.JSONDecodeError):
            why = f"{error.msg} (column {error.colno})"
        raise ArgumentError(
            f"{name} cannot be read as JSON lines: line {number:,}: {why}."
        ) from None


def _exact(text: str) -> float | Decimal:
    """Read a number: a double where it has all the digits, else a decimal."""
    number = float(text)
    exact = Decimal(text)
    return number if Decimal(repr(number)) == exact else exact


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key is there more than once in an object")
    return record
