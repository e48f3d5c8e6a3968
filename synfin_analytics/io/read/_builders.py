"""Build the columns of a DataFrame while the rows arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from synfin_analytics._core.output import build_column, concat_arrays, in_numpy
from synfin_analytics.io.read._plan import decimal_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from synfin_analytics._core.output import Output
    from synfin_analytics.io.read._plan import Plan

#: Capacity of a NumPy column as soon as it has more than one batch. Memory that is not written to
#: costs nothing.
_CAPACITY = 2**22
_GROWTH_FACTOR = 4


class ColumnBuilder(Protocol):
    """One column that grows."""

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Append decoded values."""

    def finish(self) -> Any:
        """Return the column of the DataFrame; the builder is not used any more."""


def column_builder(plan: Plan, output: Output) -> ColumnBuilder:
    """Return an empty builder of the column of a plan."""
    if output == "pandas" and not plan.decimal_as_text and in_numpy(plan.decoder.arrow_type):
        return NumPyBuilder(plan.decoder.arrow_type)
    return ArrowBuilder(plan, output)


class ArrowBuilder:
    """A column of Arrow arrays, one for each batch."""

    def __init__(self, plan: Plan, output: Output) -> None:
        self._plan = plan
        self._output = output
        self._pieces: list[pa.Array] = []

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Append these arrays as one batch."""
        # Decimals whose scale is only known at the end are texts until then.
        output: Output = "arrow" if self._plan.decimal_as_text else self._output
        self._pieces.append(concat_arrays(arrays, output))

    def finish(self) -> Any:
        """Return the column of the DataFrame."""
        arrow_type = self._plan.decoder.arrow_type
        if self._plan.decimal_as_text:
            arrow_type = decimal_type(self._plan, self._pieces)
            self._pieces[:] = [piece.cast(arrow_type) for piece in self._pieces]
        return build_column(arrow_type, self._pieces, self._output)


class NumPyBuilder:
    """A column of pandas in one array from the beginning.

    Joining pieces at the end would need as much new memory again, and getting it from the system
    takes longer than decoding the rows.
    """

    def __init__(self, arrow_type: pa.DataType) -> None:
        self._arrow_type = arrow_type
        self._values: npt.NDArray[Any] = pa.array([], arrow_type).to_numpy()
        self._used = 0

    def add(self, arrays: Sequence[pa.Array]) -> None:
        """Copy the values of these arrays."""
        self._reserve(sum(map(len, arrays)))
        for array in arrays:
            values = self._values[self._used : self._used + len(array)]
            values[:] = np.frombuffer(array.buffers()[1], values.dtype, len(array))
            if array.null_count:
                missing = np.nan if values.dtype.kind == "f" else np.array("NaT", values.dtype)
                values[array.is_null().to_numpy(zero_copy_only=False)] = missing
            self._used += len(array)

    def _reserve(self, rows: int) -> None:
        needed = self._used + rows
        if needed > len(self._values):
            capacity = needed
            if self._used:
                capacity = max(needed, _CAPACITY, _GROWTH_FACTOR * len(self._values))
            values = np.empty(capacity, self._values.dtype)
            values[: self._used] = self._values[: self._used]
            self._values = values

    def finish(self) -> Any:
        """Return the column of the DataFrame."""
        values = self._values[: self._used]
        if self._arrow_type == pa.timestamp("us", tz="UTC"):
            # From integers pandas makes timestamps without copying them.
            return pd.array(values.view("i8"), pd.DatetimeTZDtype("us", "UTC"), copy=False)
        return values
