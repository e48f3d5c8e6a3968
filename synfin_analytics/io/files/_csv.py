"""CSV files, read as texts: the table says what a cell means."""

from __future__ import annotations

import codecs
import csv as python_csv
import dataclasses
import io
import lzma
import re
import zipfile
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import csv

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from synfin_analytics._core.validation.options import ReadOptions

#: What separates the fields of CSV files; of equally many, the first is meant.
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
#: Bytes that hold a header, and those that hold the longest cell.
_HEAD = 1 << 16
_BLOCK = 1 << 24
#: Threads would not know the number of a row that is broken.
_READING = csv.ReadOptions(use_threads=False, block_size=_BLOCK)


@dataclasses.dataclass(frozen=True)
class Delimited:
    """Columns of a CSV file, and its rows once they are asked for."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    #: How the file was read, for a message when the columns or cells do not fit.
    note: str


def open_csv(
    opened: Callable[[], IO[bytes]],
    name: str,
    options: ReadOptions,
    columns: Sequence[str] | None = None,
) -> Delimited:
    """Open a CSV file whose every field is a text.

    A field with nothing in it is NULL, a quoted empty one is an empty text.

    Parameters
    ----------
    opened
        Opens the bytes of the file, uncompressed; called more than once.
    name
        What messages call it.
    options
        Its separator and encoding.
    columns
        Those that are wanted, in this order; all by default.

    Raises
    ------
    ArgumentError
        It is not CSV, not in the encoding, or broken; in the midst of the rows too.
    """
    file = _File(opened, name, options)
    parsing = csv.ParseOptions(delimiter=file.separator, newlines_in_values=True)
    try:
        with (
            file.utf8() as stream,
            csv.open_csv(stream, read_options=_READING, parse_options=parsing) as first,
        ):
            names = first.schema.names
    except _BROKEN as error:
        raise file.refusal(error) from None
    wanted = list(names if columns is None else columns)
    schema = pa.schema([pa.field(column, pa.string()) for column in wanted])
    return Delimited(schema, _batches(file, names, wanted), file.note)


_BROKEN = (pa.ArrowException, OSError, ValueError, EOFError, lzma.LZMAError, zipfile.BadZipFile)


def _batches(file: _File, names: list[str], wanted: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        with (
            file.utf8() as stream,
            csv.open_csv(
                stream,
                read_options=_READING,
                parse_options=csv.ParseOptions(delimiter=file.separator, newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=wanted,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            ) as reader,
        ):
            yield from reader
    except _BROKEN as error:
        raise file.refusal(error) from None


class _File:
    """The bytes of a CSV file, and what is known of how they are to be read."""

    def __init__(self, opened: Callable[[], IO[bytes]], name: str, options: ReadOptions) -> None:
        self._opened = opened
        self._name = name
        self._options = options
        self._encoding = codecs.lookup(options.encoding or "utf-8").name
        lines = self._first_lines()
        self.separator = options.separator or sniff(lines)
        self._found = any(self.separator in line for line in lines[:1])

    def utf8(self) -> Any:
        """Open its text as UTF-8, with its quotes checked."""
        stream: Any = self._opened()
        if self._encoding not in ("utf-8", "utf-8-sig", "ascii"):
            stream = pa.transcoding_input_stream(
                pa.PythonFile(stream, "r"), self._encoding, "utf-8"
            )
        return _Quoted(stream, self.separator)

    @property
    def note(self) -> str:
        """Say how it was read."""
        told = SEPARATORS.get(self.separator, "separator")
        if self._options.separator:
            how = f"{told}, as given"
        elif self._found:
            how = f"{told}, from the header"
        else:
            how = "assumed: the header has no comma, semicolon, tab or vertical bar"
        return (
            f"The file was read with separator={self.separator!r} ({how}), "
            f"encoding={self._encoding!r}, decimal={self._options.decimal_mark!r}. If it is "
            "written otherwise, pass separator=, encoding=, decimal=, thousands=, date_format= or "
            "currency= (on the command line: --separator and so on)."
        )

    def _first_lines(self) -> list[str]:
        """Read the header and the row after it."""
        try:
            with self._opened() as stream:
                head = stream.read(_HEAD)
        except _BROKEN as error:
            raise self.refusal(error) from None
        wide = None if self._options.encoding else _wide(head)
        if wide:
            raise ArgumentError(
                f'{self._name} is {wide.upper()[:6]} by its first bytes: give encoding="{wide}" '
                f"(on the command line: --encoding {wide})."
            )
        decoder = codecs.getincrementaldecoder(self._encoding)()
        try:
            text = decoder.decode(head, final=False)
        except UnicodeDecodeError as error:
            text = head[: error.start].decode(self._encoding, "replace")
            if len(_records(text)) < 2:
                raise self.refusal(error) from None
        return _records(text.removeprefix("\ufeff"))[:2]

    def refusal(self, error: Exception) -> ArgumentError:
        """Say what is wrong, without the line itself, which is data."""
        if isinstance(error, UnicodeError) or "invalid UTF8" in str(error):
            return self._undecodable()
        row = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
        if row:
            record, wanted, found = map(int, row.groups())
            return ArgumentError(
                f"{self._name} cannot be read as CSV: row {record - 2:,} (counted from 0) has "
                f"{found} fields, but the header has {wanted}. Quote fields that contain the "
                f"separator, and close every quote. {self.note}"
            )
        if isinstance(error, _QuoteError):
            return ArgumentError(
                f"{self._name} cannot be read as CSV: the quote that opens in line "
                f"{error.line:,} {error.fault}. Close every quoted field, and double the quotes "
                f'within one, as in "a ""b"" c". {self.note}'
            )
        if "Empty CSV" in str(error):
            return ArgumentError(
                f"{self._name} cannot be read as CSV: it is empty. A CSV file must begin with a "
                "line of column names."
            )
        words = re.sub(r"((?:got|Expected) \d+): .*", r"\1", str(error), flags=re.DOTALL)
        if "straddling" in words:
            words = f"a row is longer than {_BLOCK >> 20} MB (is a quote not closed?)"
        return ArgumentError(f"{self._name} cannot be read as CSV: {words.rstrip('.')}.")

    def _undecodable(self) -> ArgumentError:
        """Name the first line that is not in the encoding."""
        line = 1
        decoder = codecs.getincrementaldecoder(self._encoding)()
        where = ""
        try:
            with self._opened() as stream:
                while chunk := stream.read(1 << 20):
                    line += decoder.decode(chunk).count("\n")
                decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].decode(self._encoding, "replace").count("\n")
            byte = error.object[error.start]
            where = f" (byte 0x{byte:02x} in line {line:,})"
        known = self._options.encoding is not None
        return ArgumentError(
            f"{self._name} must be encoded as {self._encoding.upper()}; got something else{where}. "
            f"Give {'another' if known else 'its'} encoding, "
            'as encoding="cp1252" for Western European files from Windows (on the command line: '
            "--encoding cp1252)."
        )


class _QuoteError(ValueError):
    """A quote that is not closed, or closed in the midst of a field."""

    def __init__(self, line: int, fault: str) -> None:
        super().__init__(f"line {line}: the quote {fault}")
        self.line = line
        self.fault = fault


class _Quoted(io.RawIOBase):
    """Bytes of a CSV file in UTF-8 whose quotes are checked as they are read.

    Arrow's reader takes a quote that is never closed for one that ends with the file, and joins
    the text after a closing quote to its field: the rows between two stray quotes would be lost
    within one cell.
    """

    def __init__(self, stream: Any, separator: str) -> None:
        super().__init__()
        self._stream = stream
        ends = re.escape(separator.encode()) + rb"\r\n"
        self._ends = [separator.encode(), b"\n", b"\r"]
        # Only single characters are repeated without backtracking (`++`): of a group, Python before
        # 3.11.5 takes that for the wrong thing.
        self._fields = re.compile(
            rb'(?:[^"%b][^%b]*+|[%b]++|"(?:[^"]++|"")*"(?=[%b])){1,4096}' % (ends, ends, ends, ends)
        )
        self._open = b""
        self._line = 1
        self._last: bytes | None = None

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """Read bytes, and a last line break where the file has none."""
        chunk = bytes(self._stream.read(size) if size >= 0 else self._stream.read())
        ended = not chunk and size != 0
        if size < 0 or 0 < len(chunk) < size:
            rest = bytes(self._stream.read(size - len(chunk))) if size > 0 else b""
            ended, chunk = not rest, chunk + rest
        if chunk:
            self._check(chunk.removeprefix(codecs.BOM_UTF8) if self._last is None else chunk)
            self._last = chunk[-1:]
        if ended and self._last not in (None, b"\n", b"\r"):
            self._last = b"\n"
            self._check(b"\n")
            chunk += b"\n"
        if ended and self._open.startswith(b'"'):
            raise _QuoteError(self._line, "is not closed")
        return chunk

    def _check(self, chunk: bytes) -> None:
        """Check the fields that are complete, and keep the last one if it is not."""
        if len(self._open) > _BLOCK:
            return  # Arrow refuses such a row.
        text = self._open + chunk
        end = len(text)
        if b'"' in text:
            end = 0
            while fields := self._fields.match(text, end):  # few at a time, for the memory's sake
                end = fields.end()
        if end == len(text):
            end = max(text.rfind(mark) for mark in self._ends) + 1
        self._line += text.count(b"\n", 0, end)
        self._open = text[end:]
        if re.match(rb'"(?:[^"]++|"")*"[^"]', self._open):
            raise _QuoteError(self._line, "is closed before its field ends")


def _wide(head: bytes) -> str | None:
    """Recognise UTF-16 and UTF-32 by a mark or, of an ASCII header, by the bytes that are zero."""
    if head[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    zeros = [byte == 0 for byte in head[:4]]
    return {
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
    }.get(tuple(zeros))  # type: ignore[arg-type]  # of four bytes or fewer


def sniff(lines: Sequence[str]) -> str:
    r"""Guess the separator from the header and, of several, from the first row.

    Examples
    --------
    >>> sniff(["id;amount", "1;12,50"]), sniff(["id|when, local", "1|2026"]), sniff(["id"])
    (';', '|', ',')
    >>> sniff(['"a,b"\tc'])
    '\t'
    """
    counts = {
        separator: [len(_fields(line, separator)) - 1 for line in lines] for separator in SEPARATORS
    }

    def likelihood(separator: str) -> tuple[bool, int]:
        header, *others = counts[separator] or [0]
        return header > 0 and all(header == count for count in others), header

    return max(SEPARATORS, key=likelihood)


def _fields(line: str, separator: str) -> list[str]:
    return next(python_csv.reader([line], delimiter=separator), [])


def _records(text: str) -> list[str]:
    """Split text into its first records: a line break within quotes does not end one."""
    records: list[str] = []
    kept = ""
    for line in text.splitlines():
        kept = f"{kept} {line}" if kept else line
        if kept.count('"') % 2 == 0:
            if kept:
                records.append(kept)
            kept = ""
        if len(records) > 2:
            break
    return records
