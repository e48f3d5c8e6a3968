"""What a million rows cost on each engine, and what more rows would need.

    python benchmarks/capacity.py slopes --rows 200000 --rows 400000 --rows 800000
    python benchmarks/capacity.py large --rows 5000000 --rows 50000000

``slopes`` measures calls for several numbers of simulated rows, each in a process of its own, fits
a line, and computes from it what 100 million and 10 billion rows would need. ``large`` simulates
worlds on disk, engineers their features and counts their fraud, in bounded memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import polars as pl
from _capacity_run import CALLS, ENGINES
from _measure import print_markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    #: Measurements by engine and call, and number of rows.
    Runs = dict[tuple[str, str], dict[int, dict[str, Any]]]

SIZES = (200_000, 400_000, 800_000)
LARGE = (5_000_000, 50_000_000)
LARGE_CALLS = (
    "fraud_rate",
    "fraud_rate(cluster='customer_id')",
    "window_features",
    "engineer_features",
)
DAYS = 90
#: Numbers of rows for which needs are extrapolated.
TARGETS = (100_000_000, 10_000_000_000)
_RUN = Path(__file__).with_name("_capacity_run.py")
SIMULATE, ON_DISK = "simulate", "polars lazy"
#: Engines and calls that write to a folder, in memory of which a part or an argument is the limit.
BOUNDED = (
    ("", SIMULATE),
    (ON_DISK, "engineer_features"),
    (ON_DISK, "window_features"),
)


@dataclasses.dataclass(frozen=True)
class Line:
    """Least-squares line through measurements of several sizes."""

    fixed: float
    per_million: float

    @classmethod
    def fit(cls, rows: list[int], values: list[float]) -> Line:
        slope, fixed = np.polyfit(np.array(rows) / 1e6, values, 1)
        return cls(float(fixed), float(slope))

    def at(self, rows: int) -> float:
        """Return the value that the line has for a number of rows."""
        return max(self.fixed, 0.0) + max(self.per_million, 0.0) * rows / 1e6

    def in_words(self, digits: int) -> str:
        """Return the fixed cost and that of a million rows, as a sum."""
        sign = "-" if round(self.per_million, digits) < 0 else "+"
        return f"{self.fixed:,.{digits}f} {sign} {abs(self.per_million):,.{digits}f}"


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a call costs on an engine, from all sizes; or why the engine refuses it."""

    engine: str
    call: str
    seconds: Line | None = None
    cpu: Line | None = None
    #: MB of the process that calls, and of the others that it started.
    peak: Line | None = None
    others: Line | None = None
    refused: str = ""

    @property
    def is_bounded(self) -> bool:
        """Whether memory grows up to a limit only, so that a line says nothing about more rows."""
        return (self.engine, self.call) in BOUNDED

    @property
    def name(self) -> list[str]:
        """Cells that name the call and the engine."""
        return [f"`{self.call}`", self.engine or "to a folder"]

    @classmethod
    def of(cls, engine: str, call: str, runs: dict[int, dict[str, Any]]) -> Cost:
        """Fit the lines, if all sizes were measured."""
        for run in runs.values():
            if "refused" in run:
                return cls(engine, call, refused=run["refused"])
        if len(runs) < 2:
            return cls(engine, call, refused="measured for one size only")
        lines = (
            Line.fit(list(runs), [run[name] for run in runs.values()])
            for name in ("seconds", "cpu", "peak", "peak of others")
        )
        return cls(engine, call, *lines)


# -- Measure ---------------------------------------------------------------------------------------


