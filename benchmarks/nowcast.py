"""How often the intervals of nowcast_fraud_rate hold the final number: python benchmarks/nowcast.py

``worlds`` simulates 52 weeks of frauds and of their labels with many seeds, in the scenarios of
``SCENARIOS``, and compares the nowcast of the last Monday with what became known in the end.
``handbook`` draws the delays of the labels of the handbook's frauds, and nowcasts on several days.
``peers`` lets the package chainladder predict the same worlds. A cohort that is mature has no
interval and is not counted; the error of what it calls final is printed below.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pandas as pd
import polars as pl
from _measure import print_markdown
from handbook import data_option, find
from reports import Peer

from synfin_analytics import nowcast_fraud_rate
from synfin_analytics.metrics._triangle import Triangle
from synfin_analytics.metrics.nowcast import nowcast_from_triangles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Delays = Callable[[np.random.Generator, int], Floats]

WEEKS = 52
#: Labels come at the latest this many weeks after a cohort began.
_LAST_AGE = 104
_MONDAY = np.datetime64("2025-01-06", "us")
CHAINLADDER = Peer("chainladder", "_nowcast_chainladder.py", ("chainladder==0.10.1",))

#: Days from a transaction to its label.
DELAYS: dict[str, Delays] = {
    "exponential": lambda generator, n: 1 + generator.exponential(14, n),
    "lognormal": lambda generator, n: generator.lognormal(np.log(18), 0.8, n),
    "two sources": lambda generator, n: np.where(
        generator.random(n) < 0.4, generator.exponential(2, n), 20 + generator.gamma(4, 8, n)
    ),
    "at least 10 days": lambda generator, n: 10 + generator.gamma(2, 8, n),
}


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A world of frauds.

    Attributes
    ----------
    delays
        Name of their distribution.
    frauds
        Mean of a week.
    variation
        Standard deviation of the weekly level of fraud, relative to its mean.
    victims
        Mean number of frauds of one victim, geometric, within three days.
    together
        Whether a victim reports all frauds at once.
    volume, level
        Factor by which transactions, and frauds per transaction, grow over the year.
    wave
        Factor of the level in the last six weeks.
    """

    delays: str
    frauds: float = 40
    variation: float = 0.15
    victims: float = 1
    together: bool = False
    volume: float = 1
    level: float = 1
    wave: float = 1


SCENARIOS = {
    "independent frauds, exponential delays": Scenario("exponential"),
    "lognormal delays": Scenario("lognormal"),
    "alerts and chargebacks": Scenario("two sources"),
    "nothing known for 10 days": Scenario("at least 10 days"),
    "few frauds (8 a week)": Scenario("two sources", frauds=8),
    "many frauds (300 a week)": Scenario("lognormal", frauds=300),
    "victims of 3 frauds, labelled one by one": Scenario("exponential", victims=3),
    "victims of 3 frauds, labelled together": Scenario("lognormal", victims=3, together=True),
    "volume grows by the factor 3": Scenario("two sources", volume=3),
    "level grows by the factor 2": Scenario("lognormal", level=2),
    "level doubles six weeks ago": Scenario("lognormal", wave=2),
}


def simulate_world(scenario: Scenario, seed: int) -> tuple[Triangle, Floats, Floats]:
    """Return the triangle of the last Monday, and the final frauds and amounts of each week."""
    generator = np.random.default_rng([seed, *scenario.delays.encode()])
    week = np.arange(WEEKS)
    volume = 20_000 * scenario.volume ** (week / WEEKS) * generator.lognormal(0, 0.05, WEEKS)
    level = scenario.level ** (week / WEEKS) / volume.mean() * scenario.frauds
    level = level * np.where(week >= WEEKS - 6, scenario.wave, 1)
    precision = scenario.variation**-2
    level = level * generator.gamma(precision, 1 / precision, WEEKS)
    n_victims = generator.poisson(level * volume / scenario.victims)
    n_frauds = generator.geometric(1 / scenario.victims, n_victims.sum())
    victim = np.repeat(np.arange(len(n_frauds)), n_frauds)
    first = np.repeat(week, n_victims) + generator.random(len(n_frauds))
    spread = 3 / 7 * generator.random(len(victim)) if scenario.victims > 1 else 0
    time = first[victim] + spread
    delays = DELAYS[scenario.delays]
    delay = (
        delays(generator, len(n_frauds))[victim]
        if scenario.together
        else delays(generator, len(victim))
    )
    inside = time < WEEKS
    cohort = time[inside].astype(np.int64)
    age = np.floor((time + delay / 7)[inside]).astype(np.int64) - cohort
    amount = generator.lognormal(4, 1, len(cohort))
    cells = cohort, np.minimum(age, _LAST_AGE)
    frauds, amounts = np.zeros((2, WEEKS, _LAST_AGE + 1))
    np.add.at(frauds, cells, 1)
    np.add.at(amounts, cells, amount)
    observed = np.arange(WEEKS) < WEEKS - week[:, None]
    transactions = volume.round().astype(np.int64)
    triangle = Triangle(
        cohorts=_MONDAY + week * np.timedelta64(7, "D"),
        known=np.where(observed, frauds[:, :WEEKS], 0).astype(np.int64),
        amounts=np.where(observed, amounts[:, :WEEKS], 0.0),
        labelled=np.where(observed, frauds[:, :WEEKS], 0).astype(np.int64),
        transactions=transactions,
        transaction_amount=transactions * 60.0,
        observed=observed,
        untimed_frauds=0,
        as_of=_MONDAY + WEEKS * np.timedelta64(7, "D"),
    )
    return triangle, frauds.sum(axis=1), amounts.sum(axis=1)


