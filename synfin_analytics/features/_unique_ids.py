"""Whether ids are unique, of more rows than memory: their hashes are on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synfin_analytics.features._payments import ROW, raise_repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

#: Hashes of ids to read at a time.
_HASHES = 1_000_000


class UniqueIds:
    """Hashes of ids in a file, to find those that occur twice.

    Parameters
    ----------
    path
        The file; it must not exist.
    column
        Column of the ids.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> rows = pl.DataFrame({"transaction_id": ["T1", "T2", "T1"]}).with_row_index(ROW)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with UniqueIds(Path(folder) / "ids", "transaction_id") as ids:
    ...         ids.note(rows)
    ...     ids.check(lambda: [rows], memory=1000)
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: ... repeats the key of an earlier row: 1 row: 2...
    """

    def __init__(self, path: Path, column: str) -> None:
        self._path, self._column = path, column

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def note(self, frame: pl.DataFrame) -> None:
        """Write the hashes of the ids of these rows."""
        self._file.write(frame[self._column].hash().to_numpy().tobytes())

    def check(self, frames: Callable[[], Iterable[pl.DataFrame]], memory: int) -> None:
        """Raise if an id occurs twice: look for equal hashes, some of them at a time.

        Parameters
        ----------
        frames
            Returns all rows again, with ``ROW``, in any order.
        memory
            Bytes to use.

        Raises
        ------
        ArgumentError
            The message has the numbers of the rows.
        """
        n_passes = 1 + self._path.stat().st_size * 2 // (memory // 4)
        repeated = []
        for number in range(n_passes):
            parts = [part[part % n_passes == number] for part in self._read()]
            hashes = np.sort(np.concatenate([np.zeros(0, np.uint64), *parts]))
            repeated.append(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
        self._path.unlink()
        if any(map(len, repeated)):
            self._raise_repeated(frames(), pl.Series(np.concatenate(repeated)))

    def _read(self) -> Iterator[NDArray[np.uint64]]:
        with self._path.open("rb") as file:
            while len(hashes := np.fromfile(file, np.uint64, _HASHES)):
                yield hashes

    def _raise_repeated(self, frames: Iterable[pl.DataFrame], hashes: pl.Series) -> None:
        """Raise unless different ids have these hashes."""
        same_hash = pl.col(self._column).hash().is_in(hashes.implode())
        rows = [frame.select(ROW, self._column).filter(same_hash) for frame in frames]
        ids = pl.concat(rows).sort(ROW)
        repeated = ~ids[self._column].is_first_distinct()
        if repeated.any():
            raise_repeated("transactions", self._column, repeated, ids[ROW])
