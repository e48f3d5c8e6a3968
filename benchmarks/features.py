"""Speed of the features, compared with other libraries: python benchmarks/features.py

The handbook's 14 features with polars and DuckDB, and those of the 69 that its rows have columns
for with pandas, get the handbook's rows, or generated ones; all 69 with polars get generated rows
that have all columns. Each way runs in a separate process; its results must be equal to ours. Then
our 69 for 0.1, 1 and 5 million generated rows.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _handbook_windows
import _polars_features
import click
import handbook
import numpy as np
import polars as pl
from _measure import print_markdown, timed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

SIZES = (100_000, 1_000_000, 5_000_000)
ROWS_OF_A_CUSTOMER, ROWS_OF_A_MERCHANT = 350, 175  # as in the handbook
DAYS, DELAY = 183, "7D"
OURS, PANDAS, RAW = "ours", "pandas", "pandas, with raw=True"
HANDBOOK = {
    "handbook: ours": None,
    "polars, rolling(group_by=)": _handbook_windows.with_rolling_groups,
    "polars, rolling_sum_by().over()": _handbook_windows.with_rolling_expressions,
    "DuckDB, window functions": _handbook_windows.with_duckdb,
}
ALL_69 = ("all 69: ours", "polars' expressions")
#: Features that need other columns (places, countries, devices, categories) are left out.
SPANS = ("1h", "6h", "24h", "7D", "30D")
WINDOWS = {"1d": 1, "7d": 7, "30d": 30}


def generate_rows(rows: int, seed: int = 0) -> pl.DataFrame:
    """Payments with the columns of the handbook; the number of customers grows with the rows."""
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


def read_rows(source: str) -> pl.DataFrame:
    """Rows of a file, or generated rows."""
    if source.isdigit():
        return generate_rows(int(source))
    rows = pl.read_parquet(source, columns=list(handbook.COLUMNS)).rename(handbook.COLUMNS)
    return rows.with_columns(pl.col("is_fraud") == 1)


# -- pandas, in its usual style -------------------------------------------------------------------


def customer_features(rows: pd.DataFrame, *, raw: bool = False) -> pd.DataFrame:
    """Features of one customer's rows, which are indexed by time.

    With ``raw``, the function that counts merchants gets NumPy arrays, not pandas' default.
    """
    import pandas as pd

    amount, timestamp = rows["amount"], rows.index.to_series()
    number = pd.Series(np.arange(len(rows)), rows.index)
    n_earlier = number.where(number > 0)
    expanding = amount.expanding()
    mean, deviation, highest = (
        statistic.shift() for statistic in (expanding.mean(), expanding.std(), expanding.max())
    )
    since_first = (timestamp - timestamp.iloc[0]).dt.total_seconds() / 86_400
    features = {
        "amount_normalized": amount / mean,
        "amount_zscore": (amount - mean) / deviation,
        "amount_deviation_from_mean": amount - mean,
        "amount_percentile": (expanding.rank(method="min") - 1) / n_earlier,
        "amount_to_max_ratio": amount / highest,
        "unusual_amount": (amount > mean + 3 * deviation).where(number >= 10),
        "customer_lifetime_value": expanding.sum().shift(fill_value=0),
        "customer_avg_amount": mean,
        "customer_std_amount": deviation,
        "customer_max_amount": highest,
        "customer_transaction_count": number,
        "customer_transaction_frequency": n_earlier / since_first.clip(lower=1),
    }
    for span in SPANS:
        window = amount.rolling(span)
        features[f"tx_velocity_{span.lower()}"] = window.count()
        features[f"amount_velocity_{span.lower()}"] = window.sum()
        if span in ("24h", "7D", "30D"):
            features[f"avg_amount_{span.lower()}"] = window.mean()
        if span in ("24h", "7D"):
            merchants = rows["merchant_id"].rolling(span)
            features[f"distinct_merchants_{span.lower()}"] = merchants.apply(
                lambda values: len(np.unique(values)), raw=raw
            )
    features["is_burst"] = amount.rolling("10min").count() >= 3
    new_merchant = ~rows["merchant_id"].duplicated()
    new_day = ~timestamp.dt.normalize().duplicated()
    slot = timestamp.dt.hour // 3
    n_same_slot = number.groupby(slot.to_numpy()).cumcount()
    gap = timestamp.diff().dt.total_seconds()
    since_same = timestamp.groupby(rows["merchant_id"].to_numpy()).diff().dt.total_seconds()
    fraud = rows["is_fraud"]
    n_before = n_earlier.where(timestamp.shift().notna())
    labelled = number + 1 - amount.rolling(DELAY).count()
    features |= {
        "is_new_merchant": new_merchant,
        "customer_active_days": new_day.cumsum().shift(fill_value=0),
        "customer_merchant_diversity": new_merchant.cumsum().shift() / n_before,
        "unusual_time": (n_same_slot * 20 < number).where(number >= 10),
        "time_since_last_normalized": gap / (gap.expanding().mean().shift()),
        "time_since_last_same_merchant": since_same / 86_400,
        "time_since_first_transaction": since_first.where(number > 0),
        "customer_prior_fraud_count": (fraud.cumsum() - fraud.rolling(DELAY).sum()).where(
            labelled > 0
        ),
    }
    return pd.DataFrame(features).set_index(rows["row"])


def merchant_features(rows: pd.DataFrame) -> pd.DataFrame:
    """Features of one merchant's rows, which are indexed by time."""
    import pandas as pd

    amount, fraud = rows["amount"], rows["is_fraud"]
    number = pd.Series(np.arange(len(rows)), rows.index)
    mean = amount.expanding().mean().shift()
    recent = fraud.rolling(DELAY)
    count, frauds = recent.count(), recent.sum()
    features = {
        "merchant_avg_amount": mean,
        "amount_to_merchant_avg_ratio": amount / mean,
        "merchant_transaction_count": number,
        "merchant_fraud_rate": (fraud.cumsum() - frauds) / (number + 1 - count),
    }
    for name, days in WINDOWS.items():
        features[f"merchant_tx_count_{name}"] = amount.rolling(f"{days}D").count()
        window = fraud.rolling(f"{days + 7}D")
        features[f"merchant_fraud_rate_{name}"] = (window.sum() - frauds) / (window.count() - count)
    return pd.DataFrame(features).set_index(rows["row"])


