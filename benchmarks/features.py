"""How fast the 69 features are, beside the same windows in pandas: python benchmarks/features.py

Both get the handbook's rows, or generated ones, each in a process of its own; their results must be
equal. Then ours for 0.1, 1 and 5 million generated rows.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import handbook
import numpy as np
import polars as pl
from _measure import print_markdown, timed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

SIZES = (100_000, 1_000_000, 5_000_000)
ROWS_OF_A_CUSTOMER, ROWS_OF_A_MERCHANT = 350, 175  # as in the handbook
DAYS, DELAY = 183, "7D"
OURS, PANDAS, RAW = "ours", "pandas", "pandas, with raw=True"
#: Ours that these data say nothing of (no places, countries, devices, categories) are left out.
SPANS = ("1h", "6h", "24h", "7D", "30D")
WINDOWS = {"1d": 1, "7d": 7, "30d": 30}


def generated(rows: int, seed: int = 0) -> pl.DataFrame:
    """Payments as the handbook has them, of more customers where there are more rows."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, DAYS * 86_400, rows))
    return pl.DataFrame(
        {
            "transaction_id": np.arange(rows),
            "timestamp": (np.datetime64("2018-04-01", "us") + seconds * np.timedelta64(1, "s")),
            "customer_id": rng.integers(0, max(rows // ROWS_OF_A_CUSTOMER, 1), rows),
            "merchant_id": rng.integers(0, max(rows // ROWS_OF_A_MERCHANT, 1), rows),
            "amount": np.round(rng.gamma(2, 27, rows), 2),
            "is_fraud": rng.random(rows) < 0.008,
        }
    )


def rows_of(source: str) -> pl.DataFrame:
    """Rows of a file, or so many generated ones."""
    if source.isdigit():
        return generated(int(source))
    rows = pl.read_parquet(source, columns=list(handbook.COLUMNS)).rename(handbook.COLUMNS)
    return rows.with_columns(pl.col("is_fraud") == 1)


# -- pandas, as one writes it ---------------------------------------------------------------------


def of_customer(rows: pd.DataFrame, *, raw: bool = False) -> pd.DataFrame:
    """Features of one customer's rows, in the order of time, which is their index.

    ``raw`` gives the function that counts merchants arrays of NumPy, which is not pandas' default.
    """
    import pandas as pd

    amount, at = rows["amount"], rows.index.to_series()
    number = pd.Series(np.arange(len(rows)), rows.index)
    past = number.where(number > 0)
    expanding = amount.expanding()
    mean, deviation, highest = (
        each.shift() for each in (expanding.mean(), expanding.std(), expanding.max())
    )
    since_first = (at - at.iloc[0]).dt.total_seconds() / 86_400
    found = {
        "amount_normalized": amount / mean,
        "amount_zscore": (amount - mean) / deviation,
        "amount_deviation_from_mean": amount - mean,
        "amount_percentile": (expanding.rank(method="min") - 1) / past,
        "amount_to_max_ratio": amount / highest,
        "unusual_amount": (amount > mean + 3 * deviation).where(number >= 10),
        "customer_lifetime_value": expanding.sum().shift(fill_value=0),
        "customer_avg_amount": mean,
        "customer_std_amount": deviation,
        "customer_max_amount": highest,
        "customer_transaction_count": number,
        "customer_transaction_frequency": past / since_first.clip(lower=1),
    }
    for span in SPANS:
        window = amount.rolling(span)
        found[f"tx_velocity_{span.lower()}"] = window.count()
        found[f"amount_velocity_{span.lower()}"] = window.sum()
        if span in ("24h", "7D", "30D"):
            found[f"avg_amount_{span.lower()}"] = window.mean()
        if span in ("24h", "7D"):
            merchants = rows["merchant_id"].rolling(span)
            found[f"distinct_merchants_{span.lower()}"] = merchants.apply(
                lambda values: len(np.unique(values)), raw=raw
            )
    found["is_burst"] = amount.rolling("10min").count() >= 3
    new_merchant = ~rows["merchant_id"].duplicated()
    new_day = ~at.dt.normalize().duplicated()
    slot = at.dt.hour // 3
    alike = number.groupby(slot.to_numpy()).cumcount()
    gap = at.diff().dt.total_seconds()
    same = at.groupby(rows["merchant_id"].to_numpy()).diff().dt.total_seconds()
    fraud = rows["is_fraud"]
    known = past.where(at.shift().notna())
    labelled = number + 1 - amount.rolling(DELAY).count()
    found |= {
        "is_new_merchant": new_merchant,
        "customer_active_days": new_day.cumsum().shift(fill_value=0),
        "customer_merchant_diversity": new_merchant.cumsum().shift() / known,
        "unusual_time": (alike * 20 < number).where(number >= 10),
        "time_since_last_normalized": gap / (gap.expanding().mean().shift()),
        "time_since_last_same_merchant": same / 86_400,
        "time_since_first_transaction": since_first.where(number > 0),
        "customer_prior_fraud_count": (fraud.cumsum() - fraud.rolling(DELAY).sum()).where(
            labelled > 0
        ),
    }
    return pd.DataFrame(found).set_index(rows["row"])


def of_merchant(rows: pd.DataFrame) -> pd.DataFrame:
    """Features of one merchant's rows, in the order of time, which is their index."""
    import pandas as pd

    amount, fraud = rows["amount"], rows["is_fraud"]
    number = pd.Series(np.arange(len(rows)), rows.index)
    mean = amount.expanding().mean().shift()
    recent = fraud.rolling(DELAY)
    count, frauds = recent.count(), recent.sum()
    found = {
        "merchant_avg_amount": mean,
        "amount_to_merchant_avg_ratio": amount / mean,
        "merchant_transaction_count": number,
        "merchant_fraud_rate": (fraud.cumsum() - frauds) / (number + 1 - count),
    }
    for name, days in WINDOWS.items():
        found[f"merchant_tx_count_{name}"] = amount.rolling(f"{days}D").count()
        window = fraud.rolling(f"{days + 7}D")
        found[f"merchant_fraud_rate_{name}"] = (window.sum() - frauds) / (window.count() - count)
    return pd.DataFrame(found).set_index(rows["row"])


def of_row(rows: pd.DataFrame) -> pd.DataFrame:
    """Features of the row alone."""
    import pandas as pd

    at, amount = rows.index, rows["amount"].to_numpy()
    time = 2 * np.pi * (at - at.normalize()).total_seconds() / 86_400
    week, year = 2 * np.pi * at.day_of_week / 7, 2 * np.pi * (at.month - 1) / 12
    return pd.DataFrame(
        {
            "amount_log": np.log1p(amount),
            "amount_is_round": (np.round(amount * 100) % 1000 == 0) & (amount > 0),
            "hour_sin": np.sin(time),
            "hour_cos": np.cos(time),
            "day_sin": np.sin(week),
            "day_cos": np.cos(week),
            "month_sin": np.sin(year),
            "month_cos": np.cos(year),
            "is_weekend": at.day_of_week >= 5,
            "is_night": at.hour < 6,
            "is_business_hours": (at.day_of_week < 5) & (at.hour >= 9) & (at.hour < 17),
        },
        rows["row"],
    )


def in_pandas(
    rows: pl.DataFrame, sample: int, *, raw: bool
) -> tuple[pd.DataFrame, dict[str, list[float]]]:
    """Features of some of the customers and merchants, and of each kind seconds and rows."""
    import pandas as pd

    frame = rows.with_columns(pl.col("is_fraud").cast(pl.Float64)).sort(
        "timestamp", "transaction_id"
    )
    frame = frame.with_row_index("row").to_pandas().set_index("timestamp")
    rng = np.random.default_rng(0)
    parts, cost = [], {}
    by_customer = functools.partial(of_customer, raw=raw)
    for key, of in (("customer_id", by_customer), ("merchant_id", of_merchant)):
        keys = np.sort(frame[key].unique())
        chosen = rng.choice(keys, min(sample, len(keys)), replace=False)
        some = frame[frame[key].isin(chosen)]
        part, seconds, _ = timed(lambda some=some, key=key, of=of: _applied(some, key, of))
        parts.append(part)
        cost[key] = [seconds, len(some)]
    part, seconds, _ = timed(lambda: of_row(frame))
    cost["row"] = [seconds, len(frame)]
    return pd.concat([*parts, part], axis=1), cost


def _applied(frame: pd.DataFrame, key: str, of: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return frame.groupby(key, group_keys=False).apply(of).sort_index()


# -- Ours, and both -------------------------------------------------------------------------------


def ours(source: str) -> dict[str, float]:
    """Seconds and memory of all 69 features, all rows."""
    from synfin_analytics.features import engineer_features

    rows = rows_of(source)
    engineer_features(rows.head(1000))  # imports
    found, seconds, megabytes = timed(lambda: engineer_features(rows, label_delay=DELAY.lower()))
    return {
        "rows": len(rows),
        "seconds": seconds,
        "features": found.width - 1,
        "megabytes": megabytes,
    }


def theirs(source: str, sample: int, *, raw: bool) -> dict[str, float]:
    """Seconds for all rows, from those of a sample, whose results must be ours."""
    from synfin_analytics.features import engineer_features

    rows = rows_of(source)
    found, cost = in_pandas(rows, sample, raw=raw)
    want = engineer_features(rows.sort("timestamp", "transaction_id"), label_delay=DELAY.lower())
    apart = []
    for name in found.columns:
        values = found[name].dropna()
        same = want[name].cast(pl.Float64).to_numpy()[values.index]
        # A sum of floating point that windows slide over is off by a little.
        if not np.allclose(values.astype(float), same, rtol=1e-6, atol=1e-6):
            apart.append(name)
    if apart:
        raise click.ClickException(f"pandas says something else of {', '.join(apart)}")
    whole = sum(seconds * len(rows) / part for seconds, part in cost.values())
    sampled = cost["customer_id"][1] / len(rows)
    return {
        "rows": len(rows),
        "seconds": whole,
        "features": len(found.columns),
        "sampled": sampled,
    }


def apart(*arguments: str) -> dict[str, float]:
    """Run one measurement in a process of its own."""
    command = [sys.executable, __file__, "--one", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise click.ClickException(result.stderr[-2000:])
    measured: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return measured


def beside_pandas(source: str, sample: int, runs: int) -> None:
    """Print a line for each way; they take turns, so that a busy machine is so for all."""
    ways = (OURS, PANDAS, RAW)
    turns = [
        {way: apart(way, source, "--sample", str(sample)) for way in ways} for _ in range(runs)
    ]
    lines = [["", "features", "rows", "seconds", "memory", "times as long as ours"], ["---"] * 6]
    for way in ways:
        seconds = sorted(turn[way]["seconds"] for turn in turns)
        ratios = sorted(turn[way]["seconds"] / turn[OURS]["seconds"] for turn in turns)
        of = turns[0][way]
        times = f"{ratios[runs // 2]:.0f} ({ratios[0]:.0f} to {ratios[-1]:.0f})"
        lines.append(
            [
                way,
                f"{of['features']}",
                f"{of['rows']:,}",
                f"{seconds[runs // 2]:.1f}",
                f"{of['megabytes']:,.0f} MB" if "megabytes" in of else "",
                "" if way == OURS else times,
            ]
        )
    print_markdown(lines)
    share = turns[0][PANDAS]["sampled"]
    click.echo(
        f"\npandas did {sample} customers and merchants, {share:.0%} of the customers' rows, with "
        "the same results; its seconds are for all rows in proportion.\n"
    )


def for_more_rows(sizes: tuple[int, ...]) -> None:
    """Print a line for each number of generated rows."""
    lines = [["rows", "seconds", "seconds per million", "memory"], ["---:"] * 4]
    for size in sizes:
        each = apart(OURS, str(size))
        per = each["seconds"] / size * 1e6
        memory = f"{each['megabytes']:,.0f} MB"
        lines.append([f"{size:,}", f"{each['seconds']:.1f}", f"{per:.1f}", memory])
    print_markdown(lines)


@click.command()
@handbook.data_option
@click.option(
    "--sample", default=500, show_default=True, help="Customers and merchants for pandas."
)
@click.option("--rows", "sizes", type=int, multiple=True, default=SIZES, show_default=True)
@click.option(
    "--runs",
    default=3,
    show_default=True,
    help="Measurements, of which the median is told; 0 leaves pandas out.",
)
@click.option("--one", type=click.Tuple([str, str]), hidden=True)
def main(
    data: Path, sample: int, sizes: tuple[int, ...], runs: int, one: tuple[str, str] | None
) -> None:
    """Print seconds and memory beside those of pandas, then for more and more rows."""
    if one is not None:
        way, source = one
        print(
            json.dumps(ours(source) if way == OURS else theirs(source, sample, raw=way != PANDAS))
        )
        return
    if runs:
        found = handbook.find(data)
        if not found:
            click.echo(
                f"There is no handbook/transactions.parquet below {data}: rows are generated."
            )
        beside_pandas(str(found[0]) if found else str(SIZES[1]), sample, runs)
    for_more_rows(sizes)


if __name__ == "__main__":
    main()
