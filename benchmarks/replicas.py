"""Reads from a replica right after a commit: python benchmarks/replicas.py

Starts a primary and a streaming standby (it needs pg_basebackup: apt-get install postgresql). Each
round commits rows on the primary, and counts them at once on the standby: first without waiting, on
a connection to the standby alone, then with a manager that knows it as the primary's replica. The
last column is the time of that read beyond the median of a second one, which has nothing to wait
for.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from pathlib import Path

import click
from _measure import print_markdown
from sqlalchemy import text

from synfin_analytics import DatabaseManager, read_df

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

import servers

COUNT = "SELECT count(*) AS n, pg_is_in_recovery() AS standby FROM rows"

HEADINGS = ["read", "stale", "on the standby", "median wait (ms)", "longest (ms)"]


def timed_count(manager: DatabaseManager) -> tuple[int, bool, float]:
    """Return the number of rows, whether the standby counted them, and the milliseconds."""
    started = time.perf_counter()
    result = read_df(COUNT, manager=manager)
    milliseconds = (time.perf_counter() - started) * 1000
    return int(result["n"][0]), bool(result["standby"][0]), milliseconds


def measure(
    name: str, writer: DatabaseManager, reader: DatabaseManager, rounds: int, rows: int
) -> list[str]:
    """Commit and read in turns."""
    insert = text("INSERT INTO rows SELECT i, repeat('x', 100) FROM generate_series(1, :n) AS i")
    expected = timed_count(writer)[0]
    firsts, seconds = [], []
    stale = on_standby = 0
    for _ in range(rounds):
        with writer.session_scope() as session:
            session.execute(insert, {"n": rows})
        expected += rows
        count, is_standby, milliseconds = timed_count(reader)
        stale += count != expected
        on_standby += is_standby
        firsts.append(milliseconds)
        while timed_count(reader)[0] != expected:
            pass
        seconds.append(timed_count(reader)[2])
    waits = [first - statistics.median(seconds) for first in firsts]
    return [
        name,
        f"{stale} of {rounds}",
        f"{on_standby} of {rounds}",
        f"{statistics.median(waits):.1f}",
        f"{max(waits):.1f}",
    ]


@click.command()
@click.option("--rounds", default=40, show_default=True)
@click.option("--rows", default=1000, show_default=True, help="Rows of each commit.")
def main(rounds: int, rows: int) -> None:
    """Measure stale reads and waits."""
    if not servers.DEBIAN:
        raise click.ClickException(servers.NO_STANDBY)
    with contextlib.ExitStack() as stack:
        primary = servers.TcpServer.create_primary()
        stack.callback(primary.remove)
        standby = primary.create_standby()
        stack.callback(standby.remove)
        configs = [
            primary.config(replica_hosts=f"127.0.0.1:{standby.port}"),
            standby.config(),
        ]
        manager, alone = (
            stack.enter_context(contextlib.closing(DatabaseManager(config))) for config in configs
        )
        with manager.session_scope() as session:
            session.execute(text("CREATE TABLE rows (i int, t text)"))
        timed_count(manager)
        results = [
            measure("without waiting", manager, alone, rounds, rows),
            measure("of the manager", manager, manager, rounds, rows),
        ]
    print_markdown([HEADINGS, *results])


if __name__ == "__main__":
    main()