def row_features(rows: pd.DataFrame) -> pd.DataFrame:
    """Features that depend only on the row itself."""
    import pandas as pd

    timestamp, amount = rows.index, rows["amount"].to_numpy()
    day_angle = 2 * np.pi * (timestamp - timestamp.normalize()).total_seconds() / 86_400
    week_angle, year_angle = (
        2 * np.pi * timestamp.day_of_week / 7,
        2 * np.pi * (timestamp.month - 1) / 12,
    )
    return pd.DataFrame(
        {
            "amount_log": np.log1p(amount),
            "amount_is_round": (np.round(amount * 100) % 1000 == 0) & (amount > 0),
            "hour_sin": np.sin(day_angle),
            "hour_cos": np.cos(day_angle),
            "day_sin": np.sin(week_angle),
            "day_cos": np.cos(week_angle),
            "month_sin": np.sin(year_angle),
            "month_cos": np.cos(year_angle),
            "is_weekend": timestamp.day_of_week >= 5,
            "is_night": timestamp.hour < 6,
            "is_business_hours": (timestamp.day_of_week < 5)
            & (timestamp.hour >= 9)
            & (timestamp.hour < 17),
        },
        rows["row"],
    )


def compute_with_pandas(
    rows: pl.DataFrame, sample: int, *, raw: bool
) -> tuple[pd.DataFrame, dict[str, list[float]]]:
    """Features of a sample of customers and merchants; seconds and rows of each kind."""
    import pandas as pd

    frame = rows.with_columns(pl.col("is_fraud").cast(pl.Float64)).sort(
        "timestamp", "transaction_id"
    )
    frame = frame.with_row_index("row").to_pandas().set_index("timestamp")
    rng = np.random.default_rng(0)
    parts, cost = [], {}
    by_customer = functools.partial(customer_features, raw=raw)
    for key, compute in (("customer_id", by_customer), ("merchant_id", merchant_features)):
        keys = np.sort(frame[key].unique())
        sampled = rng.choice(keys, min(sample, len(keys)), replace=False)
        subset = frame[frame[key].isin(sampled)]
        part, seconds, _ = timed(
            lambda subset=subset, key=key, compute=compute: _apply(subset, key, compute)
        )
        parts.append(part)
        cost[key] = [seconds, len(subset)]
    part, seconds, _ = timed(lambda: row_features(frame))
    cost["row"] = [seconds, len(frame)]
    return pd.concat([*parts, part], axis=1), cost


