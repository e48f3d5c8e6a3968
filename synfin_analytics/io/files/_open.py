"""Files of all formats that ``load_df`` reads, recognised by their names.

To accept another format, add its suffix and its reader to :func:`open_file`.
"""

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
    require_unique_columns,
)
from synfin_analytics.io.files._csv import open_csv
from synfin_analytics.io.files._paths import (
    ARROW,
    COMPRESSED,
    CSV,
    EXCEL,
    JSON_LINES,
    SUPPORTED,
    suffix_of,
    zip_member,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import fastexcel

    from synfin_analytics._core.validation.options import ReadOptions

#: First bytes of compressed files, whatever their name.
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz"}


@dataclasses.dataclass(frozen=True)
class FileRows:
    """Columns of a file, and its rows as Arrow batches or as dicts, read on demand."""

    names: list[str]
    schema: pa.Schema | None = None
    batches: Iterator[pa.RecordBatch] = dataclasses.field(default_factory=lambda: iter(()))
    records: Iterator[list[Mapping[str, Any]]] | None = None
    height: int | None = None
    #: Whether its cells are texts to parse.
    textual: bool = False
    #: How it was read, for a message when columns or cells are not valid.
    note: str = ""
    #: Names that the header has more than once.
    repeated: frozenset[str] = frozenset()


def open_file(
    path: Path, batch_rows: int, options: ReadOptions, columns: Sequence[str] | None = None
) -> FileRows:
    """Open a file of any format but Parquet.

    Parameters
    ----------
    path
        The file; it may be compressed (.gz, .bz2, .zst, .xz), or the only file in a .zip.
    batch_rows
        Maximum number of rows in a batch.
    options
        How its cells are written.
    columns
        The columns to read of a CSV file; all by default.

    Raises
    ------
    ArgumentError
        The file is not readable, or its format is not supported.
    MissingDependencyError
        It is an Excel file, and fastexcel is not installed.
    """
    name = repr(str(path))
    suffix, file = suffix_of(path), _CompressedFile(path)
    if suffix in CSV:
        csv = open_csv(file.open, name, options, columns)
        return FileRows(
            csv.schema.names,
            csv.schema,
            csv.batches,
            textual=True,
            note=csv.note,
            repeated=csv.repeated,
        )
    options.check_no_csv_options(name)
    if suffix in JSON_LINES:
        return _open_json_lines(file.open, name, batch_rows)
    if suffix in EXCEL:
        return _open_excel(file.unpack(), name, batch_rows)
    if suffix in ARROW:
        return _open_arrow(file.unpack(), name)
    raise ArgumentError(
        f"{name} must be a file of {SUPPORTED}, by its name; got {suffix or 'no suffix'!r}. "
        "Read files of other formats into a DataFrame, and load that."
    )


def unpack(path: Path) -> Path:
    """Return the path of a file in which readers can seek: a compressed file is unpacked first."""
    return path if path.is_dir() else _CompressedFile(path).unpack()


class _CompressedFile:
    """A file that may be compressed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name = repr(str(path))

    def open(self) -> IO[bytes]:
        """Open the uncompressed bytes."""
        if self._path.suffix.lower() == ".zip":
            return zipfile.ZipFile(self._path).open(zip_member(self._path))
        with self._path.open("rb") as file:
            head = file.read(6)
        codec = next((codec for magic, codec in _MAGIC.items() if head.startswith(magic)), None)
        if codec == "xz":
            return cast("IO[bytes]", lzma.open(self._path))
        return cast("IO[bytes]", pa.input_stream(str(self._path), compression=codec))

    def unpack(self) -> Path:
        """Return the path of a file in which readers can seek, unpacked if necessary."""
        if self._path.suffix.lower() not in COMPRESSED:
            return self._path
        folder = tempfile.TemporaryDirectory(prefix="synfin-")
        atexit.register(folder.cleanup)  # a reader may be anywhere in the file until then
        target = Path(folder.name) / f"file{suffix_of(self._path)}"
        try:
            with self.open() as compressed, target.open("wb") as file:
                while chunk := compressed.read(1 << 20):
                    file.write(chunk)
        except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
            folder.cleanup()
            raise ArgumentError(f"{self._name} cannot be unpacked: {error}.") from None
        return target


# -- Arrow -----------------------------------------------------------------------------------------


def _open_arrow(path: Path, name: str) -> FileRows:
    """Open an Arrow IPC file, or a file that holds an Arrow IPC stream."""
    try:
        try:
            file = ipc.open_file(pa.memory_map(str(path)))
        except pa.ArrowInvalid:
            stream = ipc.open_stream(pa.memory_map(str(path)))
            return FileRows(stream.schema.names, stream.schema, _read_arrow(iter(stream), name))
    except (pa.ArrowException, OSError) as error:
        raise ArgumentError(f"{name} cannot be read as Arrow IPC: {error}.") from None
    batches = (file.get_batch(number) for number in range(file.num_record_batches))
    return FileRows(file.schema.names, file.schema, _read_arrow(batches, name))


def _read_arrow(batches: Iterator[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except (pa.ArrowException, OSError) as error:
        raise ArgumentError(f"{name} cannot be read as Arrow IPC: {error}.") from None


# -- Excel -----------------------------------------------------------------------------------------


def _open_excel(path: Path, name: str, batch_rows: int) -> FileRows:
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
    require_unique_columns(frame.columns)
    whole = [column.name for column in frame if column.dtype.is_float() and _is_whole(column)]
    table = frame.with_columns(pl.col(whole).cast(pl.Int64)).to_arrow()
    batches = iter(table.to_batches(max_chunksize=batch_rows))
    # In a column with a text, the numbers are texts too.
    return FileRows(frame.columns, table.schema, batches, height=frame.height, textual=True)


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


def _open_json_lines(open_bytes: Callable[[], IO[bytes]], name: str, batch_rows: int) -> FileRows:
    """Open a file with an object in each line; values keep their JSON types."""
    names: dict[str, None] = {}
    height = 0
    for record in _read_objects(open_bytes, name):  # any line may have a key that others lack
        names |= dict.fromkeys(record)
        height += 1
    if not height:
        raise ArgumentError(
            f"{name} cannot be read as JSON lines: it is empty. "
            "It must have an object in each line."
        )

    def read_parts() -> Iterator[list[Mapping[str, Any]]]:
        part: list[Mapping[str, Any]] = []
        for record in _read_objects(open_bytes, name):
            part.append(record)
            if len(part) == batch_rows:
                yield part
                part = []
        if part:
            yield part

    return FileRows(list(names), records=read_parts(), height=height)


def _read_objects(open_bytes: Callable[[], IO[bytes]], name: str) -> Iterator[Mapping[str, Any]]:
    number = 0
    try:
        with open_bytes() as file:
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
