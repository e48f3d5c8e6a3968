"""Time and memory to simulate worlds of several sizes.

    python benchmarks/simulation.py --rows 100000 --rows 1000000 --rows 5000000

Each runs in a separate process. The sizes take turns, so that load on the machine affects all.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import platform
import statistics

import click
from _measure import print_markdown, timed

from synfin_analytics.simulation import simulate

ROWS = (100_000, 1_000_000, 5_000_000)
DAYS, CUSTOMERS_PER_MERCHANT = 90, 10
#: Approximate number of transactions of a customer in these days.
_PER_CUSTOMER = 94


def measure(rows: int, output: str) -> tuple[int, float, float]:
    """Number of transactions, seconds, and the increase in peak MB."""
    simulate(10, 10, 5)  # imports, and tables that are created once
    customers = max(rows // _PER_CUSTOMER, 1)
    merchants = max(customers // CUSTOMERS_PER_MERCHANT, 50)
    world, seconds, megabytes = timed(
        lambda: simulate(customers, merchants, DAYS, output=output)  # type: ignore[arg-type]
    )
    return len(world.transactions), seconds, megabytes


def measure_in_process(rows: int, output: str) -> tuple[int, float, float]:
    """Do the same in a separate process."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
        return process.submit(measure, rows, output).result()


@click.command()
@click.option(
    "--rows",
    multiple=True,
    default=ROWS,
    type=click.IntRange(min=100),
    help="Approximate number of transactions.",
)
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--output", default="pandas", type=click.Choice(["pandas", "polars", "arrow"]))
@click.option("--one-process", is_flag=True, help="Quick, but the memory is only an estimate.")
def main(rows: tuple[int, ...], repeat: int, output: str, one_process: bool) -> None:
    """Print a table with a line for each size."""
    runs: dict[int, list[tuple[int, float, float]]] = {size: [] for size in rows}
    for run in range(repeat):
        for size in rows:
            click.echo(f"{run + 1}/{repeat}: {size:,} rows ", err=True, nl=False)
            measured = measure(size, output) if one_process else measure_in_process(size, output)
            click.echo(f"{measured[1]:.2f} s", err=True)
            runs[size].append(measured)
    click.echo(f"Python {platform.python_version()}; {platform.machine()}; {os.cpu_count()} cores")
    click.echo(f"\n### simulate, {output}: median of {repeat}\n")
    lines = [["transactions", "seconds", "rows/s", "peak MB", "bytes/row"], ["---:"] * 5]
    for measurements in runs.values():
        count = measurements[0][0]
        seconds = statistics.median(value for _, value, _ in measurements)
        megabytes = max(value for *_, value in measurements)
        lines.append(
            [
                f"{count:,}",
                f"{seconds:.2f}",
                f"{count / seconds:,.0f}",
                f"{megabytes:,.0f}",
                f"{megabytes * 2**20 / count:,.0f}",
            ]
        )
    print_markdown(lines)


if __name__ == "__main__":
    main()
