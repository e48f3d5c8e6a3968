"""Precision and recall of each detector, on simulations not used to choose its thresholds."""

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
from synfin_analytics.detection.detector import find_runs
from synfin_analytics.io.layouts import read_layout
from synfin_analytics.simulation import simulate

#: Customers, merchants, days and seed: none of them was used to choose the thresholds.
WORLDS = (
    (1000, 400, 180, 101),
    (3000, 1200, 120, 102),
    (5000, 2000, 90, 103),
    (2000, 800, 365, 104),
)
#: Of `simulate`: enough frauds of each kind.
FRAUD_RATE = 0.008
#: Gap between two episodes of frauds of one kind of a customer, or at a merchant.
APART = 14 * 86_400_000_000  # microseconds
#: Patterns whose episodes are those of a merchant.
OF_MERCHANTS = ("compromised_merchant",)
HALF = 0.5
#: Edges of bands of confidence.
EDGES = (0.6, 0.8)


class Counts(NamedTuple):
    """Numbers of transactions and episodes of one pattern, detected and true, in all worlds."""

    n_found: int = 0
    n_right: int = 0
    n_fraud: int = 0
    n_true: int = 0
    n_true_found: int = 0
    n_patterns: int = 0
    n_patterns_right: int = 0
    n_episodes: int = 0
    n_episodes_found: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(*(first + second for first, second in zip(self, other, strict=True)))


def true_episodes(rows: pl.DataFrame, kind: str) -> pl.Series:
    """Number of the true episode of each row of one kind, in the order of time."""
    timestamps = rows["timestamp"].to_physical().to_numpy()
    if kind == "collusion_ring":
        # The episodes of a ring share merchants: number its connected components.
        return _connect_rings(rows)
    party = "merchant_id" if kind in OF_MERCHANTS else "customer_id"
    keys = rows[party].rank("dense").to_numpy().astype(np.int64)
    return pl.Series(find_runs(keys, timestamps, np.ones(len(rows), bool), APART))


def _connect_rings(rows: pl.DataFrame) -> pl.Series:
    customer = rows["customer_id"].rank("dense").cast(pl.Int64)
    merchant = rows["merchant_id"].rank("dense").cast(pl.Int64)
    frame = pl.DataFrame({"customer": customer, "merchant": merchant, "ring": merchant})
    previous = None
    while previous is None or not frame["ring"].equals(previous):
        previous = frame["ring"]
        frame = frame.with_columns(pl.col("ring").min().over("customer"))
        frame = frame.with_columns(pl.col("ring").min().over("merchant"))
    return frame["ring"]


def count_matches(transactions: pl.DataFrame, links: pl.DataFrame, kind: str, label: str) -> Counts:
    """Compare the transactions that a detector reported with the labels."""
    matches = links.filter(pattern_type=kind)
    truth = transactions.select("transaction_id", "is_fraud", (pl.col(label) == kind).alias("true"))
    matches = matches.join(truth, on="transaction_id").with_columns(
        pl.col("true").fill_null(value=False)
    )
    found_transactions = matches.unique("transaction_id")
    labelled = transactions.filter(pl.col(label) == kind).sort("timestamp")
    if kind in OF_MERCHANTS:  # frauds elsewhere do not reveal the terminal
        at_terminal = pl.col("fraud_reason").str.contains("there again")
        in_episodes = labelled.filter(at_terminal)
    else:
        in_episodes = labelled
    is_found = pl.col("transaction_id").is_in(found_transactions["transaction_id"].implode())
    found_by_episode = in_episodes.select(
        is_found.alias("found"), true_episodes(in_episodes, kind).alias("episode")
    )
    episode_recall = found_by_episode.group_by("episode").agg(pl.col("found").mean())
    pattern_precision = matches.group_by("pattern").agg(pl.col("true").mean())
    return Counts(
        n_found=len(found_transactions),
        n_right=int(found_transactions["true"].sum()),
        n_fraud=int(found_transactions["is_fraud"].sum()),
        n_true=len(labelled),
        n_true_found=int(labelled.select(is_found.sum()).item()),
        n_patterns=len(pattern_precision),
        n_patterns_right=int((pattern_precision["true"] >= HALF).sum()),
        n_episodes=len(episode_recall),
        n_episodes_found=int((episode_recall["found"] >= HALF).sum()),
    )


def confidence_table(transactions: pl.DataFrame, patterns: DetectedPatterns) -> pl.DataFrame:
    """Confidence of each pattern, and whether at least half of it is fraud of any kind."""
    labels = transactions.select("transaction_id", "is_fraud")
    labelled = patterns.transactions("polars").join(
        labels, on="transaction_id", maintain_order="left"
    )
    is_right = labelled.group_by("pattern").agg(pl.col("is_fraud").mean() >= HALF).sort("pattern")
    return patterns.to_frame("polars").select(
        confidence=pl.col("confidence_score"), right=is_right["is_fraud"]
    )


