"""Kill, cut and fill up: what loads, archives and erasures leave when something breaks.

    python benchmarks/faults.py                  # 1000 faults
    python benchmarks/faults.py --faults 50      # the short form that runs with the tests
    python benchmarks/faults.py --only archive   # the work with that text in its name

A separate server, on a small disk of its own if this user may mount one, is struck at random
moments while a client works; the seed fixes works, faults and moments. After each fault the tables
must be as before the work or as after it, as after it if the client was told so, and every index,
constraint and trigger valid. Only faults that struck before the client had finished are counted. A
power cut is not among them: what the operating system has taken over is not lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from _faults_inject import FAULTS, WORKER, Link, Scene, recover
from _faults_kinds import WORKS
from _faults_work import partition, read_catalog
from _measure import print_markdown
from servers import TcpServer
from small_disks import small_disk_or_files

from synfin_analytics import DatabaseConfig, DatabaseManager
from synfin_analytics.exceptions import SynfinError

if TYPE_CHECKING:
    from _faults_work import State, Work

#: Seconds within which a client must answer after a fault, or after the server is back.
_PATIENCE = 120.0
#: Errors that tell that the outcome of a commit is not known.
_UNKNOWN = "it is unknown whether"


class Worker:
    """The process that does the work."""

    def __init__(self, folder: Path, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("_faults_worker.py")), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the driver writes there when a COPY loses its connection
            text=True,
            env={**os.environ, "DATABASE_URL": url},
            start_new_session=True,
        )
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        if self.process.stdout is not None:
            for line in self.process.stdout:
                self._lines.put(json.loads(line))
        self._lines.put({"event": "end", "outcome": "killed"})

    def begin(self, work: str) -> bool:
        """Start a work, and wait until the process begins it; return whether it does.

        An interrupt that came late may have ended the process, or lost the name of the work.
        """
        if self.process.stdin is None:
            raise RuntimeError("the worker has no input")
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{work}\n")
            self.process.stdin.flush()
        with contextlib.suppress(queue.Empty):
            while (event := self._lines.get(timeout=_PATIENCE / 6)).get("outcome") != "killed":
                if event["event"] == "begin":
                    return True
        return False

    @property
    def has_answered(self) -> bool:
        """Whether the work has ended, in whatever way."""
        return not self._lines.empty()

    def outcome(self) -> dict[str, Any]:
        """Wait for the outcome of the work."""
        return self._lines.get(timeout=_PATIENCE)

    def end(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()


@dataclass
class Tally:
    """Counts of one kind of fault or of one work."""

    struck: int = 0
    before: int = 0
    between: int = 0
    after: int = 0
    told: Counter[str] = field(default_factory=Counter)
    failures: int = 0


@dataclass
class Campaign:
    """A server, its client, and what has happened so far."""

    scene: Scene
    folder: Path
    url: str
    managers: dict[str, DatabaseManager]
    catalogs: dict[str, frozenset[tuple[str, bool]]]
    failures: list[str] = field(default_factory=list)
    too_late: int = 0
    by_fault: dict[str, Tally] = field(default_factory=dict)
    by_work: dict[str, Tally] = field(default_factory=dict)
    #: Seconds that a work takes without a fault.
    durations: dict[str, float] = field(default_factory=dict)

    def start_worker(self) -> Worker:
        """Start a worker, and wait until it can work."""
        worker = Worker(self.folder, self.url)
        self.scene.worker = worker.process
        worker.outcome()  # ready
        return worker

    def learn(self, works: list[Work]) -> None:
        """Do each work without a fault."""
        for work in works:
            manager = self.managers[work.database]
            work.learn(manager)
            work.prepare(manager)
            started = time.perf_counter()
            work.run(manager)
            self.durations[work.name] = time.perf_counter() - started

    def strike(self, worker: Worker, work: Work, fault: str) -> Worker:
        """Do a work, strike it, and judge what is left; return the worker of the next one."""
        manager, generator = self.managers[work.database], self.scene.generator
        work.prepare(manager)
        while not worker.begin(work.name):
            worker.end()
            worker = self.start_worker()
        # Beyond the usual duration: a moment may be lost until the worker begins.
        time.sleep(generator.uniform(0, 1.1 * self.durations[work.name]))
        too_late = worker.has_answered
        FAULTS[fault](self.scene)
        try:
            outcome = worker.outcome()
        except queue.Empty:
            outcome = {"outcome": "no answer"}
            worker.end()
        if outcome["outcome"] == "killed":
            worker.process.wait()
        recover(self.scene)
        try:
            state, problem = work.inspect(manager)
        except SynfinError as error:
            state, problem = None, f"what is left cannot be read: {error}"
        problems = [problem, self._contradiction(work, outcome, state), self._damage(work)]
        if not any(problems) and generator.random() < work.resumes and state is not None:
            try:
                problems.append(work.resume(manager, state))
            except SynfinError as error:
                problems.append(f"the next call fails: {error}")
            problems.append(self._damage(work))
        if too_late:
            self.too_late += 1
        else:
            self._count(work, fault, outcome, state, failed=any(problems))
        for text in filter(None, problems):
            self.failures.append(f"{work.name}, {fault}, told {outcome}: {text}")
        return worker if worker.process.poll() is None else self.start_worker()

    def _contradiction(self, work: Work, outcome: dict[str, Any], state: State | None) -> str:
        """Return what is wrong with the answer of the client."""
        match outcome["outcome"]:
            case "success" if state != "after":
                return "the client was told that the work succeeded, but it is not there"
            case "error" if work.knows_outcome and state == "after":
                if _UNKNOWN not in outcome["message"]:
                    return "the client was told that the work failed, but it is there"
            case "unexpected":
                return "the error is not one of the package's"
            case "no answer":
                return f"the client did not answer within {_PATIENCE:.0f} s"
        return ""

    def _damage(self, work: Work) -> str:
        """Return which index, constraint or trigger is missing, new or invalid."""
        now = read_catalog(self.managers[work.database])
        changed = sorted(f"{name} ({valid})" for name, valid in now ^ self.catalogs[work.database])
        return f"schema objects differ: {'; '.join(changed)}" if changed else ""

    def _count(
        self, work: Work, fault: str, outcome: dict[str, Any], state: State | None, *, failed: bool
    ) -> None:
        for tallies, name in ((self.by_fault, fault), (self.by_work, work.name)):
            tally = tallies.setdefault(name, Tally())
            tally.struck += 1
            tally.before += state == "before"
            tally.between += state == "between"
            tally.after += state == "after"
            tally.told[outcome["outcome"]] += 1
            tally.failures += failed


def print_tallies(title: str, tallies: dict[str, Tally]) -> None:
    """Print a table of counts."""
    total = Tally()
    for tally in tallies.values():
        total.struck += tally.struck
        total.before += tally.before
        total.between += tally.between
        total.after += tally.after
        total.told += tally.told
        total.failures += tally.failures
    print_markdown([
        (title, "faults", "nothing done", "part done", "all done", "client: success",
         "client: error", "client: killed or interrupted", "wrong"),
        *(
            (
                name,
                *(f"{number:,}" for number in (
                    tally.struck, tally.before, tally.between, tally.after, tally.told["success"],
                    tally.told["error"], tally.told["killed"] + tally.told["interrupted"],
                    tally.failures,
                )),
            )
            for name, tally in [*sorted(tallies.items()), ("**all**", total)]
        ),
    ])  # fmt: skip
    print()


@click.command()
@click.option("--faults", "n_faults", default=1000, show_default=True, help="Faults to count.")
@click.option("--seed", default=1, show_default=True, help="Seed of works, faults and moments.")
@click.option("--only", default="", help="Only work with this text in its name.")
@click.option("--minutes", default=75.0, show_default=True, help="Stop after this time.")
def main(n_faults: int, seed: int, only: str, minutes: float) -> None:
    """Strike the work until enough faults have been counted."""
    folder = Path(tempfile.mkdtemp(prefix="synfin-faults-"))
    folder.chmod(0o711)
    server = TcpServer.create(
        wal_level="minimal", max_wal_senders="0", max_wal_size="64MB", min_wal_size="32MB",
        shared_buffers="32MB", autovacuum="off",
    )  # fmt: skip
    disk = small_disk_or_files(server)
    server.start()
    link = Link(server.port)
    scene = Scene(server, disk, link, random.Random(seed))
    campaign = None
    try:
        campaign = open_campaign(scene, folder)
        run(campaign, n_faults, only, time.monotonic() + 60 * minutes)
    finally:
        if campaign is not None:
            for manager in campaign.managers.values():
                manager.close()
        server.stop()
        disk.remove()
        server.remove()
        shutil.rmtree(folder)
    print_tallies("fault", campaign.by_fault)
    print_tallies("work", campaign.by_work)
    print(f"{campaign.too_late:,} further faults came when the client had finished.")
    for failure in campaign.failures:
        print(f"WRONG: {failure}")
    counted = sum(tally.struck for tally in campaign.by_fault.values())
    if counted < n_faults:
        print(f"Stopped after {minutes:g} minutes, with {counted} of {n_faults} faults.")
    sys.exit(bool(campaign.failures) or counted < n_faults)


def open_campaign(scene: Scene, folder: Path) -> Campaign:
    """Create the databases and remember their schema."""
    server = scene.server
    config = server.config()
    managers, catalogs = {}, {}
    for name in sorted({work.database for work in WORKS.values()}):
        server.create_database(name)
        managers[name] = DatabaseManager(dataclasses.replace(config, database=name))
        managers[name].create_all_tables()
        if "partitioned" in name:
            partition(managers[name])
        catalogs[name] = read_catalog(managers[name])
    url = worker_url(dataclasses.replace(config, port=scene.link.port))
    return Campaign(scene, folder, url, managers, catalogs)


def worker_url(config: DatabaseConfig) -> str:
    """URL of the worker's connections, which have a name of their own."""
    named = dataclasses.replace(config, options={"application_name": WORKER})
    return named.get_connection_string()


def run(campaign: Campaign, n_faults: int, only: str, deadline: float) -> None:
    """Strike until enough faults are counted, or the time is over."""
    works = [work(campaign.folder) for name, work in WORKS.items() if only in name]
    if not works:
        raise click.BadParameter(f"no work has this in its name; got {only!r}", param_hint="--only")
    campaign.learn(works)
    generator = campaign.scene.generator
    pairs: list[tuple[Work, str]] = []
    worker = campaign.start_worker()
    try:
        with click.progressbar(length=n_faults, label="faults", file=sys.stderr) as bar:
            counted = 0
            while counted < n_faults and time.monotonic() < deadline:
                if not pairs:
                    pairs = [
                        (work, fault) for work in works for fault in FAULTS
                        if work.writes_files or fault != "disk of the client full"
                    ]  # fmt: skip
                    generator.shuffle(pairs)
                work, fault = pairs.pop()
                worker = campaign.strike(worker, work, fault)
                now = sum(tally.struck for tally in campaign.by_fault.values())
                bar.update(now - counted)
                counted = now
    finally:
        worker.end()


if __name__ == "__main__":
    main()
