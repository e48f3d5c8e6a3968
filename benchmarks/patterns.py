"""How often each detector is right, on simulations that its thresholds were not chosen on."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import polars as pl

from synfin_analytics.detection import (
    ANOMALY_DETECTORS,
    FRAUD_DETECTORS,
    DetectedPatterns,
    detect_anomalies,
    detect_patterns,
)
from synfin_analytics.detection._episodes import find_runs
from synfin_analytics.io.layouts import read_layout
from synfin_analytics.simulation import simulate

#: Customers, merchants, days and seed: none of them was looked at before the thresholds stood.
WORLDS = (
    (1000, 400, 180, 101),
    (3000, 1200, 120, 102),
    (5000, 2000, 90, 103),
    (2000, 800, 365, 104),
)
#: Of `simulate`, so that there are enough frauds of each kind.
FRAUD_RATE = 0.008
#: Frauds of one kind with a customer, or at a merchant, that are farther apart are two episodes.
APART = 14 * 86_400_000_000  # microseconds
#: Kinds whose episodes are a merchant's.
OF_MERCHANTS = ("compromised_merchant",)
HALF = 0.5
#: Of bands of confidence.
EDGES = (0.6, 0.8)


class Counts(NamedTuple):
    """What was found of one pattern, and what there was, in one world or several."""

    found: int = 0
    right: int = 0
    any_fraud: int = 0
    there: int = 0
    caught: int = 0
    patterns: int = 0
    patterns_right: int = 0
    episodes: int = 0
    episodes_caught: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(*(one + two for one, two in zip(self, other, strict=True)))


def episodes(rows: pl.DataFrame, kind: str) -> pl.Series:
    """Number of the true episode of each row of one kind, in the order of time."""
    at = rows["timestamp"].to_physical().to_numpy()
    if kind == "collusion_ring":
        # Those of a ring share merchants: one number for all that hang together.
        return _rings(rows)
    who = "merchant_id" if kind in OF_MERCHANTS else "customer_id"
    keys = rows[who].rank("dense").to_numpy().astype(np.int64)
    return pl.Series(find_runs(keys, at, np.ones(len(rows), bool), APART))


def _rings(rows: pl.DataFrame) -> pl.Series:
    left = rows["customer_id"].rank("dense").cast(pl.Int64)
    ring = rows["merchant_id"].rank("dense").cast(pl.Int64)
    frame = pl.DataFrame({"customer": left, "merchant": ring, "ring": ring})
    before = None
    while before is None or not frame["ring"].equals(before):
        before = frame["ring"]
        frame = frame.with_columns(pl.col("ring").min().over("customer"))
        frame = frame.with_columns(pl.col("ring").min().over("merchant"))
    return frame["ring"]


def count(transactions: pl.DataFrame, links: pl.DataFrame, kind: str, label: str) -> Counts:
    """Compare what a detector found with what was done."""
    found = links.filter(pattern_type=kind)
    truth = transactions.select("transaction_id", "is_fraud", (pl.col(label) == kind).alias("true"))
    found = found.join(truth, on="transaction_id").with_columns(
        pl.col("true").fill_null(value=False)
    )
    hit = found.unique("transaction_id")
    there = transactions.filter(pl.col(label) == kind).sort("timestamp")
    if kind in OF_MERCHANTS:  # of a fraud elsewhere nothing tells which terminal it was
        charged = pl.col("fraud_reason").str.contains("there again")
        grouped = there.filter(charged)
    else:
        grouped = there
    caught = pl.col("transaction_id").is_in(hit["transaction_id"].implode())
    of = grouped.select(caught.alias("caught"), episodes(grouped, kind).alias("episode"))
    whole = of.group_by("episode").agg(pl.col("caught").mean())
    right = found.group_by("pattern").agg(pl.col("true").mean())
    return Counts(
        found=len(hit),
        right=int(hit["true"].sum()),
        any_fraud=int(hit["is_fraud"].sum()),
        there=len(there),
        caught=int(there.select(caught.sum()).item()),
        patterns=len(right),
        patterns_right=int((right["true"] >= HALF).sum()),
        episodes=len(whole),
        episodes_caught=int((whole["caught"] >= HALF).sum()),
    )


def confidences(transactions: pl.DataFrame, found: DetectedPatterns) -> pl.DataFrame:
    """For each pattern its confidence, and whether at least half of it is fraud of any kind."""
    labels = transactions.select("transaction_id", "is_fraud")
    fraud = found.transactions("polars").join(labels, on="transaction_id", maintain_order="left")
    right = fraud.group_by("pattern").agg(pl.col("is_fraud").mean() >= HALF).sort("pattern")
    return found.to_frame("polars").select(
        confidence=pl.col("confidence_score"), right=right["is_fraud"]
    )


class Measured(NamedTuple):
    """What one world gave."""

    counts: dict[str, Counts]
    confidences: pl.DataFrame
    rows: int
    seconds: float


def measure(world: tuple[int, int, int, int], fraud_rate: float = FRAUD_RATE) -> Measured:
    """Counts of every detector in a world, its transactions, and the seconds that finding took."""
    customers, merchants, days, seed = world
    transactions = simulate(
        customers, merchants, days, seed, fraud_rate=fraud_rate, output="polars"
    ).transactions
    begun = time.perf_counter()
    frauds, anomalies = detect_patterns(transactions), detect_anomalies(transactions)
    seconds = time.perf_counter() - begun
    counts = {
        kind: count(transactions, frauds.transactions("polars"), kind, "fraud_type")
        for kind in FRAUD_DETECTORS
    } | {
        kind: count(transactions, anomalies.transactions("polars"), kind, "anomaly_type")
        for kind in ANOMALY_DETECTORS
    }
    return Measured(counts, confidences(transactions, frauds), len(transactions), seconds)


def _share(part: int, of: int) -> str:
    return f"{part / of:.2f}" if of else "-"


def row(kind: str, one: Counts) -> tuple[str, ...]:
    """A row of the table."""
    return (
        kind,
        f"{one.there:,}",
        f"{one.found:,}",
        _share(one.right, one.found),
        _share(one.any_fraud, one.found) if kind in FRAUD_DETECTORS else "",
        _share(one.caught, one.there),
        f"{one.episodes:,}",
        f"{one.patterns:,}",
        _share(one.patterns_right, one.patterns),
        _share(one.episodes_caught, one.episodes),
    )


HEAD = (
    "pattern", "true", "found", "precision", "is fraud", "recall",
    "episodes", "found", "precision", "recall",
)  # fmt: skip


def on_handbook(path: Path) -> pl.DataFrame:
    """What is found in the handbook's file, which has frauds of other kinds: none is simulated."""
    rows = read_layout(path, "handbook").transactions.collect()
    found = detect_patterns(rows)
    labels = rows.select("transaction_id", fraud=pl.col("is_fraud") == 1)
    fraud = found.transactions("polars").unique(["pattern_type", "transaction_id"])
    counted = (
        fraud.join(labels, on="transaction_id")
        .group_by("pattern_type")
        .agg(pl.len().alias("transactions"), pl.col("fraud").sum())
    )
    every = found.summary("polars").select("pattern_type", "patterns")
    return every.join(counted, on="pattern_type", how="left", maintain_order="left").fill_null(0)


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="The handbook's transactions.parquet: look through it instead.",
)
@click.option("--world", "worlds", type=(int, int, int, int), multiple=True, default=WORLDS,
              help="Customers, merchants, days and seed; repeat as needed.")  # fmt: skip