# -- Tables ----------------------------------------------------------------------------------------


def compare(nowcast: pd.DataFrame, frauds: Floats, amounts: Floats) -> pd.DataFrame:
    """Compare each cohort of a nowcast with what became known in the end."""
    low, high = nowcast["estimated_frauds_low"], nowcast["estimated_frauds_high"]
    value = nowcast["estimated_fraud_amount"]
    ends = nowcast["estimated_fraud_amount_low"], nowcast["estimated_fraud_amount_high"]
    rounding = 1e-9 * amounts
    return pd.DataFrame(
        {
            "age": nowcast["observed_ages"] - 1,
            "mature": nowcast["mature"],
            "final": frauds,
            "to_come": frauds - nowcast["known_frauds"],
            "covered": (low <= frauds) & (frauds <= high),
            "value_covered": (ends[0] - rounding <= amounts) & (amounts <= ends[1] + rounding),
            "width": high - low,
            "known_error": abs(nowcast["known_frauds"] - frauds),
            "error": abs(nowcast["estimated_frauds"] - frauds),
            "chain_ladder_error": abs(nowcast["chain_ladder_frauds"] - frauds),
            "known_value_error": abs(nowcast["known_fraud_amount"] - amounts),
            "value_error": abs(value - amounts),
            "final_value": amounts,
        }
    )


def print_by_age(cohorts: pd.DataFrame, n_min: int) -> None:
    """Print coverage and errors by age; ages of fewer cohorts than ``n_min`` are left out."""
    recent = cohorts[~cohorts["mature"]]
    table = [
        [
            "age", "cohorts", "still to come (frauds)", "coverage, frauds", "coverage, value",
            "width", "error of the nowcast", "of the chain ladder", "of the known rate",
            "error by value, nowcast", "known",
        ]
    ]  # fmt: skip
    for age, group in recent.groupby("age"):
        if len(group) < n_min:
            continue
        final, value = group["final"].sum(), group["final_value"].sum()
        errors = [group[name].sum() / final for name in ("width", "error")]
        errors += [
            group["chain_ladder_error"].sum(min_count=len(group)) / final,
            group["known_error"].sum() / final,
        ]
        errors += [group[name].sum() / value for name in ("value_error", "known_value_error")]
        table.append(
            [
                str(age),
                f"{len(group):,}",
                f"{group['to_come'].mean():.1f}",
                f"{group['covered'].mean():.1%}",
                f"{group['value_covered'].mean():.1%}",
                *("-" if np.isnan(error) else f"{error:.1%}" for error in errors),
            ]
        )
    print_markdown(table)
    mature = cohorts[cohorts["mature"]]
    if len(mature):
        missing = mature["to_come"].sum() / mature["final"].sum()
        print(f"\nmature cohorts: {missing:.2%} of their frauds became known later")


#: Ages of the table of scenarios.
_AGES = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15)


def print_by_scenario(results: dict[str, pd.DataFrame], column: str) -> None:
    """Print the coverage of each scenario by age; "-" where no cohort has an interval."""
    table = [["coverage, " + column, *map(str, _AGES)]]
    for name, cohorts in results.items():
        recent = cohorts[~cohorts["mature"]]
        by_age = recent.groupby("age")[column].agg(["mean", "size"])
        by_age = by_age[by_age["size"] >= len(cohorts) / WEEKS / 2]["mean"]
        cells = [f"{by_age[age]:.0%}" if age in by_age.index else "-" for age in _AGES]
        table.append([name, *cells])
    print_markdown(table)


@click.group()
def main() -> None:
    """Measure how often prediction intervals hold the final number."""


