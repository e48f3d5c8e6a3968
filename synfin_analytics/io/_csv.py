"""CSV files, read as texts that the validation of the table parses."""

from __future__ import annotations

import codecs
import contextlib
import csv as python_csv
import io
import itertools
import lzma
import re
import zipfile
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import csv

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io._source import Source, from_arrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from synfin_analytics._core.validation.options import ReadOptions

#: Separators of fields, in order of preference.
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
#: Bytes of a file that contain its header.
_HEAD_BYTES = 1 << 16
#: Bytes of the longest row.
_BLOCK_BYTES = 1 << 24


def open_csv(
    open_bytes: Callable[[], IO[bytes]],
    name: str,
    batch_rows: int,
    options: ReadOptions,
    columns: Sequence[str] | None = None,
) -> Source:
    """Open a CSV file; every field is a text.

    An empty field is NULL, a quoted empty field is an empty text. If the header repeats a name, the
    second column is named ``name.1``, as in pandas.

    Parameters
    ----------
    open_bytes
        Opens the uncompressed bytes of the file; called more than once.
    name
        Name of the file in messages.
    batch_rows
        Number of rows in a batch.
    options
        Its separator and encoding.
    columns
        The columns to read, in this order; all by default.

    Raises
    ------
    ArgumentError
        The file is not CSV, not in the encoding, or broken; also while rows are read.
    """
    file = _File(open_bytes, name, options)
    with file.read() as reader:
        header = reader.schema.names
    names = number_repeated(header)
    note = file.note
    numbered = set(names) - set(header)
    if numbered:
        listed = ", ".join(sorted(map(repr, numbered)))
        note = f"The header repeats names; the later columns are numbered: {listed}. {note}"
    selected = list(names if columns is None else columns)
    return Source(
        selected,
        from_arrow(selected, file.read_batches(names, selected), batch_rows),
        options=options,
        note=note,
        repeated=frozenset(old for old, new in zip(header, names, strict=True) if old != new),
        separator=file.separator,
    )


def number_repeated(names: Sequence[str]) -> list[str]:
    """Return names of which those that repeat an earlier one are numbered.

    Examples
    --------
    >>> number_repeated(["Account", "To", "Account", "Account", "Account.1"])
    ['Account', 'To', 'Account.2', 'Account.3', 'Account.1']
    """
    used = set(names)
    seen: set[str] = set()
    numbered = []
    for name in names:
        unique = name
        if name in seen:
            counter = itertools.count(1)
            unique = next(text for text in (f"{name}.{n}" for n in counter) if text not in used)
        seen.add(unique)
        used.add(unique)
        numbered.append(unique)
    return numbered


_READ_ERRORS = (
    pa.ArrowException,
    OSError,
    ValueError,
    EOFError,
    lzma.LZMAError,
    zipfile.BadZipFile,
)


