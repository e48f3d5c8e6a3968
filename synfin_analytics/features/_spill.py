"""Rows in buckets on disk: written in any order, read a few buckets at a time."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import ipc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from synfin_analytics._core.types import Integers

    Hashes = NDArray[np.uint64]

_OPTIONS = ipc.IpcWriteOptions(compression="lz4")
#: Into how many buckets a bucket is divided for each time that it exceeds the memory.
_PARTS = 2
_MAX_PARTS = 256


class Spill:
    """Rows in buckets by a hash, in temporary files; rows of a bucket keep their order.

    Parameters
    ----------
    folder
        Folder for the files; it must not exist.
    n_buckets
        Number of buckets.
    hash_rows
        Returns a hash of each row; rows with the same one come into the same bucket.
    divisor
        What to divide the hashes by first: the digits that are in use already.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spill = Spill(Path(folder) / "rows", 2, lambda frame: frame["n"].to_numpy())
    ...     spill.append(pl.DataFrame({"n": [1, 2, 3]}))
    ...     spill.append(pl.DataFrame({"n": [5]}))
    ...     spill.read(1, 2)["n"].to_list()
    [1, 3, 5]
    """

    def __init__(
        self,
        folder: Path,
        n_buckets: int,
        hash_rows: Callable[[pl.DataFrame], Hashes],
        divisor: int = 1,
    ) -> None:
        folder.mkdir()
        self._folder, self.n_buckets = folder, n_buckets
        self._hash_rows, self._divisor = hash_rows, divisor
        self._schema = pa.schema([])
        #: For each file, how many of its batches are of buckets before each one.
        self._batches: list[Integers] = []
        #: Rows of each bucket, and the lowest and highest hash of them.
        self.counts: Integers = np.zeros(n_buckets, np.int64)
        self._lowest: Hashes = np.full(n_buckets, np.iinfo(np.uint64).max, np.uint64)
        self._highest: Hashes = np.zeros(n_buckets, np.uint64)

    def append(self, frame: pl.DataFrame) -> None:
        """Write rows, each into its bucket, as one file with a batch for each bucket."""
        hashes = self._hash_rows(frame)
        buckets = (hashes // self._divisor % self.n_buckets).astype(np.uint16)
        counts = np.bincount(buckets, minlength=self.n_buckets)
        order = np.argsort(buckets, kind="stable")
        if not len(frame):
            self._schema = frame.to_arrow().schema
            return
        (batch,) = frame[order].to_arrow().combine_chunks().to_batches()
        self._schema = batch.schema
        path = self._folder / f"{len(self._batches)}.arrow"
        start = 0
        with (
            pa.OSFile(str(path), "wb") as sink,
            ipc.new_file(sink, batch.schema, options=_OPTIONS) as writer,
        ):
            for count in counts[counts > 0].tolist():
                writer.write_batch(batch.slice(start, count))
                start += count
        self._batches.append(np.concatenate([[0], np.cumsum(counts > 0)]))
        self.counts += counts
        np.minimum.at(self._lowest, buckets, hashes)
        np.maximum.at(self._highest, buckets, hashes)

    def groups(self, max_rows: int) -> Iterator[tuple[int, int]]:
        """Yield the first bucket of each group and the one after its last.

        A group has at most ``max_rows`` rows, unless one bucket has more.
        """
        first, n_rows = 0, 0
        for bucket, count in enumerate(self.counts.tolist()):
            if n_rows and n_rows + count > max_rows:
                yield first, bucket
                first, n_rows = bucket, 0
            n_rows += count
        if n_rows:
            yield first, self.n_buckets

    def n_rows(self, first: int, last: int) -> int:
        """Return the number of rows of the buckets from ``first`` to the one before ``last``."""
        return int(self.counts[first:last].sum())

    def read(self, first: int, last: int) -> pl.DataFrame:
        """Read the rows of the buckets from ``first`` to the one before ``last``."""
        batches: list[pa.RecordBatch] = []
        for number in range(len(self._batches)):
            batches += self._read_file(number, first, last)
        return pl.DataFrame(pa.Table.from_batches(batches, self._schema))

    def _read_file(self, number: int, first: int, last: int) -> list[pa.RecordBatch]:
        positions = self._batches[number]
        if positions[first] == positions[last]:
            return []
        with pa.OSFile(str(self._folder / f"{number}.arrow")) as file:
            reader = ipc.open_file(file)
            return [
                reader.get_batch(position)
                for position in range(int(positions[first]), int(positions[last]))
            ]

    def has_several_keys(self, first: int, last: int) -> bool:
        """Whether the rows of these buckets have more than one hash."""
        return bool(self._lowest[first:last].min() != self._highest[first:last].max())

    def divide(self, first: int, last: int, n_buckets: int) -> Spill:
        """Return the rows of some buckets in buckets by the next digits of their hashes."""
        parts = Spill(
            self._folder / f"from {first}",
            n_buckets,
            self._hash_rows,
            self._divisor * self.n_buckets,
        )
        for number in range(len(self._batches)):
            batches = self._read_file(number, first, last)
            if batches:
                parts.append(pl.DataFrame(pa.Table.from_batches(batches)))
        return parts

    def remove(self) -> None:
        """Remove the files: the rows are not needed any more."""
        shutil.rmtree(self._folder)


def read_groups(spills: Sequence[Spill], max_rows: int) -> Iterator[list[pl.DataFrame]]:
    """Read groups of rows from spills with the same buckets, the same rows' keys from each.

    A group has at most ``max_rows`` rows of the first spill, unless one key has more. Groups of
    which a spill has no rows are left out.
    """
    main = spills[0]
    for first, last in main.groups(max_rows):
        count = main.n_rows(first, last)
        if not all(spill.n_rows(first, last) for spill in spills):
            continue
        if count > max_rows and main.has_several_keys(first, last):
            n_buckets = min(_PARTS * -(-count // max_rows), _MAX_PARTS)
            parts = [spill.divide(first, last, n_buckets) for spill in spills]
            yield from read_groups(parts, max_rows)
            for part in parts:
                part.remove()
        else:
            yield [spill.read(first, last) for spill in spills]
