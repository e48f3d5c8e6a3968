"""Reports of stored rows: read once, and counted by PostgreSQL in statements.

    python benchmarks/report_database.py                      # a million transactions
    python benchmarks/report_database.py --rows 2000000 --repeat 3

Both ways take turns in one process, on simulated transactions of an embedded server and predictions
of all of them. Processor seconds are those of the client and of the server. Above
``reports._loaded.MAX_ROWS``, reports count in statements.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np
import polars as pl
from _measure import print_markdown, timed
from _place import own_folder, server_seconds
from sqlalchemy import text

from synfin_analytics import (
    FraudReport,
    ModelReport,
    fraud_report,
    get_db_manager,
    load_df,
    model_report,
    simulate,
)
from synfin_analytics.reports import _loaded

if TYPE_CHECKING:
    from collections.abc import Callable

DAYS = 120
HEADINGS = ["report", "rows are", "seconds", "processor seconds", "of the server", "peak MB"]
WAYS = {"read once": _loaded.MAX_ROWS, "counted in statements": 0}


@dataclass(frozen=True)
class Run:
    """One report."""

    seconds: float
    client: float
    server: float
    megabytes: float

    @property
    def processor(self) -> float:
        """Processor seconds of the client and of the server."""
        return self.client + self.server


def fill(rows: int) -> int:
    """Load transactions and predictions of all of them; return their number."""
    customers = max(rows * 17 // (16 * DAYS), 50)
    world = simulate(customers, max(20, customers // 8), DAYS, seed=0, output="polars")
    for table in ("customers", "merchants", "transactions"):
        load_df(world.to_dict()[table], table, progress=False)
    transactions = world.transactions
    generator = np.random.default_rng(1)
    fraud = transactions["is_fraud"].fill_null(value=False).to_numpy()
    scores = np.where(
        fraud, generator.beta(4, 3, len(fraud)), generator.beta(1, 12, len(fraud))
    ).round(6)
    predictions = transactions.select(
        "transaction_id", model_name=pl.lit("forest"), model_version=pl.lit("1.0"),
        ground_truth="is_fraud",
    ).with_columns(fraud_probability=scores, prediction=scores >= 0.5)  # fmt: skip
    load_df(predictions, "model_predictions", progress=False)
    with get_db_manager().engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    return len(transactions)


def measure(report: Callable[[], FraudReport | ModelReport]) -> Run:
    """Compute a report."""
    server, client = server_seconds(get_db_manager()), time.process_time()
    _, seconds, megabytes = timed(report)
    return Run(
        seconds, time.process_time() - client, server_seconds(get_db_manager()) - server, megabytes
    )


def spread(values: list[float], unit: str = "") -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.2f}{unit} ({min(values):.2f} to {max(values):.2f})"


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=500))
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--only", type=click.Choice(["fraud_report", "model_report"]))
def main(rows: int, repeat: int, only: str | None) -> None:
    """Measure both ways in turns."""
    reports: dict[str, Callable[[], FraudReport | ModelReport]] = {
        "fraud_report": fraud_report,
        "model_report": lambda: model_report("forest", "1.0"),
    }
    with own_folder():
        get_db_manager().create_all_tables()
        n = fill(rows)
        table, sentences = [HEADINGS], []
        fraud_report(end="2025-01-15")  # imports what reports need
        model_report("forest", "1.0", end="2025-01-15")
        for name, report in reports.items():
            if only not in {None, name}:
                continue
            runs: dict[str, list[Run]] = {way: [] for way in WAYS}
            for _ in range(repeat):
                for way, max_rows in WAYS.items():
                    _loaded.MAX_ROWS = max_rows
                    runs[way].append(measure(report))
            for way, measured in runs.items():
                median = [
                    f"{statistics.median(getattr(run, what) for run in measured):,.1f}"
                    for what in ("seconds", "processor", "server")
                ]
                megabytes = max(run.megabytes for run in measured)
                table.append([name, way, *median, f"{megabytes:,.0f}"])
            pairs = list(zip(*runs.values(), strict=True))
            seconds = [once.seconds / counted.seconds for once, counted in pairs]
            processor = [once.processor / counted.processor for once, counted in pairs]
            sentences.append(
                f"{name}, read once : counted in statements: {spread(seconds)} of the seconds, "
                f"{spread(processor)} of the processor seconds"
            )
        get_db_manager().close()
    print(f"### Reports of {n:,} stored transactions, {repeat} runs each\n")
    print_markdown(table)
    print("", *sentences, sep="\n")


if __name__ == "__main__":
    main()
