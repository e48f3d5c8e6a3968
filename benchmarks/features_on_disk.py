"""Features of more rows than memory: python benchmarks/features_on_disk.py --rows 5000000

Generates a Parquet file part by part, and engineers its features to Parquet in two ways, each in a
process of its own: with temporary files in bounded memory, and in memory, as far as ``--in-memory``
allows. The script fails if the features differ in a bit.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import polars as pl
import pyarrow.parquet as pq
from _measure import memory_in_mb, print_markdown
from features import DAYS, ROWS_OF_A_CUSTOMER, ROWS_OF_A_MERCHANT

SIZES = (1_000_000, 5_000_000, 10_000_000)
ON_DISK, IN_MEMORY = "on disk", "in memory"
_PART = 1_000_000
_START = np.datetime64("2018-04-01", "us")


def write_rows(path: Path, n_rows: int) -> None:
    """Write payments with all columns that features need, a million at a time."""
    writer = None
    for part, start in enumerate(range(0, n_rows, _PART)):
        size = min(_PART, n_rows - start)
        rng = np.random.default_rng(part)
        seconds = np.sort(rng.integers(0, DAYS * 86_400, size))
        timestamp = pl.Series(_START + seconds * np.timedelta64(1, "s"))
        n_customers = max(n_rows // ROWS_OF_A_CUSTOMER, 1)
        n_merchants = max(n_rows // ROWS_OF_A_MERCHANT, 1)
        frame = pl.DataFrame(
            {
                "transaction_id": pl.int_range(start, start + size, eager=True),
                "timestamp": timestamp,
                "customer_id": rng.integers(0, n_customers, size),
                "merchant_id": rng.integers(0, n_merchants, size),
                "amount": np.round(rng.gamma(2, 27, size), 2),
                "is_fraud": rng.random(size) < 0.008,
                "label_available_at": timestamp + dt.timedelta(days=7),
                "latitude": 50 + rng.normal(0, 1, size),
                "longitude": 4 + rng.normal(0, 1, size),
                "is_online": rng.random(size) < 0.4,
                "country": rng.choice(["BE", "FR", "US"], size),
                "device_id": rng.integers(0, max(n_rows // 100, 1), size),
                "merchant_category": rng.choice(["fuel", "games", "grocery", "travel"], size),
                "is_holiday": rng.random(size) < 0.03,
            }
        ).with_columns(
            ("T" + pl.col("transaction_id").cast(pl.String).str.zfill(10)).alias("transaction_id"),
            *(
                (letter + pl.col(name).cast(pl.String)).alias(name)
                for letter, name in (("C", "customer_id"), ("M", "merchant_id"), ("D", "device_id"))
            ),
        )
        table = frame.to_arrow()
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def engineer(way: str, source: Path, folder: Path, memory: str) -> dict[str, float]:
    """Engineer the features to a folder, and measure this process."""
    from synfin_analytics import engineer_features

    started, processor_started = time.perf_counter(), time.process_time()
    if way == ON_DISK:
        engineer_features(source, output=folder, memory=memory)
    else:
        folder.mkdir()
        features = engineer_features(pl.read_parquet(source))
        features.write_parquet(folder / "part.parquet")
    return {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - processor_started,
        "megabytes": memory_in_mb("VmHWM"),
    }


def run_in_process(*arguments: str) -> dict[str, float]:
    """Run one way in a process of its own."""
    result = subprocess.run(
        [sys.executable, __file__, "--single", *arguments], capture_output=True, text=True
    )
    if result.returncode:
        raise click.ClickException(result.stderr[-2000:])
    measured: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return measured


def compare(folders: dict[str, Path]) -> None:
    """Fail if the features of two ways differ in a bit."""
    scans = [pl.scan_parquet(folder / "*.parquet") for folder in folders.values()]
    hashes = [
        scan.select(pl.struct(pl.all()).hash().sort()).collect(engine="streaming").to_series()
        for scan in scans
    ]
    if not hashes[0].equals(hashes[1]):
        raise click.ClickException("The features in memory and on disk differ.")


@click.command()
@click.option("--rows", "sizes", type=int, multiple=True, default=SIZES, show_default=True)
@click.option("--memory", default="1.5GB", show_default=True, help="Memory for the way on disk.")
@click.option(
    "--in-memory",
    "max_rows",
    default=10_000_000,
    show_default=True,
    help="Most rows for the way in memory, which needs more than 1 kB for each.",
)
@click.option("--folder", type=click.Path(path_type=Path), help="For files; some 700 bytes a row.")
@click.option("--single", type=click.Tuple([str, Path, Path]), hidden=True)
def main(
    sizes: tuple[int, ...],
    memory: str,
    max_rows: int,
    folder: Path | None,
    single: tuple[str, Path, Path] | None,
) -> None:
    """Print processor time and peak memory of both ways."""
    if single is not None:
        click.echo(json.dumps(engineer(*single, memory)))
        return
    lines = [["rows", "way", "seconds", "processor seconds", "ratio", "peak memory"], ["---:"] * 6]
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source = Path(scratch) / "rows.parquet"
            write_rows(source, size)
            ways = (ON_DISK, IN_MEMORY) if size <= max_rows else (ON_DISK,)
            folders = {way: Path(scratch) / way for way in ways}
            measured = {
                way: run_in_process(way, str(source), str(folders[way]), "--memory", memory)
                for way in ways
            }
            if len(ways) > 1:
                compare(folders)
            for way in ways:
                result = measured[way]
                ratio = ""
                if IN_MEMORY in measured:
                    ratio = f"{result['processor'] / measured[IN_MEMORY]['processor']:.2f}"
                lines.append(
                    [
                        f"{size:,}",
                        way,
                        f"{result['seconds']:.1f}",
                        f"{result['processor']:.1f}",
                        ratio,
                        f"{result['megabytes']:,.0f} MB",
                    ]
                )
    print_markdown(lines)


if __name__ == "__main__":
    main()