class _File:
    """The bytes of a CSV file, its separator and its encoding."""

    def __init__(
        self, open_bytes: Callable[[], IO[bytes]], name: str, options: ReadOptions
    ) -> None:
        self._open_bytes = open_bytes
        self._name = name
        self._options = options
        self._encoding = codecs.lookup(options.encoding or "utf-8").name
        lines = self._read_first_lines()
        self.separator = options.separator or detect_separator(lines)
        self._in_header = any(self.separator in line for line in lines[:1])

    def read_batches(self, names: list[str], selected: list[str]) -> Iterator[pa.RecordBatch]:
        """Read the columns ``selected`` of the rows after the header, which has these names."""
        with self.read(names, selected) as reader:
            yield from reader

    @contextlib.contextmanager
    def read(
        self, names: Sequence[str] = (), selected: Sequence[str] = ()
    ) -> Iterator[csv.CSVStreamingReader]:
        """Open the file in Arrow's reader, and translate errors within the block."""
        reading = csv.ReadOptions(
            # With threads, Arrow does not report the number of a broken row.
            use_threads=False,
            block_size=_BLOCK_BYTES,
            column_names=names,
            # The header is skipped after the names: it may contain line breaks within quotes.
            skip_rows_after_names=1 if names else 0,
        )
        parsing = csv.ParseOptions(delimiter=self.separator, newlines_in_values=True)
        conversion = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=selected,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        )
        try:
            with (
                self._utf8() as stream,
                csv.open_csv(stream, reading, parsing, conversion) as reader,
            ):
                yield reader
        except _READ_ERRORS as error:
            raise self._read_error(error) from None

    def _utf8(self) -> Any:
        """Open its text as UTF-8, and check its quotes."""
        stream: Any = self._open_bytes()
        if self._encoding not in ("utf-8", "utf-8-sig", "ascii"):
            stream = pa.transcoding_input_stream(
                pa.PythonFile(stream, "r"), self._encoding, "utf-8"
            )
        return _QuoteChecker(stream, self.separator)

    @property
    def note(self) -> str:
        """How the file was read."""
        separator_name = SEPARATORS.get(self.separator, "separator")
        if self._options.separator:
            origin = f"{separator_name}, as passed"
        elif self._in_header:
            origin = f"{separator_name}, from the header"
        else:
            origin = "assumed: the header has no comma, semicolon, tab or vertical bar"
        return (
            f"The file was read with separator={self.separator!r} ({origin}), "
            f"encoding={self._encoding!r}, decimal={self._options.decimal_mark!r}. If this is "
            "wrong, pass separator=, encoding=, decimal=, thousands=, date_format= or currency= "
            "(on the command line: --separator and so on)."
        )

    def _read_first_lines(self) -> list[str]:
        """Read the header and the row after it."""
        try:
            with self._open_bytes() as stream:
                head = stream.read(_HEAD_BYTES)
        except _READ_ERRORS as error:
            raise self._read_error(error) from None
        encoding = None if self._options.encoding else _detect_wide_encoding(head)
        if encoding:
            raise ArgumentError(
                f"{self._name} is encoded as {encoding.upper()[:6]}, according to its first bytes: "
                f'pass encoding="{encoding}" (on the command line: --encoding {encoding}).'
            )
        decoder = codecs.getincrementaldecoder(self._encoding)()
        try:
            text = decoder.decode(head, final=False)
        except UnicodeDecodeError as error:
            text = head[: error.start].decode(self._encoding, "replace")
            if len(_split_records(text)) < 2:
                raise self._read_error(error) from None
        return _split_records(text.removeprefix("\ufeff"))[:2]

    def _read_error(self, error: Exception) -> ArgumentError:
        """Translate an error; the message has no line of the file, which is data."""
        if isinstance(error, UnicodeError) or "invalid UTF8" in str(error):
            return self._encoding_error()
        match = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", str(error))
        if match:
            row, n_columns, n_fields = map(int, match.groups())
            return ArgumentError(
                f"{self._name} cannot be read as CSV: row {row - 2:,} (counted from 0) has "
                f"{n_fields} fields, but the header has {n_columns}. Quote fields that contain the "
                f"separator, and close every quote. {self.note}"
            )
        if isinstance(error, _QuoteError):
            return ArgumentError(
                f"{self._name} cannot be read as CSV: the quote that opens in line "
                f"{error.line:,} {error.problem}. Close every quoted field, and double the quotes "
                f'within a field, as in "a ""b"" c". {self.note}'
            )
        if "Empty CSV" in str(error):
            return ArgumentError(
                f"{self._name} cannot be read as CSV: it is empty. A CSV file must begin with a "
                "line of column names."
            )
        message = re.sub(r"((?:got|Expected) \d+): .*", r"\1", str(error), flags=re.DOTALL)
        if "straddling" in message:
            message = f"a row is longer than {_BLOCK_BYTES >> 20} MB (is a quote not closed?)"
        return ArgumentError(f"{self._name} cannot be read as CSV: {message.rstrip('.')}.")

    def _encoding_error(self) -> ArgumentError:
        """Name the first line that is not in the encoding."""
        line = 1
        decoder = codecs.getincrementaldecoder(self._encoding)()
        position = ""
        try:
            with self._open_bytes() as stream:
                while chunk := stream.read(1 << 20):
                    line += decoder.decode(chunk).count("\n")
                decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].decode(self._encoding, "replace").count("\n")
            byte = error.object[error.start]
            position = f" (byte 0x{byte:02x} in line {line:,})"
        alternative = "another" if self._options.encoding is not None else "its"
        return ArgumentError(
            f"{self._name} must be encoded as {self._encoding.upper()}; got other bytes{position}. "
            f"Pass {alternative} encoding, such as "
            'encoding="cp1252" for Western European files from Windows (on the command line: '
            "--encoding cp1252)."
        )


