"""Rolling windows by customer, compared with polars: python benchmarks/rolling.py

Both compute the count and the sum of amounts of the five trailing windows of the customer features,
and then the count of a window that ends a week earlier, as for labels that arrive after a week.
They take turns in one process; the ratio is computed for each pair of turns.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
import numpy as np
import polars as pl
from _measure import print_markdown
from features import generate_rows

from synfin_analytics._core.grouped import DAY, HOUR, Amounts, GroupedRolling, factorize

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOWS = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
WEEK = 7 * DAY


def with_numpy(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """Counts and sums of the trailing windows, with GroupedRolling."""
    rolling = GroupedRolling(
        factorize(frame["customer_id"]), frame["timestamp"].to_physical().to_numpy()
    )
    amounts = Amounts.from_floats(frame["amount"].to_numpy())
    columns = {}
    for name, length in WINDOWS.items():
        window = rolling.window(length)
        columns[f"count_{name}"] = window.count()
        columns[f"sum_{name}"] = amounts.to_money(window.sum(amounts.units))
    return columns


def with_polars(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """The same with rolling_sum_by over each customer."""
    expressions = {
        f"{statistic}_{name}": pl.col(column)
        .rolling_sum_by("timestamp", name, closed="right")
        .over("customer_id")
        for name in WINDOWS
        for statistic, column in (("count", "one"), ("sum", "amount"))
    }
    result = frame.with_columns(one=pl.lit(1, pl.Int64)).select(**expressions)
    return {name: result[name].to_numpy() for name in result.columns}


def lagged_with_numpy(frame: pl.DataFrame) -> np.ndarray:
    """Count of the window (t - 14 d, t - 7 d], with GroupedRolling."""
    rolling = GroupedRolling(
        factorize(frame["customer_id"]), frame["timestamp"].to_physical().to_numpy()
    )
    return rolling.window(WEEK, lag=WEEK).count()


def lagged_with_polars(frame: pl.DataFrame) -> np.ndarray:
    """The same as a difference of two windows, since rolling_sum_by has no lag."""
    counted = frame.with_columns(one=pl.lit(1, pl.Int64))
    counts = [
        pl.col("one").rolling_sum_by("timestamp", length, closed="right").over("customer_id")
        for length in ("14d", "7d")
    ]
    return counted.select(counts[0] - counts[1]).to_series().to_numpy()


def seconds_of(function: Callable[[pl.DataFrame], object], frame: pl.DataFrame) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function(frame)
    return time.perf_counter() - start


@click.command()
@click.option("--rows", "sizes", type=int, multiple=True, default=(100_000, 1_000_000))
@click.option("--runs", default=5, show_default=True)
def main(sizes: tuple[int, ...], runs: int) -> None:
    """Print the seconds of both, and how many rows differ because of equal timestamps."""
    lines = [
        ["windows", "rows", "ours", "polars", "polars / ours", "rows that differ"],
        ["---"] * 6,
    ]
    for size in sizes:
        frame = generate_rows(size)
        numpy_columns, polars_columns = with_numpy(frame), with_polars(frame)
        differ = np.zeros(size, np.bool_)
        for name, values in numpy_columns.items():
            differ |= ~np.isclose(values, polars_columns[name], rtol=1e-9, atol=1e-6)
        lagged = lagged_with_numpy(frame) != lagged_with_polars(frame)
        for label, pair, n_differ in (
            ("5 trailing, count and sum", (with_numpy, with_polars), int(differ.sum())),
            ("1 with a lag, count", (lagged_with_numpy, lagged_with_polars), int(lagged.sum())),
        ):
            turns = [[seconds_of(function, frame) for function in pair] for _ in range(runs)]
            ratios = sorted(second / first for first, second in turns)
            first, second = (sorted(column)[runs // 2] for column in zip(*turns, strict=True))
            ratio = f"{ratios[runs // 2]:.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
            lines.append(
                [label, f"{size:,}", f"{first:.2f} s", f"{second:.2f} s", ratio, f"{n_differ:,}"]
            )
    print_markdown(lines)


if __name__ == "__main__":
    main()
