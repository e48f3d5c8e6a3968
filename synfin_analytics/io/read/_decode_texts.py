"""Decoders of texts and bytes.

Most texts of a table are short: codes, categories, names of towns. Arrow's views hold a text of
twelve bytes beside its length, which is how PostgreSQL sends it; so these are copied from the
window of all rows at once. Longer ones are gathered one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from synfin_analytics.io.read._decode import LENGTH, Decoder, Fields

if TYPE_CHECKING:
    import numpy.typing as npt

    from synfin_analytics.io.read._decode import Window

_VIEW = 16  # bytes: a length, and a text
_SHORT = _VIEW - LENGTH
#: By length: which bytes of a view belong to the text.
_MASKS = np.array(
    [list(bytes(LENGTH) + b"\xff" * size + bytes(_SHORT - size)) for size in range(_SHORT + 1)],
    np.uint8,
).view(np.uint64)


def of_text(skipped: int = 0) -> Decoder:
    """Make the decoder of texts; ``skipped`` leading bytes are no part of the value."""

    def decode(fields: Fields) -> pa.Array:
        if skipped or fields.longest > _SHORT or fields.window is None:
            return fields.array(pa.string(), *_gathered(fields, skipped))
        return fields.array(pa.string_view(), _views(fields, fields.window))

    return Decoder(pa.string(), decode, ahead=_SHORT)


def of_bytes() -> Decoder:
    """Make the decoder of bytes."""

    def decode(fields: Fields) -> pa.Array:
        return fields.array(pa.binary(), *_gathered(fields, 0))

    return Decoder(pa.binary(), decode)


def _views(fields: Fields, window: Window) -> npt.NDArray[np.uint64]:
    """Arrow's views of texts that fit in them."""
    views = window.slice(f"V{_VIEW}", fields.offset).copy().view(np.uint64).reshape(-1, 2)
    views &= _MASKS.take(fields.sizes if fields.size is None else fields.size, axis=0)
    views.view(np.int32)[:, 0] = fields.sizes
    return views


def _gathered(fields: Fields, skipped: int) -> tuple[pa.Buffer, pa.Buffer]:
    """Offsets and bytes of the fields in Arrow's form, without the first ``skipped`` bytes."""
    rows = len(fields)
    if not rows:
        return pa.py_buffer(bytes(LENGTH)), pa.py_buffer(b"")
    if fields.size is not None:
        size = max(fields.size - skipped, 0)
        offsets = np.arange(rows + 1, dtype=np.int32)
        offsets *= size
        at = fields.offset + LENGTH + skipped
        data = fields.chunk.gather(f"V{size}", fields.start, at) if size else b""
        return pa.py_buffer(offsets), pa.py_buffer(data)
    # Read as one array, the buffer is fields and the gaps between them in turn; taking every
    # other element makes one compact copy, in compiled code.
    edges = np.empty((rows, 2), np.int32)
    np.add(fields.start, fields.offset + LENGTH, out=edges[:, 0], casting="unsafe")
    np.add(edges[:, 0], fields.sizes, out=edges[:, 1])
    if skipped:  # a NULL has not even these
        edges[:, 0] += skipped
        np.minimum(edges[:, 0], edges[:, 1], out=edges[:, 0])
    whole = pa.Array.from_buffers(
        pa.binary(), 2 * rows - 1, [None, pa.py_buffer(edges), fields.chunk.buffer]
    )
    taken = whole.take(pa.array(np.arange(0, 2 * rows, 2, dtype=np.int32)))
    _, offsets, data = taken.buffers()
    return offsets, data
