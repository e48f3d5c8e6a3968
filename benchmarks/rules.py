"""Rules: the speed of evaluate_rules, and how often intervals of differences hold the truth.

    python benchmarks/rules.py speed --data PATH    # 20 rules over the handbook's transactions
    python benchmarks/rules.py database --data PATH # inside PostgreSQL, beside pandas
    python benchmarks/rules.py coverage             # 1000 simulated worlds of one model

Each measurement of speed runs in a separate process, and includes every table of the result.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import polars as pl
from _measure import print_markdown
from _place import own_folder
from handbook import data_option, find, store
from sqlalchemy import text

from synfin_analytics import evaluate_rules, get_db_manager, get_db_session, read_df
from synfin_analytics.repositories import TransactionRepository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from synfin_analytics import RuleEvaluation

TABLES = ("rules", "overall", "overlap", "combinations", "greedy", "dominated", "by_period")


def conditions() -> dict[str, str]:
    """Twenty conditions, as a fraud team writes them."""
    rules = {f"amount over {limit}": f"amount > {limit}" for limit in (150, 180, 200, 220, 250)}
    rules |= {
        f"{low} to {high} at night": f"amount BETWEEN {low} AND {high} AND "
        f"EXTRACT(hour FROM timestamp) < {hour}"
        for low, high, hour in ((50, 80, 3), (80, 120, 4), (100, 150, 5), (120, 200, 6))
    }
    rules |= {
        f"weekend over {limit}": f"EXTRACT(isodow FROM timestamp) IN (6, 7) AND amount > {limit}"
        for limit in (120, 140, 160)
    }
    rules |= {
        f"terminals ending in {end}": f"merchant_id LIKE '%{end}' AND amount >= {limit}"
        for end, limit in ((13, 60), (37, 80), (59, 90), (71, 100))
    }
    rules |= {
        f"whole amounts over {limit}": f"amount = FLOOR(amount) AND amount > {limit}"
        for limit in (60, 100)
    }
    rules["evening spree"] = "EXTRACT(hour FROM timestamp) >= 22 AND amount / 2 > 55"
    rules["small test"] = "amount < 1 AND EXTRACT(hour FROM timestamp) BETWEEN 1 AND 4"
    return rules


@click.group()
def main() -> None:
    """Measure rules."""


@main.command()
@data_option
@click.option("--repeat", default=5, show_default=True)
def speed(data: Path, repeat: int) -> None:
    """Evaluate 20 rules on a polars and on a pandas frame."""
    [path, *_] = find(data)
    rows = []
    for kind in ("polars", "pandas"):
        command = [sys.executable, __file__, "once", kind, str(path)]
        runs = [
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
            for _ in range(repeat)
        ]
        counted, tables = (statistics.median(float(run[i]) for run in runs) for i in (0, 1))
        rows.append([kind, *(f"{t:.2f} s" for t in (counted, tables, counted + tables))])
    print_markdown([["frame", "the pass over the rows", "all tables", "together"], *rows])


@main.command(hidden=True)
@click.argument("kind")
@click.argument("path")
def once(kind: str, path: str) -> None:
    """Measure one evaluation; for `speed`."""
    df: Any = pl.read_parquet(path).select(
        customer_id=pl.col("CUSTOMER_ID").cast(pl.String),
        merchant_id=pl.col("TERMINAL_ID").cast(pl.String),
        amount="TX_AMOUNT",
        timestamp=pl.col("TX_DATETIME").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        is_fraud=pl.col("TX_FRAUD") == 1,
    )
    if kind == "pandas":
        df = df.to_pandas()
    evaluate_rules(df.head(1000), conditions()).to_dict()  # imports what it needs
    start = time.perf_counter()
    evaluation = evaluate_rules(df, conditions())
    middle = time.perf_counter()
    for name in TABLES:
        getattr(evaluation, name)
    click.echo(f"{middle - start} {time.perf_counter() - middle}")


# -- PostgreSQL ------------------------------------------------------------------------------------

NEEDED = ("customer_id", "merchant_id", "amount", "timestamp", "is_fraud")


@main.command()
@data_option
@click.option("--repeat", default=5, show_default=True)
@click.option("--rows", default=0, help="First rows of the file only.")
@click.option("--whole", is_flag=True, help="Also read all columns of the table with pandas.")
def database(data: Path, repeat: int, rows: int, whole: bool) -> None:
    """Evaluate 20 rules inside PostgreSQL, and in pandas after reading the table."""
    [path, *_] = find(data)
    with own_folder() as folder:
        if rows:
            part = pl.read_parquet(path, n_rows=rows)
            path = folder / "part.parquet"
            part.write_parquet(path)
        manager = get_db_manager()
        manager.create_all_tables()
        store(path, manager)
        with manager.engine.connect() as connection:
            autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
            autocommit.execute(text("VACUUM ANALYZE"))
        ways = {
            "inside PostgreSQL": in_database,
            "polars frame in memory": functools.partial(in_polars, read_needed()),
            "pandas, its columns read": functools.partial(in_pandas, ", ".join(NEEDED)),
        }
        if whole:
            ways["pandas, the table read"] = functools.partial(in_pandas, "*")
        runs: dict[str, list[float]] = {name: [] for name in ways}
        alerts = set()
        for number in range(repeat + 1):  # in turn, so that all have the same machine
            for name, run in ways.items():
                start = time.perf_counter()
                evaluation = run()
                seconds = time.perf_counter() - start
                alerts.add(tuple(pl.DataFrame(evaluation.rules)["alerts"].to_list()))
                if number:  # the first one imports and fills caches
                    runs[name].append(seconds)
        manager.close()
    if len(alerts) > 1:
        raise click.ClickException("The ways count different alerts.")
    lines = [["20 rules", "median", "times PostgreSQL's (least to most)"]]
    own = runs["inside PostgreSQL"]
    for name, seconds in runs.items():
        ratios = [other / reference for other, reference in zip(seconds, own, strict=True)]
        spread = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        lines.append([name, f"{statistics.median(seconds):.2f} s", spread])
    print_markdown(lines)


def in_database() -> RuleEvaluation:
    """Evaluate inside PostgreSQL."""
    with get_db_session() as session:
        return TransactionRepository(session).evaluate_rules(conditions())


def read_needed() -> pl.DataFrame:
    """Read the columns that the rules need."""
    return read_df(f"SELECT {', '.join(NEEDED)} FROM transactions", output="polars")


def in_polars(df: pl.DataFrame) -> RuleEvaluation:
    """Evaluate on a frame in memory."""
    return evaluate_rules(df, conditions())


def in_pandas(columns: str) -> RuleEvaluation:
    """Read columns with pandas, and evaluate the rules there."""
    import pandas as pd

    with get_db_manager().engine.connect() as connection:
        df = pd.read_sql(text(f"SELECT {columns} FROM transactions"), connection)
    return evaluate_rules(df, conditions())


# -- Coverage --------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class World:
    """Transactions of customers, some of whom are defrauded repeatedly.

    Attributes
    ----------
    customers, merchants
        Numbers of both.
    victims
        Share of customers with a stolen card, which gives frauds in a row.
    compromised
        Share of merchants where frauds are more frequent.
    """

    customers: int = 400
    merchants: int = 80
    victims: float = 0.2
    compromised: float = 0.1

    def draw(self, rng: np.random.Generator) -> pl.DataFrame:
        """Draw transactions with a score, which is higher for frauds."""
        customer = np.repeat(np.arange(self.customers), rng.poisson(15, self.customers))
        merchant = rng.integers(0, self.merchants, len(customer))
        victim = rng.random(self.customers) < self.victims
        bad = rng.random(self.merchants) < self.compromised
        chance = 0.002 + 0.25 * victim[customer] + 0.1 * bad[merchant]
        fraud = rng.random(len(customer)) < chance
        # What a score shows of a customer's frauds is alike.
        shift = rng.normal(0, 0.7, self.customers)[customer]
        return pl.DataFrame(
            {
                "customer_id": customer,
                "merchant_id": merchant,
                "is_fraud": fraud,
                "amount": rng.gamma(2, 40, len(customer)) * (1 + fraud),
                "score": rng.normal(0, 1, len(customer)) + shift + 2 * fraud,
                "other": rng.normal(0, 1, len(customer)) + 1.8 * fraud,
            }
        )


#: A rule and its changed versions: a lower threshold, and a condition more.
CHANGES = {
    "lower threshold": pl.col("score") > 1.7,
    "one condition more": (pl.col("score") > 2) & (pl.col("other") > 0),
    "another score": pl.col("other") > 2,
}
OLD = pl.col("score") > 2
MEASURES = ("precision", "recall", "alerts", "net_benefit")


def compared(world: World, worlds: int, seed: int = 0) -> Iterator[dict[str, pl.DataFrame]]:
    """Yield the comparisons with the old rule in each world, by change."""
    for number in range(worlds):
        df = world.draw(np.random.default_rng([seed, number]))
        evaluation: RuleEvaluation = evaluate_rules(df, {"old": OLD, **CHANGES})
        yield {name: evaluation.compare("old", name) for name in CHANGES}


def covered(comparisons: list[dict[str, pl.DataFrame]]) -> pl.DataFrame:
    """Return the share of intervals that hold the mean difference of all worlds."""
    rows = []
    for change in CHANGES:
        table = pl.concat([comparison[change] for comparison in comparisons])
        for measure in MEASURES:
            part = table.filter(measure=measure)
            truth = part["difference"].mean()
            inside = (part["difference_low"] <= truth) & (truth <= part["difference_high"])
            defined = part["difference_low"].is_finite()
            width = (part["difference_high"] - part["difference_low"]).filter(defined)
            rows.append((change, measure, inside.filter(defined).mean(), int(defined.sum()),
                         truth, width.median()))  # fmt: skip
    columns = ("change", "measure", "coverage", "worlds", "difference", "width")
    return pl.DataFrame(rows, schema=columns, orient="row")


@main.command()
@click.option("--worlds", default=1000, show_default=True)
def coverage(worlds: int) -> None:
    """Count how often the 95% interval of a difference holds the true one."""
    table = covered(list(compared(World(), worlds)))
    print_markdown(
        [
            ["change", "measure", "coverage", "worlds", "difference", "median width"],
            *(
                [change, measure, f"{share:.1%}", str(n), f"{truth:.4g}", f"{width:.4g}"]
                for change, measure, share, n, truth, width in table.iter_rows()
            ),
        ]
    )


if __name__ == "__main__":
    main()
