"""Where features go: a frame in memory, a folder, or a lazy frame of an engine."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from synfin_analytics._core.arguments import parse_size
from synfin_analytics.exceptions import ArgumentError

_DEFAULT_MEMORY = "2GB"


@dataclasses.dataclass(frozen=True)
class Destination:
    """The arguments of a call that say where to compute features, and where to write them.

    Parameters
    ----------
    caller
        Name of the public function, for messages.
    output, memory, n_buckets
        As for :func:`engineer_features`.

    Examples
    --------
    >>> Destination("window_features", None, "1GB", None).check([], is_distributed=False)
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `memory` is only for `output`, which writes to a ...
    """

    caller: str
    output: str | Path | None
    memory: str | int | None
    n_buckets: int | None

    @property
    def bytes(self) -> int:
        """The memory to use."""
        return parse_size(_DEFAULT_MEMORY if self.memory is None else self.memory, "memory")

    def check(self, df: Any, *, is_distributed: bool) -> None:
        """Raise an ArgumentError for arguments that do not apply to the data.

        Parameters
        ----------
        df
            The transactions.
        is_distributed
            Whether they are a frame of Dask or PySpark.
        """
        if self.output is not None and is_distributed:
            raise ArgumentError(
                "`output` is for transactions on one machine; got a frame of Dask or PySpark. "
                "Omit it, and write the lazy frame that is returned: `to_parquet(folder, "
                "write_index=False)` with Dask, `write.parquet(folder)` with PySpark."
            )
        if self.output is None and isinstance(df, str | Path):
            raise ArgumentError(
                "With the path of a file, `output` must be a new folder for the features; got "
                "None. For a DataFrame of features, pass polars.scan_parquet(path)."
            )
        if self.output is None and self.memory is not None:
            raise ArgumentError(
                "`memory` is only for `output`, which writes to a folder in bounded memory; "
                "pass both or neither."
            )
        if self.n_buckets is not None and not is_distributed:
            raise ArgumentError(
                "`n_buckets` is only for frames of Dask and PySpark; omit it. On one machine, "
                "`output` and `memory` bound the memory."
            )
