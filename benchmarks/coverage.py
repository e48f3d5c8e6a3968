"""How often the intervals of fraud_rate hold the true rate: python benchmarks/coverage.py

Lesson 1's world is simulated again and again, with another seed each time. The true rate of a group
is that of all worlds together, without the one that is judged. Of the handbook's data (--data),
where there is one world only, customers are drawn with replacement; the true rate is that of all.
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

#: What lesson 1 groups its payments by.
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
#: Intervals side by side.
CLUSTERS: dict[str, Any] = {
    "customer and merchant": "auto",
    "customer": "customer_id",
    "none": None,
}
_FEW = 10


def lesson(seeds: int) -> Iterator[pl.DataFrame]:
    """Yield the payments of lesson 1, of one seed after the other."""
    for seed in range(seeds):
        world = simulate(customers=300, merchants=150, days=60, seed=seed, output="polars")
        yield world.transactions


def drawn(path: Path, samples: int, customers: int) -> Iterator[pl.DataFrame]:
    """Yield the payments of customers of the handbook, drawn with replacement; all come first."""
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
    known = rows["customer_id"].unique().sort()
    generator = np.random.default_rng(0)
    for _ in range(samples):
        chosen = known.gather(generator.integers(len(known), size=customers))
        cards = pl.DataFrame({"customer_id": chosen, "copy": range(customers)})
        # A customer who is drawn twice is two customers.
        yield cards.join(rows, on="customer_id").drop("customer_id").rename({"copy": "customer_id"})


def rates(payments: pl.DataFrame, groups: dict[str, dict[str, Any]]) -> pl.DataFrame:
    """Return the rates of payments, by each of the groups and with each kind of clusters."""
    found = []
    for group, options in groups.items():
        for cluster, columns in CLUSTERS.items():
            result = fraud_rate(payments, **options, cluster=columns)
            names = result.columns[: result.columns.index("labelled")]
            name = pl.concat_str(pl.lit(""), *(pl.col(one).cast(pl.String) for one in names))
            found.append(
                result.select(
                    pl.lit(group).alias("group"),
                    pl.lit(cluster).alias("cluster"),
                    name.fill_null("").alias("name"),
                    *("labelled", "frauds", "amount", "fraud_amount", "fraud_clusters"),
                    *("fraud_rate_low", "fraud_rate_high", "fraud_bps_low", "fraud_bps_high"),
                )
            )
    return pl.concat(found)


def held(found: pl.DataFrame) -> pl.DataFrame:
    """Say of each interval whether it holds the rate that its row names."""
    return found.with_columns(
        pl.col("rate").is_between("fraud_rate_low", "fraud_rate_high").alias("held"),
        pl.col("bps").is_between("fraud_bps_low", "fraud_bps_high").alias("value_held"),
    )


def pooled(found: pl.DataFrame) -> pl.DataFrame:
    """Add the true rates: those of all other worlds together."""
    over = ["group", "cluster", "name"]
    others = {
        name: pl.col(name).sum().over(over) - pl.col(name)
        for name in ("labelled", "frauds", "amount", "fraud_amount")
    }
    return found.with_columns(
        (others["frauds"] / others["labelled"]).alias("rate"),
        (10_000 * others["fraud_amount"] / others["amount"]).alias("bps"),
    ).filter(pl.col("rate").is_finite())


def known(found: pl.DataFrame, first: pl.DataFrame) -> pl.DataFrame:
    """Add the true rates: those of the data from which customers were drawn."""
    true = first.select(
        "group",
        "cluster",
        "name",
        (pl.col("frauds") / pl.col("labelled")).alias("rate"),
        (10_000 * pl.col("fraud_amount") / pl.col("amount")).alias("bps"),
    )
    return found.join(true, on=["group", "cluster", "name"])


def report(title: str, found: pl.DataFrame) -> None:
    """Print how many of the intervals hold the true rate."""
    click.echo(f"\n### {title}\n")
    few = pl.col("fraud_clusters") < _FEW
    table = held(found).group_by("group", "cluster", maintain_order=True)
    summary = table.agg(
        pl.len().alias("intervals"),
        pl.col("held").mean(),
        pl.col("held").filter(few).mean().alias("few"),
        pl.col("held").filter(~few).mean().alias("many"),
        pl.col("value_held").mean(),
        (
            (pl.col("fraud_rate_high") - pl.col("fraud_rate_low")).median()
            / pl.col("rate").median()
        ).alias("width"),
    )
    lines = [
        [
            *("by", "clusters", "intervals", "held the rate", "fewer than 10 with fraud"),
            *("10 or more", "held the rate by value", "width / rate"),
        ],
        ["---", "---", *["---:"] * 6],
    ]
    for row in summary.rows(named=True):
        shares = (row[name] for name in ("held", "few", "many", "value_held"))
        held_rate, *others = ("-" if one is None else f"{one:.1%}" for one in shares)
        count, width = f"{row['intervals']:,}", f"{row['width']:.1f}"
        lines.append([row["group"], row["cluster"], count, held_rate, *others, width])
    print_markdown(lines)


@click.command()
@click.option("--seeds", default=200, show_default=True, type=click.IntRange(min=2))
@click.option(
    "--customers",
    default=500,
    show_default=True,
    type=click.IntRange(min=2),
    help="How many customers of the handbook are drawn, each time.",
)
@data_option
def main(seeds: int, customers: int, data: Path) -> None:
    """Print how many 95 % intervals of fraud_rate hold the true rate."""
    found = pl.concat([rates(payments, GROUPS) for payments in lesson(seeds)])
    report(f"lesson 1's world, {seeds} seeds", pooled(found))
    files = find(data)
    if not files:
        click.echo(f"There is no handbook/transactions.parquet below {data}.")
        return
    first, *samples = (rates(rows, HANDBOOK) for rows in drawn(files[0], seeds, customers))
    title = f"the handbook's data, {customers} customers drawn {seeds} times"
    report(title, known(pl.concat(samples), first))


if __name__ == "__main__":
    main()