def run_in_process(*arguments: str | Path | int) -> dict[str, Any]:
    """Run one call in a process of its own."""
    command = [sys.executable, str(_RUN), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        message = (result.stderr.strip().splitlines() or ["no message"])[-1][:200]
        return {"refused": f"failed with code {result.returncode}: {message}"}
    measured: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return measured


def simulate_world(world: Path, rows: int) -> dict[str, Any]:
    """Simulate a world in a process of its own; its number of rows is measured, too."""
    result = run_in_process(SIMULATE, world, rows, DAYS, 0)
    if "refused" in result:
        raise click.ClickException(result["refused"])
    return result


def count_rows(folder: Path) -> int:
    rows: int = pl.scan_parquet(folder / "*.parquet").select(pl.len()).collect().item()
    return rows


def size_in_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def measure(
    sizes: tuple[int, ...],
    engines: tuple[str, ...],
    calls: tuple[str, ...],
    memory: str,
    home: Path,
) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    """Yield engine, call, number of rows and measurement."""
    for size in sorted(set(sizes)):
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            world = Path(scratch, "world")
            simulated = simulate_world(world, size)
            rows = count_rows(world / "transactions")
            yield "", SIMULATE, rows, simulated
            for call in calls:
                for engine in engines:
                    yield engine, call, rows, run_in_process(engine, call, world, rows, memory)


# -- Tables ----------------------------------------------------------------------------------------


def slope_table(costs: list[Cost]) -> list[list[str]]:
    """Return the fixed costs and the costs of a million rows."""
    head = ["call", "engine", "seconds", "CPU seconds", "peak MB", "peak MB of Spark's processes"]
    lines = [head, ["---", "---", *["---:"] * 4]]
    for cost in costs:
        if cost.seconds is None or cost.cpu is None or cost.peak is None or cost.others is None:
            continue
        lines.append(
            [
                *cost.name,
                cost.seconds.in_words(1),
                cost.cpu.in_words(2),
                "bounded" if cost.is_bounded else cost.peak.in_words(0),
                cost.others.in_words(0) if cost.engine == "spark" else "",
            ]
        )
    return lines


def need_table(costs: list[Cost], cores: int, gigabytes: int, hours: float) -> list[list[str]]:
    """Return what more rows would need if the lines went on.

    polars and DuckDB run on one machine. A cluster divides its CPU time over the cores of its
    machines; in memory, Dask divides the rows over its workers, and Spark has the peak on the
    client. Calls without a positive slope are left out.
    """
    head = ["call", "engine"]
    for rows in TARGETS:
        head += [f"CPU hours, {rows:,}", f"GB, {rows:,}", f"machines, {rows:,}"]
    lines = [head, ["---", "---", *["---:"] * (3 * len(TARGETS))]]
    for cost in costs:
        if cost.cpu is None or cost.peak is None or cost.cpu.per_million <= 0:
            continue  # no line, or one that says that rows cost nothing
        cells = cost.name
        for rows in TARGETS:
            cpu_hours, peak = cost.cpu.at(rows) / 3600, cost.peak.at(rows) / 1024
            for_time = math.ceil(cpu_hours / cores / hours)
            machines = "1"
            if cost.engine == "dask":
                machines = f"{max(for_time, math.ceil(peak / gigabytes)):,}"
            elif peak > gigabytes and not cost.is_bounded:
                machines = "does not fit"
            elif cost.engine == "spark":
                machines = f"{for_time:,}"
            size = "bounded" if cost.is_bounded else f"{peak:,.1f}"
            cells += [f"{cpu_hours:,.2f}", size, machines]
        lines.append(cells)
    return lines


def print_costs(runs: Runs, cores: int, gigabytes: int, hours: float) -> None:
    """Print slopes, refusals and needs."""
    costs = [Cost.of(engine, call, measured) for (engine, call), measured in runs.items()]
    click.echo("\n### Fixed cost + cost of a million rows\n")
    print_markdown(slope_table(costs))
    for cost in costs:
        if cost.refused:
            click.echo(f"\nNo line for {' on '.join(cost.name)}: {cost.refused}")
    click.echo(
        f"\n### Extrapolated: machines with {cores} cores and {gigabytes} GB; a cluster has "
        f"{hours:g} hours\n"
    )
    print_markdown(need_table(costs, cores, gigabytes, hours))


def read_runs(report: Path) -> Runs:
    """Return the measurements of a report of ``slopes``."""
    runs: Runs = {}
    for result in json.loads(report.read_text())["measurements"]:
        key = result.pop("engine"), result.pop("call")
        runs.setdefault(key, {})[result.pop("rows")] = result
    return runs


def write_runs(report: Path, runs: Runs) -> None:
    """Write all measurements."""
    measurements = [
        {"engine": engine, "call": call, "rows": rows, **result}
        for (engine, call), measured in runs.items()
        for rows, result in measured.items()
    ]
    content = {"machine": machine_in_words(), "measurements": measurements}
    report.write_text(json.dumps(content, indent=1))


def machine_in_words() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Python {platform.python_version()}; {platform.machine()}; {os.cpu_count()} cores; "
        f"{memory:.0f} GB of memory"
    )


# -- Commands --------------------------------------------------------------------------------------

folder_option = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="For files."
)
memory_option = click.option(
    "--memory", default="2GB", show_default=True, help="For features from a folder to a folder."
)
json_option = click.option(
    "--json", "report", type=click.Path(path_type=Path), help="Write all measurements to this file."
)

cores_option = click.option(
    "--cores", default=16, show_default=True, help="Of a machine, for the extrapolation."
)
gigabytes_option = click.option(
    "--gigabytes", default=64, show_default=True, help="Memory of that machine."
)
hours_option = click.option(
    "--hours", default=8.0, show_default=True, help="In which a cluster has to finish."
)


@click.group()
def main() -> None:
    """Measure what a million rows cost."""


