"""The baseline of the Fraud Detection Handbook, reproduced: python benchmarks/handbook.py

The card transactions of Le Borgne, Siblini, Lebichot and Bontempi (Reproducible Machine Learning
for Credit Card Fraud Detection, 2022, chapter 3) are loaded into a temporary PostgreSQL and read
back. Their features, time split and models follow; our figures are compared with the published.
"""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import polars as pl
from _place import open_place

from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import MissingDependencyError
from synfin_analytics.features import handbook_features
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics.splits import TimeSplit, time_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from synfin_analytics.io.load.types import LoadReport

SHARED = Path(__file__).parents[2] / "shared" / "data"
START = "2018-07-25"
#: Rows and frauds of the training and of the test set, as published.
SIZES = ((67_240, 598), (58_264, 385))
#: Model: published AUC, average precision and card precision@100, and the tolerance for ours.
PUBLISHED = {
    "logistic regression": ((0.871, 0.606, 0.291), 0.01),
    "decision tree, depth 2": ((0.763, 0.496, 0.241), 0.01),
    "random forest": ((0.867, 0.658, 0.287), 0.02),
    "XGBoost": ((0.862, 0.639, 0.273), 0.02),
}
METRICS = ("AUC ROC", "average precision", "card precision@100")

COLUMNS = {
    "TRANSACTION_ID": "transaction_id",
    "TX_DATETIME": "timestamp",
    "CUSTOMER_ID": "customer_id",
    "TERMINAL_ID": "merchant_id",
    "TX_AMOUNT": "amount",
    "TX_FRAUD": "is_fraud",
}
FEATURES = (
    "amount",
    "weekend",
    "night",
    *(
        f"customer_{statistic}_{days}d"
        for days in (1, 7, 30)
        for statistic in ("count", "mean_amount")
    ),
    *(f"terminal_{statistic}_{days}d" for days in (1, 7, 30) for statistic in ("count", "risk")),
)


# -- Rows: load and read back ---------------------------------------------------------------------


def find(data: Path) -> list[Path]:
    """Return the handbook's file: the path itself, or all such files below a folder."""
    return [data] if data.is_file() else sorted(data.rglob("handbook/transactions.parquet"))


def data_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option for the path of the file."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=lambda: Path(os.environ.get("SYNFIN_SHARED_DATA", SHARED)),
        help="The handbook's transactions.parquet, or a folder that contains it.",
    )(command)


def store(path: Path, manager: DatabaseManager) -> LoadReport:
    """Load the file into the table, which rejects amounts of 0.00."""
    report = load_df(
        path,
        "transactions",
        columns={**COLUMNS, "TX_FRAUD_SCENARIO": None},
        on_missing_parent="create",
        on_invalid="reject",
        manager=manager,
        progress=False,
    )
    click.echo(report)
    return report


def load(path: Path, manager: DatabaseManager) -> pl.DataFrame:
    """Load the file, and read its rows back."""
    return read_back(path, store(path, manager), manager)


def read_back(path: Path, report: LoadReport, manager: DatabaseManager) -> pl.DataFrame:
    """Read the loaded rows of the file back, in the order of the file.

    The table does not accept amounts of 0.00, which 42 rows of the file have; the published sizes
    count four of these. The rejected rows are therefore added from the file.
    """
    file = pl.read_parquet(path, columns=list(COLUMNS)).rename(COLUMNS).with_row_index("row")
    stored = read_df(
        f"SELECT {', '.join(COLUMNS.values())} FROM transactions", output="polars", manager=manager
    ).with_columns(pl.col("transaction_id", "customer_id", "merchant_id").cast(pl.Int64))
    refused = file[np.unique(report.rejected["row"])].drop("row")
    rows = pl.concat([stored, refused.cast(dict(stored.schema))])
    click.echo(f"{len(stored):,} rows from the table, {len(refused):,} rejected ones from the file")
    order = file.select("row", pl.col("transaction_id").cast(pl.Int64))
    return rows.join(order, on="transaction_id", validate="1:1").sort("row")


# -- Features -------------------------------------------------------------------------------------


