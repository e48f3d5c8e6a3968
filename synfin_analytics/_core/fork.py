"""Detect that this process was forked from one whose thread pool it cannot use.

A forked child has none of its parent's threads. Polars would wait forever for work that it submits
to the pool there. Arrow and DuckDB start new pools in a child.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from synfin_analytics.exceptions import ForkedProcessError

_TASKS = Path("/proc/self/task")
_POOL_THREAD = re.compile(r"polars-\d+|async-executor|tokio-rt")
_had_pool = False  # in this process, at its last fork
_lost_pool = False


def require_thread_pool() -> None:
    """Raise if work in this process would wait forever for threads of its parent.

    Raises
    ------
    ForkedProcessError
        This process was forked from one that had used polars.
    """
    if _lost_pool:
        raise ForkedProcessError(
            "This call does not work in a process that was forked after polars had been used: a "
            "fork does not copy polars' threads, and the call would wait forever. Start worker "
            'processes with "spawn" or "forkserver": multiprocessing.get_context("spawn"), '
            'ProcessPoolExecutor(mp_context=...), or joblib with "loky".'
        )


def _has_pool() -> bool:
    """Whether polars has a thread pool; if that is unknown, whether polars is loaded."""
    if "polars" not in sys.modules:
        return False
    try:
        names = [(task / "comm").read_text(encoding="utf-8") for task in _TASKS.iterdir()]
    except OSError:  # macOS, or a thread that ended at this moment
        return True
    return any(_POOL_THREAD.match(name) for name in names)


def _before_fork() -> None:
    global _had_pool
    _had_pool = _has_pool()


def _after_fork_in_child() -> None:
    global _lost_pool
    _lost_pool = _lost_pool or _had_pool


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
