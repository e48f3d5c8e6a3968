"""Windows in bounded memory: rows on disk, by the keys of the windows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from synfin_analytics._core.new_folder import check_new_folder, check_outside
from synfin_analytics.database.models import Transaction
from synfin_analytics.features._passes import (
    ID,
    BucketedRows,
    IdTypes,
    Pass,
    open_rows,
    write_folder,
)
from synfin_analytics.features._payments import ROW
from synfin_analytics.features._unique_ids import UniqueIds
from synfin_analytics.features._windows import check_summable, select_from
from synfin_analytics.io.coerce import coerce_batches

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from synfin_analytics._core.types import Integers
    from synfin_analytics.features._destination import Destination
    from synfin_analytics.features._windows import WindowColumns

#: Bytes that a row needs while its windows are computed.
_ROW_BYTES = 1_000


def windows_to_folder(
    df: Any,
    parts: Sequence[WindowColumns],
    names: Sequence[str],
    start: dt.datetime | None,
    destination: Destination,
    summed: str | None,
) -> pl.LazyFrame:
    """Write ``transaction_id`` and the columns to a new folder; see :func:`window_features`.

    Rows with the same timestamp count in the order of ``df``, as in memory.

    Raises
    ------
    ArgumentError
        A row cannot be used, or repeats an id: ids alone say which row of the folder is which.
    """
    memory = destination.bytes
    folder = check_new_folder(destination.output or "", "output")
    check_outside(folder, df, "output")
    inputs = tuple(dict.fromkeys((ID, *(name for part in parts for name in part.inputs))))
    source = open_rows(df, inputs, (), destination.caller, memory)
    if summed is not None:
        check_summable(summed)
    passes = [
        Pass(part.key, part.inputs, partial(_compute_group, part, start), _ROW_BYTES)
        for part in parts
    ]
    types = {name: dtype for part in parts for name, dtype in part.types.items()}

    def compute(scratch: Path) -> Iterator[pa.Table]:
        rows, id_types, n_rows = BucketedRows(passes, scratch, memory, source.height), IdTypes(), 0
        batches = id_types.watch(source.batches)
        keys = [part.key for part in parts]
        with UniqueIds(scratch / "ids", ID) as ids:
            for frame in coerce_batches(batches, Transaction, inputs, keys=keys):
                ids.note(frame)
                numbered = frame.with_row_index(ROW, n_rows)
                rows.append(numbered.with_columns(pl.col(ROW).cast(pl.Int64)))
                n_rows += len(frame)
        ids.check(rows.frames, memory)
        schema = pa.schema({ID: id_types.common, **{name: types[name] for name in names}})
        yield from rows.tables(schema)

    return write_folder(folder, compute)


def _compute_group(
    part: WindowColumns, start: dt.datetime | None, frame: pl.DataFrame
) -> tuple[Integers, dict[str, pa.Array]]:
    """Compute the columns of all rows of some keys; see :class:`Pass`."""
    selected = select_from(frame, start)
    positions = np.arange(len(frame)) if selected is None else np.flatnonzero(selected)
    order = np.argsort(frame[ROW].to_numpy()[positions])
    columns = part.compute(frame, selected)
    return positions[order], {
        name: values.take(pa.array(order)) for name, values in columns.items()
    }