def add_features(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the 14 features to rows in the order of the file, which decides between equal times."""
    rows = rows.sort("timestamp", maintain_order=True)
    return rows.hstack(handbook_features(rows).cast({pl.Boolean: pl.Int64}))


# -- Models ---------------------------------------------------------------------------------------


def split(rows: pl.DataFrame) -> TimeSplit[pl.DataFrame]:
    """Split into seven days each of training, delay and test, without known compromised cards."""
    return time_split(rows, train="7d", label_delay="7d", test="7d", start=START)


def sizes(sets: TimeSplit[pl.DataFrame]) -> tuple[tuple[int, int], ...]:
    """Rows and frauds of the training and of the test set."""
    return tuple((part.n, part.n_frauds) for part in sets.parts[:2])


def models() -> Iterator[tuple[str, Any]]:
    """Yield the models of the chapter with their settings; report those that are not installed."""
    if importlib.util.find_spec("sklearn") is None:
        raise MissingDependencyError("scikit-learn", "models", "This benchmark")
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    yield "logistic regression", make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    yield "decision tree, depth 2", DecisionTreeClassifier(max_depth=2, random_state=0)
    yield "random forest", RandomForestClassifier(n_estimators=100, random_state=0, n_jobs=-1)
    if importlib.util.find_spec("xgboost") is None:
        click.echo(f"XGBoost is skipped. {MissingDependencyError('xgboost', 'xgboost', 'It')}")
        return
    from xgboost import XGBClassifier

    # The two settings were the defaults of XGBoost 1, which the authors used.
    yield "XGBoost", XGBClassifier(tree_method="exact", base_score=0.5, random_state=0, n_jobs=-1)


def scores(model: Any, sets: TimeSplit[pl.DataFrame]) -> pl.DataFrame:
    """Train a model on the training rows, and add its fraud probability to the test rows."""
    model.fit(sets.train.select(FEATURES).to_numpy(), sets.train["is_fraud"].to_numpy())
    probability = model.predict_proba(sets.test.select(FEATURES).to_numpy())[:, 1]
    return sets.test.with_columns(fraud_probability=pl.Series(probability).cast(pl.Float64))


def figures(scored: pl.DataFrame) -> tuple[float, float, float]:
    """AUC, average precision and card precision@100."""
    result = evaluate(scored)
    return result.roc_auc, result.average_precision, result.card_precision_at_k(100).value


def compare(sets: TimeSplit[pl.DataFrame]) -> pl.DataFrame:
    """Compare our figures with the published: model, metric, ours, published, within, seconds."""
    table = []
    for name, model in models():
        begun = time.perf_counter()
        values = figures(scores(model, sets))
        seconds = time.perf_counter() - begun
        published, tolerance = PUBLISHED[name]
        for metric, value, reference in zip(METRICS, values, published, strict=True):
            close = abs(value - reference) <= tolerance
            table.append((name, metric, value, reference, tolerance, close, seconds))
    names = ["model", "metric", "ours", "published", "tolerance", "within", "seconds"]
    return pl.DataFrame(table, schema=names, orient="row")


# -- The command ----------------------------------------------------------------------------------


@click.command()
@data_option
def main(data: Path) -> None:
    """Print our figures for the handbook's baseline, compared with the published."""
    files = find(data)
    if not files:
        raise click.ClickException(f"No handbook/transactions.parquet in {data}.")
    with open_place() as place, place.prepared("handbook", {}) as name:
        config = DatabaseConfig.from_env(environ={"DATABASE_URL": place.url(name)})
        manager = DatabaseManager(config)
        try:
            rows = load(files[0], manager)
        finally:
            manager.close()
    begun = time.perf_counter()
    rows = add_features(rows)
    click.echo(f"14 features of {len(rows):,} rows in {time.perf_counter() - begun:.1f} s")
    sets = split(rows)
    click.echo(sets)
    exactly = "exactly" if sizes(sets) == SIZES else "NOT"
    click.echo(f"These are {exactly} the published sizes.\n")
    click.echo(f"{'':24}{'metric':22}{'ours':>7}{'published':>11}")
    for row in compare(sets).iter_rows(named=True):
        verdict = "within" if row["within"] else "NOT within"
        click.echo(
            f"{row['model']:24}{row['metric']:22}{row['ours']:7.3f}{row['published']:11.3f}"
            f"   {verdict} {row['tolerance']}"
        )


if __name__ == "__main__":
    main()
