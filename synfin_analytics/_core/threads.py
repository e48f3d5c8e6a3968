"""Several computations at the same time: NumPy, polars and pyarrow release the lock on Python."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

R = TypeVar("R")
#: More threads would need more memory at a time, and wait for it.
_MAX_THREADS = 4


def run_in_threads(functions: Sequence[Callable[[], R]]) -> list[R]:
    """Call functions in a few threads, and return their results in the same order.

    Examples
    --------
    >>> run_in_threads([lambda: 1, lambda: 2])
    [1, 2]
    """
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(lambda function: function(), functions))
