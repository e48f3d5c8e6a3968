"""A hash of keys that is the same on every machine, in every version and in other programs."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from synfin_analytics._core.types import Integers


def stable_buckets(keys: pa.Array, n_buckets: int) -> Integers:
    """Return a bucket of each key: the CRC-32 of its text in UTF-8, modulo ``n_buckets``.

    Equal keys have equal buckets; integers are hashed as their decimal digits. NULL is in bucket 0.

    Parameters
    ----------
    keys
        Texts or whole numbers.
    n_buckets
        Number of buckets.

    Examples
    --------
    >>> import pyarrow as pa
    >>> stable_buckets(pa.array(["C1", "C2", "C1", None]), 64).tolist()
    [3, 57, 3, 0]
    >>> zlib.crc32(b"C1") % 64
    3
    """
    encoded = keys.dictionary_encode()
    buckets: Integers = np.array(
        [zlib.crc32(str(key).encode()) % n_buckets for key in encoded.dictionary.to_pylist()] or [0]
    )
    result: Integers = buckets[encoded.indices.fill_null(0).to_numpy()]
    result[keys.is_null().to_numpy(zero_copy_only=False)] = 0
    return result
