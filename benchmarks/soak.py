"""Eight processes on one embedded server for an hour: loads, reads, reports, and kills.

    python benchmarks/soak.py                    # an hour
    python benchmarks/soak.py --minutes 5

Each process does random work with rows of its own. Now and then a process, or the server, is
killed; the process is replaced, the server must come back by itself. Every commit is written to a
journal. At the end the tables must hold the rows of every commit, none of a load that failed, and
at most one load of a process that was killed while it loaded; no connection and no server may be
left.
An error is explained if it is one of the package's about a lost connection, and the server was
killed while the work ran.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl
import psutil
from _measure import print_markdown
from _place import own_folder
from sqlalchemy import text

from synfin_analytics import (
    TransactionRepository,
    fraud_report,
    get_db_manager,
    load_df,
    read_df,
    session_scope,
)
from synfin_analytics.database import embedded
from synfin_analytics.exceptions import DatabaseConnectionError, LoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Name of the load before all others.
_FIRST = "P0N0"
_START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
#: Connections of the package that are not the one that asks.
_CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'synfin_analytics' "
    "AND pid <> pg_backend_pid()"
)


@click.group(invoke_without_command=True)
@click.option("--minutes", default=60.0, show_default=True, help="How long the processes work.")
@click.option("--processes", default=8, show_default=True, help="How many work at once.")
@click.option("--seed", default=1, show_default=True, help="Seed of the work and of the kills.")
@click.pass_context
def main(context: click.Context, minutes: float, processes: int, seed: int) -> None:
    """Let processes work and kill them."""
    if context.invoked_subcommand is None:
        with own_folder() as home, tempfile.TemporaryDirectory() as folder:
            soak = Soak(home, Path(folder), random.Random(seed), processes)
            soak.run(minutes)
            sys.exit(soak.report())


# -- The process that supervises -------------------------------------------------------------------


@dataclass
class Soak:
    """The processes, and what has happened to them."""

    home: Path
    folder: Path
    generator: random.Random
    n_processes: int
    #: Process of each place, and how many there have been.
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    #: When the server was killed, and when it answered again.
    outages: list[tuple[float, float]] = field(default_factory=list)
    most_connections: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self, minutes: float) -> None:
        """Let the processes work for some minutes, then let them end."""
        get_db_manager().create_all_tables()
        _load(_rows(_FIRST, 100), self.folder)  # a report needs some
        end = time.time() + 60 * minutes
        next_kill = time.time() + 5
        while time.time() < end:
            for place in range(self.n_processes):
                process = self.processes.get(place)
                if process is None or process.poll() is not None:
                    if process is not None and process.returncode not in (0, -9):
                        self.failures.append(f"a process ended with {process.returncode}")
                    self.processes[place] = self.start(end)
            if time.time() >= next_kill:
                self.kill()
                next_kill = time.time() + self.generator.uniform(1, 9)
            with contextlib.suppress(DatabaseConnectionError):
                self.most_connections = max(self.most_connections, self.count_connections())
            time.sleep(0.2)
        for process in self.processes.values():
            try:
                process.wait(timeout=180)
            except subprocess.TimeoutExpired:
                self.failures.append(f"process {process.pid} did not end")
                process.kill()
                process.wait()

    def start(self, end: float) -> subprocess.Popen[bytes]:
        """Start a process."""
        self.started += 1
        number = self.started
        with (self.folder / f"stderr-{number}").open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, __file__, "work", str(number), str(end), str(self.folder)],
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def kill(self) -> None:
        """Kill a process, or one time in eight the server."""
        if self.generator.random() < 7 / 8:
            process = self.processes[self.generator.randrange(self.n_processes)]
            process.kill()
            process.wait()
            self.kills["process"] += 1
            return
        pid = embedded.status(self.home).pid
        if pid is not None:
            began = time.time()
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()
            self.kills["server"] += 1
            while not get_db_manager().health_check():
                time.sleep(0.1)
            self.outages.append((began, time.time()))

    @staticmethod
    def count_connections() -> int:
        """Number of connections of the processes."""
        with get_db_manager().engine.connect() as connection:
            return int(connection.scalar(text(_CONNECTIONS)) or 0)

    # -- What is left ------------------------------------------------------------------------------

    def report(self) -> int:
        """Check what is left, print it, and return the exit status."""
        events = list(self.events())
        done = Counter(event["work"] for event in events if event["event"] == "done")
        errors = [event for event in events if event["event"] == "error"]
        explained = [event for event in errors if self.explains(event)]
        for event in errors:
            if event not in explained:
                since = min((event["at"] - gone for gone, _ in self.outages if gone < event["at"]),
                            default=float("inf"))  # fmt: skip
                self.failures.append(
                    f"{event['work']}: {event['kind']}, {since:.1f} s after the last kill of the "
                    f"server: {event['message']}"
                )
        lost, surplus = self.compare(events)
        connections = self.wait_for_no_connections()
        server_pid = embedded.status(self.home).pid
        get_db_manager().close()
        servers = self.wait_for_no_server(server_pid)
        print_markdown([
            ("work", "done"),
            *((work, f"{count:,}") for work, count in sorted(done.items())),
        ])  # fmt: skip
        print()
        print_markdown([
            ("over all", "number"),
            ("processes started", f"{self.started:,}"),
            ("processes killed", f"{self.kills['process']:,}"),
            ("servers killed", f"{self.kills['server']:,}"),
            ("most connections at once", f"{self.most_connections:,}"),
            ("errors while the server was down", f"{len(explained):,}"),
            ("errors that are not explained", f"{len(errors) - len(explained):,}"),
            ("commits lost", f"{lost:,}"),
            ("loads that are there without a commit or a kill", f"{surplus:,}"),
            ("connections left", f"{connections:,}"),
            ("servers left", f"{servers:,}"),
        ])  # fmt: skip
        for failure in self.failures:
            print(f"WRONG: {failure}")
        return int(bool(self.failures or lost or surplus or connections or servers))

    def events(self) -> Iterator[dict[str, Any]]:
        """Read the journals; the last line of a killed process may be cut."""
        for path in sorted(self.folder.glob("journal-*")):
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    yield json.loads(line)

    def explains(self, error: dict[str, Any]) -> bool:
        """Whether an error is about a lost connection while the server was down."""
        return error["about_connection"] and any(
            error["began"] <= back and error["at"] >= gone for gone, back in self.outages
        )

    def compare(self, events: list[dict[str, Any]]) -> tuple[int, int]:
        """Count the commits whose rows are missing, and the loads that should not be there."""
        stored = read_df(
            "SELECT split_part(transaction_id, '-', 1) AS load, count(*) AS rows "
            "FROM transactions GROUP BY 1"
        )
        rows = dict(zip(stored["load"], stored["rows"], strict=True))
        del rows[_FIRST]
        begun = {event["load"]: event["rows"] for event in events if event["event"] == "load"}
        ended = {
            event["load"]: event["event"] for event in events
            if event.get("load") and event["event"] in {"done", "error"}
        }  # fmt: skip
        lost = surplus = 0
        for load, expected in begun.items():
            match ended.get(load), rows.pop(load, 0):
                case "done", n_rows if n_rows != expected:
                    lost += 1
                case "error", n_rows if n_rows:
                    surplus += 1
                case _, n_rows if n_rows not in {0, expected}:
                    surplus += 1
        return lost, surplus + len(rows)

    def wait_for_no_connections(self) -> int:
        """Wait until the server has ended the sessions of the processes."""
        for _ in range(300):
            if (count := self.count_connections()) == 0:
                return 0
            time.sleep(0.1)
        return count

    def wait_for_no_server(self, pid: int | None) -> int:
        """Wait until the server has ended, as its last user has."""
        for _ in range(600):
            if pid is None or not psutil.pid_exists(pid):
                break
            time.sleep(0.1)
        return sum(
            str(self.home) in " ".join(process.info["cmdline"] or [])
            for process in psutil.process_iter(["cmdline"])
            if process.pid != os.getpid()
        )


# -- A process that works --------------------------------------------------------------------------


@main.command()
@click.argument("number", type=int)
@click.argument("end", type=float)
@click.argument("folder", type=click.Path(path_type=Path))
def work(number: int, end: float, folder: Path) -> None:
    """Do random work until the time is over, and keep a journal."""
    generator = random.Random(number)
    with (folder / f"journal-{number}").open("a", encoding="utf-8") as journal:

        def note(event: str, **details: object) -> None:
            journal.write(json.dumps({"event": event, "at": time.time(), **details}) + "\n")
            journal.flush()  # a kill does not lose what the system has

        counter = 0
        while time.time() < end:
            counter += 1
            name = generator.choices(list(_WORK), weights=[4, 3, 3, 2, 1])[0]
            load = f"P{number}N{counter}"
            frame = _rows(load, generator.randint(50, 4000))
            loads = name.startswith("load")
            label = {"load": load} if loads else {}
            if loads:
                note("load", load=load, rows=len(frame))
            began = time.time()
            try:
                _WORK[name](frame, folder)
            except Exception as error:  # noqa: BLE001 - the supervisor judges it
                lost = isinstance(error, DatabaseConnectionError) or (
                    isinstance(error, LoadError) and "connection" in str(error)
                )
                note(
                    "error", work=name, began=began, about_connection=lost,
                    kind=type(error).__name__, message=str(error)[:300], **label,
                )  # fmt: skip
                time.sleep(0.5)
            else:
                note("done", work=name, **label)


def _rows(load: str, count: int) -> pl.DataFrame:
    number = pl.int_range(count, eager=True)
    return pl.DataFrame(
        {
            "transaction_id": f"{load}-" + number.cast(pl.String),
            "customer_id": "C" + (number % 50).cast(pl.String),
            "merchant_id": "M" + (number % 9).cast(pl.String),
            "amount": (number % 700) + 0.5,
            "timestamp": _START + number * dt.timedelta(minutes=3),
            "is_fraud": number % 40 == 0,
        }
    )


def _load(frame: pl.DataFrame, _folder: Path) -> None:
    load_df(frame, "transactions", on_missing_parent="create", progress=False)


def _load_in_session(frame: pl.DataFrame, _folder: Path) -> None:
    with session_scope() as session:
        load_df(
            frame, "transactions", on_missing_parent="create", session=session, progress=False
        )  # fmt: skip


def _read(_frame: pl.DataFrame, _folder: Path) -> None:
    read_df(
        "SELECT * FROM transactions WHERE customer_id = :customer ORDER BY timestamp LIMIT 5000",
        {"customer": "C7"},
        output="polars",
    )


def _ask_repository(_frame: pl.DataFrame, _folder: Path) -> None:
    with session_scope() as session:
        repository = TransactionRepository(session)
        repository.count()
        repository.fraud_rate(by="merchant_id", start=_START, end=_START + dt.timedelta(days=3))


def _report(_frame: pl.DataFrame, folder: Path) -> None:
    fraud_report().save(folder / f"report-{os.getpid()}.html")


_WORK: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    "load": _load,
    "load in a session": _load_in_session,
    "read": _read,
    "repository": _ask_repository,
    "report": _report,
}


if __name__ == "__main__":
    main()
