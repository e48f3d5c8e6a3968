"""What any data are read as: the names of their columns, and batches of rows on demand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.validation.columns import (
    Column,
    check_record_batch,
    from_list,
    from_record_batches,
)
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.exceptions import require_unique_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    import polars as pl
    import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class SourceBatch:
    """Consecutive rows of a source, before validation."""

    #: Position of the first row in the source.
    start: int
    height: int
    columns: Mapping[str, Column]
    #: For computed columns, the texts of cells that could not be computed, and the reason.
    failed: Mapping[str, tuple[pl.Series, str]] = dataclasses.field(default_factory=dict)


class LazyColumns(Mapping[str, Column]):
    """Columns that are converted on access: many are never needed."""

    def __init__(self, names: Sequence[str], convert: Callable[[str], Column]) -> None:
        self._names = dict.fromkeys(names)
        self._convert = convert

    def __getitem__(self, name: str) -> Column:
        if name not in self._names:
            raise KeyError(name)
        return self._convert(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclasses.dataclass(frozen=True)
class Source:
    """Rows to load: the column names are known, the rows are read on demand."""

    names: list[str]
    batches: Iterator[SourceBatch]
    #: Number of rows, where it is known without reading them.
    height: int | None = None
    #: How to parse its texts, for a source whose cells are texts, such as CSV.
    options: ReadOptions | None = None
    #: How a file was read, for a message when its columns or cells are not valid.
    note: str = ""
    #: Columns whose cells are texts to parse, such as those from names of folders.
    texts: frozenset[str] = frozenset()
    #: Columns that only the names of an export's folders have: they repeat another column.
    redundant: frozenset[str] = frozenset()
    #: Names of the index levels of a pandas frame, which are not columns.
    index: tuple[str, ...] = ()
    #: Names that the header of a CSV file has more than once; the others are numbered: ``x.1``.
    repeated: frozenset[str] = frozenset()
    #: Separator of a CSV file.
    separator: str = ""

    def __post_init__(self) -> None:
        require_unique_columns(self.names)

    def options_for(self, name: str) -> ReadOptions | None:
        """Return how to parse the texts of a column; None if they are not parsed."""
        if self.options is None and name in self.texts:
            return ReadOptions()
        return self.options


def require_named(repeated: Iterable[str], named: Collection[str]) -> None:
    """Raise unless the second of all columns that a header repeats is named: it may be meant.

    Raises
    ------
    ArgumentError
        A header has a name more than once, and the caller does not name ``name.1``.

    Examples
    --------
    >>> require_named({"Account"}, ["Account", "Account.1"])
    >>> require_named({"Account"}, ["Account"])
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: Column names must be unique; got more than one \
column named Account.
    """
    unnamed = [name for name in sorted(repeated) if f"{name}.1" not in named]
    require_unique_columns([*unnamed, *unnamed])


def from_arrow(
    names: Sequence[str], batches: Iterable[pa.RecordBatch], batch_rows: int
) -> Iterator[SourceBatch]:
    """Yield Arrow batches, each of which may lack columns or have them in types of its own."""
    start = 0
    for parts in _group_batches(batches, batch_rows):
        height = sum(part.num_rows for part in parts)
        yield SourceBatch(start, height, LazyColumns(names, partial(from_record_batches, parts)))
        start += height


def _group_batches(
    batches: Iterable[pa.RecordBatch], batch_rows: int
) -> Iterator[list[pa.RecordBatch]]:
    """Group small batches and split large ones: all groups but the last have ``batch_rows``."""
    parts: list[pa.RecordBatch] = []
    height = 0
    for batch in batches:
        check_record_batch(batch)
        start = 0
        while start < batch.num_rows:
            part = batch.slice(start, batch_rows - height)
            parts.append(part)
            height += part.num_rows
            start += part.num_rows
            if height == batch_rows:
                yield parts
                parts, height = [], 0
    if parts:
        yield parts


def from_records(
    names: Sequence[str], parts: Iterable[Sequence[Mapping[str, Any]]]
) -> Iterator[SourceBatch]:
    """Yield rows that are dicts; a key that one lacks is NULL there."""
    start = 0
    for part in parts:
        columns = {name: from_list([record.get(name) for record in part]) for name in names}
        yield SourceBatch(start, len(part), columns)
        start += len(part)
