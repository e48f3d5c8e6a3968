"""Measure one peer in a separate process: seconds, and memory in addition to the frame's."""

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
    """Work of a peer: the database, the files and the query."""

    url: str
    folder: str
    rows: int
    query: str = ""

    def file(self, kind: str) -> str:
        """The rows as ``parquet``, ``csv`` or ``binary``."""
        return str(Path(self.folder) / f"rows.{kind}")


@dataclasses.dataclass(frozen=True)
class Measured:
    """Result of one measurement."""

    seconds: float
    megabytes: float
    rows: int
    #: Processor seconds of the process.
    processor: float = 0.0

    @property
    def speed(self) -> float:
        """Thousand rows per second."""
        return self.rows / self.seconds / 1000


def measure(group: str, peer: str, job: Job, *, apart: bool = True) -> Measured:
    """Run one peer, by default in a separate process.

    Raises
    ------
    RuntimeError
        The peer failed; the message contains the end of its stderr.
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

    peer = next(candidate for candidate in GROUPS[group] if candidate.name == name)
    run = peer.prepare(job)
    before = time.process_time()
    rows, seconds, megabytes = timed(run)
    return Measured(seconds, megabytes, rows, time.process_time() - before)


def timed(run: Callable[[], T]) -> tuple[T, float, float]:
    """Return the result of ``run``, its seconds, and the increase in peak memory in MB."""
    gc.collect()
    if _RESET.exists():
        # Linux's ru_maxrss would include the peak of the parent and of creating the frame.
        _RESET.write_text("5")
    before = memory_in_mb("VmRSS")
    started = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - started
    return result, seconds, memory_in_mb("VmHWM") - before


def print_markdown(lines: list[list[str]]) -> None:
    """Print rows of cells as an aligned Markdown table."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print(f"| {' | '.join(cells)} |")


def memory_in_mb(line: str) -> float:
    """MB of memory: current (``VmRSS``) or peak (``VmHWM``)."""
    if _STATUS.exists():
        words = next(entry for entry in _STATUS.read_text().splitlines() if entry.startswith(line))
        return int(words.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


if __name__ == "__main__":
    group_name, peer_name, job_json = sys.argv[1:]
    measured_job = _measured(group_name, peer_name, Job(**json.loads(job_json)))
    print(json.dumps(dataclasses.asdict(measured_job)))
