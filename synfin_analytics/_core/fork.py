"""Whether this process was forked from one whose thread pool it cannot use.

A forked child has none of its parent's threads. What polars gives to its pool there is never done,
and the call never returns. Arrow and DuckDB start pools of their own in a child.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from synfin_analytics.exceptions import ForkedProcessError

_TASKS = Path("/proc/self/task")
_POOL = re.compile(r"polars-\d+|async-executor|tokio-rt")
_pool_ran = False  # in this process, at its last fork
_pool_lost = False


def require_thread_pool() -> None:
    """Refuse work that would wait for ever for threads of the parent.

    Raises
    ------
    ForkedProcessError
        If this process was forked from one in which polars worked.
    """
    if _pool_lost:
        raise ForkedProcessError(
            "This process must not be forked from one that has used polars, whose threads a fork "
            "leaves behind; got a forked process, in which this call would wait for ever. Start "
            'workers by "spawn" or "forkserver": multiprocessing.get_context("spawn"), '
            'ProcessPoolExecutor(mp_context=...), or joblib with "loky".'
        )


def _pool_runs() -> bool:
    """Say whether polars has a pool in this process; where nothing tells, whether it is loaded."""
    if "polars" not in sys.modules:
        return False
    try:
        names = [(task / "comm").read_text(encoding="utf-8") for task in _TASKS.iterdir()]
    except OSError:  # macOS, or a thread that ended at this moment
        return True
    return any(_POOL.match(name) for name in names)


def _before_fork() -> None:
    global _pool_ran
    _pool_ran = _pool_runs()


def _in_child() -> None:
    global _pool_lost
    _pool_lost = _pool_lost or _pool_ran


os.register_at_fork(before=_before_fork, after_in_child=_in_child)