@main.command()
@click.option("--worlds", default=200, help="Number of worlds of each scenario.")
@click.option("--confidence-level", default=0.9)
def worlds(worlds: int, confidence_level: float) -> None:
    """Simulated worlds."""
    results = {}
    for name, scenario in SCENARIOS.items():
        parts = []
        for seed in range(worlds):
            triangle, frauds, amounts = simulate_world(scenario, seed)
            nowcast = nowcast_from_triangles(
                [((), triangle)], None, "1w", confidence_level=confidence_level, seed=seed
            )
            parts.append(compare(nowcast.cohorts, frauds, amounts))
        results[name] = pd.concat(parts, ignore_index=True)
    print(f"{worlds:,} worlds of each scenario, {confidence_level:.0%} intervals\n")
    print_by_age(pd.concat(results.values()), worlds * len(results) // 4)
    for column in ("covered", "value_covered"):
        print()
        print_by_scenario(results, column)


#: Nowcasts of the handbook's data are made on these days, the first of which is in its 14th week.
_HANDBOOK_DAYS = ("2018-07-02", "2018-07-19", "2018-08-06", "2018-08-20", "2018-09-03")


def handbook_cohorts(payments: pl.DataFrame, samples: int, delays: str) -> Iterator[pd.DataFrame]:
    """Yield nowcasts of the handbook's payments compared with all labels."""
    weeks = payments.group_by(pl.col("timestamp").dt.truncate("1w").alias("cohort")).agg(
        frauds=pl.col("is_fraud").sum(),
        amounts=pl.col("amount").filter(pl.col("is_fraud")).sum(),
    )
    for seed in range(samples):
        generator = np.random.default_rng(seed)
        days = pl.Series(DELAYS[delays](generator, len(payments)))
        delay = (days * 86_400_000_000).cast(pl.Int64).cast(pl.Duration("us"))
        df = payments.with_columns(label_available_at=pl.col("timestamp") + delay)
        for day in _HANDBOOK_DAYS:
            nowcast = nowcast_fraud_rate(df, as_of=day, seed=seed).to_frame("polars")
            complete = nowcast.filter(pl.col("observed_ages") > 0).with_columns(
                pl.col("cohort").cast(payments["timestamp"].dtype)
            )
            final = complete.join(weeks, on="cohort", how="left", maintain_order="left")
            yield compare(
                complete.to_pandas(), final["frauds"].to_numpy(), final["amounts"].to_numpy()
            )


@main.command()
@data_option
@click.option("--samples", default=40, help="How often the delays are drawn.")
@click.option("--delays", default="two sources", type=click.Choice(list(DELAYS)))
def handbook(data: Path, samples: int, delays: str) -> None:
    """Real transactions with delays that are drawn."""
    files = find(data)
    if not files:
        raise click.ClickException(f"No handbook/transactions.parquet in {data}.")
    payments = pl.read_parquet(files[0]).select(
        timestamp=pl.col("TX_DATETIME").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        amount="TX_AMOUNT",
        is_fraud=pl.col("TX_FRAUD") == 1,
    )
    print(f"{samples} draws of the delays ({delays}), on {', '.join(_HANDBOOK_DAYS)}\n")
    print_by_age(pd.concat(handbook_cohorts(payments, samples, delays)), samples)


def run_chainladder(triangles: list[list[list[int]]]) -> list[dict[str, list[list[float]]]]:
    """Return what the package chainladder predicts, in an environment of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "triangles.json"
        path.write_text(json.dumps(triangles))
        # -P: numba looks for the package coverage, and would find coverage.py of this folder.
        script = str(Path(__file__).parent / CHAINLADDER.script)
        command = [CHAINLADDER.python(), "-P", "-W", "ignore", script, str(path)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    predictions: list[dict[str, list[list[float]]]] = json.loads(output)
    return predictions


#: The triangle of tests/metrics/test_nowcast.py.
REFERENCE = [
    [12, 9, 4, 1, 0, 0],
    [10, 11, 5, 2, 1, 0],
    [15, 8, 6, 1, 0, 0],
    [9, 12, 3, 0, 0, 0],
    [14, 10, 0, 0, 0, 0],
    [11, 0, 0, 0, 0, 0],
]


@main.command()
def reference() -> None:
    """Print chainladder's estimates for the triangle of the test that pins them."""
    print(run_chainladder([REFERENCE])[0]["Mack"][0])


@main.command()
@click.option("--worlds", default=50, help="Number of worlds of each scenario.")
def peers(worlds: int) -> None:
    """The chain ladder's intervals of the package chainladder, in the same worlds."""
    table: list[list[str]] = []
    for name in ("lognormal delays", "victims of 3 frauds, labelled together"):
        simulated = [simulate_world(SCENARIOS[name], seed) for seed in range(worlds)]
        predicted = run_chainladder([world[0].known.tolist() for world in simulated])
        rows: dict[str, list[Any]] = {method: [] for method in predicted[0]}
        rows["nowcast_fraud_rate"] = []
        for seed, (triangle, frauds, _) in enumerate(simulated):
            ours = nowcast_from_triangles([((), triangle)], None, "1w", seed=seed).cohorts
            columns = [f"estimated_frauds{end}" for end in ("", "_low", "_high")]
            predicted[seed]["nowcast_fraud_rate"] = ours[columns].to_numpy().T.tolist()
            for method, values in predicted[seed].items():
                estimate, low, high = map(np.array, values)
                inside = (low <= frauds) & (frauds <= high)
                rows[method].append([inside, high - low, abs(estimate - frauds), frauds])
        table.append([f"{name}, age", *map(str, _AGES)])
        for method, entries in rows.items():
            inside, width, error, final = np.mean(np.array(entries), axis=0)[:, ::-1]
            for label, values in (
                ("coverage", inside),
                ("width", width / final),
                ("error", error / final),
            ):
                table.append([f"{method}: {label}", *(f"{values[age]:.0%}" for age in _AGES)])
    print(f"{worlds} worlds, chainladder {CHAINLADDER.version()}, 90% intervals\n")
    print_markdown(table)


if __name__ == "__main__":
    main()