class _QuoteError(ValueError):
    """A quote that is not closed, or closed before its field ends."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: the quote {problem}")
        self.line = line
        self.problem = problem


class _QuoteChecker(io.RawIOBase):
    """Bytes of a CSV file in UTF-8 whose quotes are checked as they are read.

    Arrow's reader closes an open quote at the end of the file, and appends the text after a
    closing quote to its field: the rows between two stray quotes would disappear in one cell.
    """

    def __init__(self, stream: Any, separator: str) -> None:
        super().__init__()
        self._stream = stream
        ends = re.escape(separator.encode()) + rb"\r\n"
        self._ends = [separator.encode(), b"\n", b"\r"]
        # Only single characters are repeated possessively (`++`): for groups, Python before 3.11.5
        # has a bug.
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
        """Read bytes, and a last line break if the file has none."""
        chunk = bytes(self._stream.read(size) if size >= 0 else self._stream.read())
        ended = not chunk and size != 0
        if size < 0 or 0 < len(chunk) < size:
            remainder = bytes(self._stream.read(size - len(chunk))) if size > 0 else b""
            ended, chunk = not remainder, chunk + remainder
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
        """Check the complete fields, and keep the last one if it is incomplete."""
        if len(self._open) > _BLOCK_BYTES:
            return  # Arrow refuses such a row.
        text = self._open + chunk
        end = len(text)
        if b'"' in text:
            end = 0
            while fields := self._fields.match(text, end):  # few at a time, to save memory
                end = fields.end()
        if end == len(text):
            end = max(text.rfind(mark) for mark in self._ends) + 1
        self._line += text.count(b"\n", 0, end)
        self._open = text[end:]
        if re.match(rb'"(?:[^"]++|"")*"[^"]', self._open):
            raise _QuoteError(self._line, "is closed before its field ends")


def detect_encoding(open_bytes: Callable[[], IO[bytes]]) -> str | None:
    """Return the encoding of a text file; None for UTF-8.

    Of the encodings with one byte per character, that of Windows in Western Europe is assumed.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_bytes() as stream:
        chunk = stream.read(_HEAD_BYTES)
        encoding = _detect_wide_encoding(chunk)
        if encoding:
            return encoding
        try:
            while chunk:
                decoder.decode(chunk)
                chunk = stream.read(1 << 20)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return None


def _detect_wide_encoding(head: bytes) -> str | None:
    """Detect UTF-16 and UTF-32 by the byte order mark, or by the zero bytes of ASCII text."""
    if head[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    zeros = [byte == 0 for byte in head[:4]]
    return {
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
    }.get(tuple(zeros))  # type: ignore[arg-type]  # of four bytes or fewer


def detect_separator(lines: Sequence[str]) -> str:
    r"""Detect the separator in the header and, if it has several, in the first row.

    Examples
    --------
    >>> detect_separator(["id;amount", "1;12,50"]), detect_separator(["id|when, local", "1|2026"])
    (';', '|')
    >>> detect_separator(['"a,b"\tc']), detect_separator(["id"])
    ('\t', ',')
    """
    counts = {
        separator: [len(_split_fields(line, separator)) - 1 for line in lines]
        for separator in SEPARATORS
    }

    def likelihood(separator: str) -> tuple[bool, int]:
        in_header, *in_rows = counts[separator] or [0]
        return in_header > 0 and all(count == in_header for count in in_rows), in_header

    return max(SEPARATORS, key=likelihood)


def _split_fields(line: str, separator: str) -> list[str]:
    return next(python_csv.reader([line], delimiter=separator), [])


def _split_records(text: str) -> list[str]:
    """Split text into its first records: a line break within quotes does not end a record."""
    records: list[str] = []
    record = ""
    for line in text.splitlines():
        record = f"{record} {line}" if record else line
        if record.count('"') % 2 == 0:
            if record:
                records.append(record)
            record = ""
        if len(records) > 2:
            break
    return records
