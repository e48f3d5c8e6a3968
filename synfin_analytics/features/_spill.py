"""Rows in buckets on disk: written in any order, read a few buckets at a time."""

from __future__ import annotations

import dataclasses
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
    buffer
        Bytes of rows to collect before they are written, so that a bucket has few and large pieces.
    divisor
        What to divide the hashes by first: the digits that are in use already.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spill = Spill(Path(folder) / "rows", 2, lambda frame: frame["n"].to_numpy(), 1000)
    ...     spill.append(pl.DataFrame({"n": [1, 2, 3]}))
    ...     spill.append(pl.DataFrame({"n": [5]}))
    ...     spill.flush()
    ...     spill.read(1, 2)["n"].to_list()
    [1, 3, 5]
    """

    def __init__(
        self,
        folder: Path,
        n_buckets: int,
        hash_rows: Callable[[pl.DataFrame], Hashes],
        buffer: int,
        divisor: int = 1,
    ) -> None:
        folder.mkdir()
        self._folder, self.n_buckets = folder, n_buckets
        self._hash_rows, self._buffer, self._divisor = hash_rows, buffer, divisor
        self._schema = pa.schema([])
        #: Rows that are not written yet, and their bytes.
        self._collected: list[pl.DataFrame] = []
        self._n_collected = 0
        self._n_bytes = 0
        #: For each file, how many of its batches are of buckets before each one.
        self._batches: list[Integers] = []
        #: Rows of each bucket, and the lowest and highest hash of them.
        self.counts: Integers = np.zeros(n_buckets, np.int64)
        self._lowest: Hashes = np.full(n_buckets, np.iinfo(np.uint64).max, np.uint64)
        self._highest: Hashes = np.zeros(n_buckets, np.uint64)

    def append(self, frame: pl.DataFrame) -> None:
        """Add rows, which are written when there are enough of them, or by :meth:`flush`."""
        self._collected.append(frame)
        self._n_collected += int(frame.estimated_size())
        if self._n_collected >= self._buffer:
            self.flush()

    def flush(self) -> None:
        """Write the collected rows as one file with a batch for each bucket; reading needs that."""
        frames, self._collected, self._n_collected = self._collected, [], 0
        if not frames:
            return
        hashes = np.concatenate([self._hash_rows(frame) for frame in frames])
        buckets = (hashes // self._divisor % self.n_buckets).astype(np.uint16)
        batch = _gather(frames, np.argsort(buckets, kind="stable"))
        del frames
        self._schema = batch.schema
        if not batch.num_rows:
            return
        counts = np.bincount(buckets, minlength=self.n_buckets)
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
        self._n_bytes += batch.nbytes
        self.counts += counts
        np.minimum.at(self._lowest, buckets, hashes)
        np.maximum.at(self._highest, buckets, hashes)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory, on average."""
        return -(-self._n_bytes // max(int(self.counts.sum()), 1))

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
            self._buffer,
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


def _gather(frames: list[pl.DataFrame], order: Integers) -> pa.RecordBatch:
    """Return the rows of frames in an order, column by column: no second copy of them all."""
    names = frames[0].columns
    arrays = [
        pl.concat([frame[name] for frame in frames]).gather(order).to_arrow() for name in names
    ]
    return pa.RecordBatch.from_arrays(arrays, names)


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows with the same keys in spills with the same buckets."""

    spills: Sequence[Spill]
    first: int
    last: int

    def read(self, number: int = 0) -> pl.DataFrame:
        """Read the rows of one of the spills."""
        return self.spills[number].read(self.first, self.last)


def find_groups(spills: Sequence[Spill], max_rows: int) -> Iterator[Group]:
    """Yield groups of rows of spills with the same buckets.

    A group has at most ``max_rows`` rows of the first spill, unless one key has more. Groups of
    which a spill has no rows are left out.
    """
    for spill in spills:
        spill.flush()
    main = spills[0]
    for first, last in main.groups(max_rows):
        count = main.n_rows(first, last)
        if not all(spill.n_rows(first, last) for spill in spills):
            continue
        if count > max_rows and main.has_several_keys(first, last):
            n_buckets = min(_PARTS * -(-count // max_rows), _MAX_PARTS)
            parts = [spill.divide(first, last, n_buckets) for spill in spills]
            yield from find_groups(parts, max_rows)
            for part in parts:
                part.remove()
        else:
            yield Group(spills, first, last)
