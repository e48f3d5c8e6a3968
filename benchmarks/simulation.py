"""How long a simulated world takes to make, and how much memory, for several sizes side by side.

    python benchmarks/simulation.py --rows 100000 --rows 1000000 --rows 5000000

Each in a process of its own. The sizes take turns, so that a busy moment strikes all of them.
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
DAYS, CUSTOMERS_OF_A_MERCHANT = 90, 10
#: Transactions that a customer makes in so many days, about.
_OF_A_CUSTOMER = 94


def made(rows: int, frame: str) -> tuple[int, float, float]:
    """Transactions made, seconds, and MB at most above those before."""
    simulate(10, 10, 5)  # imports, and tables that are made once
    customers = max(rows // _OF_A_CUSTOMER, 1)
    merchants = max(customers // CUSTOMERS_OF_A_MERCHANT, 50)
    world, seconds, megabytes = timed(
        lambda: simulate(customers, merchants, DAYS, output=frame)  # type: ignore[arg-type]
    )
    return len(world.transactions), seconds, megabytes


def in_process(rows: int, frame: str) -> tuple[int, float, float]:
    """Do the same in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
        return process.submit(made, rows, frame).result()


@click.command()
@click.option("--rows", multiple=True, default=ROWS, type=click.IntRange(min=100), help="About.")
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--frame", default="pandas", type=click.Choice(["pandas", "polars", "arrow"]))
@click.option("--one-process", is_flag=True, help="Quick and rough: memory is then a guess.")
def main(rows: tuple[int, ...], repeat: int, frame: str, one_process: bool) -> None:
    """Print a table with a line for each size."""
    runs: dict[int, list[tuple[int, float, float]]] = {size: [] for size in rows}
    for turn in range(repeat):
        for size in rows:
            click.echo(f"{turn + 1}/{repeat}: {size:,} rows ", err=True, nl=False)
            found = made(size, frame) if one_process else in_process(size, frame)
            click.echo(f"{found[1]:.2f} s", err=True)
            runs[size].append(found)
    click.echo(f"Python {platform.python_version()}; {platform.machine()}; {os.cpu_count()} cores")
    click.echo(f"\n### simulate, {frame}: median of {repeat}\n")
    lines = [["transactions", "seconds", "rows/s", "peak MB", "bytes/row"], ["---:"] * 5]
    for of_size in runs.values():
        count = of_size[0][0]
        seconds = statistics.median(one for _, one, _ in of_size)
        megabytes = max(one for *_, one in of_size)
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
