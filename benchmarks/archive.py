"""Archive months, verify the files and restore them, next to a plain export and DELETE.

    python benchmarks/archive.py                          # 350,000 transactions
    python benchmarks/archive.py --rows 50000 --repeat 3

Simulated transactions with as many features and predictions, on an embedded server of its own. All
months but the last are archived and restored; the baseline reads the same rows with `read_batches`,
writes them to Parquet files and deletes them with one `DELETE ... WHERE` for each table: nothing is
read back, compared, or safe from a crash. Both take turns, each on a fresh copy of the same
database. Processor seconds are those of the client and of the server.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import shutil
import statistics
import time
from typing import TYPE_CHECKING, Any

import click
import polars as pl
import pyarrow.parquet as pq
from _measure import print_markdown
from _place import Place, open_place
from sqlalchemy import text

from synfin_analytics import (
    archive_transactions,
    engineer_features,
    load_df,
    read_batches,
    simulate,
    verify_archive,
)
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.io.archive import _archive_transactions, _delete, _export

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from synfin_analytics import ArchiveReport

DAYS = 120
#: First day of the rows, and the month that stays in the database.
START, BEFORE = dt.date(2025, 1, 1), "2025-04"
CHILDREN = ("ml_features", "model_predictions")
#: Functions of the package, and the phase whose time theirs is.
PHASES: dict[str, list[tuple[Any, str]]] = {
    "export": [(_archive_transactions._Run, "_export")],
    "read back and compare": [
        (_archive_transactions._Run, "_check"),
        (_export.Export, "checksums"),
        (_export.Export, "count"),
    ],
    "delete": [(_delete.Deletion, "delete")],
    "vacuum": [(_archive_transactions, "vacuum")],
}
#: What is compared: phases of the package, and those of the baseline.
RATIOS = {
    "archive : plain export, DELETE and VACUUM": (
        (*PHASES, "other"),
        ("plain export", "plain DELETE", "plain VACUUM"),
    ),
    "export, read back and compare : plain export": (
        ("export", "read back and compare"),
        ("plain export",),
    ),
    "delete : plain DELETE": (("delete",), ("plain DELETE",)),
}


@dataclasses.dataclass
class Clock:
    """Seconds and processor seconds by phase; an inner phase does not count for the outer one."""

    place: Place
    spent: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    _phases: list[str] = dataclasses.field(default_factory=list)
    _last: tuple[float, float] = (0.0, 0.0)

    def _now(self) -> tuple[float, float]:
        server = self.place.server_seconds()
        return time.perf_counter(), time.process_time() + server

    def _count(self) -> None:
        now = self._now()
        if self._phases:
            spent = self.spent.setdefault(self._phases[-1], [0.0, 0.0])
            for position, (before, after) in enumerate(zip(self._last, now, strict=True)):
                spent[position] += after - before
        self._last = self._now()  # without the time that reading the clocks takes

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what happens meanwhile for a phase."""
        self._count()
        self._phases.append(name)
        try:
            yield
        finally:
            self._count()
            self._phases.pop()

    @contextlib.contextmanager
    def phases(self) -> Iterator[None]:
        """Count the functions of the package for their phases."""
        with contextlib.ExitStack() as stack:
            for name, functions in PHASES.items():
                for owner, attribute in functions:
                    original = getattr(owner, attribute)
                    setattr(owner, attribute, self._timed(name, original))
                    stack.callback(setattr, owner, attribute, original)
            yield

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            with self.phase(name):
                return function(*args, **options)

        return timed


# -- Rows ------------------------------------------------------------------------------------------


