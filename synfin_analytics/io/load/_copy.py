"""Rows into a table with PostgreSQL's binary COPY, encoded by pgpq."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import pgpq
import polars as pl
from pgpq.encoders import LargeStringEncoderBuilder
from pgpq.schema import Jsonb
from psycopg2 import sql

from synfin_analytics.io._prefetch import prefetch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

    from synfin_analytics._core.validation.spec import ColumnSpec

#: Rows that are encoded at a time: few, since the encoder holds the GIL.
_CHUNK_ROWS = 2048


def copy_rows(
    cursor: Cursor,
    table: sql.Identifier,
    frame: pl.DataFrame,
    columns: Sequence[ColumnSpec],
    *,
    freeze: bool = False,
) -> None:
    """COPY columns of ``frame`` into ``table``.

    Parameters
    ----------
    cursor
        Cursor of the load.
    table
        Table to fill.
    frame
        Rows in the types of the table.
    columns
        Columns to copy, in this order.
    freeze
        The table was truncated in this transaction, so that COPY may write its rows as frozen.
    """
    if frame.is_empty():
        return
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE {})").format(
        table,
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
        sql.SQL("true" if freeze else "false"),
    )
    with contextlib.closing(_Stream(prefetch(_encode(frame, columns), depth=2))) as stream:
        try:
            cursor.copy_expert(statement, cast("Any", stream), size=1 << 20)
        except Exception:
            if stream.error is not None:
                raise stream.error from None
            raise


def _encode(frame: pl.DataFrame, columns: Sequence[ColumnSpec]) -> Iterator[bytes]:
    table = frame.select(column.name for column in columns).to_arrow(
        compat_level=pl.CompatLevel.oldest()
    )
    encoders = {
        column.name: (
            LargeStringEncoderBuilder.new_with_output(table.schema.field(column.name), Jsonb())
            if column.kind == "json"
            else pgpq.ArrowToPostgresBinaryEncoder.infer_encoder(table.schema.field(column.name))
        )
        for column in columns
    }
    encoder = pgpq.ArrowToPostgresBinaryEncoder.new_with_encoders(table.schema, encoders)
    yield encoder.write_header()
    for batch in table.to_batches(max_chunksize=_CHUNK_ROWS):
        yield encoder.write_batch(batch)
    yield encoder.finish()


class _Stream:
    """Encoded rows as a file that psycopg2 reads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        #: psycopg2 replaces an error in ``read`` by one of its own.
        self.error: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes; none at the end."""
        try:
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return b""
                self._rest = memoryview(chunk)
        except BaseException as error:
            self.error = error
            raise
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)

    def close(self) -> None:
        """Stop encoding."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