@click.option("--fraud-rate", type=click.FloatRange(0, 0.1), default=FRAUD_RATE, show_default=True,
              help="Share of the transactions that is fraud.")  # fmt: skip
def main(
    worlds: tuple[tuple[int, int, int, int], ...], data: Path | None, fraud_rate: float
) -> None:
    """Print precision and recall of each detector, by transaction and by episode."""
    if data is not None:
        for kind, patterns, transactions, fraud in on_handbook(data).iter_rows():
            click.echo(f"{kind:20} {patterns:5,} patterns {transactions:5,} rows {fraud:5,} frauds")
        return
    total: dict[str, Counts] = {}
    sure = []
    for world in worlds:
        counts, confident, rows, seconds = measure(world, fraud_rate)
        sure.append(confident)
        customers, merchants, days, seed = world
        click.echo(
            f"{customers:,} customers, {merchants:,} merchants, {days} days, seed {seed}: "
            f"{rows:,} transactions, looked through in {seconds:.1f} s"
        )
        for kind, one in counts.items():
            total[kind] = total.get(kind, Counts()).plus(one)
    click.echo(f"\n| {' | '.join(HEAD)} |\n| {' | '.join(['---'] + ['---:'] * (len(HEAD) - 1))} |")
    for kind, one in total.items():
        click.echo(f"| {' | '.join(row(kind, one))} |")
    click.echo("\n| confidence | patterns | are fraud |\n| --- | ---: | ---: |")
    every = pl.concat(sure)
    for low, high in pairwise((0.0, *EDGES, 1.01)):
        band = every.filter(pl.col("confidence").is_between(low, high, closed="left"))
        name = f"below {high}" if not low else f"from {low}"
        right = int(band["right"].sum())
        click.echo(f"| {name} | {len(band):,} | {_share(right, len(band))} |")


if __name__ == "__main__":
    main()
