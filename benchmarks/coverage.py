"""Coverage of the intervals of fraud_rate: python benchmarks/coverage.py

Lesson 1's world is simulated with many seeds. The true rate of a group is the rate of all other
worlds together. From the handbook's data (--data), which are a single world, customers are drawn
with replacement; the true rate is that of all customers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import numpy as np
import polars as pl
from _measure import print_markdown
from handbook import data_option, find

from synfin_analytics import fraud_rate, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Groupings of payments in lesson 1.
GROUPS: dict[str, dict[str, Any]] = {
    "category": {"by": "merchant_category"},
    "week": {"every": "1w"},
    "channel": {"by": "channel"},
    "all payments": {},
}
HANDBOOK: dict[str, dict[str, Any]] = {
    "amount": {"bins": {"amount": [20, 50, 100, 200]}},
    "week": {"every": "1w"},
    "all payments": {},
}
#: Clusters of the intervals that are compared.
CLUSTERS: dict[str, Any] = {
    "customer and merchant": "auto",
    "customer": "customer_id",
    "none": None,
}
_FEW = 10


def lesson(seeds: int) -> Iterator[pl.DataFrame]:
    """Yield the payments of lesson 1 for each seed."""
    for seed in range(seeds):
        world = simulate(customers=300, merchants=150, days=60, seed=seed, output="polars")
        yield world.transactions


def drawn(path: Path, samples: int, customers: int) -> Iterator[pl.DataFrame]:
    """Yield all payments of the handbook, then samples of customers drawn with replacement."""
    names = {
        "TX_DATETIME": "timestamp",
        "CUSTOMER_ID": "customer_id",
        "TERMINAL_ID": "merchant_id",
        "TX_AMOUNT": "amount",
        "TX_FRAUD": "is_fraud",
    }
    rows = pl.read_parquet(path, columns=list(names)).rename(names)
    rows = rows.filter(pl.col("timestamp") < rows["timestamp"].min() + pl.duration(days=56))
    yield rows
    all_customers = rows["customer_id"].unique().sort()
    generator = np.random.default_rng(0)
    for _ in range(samples):
        chosen = all_customers.gather(generator.integers(len(all_customers), size=customers))
        cards = pl.DataFrame({"customer_id": chosen, "copy": range(customers)})
        # A customer who is drawn twice counts as two customers.
        yield cards.join(rows, on="customer_id").drop("customer_id").rename({"copy": "customer_id"})


def rates(payments: pl.DataFrame, groups: dict[str, dict[str, Any]]) -> pl.DataFrame:
    """Return the rates of payments for each grouping and each kind of cluster."""
    tables = []
    for group, options in groups.items():
        for cluster, columns in CLUSTERS.items():
            result = fraud_rate(payments, **options, cluster=columns)
            names = result.columns[: result.columns.index("labelled")]
            name = pl.concat_str(pl.lit(""), *(pl.col(column).cast(pl.String) for column in names))
            tables.append(
                result.select(
                    pl.lit(group).alias("group"),
                    pl.lit(cluster).alias("cluster"),
                    name.fill_null("").alias("name"),
                    *("labelled", "frauds", "amount", "fraud_amount", "fraud_clusters"),
                    *("fraud_rate_low", "fraud_rate_high", "fraud_bps_low", "fraud_bps_high"),
                )
            )
    return pl.concat(tables)


def add_coverage(intervals: pl.DataFrame) -> pl.DataFrame:
    """Add columns for whether each interval contains the true rate of its row."""
    return intervals.with_columns(
        pl.col("rate").is_between("fraud_rate_low", "fraud_rate_high").alias("held"),
        pl.col("bps").is_between("fraud_bps_low", "fraud_bps_high").alias("value_held"),
    )


def add_pooled_rates(intervals: pl.DataFrame) -> pl.DataFrame:
    """Add the true rates: the rates of all other worlds together."""
    over = ["group", "cluster", "name"]
    other_worlds = {
        name: pl.col(name).sum().over(over) - pl.col(name)
        for name in ("labelled", "frauds", "amount", "fraud_amount")
    }
    return intervals.with_columns(
        (other_worlds["frauds"] / other_worlds["labelled"]).alias("rate"),
        (10_000 * other_worlds["fraud_amount"] / other_worlds["amount"]).alias("bps"),
    ).filter(pl.col("rate").is_finite())


def add_rates_of(intervals: pl.DataFrame, first: pl.DataFrame) -> pl.DataFrame:
    """Add the true rates: the rates of the data from which customers were drawn."""
    true = first.select(
        "group",
        "cluster",
        "name",
        (pl.col("frauds") / pl.col("labelled")).alias("rate"),
        (10_000 * pl.col("fraud_amount") / pl.col("amount")).alias("bps"),
    )
    return intervals.join(true, on=["group", "cluster", "name"])


def report(title: str, intervals: pl.DataFrame) -> None:
    """Print the share of intervals that contain the true rate."""
    click.echo(f"\n### {title}\n")
    is_rough = pl.col("fraud_clusters") < _FEW
    table = add_coverage(intervals).group_by("group", "cluster", maintain_order=True)
    summary = table.agg(
        pl.len().alias("intervals"),
        pl.col("held").mean(),
        pl.col("held").filter(is_rough).mean().alias("few"),
        pl.col("held").filter(~is_rough).mean().alias("many"),
        pl.col("value_held").mean(),
        (
            (pl.col("fraud_rate_high") - pl.col("fraud_rate_low")).median()
            / pl.col("rate").median()
        ).alias("width"),
    )
    lines = [
        [
            *("by", "clusters", "intervals", "contain the rate", "fewer than 10 with fraud"),
            *("10 or more", "contain the rate by value", "width / rate"),
        ],
        ["---", "---", *["---:"] * 6],
    ]
    for row in summary.rows(named=True):
        shares = (row[name] for name in ("held", "few", "many", "value_held"))
        held_rate, *other_shares = ("-" if share is None else f"{share:.1%}" for share in shares)
        count, width = f"{row['intervals']:,}", f"{row['width']:.1f}"
        lines.append([row["group"], row["cluster"], count, held_rate, *other_shares, width])
    print_markdown(lines)


@click.command()
@click.option("--seeds", default=200, show_default=True, type=click.IntRange(min=2))
@click.option(
    "--customers",
    default=500,
    show_default=True,
    type=click.IntRange(min=2),
    help="Customers of the handbook in each sample.",
)
@data_option
def main(seeds: int, customers: int, data: Path) -> None:
    """Print the share of 95% intervals of fraud_rate that contain the true rate."""
    intervals = pl.concat([rates(payments, GROUPS) for payments in lesson(seeds)])
    report(f"lesson 1's world, {seeds} seeds", add_pooled_rates(intervals))
    files = find(data)
    if not files:
        click.echo(f"No handbook/transactions.parquet in {data}.")
        return
    first, *samples = (rates(rows, HANDBOOK) for rows in drawn(files[0], seeds, customers))
    title = f"the handbook's data, {customers} customers drawn {seeds} times"
    report(title, add_rates_of(pl.concat(samples), first))


if __name__ == "__main__":
    main()
