"""CSV files, read as texts: what a cell means is the table's to say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import csv

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def open_csv(path: Path) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Open a CSV: the table, not a guess, says what "00123" is.

    A field with nothing in it is NULL, a quoted empty one is an empty text.

    Raises
    ------
    ArgumentError
        It is not CSV, or is broken; in the midst of the rows too.
    """
    separator = "\t" if ".tsv" in path.suffixes else ","
    try:
        with csv.open_csv(path, parse_options=csv.ParseOptions(delimiter=separator)) as first:
            names = first.schema.names
        reader = csv.open_csv(
            path,
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    return reader.schema, _told(reader, path)


def _told(reader: Iterable[pa.RecordBatch], path: Path) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except pa.ArrowException as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ArgumentError:
    # Arrow goes on with the line itself, which is somebody's data.
    words = re.sub(r"(got \d+): .*", r"\1", str(error), flags=re.DOTALL)
    return ArgumentError(f"{str(path)!r} cannot be read as CSV: {words}")
