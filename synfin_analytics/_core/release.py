"""Memory that allocators keep for later: a process that frees arrays does not shrink by itself."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable


def release_memory() -> None:
    """Return freed memory of pyarrow, and of NumPy where the C library is glibc, to the system.

    Arrays of a few MB, freed by several threads, leave gaps that glibc keeps. Where one group of
    rows is computed after the other, these gaps can grow larger than what a group needs.

    Examples
    --------
    >>> release_memory()
    """
    pa.default_memory_pool().release_unused()
    if _trim is not None:
        _trim(0)


def _find_trim() -> Callable[[int], int] | None:
    """Return glibc's ``malloc_trim``; None with another C library."""
    if sys.platform != "linux":
        return None
    trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim


_trim = _find_trim()
