"""Columns of a frame, filled while the rows arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from synfin_analytics._core.output import in_numpy, joined, of_pieces
from synfin_analytics.io.read._plan import exact_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from synfin_analytics._core.output import Output
    from synfin_analytics.io.read._plan import Plan

#: Rows that a NumPy column has room for once it is more than one batch. Memory that nothing is
#: written to costs nothing.
_ROOM = 2**22
#: By which it is made larger.
_GROWTH = 4


class Column(Protocol):
    """One column that grows."""

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Put what has been decoded behind the rest."""

    def finish(self) -> Any:
        """Give the column of the frame, and let go of it."""


def column_of(plan: Plan, output: Output) -> Column:
    """Make the empty column of a plan."""
    if output == "pandas" and not plan.exact_text and in_numpy(plan.decoder.arrow):
        return Whole(plan.decoder.arrow)
    return Pieces(plan, output)


class Pieces:
    """A column of Arrow arrays, one of each batch."""

    def __init__(self, plan: Plan, output: Output) -> None:
        self._plan = plan
        self._output = output
        self._pieces: list[pa.Array] = []

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Join these arrays to a batch."""
        # Exact numbers whose scale is known at the end only are texts until then.
        output: Output = "arrow" if self._plan.exact_text else self._output
        self._pieces.append(joined(arrays, output))

    def finish(self) -> Any:
        """Give the column of the frame."""
        kind = self._plan.decoder.arrow
        if self._plan.exact_text:
            kind = exact_type(self._plan, self._pieces)
            self._pieces[:] = [piece.cast(kind) for piece in self._pieces]
        return of_pieces(kind, self._pieces, self._output)


class Whole:
    """A column of pandas in one piece from the beginning.

    pandas wants one array, and joining the pieces at the end would take as much new memory again,
    which takes longer to get than the rows to decode.
    """

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._values: npt.NDArray[Any] = pa.array([], kind).to_numpy()
        self._used = 0

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Copy the values of these arrays."""
        self._make_room(sum(map(len, arrays)))
        for array in arrays:
            values = self._values[self._used : self._used + len(array)]
            values[:] = np.frombuffer(array.buffers()[1], values.dtype, len(array))
            if array.null_count:
                missing = np.nan if values.dtype.kind == "f" else np.array("NaT", values.dtype)
                values[array.is_null().to_numpy(zero_copy_only=False)] = missing
            self._used += len(array)

    def _make_room(self, rows: int) -> None:
        wanted = self._used + rows
        if wanted > len(self._values):
            room = max(wanted, _ROOM, _GROWTH * len(self._values)) if self._used else wanted
            values = np.empty(room, self._values.dtype)
            values[: self._used] = self._values[: self._used]
            self._values = values

    def finish(self) -> Any:
        """Give the column of the frame."""
        values = self._values[: self._used]
        if self._kind == pa.timestamp("us", tz="UTC"):
            # Of whole numbers pandas makes moments without copying them.
            return pd.array(values.view("i8"), pd.DatetimeTZDtype("us", "UTC"), copy=False)
        return values
