"""How long the numbers of a model report take, beside those of another checkout.

    python benchmarks/report_compute.py [--rows 1000000] [--customers 20000] [--repeat 3]
    python benchmarks/report_compute.py --other PATH    # a checkout of another commit

Each run has a process of its own, and the checkouts take turns. It prints medians of the seconds,
of the processor's seconds (which other work on the machine changes less) and of the peak memory,
and by how much the ends of the bootstrap intervals differ between the checkouts at most.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
from _measure import print_markdown

ROOT = Path(__file__).parents[1]


def measure(rows: int, customers: int, resamples: int) -> dict[str, Any]:
    """Compute a report with a compared model and three groupings; return what it took."""
    from report_page import scored

    from synfin_analytics import model_report

    generator = np.random.default_rng(2)
    frame = scored(rows).with_columns(
        customer=pl.Series(generator.integers(0, customers, rows)),
        region=pl.Series(generator.choice([*"abcdef"], rows)),
        segment=pl.Series(generator.choice(["private", "business"], rows)),
    )
    start, processor = time.perf_counter(), time.process_time()
    report = model_report(
        frame, label="isFraud", score="p", timestamp="when", customer="customer", amount="amount",
        compare_with="other", by=["channel", "region", "segment"], n_resamples=resamples,
    )  # fmt: skip
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux
    ends = [end for interval in report.bootstraps.values() for end in (interval.low, interval.high)]
    for gaps in report.gaps.values():
        ends += gaps.filter(regex="_(low|high)$").to_numpy(float).ravel().tolist()
    return {"seconds": seconds, "processor": processor, "megabytes": peak / 1e3, "ends": ends}


def run(checkout: Path, arguments: list[int]) -> dict[str, Any]:
    """Measure a checkout in a process of its own."""
    command = [sys.executable, __file__, "--alone", json.dumps(arguments)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    result = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return measured


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1_000))
@click.option("--customers", default=20_000, show_default=True, type=click.IntRange(min=10))
@click.option("--resamples", default=1_000, show_default=True, type=click.IntRange(min=1))
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--other", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--alone", hidden=True, help="Measure once, here.")
def main(
    rows: int, customers: int, resamples: int, repeat: int, other: Path | None, alone: str | None
) -> None:
    """Measure this checkout, and another one in turn."""
    if alone is not None:
        print(json.dumps(measure(*json.loads(alone))))
        return
    checkouts = {"this checkout": ROOT} | ({} if other is None else {"other": other.resolve()})
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in checkouts}
    for _ in range(repeat):
        for name, checkout in checkouts.items():
            runs[name].append(run(checkout, [rows, customers, resamples]))
    print_markdown(
        [["", "seconds", "processor seconds", "peak MB"]]
        + [
            [name]
            + [
                f"{statistics.median(measured[what] for measured in of_checkout):,.1f}"
                for what in ("seconds", "processor", "megabytes")
            ]
            for name, of_checkout in runs.items()
        ]
    )
    if other is not None:
        first, second = (np.array(of_checkout[0]["ends"]) for of_checkout in runs.values())
        print(f"\nends of intervals differ by at most {np.nanmax(np.abs(first - second)):.2g}")


if __name__ == "__main__":
    main()