def _apply(frame: pd.DataFrame, key: str, compute: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return frame.groupby(key, group_keys=False).apply(compute).sort_index()


# -- Ours, and both -------------------------------------------------------------------------------


def measure_ours(source: str) -> dict[str, float]:
    """Seconds and memory of all 69 features, all rows."""
    from synfin_analytics.features import engineer_features

    rows = read_rows(source)
    engineer_features(rows.head(1000))  # imports
    features, seconds, megabytes = timed(lambda: engineer_features(rows, label_delay=DELAY.lower()))
    return {
        "rows": len(rows),
        "seconds": seconds,
        "features": features.width - 1,
        "megabytes": megabytes,
    }


def measure_pandas(source: str, sample: int, *, raw: bool) -> dict[str, float]:
    """Seconds for all rows, extrapolated from a sample whose results must equal ours."""
    from synfin_analytics.features import engineer_features

    rows = read_rows(source)
    computed, cost = compute_with_pandas(rows, sample, raw=raw)
    expected = engineer_features(
        rows.sort("timestamp", "transaction_id"), label_delay=DELAY.lower()
    )
    different = []
    for name in computed.columns:
        values = computed[name].dropna()
        values_of_ours = expected[name].cast(pl.Float64).to_numpy()[values.index]
        # A sliding sum of floating-point numbers accumulates small errors.
        if not np.allclose(values.astype(float), values_of_ours, rtol=1e-6, atol=1e-6):
            different.append(name)
    if different:
        raise click.ClickException(f"pandas differs in {', '.join(different)}")
    seconds = sum(seconds * len(rows) / part for seconds, part in cost.values())
    sampled = cost["customer_id"][1] / len(rows)
    return {
        "rows": len(rows),
        "seconds": seconds,
        "features": len(computed.columns),
        "sampled": sampled,
    }


def measure_handbook(way: str, source: str) -> dict[str, float]:
    """Seconds and memory of the handbook's 14 features, all rows."""
    from synfin_analytics.features import handbook_features

    rows = read_rows(source).sort("timestamp", maintain_order=True)
    compute = HANDBOOK[way] or handbook_features
    # polars and DuckDB count later rows of one second too.
    tied = pl.struct("customer_id", "timestamp").is_duplicated()
    return measure_equal(way, compute, handbook_features, [rows], tied, atol=1e-9)


def measure_equal(
    way: str,
    compute: Callable[..., pl.DataFrame],
    expect: Callable[..., pl.DataFrame],
    frames: Sequence[pl.DataFrame],
    tied: pl.Expr,
    **tolerance: Any,
) -> dict[str, float]:
    """Seconds and memory of features of the first frame; an error if they are not the expected."""
    rows, *tables = frames
    compute(rows.head(1000), *tables)  # imports
    processor_started = time.process_time()
    features, seconds, megabytes = timed(lambda: compute(rows, *tables))
    processor = time.process_time() - processor_started
    is_tied = rows.select(tied).to_series()
    expected = expect(rows, *tables)
    for name in expected.columns:
        pair = (frame[name].filter(~is_tied).cast(pl.Float64) for frame in (features, expected))
        if not np.allclose(*pair, rtol=1e-9, **tolerance):
            raise click.ClickException(f"{way} differs in {name}")
    return {
        "rows": len(rows),
        "seconds": seconds,
        "processor": processor,
        "megabytes": megabytes,
        "tied": int(is_tied.sum()),
    }


def generate_all_columns(n_rows: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Payments with all columns that features are computed from, customers and merchants."""
    from features_on_disk import write_rows

    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / "rows.parquet", n_rows)
        rows = pl.read_parquet(Path(folder) / "rows.parquet")
    number = pl.int_range(pl.len())
    rows = rows.with_columns(
        distance_from_home=pl.when(number % 7 == 0).then(12.5),
        distance_from_last=pl.when(number % 9 == 0).then(7.25),
        merchant_category=pl.when(number % 5 > 0).then("merchant_category"),
        is_fraud=pl.when(number % 11 > 0).then("is_fraud"),
    )
    customers, merchants = (
        rows.select(pl.col(key).unique().sort()) for key in ("customer_id", "merchant_id")
    )
    rng = np.random.default_rng(0)
    customers = customers.with_columns(
        latitude=50 + rng.normal(0, 1, len(customers)),
        longitude=4 + rng.normal(0, 1, len(customers)),
        account_created=pl.datetime(2017, 1, 1) + pl.duration(hours=number),
    )
    return rows, customers, merchants.with_columns(category=pl.lit("fuel"))


def measure_all(way: str, n_rows: int) -> dict[str, float]:
    """Seconds and memory of all 69 features of generated rows that have all columns."""
    from synfin_analytics.features import engineer_features

    compute = engineer_features if way == ALL_69[0] else _polars_features.compute
    keys = ("customer_id", "merchant_id")
    tied = pl.any_horizontal(pl.struct(key, "timestamp").is_duplicated() for key in keys)
    frames = generate_all_columns(n_rows)

    def expect(*frames: pl.DataFrame) -> pl.DataFrame:
        return engineer_features(*frames).drop("transaction_id")

    return measure_equal(way, compute, expect, frames, tied, atol=1e-6, equal_nan=True)


def compare_all(n_rows: int, runs: int) -> None:
    """Print a line for each way to compute all 69 features; they take turns."""
    turns = [{way: run_in_process(way, str(n_rows)) for way in ALL_69} for _ in range(runs)]
    print_turns(turns)
    first = turns[0][ALL_69[0]]
    click.echo(
        f"\n{first['rows']:,} generated rows with the same 69 features to 1e-9 or 0.000001, except "
        f"the {first['tied']:,} of one customer or merchant and second.\n"
    )


def compare_handbook(source: str, runs: int) -> None:
    """Print a line for each way to compute the handbook's features; they take turns."""
    turns = [{way: run_in_process(way, source) for way in HANDBOOK} for _ in range(runs)]
    print_turns(turns)
    first = next(iter(turns[0].values()))
    click.echo(
        f"\n{first['rows']:,} rows with the same results, except the {first['tied']:,} of one "
        "customer and second, which are not compared: the others count later rows too.\n"
    )


def print_turns(turns: list[dict[str, dict[str, float]]]) -> None:
    """Print seconds, processor time, and both as multiples of those of the first way."""
    header = ["", "seconds", "times as long", "processor seconds", "times as much", "memory"]
    lines = [header, ["---", *["---:"] * 5]]
    base = next(iter(turns[0]))
    for way in turns[0]:
        cells = [way]
        for measure in ("seconds", "processor"):
            values = [turn[way][measure] for turn in turns]
            ratios = [turn[way][measure] / turn[base][measure] for turn in turns]
            cells.append(f"{np.median(values):.2f}")
            cells.append(f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        lines.append([*cells, f"{turns[0][way]['megabytes']:,.0f} MB"])
    print_markdown(lines)


def run_in_process(*arguments: str) -> dict[str, float]:
    """Run one measurement in a separate process."""
    command = [sys.executable, __file__, "--single", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise click.ClickException(result.stderr[-2000:])
    measured: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return measured


def compare_with_pandas(source: str, sample: int, runs: int) -> None:
    """Print a line for each way; they take turns, so that load on the machine affects all."""
    ways = (OURS, PANDAS, RAW)
    turns = [
        {way: run_in_process(way, source, "--sample", str(sample)) for way in ways}
        for _ in range(runs)
    ]
    lines = [["", "features", "rows", "seconds", "memory", "times as long as ours"], ["---"] * 6]
    for way in ways:
        seconds = sorted(turn[way]["seconds"] for turn in turns)
        ratios = sorted(turn[way]["seconds"] / turn[OURS]["seconds"] for turn in turns)
        first_turn = turns[0][way]
        ratio = f"{ratios[runs // 2]:.0f} ({ratios[0]:.0f} to {ratios[-1]:.0f})"
        lines.append(
            [
                way,
                f"{first_turn['features']}",
                f"{first_turn['rows']:,}",
                f"{seconds[runs // 2]:.1f}",
                f"{first_turn['megabytes']:,.0f} MB" if "megabytes" in first_turn else "",
                "" if way == OURS else ratio,
            ]
        )
    print_markdown(lines)
    share = turns[0][PANDAS]["sampled"]
    click.echo(
        f"\npandas computed {sample} customers and merchants, {share:.0%} of the customers' rows, "
        "with the same results; its seconds are extrapolated to all rows.\n"
    )


def measure_sizes(sizes: tuple[int, ...]) -> None:
    """Print a line for each number of generated rows."""
    lines = [["rows", "seconds", "seconds per million", "memory"], ["---:"] * 4]
    for size in sizes:
        measured = run_in_process(OURS, str(size))
        seconds_per_million = measured["seconds"] / size * 1e6
        memory = f"{measured['megabytes']:,.0f} MB"
        lines.append(
            [f"{size:,}", f"{measured['seconds']:.1f}", f"{seconds_per_million:.1f}", memory]
        )
    print_markdown(lines)


def measure(way: str, source: str, sample: int) -> dict[str, float]:
    """Measure one way in this process."""
    if way in HANDBOOK:
        return measure_handbook(way, source)
    if way in ALL_69:
        return measure_all(way, int(source))
    return measure_ours(source) if way == OURS else measure_pandas(source, sample, raw=way == RAW)


@click.command()
@handbook.data_option
@click.option(
    "--sample",
    default=500,
    show_default=True,
    help="Customers and merchants for pandas; 0 leaves pandas out.",
)
@click.option(
    "--all-columns",
    default=1_000_000,
    show_default=True,
    help="Generated rows for all 69 features with polars; 0 leaves them out.",
)
@click.option("--rows", "sizes", type=int, multiple=True, default=SIZES, show_default=True)
@click.option(
    "--runs",
    default=3,
    show_default=True,
    help="Measurements, of which the median is printed; 0 leaves the other libraries out.",
)
@click.option("--single", type=click.Tuple([str, str]), hidden=True)
def main(
    data: Path,
    sample: int,
    all_columns: int,
    sizes: tuple[int, ...],
    runs: int,
    single: tuple[str, str] | None,
) -> None:
    """Print seconds and memory compared with other libraries, then for more rows."""
    if single is not None:
        print(json.dumps(measure(*single, sample)))
        return
    if runs:
        files = handbook.find(data)
        if not files:
            click.echo(f"No handbook/transactions.parquet in {data}: rows are generated.")
        source = str(files[0]) if files else str(SIZES[1])
        compare_handbook(source, runs)
        if all_columns:
            compare_all(all_columns, runs)
        if sample:
            compare_with_pandas(source, sample, runs)
    measure_sizes(sizes)


if __name__ == "__main__":
    main()
