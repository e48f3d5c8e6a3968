"""Checksums of columns, which PostgreSQL and Arrow compute independently of each other.

The values of :data:`BLOCK_ROWS` rows are encoded and hashed with SHA-256, and the checksum of a
column is the SHA-256 of the digests of its blocks. Values are encoded as PostgreSQL's binary
format does; a NULL is a value that the column cannot have. Decimals are integers of their last
digit.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synfin_analytics.exceptions import ArchiveError
from synfin_analytics.io.archive._manifest import ColumnSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from synfin_analytics._core.validation.spec import ColumnSpec

#: Rows whose values are hashed at once: PostgreSQL collects at most 1 GB.
BLOCK_ROWS = 16_384

_INT64_MIN = np.iinfo(np.int64).min
#: 2000-01-01 in microseconds and days after 1970: PostgreSQL's zero.
_EPOCH_US = 946_684_800_000_000
_EPOCH_DAYS = 10_957
#: A signalling NaN, which no arithmetic results in.
_NULL_FLOAT = 0x7FF0000000000001


# -- In PostgreSQL -----------------------------------------------------------------------------


def block_expressions(columns: Sequence[ColumnSpec]) -> list[str]:
    """Return SQL expressions of a block: for each column, the number of values and the digest."""
    expressions = []
    for column in columns:
        name = f'"{column.name}"'
        encoded, separator = _encoding(column, name)
        expressions += [
            f"count({name})",
            f"encode(sha256(string_agg({encoded}, '{separator}'::bytea)), 'hex')",
        ]
    return expressions


def _encoding(column: ColumnSpec, name: str) -> tuple[str, str]:
    integer = f"int8send(coalesce(({{}})::int8, {_INT64_MIN}))"
    match column.kind:
        case "text" | "json":
            return rf"coalesce(textsend({name}::text), '\xff'::bytea)", r"\x00"
        case "boolean":
            return rf"coalesce(boolsend({name}), '\x02'::bytea)", ""
        case "integer":
            return integer.format(name), ""
        case "decimal":
            return integer.format(f"{name} * {10**column.scale}"), ""
        case "number":
            return rf"coalesce(float8send({name}), '\x{_NULL_FLOAT:016x}'::bytea)", ""
        case "timestamp":
            return f"timestamptz_send(coalesce({name}, '-infinity'))", ""
        case _:
            return f"date_send(coalesce({name}, '-infinity'))", ""


# -- In Arrow ----------------------------------------------------------------------------------


class ColumnDigests:
    """Checksums of the columns of record batches, whatever their sizes."""

    def __init__(self) -> None:
        self._waiting: list[pa.RecordBatch] = []
        self._n_waiting = 0
        self._counts: dict[str, int] = {}
        self._digests: dict[str, Any] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        for name in batch.schema.names:
            self._digests.setdefault(name, hashlib.sha256())
            self._counts.setdefault(name, 0)
        start = 0
        while start < batch.num_rows:
            piece = batch.slice(start, BLOCK_ROWS - self._n_waiting)
            self._waiting.append(piece)
            self._n_waiting += piece.num_rows
            start += piece.num_rows
            if self._n_waiting == BLOCK_ROWS:
                self._hash()

    def finish(self) -> dict[str, ColumnSummary]:
        """Return the summary of each column."""
        if self._waiting:
            self._hash()
        return {
            name: ColumnSummary(self._counts[name], digest.hexdigest())
            for name, digest in self._digests.items()
        }

    def _hash(self) -> None:
        table = pa.Table.from_batches(self._waiting)
        for name in table.schema.names:
            column = pa.concat_arrays(table[name].chunks)
            self._counts[name] += len(column) - column.null_count
            self._digests[name].update(hashlib.sha256(_encode(column)).digest())
        self._waiting, self._n_waiting = [], 0


def combine_digests(
    names: Sequence[str], blocks: Iterable[Sequence[Any]]
) -> dict[str, ColumnSummary]:
    """Combine what PostgreSQL returns for the expressions of each block.

    Parameters
    ----------
    names
        Names of the columns.
    blocks
        Values of :func:`block_expressions`, block by block.
    """
    counts = dict.fromkeys(names, 0)
    digests = {name: hashlib.sha256() for name in names}
    for block in blocks:
        for name, count, digest in zip(names, block[::2], block[1::2], strict=True):
            counts[name] += count
            digests[name].update(bytes.fromhex(digest))
    return {name: ColumnSummary(counts[name], digests[name].hexdigest()) for name in names}


def _encode(array: pa.Array) -> bytes:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _encode(array.dictionary_decode())
    if pa.types.is_string_view(kind):
        return _encode(array.cast(pa.large_string()))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = pc.fill_null(array.cast(pa.large_binary()), b"\xff")
        rows = pa.LargeListArray.from_arrays([0, len(values)], values)
        joined: bytes = pc.binary_join(rows, pa.scalar(b"\x00", pa.large_binary()))[0].as_py()
        return joined
    if pa.types.is_boolean(kind):
        return bytes(pc.fill_null(array.cast(pa.uint8()), 2).to_numpy(zero_copy_only=False).data)
    missing = array.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_float64(kind):
        bits = np.array(pc.fill_null(array, 0.0).to_numpy()).view(np.uint64)
        return _big_endian(bits, missing, _NULL_FLOAT)
    if pa.types.is_date32(kind):
        days = pc.fill_null(array.cast(pa.int32()), 0).to_numpy().astype(np.int64) - _EPOCH_DAYS
        return _big_endian(days.astype(np.int32), missing, np.iinfo(np.int32).min)
    if pa.types.is_timestamp(kind) and kind.unit == "us":
        return _big_endian(_integers(array) - _EPOCH_US, missing, _INT64_MIN)
    if pa.types.is_integer(kind):
        return _big_endian(_integers(array), missing, _INT64_MIN)
    if pa.types.is_decimal128(kind) and kind.precision <= 18:
        # 128 bits each, of which 18 digits need the lower 64.
        digits = np.frombuffer(array.buffers()[1], np.int64)[::2][: len(array)]
        return _big_endian(digits, missing, _INT64_MIN)
    raise ArchiveError(f"A column of the type {kind} cannot be archived.")


def _integers(array: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    values: np.ndarray[Any, np.dtype[np.int64]] = pc.fill_null(array.cast(pa.int64()), 0).to_numpy()
    return values


def _big_endian(values: Any, missing: Any, null: int) -> bytes:
    values = np.where(missing, np.array(null, values.dtype), values)
    return bytes(values.astype(values.dtype.newbyteorder(">")).tobytes())
