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
    run = peer.prepare(job)
    gc.collect()
    if _RESET.exists():
        # Linux's ru_maxrss would begin with the peak of the parent, and of making the frame.
        _RESET.write_text("5")
    before = _memory("VmRSS")
    started = time.perf_counter()
    rows = run()
    seconds = time.perf_counter() - started
    return Measured(seconds, _memory("VmHWM") - before, rows)


def _memory(line: str) -> float:
    """MB of memory: now (``VmRSS``) or at most (``VmHWM``)."""
    if _STATUS.exists():
        words = next(one for one in _STATUS.read_text().splitlines() if one.startswith(line))
        return int(words.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


if __name__ == "__main__":
    of, this, what = sys.argv[1:]
    print(json.dumps(dataclasses.asdict(_measured(of, this, Job(**json.loads(what))))))