class Measurement(NamedTuple):
    """Measurements of one world."""

    counts: dict[str, Counts]
    confidences: pl.DataFrame
    rows: int
    seconds: float


def measure_world(world: tuple[int, int, int, int], fraud_rate: float = FRAUD_RATE) -> Measurement:
    """Measure every detector in a world, and the seconds of detection."""
    customers, merchants, days, seed = world
    transactions = simulate(
        customers, merchants, days, seed, fraud_rate=fraud_rate, output="polars"
    ).transactions
    start = time.perf_counter()
    frauds, anomalies = detect_patterns(transactions), detect_anomalies(transactions)
    seconds = time.perf_counter() - start
    counts = {
        kind: count_matches(transactions, frauds.transactions("polars"), kind, "fraud_type")
        for kind in FRAUD_DETECTORS
    } | {
        kind: count_matches(transactions, anomalies.transactions("polars"), kind, "anomaly_type")
        for kind in ANOMALY_DETECTORS
    }
    return Measurement(counts, confidence_table(transactions, frauds), len(transactions), seconds)


def _format_share(part: int, total: int) -> str:
    return f"{part / total:.2f}" if total else "-"


def table_row(kind: str, counts: Counts) -> tuple[str, ...]:
    """One row of the table."""
    return (
        kind,
        f"{counts.n_true:,}",
        f"{counts.n_found:,}",
        _format_share(counts.n_right, counts.n_found),
        _format_share(counts.n_fraud, counts.n_found) if kind in FRAUD_DETECTORS else "",
        _format_share(counts.n_true_found, counts.n_true),
        f"{counts.n_episodes:,}",
        f"{counts.n_patterns:,}",
        _format_share(counts.n_patterns_right, counts.n_patterns),
        _format_share(counts.n_episodes_found, counts.n_episodes),
    )


HEAD = (
    "pattern", "true", "found", "precision", "is fraud", "recall",
    "episodes", "found", "precision", "recall",
)  # fmt: skip


def search_handbook(path: Path) -> pl.DataFrame:
    """Search the handbook's file, whose frauds are of other kinds than the simulated ones."""
    rows = read_layout(path, "handbook").transactions.collect()
    patterns = detect_patterns(rows)
    labels = rows.select("transaction_id", fraud=pl.col("is_fraud") == 1)
    matches = patterns.transactions("polars").unique(["pattern_type", "transaction_id"])
    counts = (
        matches.join(labels, on="transaction_id")
        .group_by("pattern_type")
        .agg(pl.len().alias("transactions"), pl.col("fraud").sum())
    )
    summary = patterns.summary("polars").select("pattern_type", "patterns")
    return summary.join(counts, on="pattern_type", how="left", maintain_order="left").fill_null(0)


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, path_type=Path),
    help="The handbook's transactions.parquet: search it instead.",
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
        for kind, patterns, transactions, fraud in search_handbook(data).iter_rows():
            click.echo(f"{kind:20} {patterns:5,} patterns {transactions:5,} rows {fraud:5,} frauds")
        return
    totals: dict[str, Counts] = {}
    tables = []
    for world in worlds:
        counts, confidences, rows, seconds = measure_world(world, fraud_rate)
        tables.append(confidences)
        customers, merchants, days, seed = world
        click.echo(
            f"{customers:,} customers, {merchants:,} merchants, {days} days, seed {seed}: "
            f"{rows:,} transactions, searched in {seconds:.1f} s"
        )
        for kind, kind_counts in counts.items():
            totals[kind] = totals.get(kind, Counts()).plus(kind_counts)
    click.echo(f"\n| {' | '.join(HEAD)} |\n| {' | '.join(['---'] + ['---:'] * (len(HEAD) - 1))} |")
    for kind, counts in totals.items():
        click.echo(f"| {' | '.join(table_row(kind, counts))} |")
    click.echo("\n| confidence | patterns | are fraud |\n| --- | ---: | ---: |")
    table = pl.concat(tables)
    for low, high in pairwise((0.0, *EDGES, 1.01)):
        band = table.filter(pl.col("confidence").is_between(low, high, closed="left"))
        label = f"below {high}" if not low else f"from {low}"
        n_right = int(band["right"].sum())
        click.echo(f"| {label} | {len(band):,} | {_format_share(n_right, len(band))} |")


if __name__ == "__main__":
    main()