@main.command()
@click.option("--rows", "sizes", type=click.IntRange(min=1000), multiple=True, default=SIZES)
@click.option(
    "--engine", "engines", type=click.Choice([*ENGINES]), multiple=True, default=[*ENGINES]
)
@click.option("--call", "calls", type=click.Choice([*CALLS]), multiple=True, default=[*CALLS])
@cores_option
@gigabytes_option
@hours_option
@memory_option
@folder_option
@json_option
def slopes(
    sizes: tuple[int, ...],
    engines: tuple[str, ...],
    calls: tuple[str, ...],
    cores: int,
    gigabytes: int,
    hours: float,
    memory: str,
    folder: Path | None,
    report: Path | None,
) -> None:
    """Print what calls cost on each engine: a fixed part, and a part for each million rows."""
    if len(set(sizes)) < 2:
        raise click.UsageError("A line needs two different numbers of --rows.")
    home = folder or Path(tempfile.gettempdir())
    home.mkdir(parents=True, exist_ok=True)
    runs: Runs = {}
    for engine, call, rows, result in measure(sizes, engines, calls, memory, home):
        runs.setdefault((engine, call), {})[rows] = result
        outcome = result.get("refused") or f"{result['seconds']:.1f} s, {result['peak']:,.0f} MB"
        click.echo(f"{rows:,} rows, {call} {engine}: {outcome}", err=True)
        if report is not None:
            write_runs(report, runs)
    click.echo(machine_in_words())
    print_costs(runs, cores, gigabytes, hours)


@main.command()
@click.argument("reports", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@cores_option
@gigabytes_option
@hours_option
def table(reports: tuple[Path, ...], cores: int, gigabytes: int, hours: float) -> None:
    """Print the tables of ``slopes`` again, from files that it wrote with --json."""
    runs: Runs = {}
    for report in reports:
        for key, measured in read_runs(report).items():
            runs.setdefault(key, {}).update(measured)
    print_costs(runs, cores, gigabytes, hours)


@main.command()
@click.option("--rows", "sizes", type=click.IntRange(min=1000), multiple=True, default=LARGE)
@click.option("--call", "calls", type=click.Choice([*CALLS]), multiple=True, default=LARGE_CALLS)
@click.option("--keep", is_flag=True, help="Keep the simulated worlds in --folder.")
@memory_option
@folder_option
@json_option
def large(
    sizes: tuple[int, ...],
    calls: tuple[str, ...],
    keep: bool,
    memory: str,
    folder: Path | None,
    report: Path | None,
) -> None:
    """Simulate worlds, and compute their features and fraud rates, in bounded memory.

    A world that --folder has from an earlier run is not simulated again.
    """
    home = folder or Path(tempfile.gettempdir())
    home.mkdir(parents=True, exist_ok=True)
    measurements: list[dict[str, Any]] = []
    for size in sorted(set(sizes)):
        with contextlib.ExitStack() as stack:
            place = home
            if not keep:
                place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=home)))
            world = place / f"world-{size}"
            if not world.exists():
                simulated = simulate_world(world, size)
                _record(measurements, SIMULATE, count_rows(world / "transactions"), simulated)
            rows = count_rows(world / "transactions")
            click.echo(f"{rows:,} rows in {size_in_mb(world):,.0f} MB of files", err=True)
            for call in calls:
                result = run_in_process(ON_DISK, call, world, rows, memory)
                _record(measurements, call, rows, result)
    if report is not None:
        content = {"machine": machine_in_words(), "measurements": measurements}
        report.write_text(json.dumps(content, indent=1))
    click.echo(machine_in_words())
    lines = [
        ["rows", "call", "seconds", "CPU seconds", "peak MB", "peak to that of the fewest rows"],
        ["---:", "---", *["---:"] * 4],
    ]
    first: dict[str, float] = {}
    for result in measurements:
        ratio = result["peak"] / first.setdefault(result["call"], result["peak"])
        numbers = [f"{result[name]:,.0f}" for name in ("seconds", "cpu", "peak")]
        lines.append([f"{result['rows']:,}", f"`{result['call']}`", *numbers, f"{ratio:.2f}"])
    click.echo(f"\n### In bounded memory: features with memory={memory!r}\n")
    print_markdown(lines)


def _record(
    measurements: list[dict[str, Any]], call: str, rows: int, result: dict[str, Any]
) -> None:
    if "refused" in result:
        raise click.ClickException(f"{call} of {rows:,} rows: {result['refused']}")
    measurements.append({"call": call, "rows": rows, **result})
    click.echo(
        f"{rows:,} rows, {call}: {result['seconds']:.0f} s, {result['peak']:,.0f} MB", err=True
    )


if __name__ == "__main__":
    main()
