"""Rows in buckets on disk: written in any order, read a few buckets at a time."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import ipc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from synfin_analytics._core.types import Integers

_OPTIONS = ipc.IpcWriteOptions(compression="lz4")


class Spill:
    """Rows in buckets, in temporary files; rows of a bucket keep their order.

    Parameters
    ----------
    folder
        Folder for the files; it must not exist.
    n_buckets
        Number of buckets.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spill = Spill(Path(folder) / "rows", 2)
    ...     spill.append(pl.DataFrame({"n": [1, 2, 3]}), np.array([1, 0, 1]))
    ...     spill.append(pl.DataFrame({"n": [4]}), np.array([1]))
    ...     spill.read(1, 2)["n"].to_list()
    [1, 3, 4]
    """

    def __init__(self, folder: Path, n_buckets: int) -> None:
        folder.mkdir()
        self._folder, self.n_buckets = folder, n_buckets
        #: For each file, how many of its batches are of buckets before each one.
        self._batches: list[Integers] = []
        #: Rows of each bucket.
        self.counts: Integers = np.zeros(n_buckets, np.int64)

    def append(self, frame: pl.DataFrame, buckets: Integers) -> None:
        """Write rows, each into its bucket, as one file with a batch for each bucket."""
        counts = np.bincount(buckets, minlength=self.n_buckets)
        order = np.argsort(buckets.astype(np.uint16), kind="stable")
        if not len(frame):
            return
        (batch,) = frame[order].to_arrow().combine_chunks().to_batches()
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

    def read(self, first: int, last: int) -> pl.DataFrame:
        """Read the rows of the buckets from ``first`` to the one before ``last``."""
        batches = []
        for number, positions in enumerate(self._batches):
            if positions[first] == positions[last]:
                continue
            with pa.OSFile(str(self._folder / f"{number}.arrow")) as file:
                reader = ipc.open_file(file)
                batches += [
                    reader.get_batch(position)
                    for position in range(int(positions[first]), int(positions[last]))
                ]
        return pl.DataFrame(pa.Table.from_batches(batches))

    def remove(self) -> None:
        """Remove the files: the rows are not needed any more."""
        shutil.rmtree(self._folder)
