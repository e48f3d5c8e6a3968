"""One measurement in a process of its own: seconds, and memory above what the frame takes."""

from __future__ import annotations

import dataclasses
import gc
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclasses.dataclass(frozen=True)
class Job:
    """What a peer is to do, and with which files."""

    url: str
    folder: str
    rows: int
    query: str = ""

    def file(self, kind: str) -> str:
        """The rows as ``parquet``, ``csv`` or ``binary``."""
        return str(Path(self.folder) / f"rows.{kind}")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What came of it."""

    seconds: float
    megabytes: float
    rows: int

    @property
    def speed(self) -> float:
        """Thousand rows per second."""
        return self.rows / self.seconds / 1000


def measure(group: str, peer: str, job: Job, *, apart: bool = True) -> Measured:
    """Run one peer, in a process of its own unless told otherwise.

    Raises
    ------
    RuntimeError
        The peer failed; the message has the end of what it said.
    """
    if not apart:
        return _measured(group, peer, job)
    result = subprocess.run(
        [sys.executable, __file__, group, peer, json.dumps(dataclasses.asdict(job))],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(f"{group}: {peer} failed:\n{result.stderr[-2000:]}")
    return Measured(**json.loads(result.stdout.splitlines()[-1]))


def _measured(group: str, name: str, job: Job) -> Measured:
    from _peers import GROUPS

    peer = next(one for one in GROUPS[group] if one.name == name)
    rows, seconds, megabytes = timed(peer.prepare(job))
    return Measured(seconds, megabytes, rows)


def timed(run: Callable[[], T]) -> tuple[T, float, float]:
    """What ``run`` returns, its seconds, and MB of memory at most above those before it."""
    gc.collect()
    if _RESET.exists():
        # Linux's ru_maxrss would begin with the peak of the parent, and of making the frame.
        _RESET.write_text("5")
    before = _memory("VmRSS")
    started = time.perf_counter()
    found = run()
    seconds = time.perf_counter() - started
    return found, seconds, _memory("VmHWM") - before


def print_markdown(lines: list[list[str]]) -> None:
    """Lines of cells as a Markdown table, whose columns are as wide as what is in them."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(f"| {' | '.join(cells)} |")


def _memory(line: str) -> float:
    """MB of memory: now (``VmRSS``) or at most (``VmHWM``)."""
    if _STATUS.exists():
        words = next(one for one in _STATUS.read_text().splitlines() if one.startswith(line))
        return int(words.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


if __name__ == "__main__":
    of, this, what = sys.argv[1:]
    print(json.dumps(dataclasses.asdict(_measured(of, this, Job(**json.loads(what))))))