def frames(rows: int) -> dict[str, object]:
    """Simulate customers, merchants, transactions, their features and predictions."""
    customers = max(rows * 17 // (16 * DAYS), 50)
    world = simulate(customers, max(20, customers // 8), DAYS, start=START, seed=0, output="polars")
    transactions = world.transactions
    features = engineer_features(transactions, world.customers, world.merchants)
    predictions = transactions.select(
        "transaction_id",
        model_name=pl.lit("forest"),
        model_version=pl.lit("1.0"),
        ground_truth="is_fraud",
        predicted_at="timestamp",
        fraud_probability=(pl.col("amount").cast(pl.Float64) / 1000).clip(0, 1),
    ).with_columns(prediction=pl.col("fraud_probability") > 0.5)
    tables = {**world.to_dict(), "ml_features": features, "model_predictions": predictions}
    return {name: tables[name] for name in ("customers", "merchants", "transactions", *CHILDREN)}


# -- The two ways ----------------------------------------------------------------------------------


def run_package(clock: Clock, manager: DatabaseManager, folder: Path) -> ArchiveReport:
    """Archive, verify and restore."""
    with clock.phases(), clock.phase("other"):
        report = archive_transactions(folder, BEFORE, manager=manager)
    with clock.phase("verify"):
        problems = verify_archive(folder)
    with clock.phase("restore"):
        restored = load_df(folder, manager=manager, progress=False)
    counts = {name: restored[name].inserted for name in report.rows}
    if len(problems) or counts != report.rows:
        raise click.ClickException(f"{report.rows} were archived, and {counts} restored.")
    return report


def run_baseline(clock: Clock, manager: DatabaseManager, folder: Path) -> None:
    """Export the same rows and delete them."""
    folder.mkdir()
    keys = f"SELECT transaction_id FROM transactions WHERE timestamp < '{BEFORE}-01Z'"
    tables = (*CHILDREN, "transactions")
    with clock.phase("plain export"):
        for table in tables:
            query = f"SELECT * FROM {table} WHERE transaction_id IN ({keys})"
            with read_batches(query, manager=manager, use_decimal=True) as batches:  # noqa: SIM117
                with pq.ParquetWriter(folder / f"{table}.parquet", batches.schema) as writer:
                    for batch in batches.batches:
                        writer.write_batch(batch)
    with clock.phase("plain DELETE"), manager.session_scope() as session:
        for table in tables:
            session.execute(text(f"DELETE FROM {table} WHERE transaction_id IN ({keys})"))
    with clock.phase("plain VACUUM"), manager.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in tables:
            connection.execute(text(f"VACUUM (ANALYZE) {table}"))


@click.command()
@click.option("--rows", default=350_000, show_default=True, type=click.IntRange(min=500))
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(min=1))
def main(rows: int, repeat: int) -> None:
    """Print the time of each phase, and ratios to the baseline of the same turn."""
    clocks: dict[str, list[Clock]] = {"package": [], "baseline": []}
    with open_place() as place, place.prepared("archive", frames(rows)) as template:
        for turn in range(repeat):
            for way in list(clocks)[:: -1 if turn % 2 else 1]:
                clock = Clock(place)
                with place.fresh(template) as url:
                    config = DatabaseConfig.from_env(environ={"DATABASE_URL": url})
                    manager = DatabaseManager(config)
                    manager.health_check()
                    folder = place.folder / "files"
                    if way == "package":
                        report = run_package(clock, manager, folder)
                    else:
                        run_baseline(clock, manager, folder)
                    manager.close()
                shutil.rmtree(folder)
                clocks[way].append(clock)
    print_results(clocks, report)


def print_results(clocks: dict[str, list[Clock]], report: ArchiveReport) -> None:
    """Print medians by phase, and the ratios of the turns."""
    n_months, n_rows = len(report.months), report.rows["transactions"]
    click.echo(
        f"### {n_rows:,} transactions of {n_months} months, with {report.rows['ml_features']:,} "
        f"features and {report.rows['model_predictions']:,} predictions\n"
    )
    lines = [["phase", "seconds", "processor seconds"], ["---", "---:", "---:"]]
    for runs in clocks.values():
        for phase in runs[0].spent:
            medians = [
                statistics.median(run.spent[phase][position] for run in runs) for position in (0, 1)
            ]
            lines.append([phase, *(f"{median:.2f}" for median in medians)])
    print_markdown(lines)
    click.echo(
        f"\nlongest transaction that deletes: {report.longest_transaction:.2f} s; "
        f"{report.size / 1e6:.1f} MB"
    )
    for name, (ours, plain) in RATIOS.items():
        ratios = [
            [
                sum(run.spent[phase][position] for phase in ours)
                / sum(other.spent[phase][position] for phase in plain)
                for run, other in zip(clocks["package"], clocks["baseline"], strict=True)
            ]
            for position in (0, 1)
        ]
        seconds, processor = map(spread, ratios)
        click.echo(f"{name}: {seconds} of the seconds, {processor} of the processor seconds")


def spread(values: list[float]) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
