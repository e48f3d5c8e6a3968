"""CPU time of loads with this checkout and with another one, side by side.

    git worktree add --detach ../before REVISION
    python benchmarks/load_cost.py --against ../before
    python benchmarks/load_cost.py --index ix_transactions_amount   # with it, and without it

Each checkout has a process and an embedded server of its own, and they take turns, in the opposite
order every other time. The time is that of the client and of all processes of the server, index
builds included (Linux only: read from /proc). Autovacuum is off.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import click

GROUPS = ("empty", "following", "between")
_TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    # The name of the program, in parentheses, may contain spaces.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _server_seconds(postmaster: int) -> float:
    """CPU time of the server: what runs, and what has ended and belongs to the postmaster."""
    ticks = sum(map(int, _stat(postmaster)[11:15]))
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                fields = _stat(int(path.name))
                if int(fields[1]) == postmaster:
                    ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def create_indexes(url: str, names: tuple[str, ...]) -> None:
    """Create optional indexes of the package."""
    from synfin_analytics import apply_index_change, profile_database
    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import DatabaseManager

    manager = DatabaseManager(DatabaseConfig.from_env(environ={"DATABASE_URL": url}))
    changes = {change.index: change for change in profile_database(manager).changes}
    for name in names:
        apply_index_change(manager, changes[name])
    manager.close()


def work(rows: int, indexes: tuple[str, ...]) -> None:
    """Load as often as stdin has a name of a group, and print the seconds of each load."""
    import _data
    import polars as pl
    from _data import Rows
    from _place import open_place
    from sqlalchemy import text

    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.load import load_df

    cases = {
        "empty": Rows(rows),
        "following": Rows(rows, first=2 * rows),
        "between": Rows(rows, first=1, step=2, shuffled=True),
    }
    frames = {name: pl.concat(list(case.frames())) for name, case in cases.items()}
    with open_place() as place, contextlib.ExitStack() as stack:
        with place._admin.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("ALTER SYSTEM SET autovacuum = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
            backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            postmaster = int(_stat(backend)[1])
        empty = stack.enter_context(place.prepared("empty", _data.parents()))
        earlier = pl.concat(list(Rows(rows, step=2).frames()))
        full = stack.enter_context(
            place.prepared("full", {**_data.parents(), "transactions": earlier})
        )
        if indexes:
            for name in (empty, full):
                create_indexes(place.url(name), indexes)
        print("ready", flush=True)
        for line in sys.stdin:
            group = line.strip()
            with place.fresh(empty if group == "empty" else full) as url:
                manager = DatabaseManager(DatabaseConfig.from_env(environ={"DATABASE_URL": url}))
                options: dict[str, Any] = {}
                if group == "empty":
                    options["rebuild_indexes"] = "always"
                manager.health_check()
                server, client, wall = (
                    _server_seconds(postmaster),
                    time.process_time(),
                    time.perf_counter(),
                )
                report = load_df(
                    frames[group], "transactions", manager=manager, progress=False, **options
                )
                seconds = {
                    "wall": time.perf_counter() - wall,
                    "client": time.process_time() - client,
                    "server": _server_seconds(postmaster) - server,
                }
                manager.close()
                if report.inserted != rows:
                    raise click.ClickException(f"{report.inserted:,} rows instead of {rows:,}.")
            print(json.dumps(seconds), flush=True)


class _Worker:
    """Process that loads with the package of one checkout."""

    def __init__(self, checkout: Path, rows: int, indexes: tuple[str, ...]) -> None:
        options = [option for name in indexes for option in ("--index", name)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--rows", str(rows), "--worker", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(checkout.resolve())},
        )
        self.read()

    def read(self) -> str:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise click.ClickException("A worker has ended; its error is above.")
        return line

    def load(self, group: str) -> dict[str, float]:
        stdin = self._pipe(self._process.stdin)
        stdin.write(f"{group}\n")
        stdin.flush()
        seconds: dict[str, float] = json.loads(self.read())
        return {**seconds, "CPU": seconds["client"] + seconds["server"]}

    def close(self) -> None:
        self._pipe(self._process.stdin).close()
        self._process.wait()

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        if stream is None:
            raise RuntimeError("The process was started without pipes.")
        return stream


@click.command()
@click.option("--against", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--checkout", default=Path(__file__).parents[1], type=click.Path(path_type=Path))
@click.option("--rows", default=200_000, show_default=True, type=click.IntRange(min=2))
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--index", "indexes", multiple=True, help="An optional index to create.")
@click.option("--worker", is_flag=True, hidden=True)
def main(
    against: Path | None,
    checkout: Path,
    rows: int,
    repeat: int,
    indexes: tuple[str, ...],
    worker: bool,
) -> None:
    """Compare the CPU time of loads of this checkout with those of another one.

    With --index, this checkout has that index; without --against, it is compared with itself.
    """
    if worker:
        work(rows, indexes)
        return
    if against is None and not indexes:
        raise click.UsageError("`--against` must be the folder of another checkout.")
    with contextlib.ExitStack() as stack:
        workers = {}
        for name, folder, created in (
            ("before", against or checkout, ()),
            ("after", checkout, indexes),
        ):
            workers[name] = _Worker(folder, rows, created)
            stack.callback(workers[name].close)
        for group in GROUPS:
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
            for turn in range(repeat):
                for name in list(workers)[:: 1 if turn % 2 else -1]:
                    runs[name].append(workers[name].load(group))
            for kind in ("CPU", "client", "server", "wall"):
                pairs = [
                    (a[kind], b[kind]) for a, b in zip(runs["before"], runs["after"], strict=True)
                ]
                ratios = sorted(b / a for a, b in pairs)
                click.echo(
                    f"{group}: {kind}: {statistics.median(a for a, _ in pairs):.2f} s before, "
                    f"{statistics.median(b for _, b in pairs):.2f} s after; ratio "
                    f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
                )


if __name__ == "__main__":
    main()
